"""Cutouts in memory and the real data, where there is any."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ["DHS_DATA_DIR"]) if os.environ.get("DHS_DATA_DIR") else None
needs_data = pytest.mark.skipif(DATA is None, reason="DHS_DATA_DIR is not set: no real data to test with")


def npz(**content) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    return buffer.getvalue()


def channel_first(size: int = 80, seed: int = 0, **changes) -> dict:
    """A plausible cutout: a Gaussian galaxy at pixel size // 2 on white noise. A change to None drops the key."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size // 2
    galaxy = np.exp(-(x**2 + y**2) / (2 * 3.0**2))
    peaks_and_sigmas = ((0.05, 0.0016), (0.2, 0.0026), (0.4, 0.0074))
    image = np.stack([peak * galaxy + rng.normal(0, sigma, galaxy.shape) for peak, sigma in peaks_and_sigmas])
    content = {
        "image_nmgy": image.astype(np.float32),
        "bands": np.array(["g", "r", "z"]),
        "ra": 150.0,
        "dec": 2.0,
        "pixscale": 0.262,
    }
    return {k: v for k, v in (content | changes).items() if v is not None}
