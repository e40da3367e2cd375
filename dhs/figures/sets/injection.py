"""Pictures of the instrument: agreement, convergence, closure, gain, the two priors, speed."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from dhs.figures.style import BAND_COLOURS, BANDS, BLUE, GREY, ORANGE, RED, WIDTH, picture, skipped, stacked, styled

PUBLISHED_GAIN = 150.0  # electrons per nanomaggy, assumed in the published Poisson experiment
BOUND = 1e-3


@styled
def renderer_agreement(result: Mapping) -> Figure:
    """Fast renderer against lenstronomy: the worst draw, and the errors of all.

    Parameters
    ----------
    result : mapping
        `dhs.book.studies.renderer_checks.agreement`.
    """
    reference, difference = result["example"][:, 1]
    figure, axes = plt.subplot_mosaic("ab;cc", figsize=(WIDTH, 5.4), height_ratios=(1, 1.1))
    axes = [axes[k] for k in "abc"]
    picture(axes[0], np.sqrt(np.clip(reference, 0, None)), "lenstronomy (worst draw)", 3, cmap="magma")
    limit = max(float(np.abs(difference).max() / reference.max()), 1e-12)
    picture(axes[1], difference / reference.max(), "fast - lenstronomy", vmin=-limit, vmax=limit, cmap="RdBu_r")
    figure.colorbar(axes[1].images[0], ax=axes[1], label="over the peak", shrink=0.8, format="%.0e")
    labels = {"error_over_peak": "error / peak", "flux_error": "flux", "centroid_px": "centroid [px]"}
    for position, (name, colour) in enumerate(zip(labels, (BLUE, ORANGE, RED))):
        spread = np.linspace(-0.25, 0.25, len(result[name]))
        axes[2].plot(position + spread, np.maximum(result[name], 1e-9), "o", ms=3, color=colour, alpha=0.7)
    axes[2].axhline(BOUND, color=GREY, ls="--", lw=1)
    axes[2].text(2.4, BOUND * 1.15, "bound", ha="right", va="bottom", fontsize=9)
    axes[2].set(yscale="log", xticks=range(3), xticklabels=labels.values(), ylabel="difference", ylim=(1e-7, 4e-3))
    axes[2].set_title(f"{len(result['flux_error'])} random lenses, worst of three bands", fontsize=9)
    return figure


@styled
def convergence(result: Mapping, chosen: int) -> Figure:
    """Error of a supersampling factor: median and worst over lenses, of the greatest pixel and of the flux.

    Parameters
    ----------
    result : mapping
        `dhs.book.studies.renderer_checks.convergence`.
    chosen : int
        Factor of the run, marked.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    for name, colour, label in (("error_over_peak", BLUE, "pixel error / peak"), ("flux_error", ORANGE, "flux error")):
        values = result[name]
        axis.plot(result["factors"], np.median(values, axis=1), "o-", color=colour, label=f"{label}, median")
        axis.plot(result["factors"], values.max(axis=1), "^:", color=colour, label=f"{label}, worst", ms=4)
    axis.axvline(chosen, color=GREY, lw=1, ls="--")
    axis.set(
        xscale="log", yscale="log", xlabel="sub-pixels a side of a pixel", ylabel="error over the peak or the flux"
    )
    axis.set_xticks(result["factors"])
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.minorticks_off()
    axis.legend(fontsize=9)
    axis.set_title(f"{result['flux_error'].shape[1]} lenses; dashed: this run", fontsize=9)
    return figure


@styled
def closure(result: Mapping) -> Figure:
    """Rendered over analytic: magnification, both image positions and flux behind an isothermal sphere.

    Parameters
    ----------
    result : mapping
        `dhs.book.studies.renderer_checks.closure`.
    """
    figure, axis = plt.subplots(figsize=(5.2, 2.8))
    series = {
        "magnification": ("magnification", BLUE, "o"),
        "outer": ("outer image's position", ORANGE, "s"),
        "inner": ("inner image's position", RED, "^"),
        "flux": ("flux after the PSF", GREY, "D"),
    }
    for name, (label, colour, marker) in series.items():
        axis.plot(result["beta"], 1e4 * (result[name] - 1.0), marker, ls="-", lw=0.8, color=colour, label=label, ms=4)
    axis.axhline(0.0, color="black", lw=0.6)
    axis.set(xlabel='source offset [arcsec], θ_E = 1.5"', ylabel="rendered / analytic - 1 [1e-4]")
    axis.legend(fontsize=9)
    axis.set_title(f"ring of a centred source: {result['ring']:.4f} θ_E (thick by its size)", fontsize=9)
    return figure


