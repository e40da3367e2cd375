"""Real stamps scored against the survey negatives of an evaluation."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from dhs import storage
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.models.score import score_table
from dhs.survey.hosts.open import open_cutouts
from dhs.survey.hosts.stamp import HostStamp
from dhs.validation.real_lenses.real_lenses import FAINT_PEAK, RealLenses, brightest_feature, real_lenses
from dhs.validation.real_lenses.selection import weighted_recall

DATA = os.environ.get("DHS_DATA_DIR")
needs_data = pytest.mark.skipif(not DATA, reason="the real stamps need DHS_DATA_DIR")


class Flux:
    """Score: the r-band flux of the stamp."""

    batch_size = 4

    def logits(self, stamps, core_mask_px=None, sky_sigma=None):
        return stamps[:, 1].sum(axis=(1, 2)).astype(np.float32) - (core_mask_px or 0)


@pytest.fixture
def run(tmp_path):
    """A folder with scores of 100 survey negatives, 0.1 to 10, and two thresholds."""
    table = score_table({"kind": "survey_negative", "logit": np.linspace(0.1, 10, 100)}, 100)
    storage.write_table(tmp_path / "scores.parquet", table)
    rates = [{"fpr": f, "threshold": {"value": t}} for f, t in ((0.3, 2.0), (0.1, 1e6))]
    storage.write_json(tmp_path / "evaluation.json", {"tpr_at_fpr": rates})
    return tmp_path


def test_without_real_stamps_the_page_says_skip_and_how_to_fetch(tmp_path, monkeypatch):
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    got = real_lenses("none.pt", tmp_path, profile="smoke", scorer=Flux())
    assert got["status"] == "skip" and "dhs fetch" in got["reason"] and "skip" in str(got)
    assert RealLenses.read(tmp_path).data == got.data == dict(got)
    assert storage.read_table(tmp_path / "real_scores.parquet").num_rows == 0


@needs_data
def test_six_candidates_ranks_and_exact_intervals(run):
    before = [(run / name).read_bytes() for name in ("scores.parquet", "evaluation.json")]
    got = real_lenses("none.pt", run, profile="smoke", scorer=Flux())
    assert got["n_lenses"] == 6 and got["n_refused"] == 0 and len(got["stamps"]) == 6
    table = storage.read_table(run / "real_scores.parquet").to_pandas()
    assert set(table["kind"]) == {"real_lens"} and len(table) == 6
    first, second = got["recall_at_fpr"]
    k = int((table["logit"] > 2.0).sum())
    exact = binomtest(k, 6).proportion_ci(0.95, "exact")
    assert (first["k"], first["recall"]["n"]) == (k, 6)
    assert (first["recall"]["ci_low"], first["recall"]["ci_high"]) == pytest.approx((exact.low, exact.high))
    assert second["k"] == 0 and second["recall"]["ci_high"] == pytest.approx(0.459, abs=1e-3)
    for entry in got["stamps"]:
        want = np.mean(np.linspace(0.1, 10, 100).astype(np.float32) >= entry["logit"])
        assert entry["fraction_of_survey_negatives_above"] == pytest.approx(want)
    logits = [e["logit"] for e in got["stamps"]]
    assert logits == sorted(logits, reverse=True)
    assert "of 6" in str(got) and "<table" in got._repr_html_()
    assert before == [(run / name).read_bytes() for name in ("scores.parquet", "evaluation.json")]


@needs_data
def test_names_come_from_the_catalogue_and_bad_negatives_are_listed(run, tmp_path):
    stamps = {e["host_id"]: e for e in real_lenses("", run, profile="smoke", scorer=Flux())["stamps"]}
    host, entry = next(iter(stamps.items()))
    table = tmp_path / "names.csv"
    table.write_text(f"name,RA,DEC\nfar,10,10\nThe one,{entry['ra'] + 0.5 / 3600},{entry['dec']}\n")
    folder = tmp_path / "negatives"
    folder.mkdir()
    source = Path(DATA) / "hosts"
    real = source / "decam_image_invvar_psf" / "legacypipe_testcase9.npz"
    (folder / "fine.npz").write_bytes(real.read_bytes())
    (folder / "broken.npz").write_bytes(b"not an npz")
    got = real_lenses("", run, profile="smoke", scorer=Flux(), catalogue=str(table), negatives=str(folder))
    named = {e["host_id"]: e["name"] for e in got["stamps"]}
    assert named.pop(host) == "The one" and set(named.values()) == {None}
    assert got["real_negatives"]["n"] == 1 and got["real_negatives"]["n_refused"] == 1
    assert got["real_negatives"]["refused"][0]["file"].endswith("broken.npz")
    kinds = storage.read_table(run / "real_scores.parquet")["kind"].to_pylist()
    assert kinds.count("real_negative") == 1
    assert got["real_negatives"]["matched"]["n"] <= 1
    assert got["grade"] == "1 of 6 in names.csv" and got["n_in_catalogue"] == 1
    assert "1 real stamps of non-lenses, 1 refused" in str(got) and "passed at survey FPR 0.3, all: " in str(got)


@needs_data
def test_grades_are_claimed_only_for_what_was_graded(run):
    """The six embedded stamps are published candidates; of a folder of one's own nothing is known."""
    folder = str(Path(DATA) / "hosts" / "ls_dr10_grz")
    assert real_lenses("", run, profile="smoke", scorer=Flux())["grade"] == "published candidates, not confirmed"
    got = real_lenses("", run, profile="smoke", scorer=Flux(), cutouts=folder)
    assert got["grade"] == "not stated: no catalogue was given"


