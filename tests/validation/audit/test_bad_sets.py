"""What people bring that is not as it should be: a sentence with the remedy, and the other checks still run."""

import numpy as np
import pytest
from astropy.io import fits
from foreign_sets import halves, stamps
from PIL import Image

import dhs
from dhs.errors import DhsError, UsageError
from dhs.validation.audit.readers.labels import classes

N = 48
LABELS = halves(N)


@pytest.fixture(scope="module")
def few():
    return stamps(N, seed=5)


def fast(data, labels=None, **options):
    """Measured and judged, without the page."""
    from dhs.survey.imaging import imaging
    from dhs.validation.audit.audit import Wanted, judge, measure
    from dhs.validation.audit.readers.base import Layout

    survey = options.pop("survey", "legacy")
    negatives = options.pop("negatives", None)
    data = measure(Wanted(data, labels, negatives, imaging(survey), Layout(**options), 0), 1)
    names = ("integrity", "units", "class_balance", "zeros_and_limits", "border", "files", "contradicting_labels")
    return data, {g.name: g for g in judge(data, names)}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["lens", "nonlens"], "lens is the lens"),
        ([1, 2], "2 is the lens, 1 is not (labels begin at 1)"),
        ([-1, 1], "1 is the lens, -1 is not"),
        ([True, False], "1 is the lens"),
        (["Positive", "NEGATIVE"], "positive is the lens"),
        ([b"yes", b"no"], "yes is the lens"),
        ([0.0, 1.0], "1 is the lens"),
        (["lens", "galaxy"], "lens is the lens"),
        (["spiral", "lens"], "lens is the lens"),
    ],
)
def test_labels_in_words_and_numbers_from_one(values, said):
    labels, known, text = classes(values * 3)
    assert text.startswith(said) and labels.sum() == 3 and known.all()


def test_one_hot_labels_and_missing_ones():
    assert classes(np.eye(2)[[0, 1, 1]])[0].tolist() == [False, True, True]
    labels, known, _ = classes(["lens", None, "nonlens", float("nan")])
    assert known.tolist() == [True, False, True, False] and labels[0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 1, 2], "3 classes.*--positive"),
        ([1, 1, 1], "no second class"),
        (np.linspace(0, 1, 30), "scores, not classes"),
        (["a", "b"], "which is the lens.*--positive"),
        ([None, None], "every label is missing"),
        (np.zeros((3, 3)), "one a stamp"),
    ],
)
def test_labels_that_can_not_be_used_say_what_to_do(values, said):
    with pytest.raises(DhsError, match=said):
        classes(values)


def test_labels_that_can_not_be_used_leave_the_other_checks(few):
    _, got = fast(few, np.arange(N) % 3)
    assert got["integrity"].status == "pass" and got["class_balance"].status == "skip"
    assert "--positive" in got["class_balance"].explanation and got["border"].status == "skip"
    _, got = fast(few, np.arange(N) % 3, positive="2")
    assert got["class_balance"].status == "warn" and got["class_balance"].details["positive"] == N // 3
    assert "nothing can be said" in got["class_balance"].explanation


def test_a_set_without_labels_is_still_looked_at(few):
    report = dhs.audit(few)
    assert report.gate("integrity").status == "pass" and report.gate("class_balance").status == "skip"
    assert report.decision == "CONDITIONAL-GO" and not report["missed"]


def test_nan_borders_of_one_class_are_a_fingerprint(few):
    images = few.copy()
    images[LABELS == 1, :, :3] = np.nan
    data, got = fast(images, LABELS)
    assert got["zeros_and_limits"].status == "fail" and data.n == N
    assert f"{N // 2} stamps have missing pixels" in got["integrity"].explanation


def test_mostly_missing_sizes_bands_and_objects_are_refused_by_name(few, tmp_path):
    for i, image in enumerate(few):
        np.save(tmp_path / f"{i:02d}.npy", image)
    np.save(tmp_path / "nan.npy", np.full_like(few[0], np.nan))
    np.save(tmp_path / "small.npy", few[0][:, :40, :40])
    np.save(tmp_path / "one.npy", few[0][0])
    np.save(tmp_path / "large.npy", np.pad(few[0], ((0, 0), (5, 5), (5, 5))))
    np.save(tmp_path / "object.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (tmp_path / "text.fits").write_text("no image")
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(f"{i:02d}.npy,{i % 2}" for i in range(N)))
    data, got = fast(tmp_path, tmp_path / "labels.csv")
    assert data.n == N and got["class_balance"].status == "pass"
    data, got = fast(tmp_path)
    codes = {r.file.rsplit("/", 1)[-1]: r.code for r in data.measured.refusals}
    assert codes == {"nan.npy": "missing_pixels", "small.npy": "too_small", "one.npy": "other_bands"} | {
        "object.npy": "unreadable",
        "text.fits": "unreadable",
    }
    assert data.n == N + 1 and got["integrity"].status == "fail" and all(r.remedy for r in data.measured.refusals)


