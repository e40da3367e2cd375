"""Everything through ``s3://``, against a real S3 protocol server on loopback: storage, hosts, and the command line."""

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("moto", reason="moto is not installed: no S3 server to test with")
from brick_samples import write_brick
from catalogue_samples import small_catalogue
from earlier_samples import write_earlier
from s3_server import only, s3_server, upload

import dhs
from dhs import storage
from dhs.config import HostsConfig, SourcesConfig, load_profile
from dhs.errors import DhsError
from dhs.injection.sources.open import open_sources
from dhs.survey.hosts.open import open_hosts
from dhs.survey.mock.hosts import write_mock_hosts

has_spark = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
needs_spark = pytest.mark.skipif(not has_spark, reason="pyspark (extra `spark`) or Java is not installed")


@pytest.fixture(scope="module")
def server():
    with s3_server("bucket") as store:
        yield store


@pytest.fixture
def store(server, monkeypatch):
    only(monkeypatch, server.environment)
    server.throttle = 0
    server.asked.clear()
    return server


def cli(*args):
    command = [sys.executable, "-m", "dhs", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_files_and_folders(store):
    storage.write_bytes("s3://bucket/a/b/file.bin", b"abc")
    storage.write_json("s3://bucket/a/c.json", {"x": 1})
    table = pa.table({"x": [1, 2]})
    storage.write_table("s3://bucket/a/d.parquet", table)
    assert storage.read_bytes("s3://bucket/a/b/file.bin") == b"abc" and storage.read_json("s3://bucket/a/c.json") == {
        "x": 1
    }
    assert storage.read_table("s3://bucket/a/d.parquet", ["x"]).equals(table)
    assert storage.list_files("s3://bucket/a") == ["s3://bucket/a/c.json", "s3://bucket/a/d.parquet"]
    assert storage.list_files("s3://bucket/a/", (".bin",), recursive=True) == ["s3://bucket/a/b/file.bin"]
    assert storage.list_folders("s3://bucket/a") == ["b"]
    assert storage.exists("s3://bucket/a") and not storage.exists("s3://bucket/absent")
    assert not any(path.endswith("/") for method, path in store.asked if method == "PUT"), "no folder markers"


def test_a_small_file_is_one_request_and_a_large_one_whole(store):
    storage.write_bytes("s3://bucket/small", b"x" * 1000)
    assert [m for m, p in store.asked if p == "/bucket/small"] == ["PUT"]
    data = np.random.default_rng(0).bytes(12_000_000)
    storage.write_bytes("s3://bucket/large", data)
    assert storage.read_bytes("s3://bucket/large") == data


def test_a_throttled_store_is_asked_again(store):
    store.throttle = 2
    storage.write_bytes("s3://bucket/slow", b"abc")
    store.throttle = 1
    assert storage.read_bytes("s3://bucket/slow") == b"abc"


def test_a_store_that_throttles_for_good_is_named(store, monkeypatch):
    monkeypatch.setattr(storage, "ATTEMPTS", 2)
    storage._s3.cache_clear()
    store.throttle = 10**6
    with pytest.raises(DhsError, match="the store is throttling. Run again with fewer workers"):
        storage.write_bytes("s3://bucket/never", b"abc")
    store.throttle = 0
    storage._s3.cache_clear()
    assert not storage.exists("s3://bucket/never")


def test_what_is_not_there_is_named(store):
    with pytest.raises(DhsError, match="s3://bucket/absent.json: no such file"):
        storage.read_json("s3://bucket/absent.json")
    with pytest.raises(DhsError, match="no such bucket. Create it"):
        storage.write_bytes("s3://nowhere/file", b"x")
    with pytest.raises(DhsError, match="s3://bucket/nothing: no such file or folder"):
        open_hosts(HostsConfig(spec="s3://bucket/nothing"), 1)
    with pytest.raises(DhsError, match=r"no manifest.json"):
        dhs.open_pairs("s3://bucket/nothing")


def test_credentials_and_public_buckets(store, monkeypatch):
    storage.write_bytes("s3://bucket/mine/file", b"private")
    store.put("bucket/public/file", b"public", **{"x-amz-acl": "public-read"})
    monkeypatch.setattr(store, "guarded", True)
    assert storage.read_bytes("s3://bucket/mine/file") == b"private"
    assert storage.read_bytes("s3://anonymous@bucket/public/file") == b"public"
    with pytest.raises(DhsError, match="credentials are missing or refused.*anonymous@"):
        storage.read_bytes("s3://anonymous@bucket/mine/file")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    with pytest.raises(DhsError, match="credentials are missing or refused"):
        storage.write_bytes("s3://bucket/mine/other", b"x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DhsError, match="credentials are missing or refused"):
        storage.list_files("s3://bucket/mine")
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    assert storage.read_bytes("s3://bucket/public/file") == b"public"


def test_a_store_that_is_not_there(store, monkeypatch):
    monkeypatch.setattr(storage, "ATTEMPTS", 1)
    storage._s3.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DhsError, match="the store does not answer. Check AWS_ENDPOINT_URL"):
        storage.exists("s3://bucket/x")
    storage._s3.cache_clear()


def test_bricks_and_their_catalogue_on_s3_give_the_same_stamps(store, tmp_path):
    write_brick(tmp_path / "dr10", 150.1, 2.2, n_targets=3, size=300)
    local = open_hosts(HostsConfig(spec=str(tmp_path / "dr10"), known_lenses=None), 1)
    remote = open_hosts(HostsConfig(spec=upload(tmp_path / "dr10", "s3://bucket/dr10"), known_lenses=None), 1)
    assert [r.host_id for r in remote.refs] == [r.host_id for r in local.refs]
    for i in range(3):
        assert np.array_equal(remote.read(i).image, local.read(i).image)
    assert remote.opened.opened == 1


def test_files_are_copied_both_ways_and_whole(store, tmp_path):
    data = np.random.default_rng(0).bytes(12_000_000)
    (tmp_path / "a").write_bytes(data)
    storage.copy(tmp_path / "a", "s3://bucket/copies/a")
    storage.copy("s3://bucket/copies/a", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b").read_bytes() == data and len(list((tmp_path / "new").iterdir())) == 1
    with pytest.raises(DhsError, match="s3://bucket/copies/c: no such file"):
        storage.copy("s3://bucket/copies/c", tmp_path / "new" / "c")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["b"]


def test_a_source_catalogue_is_brought_once_with_the_files_it_names(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DHS_CACHE_DIR", str(tmp_path / "cache"))
    local = small_catalogue(tmp_path / "cosmos", n=5)
    (tmp_path / "cosmos" / "psf_images.fits").write_bytes(b"not needed")
    spec = f"{upload(tmp_path / 'cosmos', 's3://bucket/cosmos')}/catalog.fits"
    store.asked.clear()
    here, there = (open_sources(SourcesConfig(spec=str(s)), 1) for s in (local, spec))
    assert there.ids == here.ids and there.spec == here.spec == "cosmos/catalog.fits" and there.cuts == here.cuts
    assert all(np.array_equal(there.read(i).image, here.read(i).image) for i in range(len(here)))
    assert sorted(p.rsplit("/", 1)[-1] for p in store.opened()) == ["catalog.fits", "catalog_fits.fits", "images.fits"]
    store.asked.clear()
    open_sources(SourcesConfig(spec=spec), 1)
    assert not store.opened()
    shutil.rmtree(tmp_path / "cosmos")
    small_catalogue(tmp_path / "cosmos", n=6)
    upload(tmp_path / "cosmos", "s3://bucket/cosmos")
    assert len(open_sources(SourcesConfig(spec=spec), 1)) == 6, "another catalogue there is another one here"
    with pytest.raises(DhsError, match=r"s3://bucket/cosmos/none.fits: no such source catalogue.*catalog.fits, cat"):
        open_sources(SourcesConfig(spec="s3://bucket/cosmos/none.fits"), 1)


@pytest.mark.parametrize("engine", ["processes", pytest.param("spark", marks=needs_spark)])
def test_every_engine_opens_each_coadd_once(store, tmp_path, engine):
    for ra, dec in ((150.1, 2.2), (170.4, 2.2), (190.9, -8.0)):
        write_brick(tmp_path / "dr10", ra, dec, n_targets=4, size=200, seed=int(ra))
    upload(tmp_path / "dr10", "s3://bucket/once")
    options = ["--hosts", "s3://bucket/once", "--sources", "mock", "--profile", "smoke", "--known-lenses", "none"]
    store.asked.clear()
    done = cli("inject", *options, "--n-pairs", 36, "--out", tmp_path / engine, "--engine", engine, "--workers", 2)
    assert done.returncode == 0, done.stderr
    files = store.opened(".fits.fz")
    assert len(files) == len(set(files)) == 3 * 10, "ten files a brick, for three pairs of each of its four hosts"
    assert len(dhs.open_pairs(tmp_path / engine)) == 36


def test_the_command_line_from_s3_to_s3_gives_the_bytes_of_a_local_run(store, tmp_path):
    """Hosts read from S3, pairs written to S3 by two processes, gates read from S3 and written to it."""
    write_mock_hosts(tmp_path / "hosts", 24, 5)
    upload(tmp_path / "hosts", "s3://bucket/hosts")
    profile = load_profile("smoke", injection__pairs_per_part=8, injection__supersampling=2, preflight__n_null=5)
    (tmp_path / "p.yaml").write_text(profile.to_yaml())
    common = ["--profile", tmp_path / "p.yaml", "--sources", "mock", "--n-pairs", 24, "--seed", 3]
    done = cli("inject", *common, "--hosts", "s3://bucket/hosts", "--out", "s3://bucket/pairs", "--workers", 2)
    assert done.returncode == 0, done.stderr
    local = dhs.inject(
        tmp_path / "pairs",
        hosts=str(tmp_path / "hosts"),
        sources="mock",
        n_pairs=24,
        seed=3,
        profile=profile,
        engine="serial",
    )
    remote = dhs.open_pairs("s3://bucket/pairs")
    for split in ("train", "val", "test"):
        for a, b in zip(local.files(split), remote.files(split), strict=True):
            assert storage.read_bytes(a) == storage.read_bytes(b)
    assert remote.manifest["content_hash"] == local.manifest["content_hash"]
    again = cli("inject", *common, "--hosts", "s3://bucket/hosts", "--out", "s3://bucket/pairs")
    assert again.returncode == 3 and "--resume" in again.stderr
    done = cli(
        "preflight", "--data-path", "s3://bucket/pairs", "--out", "s3://bucket/gates", "--profile", tmp_path / "p.yaml"
    )
    assert done.returncode in (10, 20), done.stderr
    assert storage.read_json("s3://bucket/gates/preflight.json")["gates"]


def test_a_set_in_the_earlier_format_is_read_from_a_bucket(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DHS_CACHE_DIR", str(tmp_path / "cache"))
    written = write_earlier(tmp_path / "v5", 2, faults=False, files=1)
    pairs = dhs.open_pairs(upload(tmp_path / "v5", "s3://bucket/v5"))
    assert len(pairs) == len(written) and pairs.path.startswith(str(tmp_path / "cache"))
    assert pairs.manifest["content_hash"] == dhs.open_pairs(tmp_path / "v5").manifest["content_hash"]
    assert {p for m, p in store.asked if m == "PUT"} == {
        f"/bucket/v5/{s}/part-0.parquet" for s in ("train", "val", "test")
    }
    data = (tmp_path / "v5/val/part-0.parquet").read_bytes()
    storage.write_bytes("s3://bucket/v5/val/part-0.parquet", data[:-500])
    assert [r["code"] for r in _quarantine(dhs.open_pairs("s3://bucket/v5"))] == ["unreadable_file"]


def _quarantine(pairs) -> list[dict]:
    return storage.read_table(storage.join(pairs.path, "quarantine.parquet")).to_pylist()