@needs_data
def test_a_non_lens_like_a_lens_is_matched_and_one_that_cannot_be_read_is_left_out(run, monkeypatch):
    """Stamps of coadds are refused when they are read: matching must not stop at them."""
    folder = str(Path(DATA) / "hosts" / "ls_dr10_grz")
    got = real_lenses("", run, profile="smoke", scorer=Flux(), negatives=folder)
    assert got["real_negatives"]["matched"]["n"] == 6, "each is like itself"
    broken = got["stamps"][0]["host_id"]
    hosts = type(open_cutouts(folder))
    read = hosts.read

    def refuse(self, i):
        if self.refs[i].host_id == broken:
            raise InputRefused(Refusal(broken, "", -1, "host", "masked", "bad pixels", "none"))
        return read(self, i)

    monkeypatch.setattr(hosts, "read", refuse)
    got = real_lenses("", run, profile="smoke", scorer=Flux(), negatives=folder)
    assert got["n_lenses"] == 5 and got["n_refused"] == 1
    assert got["real_negatives"]["n"] == 5 and got["real_negatives"]["matched"]["n"] == 5


@needs_data
def test_misses_are_explained_by_seeing_theta_e_and_what_was_injected(run, tmp_path):
    columns = {"kind": "positive", "logit": np.zeros(60), "psf_fwhm_r_arcsec": np.full(60, 0.3)}
    columns |= {"sky_sigma_r": np.full(60, 0.002), "host_mag_r": np.linspace(10, 30, 60)}
    table = storage.read_table(run / "scores.parquet")
    storage.write_table(run / "scores.parquet", pa.concat_tables([table, score_table(columns, 60)]))
    first = real_lenses("", run, profile="smoke", scorer=Flux())
    entry = first["stamps"][0]
    catalogue = tmp_path / "lenses.csv"
    catalogue.write_text(f"name,ra,dec,theta_Ein\nsmall,{entry['ra']},{entry['dec']},0.4\n")
    got = real_lenses("", run, profile="smoke", scorer=Flux(), catalogue=str(catalogue))["misses"]
    assert got["fpr"] == 0.1 and got["n"] == 6
    why = {e["host_id"]: " ".join(e["why"]) for e in got["stamps"]}
    assert "theta_E 0.40 arcsec is below the PSF" in why.pop(entry["host_id"])
    assert all("psf_fwhm_r_arcsec" in w and "theta_E is not known" in w and "host_mag_r" not in w for w in why.values())


@needs_data
def test_before_an_evaluation_there_is_no_rank_and_no_recall(tmp_path):
    got = real_lenses("", tmp_path, profile="smoke", scorer=Flux())
    assert got["recall_at_fpr"] == [] and got["stamps"][0]["fraction_of_survey_negatives_above"] is None


def test_the_brightest_feature_is_found_beside_a_host_and_not_in_it():
    def feature(light=0.0, x=38, y=32, gain=1e6):
        rng, sigma = np.random.default_rng(0), np.full(3, 0.003)
        radius = np.hypot((np.arange(64) - 31.5)[None] * 0.9, (np.arange(64) - 31.5)[:, None] / 0.9)
        image = np.exp(-radius / 3) * np.array([0.2, 1.0, 1.5])[:, None, None] + 0.003 * rng.normal(size=(3, 64, 64))
        image[1, y, x] += light
        return brightest_feature(HostStamp("a", "", 0, 0, 0, 0, image, None, None, sigma, sigma, np.full(3, gain)))

    assert 2 < feature() < FAINT_PEAK
    assert feature(0.06) == pytest.approx(20, abs=4)  # 1.7 arcsec from the centre
    assert feature(0.06, x=2, y=2) == pytest.approx(feature(), abs=0.2)
    assert feature(0.06, gain=1e3) < 0.5 * feature(0.06), "the host's photons count"


