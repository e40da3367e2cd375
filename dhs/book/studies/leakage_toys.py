"""Three toys that show why common leakage checks mislead on pairs; every number of them is computed here.

The features are noise, so the truth is known: in the first toy nothing can be told apart, in the second everything can.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from dhs.random import Stream, keyed
from dhs.stats.crossfit import auc, cross_fit
from dhs.stats.metrics import concordance


def identical_pairs(n_pairs: int = 100, n_features: int = 20, repeats: int = 20, seed: int = 0) -> dict:
    """Pairs without an arc: positive and control are the same stamp, so no classifier can do better than 0.5.

    Where folds ignore the pairing, a test row's twin lies among the training rows with the other label, and the
    classifier is pushed to the wrong side.

    Returns
    -------
    dict
        ``ungrouped`` and ``grouped``: AUC of each repetition.
    """
    rng = keyed(seed, Stream.STUDY, 2)
    labels, hosts = np.repeat([True, False], n_pairs), np.tile(np.arange(n_pairs), 2)
    out: dict[str, list[float]] = {"ungrouped": [], "grouped": []}
    for repeat in range(repeats):
        stamp = rng.normal(size=(n_pairs, n_features))
        features = np.concatenate([stamp, stamp])
        folds = StratifiedKFold(5, shuffle=True, random_state=repeat)
        alone = cross_val_predict(LogisticRegression(), features, labels, cv=folds, method="decision_function")
        out["ungrouped"].append(auc(alone, labels))
        out["grouped"].append(auc(cross_fit(features, labels, hosts, 5).scores, labels))
    return out


def hidden_effect(effects=(0.0, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0), n_pairs: int = 400, seed: int = 0) -> list[dict]:
    """Pairs whose hosts differ by far more than the arc adds: the marginal AUC sees nothing, the pairs see all.

    A score is the host's own number (unit scatter) plus, in the positive, the effect, plus noise of a hundredth.

    Returns
    -------
    list of dict
        ``effect`` in units of the scatter between hosts, ``auc`` over all stamps, ``concordance`` within pairs.
    """
    rng = keyed(seed, Stream.STUDY, 3)
    labels, out = np.repeat([True, False], n_pairs), []
    for effect in effects:
        host = rng.normal(size=n_pairs)
        positive, control = (host + shift + 0.01 * rng.normal(size=n_pairs) for shift in (effect, 0.0))
        wins = concordance(positive, control, n_bootstrap=50).value
        out.append({"effect": effect, "auc": auc(np.concatenate([positive, control]), labels), "concordance": wins})
    return out


def fixed_threshold(gate: dict, threshold: float = 0.65) -> list[dict]:
    """What a fixed AUC threshold would say of each bin of a leakage gate whose arcs are honest physics.

    Parameters
    ----------
    gate : mapping
        A leakage gate of ``preflight.json``.
    threshold : float

    Returns
    -------
    list of dict
        ``lo, hi, expected`` (of physics), ``verdict``: ``refused`` where physics alone exceeds the threshold, else
        ``hides up to`` the leak that would go unnoticed below it.
    """
    out = []
    for entry in (gate.get("details") or {}).get("bins") or []:
        if entry.get("by") == "theta_e_arcsec" and entry.get("expected") is not None:
            room = threshold - entry["expected"]
            said = "refused" if room < 0 else f"hides up to {room:.2f}"
            out.append({"lo": entry["lo"], "hi": entry["hi"], "expected": entry["expected"], "verdict": said})
    return out
