"""Sections of the evaluation on simulated scores, whose truth is known."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from dhs.validation.evaluation.discrimination import Scores, p_differs


def alike(profile, seed, n_hosts, per_host):
    """Pairs of hosts that differ among each other, but by nothing that a stratum of hosts could know."""
    rng = np.random.default_rng(seed)
    host, n = np.repeat(np.arange(n_hosts), per_host), n_hosts * per_host
    level, gain = 0.8 * rng.normal(size=n_hosts)[host], 1 + 0.7 * rng.normal(size=n_hosts)[host]
    columns = {
        "kind": ["positive"] * n + ["control"] * n,
        "host_id": np.tile(host, 2).astype(str),
        "source_id": [f"s{i}" for i in range(n)] + [""] * n,
        "logit": np.r_[level + gain, level] + 0.7 * rng.normal(size=2 * n),
        "sky_sigma_r": np.full(2 * n, 0.003),
        "psf_fwhm_r_arcsec": np.full(2 * n, 1.2),
    }
    return Scores.of(pa.table(columns), profile.evaluate, 0), np.tile(host, 2)


def test_strata_of_few_hosts_are_not_called_different_too_often(profile):
    found = []
    for seed in range(300):
        scores, host = alike(profile, seed, 60, 5)
        found.append(p_differs(scores, host < 10))
    share = int((np.array(found) < 0.05).sum())
    assert stats.binomtest(share, 300, 0.05).pvalue > 0.05


@pytest.mark.parametrize("inside, tested", [(5, False), (9, True), (55, False)])
def test_a_stratum_that_has_no_interval_has_no_p_value(profile, inside, tested):
    scores, host = alike(profile, 1, 60, 5)
    assert (p_differs(scores, host < inside) is not None) == tested
