import sys

import pytest
from third_party_package import installed

from dhs.errors import DhsError, UsageError
from dhs.registry import Registry


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes a package that is dhs's own folder of things, and one that stands for somebody else's."""
    own = tmp_path / "own_things"
    own.mkdir()
    (own / "__init__.py").write_text("")
    for name in ("zebra", "ant"):
        text = f"from test_registry_things import things\n\n@things({name!r})\ndef {name}(): return {name!r}\n"
        (own / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    things = Registry("thing", "dhs.test_things", "own_things")
    (tmp_path / "test_registry_things.py").write_text("things = None\n")
    import test_registry_things

    test_registry_things.things = things

    def package(body):
        other = tmp_path / "other"
        (other / "their_things").mkdir(parents=True)
        (other / "their_things" / "__init__.py").write_text(body)
        info = other / "their_things-2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-things\nVersion: 2.3\n")
        (info / "entry_points.txt").write_text("[dhs.test_things]\nyak = their_things\n")
        return installed(folder=other, package="their_things")

    yield things, package
    for name in [n for n in sys.modules if n.startswith(("own_things", "test_registry_things"))]:
        del sys.modules[name]


def test_modules_of_the_folder_register_themselves_in_alphabetical_order(made):
    things, _ = made
    assert list(things) == ["ant", "zebra"] and things["zebra"]() == "zebra" and len(things) == 2
    with pytest.raises(UsageError, match=r"no thing 'bee': choose one of \['ant', 'zebra'\]"):
        things["bee"]
    with pytest.raises(ValueError, match="a thing 'ant' is registered already, by dhs"):
        things.add("ant", None)


def test_a_folder_may_hold_folders(made, tmp_path):
    things, _ = made
    (tmp_path / "own_things/more").mkdir()
    (tmp_path / "own_things/more/__init__.py").write_text("")
    (tmp_path / "own_things/more/bat.py").write_text("from test_registry_things import things\nthings.add('bat', 1)\n")
    assert list(things) == ["ant", "bat", "zebra"]


def test_an_installed_package_adds_its_own_by_entry_point_and_is_named(made):
    things, package = made
    with package("from test_registry_things import things\nthings.add('yak', 4)\n"):
        assert list(things) == ["ant", "zebra", "yak"]
        assert things.origin("yak") == "their-things 2.3" and things.origin("ant") == ""


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('no licence')", "from test_registry_things import things\nthings.add('ant', 4)"]
)
def test_a_package_that_cannot_be_loaded_is_named_each_time(made, body):
    things, package = made
    with package(body):
        for _ in range(2):
            with pytest.raises(DhsError, match=r"the thing 'yak' of the installed package their-things 2.3 can't be"):
                list(things)
