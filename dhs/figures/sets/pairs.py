"""Pictures of pairs: how one is built, what the set covers, what was rejected, who the hosts are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from dhs.figures.style import (
    BAND_COLOURS,
    BANDS,
    BLUE,
    WIDTH,
    note,
    picture,
    says,
    skipped,
    stacked,
    styled,
)


@styled
def pair_build_up(row: Mapping, source: np.ndarray | None = None, source_scale: float = 0.03) -> Figure:
    """How one pair comes about: host, source, the noiseless arc per band, stamp, and what the arc left.

    Parameters
    ----------
    row : mapping
        One row of a pairs data set, ``pairs[i]``, with its positive under ``stamp`` (`dhs.stamp`).
    source : ndarray, (n, n), optional
        The source galaxy before lensing, any normalisation.
    source_scale : float
        Arcsec a pixel of ``source``.
    """
    control, arc = np.asarray(row["control"]), np.asarray(row["arc"])
    positive = np.asarray(row["stamp"])
    noise = (positive - control - arc)[1]
    figure, grid = plt.subplots(4, 2, figsize=(WIDTH, 11.0))
    axes = np.array([grid[:2].ravel(), grid[2:].ravel()])
    picture(axes[0, 0], control, "the twin: the galaxy alone", scale_bar=3)
    if source is None:
        note(axes[0, 1], "source image not at hand")
    else:
        half = 0.5 * source.shape[0] * source_scale
        axes[0, 1].imshow(np.sqrt(np.clip(source, 0, None)), extent=(-half, half, -half, half), origin="lower")
        axes[0, 1].set(xticks=[], yticks=[])
        axes[0, 1].set_title(f'the source, {2 * half:.1f}" wide', fontsize=9)
    picture(axes[0, 2], arc, "noiseless arc, g r z")
    picture(axes[0, 3], positive, "stamp = twin + arc + noise")
    top = float(arc.max()) or 1.0
    for axis, band, plane in zip(axes[1, :3], BANDS, arc, strict=True):
        fwhm = float(row[f"psf_fwhm_{band}_arcsec"])
        scale = PowerNorm(0.5, vmin=0, vmax=top, clip=True)
        picture(axis, plane, f'arc in {band}, PSF FWHM {fwhm:.2f}"', norm=scale, cmap="magma")
    limit = 4 * float(np.std(noise)) or 1.0
    picture(axes[1, 3], noise, "stamp - twin - arc: noise", vmin=-limit, vmax=limit, cmap="RdBu_r")
    figure.suptitle(
        f'θ_E = {row["theta_e_arcsec"]:.2f}", matched SNR {row["arc_snr_matched"]:.0f}, '
        f"magnification {row['magnification']:.1f}",
        fontsize=9,
    )
    return figure


@styled
def pair_strip(row: Mapping) -> Figure:
    """One pair in three pictures: control, noiseless arc, stamp.

    Parameters
    ----------
    row : mapping
        One row of a pairs data set, with its positive under ``stamp``.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.1))
    picture(axes[0], np.asarray(row["control"]), "twin", scale_bar=3)
    picture(axes[1], np.asarray(row["arc"]), f'+ arc, θ_E {row["theta_e_arcsec"]:.2f}"')
    picture(axes[2], np.asarray(row["stamp"]), "= stamp")
    return says(figure, "A galaxy without an arc, the arc alone, and the galaxy with the arc added: one pair.")


@styled
def pair_grid(rows: Sequence[Mapping]) -> Figure:
    """Pairs side by side: controls, noiseless arcs, stamps.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of a pairs data set, each with its positive under ``stamp``.
    """
    if not rows:
        return skipped("the data set is empty")
    figure, axes = plt.subplots(3, len(rows), figsize=(1.45 * len(rows), 4.7), squeeze=False)
    for column, row in enumerate(rows):
        title = f'{row["theta_e_arcsec"]:.2f}", SNR {row["arc_snr_matched"]:.0f}'
        picture(axes[0, column], row["control"], title, scale_bar=3 if column == 0 else None)
        picture(axes[1, column], row["arc"])
        picture(axes[2, column], row["stamp"])
    for axis, label in zip(axes[:, 0], ("control", "arc", "stamp"), strict=True):
        axis.set_ylabel(label)
    return figure


@styled
def snr_scatter(table) -> Figure:
    """The two measures of an arc's signal-to-noise against one another.

    Parameters
    ----------
    table : pyarrow.Table
        Scalar columns of a pairs data set, ``pairs.table()``.
    """
    if not table.num_rows:
        return skipped("the data set is empty")
    frame = table.select(["arc_snr_matched", "arc_snr_maxpix"]).to_pandas()
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    axis.plot(frame["arc_snr_maxpix"], frame["arc_snr_matched"], ".", ms=3, alpha=0.5, color=BLUE, rasterized=True)
    axis.set(xscale="log", yscale="log", xlabel="brightest pixel of the arc in r, over its noise")
    axis.set_ylabel("matched filter, g, r and z")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        scale.set_major_formatter(ScalarFormatter())
        scale.set_minor_formatter(NullFormatter())
    ratio = float((frame["arc_snr_matched"] / frame["arc_snr_maxpix"]).median())
    return says(
        figure, f"Of {len(frame):,} arcs the matched SNR is {ratio:.1f} times that of the brightest pixel, median."
    )


@styled
def host_conditions(table) -> Figure:
    """Sky noise and seeing of the hosts, per band.

    Parameters
    ----------
    table : pyarrow.Table
        Scalar columns of a pairs data set.
    """
    if not table.num_rows:
        return skipped("the data set is empty")
    columns = [f"sky_sigma_{b}" for b in BANDS] + [f"psf_fwhm_{b}_arcsec" for b in BANDS] + ["host_id"]
    frame = table.select(columns).to_pandas().drop_duplicates("host_id")
    figure, axes = stacked([2.5, 2.5])
    for band in BANDS:
        for axis, name in ((axes[0], f"sky_sigma_{band}"), (axes[1], f"psf_fwhm_{band}_arcsec")):
            values = frame[name].to_numpy(dtype=float)
            axis.hist(
                values[np.isfinite(values)],
                bins=25,
                histtype="step",
                color=BAND_COLOURS[band],
                label=band,
                lw=1.4,
            )
    axes[0].set(xlabel="sky noise per pixel [nanomaggies]", ylabel="hosts")
    axes[1].set(xlabel="PSF FWHM [arcsec]", ylabel="hosts")
    axes[1].legend(title="band")
    return figure
