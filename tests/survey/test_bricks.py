import csv

import numpy as np
import pytest
from cutout_samples import DATA, needs_data

from dhs.survey.bricks import brick, bricks

# Names of the survey's own files.
KNOWN = [
    (0.10618843, -3.95577168, "0001m040"),
    (0.06109889, -5.95079136, "0001m060"),
    (0.26156697, -37.3242722, "0001m372"),
    (0.69431657, 27.0893707, "0006p270"),
    (359.8557129, -3.0493190, "3598m030"),
]


@pytest.mark.parametrize(("ra", "dec", "name"), KNOWN)
def test_names_of_the_survey(ra, dec, name):
    assert brick(ra, dec)[0] == name


def test_centre_lies_within_half_a_brick_and_in_its_own_brick():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 2000), np.degrees(np.arcsin(rng.uniform(-1, 1, 2000)))
    names, ra_c, dec_c = bricks(ra, dec)
    assert np.abs(dec - dec_c).max() <= 0.125
    width = np.abs((ra - ra_c + 180) % 360 - 180) * np.cos(np.radians(np.maximum(np.abs(dec_c) - 0.125, 0)))
    assert width[np.abs(dec) < 89].max() <= 0.1251
    assert (bricks(ra_c, dec_c)[0] == names).all()


def test_grid_tiles_the_sky_with_the_survey_s_number_of_bricks():
    # survey-bricks.fits has 662,174 rows.
    dec_c = -90 + 0.25 * np.arange(721)
    eastmost = bricks(np.full(721, 359.99999), dec_c)[1]
    columns = np.rint(180.0 / (360.0 - eastmost)).astype(int)
    assert columns.sum() == 662_174


def test_wraps_and_refuses():
    assert brick(-0.1, 0.0) == brick(359.9, 0.0)
    assert brick(10.0, 90.0)[1:] == (180.0, 90.0)
    with pytest.raises(ValueError, match="dec <= 90"):
        brick(0.0, 90.1)
    with pytest.raises(ValueError, match="finite"):
        brick(float("nan"), 0.0)


@needs_data
def test_names_in_the_lens_table_and_the_cutouts():
    with open(DATA / "lenses/ls_dr10_png56/lenses.csv") as stream:
        rows = list(csv.DictReader(stream))
    found = [brick(float(r["ra"]), float(r["dec"]))[0] == r["brick"] for r in rows]
    assert len(found) == 56 and all(found)
    for path in (DATA / "hosts/ls_dr10_grz").glob("*.npz"):
        with np.load(path) as f:
            assert brick(float(f["meta_ra"]), float(f["meta_dec"]))[0] == str(f["meta_brickname"])
