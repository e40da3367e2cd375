"""What is measured on each stamp: families of numbers, whatever the survey, the bands and the side.

Fluxes are divided by one number a band for the whole set, never by a stamp's own noise or light: a difference of scale
between two classes must stay a difference.
"""

from __future__ import annotations

import numpy as np

from dhs.validation.audit import geometry as geo

FAMILIES = ("border", "corners", "outskirts", "core", "radial profile", "noise power")
FAMILIES += ("quantisation", "zeros and limits", "noise", "blocks and stripes", "centring", "photometry")
BLOCKS = (2, 4, 8, 16)
STEPS = 1e-6


class Names:
    """Columns of one family with what they are."""

    def __init__(self, bands):
        self.bands, self.columns, self.names = bands, [], []

    def add(self, name: str, values: np.ndarray) -> None:
        """(k, bands) or (k,) values."""
        if values.ndim == 1:
            values, names = values[:, None], [name]
        else:
            names = [f"{name}, {b}" for b in self.bands]
        self.columns.append(values)
        self.names += names

    def done(self) -> tuple[np.ndarray, list[str]]:
        return np.nan_to_num(
            np.concatenate(self.columns, axis=1).astype(np.float32), posinf=1e9, neginf=-1e9
        ), self.names


def scale_of(images: np.ndarray) -> np.ndarray:
    """(bands,) the set's scale: the median over stamps of the outskirts' scatter, never 0."""
    flat = images[..., geo.outskirts(images.shape[-2:])]
    with np.errstate(invalid="ignore"):
        mad = 1.4826 * np.nanmedian(np.abs(flat - np.nanmedian(flat, axis=-1, keepdims=True)), axis=-1)
    out = np.nanmedian(mad, axis=0)
    rest = np.nanstd(np.where(np.isfinite(images), images, np.nan), axis=(0, 2, 3)) * 1e-2
    out = np.where(out > 0, out, rest)
    return np.where(np.isfinite(out) & (out > 0), out, 1.0)


def high_pass(images: np.ndarray) -> np.ndarray:
    """Each pixel less the mean of its four neighbours, mirrored at the edges."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return images - around / 4


def measure(
    raw: np.ndarray, scale: np.ndarray, bands: tuple[str, ...], families: tuple[str, ...] = FAMILIES
) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Families of numbers of some stamps.

    Parameters
    ----------
    raw : ndarray, (k, bands, y, x) float32
        In the set's own unit; NaN where nothing was measured.
    scale : ndarray, (bands,)
        Of `scale_of`.
    bands : tuple of str
    families : tuple of str
        Which of `FAMILIES`.

    Returns
    -------
    dict of str to (ndarray (k, d), list of str)
        Values and what they are.
    """
    shape = raw.shape[-2:]
    good = np.isfinite(raw)
    image = raw / scale[:, None, None].astype(np.float32)
    out = geo.outskirts(shape)
    whole = bool(good.all())
    sky = np.median(image[..., out], axis=-1) if whole else np.nan_to_num(np.nanmedian(image[..., out], axis=-1))
    image = image if whole else np.where(good, image, sky[..., None, None])
    rough = high_pass(image)
    flat = image.reshape(*image.shape[:2], -1)
    far = rough[..., out]
    sigma = _mad(far) / np.sqrt(1.25) if {"noise", "blocks and stripes"} & {*families} else sky
    of = {
        "border": lambda: _border(image, bands),
        "corners": lambda: _corners(image, bands),
        "outskirts": lambda: _outskirts(image, flat, sky, bands),
        "core": lambda: _means(flat, shape, "core", bands),
        "radial profile": lambda: _means(flat, shape, "rings", bands),
        "noise power": lambda: _power(image, sky, bands),
        "quantisation": lambda: _quantisation(raw[..., out], scale, bands),
        "zeros and limits": lambda: _limits(raw, good, out, bands),
        "noise": lambda: _noise(rough, image[..., out], sigma, out, bands),
        "blocks and stripes": lambda: _blocks(rough, sigma, out, bands),
        "centring": lambda: _centring(image - sky[..., None, None], bands),
        "photometry": lambda: _photometry(flat - sky[..., None], shape, bands),
    }
    return {name: of[name]().done() for name in families}


def _log(x) -> np.ndarray:
    return np.log(np.maximum(x, STEPS))


def _mad(x: np.ndarray) -> np.ndarray:
    return 1.4826 * np.median(np.abs(x - np.median(x, axis=-1, keepdims=True)), axis=-1)


