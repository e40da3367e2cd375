"""Completeness against simulated truth with known probabilities, known clusters."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta
from sklearn.preprocessing import PolynomialFeatures

from dhs import storage
from dhs.errors import DhsError
from dhs.stats.metrics import Clusters
from dhs.validation.evaluation import completeness

EDGES = {"theta_e_arcsec": (0.5, 1.0, 2.0, 3.0), "arc_snr_matched": (3.0, 30.0, 300.0)}


def truth(theta, snr, psf):
    return expit(3 * np.log(theta) + 1.5 * np.log(snr / 40) + 1.2 * np.log(theta) * np.log(snr / 40) - 2 * (psf - 1.3))


def simulated(n=3000, seed=0, host_effect=0.0):
    rng = np.random.default_rng(seed)
    theta, snr = rng.uniform(0.5, 3, n), np.exp(rng.uniform(np.log(3), np.log(300), n))
    psf, host = rng.uniform(1.0, 1.6, n), rng.integers(0, n // 3, n)
    effect = host_effect * rng.normal(size=n)[host]
    found = rng.random(n) < expit(np.log(truth(theta, snr, psf) / (1 - truth(theta, snr, psf))) + effect)
    columns = {"theta_e_arcsec": theta, "arc_snr_matched": snr, "psf_fwhm_r_arcsec": psf}
    return columns | {"depth_r_mag": np.full(n, 24.0)}, found, host.astype(str)


def test_cells_count_every_arc_once_with_jeffreys_intervals():
    columns, found, _ = simulated(500)
    got = completeness.cells(columns, found, EDGES)
    assert len(got) == 6 and sum(c["n"] for c in got) == 500 and sum(c["k"] for c in got) == found.sum()
    cell = got[3]
    inside = (columns["theta_e_arcsec"] >= 1) & (columns["theta_e_arcsec"] < 2) & (columns["arc_snr_matched"] >= 30)
    assert (cell["k"], cell["n"]) == (found[inside].sum(), inside.sum())
    want = beta.ppf((0.025, 0.975), cell["k"] + 0.5, cell["n"] - cell["k"] + 0.5)
    assert (cell["ci_low"], cell["ci_high"]) == pytest.approx(tuple(want))
    empty = completeness.cells(columns, found, {"theta_e_arcsec": (5, 6)})[0]
    assert empty["n"] == 0 and empty["value"] is None and empty["ci_low"] is None


def test_weighted_cells_widen_with_the_effective_number():
    columns, found, _ = simulated(500)
    flat = completeness.cells(columns, found, {"theta_e_arcsec": (0.5, 3.0)})[0]
    weights = np.where(np.arange(500) < 50, 10.0, 0.1)
    heavy = completeness.cells(columns, found, {"theta_e_arcsec": (0.5, 3.0)}, weights)[0]
    assert heavy["value"] == pytest.approx(np.average(found, weights=weights))
    assert heavy["ci_high"] - heavy["ci_low"] > 2 * (flat["ci_high"] - flat["ci_low"])


def test_smooth_function_recovers_the_truth_with_its_interaction():
    columns, found, hosts = simulated()
    model = completeness.fit(columns, found, Clusters(hosts, n_bootstrap=40))
    assert model.axes == ("theta_e_arcsec", "arc_snr_matched", "psf_fwhm_r_arcsec")
    theta, snr = (a.ravel() for a in np.meshgrid(np.linspace(0.7, 2.8, 6), np.geomspace(5, 200, 6)))
    psf = np.full(36, 1.3)
    at = dict(theta_e_arcsec=theta, arc_snr_matched=snr, psf_fwhm_r_arcsec=psf)
    assert np.abs(model(**at) - truth(theta, snr, psf)).max() < 0.08
    low, high = model.interval(**at)
    assert np.mean((low <= truth(theta, snr, psf)) & (truth(theta, snr, psf) <= high)) > 0.8
    assert model.about["log_loss"] < 0.7 * model.about["log_loss_of_mean"]


def test_intervals_of_the_smooth_function_grow_with_clustering():
    columns, found, _ = simulated(1500)
    groups = np.arange(1500) // 5
    shared = {k: v[groups * 5] for k, v in columns.items()}  # five rows a host, all alike
    at = dict(theta_e_arcsec=1.5, arc_snr_matched=40.0, psf_fwhm_r_arcsec=1.3)
    widths = []
    for hosts in (np.arange(1500), groups):
        low, high = completeness.fit(shared, found[groups * 5], Clusters(hosts, n_bootstrap=60)).interval(**at)
        widths.append(float(high - low))
    assert widths[1] > 1.5 * widths[0]


def test_the_map_refuses_to_extrapolate_and_names_the_value():
    columns, found, hosts = simulated(600)
    model = completeness.fit(columns, found, Clusters(hosts, n_bootstrap=5))
    inside = dict(theta_e_arcsec=1.0, arc_snr_matched=40.0, psf_fwhm_r_arcsec=1.3)
    assert 0 < model(**inside) < 1
    with pytest.raises(DhsError, match="theta_e_arcsec = 5 is outside 0.5"):
        model(**inside | {"theta_e_arcsec": np.array([1.0, 5.0])})
    with pytest.raises(DhsError, match="does not extrapolate"):
        model(**inside | {"arc_snr_matched": np.nan})
    with pytest.raises(DhsError, match="the completeness map takes"):
        model(theta_e_arcsec=1.0)


def test_the_map_takes_grids_and_nothing_at_all():
    columns, found, hosts = simulated(600)
    model = completeness.fit(columns, found, Clusters(hosts, n_bootstrap=5))
    theta, snr = np.meshgrid([1.0, 2.0, 2.5], [20.0, 90.0])
    on_grid = model(theta_e_arcsec=theta, arc_snr_matched=snr, psf_fwhm_r_arcsec=1.3)
    assert on_grid.shape == (2, 3)
    assert on_grid[1, 2] == model(theta_e_arcsec=2.5, arc_snr_matched=90.0, psf_fwhm_r_arcsec=1.3)
    with pytest.raises(DhsError, match="theta_e_arcsec = 12.5 is outside .*2 such values"):
        model(theta_e_arcsec=np.where(theta > 2, 12.5, theta), arc_snr_matched=snr, psf_fwhm_r_arcsec=1.3)
    nothing = dict(theta_e_arcsec=[], arc_snr_matched=40.0, psf_fwhm_r_arcsec=1.3)
    assert model(**nothing).shape == (0,) and model.interval(**nothing)[1].shape == (0,)


def test_an_axis_is_left_out_whole_or_not_at_all():
    columns, found, hosts = simulated(600)
    clusters = Clusters(hosts, n_bootstrap=5)
    unknown = columns | {"psf_fwhm_r_arcsec": np.full(600, np.nan)}
    assert completeness.fit(unknown, found, clusters).axes == ("theta_e_arcsec", "arc_snr_matched")
    holes = columns | {"psf_fwhm_r_arcsec": np.where(np.arange(600) < 3, np.nan, columns["psf_fwhm_r_arcsec"])}
    with pytest.raises(DhsError, match="3 of 600 arcs have no psf_fwhm_r_arcsec"):
        completeness.fit(holes, found, clusters)
    with pytest.raises(DhsError, match="varies"):
        completeness.fit({name: np.ones(600) for name in columns}, found, clusters)


def test_parquet_round_trip(tmp_path):
    columns, found, hosts = simulated(600)
    model = completeness.fit(columns, found, Clusters(hosts, n_bootstrap=5), {"prior": "response grid"})
    table = completeness.cells(columns, found, EDGES | {"psf_fwhm_r_arcsec": (1.0, 1.6)})
    completeness.write(tmp_path / "c.parquet", table, model, {"fpr": 1e-3})
    again = completeness.CompletenessMap.read(tmp_path / "c.parquet")
    at = dict(theta_e_arcsec=[1.0, 2.0], arc_snr_matched=[20.0, 90.0], psf_fwhm_r_arcsec=[1.2, 1.4])
    np.testing.assert_allclose(again(**at), model(**at))
    np.testing.assert_allclose(again.interval(**at), model.interval(**at))
    stored = storage.read_table(tmp_path / "c.parquet").to_pylist()
    middle = dict(theta_e_arcsec=np.sqrt(2), arc_snr_matched=np.sqrt(90), psf_fwhm_r_arcsec=1.3)
    assert stored[2]["k"] == table[2]["k"] and stored[2]["model"] == pytest.approx(float(model(**middle)))
    completeness.write(tmp_path / "none.parquet", table, None, {}, "too few")
    with pytest.raises(DhsError, match="no smooth completeness .too few"):
        completeness.CompletenessMap.read(tmp_path / "none.parquet")


def test_too_few_found_gives_no_smooth_function():
    columns, _, hosts = simulated(300)
    with pytest.raises(DhsError, match="0 arcs found and 300 missed"):
        completeness.fit(columns, np.zeros(300, bool), Clusters(hosts))


def test_two_newton_steps_give_the_fit_to_a_bootstrap_draw():
    columns, found, hosts = simulated(1200)
    raw = np.log(np.stack([columns["theta_e_arcsec"], columns["arc_snr_matched"]], axis=1))
    terms = PolynomialFeatures(2).fit_transform((raw - raw.mean(axis=0)) / raw.std(axis=0))
    start = completeness._solve(terms, found, np.ones(1200), 3.0)
    draws = np.concatenate(list(Clusters(hosts, n_bootstrap=40).weights()))
    near = np.array([completeness._newton(terms, found, w, 3.0, start) for w in draws])
    refitted = np.array([completeness._solve(terms, found, w, 3.0) for w in draws])
    np.testing.assert_allclose(near.std(axis=0), refitted.std(axis=0), rtol=0.03)
    assert (np.sqrt(((near - refitted) ** 2).mean(axis=0)) < 0.05 * refitted.std(axis=0)).all()
