import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from synthetic import write_synthetic_pairs

from dhs.config import load_profile
from dhs.datasets import plan, reader
from dhs.datasets.schema import SCORE_SCHEMA
from dhs.errors import DhsError, InputRefused, Refusal, UsageError
from dhs.models.score import Scorer, score, score_hosts
from dhs.survey.stamp import HostStamp


@pytest.fixture(scope="module")
def scorer(trained):
    return Scorer(trained.last)


@pytest.fixture(scope="module")
def stamps(tiny):
    return np.stack([reader.stamp(tiny[i]) for i in range(64, 84)])


def test_logits_do_not_depend_on_the_batch_size(trained, scorer, stamps):
    expected = scorer.logits(stamps)
    assert expected.dtype == np.float32 and expected.shape == (20,) and expected.std() > 0
    for size in (1, 7):
        np.testing.assert_allclose(Scorer(trained.last, batch_size=size).logits(stamps), expected, atol=1e-4)


def test_core_mask_hides_the_core_and_only_the_core(scorer, stamps):
    y, x = np.mgrid[:64, :64] - 31.5
    other = stamps + 0.3 * (np.hypot(x, y) < 5).astype(np.float32)
    np.testing.assert_allclose(scorer.logits(other, 5.0), scorer.logits(stamps, 5.0), atol=1e-4)
    assert np.abs(scorer.logits(other) - scorer.logits(stamps)).max() > 1e-3


def test_features_are_what_the_last_layer_sees(scorer, stamps):
    features = scorer.features(stamps)
    assert features.shape == (20, 512)
    weight, bias = (p.detach().numpy() for p in (scorer.network.fc.weight, scorer.network.fc.bias))
    np.testing.assert_allclose((features @ weight.T + bias)[:, 0], scorer.logits(stamps), atol=1e-4)


def test_empty_input_gives_empty_output(scorer):
    nothing = np.empty((0, 3, 64, 64), np.float32)
    assert scorer.logits(nothing).shape == (0,) and scorer.features(nothing).shape == (0, 512)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.transpose(0, 2, 3, 1), "have shape"),
        (lambda s: s[0], "have shape"),
        (np.sqrt, "hold NaN or Inf"),
    ],
)
def test_bad_stamps_are_refused(scorer, stamps, change, message):
    with np.errstate(invalid="ignore"), pytest.raises(DhsError, match=message):
        scorer.logits(change(stamps))


def test_scores_of_pairs_are_the_logits_of_their_stamps(tiny, trained, scorer, stamps, tmp_path):
    with pytest.raises(DhsError, match="before a plan is registered"):
        score(trained.last, tmp_path / "scores.parquet", data_path=tiny.path, profile="smoke")
    plan.register(tiny, load_profile("smoke"))
    table = score(trained.last, tmp_path / "scores.parquet", data_path=tiny.path, profile="smoke")
    frame = table.to_pandas()
    assert table.schema.equals(SCORE_SCHEMA)
    pd.testing.assert_frame_equal(pq.read_table(tmp_path / "scores.parquet").to_pandas(), frame)
    assert frame["kind"].value_counts().to_dict() == {
        "positive": 20,
        "control": 20,
        "hard_negative:azimuthal_shuffle": 10,
    }
    assert set(frame["split"]) == {"test"} and set(frame["pair_id"]) == set(range(64, 84))
    positive = frame[frame["kind"] == "positive"].sort_values("pair_id")
    np.testing.assert_allclose(positive["logit"], scorer.logits(stamps), atol=1e-4)
    np.testing.assert_allclose(positive["logit_core_masked"], scorer.logits(stamps, 5.0), atol=1e-4)
    control = frame[frame["kind"] == "control"].sort_values("pair_id")
    controls = np.stack([tiny[i]["control"] for i in range(64, 84)])
    np.testing.assert_allclose(control["logit"], scorer.logits(controls), atol=1e-4)
    np.testing.assert_allclose(positive["theta_e_arcsec"], [tiny[i]["theta_e_arcsec"] for i in range(64, 84)])
    np.testing.assert_allclose(control["theta_e_arcsec"], positive["theta_e_arcsec"])
    hard = frame[frame["kind"].str.startswith("hard")]
    assert set(hard["subkind"]) == {"azimuthal_shuffle"}
    light = reader.rows(tiny.table("test", ["pair_id", "light", "rng_key"], negatives=True))
    for row in light[:2]:
        pair = {k: v for k, v in tiny[row["pair_id"]].items() if k != "arc"}
        expected = scorer.logits(reader.stamp(pair | row)[None])[0]
        ours = hard.loc[hard["pair_id"] == row["pair_id"]].iloc[0]
        assert ours["logit"] == pytest.approx(expected, abs=1e-4)
        assert ours["host_id"] == pair["host_id"]


