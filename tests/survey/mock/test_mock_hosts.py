import json
from importlib import resources

import galsim
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from cutout_samples import DATA, needs_data
from scipy.stats import ks_2samp, spearmanr

from dhs.config import HostsConfig
from dhs.errors import DhsError
from dhs.random import keyed
from dhs.survey import facts, sky
from dhs.survey.bricks import brick
from dhs.survey.hosts.open import open_hosts
from dhs.survey.mock import hosts as mock
from dhs.survey.mock.deflectors import Deflectors, deflector_rows, deflectors, fit_deflectors
from dhs.survey.mock.gaussians import SIGMAS, sersic_mixture
from dhs.survey.mock.negatives import PROPORTIONS, SurveyNegatives
from dhs.survey.mock.population import (
    CORRELATIONS,
    NAMES,
    SMALLER,
    TYPES,
    complete_correlation,
    fit_population,
    population,
)
from dhs.survey.mock.scene import ROUND, Scene, map_grid, sersic_table
from dhs.survey.psf import intrinsic_fwhm

FWHM = np.array([1.3, 1.2, 1.1])
FLUX = np.array([5.0, 20.0, 40.0])


def summary() -> dict:
    return json.loads((resources.files("dhs.survey.mock") / "deflectors.json").read_text())


# ---------------------------------------------------------------------------------------------------------- rendering


def galsim_image(profile, band, size=65):
    psf = galsim.Moffat(beta=3.5, fwhm=float(intrinsic_fwhm(FWHM[band])))
    return galsim.Convolve(profile, psf).drawImage(nx=size, ny=size, scale=0.262).array


@pytest.mark.parametrize(("n", "re", "q", "phi"), [(4.0, 1.0, 0.7, 0.5), (2.6, 0.6, 0.9, 2.0), (5.6, 1.5, 0.5, 1.2)])
def test_sersic_through_psf_and_pixel_is_galsim_s(n, re, q, phi):
    scene = Scene(FWHM)
    scene.sersic(FLUX, 3.3, -2.1, re / 0.262, n, q, phi)
    ours = scene.image(65)
    profile = galsim.Sersic(n, half_light_radius=re).shear(q=q, beta=phi * galsim.radians)
    profile = profile.shift(3.3 * 0.262, -2.1 * 0.262)
    for band in range(3):
        theirs = galsim_image(profile * FLUX[band], band)
        assert np.abs(ours[band] - theirs).max() < 0.005 * theirs.max()


def test_disc_star_and_map_are_galsim_s():
    scene = Scene(FWHM)
    scene.exponential(FLUX, -4.0, 2.5, 2.0, 0.4, 0.8)
    disc = galsim.Exponential(half_light_radius=2.0).shear(q=0.4, beta=0.8 * galsim.radians).shift(-4.0, 2.5)
    star = Scene(FWHM)
    star.point(FLUX, 1.25, 0.5)
    blob = Scene(FWHM)
    x, y = map_grid()
    blob.map(FLUX, np.exp(-(x**2 + y**2) / (2 * 3.0**2)))
    for ours, profile in (
        (scene, disc.dilate(0.262).withFlux(1.0)),
        (star, galsim.DeltaFunction().shift(1.25 * 0.262, 0.5 * 0.262)),
        (blob, galsim.Gaussian(sigma=3 * 0.262)),
    ):
        for band in range(3):
            theirs = galsim_image(profile * FLUX[band], band)
            assert np.abs(ours.image(65)[band] - theirs).max() < 0.01 * theirs.max()


def test_mixture_that_ships_is_the_fit_and_the_profile_s():
    shipped = sersic_table()
    for n in (1.0, 2.5, 4.0, 6.0):
        row = shipped[int((n - 1.0) / 0.25)]
        profile = galsim.Sersic(n, half_light_radius=1.0)
        k = np.geomspace(0.05, 20.0, 30)
        ours = np.exp(-0.5 * (k[:, None] * SIGMAS) ** 2) @ row
        assert ours == pytest.approx([profile.kValue(v, 0.0).real for v in k], abs=0.003)
        assert row.sum() == pytest.approx(1.0, abs=1e-4) and (row >= 0).all()
    assert shipped == pytest.approx(sersic_mixture(), abs=2e-5)


