import gzip
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from cutout_samples import DATA, needs_data

from dhs.errors import DhsError
from dhs.survey.lenses import catalogues
from dhs.survey.lenses.catalogues import Catalogue, known_lenses, read_catalogue


def write(tmp_path, text, name="c.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "name,RA [deg],DEC [deg]\na,10.5,-3.25\n",
        "ra\tdec\n10.5\t-3.25\n",
        "# name RA dec\nx 10.5 -3.25\n",
        "RAJ2000;DEJ2000\n10.5;-3.25\n\n# a comment\n",
        '\ufeffRA_deg,Dec_deg,note\n10.5,-3.25,"a, b"\n',
        "Ra (deg),Declination\r\n10.5,-3.25\r\n",
        "name,ra,dec\ra,10.5,-3.25\r",
        "# my list\n# epoch, J2000\nname,ra,dec\na,10.5,-3.25\n",
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: ra, datatype: float64}\nname ra dec\nA 10.5 -3.25\n",
    ],
)
def test_usual_names_and_separators(tmp_path, text):
    c = read_catalogue(write(tmp_path, text))
    assert (c.ra.tolist(), c.dec.tolist(), c.label) == ([10.5], [-3.25], "c.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,z\na,0.5\n", r"no RA column; it has \['name', 'z'\]"),
        ("ra,z\n1,0.5\n", "no Dec column"),
        ("RA [h],Dec\n1,2\n", r"column 'RA \[h\]' is in hours or sexagesimal"),
        ("ra_hours,dec\n1,2\n", "in hours or sexagesimal"),
        ("ra,dec\n1,2\n10:20:30.5,2\n", r"row 2, column 'ra': '10:20:30.5' is sexagesimal"),
        ("ra,dec\n10h20m30s,2\n", "is sexagesimal"),
        ("ra,dec\n1,-\n", "row 1, column 'dec': '-' is not a number"),
        ("ra,dec\n1,2\n3,91\n", r"row 2, column 'dec': 91 is outside -90 to 90 degrees \(1 such rows\)"),
        ("ra,dec\n-5,2\n", "row 1, column 'ra': -5 is outside 0 to 360"),
        ("ra,dec\nnan,2\n", "nan is outside 0 to 360"),
        ("ra,dec\n1,2,3\n", "line 2: 3 fields, the header has 2"),
        ("", "empty"),
        ("# only comments\n", "empty"),
        ('name,ra,dec\n"Eye,10,2\nB,11,3\n', r"line 2: .*Close the quote"),
        ("ra,dec,ra\n150.1,2.2,10.0\n", r"columns \['ra'\] stand there twice"),
    ],
)
def test_what_is_refused_and_where(tmp_path, text, message):
    with pytest.raises(DhsError, match=message):
        read_catalogue(write(tmp_path, text))


def test_another_encoding_is_named_and_gzip_is_read(tmp_path):
    (tmp_path / "l.csv").write_bytes("name,ra,dec\nB\u00f6hringer,10,2\n".encode("latin-1"))
    with pytest.raises(DhsError, match="not text in UTF-8"):
        read_catalogue(tmp_path / "l.csv")
    (tmp_path / "g.csv.gz").write_bytes(gzip.compress(b"ra,dec\n10.5,-3.25\n"))
    assert read_catalogue(tmp_path / "g.csv.gz").ra.tolist() == [10.5]


def test_binary_and_absent_files(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DhsError, match="not text in UTF-8|not a text table"):
        read_catalogue(tmp_path / "x.csv")
    with pytest.raises(DhsError, match="no such file"):
        read_catalogue(tmp_path / "absent.csv")


def test_match_agrees_with_astropy():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    near = rng.normal(0, 8 / 3600, (2, 3000))
    other_ra, other_dec = (ra + near[0] / np.cos(np.radians(dec))) % 360, np.clip(dec + near[1], -90, 90)
    index, separation = Catalogue("c", ra, dec).match(other_ra, other_dec, 11.0)
    first, second = (SkyCoord(a * u.deg, d * u.deg) for a, d in ((other_ra, other_dec), (ra, dec)))
    expected, distance, _ = first.match_to_catalog_sky(second)
    assert separation == pytest.approx(distance.arcsec, abs=1e-5)
    assert (index == np.where(distance.arcsec <= 11.0, expected, -1)).all()


def test_match_across_ra_zero_and_with_nothing():
    c = Catalogue("c", np.array([359.9999]), np.array([0.0]))
    assert c.match([0.0001], [0.0], 1.0)[0].tolist() == [0]
    assert Catalogue("c", np.array([]), np.array([])).match([1.0], [1.0], 1.0)[0].tolist() == [-1]


def test_auto_reads_the_installed_table_without_importing_the_package(monkeypatch):
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    catalogue = known_lenses("auto")
    if catalogue is None:
        pytest.skip("the extra `lenses` is not installed")
    assert catalogue.label.startswith("lenscat ") and len(catalogue) > 30_000
    assert "lenscat" not in sys.modules


def test_auto_falls_back_to_the_data_folder_and_then_to_none(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogues.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    assert known_lenses("auto") is None and known_lenses(None) is None and known_lenses("none") is None
    with pytest.raises(DhsError, match="pip install"):
        known_lenses("lenscat")
    folder = tmp_path / "catalogues" / "lenscat"
    folder.mkdir(parents=True)
    write(folder, "RA [deg],DEC [deg]\n1,2\n", "catalog.csv")
    monkeypatch.setenv("DHS_DATA_DIR", str(tmp_path))
    assert len(known_lenses("auto")) == len(known_lenses("lenscat")) == 1
    assert known_lenses(str(write(tmp_path, "ra,dec\n1,2\n3,4\n"))).label == "c.csv"


@needs_data
def test_real_catalogues_read():
    sizes = {
        "catalogues/lenscat/catalog.csv": 32838,
        "catalogues/slacs/SLACS_table.cat": 59,
        "catalogues/stein2022/new_lenses.tsv": 1192,
        "catalogues/stein2022/training_lenses.tsv": 1615,
        "lenses/ls_dr10_png56/lenses.csv": 56,
    }
    assert {name: len(read_catalogue(DATA / name)) for name in sizes} == sizes