def test_splits_can_be_chosen_and_an_empty_one_gives_an_empty_table(tiny, trained, tmp_path):
    table = score(trained.last, tmp_path / "s.parquet", data_path=tiny.path, profile="smoke", splits=("val",))
    assert set(table["split"].to_pylist()) == {"val"}
    none = write_synthetic_pairs(tmp_path / "none", {"train": 2, "val": 0, "test": 0})
    assert score(trained.last, tmp_path / "n.parquet", data_path=none.path, profile="smoke").num_rows == 0


class SyntheticHosts:
    """A host set of labelled synthetic stamps; the third cannot be read."""

    def __init__(self, stamps):
        self.stamps, self.refs = stamps, [SimpleNamespace(host_id=f"h{i}") for i in range(len(stamps))]
        self.refusals = [Refusal("x", "x.fits", -1, "host", "missing_band", "no z band", "Give one.")]

    def read(self, i):
        if i == 2:
            raise InputRefused(Refusal("h2", "h2.npz", 0, "host", "nan", "NaN in band r", "Fix it."))
        sigma = np.array([1, 2, 3.0])
        return HostStamp(
            f"h{i}",
            "b",
            0,
            0,
            0,
            0,
            self.stamps[i],
            None,
            None,
            sigma,
            sigma / 900,
            sigma,
            meta={"kind": "ring"},
        )


def test_scores_of_a_host_set_leave_out_what_cannot_be_read(trained, stamps):
    scorer = Scorer(trained.last, batch_size=8)
    table, refusals = score_hosts(scorer, SyntheticHosts(stamps), kind="survey_negative", split="test")
    frame = table.to_pandas()
    assert frame["host_id"].tolist() == [f"h{i}" for i in range(20) if i != 2]
    np.testing.assert_allclose(frame["logit"], np.delete(scorer.logits(stamps), 2), atol=1e-4)
    assert set(frame["kind"]) == {"survey_negative"} and set(frame["subkind"]) == {"ring"}
    assert set(frame["pair_id"]) == {-1} and frame["theta_e_arcsec"].isna().all()
    np.testing.assert_allclose(frame["psf_fwhm_r_arcsec"], 2)
    np.testing.assert_allclose(frame["sky_sigma_r"], 2 / 900, rtol=1e-6)
    assert [r.code for r in refusals] == ["missing_band", "nan"]


def test_either_pairs_or_cutouts(trained, tmp_path):
    for options in ({}, {"data_path": "a", "cutouts": "b"}):
        with pytest.raises(UsageError, match="one of the two"):
            score(trained.last, tmp_path / "s.parquet", **options)


def test_bfloat16_checkpoints_are_scored_in_float32(scorer):
    assert {p.dtype for p in scorer.network.parameters()} == {torch.float32}


@pytest.mark.skipif("DHS_DATA_DIR" not in os.environ, reason="needs the real cutouts under DHS_DATA_DIR")
def test_real_cutouts_are_scored_from_their_folder(trained, tmp_path):
    folder = os.path.join(os.environ["DHS_DATA_DIR"], "hosts", "ls_dr10_grz")
    table = score(trained.last, tmp_path / "real.parquet", cutouts=folder, profile="smoke")
    frame = table.to_pandas()
    assert len(frame) == 6 and frame["host_id"].is_unique and np.isfinite(frame["logit"]).all()
    assert frame["sky_sigma_r"].between(0.001, 0.005).all()


def test_a_folder_without_a_usable_cutout_says_why(trained, tmp_path):
    (tmp_path / "cutouts").mkdir()
    np.savez(tmp_path / "cutouts" / "bad.npz", cutout=np.full((101, 101, 3), np.nan, np.float32))
    with pytest.raises(DhsError, match=r"cutouts"):
        score(trained.last, tmp_path / "s.parquet", cutouts=str(tmp_path / "cutouts"), profile="smoke")
    assert not (tmp_path / "s.parquet").exists()


@pytest.mark.parametrize("what", ["pairs", "cutouts"])
def test_every_engine_writes_the_same_bytes(tiny, trained, tmp_path, what):
    profile = load_profile("smoke", hosts__n_mock=70)
    options = {"data_path": tiny.path} if what == "pairs" else {"cutouts": "mock"}
    found = []
    for engine in ("serial", "processes"):
        out = tmp_path / engine / "s.parquet"
        table = score(trained.last, out, profile=profile, engine=engine, workers=2, splits=("val", "test"), **options)
        found.append((table.num_rows, out.read_bytes()))
    assert found[0] == found[1] and found[0][0] >= (70 if what == "cutouts" else 1)