def wide(structure, n=4.0, q=0.8, phi=0.4):
    """A galaxy of 8 px in a good seeing, no noise, (3, 95, 95)."""
    scene = Scene(np.full(3, 0.4))
    scene.sersic(np.ones(3), 0.0, 0.0, 8.0, n, q, phi, structure)
    return scene.image(95)


def polar():
    y, x = np.indices((95, 95)) - 47
    return np.hypot(x, y), np.arctan2(y, x)


def test_colours_have_the_gradient_asked_for_and_the_flux_stays():
    r, _ = polar()
    image = wide((-0.2, -0.1, 0.0, 0.0, 0.0))
    rings = [(r >= a) & (r < a + 1) for a in (3, 14)]
    light = np.array([image[:, ring].mean(axis=1) for ring in rings])
    g_r, r_z = (-2.5 * np.log10(light[:, i] / light[:, i + 1]) for i in (0, 1))
    decades = np.log10(14.5 / 3.5)
    # Each Gaussian reaches over some of its neighbours' radii, so the gradient comes out a little softer.
    assert (g_r[1] - g_r[0]) / decades == pytest.approx(-0.2, abs=0.06)
    assert (r_z[1] - r_z[0]) / decades == pytest.approx(-0.1, abs=0.03)
    # What wraps around the torus and the stamp's edge leave a few per cent to chance, alike in the bands.
    assert image.sum(axis=(1, 2)) == pytest.approx(wide(ROUND).sum(axis=(1, 2)), rel=0.01)


def test_isophotes_twist_flatten_and_box_as_asked_for():
    r, angle = polar()

    def moment(image, m, low, high):
        ring = (r >= low) & (r < high)
        return (image[1][ring] * np.exp(1j * m * angle[ring])).sum() / image[1][ring].sum()

    straight, twisted = wide(ROUND), wide((0.0, 0.0, 0.0, 0.3, 0.0))
    turn = [np.angle(moment(twisted, 2, *ring)) / 2 for ring in ((2, 5), (14, 24))]
    assert np.angle(moment(straight, 2, 14, 24)) / 2 == pytest.approx(0.4, abs=0.01)
    assert 0.1 < turn[1] - turn[0] < 0.35
    flatter = wide((0.0, 0.0, -0.3, 0.0, 0.0))
    growth = [abs(moment(i, 2, 14, 24)) / abs(moment(i, 2, 2, 5)) for i in (flatter, straight)]
    assert growth[0] > 1.3 * growth[1]
    # Discs have cos 4 theta along the major axis, boxes across it; to first order it is odd in the parameter.
    fours = [(moment(wide((0, 0, 0, 0, b)), 4, 5, 12) * np.exp(-1.6j)).real for b in (0.03, -0.03, 0.0)]
    assert fours[0] > fours[2] + 0.005 and fours[1] < fours[2] - 0.005
    assert fours[0] + fours[1] == pytest.approx(2 * fours[2], abs=0.003)
    assert min(wide((0, 0, 0, 0, b)).min() for b in (0.03, -0.03)) > 0


def test_disc_radius_holds_half_the_light():
    psfless = Scene(np.full(3, 0.05))
    psfless.exponential(np.ones(3), 0.0, 0.0, 8.0)
    image = psfless.image(95)[1]
    r = np.hypot(*(np.indices(image.shape) - 47))
    assert image[r < 8.0].sum() / image.sum() == pytest.approx(0.5, abs=0.02)


# --------------------------------------------------------------------------------------------------------- population


def test_positions_are_in_the_footprint_and_do_not_depend_on_n():
    ra, dec = mock.positions(4, 3000)
    assert [a[:1500].tolist() for a in (ra, dec)] == [a.tolist() for a in mock.positions(4, 1500)]
    assert dec.min() > -20 and dec.max() < 30 and len(np.unique(ra)) == 3000
    b = SkyCoord(ra * u.deg, dec * u.deg).galactic.b.deg
    assert np.abs(b).min() > 20 - 1e-6
    assert facts.galactic_latitude(ra, dec) == pytest.approx(b, abs=1e-4)
    assert not np.isin(mock.positions(5, 3000)[0], ra).any()


