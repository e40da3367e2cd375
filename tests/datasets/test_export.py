"""Exported pairs, read back by other libraries, and truth read back and traced by the package of its standard."""

import io
import json
import tarfile

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from planted_pairs import make_rows, write

from dhs import storage
from dhs.datasets import preregistration
from dhs.datasets.export.pairs import export_pairs
from dhs.datasets.export.truth import coolest, east_of_north, export_truth
from dhs.datasets.reader import open_pairs, stamp
from dhs.datasets.rerender import lens_of
from dhs.datasets.stamp_sets import by_pair
from dhs.errors import DhsError, UsageError


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write(tmp_path_factory.mktemp("export") / "pairs", *make_rows(40))


def of_hdf5(folder):
    with h5py.File(folder / "stamps.h5") as file:
        group = file["train"]
        assert list(file.attrs["bands"]) == ["g", "r", "z"]
        rows = [{"label": int(v)} for v in group["label"][:]]
        for name in ("kind", "host_id"):
            for row, value in zip(rows, group[name].asstr()[:]):
                row[name] = value
        for row, pair, theta in zip(rows, group["pair_id"][:], group["theta_e_arcsec"][:]):
            row |= {"pair_id": int(pair), "theta_e_arcsec": None if np.isnan(theta) else theta}
        return rows, group["image"][:], group["light"][:]


def of_webdataset(folder):
    """With the standard library: the format is a tar file whose members of one stem are one sample."""
    samples: dict[str, dict] = {}
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                samples.setdefault(key, {})[kind] = tar.extractfile(member).read()
    rows = [{"theta_e_arcsec": None} | json.loads(s["json"]) for s in samples.values()]
    image, light = ([np.load(io.BytesIO(s[f"{n}.npy"])) for s in samples.values()] for n in ("image", "light"))
    return rows, np.stack(image), np.stack(light)


def of_hf(folder):
    table = pq.read_table(sorted((folder / "data").glob("train-*.parquet")))
    rows = table.drop_columns(["image", "light"]).to_pylist()
    return rows, *(np.array(table[n].to_pylist(), np.float32) for n in ("image", "light"))


READERS = {"hdf5": of_hdf5, "webdataset": of_webdataset, "hf": of_hf}


@pytest.mark.parametrize("form", READERS)
def test_stamps_are_those_of_the_set_whatever_the_format(form, pairs, tmp_path):
    files = export_pairs(pairs.path, tmp_path / form, format=form, splits=("train",), licence="MIT")
    rows, image, light = READERS[form](tmp_path / form)
    wanted = {r["pair_id"]: r for r in (pairs[i] for i in range(len(pairs))) if r["split"] == "train"}
    kinds = [r["kind"] for r in rows]
    assert kinds.count("positive") == kinds.count("control") == len(wanted)
    negatives = pairs.table("train", ["pair_id", "kind"], negatives=True).to_pylist()
    assert len(rows) == 2 * len(wanted) + len(negatives) and negatives
    seen = set()
    for row, pixels, added in zip(rows, image, light):
        pair = wanted[row["pair_id"]]
        seen.add((row["pair_id"], row["kind"]))
        assert row["host_id"] == pair["host_id"] and row["label"] == int(row["kind"] == "positive")
        if row["kind"] == "positive":
            np.testing.assert_array_equal(pixels, stamp(pair))
            np.testing.assert_array_equal(added, pair["arc"])
            assert row["theta_e_arcsec"] == pytest.approx(pair["theta_e_arcsec"])
        elif row["kind"] == "control":
            np.testing.assert_array_equal(pixels, pair["control"])
            assert not added.any() and row["theta_e_arcsec"] is None
        else:
            np.testing.assert_array_equal(pixels, by_pair(pairs, [row["pair_id"]], "hard_negative")[0][0])
            assert added.any() and row["theta_e_arcsec"] is None
    assert len(seen) == len(rows)
    sums = dict(line.split("  ")[::-1] for line in (tmp_path / form / "SHA256SUMS").read_text().splitlines())
    assert sums and all(storage.sha256(tmp_path / form / name) == digest for name, digest in sums.items())
    assert all((tmp_path / form).joinpath(f.split(f"{form}/", 1)[1]).exists() for f in files)


def test_the_card_says_first_what_is_mock_and_the_metadata_are_valid(pairs, tmp_path):
    export_pairs(pairs.path, tmp_path / "hf", format="hf", splits=("train", "val"), licence="CC-BY-4.0")
    card = (tmp_path / "hf" / "README.md").read_text()
    assert card.index("What is mock") < card.index("Composition") and "host galaxies are MOCK" in card
    assert "license: cc-by-4.0" in card and pairs.manifest["content_hash"] in card
    told = json.loads((tmp_path / "hf" / "croissant.json").read_text())
    assert told["license"] == "CC-BY-4.0" and "MOCK" in told["description"] and len(told["recordSet"]) == 2
    export_pairs(pairs.path, tmp_path / "none", format="webdataset", splits=("val",))
    assert "not stated" in (tmp_path / "none" / "README.md").read_text()
    assert "license" not in json.loads((tmp_path / "none" / "croissant.json").read_text())