@styled
def gain(table: pa.Table) -> Figure:
    """Derived gains, and what they do to an arc's noise.

    Parameters
    ----------
    table : pyarrow.Table
        Scalars of a pairs data set.
    """
    figure, axes = stacked([2.7, 2.7])
    gains = np.stack([np.asarray(table[f"gain_{band}"], dtype=float) for band in BANDS], axis=-1)
    for band, column in zip(BANDS, gains.T):
        bins = np.geomspace(100, 1e6, 60)
        axes[0].hist(column, bins, histtype="step", color=BAND_COLOURS[band], label=f"{band}, derived")
    axes[0].axvline(PUBLISHED_GAIN, color="black", ls="--", lw=1, label="150, assumed before")
    axes[0].set(xscale="log", xlabel="gain [electrons / nanomaggy]", ylabel="pairs")
    axes[0].set_ylim(0, 1.45 * axes[0].get_ylim()[1])
    axes[0].legend(fontsize=9, loc="upper left")
    snr = np.asarray(table["arc_snr_maxpix"], dtype=float)
    sigma = np.asarray(table["sky_sigma_r"], dtype=float)
    for value, colour, label in ((PUBLISHED_GAIN, RED, "150"), (gains[:, 1], BLUE, "derived")):
        axes[1].plot(
            snr, np.sqrt(snr / (value * sigma)), ".", ms=2, color=colour, label=f"gain {label}", rasterized=True
        )
    axes[1].axhline(1.0, color=GREY, lw=1)
    axes[1].set(
        xscale="log",
        yscale="log",
        xlabel="arc_snr_maxpix",
        ylabel="arc's shot noise / sky noise\nin the brightest pixel",
    )
    _plain_ticks(axes[1], (3, 5, 10, 20, 50))
    axes[1].legend(fontsize=9, markerscale=4)
    return figure


@styled
def photon_transfer(curves: Mapping[str, Mapping] | None) -> Figure:
    """Variance against brightness of real fields, with the slope measured and that of the gain derived from the sky.

    Parameters
    ----------
    curves : mapping of str to mapping, optional
        `dhs.book.studies.photon_transfer.photon_transfer` of r-band fields, with ``derived_gain`` added.
    """
    if not curves:
        return skipped("no real field with its inverse variance is at hand")
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    for colour, (name, curve) in zip((BLUE, ORANGE, RED), curves.items()):
        level, sky = curve["level"] / curve["sky_sigma"], curve["sky_sigma"] ** 2
        axis.plot(level, curve["variance"] / sky, "o", ms=4, color=colour, label=name)
        line = np.linspace(0, level.max(), 50)
        for key, style in (("gain", "-"), ("derived_gain", ":")):
            axis.plot(line, 1 + line / (curve[key] * curve["sky_sigma"]), style, color=colour, lw=1)
    axis.set(xlabel="brightness / sky noise", ylabel="variance / sky variance")
    axis.legend(title="solid: slope; dotted: derived", title_fontsize=9)
    return figure


def _plain_ticks(axis: Axes, ticks: tuple[float, ...]) -> None:
    axis.set_xticks(ticks)
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.minorticks_off()


@styled
def priors(tables: Mapping[str, pa.Table]) -> Figure:
    """What two or three priors draw.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Name to the scalars of a set.
    """

    def magnitude(table: pa.Table) -> np.ndarray:
        return 22.5 - 2.5 * np.log10(np.asarray(table["arc_flux_r"], dtype=float))  # of nanomaggies

    columns = (
        ("Einstein radius [arcsec]", lambda t: np.asarray(t["theta_e_arcsec"]), np.linspace(0.5, 3, 16)),
        ("matched SNR", lambda t: np.asarray(t["arc_snr_matched"]), np.geomspace(1, 1000, 20)),
        ("arc magnitude, r", magnitude, np.linspace(17, 26, 19)),
        ("magnification", lambda t: np.asarray(t["magnification"]), np.geomspace(2, 60, 16)),
    )
    figure, grid = plt.subplots(2, 2, figsize=(WIDTH, 4.6))
    axes = grid.ravel()
    for axis, (label, values, bins) in zip(axes, columns):
        for (name, table), colour in zip(tables.items(), (BLUE, ORANGE, GREY)):
            axis.hist(values(table), bins, histtype="step", density=True, color=colour, label=name)
        axis.set(xlabel=label, yticks=[])
        if bins[1] / bins[0] > 1.001 and label in ("matched SNR", "magnification"):
            axis.set_xscale("log")
            _plain_ticks(axis, (2, 5, 20) if label == "magnification" else (1, 10, 100, 1000))
    for row in grid:
        row[0].set_ylabel("density")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure
