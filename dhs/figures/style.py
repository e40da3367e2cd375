"""One style, a few helpers: every figure function of this room returns a matplotlib ``Figure``."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

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


WIDTH = 5.2  # inches of a figure: on a phone its column is 350 px wide, and type of 8.6 points is 8 px there
DPI = 200  # of the pictures in pages


class NoFigure:
    """What a figure function gives where there is nothing to draw: it prints as the reason; a page leaves it out."""

    def __init__(self, reason: str):
        self.reason = reason or "no data"

    def __repr__(self) -> str:
        return f"no figure: {self.reason}"


def skipped(reason: str | None) -> Any:
    """Why there is nothing to draw, instead of an empty picture."""
    return NoFigure(reason or "")


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw under the room's style and close the figure, so that a notebook shows it once, sharp, with its result in
    words: what `says` left on it."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs) -> Figure:
        with plt.style.context(str(STYLE)):
            figure = function(*args, **kwargs)
            if isinstance(figure, Figure):
                plt.close(figure)
                figure._repr_mimebundle_ = functools.partial(_shown, figure)
        return figure

    return wrapper


def _shown(figure: Figure, **_) -> tuple[dict, dict]:
    """Data and metadata of a figure as IPython displays it."""
    buffer = io.BytesIO()
    with plt.style.context(str(STYLE)):
        figure.savefig(buffer, format="png", dpi=DPI)
    about = {"width": round(120 * figure.get_figwidth()), "alt": getattr(figure, "alt", "")}
    return {"image/png": buffer.getvalue()}, {"image/png": {k: v for k, v in about.items() if v}}


def says(figure: Figure, alt: str) -> Figure:
    """The figure, with what it shows in words: its alternative text on a page."""
    figure.alt = alt
    return figure


def stacked(heights: Sequence[float], **kwargs):
    """A figure one phone wide and its panels, one below the other; heights in inches."""
    grid = {"height_ratios": list(heights)}
    return plt.subplots(len(heights), 1, figsize=(WIDTH, sum(heights)), gridspec_kw=grid, **kwargs)


def note(axis: Axes, reason: str, title: str = "") -> None:
    """Write a reason into an axis that has no data beside others that do."""
    axis.set_axis_off()
    text = reason or "no data"
    axis.text(0.5, 0.5, text, ha="center", va="center", wrap=True, transform=axis.transAxes, color="#404040")
    if title:
        axis.set_title(title)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign; zero has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def interval_text(metric: Mapping, digits: int = 2) -> str:
    """A value and its interval in words: ``0.91 (0.89 to 0.93)``."""
    value, low, high = (number(metric.get(k)) for k in ("value", "ci_low", "ci_high"))
    ends = f" ({low:.{digits}f} to {high:.{digits}f})" if np.isfinite([low, high]).all() else ""
    return f"{value:.{digits}f}{ends}"


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
        axis.set_title(title, fontsize=9)
    if scale_bar:
        x, y = box[0] * 0.9, box[2] * 0.86
        axis.plot([x, x + scale_bar], [y, y], color="white", lw=2, solid_capstyle="butt")
        axis.text(x, y + 0.4, f'{scale_bar:g}"', color="white", fontsize=9, va="bottom")


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


SHORT = {
    "azimuthal_shuffle": "shuffled arcs",
    "scrambled_geometry": "scrambled images",
    "companions": "blue companions",
    "merger": "mergers",
    "ring": "rings",
    "spiral": "spirals",
}


def kind_name(kind: str, entry: Mapping | None = None) -> str:
    """A kind of look-alike in two words."""
    name = kind.partition(":")[2] or kind
    for key, short in SHORT.items():
        if key in name:
            return short
    return str((entry or {}).get("label") or name.replace("_", " "))


KINDS = re.compile(r"\b(?:azimuthal_shuffle|companions|scrambled_geometry|lookalike_\w+)\b")
KEYS = {"theta_E": "Einstein radius", "arc_snr_maxpix": "SNR of the brightest pixel", "sigma_v": "velocity dispersion"}
KEYS |= {"arc_snr_matched": "matched SNR", "survey_negative": "survey galaxy", "hard_negative": "look-alike"}
NO_SIGN = re.compile(r"[-+](0\.0+)(?!\d)")


def in_words(text: str) -> str:
    """A gate's sentence without names of columns and kinds, and without a sign before zero."""
    text = KINDS.sub(lambda m: kind_name(m[0]), text)
    for key, words in KEYS.items():
        text = re.sub(rf"\b{key}s?\b", words, text)
    return NO_SIGN.sub(r"\1", text)
