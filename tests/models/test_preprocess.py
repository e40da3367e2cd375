import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import functional

from dhs.config import TrainConfig
from dhs.errors import UsageError
from dhs.models.preprocess import (
    Preprocess,
    core_mask,
    core_swap,
    dihedral,
    dropout_radius,
    normalise,
    rotate,
    sky_statistics,
)
from dhs.models.residuals import radius_map

ANNULUS = (26.0, 32.0)


@pytest.fixture
def stamps():
    rng = np.random.default_rng(3)
    sky = rng.normal(0.01, 1, (6, 3, 64, 64)) * np.array([0.002, 0.003, 0.006])[:, None, None]
    y, x = np.mgrid[:64, :64] - 31.5
    return torch.from_numpy((sky + 0.5 * np.exp(-(x**2 + y**2) / 20)).astype(np.float32))


def test_centre_lies_between_the_middle_pixels():
    radius = radius_map(64)
    assert torch.allclose(radius[31:33, 31:33], torch.tensor(0.5**0.5))
    assert torch.equal(radius, radius.flip(0)) and torch.equal(radius, radius.T)


def test_sky_statistics_agree_with_scipy(stamps):
    y, x = np.mgrid[:64, :64] - 31.5
    inside = (np.hypot(x, y) >= 26) & (np.hypot(x, y) < 32)
    sky = stamps.numpy()[..., inside]
    level, sigma = sky_statistics(stamps, ANNULUS)
    np.testing.assert_allclose(level, np.median(sky, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(sigma, stats.median_abs_deviation(sky, axis=-1) * 1.4826, rtol=1e-5)


def test_normalised_sky_has_zero_mean_and_unit_sigma_whatever_level_and_scale(stamps):
    images = normalise(stamps, ANNULUS)
    outer = images[..., radius_map(64) > 26]
    assert outer.mean(-1).abs().max() < 0.1
    assert (outer.std(-1) - 1).abs().max() < 0.1
    torch.testing.assert_close(normalise(5 * stamps + 2, ANNULUS), images, rtol=1e-3, atol=1e-2)


def test_band_without_scale_becomes_zero_and_never_nan(stamps):
    stamps[0, 1] = 0.0
    stamps[1, 2] = 7.5
    for channels in ("raw", "raw+residual"):
        images = Preprocess(channels)(stamps)
        assert torch.isfinite(images).all()
        assert (images[0, 1] == 0).all() and (images[1, 2] == 0).all()
        assert (images[0, 0] != 0).any()


def test_annulus_outside_the_stamp_is_refused(stamps):
    with pytest.raises(UsageError, match="holds no pixel of a stamp 64 pixels wide"):
        sky_statistics(stamps, (50.0, 60.0))


def test_core_mask_fills_the_disc_of_the_chosen_samples_only(stamps):
    images = normalise(stamps, ANNULUS)
    which = torch.tensor([True, False] * 3)
    masked = core_mask(images, 5.0 * which)
    core = radius_map(64) < 5
    assert core.sum() == 80
    assert (masked[which][..., core] == 0).all()
    assert torch.equal(masked[..., ~core], images[..., ~core])
    assert torch.equal(masked[~which], images[~which])
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    filled = core_mask(images, 5.0, noise)
    assert torch.equal(filled[..., core], noise[..., core]) and torch.equal(filled[..., ~core], images[..., ~core])


def test_core_swap_takes_the_core_of_the_control(stamps):
    control = stamps.flip(0)
    radii = torch.tensor([0.0, 2.0, 5.0, 5.0, 8.0, 30.0])
    swapped = core_swap(stamps, control, radii)
    for i, r in enumerate(radii):
        core = radius_map(64) < r
        assert torch.equal(swapped[i, :, core], control[i, :, core])
        assert torch.equal(swapped[i, :, ~core], stamps[i, :, ~core])


def test_scaled_dropout_keeps_the_arc_and_the_fixed_one_does_not():
    theta_e, fwhm = torch.tensor([0.5, 1.0, 1.31, 3.0]), torch.tensor([1.2, 1.2, 1.0, 1.2])
    fixed = dropout_radius(theta_e, fwhm, TrainConfig())
    assert fixed.tolist() == [5.0] * 4 and (fixed * 0.262)[1] > theta_e[1]
    scaled = dropout_radius(theta_e, fwhm, TrainConfig(core_dropout="scaled"))
    np.testing.assert_allclose(scaled, [0.0, 0.4 / 0.262, 0.81 / 0.262, 5.0], rtol=1e-5)
    nothing = dropout_radius(torch.tensor([float("nan")]), fwhm[:1], TrainConfig(core_dropout="scaled"))
    assert nothing.tolist() == [0.0]


def test_sigma_floor_holds_a_mostly_masked_annulus(stamps):
    sigma = torch.tensor([[0.002, 0.003, 0.006]]).expand(6, 3)
    torch.testing.assert_close(normalise(stamps, ANNULUS, sigma, 0.5), normalise(stamps, ANNULUS))
    masked = stamps.clone()
    outer = (radius_map(64) > 26).nonzero()
    masked[0, 1, outer[::2, 0], outer[::2, 1]] = masked[0, 1, outer[1::2, 0], outer[1::2, 1]] = 0.0
    masked[0, 1, outer[:200, 0], outer[:200, 1]] = 1e-7
    floored = normalise(masked, ANNULUS, sigma, 0.5)[0, 1]
    torch.testing.assert_close(floored, masked[0, 1] / 0.0015, rtol=1e-3, atol=1e-3)
    missing = normalise(stamps, ANNULUS, torch.full((6, 3), float("nan")), 0.5)
    torch.testing.assert_close(missing, normalise(stamps, ANNULUS))


@pytest.mark.parametrize("degrees", [-75.0, 13.0, 45.0, 90.0])
def test_rotation_agrees_with_torchvision(stamps, degrees):
    ours = rotate(stamps, torch.full((6,), degrees))
    theirs = functional.rotate(stamps, degrees)
    assert (ours == theirs).float().mean() > 0.995, "the nearest of two equally near pixels may differ"
    corner = ours[:, :, :3, :3]
    assert (corner == 0).all() == (degrees != 90.0)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_dihedral_agrees_with_numpy_drawn_with_y_upwards(stamps, turns, flip):
    expected = np.rot90(stamps.numpy(), -turns, (-2, -1))
    expected = expected[..., ::-1] if flip else expected
    out = dihedral(stamps, torch.full((6,), turns), torch.full((6,), flip))
    np.testing.assert_array_equal(out, expected)
    if turns == 1 and not flip:  # a pixel on +x goes to +y
        image = torch.zeros(1, 1, 64, 64)
        image[0, 0, 31, 50] = 1
        assert dihedral(image, torch.tensor([1]), torch.tensor([False]))[0, 0, 50, 32] == 1


@pytest.mark.parametrize("channels", ["raw", "raw+residual"])
@pytest.mark.parametrize("stretch", ["asinh", "clip"])
@pytest.mark.parametrize("residual", ["azimuthal", "elliptical"])
def test_preprocessing_commutes_with_quarter_turns_and_flips(stamps, channels, stretch, residual):
    preprocess = Preprocess(channels, stretch=stretch, residual=residual)
    turns, flips = torch.tensor([0, 1, 2, 3, 1, 2]), torch.tensor([True, False] * 3)
    torch.testing.assert_close(
        preprocess(dihedral(stamps, turns, flips)),
        dihedral(preprocess(stamps), turns, flips),
        rtol=1e-4,
        atol=1e-3,
    )


@pytest.mark.parametrize("residual", ["azimuthal", "elliptical"])
def test_a_masked_core_leaves_nothing_behind_in_any_channel(stamps, residual):
    preprocess = Preprocess("raw+residual", residual=residual)
    other = stamps.clone()
    other[..., radius_map(64) < 5] += 3.0
    torch.testing.assert_close(preprocess(stamps, core_mask_px=5.0), preprocess(other, core_mask_px=5.0))
    assert not torch.allclose(preprocess(stamps), preprocess(other))


def test_asinh_keeps_the_order_of_bright_pixels_where_the_clip_flattens_them(stamps):
    bright = stamps.clone()
    bright[:, :, 20, 20], bright[:, :, 20, 21] = 5.0, 10.0
    soft, hard = Preprocess()(bright), Preprocess(stretch="clip")(bright)
    assert (soft[:, :, 20, 21] > soft[:, :, 20, 20]).all()
    assert torch.equal(hard[:, :, 20, 21], hard[:, :, 20, 20])
    np.testing.assert_allclose(soft, np.arcsinh(normalise(bright, ANNULUS).numpy() / 3.0), rtol=1e-5, atol=1e-6)


def test_preprocess_comes_from_the_configuration():
    config = TrainConfig(
        channels="raw+residual", annulus_px=(20, 30), stretch="clip", asinh_softening=2, residual="elliptical"
    )
    assert Preprocess.from_config(config) == Preprocess(
        "raw+residual", (20.0, 30.0), "clip", 2.0, "elliptical", config.sigma_floor
    )
    assert Preprocess.from_config(config).n_channels == 6
