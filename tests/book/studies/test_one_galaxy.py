"""Single galaxies: chosen by what their arc did, and shown under interventions and beside look-alikes."""

import numpy as np
import pyarrow as pa
import pytest
from drawn_pairs import write_pairs

from dhs.book.studies import one_galaxy
from dhs.datasets.reader import stamp


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("run") / "pairs")


def scores(rises, theta=1.5, snr=100.0):
    rows = [
        {"pair_id": i, "kind": kind, "split": "test", "logit": x, "theta_e_arcsec": theta, "arc_snr_matched": snr}
        for i, rise in enumerate(rises)
        for kind, x in (("positive", rise), ("control", 0.0))
    ]
    return pa.Table.from_pylist(rows)


def test_galaxies_from_the_largest_rise_to_the_smallest():
    assert one_galaxy.chosen(None, scores([0.5, 3.0, -1.0, 1.0, 2.0]), 3) == [1, 3, 2]
    assert one_galaxy.chosen(None, scores([1.0, 2.0], theta=0.5), 1) == [1], "where no arc is clear any will do"


def test_look_alikes_by_kind_with_their_own_light(pairs):
    found = one_galaxy.decoys(pairs, n=2)
    assert found and all(0 < len(v) <= 2 for v in found.values())
    entry = next(iter(found.values()))[0]
    control = next(pairs[i]["control"] for i in range(len(pairs)) if pairs[i]["pair_id"] == entry["pair_id"])
    assert not np.allclose(entry["stamp"], control) and entry["logit"] is None


def test_columns_are_one_galaxy_each(pairs):
    rows = one_galaxy.columns(pairs, 3)
    assert rows
    for row in rows:
        np.testing.assert_array_equal(row["stamp"], stamp(row))
        edge = np.s_[:, :4, :4]
        assert np.abs(row["stamp"][edge] - row["decoy"][edge]).max() < 1.0, "the same sky around"
