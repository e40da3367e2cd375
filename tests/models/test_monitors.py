import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dhs.errors import DhsError, UsageError
from dhs.models.monitors import CsvTracker, WandbTracker, clustered_auroc


@pytest.mark.parametrize("decimals", [6, 0])
def test_value_agrees_with_scikit_learn_ties_included(decimals):
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(0.7, 1, 83).round(decimals), rng.normal(0, 1, 131).round(decimals)
    labels = np.repeat([1, 0], [83, 131])
    ours = clustered_auroc(positive, negative, np.arange(83), np.arange(83, 214))
    assert ours.value == pytest.approx(roc_auc_score(labels, np.concatenate([positive, negative])), abs=1e-12)
    assert ours.ci_low < ours.value < ours.ci_high


@pytest.mark.parametrize(("per_host", "paired"), [(1, True), (5, True), (5, False)])
def test_interval_has_the_width_of_a_host_bootstrap(per_host, paired):
    rng = np.random.default_rng(1)
    n_hosts = 60
    host = np.repeat(np.arange(n_hosts), per_host)
    effect = rng.normal(0, 1.5, n_hosts)
    positive = effect[host] + rng.normal(0.8, 1, len(host))
    other = effect if paired else rng.normal(0, 1.5, n_hosts)
    negative = other[host] + rng.normal(0, 1, len(host))
    negative_host = host if paired else host + n_hosts
    ours = clustered_auroc(positive, negative, host, negative_host)
    rows = np.arange(len(host)).reshape(n_hosts, per_host)
    labels = np.repeat([1, 0], len(host))
    draws = []
    for _ in range(600):
        first = rows[rng.integers(0, n_hosts, n_hosts)].ravel()
        second = first if paired else rows[rng.integers(0, n_hosts, n_hosts)].ravel()
        draws.append(roc_auc_score(labels, np.concatenate([positive[first], negative[second]])))
    low, high = np.percentile(draws, [2.5, 97.5])
    assert ours.ci_high - ours.ci_low == pytest.approx(high - low, rel=0.15)


def test_no_interval_below_eight_hosts_or_without_spread():
    few = clustered_auroc(np.arange(7.0), np.arange(7.0) - 0.5, np.arange(7), np.arange(7))
    assert few.value > 0.5 and np.isnan(few.ci_low) and np.isnan(few.ci_high)
    perfect = clustered_auroc(np.arange(10.0) + 20, np.arange(10.0), np.arange(10), np.arange(10))
    assert perfect.value == 1.0 and np.isnan(perfect.ci_low)
    assert np.isnan(clustered_auroc(np.empty(0), np.ones(3), np.empty(0), np.arange(3)).value)


def test_csv_tracker_keeps_earlier_rows(tmp_path):
    path = tmp_path / "new" / "history.csv"
    tracker = CsvTracker(str(path), [{"epoch": 1, "loss": 0.5}])
    tracker.log({"epoch": 2, "loss": 0.25})
    assert pd.read_csv(path).to_dict("list") == {"epoch": [1, 2], "loss": [0.5, 0.25]}


def test_wandb_asked_for_but_not_installed_says_how_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"pip install 'dark-halo-scope\[wandb\]', or leave wandb_project out"):
        WandbTracker("project", None, {}, str(tmp_path))


def test_wandb_gets_the_rows_and_is_closed(tmp_path, monkeypatch):
    calls = []
    run = SimpleNamespace(log=lambda row: calls.append(row), finish=lambda: calls.append("finished"))
    fake = SimpleNamespace(init=lambda **options: calls.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracker = WandbTracker("project", "name", {"lr": 1}, str(tmp_path))
    tracker.log({"epoch": 1})
    tracker.finish()
    assert calls[0] == {"project": "project", "name": "name", "config": {"lr": 1}, "dir": str(tmp_path)}
    assert calls[1:] == [{"epoch": 1}, "finished"]


def test_wandb_that_will_not_start_says_what_to_do(tmp_path, monkeypatch):
    def init(**options):
        raise RuntimeError("api_key not configured")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with pytest.raises(DhsError, match=r"api_key not configured.*WANDB_MODE=offline"):
        WandbTracker("project", None, {}, str(tmp_path))