def _border(image, bands) -> Names:
    """Mean, scatter and step of the outermost pixels on each side."""
    n, found = geo.FRAME_PX, Names(bands)
    sides = {"bottom": image, "top": image[..., ::-1, :], "left": image.swapaxes(-1, -2)}
    sides["right"] = sides["left"][..., ::-1, :]
    for side, turned in sides.items():
        edge = turned[..., :n, :].reshape(*image.shape[:2], -1)
        found.add(f"mean, {side}", np.arcsinh(np.median(edge, axis=-1)))
        found.add(f"scatter, {side}", _log(_mad(edge)))
        found.add(f"first line, {side}", np.arcsinh(turned[..., 0, :].mean(-1) - turned[..., n, :].mean(-1)))
    return found


def _corners(image, bands) -> Names:
    c, found = geo.corner(image.shape[-2:]), Names(bands)
    for name, y, x in (("SW", 0, 0), ("SE", 0, 1), ("NW", 1, 0), ("NE", 1, 1)):
        part = image[..., slice(-c, None) if y else slice(c), slice(-c, None) if x else slice(c)]
        part = part.reshape(*image.shape[:2], -1)
        found.add(f"mean, {name}", np.arcsinh(np.median(part, axis=-1)))
        found.add(f"scatter, {name}", _log(_mad(part)))
    return found


def _means(flat, shape, what: str, bands) -> Names:
    found = Names(bands)
    means = np.arcsinh(flat @ geo.membership(shape, what))
    for i in range(means.shape[-1]):
        found.add(f"mean of place {i + 1}", means[..., i])
    return found


def _outskirts(image, flat, sky, bands) -> Names:
    found = _means(flat, image.shape[-2:], "outskirts", bands)
    far = image[..., geo.outskirts(image.shape[-2:])] - sky[..., None]
    found.add("scatter", _log(_mad(far)))
    found.add("share of bright pixels", (far > 5 * np.maximum(_mad(far), STEPS)[..., None]).mean(-1))
    return found


