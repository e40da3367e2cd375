import numpy as np
import pytest
import torch
from astropy.modeling.models import Sersic2D
from photutils.isophote import Ellipse, EllipseGeometry, build_ellipse_model
from scipy import ndimage

from dhs.models.residuals import (
    azimuthal_residual,
    elliptical_radius,
    elliptical_residual,
    isophote_shape,
)

Y, X = np.mgrid[:64, :64] - 31.5


def galaxy(q=0.6, phi=0.7, n=3.0, r_eff=4.0, flux=3000.0):
    """A Sersic galaxy, sky sigma 1."""
    light = Sersic2D(1.0, r_eff, n, 0.0, 0.0, 1 - q, phi)(X, Y)
    return flux * light / light.sum()


def as_batch(*images):
    return torch.tensor(np.stack(images), dtype=torch.float32)[:, None].repeat(1, 3, 1, 1)


def test_azimuthal_agrees_with_scipy_label_medians():
    image = galaxy() + np.random.default_rng(0).normal(size=(64, 64))
    ring = np.floor(np.hypot(X, Y)).astype(int)
    medians = ndimage.median(image, ring, np.arange(ring.max() + 1))
    np.testing.assert_allclose(azimuthal_residual(as_batch(image))[0, 1], image - medians[ring], atol=1e-4)


def test_azimuthal_removes_what_is_constant_on_rings_and_keeps_an_arc():
    ring = np.floor(np.hypot(X, Y))
    arc = np.exp(-0.5 * ((np.hypot(X, Y) - 8) / 1.0) ** 2) * (np.arctan2(Y, X) > 2.2)
    image = as_batch(100 * np.exp(-ring / 3) + arc)
    np.testing.assert_allclose(azimuthal_residual(image)[0, 0], arc, atol=1e-4)


@pytest.mark.parametrize(("q", "phi", "n"), [(0.9, 0.2, 1.0), (0.6, 1.9, 2.5), (0.4, -0.6, 1.0)])
def test_moments_find_the_shape_of_the_isophotes(q, phi, n):
    xx, yy, xy = isophote_shape(torch.tensor(galaxy(q, phi, n), dtype=torch.float64)[None])[0].tolist()
    values, vectors = np.linalg.eigh([[xx, xy], [xy, yy]])
    major = vectors[:, 1]
    assert np.sqrt(values[0] / values[1]) == pytest.approx(q, abs=0.04)
    assert abs(major @ [np.cos(phi), np.sin(phi)]) > 0.995


def test_elliptical_agrees_with_interpolated_medians_on_its_own_isophotes():
    rng = np.random.default_rng(2)
    images = as_batch(*(galaxy(q, phi) + rng.normal(size=(64, 64)) for q, phi in ((0.5, 0.3), (0.9, 2.0))))
    images[:, 1] *= 2
    radii = elliptical_radius(isophote_shape(images.sum(1)), 64).numpy()
    for i in range(2):
        image, ring = images[i, 1].numpy(), radii[i].astype(int)
        known = np.unique(ring)
        model = np.interp(radii[i], known + 0.5, ndimage.median(image, ring, known))
        inside = (radii[i] > known[0] + 0.5) & (radii[i] < 30)
        np.testing.assert_allclose(
            elliptical_residual(images)[i, 1].numpy()[inside], (image - model)[inside], atol=2e-3
        )


def test_elliptical_leaves_less_of_a_flattened_host_than_round_rings_and_as_little_as_photutils():
    host = galaxy(q=0.5, flux=8000.0)
    image = host + np.random.default_rng(1).normal(size=(64, 64))
    ours, rings = elliptical_residual(as_batch(image))[0, 0].numpy(), azimuthal_residual(as_batch(image))[0, 0].numpy()
    fit = Ellipse(image, geometry=EllipseGeometry(31.5, 31.5, 6.0, 0.5, 0.7)).fit_image(maxsma=26)
    theirs = image - build_ellipse_model(image.shape, fit)
    outside = (np.hypot(X, Y) > 3) & (np.hypot(X, Y) < 14)
    spread = {name: np.std(r[outside]) for name, r in {"ours": ours, "rings": rings, "photutils": theirs}.items()}
    assert spread["ours"] < 0.5 * spread["rings"]
    assert spread["ours"] < 1.5 * spread["photutils"]


def test_elliptical_keeps_an_arc():
    radius, angle = np.hypot(X, Y), np.arctan2(Y, X)
    arc = 20 * np.exp(-0.5 * ((radius - 9) / 1.5) ** 2) * np.exp(3 * (np.cos(angle - 2.2) - 1))
    kept = elliptical_residual(as_batch(galaxy(0.7) + arc))[0, 0].numpy()
    bright = arc > 4
    assert kept[bright].sum() > 0.7 * arc[bright].sum()


def test_a_dark_stamp_stays_finite_and_round():
    images = torch.zeros(2, 3, 64, 64)
    images[1, :, 31:33, 31:33] = -1.0
    assert torch.equal(elliptical_residual(images)[0], images[0]) and torch.isfinite(elliptical_residual(images)).all()
    moments = isophote_shape(images.sum(1))
    assert torch.isfinite(moments).all() and moments[0, 0] == moments[0, 1] and moments[0, 2] == 0