def test_two_folders_of_fits_with_byte_orders_scales_and_cards(few, tmp_path):
    for i, image in enumerate(few):
        folder = tmp_path / ("pos" if LABELS[i] else "neg")
        folder.mkdir(exist_ok=True)
        hdu = fits.PrimaryHDU(image.astype(">f8" if LABELS[i] else ">f4"))
        hdu.header["ORIGIN"] = "simulator" if LABELS[i] else "survey"
        hdu.writeto(folder / f"{i:02d}.fits")
    data, got = fast(tmp_path / "pos", negatives=str(tmp_path / "neg"))
    assert data.n == N and got["files"].status == "fail" and got["class_balance"].status == "pass"
    names = [f["name"] for f in got["files"].details["features"]]
    assert any("ORIGIN" in n for n in names) and any(n.startswith("dtype") for n in names)
    assert np.array_equal(data.pixels(0), few[np.flatnonzero(LABELS)[0]])


def test_pictures_among_fluxes_and_pictures_alone(few, tmp_path):
    levels = np.clip(few / few.max() * 255, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    for i in range(N):
        folder = tmp_path / "pictures" / ("lens" if LABELS[i] else "nonlens")
        folder.mkdir(exist_ok=True, parents=True)
        Image.fromarray(levels[i]).save(folder / f"{i}.png")
    data, got = fast(tmp_path / "pictures")
    assert data.stamps.found.display and got["units"].status == "skip" and data.stamps.bands == ("g", "r", "z")
    np.save(tmp_path / "pictures/lens/flux.npy", few[0])
    data, got = fast(tmp_path / "pictures")
    assert "another_kind" in got["integrity"].details["codes"] and data.n == N


def test_parquet_of_lists_and_bytes(few, tmp_path):
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    def packed(image):
        buffer = io.BytesIO()
        np.savez(buffer, image=image)
        return buffer.getvalue()

    labels = pa.array(["lens" if x else "nonlens" for x in LABELS])
    lists = pa.table({"image": [x.ravel().tolist() for x in few], "label": labels})
    pq.write_table(lists, tmp_path / "lists.parquet", row_group_size=10)
    pq.write_table(pa.table({"stamp": [packed(x) for x in few], "class": labels}), tmp_path / "bytes.parquet")
    for name in ("lists.parquet", "bytes.parquet"):
        data, got = fast(tmp_path / name)
        assert got["class_balance"].details["positive"] == N // 2, name
        assert np.array_equal(data.pixels(7), few[7])


def test_an_empty_class_folder_is_said(few, tmp_path):
    (tmp_path / "lens").mkdir()
    (tmp_path / "nonlens").mkdir()
    for i in range(30):
        np.save(tmp_path / "nonlens" / f"{i}.npy", few[i])
    _, got = fast(tmp_path)
    assert "folder lens is empty" in got["integrity"].explanation.lower()
    assert "no second class" in got["class_balance"].explanation


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p / "nothing", "no such file"),
        (lambda p: (p / "x.txt", (p / "x.txt").write_text("?"))[0], "not a set of stamps"),
        (lambda p: (p / "d", (p / "d").mkdir())[0], "no stamp"),
        (lambda p: (p / "x.npy", np.save(p / "x.npy", np.zeros(5)))[0], "stamps are"),
        (lambda p: (p / "x.npz", np.savez(p / "x.npz", a=np.zeros(5)))[0], "no array of stamps"),
        (lambda p: (p / "x.h5", (p / "x.h5").write_text("?"))[0], "not a readable HDF5"),
        (lambda p: (p / "x.parquet", (p / "x.parquet").write_text("?"))[0], "not a readable parquet"),
        (lambda p: (p / "t.npy", np.save(p / "t.npy", np.zeros((9, 3, 8, 8))))[0], "at least 16"),
    ],
)
def test_what_is_no_set_is_refused_in_a_line(make, said, tmp_path):
    with pytest.raises(DhsError, match=said) as caught:
        dhs.audit(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_exist_are_refused(few):
    with pytest.raises(UsageError, match="did you mean 'positive'"):
        dhs.audit(few, labels=LABELS, positve="lens")
    with pytest.raises(UsageError, match="no survey 'sdss'"):
        dhs.audit(few, labels=LABELS, survey="sdss")
    with pytest.raises(DhsError, match=r"48 stamps and 3"):
        dhs.audit(few, labels=[0, 1, 1])
    with pytest.raises(DhsError, match="--bands names 2"):
        dhs.audit(few, labels=LABELS, bands="gr")


def test_another_survey_and_unit_are_named(few, tmp_path):
    _, got = fast(few * 1000, LABELS)
    assert got["units"].status == "warn" and "zero-point" in got["units"].explanation
    (tmp_path / "own.yaml").write_text("bands: [g, r, z]\nzero_point: 30.0\npixel_scale: 0.262\n")
    _, got = fast(few * 1000, LABELS, survey=str(tmp_path / "own.yaml"))
    assert got["units"].status == "pass"
    (tmp_path / "own.yaml").write_text("zeropoint: 30.0\n")
    with pytest.raises(UsageError, match=r"zeropoint.*Known keys"):
        fast(few, LABELS, survey=str(tmp_path / "own.yaml"))


def test_a_pickle_is_never_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    np.save(tmp_path / "x.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(DhsError, match="objects are not opened"):
        dhs.audit(tmp_path / "x.npy")
    assert not (tmp_path / "opened").exists()
