"""A disk that fills up for real: what is said, and that nothing half-written is taken for whole."""

import os
import subprocess

import pyarrow.parquet as pq
import pytest
import torch

import dhs
from dhs import storage
from dhs.config import load_profile
from dhs.errors import DhsError
from dhs.models import checkpoints
from dhs.survey.fetch import download

SIZE = 256 * 1024


@pytest.fixture
def disk(tmp_path):
    """A file system of its own of `SIZE` bytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def grow(disk) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)


def content(folder) -> dict[str, bytes]:
    return {f.removeprefix(str(folder)): storage.read_bytes(f) for f in storage.list_files(folder, (".parquet",), True)}


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_inject_stops_with_whole_parts_and_goes_on_when_there_is_room(disk, tmp_path, engine):
    profile = load_profile(
        "smoke",
        hosts__n_mock=30,
        sources__spec="mock",
        injection__n_pairs=30,
        injection__pairs_per_part=3,
        injection__supersampling=2,
    )
    whole = dhs.inject(tmp_path / "whole", profile=profile, engine="serial")
    out = disk / "pairs"
    with pytest.raises(DhsError, match=r"part-\d+.parquet: no space left on the device. Free some and run again"):
        dhs.inject(out, profile=profile, engine=engine, workers=2)
    expected, found = content(whole.path), content(out)
    assert 0 < len(found) < len(expected) and not (out / "manifest.json").exists()
    assert {name: expected.get(name) for name in found if name != "/quarantine.parquet"} == {
        name: data for name, data in found.items() if name != "/quarantine.parquet"
    }
    assert not list(out.rglob(".tmp-*")), "no litter where there is no room for it"
    with pytest.raises(DhsError, match=r"no manifest.json"):
        dhs.open_pairs(out)
    grow(disk)
    again = dhs.inject(out, profile=profile, engine=engine, workers=2, resume=True)
    assert content(out) == expected and again.manifest == whole.manifest
    assert all(pq.read_metadata(f).num_rows > 0 for f in again.files("train"))


def test_a_checkpoint_that_does_not_fit_leaves_the_last_one(disk):
    checkpoints.save(disk / "last.pt", {"model": {"w": torch.ones(3)}})
    with pytest.raises(DhsError, match="last.pt: no space left on the device"):
        checkpoints.save(disk / "last.pt", {"model": {"w": torch.ones(SIZE)}})
    assert checkpoints.load(disk / "last.pt")["model"]["w"].tolist() == [1, 1, 1]


def test_a_download_that_does_not_fit_is_no_file_yet(disk, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(2 * SIZE))
    wanted = download.Wanted((tmp_path / "big").as_uri(), disk / "file")
    with pytest.raises(DhsError, match="file.part: No space left on device. Free some space"):
        download.download(wanted)
    assert not (disk / "file").exists()
    grow(disk)
    assert download.download(wanted).read_bytes() == (tmp_path / "big").read_bytes()