def test_draws_have_the_shipped_marginals_and_copula():
    population = deflectors()
    draws = population.transform(np.random.default_rng(2).standard_normal((20_000, 4)))
    for i, name in enumerate(population.summary["names"]):
        low, high = population.summary["limits"][name]
        assert (draws[:, i] > low).all() and (draws[:, i] < high).all()
        quantiles = np.quantile(draws[:, i], population.summary["probabilities"][1:-1])
        assert quantiles == pytest.approx(population.summary["quantiles"][name][1:-1], abs=0.06)
    # Spearman's rho of a Gaussian copula: 6/pi asin(rho/2).
    expected = 6 / np.pi * np.arcsin(np.array(population.summary["correlation"]) / 2)
    assert spearmanr(draws).statistic == pytest.approx(expected, abs=0.02)


def test_summary_says_where_it_comes_from():
    provenance = summary()["provenance"]
    assert provenance["licence"] == "MIT" and "Stein" in provenance["source"] and provenance["date_of_fit"]
    assert summary()["summary"]["n"] > 2000


def test_fit_drops_missing_values_outliers_and_duplicates(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{10 + i},{1},{20 + rng.normal()},{19 + rng.normal()},{18 + rng.normal()},{0.5}" for i in range(100)]
    rows += ["200,1,-99,19,18,0.5", "201,1,40,19,18,0.5", "202,1,20,19,18,-99", "10,1.0001,21,19,18,0.4"]
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,mag_g,mag_r,mag_z,z_phot_mean\n" + "\n".join(rows))
    found, counts = deflector_rows([path])
    inside = ((found > [15, 0, 0, 0.01]) & (found < [22.5, 3, 3, 1.5])).all()
    assert inside and counts["dropped_duplicate"] in (0, 1) and counts["n"] == len(found)
    assert counts["dropped_missing_or_outside"] >= 3
    assert sum(v for k, v in counts.items() if k != "n_rows") == counts["n_rows"] == 104
    path.write_text("ra,dec,mag_r\n1,2,19\n")
    with pytest.raises(DhsError, match="no column"):
        fit_deflectors([path])
    path.write_text("ra,dec,mag_g,mag_r,mag_z,z_phot_mean\n" + rows[0])
    with pytest.raises(DhsError, match="too few to fit"):
        fit_deflectors([path])


CATALOGUES = ("catalogues/stein2022/new_lenses.tsv", "catalogues/stein2022/training_lenses.tsv")


@needs_data
def test_refit_gives_the_shipped_numbers():
    assert fit_deflectors([DATA / name for name in CATALOGUES]) == summary()["summary"]


@needs_data
def test_mock_population_matches_the_catalogue():
    rows, _ = deflector_rows([DATA / name for name in CATALOGUES])
    draws = Deflectors(summary()["summary"]).transform(np.random.default_rng(7).standard_normal((len(rows), 4)))
    for i in range(4):
        assert ks_2samp(rows[:, i], draws[:, i]).pvalue > 0.01
    assert spearmanr(draws).statistic == pytest.approx(spearmanr(rows).statistic, abs=0.08)


# -------------------------------------------------------------------------------------------------------------- hosts


def mocks(n, seed):
    return open_hosts(HostsConfig(spec="mock", n_mock=n), seed)


@pytest.fixture(scope="module")
def sample():
    hosts = mocks(150, 11)
    return hosts, [hosts.read(i) for i in range(150)]


def test_host_is_the_same_for_every_n_and_order(sample):
    _, stamps = sample
    again = mocks(40, 11)
    for i in (33, 2, 33):
        stamp = again.read(i)
        assert (stamp.image == stamps[i].image).all() and stamp.host_id == stamps[i].host_id
        assert (stamp.ra, stamp.e1, stamp.z_phot) == (stamps[i].ra, stamps[i].e1, stamps[i].z_phot)
    assert not (mocks(3, 12).read(2).image == stamps[2].image).all()


def test_references_agree_with_the_stamps(sample):
    hosts, stamps = sample
    assert (hosts.kind, hosts.spec, hosts.mock, hosts.refusals, len(hosts)) == ("mock", "mock", True, [], 150)
    for ref, stamp in zip(hosts.refs, stamps):
        assert (ref.host_id, ref.ra, ref.dec) == (stamp.host_id, stamp.ra, stamp.dec)
        assert (ref.brickname, ref.brick_ra, ref.brick_dec) == brick(ref.ra, ref.dec)
        assert ref.brickname == stamp.brickname and stamp.flags == ("mock",)
    assert len({r.host_id for r in hosts.refs}) == 150


def point_source_noise(stamp):
    """Error of a point source's flux from galsim's drawing of the PSF and the survey's inverse variance."""
    psf = [
        galsim.Moffat(beta=3.5, fwhm=f).drawImage(nx=63, ny=63, scale=0.262, method="no_pixel") for f in stamp.psf_fwhm
    ]
    return np.array([(p.array**2).sum() ** -0.5 * v.max() ** -0.5 for p, v in zip(psf, stamp.invvar)])


def test_sky_noise_seeing_and_correlation_are_the_survey_s(sample):
    _, stamps = sample
    depth = np.median([facts.mag_from_flux(5 * point_source_noise(s)) for s in stamps], axis=0)
    assert depth == pytest.approx([24.75, 24.46, 23.36], abs=0.08)
    assert np.median([s.psf_fwhm for s in stamps], axis=0) == pytest.approx([1.50, 1.35, 1.31], rel=0.04)
    first, second, chi = [], [], []
    for s in stamps:
        mask = sky.sky_mask(s.image, s.invvar)
        first.append(sky.lag_correlation(s.image, mask, 0, 1))
        second.append(sky.lag_correlation(s.image, mask, 0, 2))
        chi.append(sky.sky_sigma_mad(s.image, mask) / s.sky_sigma)
    assert 0.15 < np.median(first) < 0.32 and -0.2 < np.median(second) < -0.05
    # Faint sources and haloes add a little to the scatter of pixels, as on real fields (0.98 to 1.06).
    assert np.median(chi) == pytest.approx(1.04, abs=0.04)
    assert np.median([s.lag1 for s in stamps]) == pytest.approx(facts.LAG1_CORRELATION, abs=0.03)


def test_gain_of_the_reader_is_the_gain_of_the_photon_noise():
    """The variance of a bright galaxy's pixels over many skies is sky plus light over gain."""
    sigma = np.array([0.0019, 0.003, 0.0085])
    top = 6e4 * sigma**2  # where its shot noise is about twice the sky's
    light = (top[:, None, None] * np.broadcast_to(np.linspace(0.0, 1.0, 76), (3, 76, 76))).astype(np.float32)
    draws = np.stack([mock.observe(keyed(1, 99, i), light, sigma, (0.0, 0.0))[0] for i in range(300)])
    invvar = mock.observe(keyed(1, 99, 0), light, sigma, (0.0, 0.0))[1]
    assert invvar[:, 5, 5] == pytest.approx(sigma**-2.0)
    kernel = np.outer(mock._kernel(0), mock._kernel(0))
    left = (kernel**2).sum()  # of a pixel's variance, after resampling
    variance = draws.var(axis=0).mean(axis=1)  # by column, so by light
    for band in range(3):
        slope, level = np.polyfit(light[band, 0, 6:-6], variance[band], 1)
        assert level == pytest.approx(left * sigma[band] ** 2, rel=0.05)
        gain = facts.gain_from_sky_noise(invvar[:, 0, 0] ** -0.5)[band]
        assert 1 / slope == pytest.approx(gain / left, rel=0.05)


def test_galaxies_lie_on_the_centre_pixel_and_have_their_magnitude(sample):
    _, stamps = sample
    offset = np.array([(s.x_arcsec, s.y_arcsec) for s in stamps]) / facts.PIXEL_SCALE - 0.5
    assert np.abs(np.median(offset, axis=0)).max() < 0.03
    scene = Scene(FWHM)
    galaxy = mock.add_lrg(scene, keyed(1, 3, 2))
    wide = scene.image(95).sum(axis=(1, 2))
    expected = facts.flux_from_mag([galaxy["mag_r"] + galaxy["g_r"], galaxy["mag_r"], galaxy["mag_r"] - galaxy["r_z"]])
    assert wide == pytest.approx(expected, rel=0.02)


def test_measured_shapes_follow_the_drawn_ones():
    drawn, measured = [], []
    for i in range(60):
        rng = keyed(3, 50, i)
        scene = Scene(FWHM)
        galaxy = mock.add_lrg(scene, rng)
        if galaxy["mag_r"] > 21 or galaxy["re_arcsec"] < 0.6:
            continue
        e = (1 - galaxy["q"]) / (1 + galaxy["q"])
        drawn.append((e * np.cos(2 * galaxy["phi"]), e * np.sin(2 * galaxy["phi"])))
        measured.append(sky.light_shape(scene.image(65)[1], (32.0, 32.0), FWHM[1])[:2])
    drawn, measured = np.array(drawn), np.array(measured)
    slope = (drawn * measured).sum() / (drawn**2).sum()
    # Isophotes grow rounder outwards: those that are measured lie inside R_e.
    assert len(drawn) > 30 and 1.0 < slope < 1.15
    assert np.corrcoef(drawn.ravel(), measured.ravel())[0, 1] > 0.97


def test_mocks_from_files_are_the_mocks_made_when_read(tmp_path):
    from dhs.survey.hosts.cutouts import read_cutout

    hosts = open_hosts(HostsConfig(spec="mock", n_mock=3), 11)
    for path, stamp in zip(mock.write_mock_hosts(tmp_path, 3, 11), map(hosts.read, range(3))):
        read = read_cutout(path)
        assert (read.image == stamp.image).all() and (read.invvar == stamp.invvar).all()
        assert (read.e1, read.z_phot, read.gain.tolist()) == (stamp.e1, stamp.z_phot, stamp.gain.tolist())


# ----------------------------------------------------------------------------------------- population and conditions


def draws(n=3000):
    rng = np.random.default_rng(8)
    return [population().galaxy(rng) for _ in range(n)]


def test_observing_conditions_have_the_measured_quantiles_and_correlations():
    rng = np.random.default_rng(4)
    seeing, sigma = (np.array(v) for v in zip(*(population().conditions(rng) for _ in range(6000))))
    # Depth of a Gaussian PSF by King's formula is about 0.23 mag from that of the Moffat profile: the same for all.
    depth = facts.psf_depth(sigma, seeing)
    summary = population().summary
    for band in range(3):
        assert np.quantile(seeing[:, band], [0.16, 0.5, 0.84]) == pytest.approx(summary["seeing"][band][1:4], abs=0.02)
        spread = np.subtract(*np.quantile(depth[:, band], [0.84, 0.16]))
        assert spread == pytest.approx(summary["depth"][band][3] - summary["depth"][band][1], abs=0.03)
    found = spearmanr(np.hstack([seeing, depth])).statistic
    for (i, j), value in CORRELATIONS.items():
        assert found[i, j] == pytest.approx(6 / np.pi * np.arcsin(value / 2), abs=0.05)


def test_completed_correlation_has_the_largest_determinant():
    matrix = complete_correlation({(0, 1): 0.6, (1, 2): 0.5}, 3)
    assert matrix[0, 2] == pytest.approx(0.3, abs=2e-3)  # of a chain: the product


def test_galaxies_follow_the_mixtures_at_their_magnitude():
    from sklearn.mixture import GaussianMixture

    found = [g for g in draws(6000) if g["type"] == "DEV" and 19.2 < g["mag_r"] - g["r_z"] < 19.6]
    summary = population().summary["mixtures"]["DEV"]
    mixture = GaussianMixture(len(summary["weights"]))
    mixture.weights_, mixture.means_ = np.array(summary["weights"]), np.array(summary["means"])
    mixture.weights_ /= mixture.weights_.sum()
    mixture.covariances_ = np.array(summary["covariances"])
    mixture.random_state = 3
    sample = mixture.sample(100_000)[0]
    e = np.hypot(sample[:, 4], sample[:, 5])
    inside = (e < 0.75) & (np.abs(sample[:, 3] - 0.025) < 0.725) & (sample[:, 1] > 0.5) & (sample[:, 2] > 0.4)
    sample = sample[inside & (sample[:, 0] > 19.2) & (sample[:, 0] < 19.6)]
    for i, name in ((1, "g_r"), (2, "r_z")):
        assert np.mean([g[name] for g in found]) == pytest.approx(sample[:, i].mean(), abs=0.04)
        assert np.std([g[name] for g in found]) == pytest.approx(sample[:, i].std(), rel=0.15)
    semimajor = np.log10([g["re_arcsec"] / np.sqrt(g["q"]) / SMALLER for g in found])
    assert semimajor.mean() == pytest.approx(sample[:, 3].mean(), abs=0.05)


def test_types_change_with_magnitude_as_in_the_survey():
    sample = draws()
    bright = [g["type"] for g in sample if g["mag_r"] - g["r_z"] < 18.2]
    faint = [g["type"] for g in sample if g["mag_r"] - g["r_z"] > 19.75]
    assert bright.count("SER") / len(bright) > 0.6 and faint.count("SER") / len(faint) < 0.25
    assert set(bright) | set(faint) <= set(TYPES)


def test_photo_z_agrees_with_magnitude_and_colour():
    """At a magnitude, redder in r - z is farther; the copula's own correlation is kept."""
    sample = draws()
    x = np.array([[g["mag_r"], g["g_r"], g["r_z"], g["z_phot"]] for g in sample])
    rank = spearmanr(x).statistic[3]
    assert rank[2] > 0.6 and rank[0] > 0.5
    assert (x[:, 3] > 0.01).all() and (x[:, 3] < 1.5).all()


def test_population_says_where_it_comes_from():
    text = json.loads((resources.files("dhs.survey.mock") / "population.json").read_text())
    assert "BSD-3" in text["provenance"]["licence"] and len(text["provenance"]["commit"]) == 40
    assert all(len(v) == 64 for v in text["provenance"]["files"].values()) and len(NAMES) == 6


@needs_data
def test_refit_of_the_population_gives_the_shipped_numbers():
    assert fit_population(DATA / "catalogues/dr9_lrg_gmm") == population().summary


# ---------------------------------------------------------------------------------------------------------- negatives


def test_negatives_of_every_kind_in_their_proportions():
    negatives = SurveyNegatives(400, 5)
    stamps = [negatives.read(i) for i in range(400)]
    kinds = [s.meta["kind"] for s in stamps]
    for kind, share in PROPORTIONS.items():
        assert kinds.count(kind) / 400 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 400))
    lrgs = [s for s in stamps if s.meta["kind"] == "lrg"]
    assert 0.1 < np.mean([s.meta["blue_companions"] > 0 for s in lrgs]) < 0.4
    for s in stamps:
        assert s.image.shape == (3, 64, 64) and np.isfinite(s.image).all() and s.flags == ("mock",)
    again = SurveyNegatives(10, 5).read(7)
    assert (again.image == stamps[7].image).all() and again.meta == stamps[7].meta
    assert negatives.mock and negatives.refs[7].host_id == again.host_id

    def bluest(kind):
        return np.median([s.image[0].sum() / s.image[1].sum() for s in stamps if s.meta["kind"] == kind])

    assert bluest("spiral") > 1.5 * bluest("lrg") and bluest("ring") > 1.3 * bluest("lrg")


def test_rings_have_rings():
    negatives = SurveyNegatives(600, 9)
    y, x = np.indices((64, 64)) - 32
    r = np.hypot(x, y)
    found = 0
    rings = 0
    for i in range(600):
        stamp = negatives.read(i)
        if stamp.meta["kind"] != "ring":
            continue
        rings += 1
        g = stamp.image[0]
        profile = np.array([np.median(g[(r >= k) & (r < k + 1)]) for k in range(16)])
        found += (np.diff(profile[2:]) > 0).any() and profile[5:13].max() > 3 * stamp.sky_sigma[0]
    assert rings >= 8 and found / rings > 0.4  # the rest are smaller than the seeing
