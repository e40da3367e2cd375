import json
from importlib import resources

import galsim
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.cosmology import FlatLambdaCDM
from cutout_samples import DATA, needs_data
from scipy.stats import ks_2samp, spearmanr

from dhs.config import HostsConfig
from dhs.errors import DhsError
from dhs.survey import facts, sky
from dhs.survey.bricks import brick
from dhs.survey.hosts.open import open_hosts
from dhs.survey.mock import hosts as mock
from dhs.survey.mock.deflectors import Deflectors, deflector_rows, deflectors, fit_deflectors
from dhs.survey.mock.negatives import PROPORTIONS, SurveyNegatives
from dhs.survey.mock.scene import Scene, map_grid
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


def test_disc_radius_holds_half_the_light():
    psfless = Scene(np.full(3, 0.05))
    psfless.exponential(np.ones(3), 0.0, 0.0, 8.0)
    image = psfless.image(95)[1]
    r = np.hypot(*(np.indices(image.shape) - 47))
    assert image[r < 8.0].sum() / image.sum() == pytest.approx(0.5, abs=0.02)


# --------------------------------------------------------------------------------------------------------- population


def test_sizes_follow_the_stated_relation():
    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    for mag, z in ((17.5, 0.2), (19.5, 0.45), (20.8, 0.7)):
        absolute = mag - cosmology.distmod(z).value - z
        kpc = 10 ** (0.45 + 0.252 * (-21.15 - absolute))
        expected = kpc / cosmology.kpc_proper_per_arcmin(z).value * 60
        assert mock.effective_radius_arcsec(mag, z) == pytest.approx(expected, rel=0.002)


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


def test_sky_noise_seeing_and_correlation_are_the_survey_s(sample):
    _, stamps = sample
    sigma = np.median([s.sky_sigma for s in stamps], axis=0)
    assert sigma == pytest.approx(mock.SKY_SIGMA, rel=0.12)
    assert np.median([s.psf_fwhm for s in stamps], axis=0) == pytest.approx([1.3, 1.2, 1.1], rel=0.05)
    first, second, chi = [], [], []
    for s in stamps:
        mask = sky.sky_mask(s.image, s.invvar)
        first.append(sky.lag_correlation(s.image, mask, 0, 1))
        second.append(sky.lag_correlation(s.image, mask, 0, 2))
        chi.append(sky.sky_sigma_mad(s.image, mask) / s.sky_sigma)
    assert 0.15 < np.median(first) < 0.32 and -0.2 < np.median(second) < -0.05
    assert np.median(chi) == pytest.approx(1.0, abs=0.04)
    assert np.median([s.lag1 for s in stamps]) == pytest.approx(facts.LAG1_CORRELATION, abs=0.03)


def test_gain_of_the_reader_is_the_gain_of_the_photon_noise():
    """The variance of a bright galaxy's pixels over many skies is sky plus light over gain."""
    top = 6e4 * mock.SKY_SIGMA**2  # where its shot noise is about twice the sky's
    light = (top[:, None, None] * np.broadcast_to(np.linspace(0.0, 1.0, 76), (3, 76, 76))).astype(np.float32)
    draws = np.stack([mock.observe(mock.generator(1, i, 99), light, mock.SKY_SIGMA, (0.0, 0.0))[0] for i in range(300)])
    invvar = mock.observe(mock.generator(1, 0, 99), light, mock.SKY_SIGMA, (0.0, 0.0))[1]
    variance = draws.var(axis=0).mean(axis=1)  # by column, so by light
    for band in range(3):
        slope, level = np.polyfit(light[band, 0, 6:-6], variance[band], 1)
        assert level == pytest.approx(mock.SKY_SIGMA[band] ** 2, rel=0.05)
        gain = facts.gain_from_sky_noise(invvar[:, 0, 0] ** -0.5)[band]
        delivered = mock.SKY_SIGMA[band] ** 2 * invvar[band, 0, 0]  # what resampling leaves of a pixel's variance
        assert 1 / slope == pytest.approx(gain / delivered, rel=0.05)


def test_galaxies_lie_on_the_centre_pixel_and_have_their_magnitude(sample):
    _, stamps = sample
    offset = np.array([(s.x_arcsec, s.y_arcsec) for s in stamps]) / facts.PIXEL_SCALE - 0.5
    assert np.abs(np.median(offset, axis=0)).max() < 0.03
    scene = Scene(FWHM)
    galaxy = mock.add_lrg(scene, mock.generator(1, 2, 3))
    wide = scene.image(95).sum(axis=(1, 2))
    expected = facts.flux_from_mag([galaxy["mag_r"] + galaxy["g_r"], galaxy["mag_r"], galaxy["mag_r"] - galaxy["r_z"]])
    assert wide == pytest.approx(expected, rel=0.02)


def test_measured_shapes_follow_the_drawn_ones():
    drawn, measured = [], []
    for i in range(60):
        rng = mock.generator(3, i, 50)
        scene = Scene(FWHM)
        galaxy = mock.add_lrg(scene, rng)
        if galaxy["mag_r"] > 21 or galaxy["re_arcsec"] < 0.6:
            continue
        e = (1 - galaxy["q"]) / (1 + galaxy["q"])
        drawn.append((e * np.cos(2 * galaxy["phi"]), e * np.sin(2 * galaxy["phi"])))
        measured.append(sky.light_shape(scene.image(65)[1], (32.0, 32.0), FWHM[1])[:2])
    drawn, measured = np.array(drawn), np.array(measured)
    slope = (drawn * measured).sum() / (drawn**2).sum()
    assert len(drawn) > 30 and 0.93 < slope < 1.05
    assert np.corrcoef(drawn.ravel(), measured.ravel())[0, 1] > 0.99


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
    assert rings >= 8 and found / rings > 0.5
