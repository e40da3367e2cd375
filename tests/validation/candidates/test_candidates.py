"""The candidate table and the contact sheet, with a scorer whose logits are known."""

import base64
import hashlib
import json
import os
import re
import shutil
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from brick_samples import write_brick, write_coadds

from dhs import storage
from dhs.config import load_profile
from dhs.datasets import preregistration
from dhs.datasets.reader import open_pairs
from dhs.errors import DhsError, UsageError
from dhs.stats.calibration import Calibrator
from dhs.survey.hosts import coadds
from dhs.survey.lenses.catalogues import Catalogue
from dhs.validation.candidates import sheet_stamps
from dhs.validation.candidates.candidates import candidate_table, score, write_candidates
from dhs.validation.candidates.contact_sheet import contact_sheet, most_alike, packed

N_HARD = 20  # hard negatives in the clean set: one every second pair, but those that are rings
DATA = os.environ.get("DHS_DATA_DIR")
needs_data = pytest.mark.skipif(not DATA, reason="the real stamps need DHS_DATA_DIR")
FITTED = Calibrator(2.0, 0.5, 100, (np.array([-1.0, 1.0]), np.array([0.1, 0.9])), (0.5, -1.0))


class Flux:
    """Logit: the r-band flux of the stamp."""

    batch_size = 4

    def logits(self, stamps, core_mask_px=None, sky_sigma=None):
        return stamps[:, 1].sum(axis=(1, 2)).astype(np.float32)


@pytest.fixture
def evaluation(tmp_path):
    survey = {"calibrator": FITTED.as_dict(), "prevalence": 1e-3}
    storage.write_json(tmp_path / "evaluation.json", {"calibration": {"survey": survey}})
    return tmp_path / "evaluation.json"


@pytest.fixture
def registered(clean, tmp_path):
    """The clean set, under a plan of its own."""
    folder = tmp_path / "registered"
    shutil.copytree(clean.path, folder)
    preregistration.register(open_pairs(folder), load_profile("smoke"))
    return open_pairs(folder)


def shown(page: Path) -> list[dict]:
    return json.loads(re.search(r'id="rows">(.*?)</script>', page.read_text(), re.S).group(1))


def test_the_test_split_is_not_scored_without_a_plan(clean, tmp_path):
    folder = tmp_path / "unregistered"  # a copy, for other tests register a plan for the set they share
    shutil.copytree(clean.path, folder, ignore=shutil.ignore_patterns("plan.json"))
    with pytest.raises(DhsError, match="not read before a plan is registered"):
        score("none.pt", tmp_path / "c.parquet", data_path=folder, scorer=Flux())


def test_candidates_of_a_data_set_are_its_best_stamps(registered, evaluation, tmp_path):
    table = score(
        "none.pt", tmp_path / "c.parquet", data_path=registered.path, evaluation=evaluation, scorer=Flux(), top=20
    )
    frame = table.to_pandas()
    shards = [storage.read_table(f).to_pandas() for f in storage.list_files(tmp_path / "c.shards", (".parquet",))]
    every = np.concatenate([s["logit"] for s in shards])
    assert len(every) == 48 + 48 + N_HARD
    np.testing.assert_allclose(frame["logit"], np.sort(every)[::-1][:20])
    np.testing.assert_allclose(frame["probability"], FITTED.probability(frame["logit"], "sigmoid", 1e-3))
    assert frame["rank"].tolist() == list(range(1, 21)) and frame["id"].is_unique
    assert int(table.schema.metadata[b"dhs_n_scored"]) == 96 + N_HARD
    assert len(shown(tmp_path / "c.html")) == 20


def test_the_sheet_shows_the_stamps_that_were_scored_in_one_pass_a_kind(registered, tmp_path, monkeypatch):
    table = score("none.pt", tmp_path / "c.parquet", data_path=registered.path, scorer=Flux(), known=None)
    passes = []
    read = sheet_stamps.by_pair
    monkeypatch.setattr(sheet_stamps, "by_pair", lambda *a: (passes.append(a[-1]), read(*a))[1])
    stamps = sheet_stamps.stamps_of(table, None, open_pairs(registered.path))
    np.testing.assert_allclose([s[1].sum() for s in stamps], table["logit"].to_numpy(), rtol=1e-4)
    assert sorted(passes) == sorted(set(table["kind"].to_pylist()))


