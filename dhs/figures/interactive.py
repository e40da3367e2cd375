"""Things to play with on a page: precomputed numbers in the page, drawn by ``_static/dhs.js``, no server.

Each prints as HTML: a frame that the script fills, its numbers as JSON, and a sentence for where there is no script.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import beta

from dhs.artefacts.parts import absent
from dhs.figures.gates import Html, interval_name
from dhs.figures.sets.galaxies import INTERVENTIONS
from dhs.figures.style import kind_name, skipped
from dhs.figures.zoom import sprite

STEPS = 80  # thresholds of the slider
COLUMNS = 20  # stamps a row of a sprite
Z = 0.025


def play(kind: str, label: str, data: Mapping, picture: str = "") -> Html:
    """A frame for the script.

    Parameters
    ----------
    kind : str
        Of the plaything, as ``_static/dhs.js`` knows it.
    label : str
        What it is, for a reader who can't see it.
    data : mapping
        JSON-ready.
    picture : str
        Address of its sprite.
    """
    numbers = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    style = f' style="--sprite:url({picture})"' if picture else ""
    return Html(
        f'<div class="dhs-play" data-play="{kind}" role="group" aria-label="{html.escape(label)}"{style}>'
        f'<script type="application/json">{numbers}</script>'
        f"<p>{html.escape(label)} It needs the page's script, which did not run here.</p></div>"
    )


def explorer(found: Mapping) -> Html:
    """An arc of one's own: radius, source, brightness, seeing and noise, with the network's logits.

    Parameters
    ----------
    found : mapping
        Of `dhs.book.studies.explorer.explore`.
    """
    stamps = found["stamps"]
    data = {k: found[k] for k in ("axes", "control", "arc", "stamp", "decoy", "kind")}
    data |= {"columns": COLUMNS, "side": int(stamps.shape[-1]), "rows": -(-len(stamps) // COLUMNS)}
    return play("explorer", "Make an arc and see what the network says of it.", data, sprite(stamps, COLUMNS))


def interventions_play(galaxies: Sequence[Mapping]):
    """Galaxies under interventions, to tap through.

    Parameters
    ----------
    galaxies : sequence of mapping
        Of `dhs.book.studies.one_galaxy.under_interventions`.
    """
    if not galaxies:
        return skipped("no pair whose source is at hand")
    stamps, told = [], []
    for galaxy in galaxies:
        tiles = {t["name"]: t for t in galaxy["tiles"]}
        held = [tiles[name] for name in INTERVENTIONS if name in tiles]
        entries = []
        for tile in held:
            entries.append([INTERVENTIONS[tile["name"]], round(tile["logit"], 2), len(stamps)])
            stamps.append(tile["stamp"])
        about = f'Einstein radius {galaxy["theta_e_arcsec"]:.1f}", SNR {galaxy["arc_snr_matched"]:.0f}'
        told.append({"about": about, "tiles": entries})
    data = {"galaxies": told, "columns": COLUMNS, "side": int(np.asarray(stamps[0]).shape[-1])}
    data["rows"] = -(-len(stamps) // COLUMNS)
    label = "Change one thing about a galaxy's arc and see the network's logit."
    return play("interventions", label, data, sprite(stamps, COLUMNS))


def threshold_slider(scores, prevalence: float = 1e-4, split: str = "test"):
    """A threshold to move: recall, false alarms, look-alikes that pass, and candidates a lens.

    Parameters
    ----------
    scores : pyarrow.Table or DataFrame
        ``scores.parquet``.
    prevalence : float
        Lenses a galaxy of the sky.
    split : str
    """
    frame = scores.to_pandas() if hasattr(scores, "to_pandas") else scores
    frame = frame[frame["split"] == split] if (frame["split"] == split).any() else frame
    groups = {
        "lenses": frame.loc[frame["kind"] == "positive", "logit"].to_numpy(float),
        "survey galaxies": frame.loc[frame["kind"].str.startswith("survey_negative"), "logit"].to_numpy(float),
    }
    if not all(len(v) for v in groups.values()):
        return skipped("no survey negative was scored")
    groups["twins"] = frame.loc[frame["kind"] == "control", "logit"].to_numpy(float)
    for kind, part in frame[frame["kind"].str.startswith("hard_negative")].groupby("kind"):
        groups[kind_name(kind)] = part["logit"].to_numpy(float)
    groups = {k: v for k, v in groups.items() if len(v)}
    every = np.concatenate([groups["lenses"], groups["survey galaxies"]])
    thresholds = np.unique(np.round(np.quantile(every, np.linspace(0.02, 1.0, STEPS)), 3))
    rows = []
    for threshold in thresholds:
        passed = {k: int((v >= threshold).sum()) for k, v in groups.items()}
        rows.append([float(threshold), *passed.values()])
    data = {"groups": [[k, len(v)] for k, v in groups.items()], "rows": rows, "prevalence": prevalence}
    data["bounds"] = [[_bound(r[2], len(groups["survey galaxies"]), side) for side in (Z, 1 - Z)] for r in rows]
    data["recall_bounds"] = [[_bound(r[1], len(groups["lenses"]), side) for side in (Z, 1 - Z)] for r in rows]
    return play("threshold", "Move the threshold and see what passes.", data)


def _bound(k: int, n: int, side: float) -> float:
    """One end of the exact interval of a share."""
    if (k == 0 and side < 0.5) or (k == n and side > 0.5):
        return float(k == n)
    found = beta.ppf(side, k, n - k + 1) if side < 0.5 else beta.ppf(side, k + 1, n - k)
    return float(f"{found:.3g}")


def completeness_play(completeness: Mapping):
    """The completeness map, cell by cell under the pointer or the arrow keys.

    Parameters
    ----------
    completeness : mapping
        Of ``evaluation.json``.
    """
    if absent(completeness) or not completeness.get("cells"):
        return skipped(absent(completeness) or "no cell holds an arc")
    cells = completeness["cells"]
    radii = sorted({(c["theta_e_lo"], c["theta_e_hi"]) for c in cells})
    snrs = sorted({(c["snr_lo"], c["snr_hi"]) for c in cells}, reverse=True)
    held = {((c["theta_e_lo"], c["theta_e_hi"]), (c["snr_lo"], c["snr_hi"])): c for c in cells}
    told = []
    for snr in snrs:
        line = []
        for radius in radii:
            cell = held.get((radius, snr)) or {"n": 0, "k": 0}
            line.append([cell["n"], cell.get("k", 0), *(_rounded(cell.get(x)) for x in ("value", "ci_low", "ci_high"))])
        told.append(line)
    data = {
        "radii": [interval_name({"lo": a, "hi": b}) for a, b in radii],
        "snrs": [interval_name({"lo": a, "hi": b}) for a, b in snrs],
        "cells": told,
        "fpr": completeness.get("fpr"),
    }
    return play("completeness", "Share of arcs found, by Einstein radius and signal-to-noise ratio.", data)


def _rounded(value) -> float | None:
    return None if value is None else round(float(value), 3)
