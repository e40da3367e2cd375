import pytest
from third_party_package import installed

from dhs.errors import UsageError
from dhs.injection.hard_negatives.base import kind_of, kinds, label_of


def test_the_kinds_say_what_they_are_made_of():
    of_arc_light = {"azimuthal_shuffle": True, "companions": False, "lookalike": False, "scrambled_geometry": True}
    assert {k: kinds[k].of_arc_light for k in of_arc_light} == of_arc_light
    with pytest.raises(UsageError, match="no kind of hard negative 'shuffle': choose one of"):
        kinds["shuffle"]


@pytest.mark.parametrize(
    ("stored", "kind", "label"),
    [
        ("companions", "companions", "companions"),
        ("lookalike_ring_mock", "lookalike", "look-alikes: ring (mock)"),
        ("lookalikes", None, "lookalikes"),
        ("of_another_day", None, "of another day"),
    ],
)
def test_a_stored_kind_is_known_by_its_name_or_what_it_begins_with(stored, kind, label):
    found = kind_of(stored)
    assert (found and found.name) == kind and label_of(stored) == label


def test_a_package_adds_a_kind():
    with installed(kinds):
        assert kinds["mirrored"].of_arc_light and label_of("mirrored") == "mirrored arcs"
        assert kinds.origin("mirrored") == "dhs-example 1.0"
    assert kind_of("mirrored") is None
