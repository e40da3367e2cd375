"""Pictures of pairs: how one is built, what the set covers, what was rejected, who the hosts are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from dhs.figures.style import BAND_COLOURS, BANDS, BLUE, GREY, ORANGE, RED, note, picture, skipped, styled


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
    figure, axes = plt.subplots(2, 4, figsize=(8.4, 4.6))
    picture(axes[0, 0], control, "control (host alone), g r z", scale_bar=3)
    if source is None:
        note(axes[0, 1], "source image not at hand")
    else:
        half = 0.5 * source.shape[0] * source_scale
        axes[0, 1].imshow(np.sqrt(np.clip(source, 0, None)), extent=(-half, half, -half, half), origin="lower")
        axes[0, 1].set(xticks=[], yticks=[])
        axes[0, 1].set_title(f'source before lensing, {2 * half:.1f}" wide', fontsize=7.5)
    picture(axes[0, 2], arc, "noiseless arc, g r z")
    picture(axes[0, 3], positive, "stamp = control + arc + shot noise")
    top = float(arc.max()) or 1.0
    for axis, band, plane in zip(axes[1, :3], BANDS, arc, strict=True):
        fwhm = float(row[f"psf_fwhm_{band}_arcsec"])
        scale = PowerNorm(0.5, vmin=0, vmax=top, clip=True)
        picture(axis, plane, f'arc in {band}, PSF FWHM {fwhm:.2f}"', norm=scale, cmap="magma")
    limit = 4 * float(np.std(noise)) or 1.0
    picture(axes[1, 3], noise, "stamp - control - arc, r: shot noise", vmin=-limit, vmax=limit, cmap="RdBu_r")
    figure.suptitle(
        f'θ_E = {row["theta_e_arcsec"]:.2f}", matched SNR {row["arc_snr_matched"]:.0f}, '
        f"max-pixel SNR {row['arc_snr_maxpix']:.0f}, magnification {row['magnification']:.1f}",
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
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6))
    picture(axes[0], np.asarray(row["control"]), "control", scale_bar=3)
    picture(axes[1], np.asarray(row["arc"]), f'+  arc, θ_E = {row["theta_e_arcsec"]:.2f}"')
    picture(axes[2], np.asarray(row["stamp"]), "=  stamp (with the arc's shot noise)")
    return figure


@styled
def pair_grid(rows: Sequence[Mapping]) -> Figure:
    """Pairs side by side: controls, noiseless arcs, stamps.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of a pairs data set, each with its positive under ``stamp``.
    """
    if not rows:
        return skipped("the data set is empty", "pairs")
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
def parameter_coverage(table) -> Figure:
    """Where the pairs lie in theta_E, both SNR measures, magnification and lens axis ratio.

    Parameters
    ----------
    table : pyarrow.Table
        Scalar columns of a pairs data set, ``pairs.table()``.
    """
    if not table.num_rows:
        return skipped("the data set is empty", "parameter coverage")
    frame = table.select(
        ["theta_e_arcsec", "arc_snr_matched", "arc_snr_maxpix", "magnification", "q", "split"]
    ).to_pandas()
    figure, axes = plt.subplots(2, 2, figsize=(7.4, 5.2))
    axes = axes.ravel()
    hue = {"hue": "split", "hue_order": ["train", "val", "test"], "palette": [BLUE, ORANGE, RED]}
    density = {"element": "step", "fill": False, "stat": "density", "common_norm": False, "bins": 12}
    sns.histplot(frame, x="theta_e_arcsec", ax=axes[0], **hue, **density)
    axes[0].set(xlabel="θ_E [arcsec]", ylabel="density")
    axes[1].scatter(frame["arc_snr_maxpix"], frame["arc_snr_matched"], s=3, alpha=0.4, color=BLUE, rasterized=True)
    axes[1].set(xscale="log", yscale="log", xlabel="arc SNR, maximum pixel, r", ylabel="arc SNR, matched filter, grz")
    sns.histplot(frame, x="magnification", ax=axes[2], log_scale=True, legend=False, **hue, **density)
    axes[2].set(xlabel="magnification", ylabel="density")
    sns.histplot(frame, x="q", ax=axes[3], legend=False, **hue, **density)
    axes[3].set(xlabel="lens axis ratio q", ylabel="density")
    sns.move_legend(axes[0], "lower center", title=None, frameon=True, fontsize=7)
    for axis in (axes[1].xaxis, axes[1].yaxis, axes[2].xaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    return figure


@styled
def rejections(manifest: Mapping) -> Figure:
    """Draws accepted and rejected, by reason.

    Parameters
    ----------
    manifest : mapping
        ``pairs.manifest``.
    """
    draws = manifest.get("draws") or {}
    counts = {"accepted": draws.get("accepted", 0)} | dict(
        sorted((draws.get("rejected") or {}).items(), key=lambda item: -item[1])
    )
    refused = (manifest.get("negatives") or {}).get("refused") or {}
    counts |= {f"hard negative: {reason}": n for reason, n in sorted(refused.items())}
    counts = {name.replace("_", " "): n for name, n in counts.items() if n}
    if not counts:
        return skipped("the manifest counts no draws", "accepted and rejected draws")
    figure, axis = plt.subplots(figsize=(6.4, 0.5 + 0.32 * len(counts)))
    bars = axis.barh(list(counts), list(counts.values()), color=[BLUE] + [GREY] * (len(counts) - 1))
    axis.bar_label(bars, padding=3, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("number of draws")
    axis.margins(x=0.12)
    return figure


@styled
def host_conditions(table) -> Figure:
    """Sky noise, seeing and position of the hosts, per band.

    Parameters
    ----------
    table : pyarrow.Table
        Scalar columns of a pairs data set.
    """
    if not table.num_rows:
        return skipped("the data set is empty", "observing conditions of the hosts")
    columns = [f"sky_sigma_{b}" for b in BANDS] + [f"psf_fwhm_{b}_arcsec" for b in BANDS] + ["ra", "dec", "host_id"]
    frame = table.select(columns).to_pandas().drop_duplicates("host_id")
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.8))
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
    axes[2].scatter(frame["ra"], frame["dec"], s=3, color=BLUE, alpha=0.5, rasterized=True)
    axes[2].set(xlabel="right ascension [deg]", ylabel="declination [deg]")
    axes[2].invert_xaxis()
    return figure


@styled
def sample_sheet(stamps: np.ndarray | Sequence[np.ndarray], titles: Sequence[str] = (), label: str = "") -> Figure:
    """A contact sheet of stamps, ten a row.

    Parameters
    ----------
    stamps : ndarray, (n, 3, y, x)
        Nanomaggies.
    titles : sequence of str
        One short line a stamp; may be empty.
    label : str
        Of the class.
    """
    if not len(stamps):
        return skipped("no stamp of this class", label)
    rows_ = -(-len(stamps) // 10)
    figure, axes = plt.subplots(rows_, 10, figsize=(9.6, 1.08 * rows_ + 0.25), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, (axis, image) in enumerate(zip(axes.flat, stamps)):
        picture(axis, np.asarray(image), scale_bar=3 if i == 0 else None)
        if len(titles):
            axis.set_title(titles[i], fontsize=6, pad=2, loc="center")
    if label:
        figure.suptitle(label, x=0.01, ha="left", fontsize=9)
    return figure
