"""Pictures of what a network looks at, and of what its ingredients are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dhs.figures.style import BLUE, GREY, ORANGE, WIDTH, extent, picture, says, signed, skipped, styled

if TYPE_CHECKING:  # torch and captum are not needed to draw
    from dhs.models.attribution import Attribution

HOW_TO_ABLATE = "no ablation of this data set. Run: dhs ablate --data-path {run}/pairs --out {run}/ablation"
HEADLINE = ("auroc", "core_swap_effect")
TITLES = {"auroc": "AUROC", "core_swap_effect": "core-swap effect"}


@styled
def attributions(found: Attribution, n: int = 4) -> Figure:
    """Integrated gradients of some pairs: positive, control, arc, and where the logit's rise comes from.

    Parameters
    ----------
    found : Attribution
    n : int
        Pairs drawn: spread evenly over the rise of the logit.
    """
    if not len(found.pair_id):
        return skipped("the split has no pair")
    order = np.argsort(found.logit_control - found.logit_positive)
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(n, len(order))).astype(int))]
    figure, axes = plt.subplots(len(chosen), 4, figsize=(WIDTH, 1.55 * len(chosen)), squeeze=False)
    for row, i in zip(axes, chosen):
        rise = found.logit_positive[i] - found.logit_control[i]
        picture(row[0], found.positive[i], f"logit {found.logit_positive[i]:.1f}")
        picture(row[1], found.control[i], f"twin {found.logit_control[i]:.1f}")
        picture(row[2], found.light[i, 1], f'θ_E {found.theta_e[i]:.2f}"', vmin=0, cmap="gray")
        values = found.maps[i].sum(0)
        limit = max(float(np.quantile(np.abs(values), 0.998)), 1e-12)
        row[3].imshow(values, extent=extent(values.shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
        row[3].set(xticks=[], yticks=[])
        row[3].set_title(f"rise {signed(rise)}", fontsize=9)
        ring = plt.Circle((0, 0), found.theta_e[i], fill=False, lw=1.0, ls=":", color="black")
        row[3].add_patch(ring)
    rises = ", ".join(signed(found.logit_positive[i] - found.logit_control[i]) for i in chosen)
    return says(
        figure, f"Pairs whose arc changed the logit by {rises}, each with the pixels that did it in red and blue."
    )


@styled
def attribution_profile(found: Attribution) -> Figure:
    """Where attribution and arc light lie, by radius over theta_E; median and middle half of the pairs."""
    if not len(found.pair_id):
        return skipped("the split has no pair")
    edges, attribution, light = found.profiles()
    middle = 0.5 * (edges[1:] + edges[:-1])
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    for values, colour, label in ((light, ORANGE, "arc light, r"), (attribution, BLUE, "attribution, absolute")):
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
        axis.fill_between(middle, low, high, color=colour, alpha=0.2, lw=0)
        axis.plot(middle, median, "o-", color=colour, label=label)
    axis.axvline(1.0, color=GREY, lw=0.8, ls=":")
    axis.set(xlabel="radius / Einstein radius", ylabel="share of the pair's total", ylim=(0, None))
    axis.legend(title=f"{len(found.pair_id)} pairs")
    peaks = [float(middle[np.argmax(np.median(v, axis=0))]) for v in (light, attribution)]
    return says(
        figure, "The arcs' light peaks at {:.2f} of the Einstein radius, the attribution at {:.2f}.".format(*peaks)
    )


@styled
def ablation(table: pd.DataFrame | None, run: str = "runs/demo") -> Figure:
    """Paired differences of every variant to the one it is compared with, with seeds and the test set's interval.

    Parameters
    ----------
    table : DataFrame, optional
        ``Ablation.table``; None draws the command that makes it.
    run : str
        Folder of the run, for that command.
    """
    if table is None or not len(table):
        return skipped(HOW_TO_ABLATE.format(run=run))
    rates = [m for m in table["metric"].unique() if str(m).startswith("tpr_fpr_")]
    shown = [*HEADLINE, *sorted(rates, key=lambda m: float(m.removeprefix("tpr_fpr_")))[:1]]
    variants = [v for v, rows in table.groupby("variant", sort=False) if (rows["against"] != "").any()]
    skips = table[table["status"] == "skip"].drop_duplicates("variant")
    names = [*variants, *skips["variant"]]
    figure, axes = plt.subplots(
        len(shown), 1, figsize=(WIDTH, len(shown) * (0.26 * len(names) + 0.7) + 0.4), sharey=True, squeeze=False
    )
    for axis, metric in zip(axes[:, 0], shown):
        rows = table[table["metric"] == metric].set_index("variant")
        axis.axvline(0, color=GREY, lw=0.8)
        for y, name in enumerate(names):
            if name not in rows.index or rows.loc[name, "status"] == "skip":
                axis.text(0, y, "skipped", fontsize=9, va="center", ha="center", color="#404040")
                continue
            row = rows.loc[name]
            if np.isfinite(row["ci_low"]):
                axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=BLUE, lw=1.6)
            axis.plot(
                row["difference"],
                y,
                "o",
                color=BLUE,
                ms=4.5,
                label="mean of seeds, 95 % of the test set" if y == 0 else None,
            )
            seeds = list(row["difference_by_seed"])
            axis.plot(seeds, [y] * len(seeds), "|", color=ORANGE, ms=9, mew=1.4, label="each seed" if y == 0 else None)
        title = TITLES.get(metric, f"recall at FPR {metric.removeprefix('tpr_fpr_')}")
        axis.set(title=title, xlabel="difference")
        axis.tick_params(axis="x", labelsize=8.6)
    labels = [_against(table, name) for name in names]
    for axis in axes[:, 0]:
        axis.set_yticks(range(len(names)), labels, fontsize=9)
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)
    handles, texts = axes[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, texts, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def ablation_table(table: pd.DataFrame | None):
    """The ablation in numbers: AUROC with its seeds, recall at the rates supported, core-swap effect, AUROC by theta_E,
    minutes a run; nothing where there is none.

    Parameters
    ----------
    table : DataFrame, optional
        ``Ablation.table``.
    """
    if table is None or not len(table):
        return skipped("no ablation of this data set")
    metrics = [m for m in table["metric"].unique() if isinstance(m, str)]
    names = {m: TITLES.get(m, _metric(m)) for m in metrics}
    rows = []
    for variant, found in table.groupby("variant", sort=False):
        first = found.iloc[0]
        row = {"variant": variant.replace("_", " ")}
        if first["status"] == "skip":
            rows.append(row | {"seeds": f"skipped: {first['reason']}"})
            continue
        row["seeds"] = ", ".join(f"{v:.3f}" for v in first["value_by_seed"])
        row |= {names[m]: f"{v:.3f}" for m, v in zip(found["metric"], found["value"])}
        rows.append(row | {"minutes": f"{first['minutes']:.1f}" if np.isfinite(first["minutes"]) else ""})
    shown = pd.DataFrame(rows).fillna("")
    order = ["variant", *(names[m] for m in metrics), "minutes", "seeds"]
    shown = shown[[c for c in order if c in shown]].rename(columns={"seeds": "AUROC by seed", "minutes": "min a run"})
    small = {"text-align": "left", "font-size": "75%"}
    heads = [{"selector": "th", "props": list(small.items())}]
    return shown.style.hide(axis="index").set_properties(**small).set_table_styles(heads)


def _metric(name: str) -> str:
    """``tpr_fpr_0.01`` and ``auroc_theta_e_0.5_1`` in words."""
    if name.startswith("auroc_theta_e_"):
        return 'AUROC {}-{}"'.format(*name.split("_")[-2:])
    return name.replace("tpr_fpr_", "recall at FPR ").replace("auroc_", "AUROC ")


def _against(table: pd.DataFrame, name: str) -> str:
    against = table.loc[table["variant"] == name, "against"].iloc[0]
    text = name.replace("_", " ")
    return text if against in ("", "reference") else f"{text} (against {against})"
