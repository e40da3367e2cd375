"""The chapter's own measurements: agreement, convergence and closure within their bounds."""

import numpy as np

from dhs.book.studies import renderer_checks
from dhs.config import SourcesConfig
from dhs.injection.sources.open import open_sources


def test_agreement_of_real_sources_is_within_the_bounds():
    found = renderer_checks.agreement(open_sources(SourcesConfig(spec="xdf"), 1), 6, 2)
    for name in ("error_over_peak", "flux_error", "centroid_px"):
        assert found[name].shape == (6,) and 0 < found[name].max() < 1e-3
    reference, difference = found["example"]
    worst = (np.abs(difference).max(axis=(1, 2)) / reference.max(axis=(1, 2))).max()
    assert worst == found["error_over_peak"].max()


def test_error_falls_with_the_number_of_sub_pixels():
    found = renderer_checks.convergence(open_sources(SourcesConfig(spec="xdf"), 1), 8, 2)
    median = np.median(found["error_over_peak"], axis=1)
    assert median[0] > median[1] > median[3] > median[5]
    assert median[list(found["factors"]).index(4)] < 0.005


def test_closure_is_analytic_to_a_thousandth():
    found = renderer_checks.closure()
    for name in ("magnification", "outer", "inner", "flux"):
        assert np.abs(found[name] - 1).max() < 1e-3, name
    assert abs(found["ring"] - 1) < 3e-3