def test_mlcroissant_reads_the_records(pairs, tmp_path):
    mlc = pytest.importorskip("mlcroissant", reason="the metadata are read with mlcroissant where it is installed")
    export_pairs(pairs.path, tmp_path / "hf", format="hf", splits=("val",), licence="MIT")
    dataset = mlc.Dataset(jsonld=str(tmp_path / "hf" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    first = next(iter(dataset.records("part-0")))
    assert first["part-0/kind"] in (b"positive", "positive") and int(first["part-0/label"]) == 1


def test_datasets_loads_the_folder(pairs, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the folder is loaded with `datasets` where it is installed")
    if not hasattr(datasets, "load_dataset"):  # a folder of that name on the path
        pytest.skip("the folder is loaded with `datasets` where it is installed")
    export_pairs(pairs.path, tmp_path / "hf", format="hf", splits=("train", "val"))
    loaded = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "val"}
    row = next(r for r in loaded["val"] if r["kind"] == "positive")
    pair = next(pairs[i] for i in range(len(pairs)) if pairs[i]["pair_id"] == row["pair_id"])
    np.testing.assert_array_equal(np.array(row["image"], np.float32), stamp(pair))


def test_the_test_split_and_full_folders_are_kept(pairs, tmp_path):
    with pytest.raises(UsageError, match="hdf5, webdataset, hf"):
        export_pairs(pairs.path, tmp_path / "x", format="zip")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(DhsError, match="holds files"):
        export_pairs(pairs.path, tmp_path / "full")
    if preregistration.read(open_pairs(pairs.path)) is None:
        with pytest.raises(DhsError, match="before a plan is registered"):
            export_pairs(pairs.path, tmp_path / "x", splits=("test",))
        with pytest.raises(DhsError, match="before a plan is registered"):
            export_truth(pairs.path, tmp_path / "x", split="test")


@pytest.mark.parametrize("degrees, wanted", [(0, 90), (90, 0), (10, -80), (100, 10), (180, 90), (-10, 80)])
def test_angles_are_measured_from_north_through_east(degrees, wanted):
    assert east_of_north(np.radians(degrees)) == pytest.approx(wanted)


def traced(document, x, y):
    """Source-plane positions less the source's, by the formulae of the standard alone (Tessore & Metcalf 2015 for a
    slope of 2: the isothermal ellipse of Kormann et al. 1994)."""
    field, lens, source = document["lensing_entities"]

    def of(entity, part):
        return {k: v["point_estimate"]["value"] for k, v in entity[part][0]["parameters"].items()}

    mass, shear, light = of(lens, "mass_model"), of(field, "mass_model"), of(source, "light_model")
    assert mass["gamma"] == 2.0
    angle, twist = np.radians(mass["phi"] + 90), np.radians(shear["phi_ext"] + 90)
    dx, dy = x - mass["center_x"], y - mass["center_y"]
    u, v = dx * np.cos(angle) + dy * np.sin(angle), -dx * np.sin(angle) + dy * np.cos(angle)
    q, e = mass["q"], np.sqrt(1 - mass["q"] ** 2)
    psi = np.sqrt(q**2 * u**2 + v**2)
    scale = mass["theta_E"] * np.sqrt(q) / e
    au, av = scale * np.arctan(e * u / psi), scale * np.arctanh(e * v / psi)
    ax, ay = au * np.cos(angle) - av * np.sin(angle), au * np.sin(angle) + av * np.cos(angle)
    g1, g2 = shear["gamma_ext"] * np.cos(2 * twist), shear["gamma_ext"] * np.sin(2 * twist)
    return x - ax - g1 * x - g2 * y - light["center_x"], y - ay - g2 * x + g1 * y - light["center_y"]


def test_the_lens_of_a_document_bends_light_as_that_of_the_pair(pairs):
    rng = np.random.default_rng(0)
    for i in range(5):
        row = pairs[i] | {"lens_x_arcsec": 0.3, "lens_y_arcsec": -0.2, "gamma1": 0.05, "gamma2": -0.03, "slope": 2.0}
        x, y = rng.uniform(-4, 4, (2, 200))
        lens = lens_of(row)
        bx, by = lens.model.ray_shooting(x, y, lens.kwargs())
        got = traced(coolest(row, pairs), x, y)
        np.testing.assert_allclose(got[0], bx - row["src_x_arcsec"], atol=2e-4)
        np.testing.assert_allclose(got[1], by - row["src_y_arcsec"], atol=2e-4)


def test_the_package_of_the_standard_reads_every_document_and_bends_light_alike(pairs, tmp_path):
    pytest.importorskip("coolest", reason="documents are read with the package `coolest` where it is installed")
    from coolest.api.composable_models import ComposableMassModel
    from coolest.template.json import JSONSerializer

    paths = export_truth(pairs.path, tmp_path, split="val", n=4)
    assert len(paths) == 8
    for path in paths[::2]:
        read = JSONSerializer(path.removesuffix(".json")).load(verbose=False)
        assert read.mode == "MOCK" and [e.name for e in read.lensing_entities] == ["shear", "lens", "source"]
        pair_id = json.loads(open(path).read())["meta"]["pair_id"]
        row = next(pairs[i] for i in range(len(pairs)) if pairs[i]["pair_id"] == pair_id)
        np.testing.assert_array_equal(read.observation.pixels.get_pixels(), stamp(row)[1])
        x, y = np.random.default_rng(0).uniform(-4, 4, (2, 100))
        mass = ComposableMassModel(read, str(tmp_path), entity_selection=[0, 1])
        ax, ay = mass.evaluate_deflection(x, y)
        lens = lens_of(row)
        bx, by = lens.model.ray_shooting(x, y, lens.kwargs())
        light = read.lensing_entities[2].light_model[0].parameters
        got = x - ax - light["center_x"].point_estimate.value, y - ay - light["center_y"].point_estimate.value
        np.testing.assert_allclose(got[0], bx - row["src_x_arcsec"], atol=2e-4)
        np.testing.assert_allclose(got[1], by - row["src_y_arcsec"], atol=2e-4)
