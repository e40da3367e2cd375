"""Images with arcs injected by others: real files where they are, a made-up set where they are not."""

import os

import numpy as np
import pytest

from dhs.book.studies import hsc_injections
from dhs.errors import DhsError

needs_data = pytest.mark.skipif(not os.environ.get("DHS_DATA_DIR"), reason="DHS_DATA_DIR is not set: no foreign stamps")


def made_up(n=6):
    rng = np.random.default_rng(0)
    y, x = np.indices((64, 64)) - 31.5
    ring = np.exp(-0.5 * ((np.hypot(x, y) - 8) / 1.5) ** 2) * (1 + np.cos(np.arctan2(y, x)))
    arcs = np.stack([np.broadcast_to(ring, (3, 64, 64))] * n) * rng.uniform(0.5, 2, (n, 1, 1, 1))
    hosts = np.exp(-np.hypot(x, y) / 4) * rng.uniform(20, 200, (n, 1, 1, 1))
    return hosts + arcs, arcs


def test_curves_grow_and_planted_shifts_show():
    given, one, far = hsc_injections.measure(*made_up())
    assert [g["shift_px"] for g in (given, one, far)] == [0, 1, 23]
    assert (np.diff(given["core_fraction"], axis=1) >= 0).all() and given["core_fraction"][:, -1].min() > 0.99
    assert set(given["concordance"]) == {1.0} and max(given["auc"]) < 0.9, "pairs see what the marginal does not"
    step = one["centroid_px"] - given["centroid_px"]
    np.testing.assert_allclose(step, [[1, 0]] * 6, atol=1e-3)
    inner = given["radii_px"].index(12.0)
    assert far["core_fraction"][:, inner].max() < 0.2 < 0.9 < given["core_fraction"][:, inner].min()


@needs_data
def test_the_eight_hsc_triples():
    images, arcs = hsc_injections.read()
    assert images.shape == arcs.shape == (8, 3, 64, 64)
    given, one, far = hsc_injections.measure(images, arcs)
    core = given["core_fraction"][:, given["radii_px"].index(5.0)]
    assert ((core > 0) & (core < 0.6)).all()
    assert given["concordance"][-1] == 1.0
    np.testing.assert_allclose(np.nanmedian(one["centroid_px"] - given["centroid_px"], axis=0), [1, 0], atol=0.1)
    wide = given["radii_px"].index(16.0)
    assert np.median(far["core_fraction"][:, wide]) < np.median(given["core_fraction"][:, wide]) - 0.2


def test_no_folder_is_empty_and_a_short_file_is_refused(tmp_path):
    none = hsc_injections.read(tmp_path / "none")
    assert len(none[0]) == 0 and hsc_injections.measure(*none) == []
    from astropy.io import fits

    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "a.fits")
    with pytest.raises(DhsError, match="1 HDUs"):
        hsc_injections.read(tmp_path)