@needs_data
def test_thresholds_of_another_checkpoint_or_of_no_evaluation_are_refused(run):
    data = storage.read_json(run / "evaluation.json")
    network, about = Flux(), {"epoch": 3, "seed": 1, "content_hash": "a" * 64, "weights": "random"}
    network.state = about | {"epoch": 4}
    storage.write_json(run / "evaluation.json", data | {"checkpoint": about})
    with pytest.raises(DhsError, match="made with another checkpoint .epoch 3, here 4."):
        real_lenses("", run, profile="smoke", scorer=network)
    network.state = about
    assert real_lenses("", run, profile="smoke", scorer=network)["n_lenses"] == 6
    storage.write_json(run / "evaluation.json", {"decision": "GO"})
    with pytest.raises(DhsError, match="holds no false-positive rates"):
        real_lenses("", run, profile="smoke", scorer=network)


@needs_data
def test_a_network_that_gives_nan_has_no_recall(run):
    network = Flux()
    network.logits = lambda stamps, *_, **__: np.full(len(stamps), np.nan, np.float32)
    with pytest.raises(DhsError, match="NaN or infinity for 6 of 6 stamps"):
        real_lenses("", run, profile="smoke", scorer=network)


def test_a_folder_that_was_asked_for_must_exist(tmp_path):
    with pytest.raises(DhsError, match="nowhere"):
        real_lenses("", tmp_path, cutouts=str(tmp_path / "nowhere"), profile="smoke", scorer=Flux())


def test_recall_is_weighted_by_the_probability_of_a_lens():
    found, probability = np.array([True, True, False, False]), np.array([1.0, 0.5, 0.5, 0.0])
    got = weighted_recall(found, probability)
    assert got.value == pytest.approx(1.5 / 2.0) and got.ci_low < got.value < got.ci_high
    assert "effective n 2.7" in got.flags
    certain = weighted_recall(found, np.ones(4))
    exact = binomtest(2, 4).proportion_ci(0.95, "exact")
    assert (certain.ci_low, certain.ci_high) == pytest.approx((exact.low, exact.high))
    assert weighted_recall(found[:0], probability[:0]).value is None


def test_the_interval_of_a_weighted_recall_covers():
    """Candidates that are lenses with the probability stated, 70 % of the lenses found, no impostor."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        probability = rng.choice([0.3, 0.6, 0.9], 150)
        got = weighted_recall(rng.random(150) < 0.7, probability)
        inside += got.ci_low <= 0.7 <= got.ci_high
    assert 0.92 <= inside / 400 <= 0.985


@needs_data
def test_lenses_found_by_spectra_are_counted_apart_and_refuted_ones_are_negatives(run, tmp_path):
    """Of six stamps two were found by spectra, one of those half certain, and the brightest of all is refuted."""
    stamps = real_lenses("", run, profile="smoke", scorer=Flux())["stamps"]
    lines = ["name,ra,dec,found_by,is_lens,probability"]
    for i, stamp in enumerate(stamps):
        way = "spectroscopy" if i in (1, 5) else "imaging"
        lines.append(f"l{i},{stamp['ra']},{stamp['dec']},{way},{i != 0},{0.5 if i == 5 else 1.0}")
    table = tmp_path / "lenses.csv"
    table.write_text("\n".join(lines) + "\n")
    got = real_lenses("", run, profile="smoke", scorer=Flux(), catalogue=str(table))
    assert got["n_lenses"] == 5 and all(s["name"] != "l0" for s in got["stamps"])
    logits = [s["logit"] for s in stamps]
    part = got["by_selection"]
    assert part["imaging"]["n"] == 3 and part["spectroscopy"]["n"] == 2 and part["spectroscopy"]["n_expected"] == 1.5
    above = [float(v > 2.0) for v in logits]
    want = (above[1] + 0.5 * above[5]) / 1.5
    assert part["spectroscopy"]["recall_at_fpr"][0]["recall"]["value"] == pytest.approx(want)
    none = got["confirmed_non_lenses"]
    assert none["n"] == 1 and none["fpr_at"][0]["k"] == int(logits[0] > 2.0)
    assert got["recall_at_fpr"][0]["recall"]["n"] == 5
    kinds = storage.read_table(run / "real_scores.parquet")["kind"].to_pylist()
    assert kinds.count("real_lens") == 5 and kinds.count("real_negative") == 1
    assert "found by spectroscopy" in str(got) and "shown to be no lens" in str(got)
