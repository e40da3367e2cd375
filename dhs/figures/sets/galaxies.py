"""Pictures of single galaxies: twin, lens and look-alike; the kinds of look-alike; one galaxy under interventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from dhs.figures.style import WIDTH, kind_name, picture, says, signed, skipped, styled

INTERVENTIONS = {
    "whole": "as it is",
    "arc_removed": "arc removed",
    "core_light_removed": "core light out",
    "source_occulted": "brightest out",
    "ring_added": "plain ring",
    "arc_rotated": "turned",
    "colour_of_host": "host's colours",
    "noise_redrawn": "new noise",
}
"""What is shown of `dhs.validation.evaluation.counterfactuals`, in two words; ``whole`` is the positive itself."""


@styled
def one_galaxy(tiles: Sequence[Mapping]) -> Figure:
    """One galaxy under interventions, with the network's logit under each.

    Parameters
    ----------
    tiles : sequence of mapping
        ``name`` of an intervention, ``stamp`` (3, y, x) nanomaggies, ``logit``.
    """
    held = {t["name"]: t for t in tiles}
    tiles = [held[name] for name in INTERVENTIONS if name in held]
    if not tiles:
        return skipped("no pair whose source is at hand")
    columns = 4
    lines = -(-len(tiles) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, 1.85 * lines), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, (axis, tile) in enumerate(zip(axes.flat, tiles)):
        title = f"{INTERVENTIONS[tile['name']]}\nlogit {signed(tile['logit'])}"
        picture(axis, tile["stamp"], title, scale_bar=3 if i == 0 else None)
    said = ", ".join(f"{INTERVENTIONS[t['name']]} {signed(t['logit'])}" for t in tiles)
    return says(figure, f"One galaxy, and the network's logit under each change: {said}.")


@styled
def pair_columns(rows: Sequence[Mapping], n: int = 6) -> Figure:
    """One column a galaxy: its twin without an arc, with the arc, with a look-alike in the arc's place.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of a pairs data set with ``stamp`` and ``decoy`` (3, y, x) and the decoy's ``kind``.
    n : int
        Columns.
    """
    rows = list(rows)[:n]
    if not rows:
        return skipped("no pair with a look-alike")
    figure, axes = plt.subplots(3, len(rows), figsize=(WIDTH, 3.1 * WIDTH / max(len(rows), 4) + 0.3), squeeze=False)
    for column, row in enumerate(rows):
        title = f'{row["theta_e_arcsec"]:.1f}"'
        picture(axes[0, column], np.asarray(row["control"]), title, scale_bar=3 if column == 0 else None)
        picture(axes[1, column], np.asarray(row["stamp"]))
        picture(axes[2, column], np.asarray(row["decoy"]))
    for axis, label in zip(axes[:, 0], ("twin", "with arc", "look-alike"), strict=True):
        axis.set_ylabel(label)
    kinds = ", ".join(kind_name(r["kind"]) for r in rows)
    return says(figure, f"{len(rows)} galaxies, each without an arc, with one, and with a look-alike: {kinds}.")


@styled
def look_alikes(kinds: Mapping[str, Sequence[Mapping]], columns: int = 4) -> Figure:
    """A row of each kind of look-alike.

    Parameters
    ----------
    kinds : mapping of str to sequence of mapping
        Kind to its examples, each with ``stamp`` (3, y, x) and, where it was scored, ``logit``.
    columns : int
    """
    kinds = {k: list(v)[:columns] for k, v in kinds.items() if v}
    if not kinds:
        return skipped("the set holds no look-alike")
    side = (WIDTH - 0.3) / columns
    figure, axes = plt.subplots(len(kinds), columns, figsize=(WIDTH, (side + 0.24) * len(kinds)), squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], frame_on=False)
    for line, (kind, examples) in zip(axes, kinds.items()):
        for i, (axis, example) in enumerate(zip(line, examples)):
            logit = example.get("logit")
            title = "" if logit is None else f"logit {signed(logit)}"
            picture(axis, np.asarray(example["stamp"]), title, 3 if i == 0 and line is axes[0] else None)
        line[0].set_ylabel(kind_name(kind), fontsize=9)
    return says(figure, f"{len(kinds)} kinds of look-alike: " + ", ".join(kind_name(k) for k in kinds) + ".")