@needs_data
def test_real_cutouts_are_matched_to_known_lenses_and_read_back_from_every_format(evaluation, tmp_path):
    folder = str(Path(DATA) / "hosts" / "ls_dr10_grz")
    table = score("", tmp_path / "real.parquet", cutouts=folder, evaluation=evaluation, prevalence=0.1, scorer=Flux())
    frame = storage.read_table(tmp_path / "real.parquet").to_pandas()
    assert len(frame) == 6 and (frame["known_lens"] != "").all() and frame["known_lens_arcsec"].max() < 3
    assert frame["ra"].between(0, 360).all() and frame["flags"].str.contains("psf_assumed").all()
    np.testing.assert_allclose(frame["probability"], FITTED.probability(frame["logit"], "sigmoid", 0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, form in (("real.fits", "fits"), ("real.vot", "votable")):
            again = Table.read(tmp_path / name, format=form)
            np.testing.assert_allclose(again["logit"], frame["logit"])
            assert [str(v) for v in again["id"]] == frame["id"].tolist() and again["ra"].unit == "deg"
    assert table.num_rows == 6


def test_an_interrupted_run_is_finished_and_shards_wait_for_one_another(registered, tmp_path):
    options = {"data_path": registered.path, "scorer": Flux(), "known": None}
    assert score("", tmp_path / "a.parquet", shard=(0, 2), **options).num_rows == 0
    assert not (tmp_path / "a.parquet").exists()
    both = score("", tmp_path / "a.parquet", shard=(1, 2), **options)
    whole = score("", tmp_path / "b.parquet", **options)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert both.num_rows == whole.num_rows == 96 + N_HARD
    assert np.isnan(both["probability"].to_numpy()).all()


def test_names_in_any_alphabet_reach_every_format(tmp_path):
    """FITS holds ASCII only: a Greek letter in a catalogue's name stopped the run after everything was scored."""
    row = {"pair_id": -1, "kind": "cutout", "host_id": "café", "logit": 1.0, "ra": 10.0, "dec": 5.0}
    row |= {"host_mag_r": 18.0, "psf_fwhm_r_arcsec": 1.2, "sky_sigma_r": 0.002}
    known = Catalogue("hand", np.array([10.0]), np.array([5.0]), ("β <Ursae>",))
    paths = write_candidates(candidate_table([row], None, None, known), str(tmp_path / "c"))
    assert storage.read_table(paths[0])["known_lens"].to_pylist() == ["β <Ursae>"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits, votable = (Table.read(p, format=f) for p, f in zip(paths[1:], ("fits", "votable")))
    assert (str(votable["id"][0]), str(votable["known_lens"][0])) == ("café", "β <Ursae>")
    assert (str(fits["id"][0]), str(fits["known_lens"][0])) == ("caf\\xe9", "\\u03b2 <Ursae>")


def test_wrong_use_is_refused(clean, evaluation, tmp_path):
    for options in ({}, {"data_path": "a", "cutouts": "b"}):
        with pytest.raises(UsageError, match="one of the two"):
            score("", tmp_path / "s.parquet", **options)
    with pytest.raises(UsageError, match="needs --evaluation"):
        score("", tmp_path / "s.parquet", data_path=clean.path, prevalence=1e-3, scorer=Flux())
    with pytest.raises(UsageError, match="shard 2 of 2"):
        score("", tmp_path / "s.parquet", data_path=clean.path, shard=(2, 2), scorer=Flux())
    with pytest.raises(DhsError, match="prevalence 2 "):
        score("", tmp_path / "s.parquet", data_path=clean.path, evaluation=evaluation, prevalence=2, scorer=Flux())
    for name in ("c.csv", "results/", "table.fits", "."):
        with pytest.raises(UsageError, match="parquet"):
            score("", f"{tmp_path}/{name}", data_path=clean.path, scorer=Flux())
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="there/candidates.parquet"):
        score("", tmp_path / "there", data_path=clean.path, scorer=Flux())
    with pytest.raises(DhsError, match="no such file"):
        score("", tmp_path / "s.parquet", data_path=clean.path, scorer=Flux(), known=str(tmp_path / "none.csv"))
    other = Flux()
    other.state = {"epoch": 2}
    storage.write_json(evaluation, storage.read_json(evaluation) | {"checkpoint": {"epoch": 1}})
    with pytest.raises(DhsError, match="another checkpoint .epoch 1, here 2."):
        score("", tmp_path / "s.parquet", data_path=clean.path, evaluation=evaluation, scorer=other)
    assert not (tmp_path / "s.shards").exists()
    storage.write_json(evaluation, {"calibration": {"survey": {"status": "skip", "reason": "none apart"}}})
    with pytest.raises(DhsError, match="none apart"):
        score("", tmp_path / "s.parquet", data_path=clean.path, evaluation=evaluation, scorer=Flux())


def test_cutouts_that_cannot_be_used_are_quarantined_or_stop_the_run(tmp_path):
    folder = tmp_path / "cutouts"
    folder.mkdir()
    good = {"image_nmgy": np.random.default_rng(0).normal(0, 0.002, (3, 64, 64)), "ra": 10.0, "dec": 5.0}
    np.savez(folder / "coarse.npz", **good, pixscale=0.4)
    with pytest.raises(DhsError, match="none of its 1 c.*wrong_pixel_scale"):
        score("", tmp_path / "s.parquet", cutouts=str(folder), scorer=Flux())
    np.savez(folder / "fine.npz", **good, pixscale=0.262)
    assert score("", tmp_path / "s.parquet", cutouts=str(folder), scorer=Flux(), known=None).num_rows == 1
    refused = storage.read_table(tmp_path / "s.quarantine.parquet").to_pylist()
    assert [r["id"] for r in refused] == ["coarse"] and "0.262" in refused[0]["message"] + refused[0]["remedy"]
    assert not (tmp_path / "s.parquet").with_suffix(".tmp").exists()


def test_coadds_are_scored_at_the_positions_of_a_catalogue(tmp_path, monkeypatch):
    """Two bricks; one target hidden by the mask; the sheet's stamps are read brick by brick."""
    places = []
    for ra, n in ((150.1, 3), (150.4, 2)):
        name, wcs, images, table = write_brick(tmp_path / "dr10", ra, 2.2, n_targets=n, size=300, seed=int(10 * ra))
        places += [(row["ra"], row["dec"], name) for row in table]
    x, y = np.rint(wcs.wcs_world2pix([places[-1][:2]], 0)[0]).astype(int)
    images["maskbits"][y - 32 : y + 32, x - 32 : x + 32] = 1 << 12
    write_coadds(tmp_path / "dr10" / "coadd" / name[:3] / name, name, wcs, (0.0, 0.0), images)
    rows = "".join(f"{a},{d}\n" for a, d, _ in [*places, (10.0, 2.2, "")])
    (tmp_path / "targets.csv").write_text(f"ra,dec\n{rows}")
    opened = []
    init = coadds.Coadds.__init__
    monkeypatch.setattr(coadds.Coadds, "__init__", lambda self, root, b: (opened.append(b), init(self, root, b))[1])
    options = {"cutouts": str(tmp_path / "dr10"), "host_catalogue": str(tmp_path / "targets.csv"), "scorer": Flux()}
    with pytest.raises(DhsError, match="--host-select none"):
        score("", tmp_path / "s.parquet", **options)
    table = score("", tmp_path / "s.parquet", host_select="none", known=None, **options)
    frame = table.to_pandas()
    good = sorted(frame[["ra", "dec", "brickname"]].itertuples(index=False, name=None))
    assert good == sorted((a, d, b) for a, d, b in places[:-1])
    bricks = sorted({b for *_, b in places})
    assert opened == bricks * 2, "once to be scored, once for the contact sheet, whatever the order of the candidates"
    assert frame["logit"].is_monotonic_decreasing and frame["brickname"].nunique() == 2
    refused = storage.read_table(tmp_path / "s.quarantine.parquet").to_pylist()
    assert {r["code"] for r in refused} == {"masked", "outside_every_brick"} and len(refused) == 2
    assert len(shown(tmp_path / "s.html")) == 4
    with pytest.raises(UsageError, match="are for coadds"):
        score("", tmp_path / "s.parquet", data_path="pairs", host_catalogue="t.csv", scorer=Flux())
    with pytest.raises(DhsError, match="no bricks there"):
        score("", tmp_path / "t.parquet", **options | {"cutouts": str(tmp_path)}, host_select="none")


def test_logits_that_are_not_numbers_stop_the_run(registered, tmp_path):
    class Broken(Flux):
        def logits(self, stamps, core_mask_px=None, sky_sigma=None):
            return np.full(len(stamps), np.nan, np.float32)

    with pytest.raises(DhsError, match=r"(\d+) of \1 logits are NaN or infinite. Its weights are not finite"):
        score("", tmp_path / "s.parquet", data_path=registered.path, scorer=Broken(), known=None)


def sheet(names):
    rows = [
        {"rank": i + 1, "id": n, "logit": 1.0, "probability": float("nan"), "ra": 1.0, "dec": 2.0, "known_lens": n}
        for i, n in enumerate(names)
    ]
    return contact_sheet(rows, [np.zeros((3, 64, 64), np.float32)] * len(rows))


def test_names_from_catalogues_cannot_become_markup():
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    page = sheet([evil, "a&b"])
    assert evil not in page and "<img src=x" not in page and "alert(1)</script>" not in page
    assert page.count("<script") == 6
    rows = json.loads(re.search(r'id="rows">(.*?)</script>', page, re.S).group(1))
    assert [r["id"] for r in rows] == [evil, "a&b"] and rows[0]["probability"] is None


def test_the_sheet_needs_nothing_from_elsewhere():
    page = sheet(["one"])
    assert not re.findall(r'(?:src|href)="|@import|url\(', page) and "default-src 'none'" in page
    for kind, text in re.findall(r"<(style|script)>(.*?)</", page, re.S):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page
    assert "[]" in contact_sheet([], [])
    with pytest.raises(DhsError, match="own id"):
        sheet(["same", "same"])


def test_a_packed_stamp_is_the_stamp_to_a_fraction_of_its_noise():
    """Unpacked with numpy alone, as the page's script does it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-32:32, -32:32]
    image = 3.0 * np.exp(-np.hypot(x, y) / 4) + rng.normal(0, 0.003, (3, 64, 64))
    image[0, 0, 0], image[1, 0, 1] = np.nan, 1e4
    *scales, text = packed(image).split(" ")
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(2, -1).astype(int)
    folded = planes[0] + 256 * planes[1]
    levels = np.where(folded % 2, -(folded + 1) // 2, folded // 2).reshape(3, 64, 64)
    got = np.array(scales, float)[:, None, None] * np.sinh(levels / 100)
    wanted = np.nan_to_num(image)
    np.testing.assert_allclose(got, wanted, rtol=0.006, atol=0.8 * 0.003)
    assert len(text) < 9000


def test_the_lens_shown_beside_a_candidate_is_the_most_alike_and_never_itself():
    """Three galaxies of other brightness, size and colour; each is looked for with noise of its own."""
    y, x = np.mgrid[-32:32, -32:32]
    light = [a * np.exp(-np.hypot(x, y) / s) * np.array(c)[:, None, None] for a, s, c in
             ((1, 3, (0.3, 1, 2)), (5, 6, (0.3, 1, 2)), (1, 3, (1.0, 1, 1.1)))]  # fmt: skip
    rng = np.random.default_rng(1)
    lenses = [{"name": f"lens {i}", "id": f"lens{i}", "ra": 10.0 + i, "dec": 0.0} for i in range(3)]
    rows = [{"id": f"c{i}", "ra": 50.0, "dec": 0.0} for i in range(3)]
    stamps = [image + rng.normal(0, 0.002, image.shape) for image in light]
    assert most_alike(rows, stamps, lenses, light).tolist() == [0, 1, 2]
    rows[1] |= {"ra": 11.0, "dec": 2.0 / 3600}
    rows[2]["id"] = "lens2"
    found = most_alike(rows, stamps, lenses, light)
    assert found[0] == 0 and found[1] != 1 and found[2] != 2
    assert most_alike(rows, stamps, [], []).tolist() == [-1, -1, -1]
