"""One style, a few helpers: every figure function of this room returns a matplotlib ``Figure``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dhs.artefacts.parts import absent as absent
from dhs.picture import colour

BANDS = ("g", "r", "z")
PIXEL_SCALE = 0.262  # arcsec; of the stamps drawn
PALETTE = sns.color_palette("colorblind")
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, _, GREY = PALETTE[:8]
BAND_COLOURS = {"g": GREEN, "r": RED, "z": PURPLE}
STATUS_COLOURS = {"pass": BLUE, "warn": ORANGE, "fail": RED, "skip": GREY}
STATUS_MARKERS = {"pass": "o", "warn": "^", "fail": "X", "skip": "s"}
STYLE = resources.files("dhs.figures") / "dhs.mplstyle"


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw under the room's style and close the figure, so that a notebook shows it once."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs) -> Figure:
        with plt.style.context(str(STYLE)):
            figure = function(*args, **kwargs)
            plt.close(figure)
        return figure

    return wrapper


@styled
def skipped(reason: str, title: str = "") -> Figure:
    """A plain panel that says why there is nothing to draw.

    Parameters
    ----------
    reason : str
    title : str
        What would have been drawn.
    """
    figure, axis = plt.subplots(figsize=(6.4, 1.4))
    note(axis, reason, title)
    return figure


def note(axis: Axes, reason: str, title: str = "") -> None:
    """Write ``skipped: reason`` into an axis instead of data."""
    axis.set_axis_off()
    text = f"skipped: {reason or 'no data'}"
    axis.text(0.5, 0.5, text, ha="center", va="center", wrap=True, transform=axis.transAxes, color="#404040")
    if title:
        axis.set_title(title)


def extent(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Image extent in arcsec about the centre, of a (..., y, x) stamp at 0.262 arcsec a pixel."""
    half_y, half_x = (0.5 * n * PIXEL_SCALE for n in shape[-2:])
    return (-half_x, half_x, -half_y, half_y)


def picture(axis: Axes, image: np.ndarray, title: str = "", scale_bar: float | None = None, **kwargs) -> None:
    """Show a (3, y, x) stamp in colour or a (y, x) one in grey, without ticks; a scale bar in arcsec."""
    box = extent(image.shape)
    axis.imshow(colour(image) if image.ndim == 3 else image, extent=box, origin="lower", **kwargs)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if title:
        axis.set_title(title, fontsize=7.5)
    if scale_bar:
        x, y = box[0] * 0.9, box[2] * 0.86
        axis.plot([x, x + scale_bar], [y, y], color="white", lw=2, solid_capstyle="butt")
        axis.text(x, y + 0.4, f'{scale_bar:g}"', color="white", fontsize=7, va="bottom")


def number(value, default: float = np.nan) -> float:
    """A float of a JSON value; NaN of null."""
    return default if value is None else float(value)


def error_bar(metric: Mapping) -> tuple[float, float, float]:
    """Value and the two one-sided lengths of its interval; NaN where there is none."""
    value = number(metric.get("value"))
    low, high = number(metric.get("ci_low")), number(metric.get("ci_high"))
    return (
        value,
        max(value - low, 0) if np.isfinite(low) else np.nan,
        max(high - value, 0) if np.isfinite(high) else np.nan,
    )


def plot_interval(axis: Axes, position: float, metric: Mapping, horizontal: bool = True, **kwargs) -> None:
    """One value with its interval; the bar is left out where the artefact gives none."""
    value, below, above = error_bar(metric)
    if not np.isfinite(value):
        return
    bar = None if not np.isfinite([below, above]).all() else [[below], [above]]
    kwargs = {"fmt": "o", "capsize": 2.5, "elinewidth": 1.2} | kwargs
    if horizontal:
        axis.errorbar([value], [position], xerr=bar, **kwargs)
    else:
        axis.errorbar([position], [value], yerr=bar, **kwargs)
