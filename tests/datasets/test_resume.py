"""Interrupted runs: what may be gone on with, by what, and what comes out; parts that keep bricks whole."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from brick_samples import write, write_brick, write_coadds
from hypothesis import given
from hypothesis import strategies as st

import dhs
from dhs import storage
from dhs.config import load_profile
from dhs.datasets.resume import by_brick
from dhs.errors import DhsError
from dhs.survey.hosts import coadds
from dhs.survey.mock.hosts import write_mock_hosts

SMALL = {
    "sources__spec": "mock",
    "injection__pairs_per_part": 4,
    "injection__supersampling": 2,
    "hosts__known_lenses": "none",
}


def unfinish(folder, **changes):
    """Take a finished data set back to one that was killed after some of its parts."""
    (folder / "manifest.json").unlink()
    storage.write_json(folder / "run.json", {**storage.read_json(folder / "run.json"), "finished": False, **changes})
    for path in sorted(folder.glob("split=*/*.parquet"))[1::2]:
        path.unlink()


def parquet(folder) -> dict[str, bytes]:
    names = storage.list_files(folder, (".parquet",), recursive=True)
    return {n.removeprefix(str(folder)): storage.read_bytes(n) for n in names}


@pytest.mark.parametrize("change", [{"code": "of another day"}, {"versions": {"numpy": "1.0"}}])
def test_parts_of_another_version_are_not_trusted(pairs, tiny, tmp_path, change):
    shutil.copytree(pairs.path, tmp_path / "a")
    unfinish(tmp_path / "a", **change)
    before = parquet(tmp_path / "a")
    with pytest.raises(DhsError, match="made by another version of the code or of its packages"):
        dhs.inject(tmp_path / "a", profile=tiny, engine="serial", resume=True)
    assert parquet(tmp_path / "a") == before


def test_a_damaged_part_is_made_again(pairs, tiny, tmp_path):
    shutil.copytree(pairs.path, tmp_path / "a")
    unfinish(tmp_path / "a")
    first, second, third = sorted((tmp_path / "a").glob("split=*/*.parquet"))[:3]
    first.write_bytes(first.read_bytes()[:-100])
    second.write_bytes(b"")
    (tmp_path / "a" / "negatives" / third.relative_to(tmp_path / "a")).unlink()
    again = dhs.inject(tmp_path / "a", profile=tiny, engine="serial", resume=True)
    assert parquet(tmp_path / "a") == parquet(pairs.path) and again.manifest == pairs.manifest


def test_hosts_that_changed_are_noticed_and_are_read_from_the_index(tmp_path):
    write_mock_hosts(tmp_path / "hosts", 10, 3)
    profile = load_profile("smoke", **SMALL, hosts__spec=str(tmp_path / "hosts"), injection__n_pairs=10)
    whole = dhs.inject(tmp_path / "a", profile=profile, engine="serial")
    bytes_before = parquet(tmp_path / "a")
    assert storage.read_table(tmp_path / "a" / "hosts.parquet").num_rows == whole.manifest["hosts"]["n"] == 10
    unfinish(tmp_path / "a")
    moved = next((tmp_path / "hosts").glob("*3.npz"))
    shutil.move(moved, tmp_path / "aside.npz")
    with pytest.raises(DhsError, match="the hosts have changed since this run began"):
        dhs.inject(tmp_path / "a", profile=profile, engine="serial", resume=True)
    shutil.move(tmp_path / "aside.npz", moved)
    again = dhs.inject(tmp_path / "a", profile=profile, engine="serial", resume=True)
    assert parquet(tmp_path / "a") == bytes_before and again.manifest == whole.manifest


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 9))
def test_parts_hold_every_slot_once_and_bricks_whole(bricks, size):
    hosts = [f"b{b}" for b in bricks]
    slots = [(pair, pair % max(len(hosts), 1)) for pair in range(len(hosts))]
    parts = by_brick(slots, hosts, size)
    assert sorted(s for part in parts for s in part) == slots
    assert all(0 < len(part) <= size for part in parts)
    for brick in set(hosts):
        holding = [i for i, part in enumerate(parts) if any(hosts[h] == brick for _, h in part)]
        assert len(holding) <= (1 if hosts.count(brick) <= size else -(-hosts.count(brick) // size) + 1)
        assert holding == list(range(holding[0], holding[-1] + 1))


def test_pairs_from_bricks_open_each_once_and_quarantine_what_is_masked(tmp_path, monkeypatch):
    for ra, dec in ((150.1, 2.2), (170.4, 2.2), (190.9, -8.0), (210.9, -8.0), (230.0, 10.0)):
        name, wcs, images, _ = write_brick(tmp_path / "dr10", ra, dec, n_targets=4, size=300, seed=int(ra))
    images["maskbits"][:150] = 1 << 12
    write_coadds(tmp_path / "dr10" / "coadd" / name[:3] / name, name, wcs, (0.0, 0.0), images)
    opened = []
    init = coadds.Coadds.__init__
    monkeypatch.setattr(coadds.Coadds, "__init__", lambda self, root, b: (opened.append(b), init(self, root, b))[1])
    profile = load_profile("smoke", **SMALL, hosts__spec=str(tmp_path / "dr10"), injection__n_pairs=40, seed=4)
    profile = profile.replace(injection__pairs_per_part=8)
    pairs = dhs.inject(tmp_path / "a", profile=profile, engine="serial")
    assert sorted(opened) == sorted(set(opened)) and len(opened) == 5
    table = pairs.table()
    assert pairs.manifest["hosts"]["kind"] == "bricks" and pairs.manifest["hosts"]["selection"]["selected"] == 20
    refused = storage.read_table(tmp_path / "a" / "quarantine.parquet").to_pylist()
    assert {r["code"] for r in refused} == {"masked"} and len(refused) == pairs.manifest["hosts"]["refused"] == 2
    assert len(table) == 36 and pairs.manifest["draws"]["rejected"]["host_refused"] == 4
    assert not {r["id"] for r in refused} & set(table["host_id"].to_pylist())
    two = dhs.inject(tmp_path / "b", profile=profile, engine="processes", workers=2)
    assert two.manifest == pairs.manifest and parquet(tmp_path / "b") == parquet(tmp_path / "a")


def test_bricks_that_cannot_be_used_cost_their_own_hosts_alone(tmp_path):
    names = [write_brick(tmp_path / "dr10", 150.1 + i, 2.2, n_targets=2, size=200, seed=i)[0] for i in range(4)]
    good, bandless, lost, cut = (tmp_path / "dr10" / "coadd" / name[:3] / name for name in names)
    (bandless / f"legacysurvey-{bandless.name}-image-z.fits.fz").unlink()
    write(lost / f"legacysurvey-{lost.name}-image-r.fits.fz", np.ones((200, 200), np.float32), fits.Header(), "IMAGE_r")
    path = cut / f"legacysurvey-{cut.name}-invvar-g.fits.fz"
    path.write_bytes(path.read_bytes()[:4000])
    profile = load_profile("smoke", **SMALL, hosts__spec=str(tmp_path / "dr10"), injection__n_pairs=8)
    pairs = dhs.inject(tmp_path / "a", profile=profile, engine="serial")
    assert set(pairs.table()["brickname"].to_pylist()) == {good.name} and len(pairs) == 2
    refused = storage.read_table(tmp_path / "a" / "quarantine.parquet").to_pylist()
    assert len(refused) == 6 == pairs.manifest["hosts"]["refused"]
    told = {(r["code"], next(n for n in names if n in r["message"] + r["file"])) for r in refused}
    assert told == {("missing_band", bandless.name), ("missing_position", lost.name), ("unreadable", cut.name)}
    assert any("no image in z" in r["message"] for r in refused) and all(r["remedy"] for r in refused)


class Killed:
    """One data set made by runs that are killed, with SIGKILL, at random moments until one is through."""

    def __init__(self, profile: Path, out: str, environment: dict[str, str]):
        self.command = [sys.executable, "-m", "dhs", "inject", "--profile", profile, "--out", out, "--resume"]
        self.environment = {**os.environ, **environment}

    def run(self, seconds: float | None) -> bool:
        """Whether the run was killed; a failure of its own is an error."""
        process = subprocess.Popen(
            list(map(str, self.command)), env=self.environment, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        assert process.returncode == 0, said.decode()
        return False


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "s3"])
def test_killed_at_random_moments_and_resumed_it_is_the_same_data_set(where, tmp_path):
    """At least 25 kills; every data set that gets through equals the uninterrupted one, byte for byte."""
    profile = load_profile(
        "smoke", **SMALL, hosts__n_mock=200, injection__n_pairs=200, injection__hard_negative_fraction=0.5
    )
    (tmp_path / "p.yaml").write_text(profile.to_yaml())
    whole = dhs.inject(tmp_path / "whole", profile=profile, engine="processes", workers=2)
    expected, chance = parquet(tmp_path / "whole"), random.Random(7)

    def kill(base: str, environment: dict[str, str]) -> None:
        kills, through, out = 0, 0, None
        started = time.time()
        assert not Killed(tmp_path / "p.yaml", f"{base}/first", environment).run(None)
        seconds = time.time() - started
        while kills < 25 or not through:
            out = out or f"{base}/{through}"
            if Killed(tmp_path / "p.yaml", out, environment).run(chance.uniform(0.2, 1.0) * seconds):
                kills += 1
                assert not storage.exists(f"{out}/manifest.json") or dhs.open_pairs(out).manifest == whole.manifest
                continue
            assert parquet(out) == expected and dhs.open_pairs(out).manifest == whole.manifest
            through, out = through + 1, None

    if where == "local":
        kill(str(tmp_path), {})
        return
    pytest.importorskip("moto", reason="moto is not installed: no S3 server to test with")
    from s3_server import s3_server

    with s3_server("bucket") as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        kill("s3://bucket/runs", store.environment)
