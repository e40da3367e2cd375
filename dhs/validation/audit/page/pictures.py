"""Stamps and maps as PNG, embedded in a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from dhs.validation.audit import geometry as geo

ENLARGED = 128  # pixels: small stamps are drawn larger by whole factors
FAINT, BRIGHT = 2.0, 60.0  # of the set's scale: where the stretch is linear, and what is white


def embedded(levels: np.ndarray) -> str:
    """``src`` of (y, x) or (y, x, 3) uint8, north up."""
    factor = max(1, ENLARGED // max(levels.shape[:2]))
    levels = np.repeat(np.repeat(levels[::-1], factor, axis=0), factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def stamp(image: np.ndarray, scale: np.ndarray, display: bool = False) -> str:
    """A stamp (bands, y, x): its last, middle and first band as red, green and blue, asinh of the set's scale."""
    bands = len(image)
    chosen = (
        image[[bands - 1, (bands - 1) // 2, 0]]
        if bands >= 3 and not display
        else image[:3]
        if bands >= 3
        else image[:1]
    )
    if display:
        levels = np.clip(chosen / max(float(np.nanmax(image)), 1e-12), 0, 1)
    else:
        width = scale[[bands - 1, (bands - 1) // 2, 0]] if bands >= 3 else scale[:1]
        sky = np.median(chosen[:, geo.outskirts(image.shape[-2:])], axis=1)
        x = (chosen - sky[:, None, None]) / width[:, None, None]
        levels = np.clip((np.arcsinh(x / FAINT) + 0.6) / (np.arcsinh(BRIGHT / FAINT) + 0.6), 0, 1)
    levels = np.round(255 * np.nan_to_num(levels)).astype(np.uint8)
    return embedded(levels.transpose(1, 2, 0) if len(levels) == 3 else levels[0])


def signed(values: np.ndarray, limit: float) -> str:
    """A map (y, x): blue below, red above 0, full colour at ``limit``."""
    x = np.clip(np.nan_to_num(values) / max(limit, 1e-12), -1, 1)[..., None]
    red, blue, middle = (np.array(c, float) for c in ((178, 24, 43), (33, 102, 172), (247, 247, 247)))
    out = np.where(x > 0, middle + (red - middle) * x, middle + (blue - middle) * -x)
    return embedded(np.round(out).astype(np.uint8))