def _power(image, sky, bands) -> Names:
    """Power of the four corners' pixels by frequency and direction, neighbours clipped."""
    c = min(16, min(image.shape[-2:]) // 2)
    found, window = Names(bands), np.outer(np.hanning(c + 2)[1:-1], np.hanning(c + 2)[1:-1]).astype(np.float32)
    light = image - sky[..., None, None]
    total = 0.0
    for y in (slice(c), slice(-c, None)):
        for x in (slice(c), slice(-c, None)):
            part = light[..., y, x]
            spread = 4 * np.maximum(_mad(part.reshape(*part.shape[:2], -1)), STEPS)[..., None, None]
            part = np.clip(part, -spread, spread)
            part = part - part.mean(axis=(-2, -1), keepdims=True)
            total = total + np.abs(np.fft.rfft2(part * window)) ** 2
    ky, kx = np.abs(np.fft.fftfreq(c))[:, None], np.fft.rfftfreq(c)[None, :]
    k = np.hypot(ky, kx)
    for name, low, high in (("low", 0.05, 0.18), ("middle", 0.18, 0.32), ("high", 0.32, 0.45), ("highest", 0.45, 0.8)):
        found.add(f"power, {name} frequencies", _log(total[..., (k >= low) & (k < high)].mean(-1)))
    found.add("power along rows", _log(total[..., (kx > 0.25) & (ky < 0.15)].mean(-1)))
    found.add("power along columns", _log(total[..., (ky > 0.25) & (kx < 0.15)].mean(-1)))
    return found


def _quantisation(far, scale, bands) -> Names:
    """Of the outskirts: repeated values, the least gap, how many bits are used; light has others."""
    found = Names(bands)
    values = np.sort(np.nan_to_num(far), axis=-1)
    step = np.diff(values, axis=-1)
    found.add("repeated values", (step == 0).mean(-1))
    gap = np.where(step > 0, step, np.inf).min(-1)
    found.add("least step", _log(np.where(np.isfinite(gap), gap, 0) / scale))
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    low = bits & -bits
    zeros = np.where(bits == 0, 23, np.log2(np.maximum(low, 1).astype(np.float32)))
    found.add(
        "unused bits", np.round(2 * np.minimum(zeros, 23).mean(-1)) / 2
    )  # a sum of two floats loses some, honestly
    found.add("whole numbers", (values == np.rint(values)).mean(-1))
    return found


def _limits(raw, good, out, bands) -> Names:
    """Over the frame, but where light would count in the outskirts."""
    found = Names(bands)
    flat = np.where(good, raw, 0).reshape(*raw.shape[:2], -1)
    found.add("exact zeros", (flat == 0).mean(-1))
    found.add("missing pixels", 1 - good.reshape(flat.shape).mean(-1))
    found.add("pixels at the greatest value", (flat == flat.max(-1, keepdims=True)).mean(-1))
    found.add("pixels at the least value", (flat == flat.min(-1, keepdims=True)).mean(-1))
    far = np.where(good, raw, 0)
    found.add("negative pixels", (far[..., out] < 0).mean(-1))
    found.add("equal neighbours", (np.diff(far, axis=-1) == 0)[..., out[:, 1:] & out[:, :-1]].mean(-1))
    return found


def _noise(rough, far, sigma, out, bands) -> Names:
    """Level, correlation and tails of the outskirts' noise."""
    found = Names(bands)
    found.add("noise a pixel", _log(sigma))
    found.add("scatter over noise a pixel", _log(_mad(far)) - _log(sigma))
    clipped = np.clip(rough, -4 * sigma[..., None, None] - STEPS, 4 * sigma[..., None, None] + STEPS)
    power = np.maximum((clipped[..., out] ** 2).mean(-1), STEPS**2)
    for name, dy, dx in (
        ("x", 0, 1),
        ("y", 1, 0),
        ("diagonal", 1, 1),
        ("x, two pixels", 0, 2),
        ("y, two pixels", 2, 0),
    ):
        a, b = clipped[..., dy:, dx:], clipped[..., : clipped.shape[-2] - dy, : clipped.shape[-1] - dx]
        both = out[dy:, dx:] & out[: out.shape[0] - dy, : out.shape[1] - dx]
        found.add(f"correlation in {name}", (a * b)[..., both].mean(-1) / power)
    q = np.quantile(rough[..., out], (0.01, 0.25, 0.5, 0.75, 0.99), axis=-1)
    width = np.maximum(q[3] - q[1], STEPS)
    found.add("tails", (q[4] - q[0]) / width)
    found.add("skewness", (q[4] + q[0] - 2 * q[2]) / width)
    return found


def _blocks(rough, sigma, out, bands) -> Names:
    """In the outskirts: steps at every 2nd, 4th, 8th, 16th line against the other lines, stripes, chequers."""
    found = Names(bands)
    limit = 4 * np.maximum(sigma, STEPS)[..., None, None]
    clipped = np.where(out, np.clip(rough, -limit, limit), 0)
    for axis, name in ((-2, "columns"), (-1, "rows")):
        count = np.maximum(out.sum(axis=axis), 1)
        lines = np.abs(clipped).sum(axis=axis) / count
        for period in BLOCKS:
            n = lines.shape[-1] // period * period
            if n < 2 * period:
                continue
            phases = lines[..., :n].reshape(*lines.shape[:2], -1, period).mean(axis=-2)
            found.add(f"every {period} {name}", _log(phases.max(-1)) - _log(np.median(phases, axis=-1)))
        found.add(f"stripes in {name}", _log(_mad(clipped.sum(axis=axis) / np.sqrt(count))) - _log(sigma))
    sign = (-1.0) ** np.add.outer(np.arange(rough.shape[-2]), np.arange(rough.shape[-1]))
    chequers = np.abs((clipped * sign.astype(np.float32)).sum(axis=(-1, -2))) / out.sum()
    found.add("chequers", chequers / np.maximum(sigma, STEPS))
    return found


def _centring(light, bands) -> Names:
    """Where the light of the middle lies, all bands together."""
    total, shape = light.sum(axis=1), light.shape[-2:]
    weight = np.exp(-0.5 * (geo.radius(shape) / 0.2) ** 2).astype(np.float32)
    weighted = np.clip(total, 0, None) * weight
    flux = np.maximum(weighted.sum(axis=(-1, -2)), STEPS)
    y, x = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in shape)
    at_x, at_y = weighted.sum(-2) @ x / flux, weighted.sum(-1) @ y / flux
    found = Names(bands)
    found.add("centroid, x", at_x)
    found.add("centroid, y", at_y)
    found.add("centroid, distance", np.hypot(at_x, at_y))
    peak = np.argmax(np.where(geo.radius(shape) < 0.3, total, -np.inf).reshape(len(total), -1), axis=-1)
    found.add("brightest pixel, x", x[peak % shape[1]])
    found.add("brightest pixel, y", y[peak // shape[1]])
    return found


def _photometry(flat, shape, bands) -> Names:
    found, r = Names(bands), geo.radius(shape).ravel()
    inner, wide = flat[..., r < 0.2].sum(-1), flat[..., r < 0.5].sum(-1)
    found.add("flux within a fifth", np.arcsinh(inner))
    found.add("flux within a half", np.arcsinh(wide))
    found.add("concentration", np.clip(inner / np.where(np.abs(wide) > STEPS, wide, STEPS), -2, 3))
    for i in range(len(bands) - 1):
        names = f"{bands[i]} - {bands[i + 1]}"
        found.add(f"colour {names}, middle", np.arcsinh(inner[:, i]) - np.arcsinh(inner[:, i + 1]))
        zone = wide - inner
        found.add(f"colour {names}, around it", np.arcsinh(zone[:, i]) - np.arcsinh(zone[:, i + 1]))
    return found
