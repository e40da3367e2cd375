"""Writes are whole or absent; listing and reading say what is wrong."""

import os

import pyarrow as pa
import pytest

from dhs import storage
from dhs.errors import DhsError, InputRefused, Refusal, UsageError


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a" / "file"
    storage.write_bytes(path, b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DhsError, match=r"file: no space left on the device. Free some and run again"):
        storage.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_copy_is_whole_and_the_cache_is_where_it_was_said(tmp_path, monkeypatch):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    storage.copy(tmp_path / "a", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b").read_bytes() == data
    with pytest.raises(DhsError, match="absent: no such file"):
        storage.copy(tmp_path / "absent", tmp_path / "c")
    monkeypatch.setenv("DHS_CACHE_DIR", str(tmp_path / "mine"))
    assert storage.cache_folder("sources") == tmp_path / "mine" / "sources"
    monkeypatch.delenv("DHS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert storage.cache_folder("sources") == tmp_path / "dhs" / "sources"


def test_a_place_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DhsError, match="permission denied. Choose a place"):
        storage.write_bytes(tmp_path / "file", b"new")


def test_other_schemes_are_refused():
    with pytest.raises(UsageError, match="ftp://h/x: not a location"):
        storage.resolve("ftp://h/x")


def test_listing_is_sorted_and_skips_hidden_files(tmp_path):
    for name in ("b.parquet", "a.parquet", ".tmp-x.parquet", "c.txt"):
        (tmp_path / name).write_text("")
    assert [f.rsplit("/")[-1] for f in storage.list_files(tmp_path, (".parquet",))] == ["a.parquet", "b.parquet"]
    assert storage.list_files(tmp_path / "absent") == []


def test_bad_files_are_named(tmp_path):
    (tmp_path / "x.parquet").write_text("not parquet")
    with pytest.raises(DhsError, match="x.parquet: not a readable parquet"):
        storage.read_table(tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DhsError, match="x.json: not valid JSON"):
        storage.read_json(tmp_path / "x.json")
    with pytest.raises(DhsError, match="no such file"):
        storage.read_bytes(tmp_path / "absent")
    with pytest.raises(DhsError, match="a folder, not a file. Name the file in it"):
        storage.read_bytes(tmp_path)


def test_quarantine_does_not_depend_on_order(tmp_path):
    refusals = [Refusal(str(i), f"f{i % 2}", i, "host", "nan", "has NaN", "Remove it.") for i in range(5)]
    storage.write_quarantine(tmp_path / "a", refusals)
    storage.write_quarantine(tmp_path / "b", refusals[::-1])
    assert storage.sha256(tmp_path / "a") == storage.sha256(tmp_path / "b")
    assert storage.read_table(tmp_path / "a").num_rows == 5
    storage.write_quarantine(tmp_path / "none", [])
    assert storage.read_table(tmp_path / "none").schema.equals(storage.QUARANTINE_SCHEMA)


def test_a_refusal_says_file_row_reason_and_remedy():
    text = str(InputRefused(Refusal("h", "f.npz", 3, "host", "nan", "r band has 4 NaN", "Mask them.")))
    assert text == "f.npz, row 3: r band has 4 NaN (nan). Mask them."


def test_tables_are_reproducible(tmp_path):
    table = pa.table({"a": [1, 2, 3]})
    storage.write_table(tmp_path / "a", table)
    storage.write_table(tmp_path / "b", table)
    assert storage.sha256(tmp_path / "a") == storage.sha256(tmp_path / "b")


@pytest.mark.parametrize("address", ["s3://bucket//hosts", "s3:///hosts", "s3://"])
def test_addresses_with_an_empty_name_are_refused(address):
    with pytest.raises(UsageError, match="empty name between slashes"):
        storage.resolve(address)


def test_keys_in_an_address_are_refused_and_not_echoed():
    with pytest.raises(UsageError, match="keys do not belong in an address") as error:
        storage.resolve("s3://key:secret@bucket/hosts")
    assert "secret" not in str(error.value) and "key:" not in str(error.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("AWS Error UNKNOWN (HTTP status 301) during HeadBucket", "Set AWS_REGION"),
        ("AWS Error UNKNOWN (HTTP status 500)", "the store answered with an error"),
        ("AWS Error BAD_REQUEST (HTTP status 400)", "the store answered with an error"),
    ],
)
def test_what_a_store_answers_is_one_line(said, message):
    with pytest.raises(DhsError, match=message), storage.explained("s3://bucket/hosts"):
        raise OSError(said)


def test_data_files_are_those_of_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    assert storage.data_file() is None and storage.data_file("hosts") is None
    (tmp_path / "hosts").mkdir()
    monkeypatch.setenv("DHS_DATA_DIR", str(tmp_path))
    assert storage.data_file("hosts") == str(tmp_path / "hosts")
    assert storage.data_file("hosts", "none.fits") is None
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("DHS_DATA_DIR", f"~/{tmp_path.name}")
    assert storage.data_file("hosts") == str(tmp_path / "hosts")
