from types import SimpleNamespace

import numpy as np
import pytest

from dhs.config import PreflightConfig
from dhs.validation.preflight.gate import Skip
from dhs.validation.preflight.gates.assumptions import assumptions


def rows(n, assumed, images=False, shift=0.0):
    """n pairs on 24 hosts; the first ``assumed`` have a typical PSF, and their core gives more away by ``shift``."""
    flags = [["gain_assumed", *(["psf_assumed"] if i < assumed else [])] for i in range(n)]
    columns = {"flags": np.array([*flags, None], dtype=object)[:-1]}
    rng = np.random.default_rng(0)
    found = np.arange(n) if images else np.empty(0, int)
    core = {name: rng.normal(size=(len(found), 3)) for name in ("core_positive", "core_control")}
    core["core_positive"][:, 0] += np.where(found < assumed, shift, 0.0)
    hosts = np.array([f"h{i // 2 % 24}" for i in found])
    profile = SimpleNamespace(preflight=PreflightConfig(n_bootstrap=60), seed=1)
    return SimpleNamespace(
        n=n,
        n_images=len(found),
        image_rows=found,
        images=core,
        hosts=hosts,
        profile=profile,
        column=columns.__getitem__,
    )


@pytest.mark.parametrize(("assumed", "status"), [(0, "pass"), (40, "pass"), (61, "warn"), (120, "warn")])
def test_most_rows_on_an_assumed_psf_warn(assumed, status):
    found = assumptions(rows(120, assumed))
    assert (found.status, found.value, found.n) == (status, pytest.approx(assumed / 120), 120)
    assert found.details["rows"]["psf_assumed"] == assumed and found.details["rows"]["gain_assumed"] == 120
    assert found.details["rows"]["position_unknown"] == 0


def test_what_it_does_to_the_core_is_said_where_both_sides_can_be_measured():
    found = assumptions(rows(240, 120, images=True, shift=2.0))
    sides = found.details["core_auc"]
    assert sides["psf assumed"]["value"] > 0.85 and sides["psf of the host"]["value"] < 0.65
    assert "psf assumed: 0.9" in found.explanation
    few = assumptions(rows(240, 230, images=True)).details["core_auc"]
    assert "10 pairs" in few["psf of the host"] and few["psf assumed"]["n"]


def test_nothing_assumed_and_nothing_to_read():
    data = rows(10, 0)
    data.column = lambda name: np.array([["mock"]] * 10 + [None], dtype=object)[:-1]
    assert assumptions(data).status == "pass" and "own PSF" in assumptions(data).explanation
    with pytest.raises(Skip):
        assumptions(SimpleNamespace(n=0))
