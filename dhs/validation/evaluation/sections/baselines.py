"""Classifiers that know little, beside the network."""

from __future__ import annotations

import numpy as np

from dhs.stats import metrics
from dhs.validation.evaluation.sections.base import Scored, section


@section("baselines")
def baselines(scored: Scored) -> dict:
    """AUROC of the network and of each baseline, on the validation and the test split."""
    val, test = scored.val, scored.test
    out = {"network": {"auroc": test.auroc("control"), "val": val.auroc("control")}}
    for name, splits in scored.found.baselines.items():
        found = {}
        for split, parts in splits.items():
            if not parts:
                found[split] = metrics.missing("empty split")
                continue
            positive, control = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
            hosts, sources = ([name for p in parts for name in p[i]] for i in (2, 3))
            n = len(positive)
            labels = np.repeat([True, False], n)
            both = np.concatenate([positive, control])
            source = np.array(sources + [""] * n)
            found[split] = metrics.auroc(both, labels, np.array(hosts * 2), source)
        out[name] = {"auroc": found["test"], "val": found["val"]}
    return out
