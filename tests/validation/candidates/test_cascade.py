"""A list from cheap logits and some exact ones is the list of the exact ones."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhs import storage
from dhs.errors import DhsError
from dhs.models.finder import box
from dhs.survey.mock.hosts import write_mock_hosts
from dhs.validation.candidates.candidates import score
from dhs.validation.candidates.cascade import exact_best


def parts_of(folder, cheap, n_parts=3):
    paths = []
    for k, places in enumerate(np.array_split(np.arange(len(cheap)), n_parts)):
        paths.append(str(folder / f"part-{k}.parquet"))
        storage.write_table(paths[-1], pa.table({"pair_id": places, "logit": cheap[places].astype(np.float32)}))
    return paths


def found_and_wanted(folder, exact, cheap, top):
    rows, about = exact_best(parts_of(folder, cheap), top, lambda rows: exact[[row["pair_id"] for row in rows]])
    return [row["pair_id"] for row in rows], np.argsort(-exact, kind="stable")[:top].tolist(), about


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), error=st.sampled_from([0.0, 1e-3, 0.05, 0.5]), top=st.sampled_from([1, 10, 60, 500]))
def test_the_list_is_that_of_float32(tmp_path_factory, seed, error, top):
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=400)
    cheap = exact + error * rng.uniform(-1, 1, 400)
    found, wanted, about = found_and_wanted(tmp_path_factory.mktemp("parts"), exact, cheap, top)
    assert found == wanted and about["n_again"] >= min(top, 400)


def test_most_are_never_scored_again(tmp_path):
    rng = np.random.default_rng(1)
    exact = rng.normal(size=20_000)
    found, wanted, about = found_and_wanted(tmp_path, exact, exact + rng.normal(0, 0.01, 20_000), 100)
    assert found == wanted and 100 <= about["n_again"] < 200 and about["margin"] > 0.03


def test_the_margin_grows_with_what_it_meets(tmp_path):
    """Planted: logits near the list's end are far too low, those of its top are not."""
    exact = np.linspace(10, 0, 1000)
    cheap = exact.copy()
    cheap[40:50] -= 0.3  # the last ten of the list
    cheap[38] -= 0.2  # what is met first says that there is something to look for
    found, wanted, about = found_and_wanted(tmp_path, exact, cheap, 50)
    assert found == wanted and about["margin"] == pytest.approx(0.6, abs=1e-3)


def test_float32_logits_that_are_no_numbers_stop_it(tmp_path):
    cheap = np.linspace(1, 0, 20)
    with pytest.raises(DhsError, match="float32 logits are NaN"):
        exact_best(parts_of(tmp_path, cheap), 5, lambda rows: np.full(len(rows), np.nan))


def test_candidates_at_bfloat16_are_those_of_float32(tmp_path):
    write_mock_hosts(tmp_path / "hosts", 40, seed=3)
    tables = {}
    for precision in ("float32", "bfloat16"):
        given = {"cutouts": str(tmp_path / "hosts"), "profile": "smoke", "precision": precision, "top": 10}
        tables[precision] = score(box.path(), tmp_path / f"{precision}.parquet", **given, engine="serial", known="none")
    exact, again = tables["float32"], tables["bfloat16"]
    assert again["id"].to_pylist() == exact["id"].to_pylist()
    np.testing.assert_allclose(again["logit"], exact["logit"], atol=1e-4)
    every = [
        storage.read_table(f)["logit"].to_numpy()
        for f in storage.list_files(tmp_path / "bfloat16.shards", (".parquet",))
        if "part-" in f
    ]
    kept = np.sort(np.concatenate(every))[::-1][:10]
    assert np.abs(kept - exact["logit"].to_numpy()).max() > 1e-4  # the shards themselves hold bfloat16's
