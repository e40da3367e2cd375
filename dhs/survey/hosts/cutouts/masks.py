"""Masks that come with a cutout, in whatever layout: which of its pixels are spoilt."""

from __future__ import annotations

import numpy as np

# Bits of MASKBITS (legacysurvey.org/dr10/bitmasks) that spoil a stamp.
MASKBITS = {
    "BRIGHT": 1,
    "SATUR_G": 2,
    "SATUR_R": 3,
    "SATUR_Z": 4,
    "ALLMASK_G": 5,
    "ALLMASK_R": 6,
    "ALLMASK_Z": 7,
    "BAILOUT": 10,
    "MEDIUM": 11,
    "GALAXY": 12,
    "CLUSTER": 13,
}
SPOILT = sum(1 << bit for bit in MASKBITS.values())


def bits_set(maskbits: np.ndarray) -> np.ndarray:
    """Pixels, bool, in which a bit of `MASKBITS` is set."""
    return (maskbits.astype(np.int64) & SPOILT) != 0


def names_set(maskbits: np.ndarray) -> list[str]:
    """Names of the bits that are set anywhere."""
    found = np.bitwise_or.reduce(maskbits.astype(np.int64), axis=None)
    return [name for name, bit in MASKBITS.items() if found & (1 << bit)]


def spoilt(mask, maskbits, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Pixels of an image that its masks call bad, or None where no mask came with it.

    Parameters
    ----------
    mask : array_like or None, (y, x) or (bands, y, x)
        Whole numbers or bool; anything but 0 is bad.
    maskbits : array_like or None, likewise
        The survey's bits; those of `MASKBITS` are bad.
    shape : (bands, y, x)
        Of the image.

    Returns
    -------
    ndarray of bool, (bands, y, x), or None

    Raises
    ------
    ValueError
        A mask is not of whole numbers, or not of the image's shape.
    """
    bad = None
    for name, plane in (("mask", mask), ("maskbits", maskbits)):
        if plane is None:
            continue
        plane = np.asarray(plane)
        plane = plane[0] if plane.ndim == 3 and plane.shape[0] == 1 else plane
        if plane.dtype.kind not in "iub":
            raise ValueError(f"`{name}` holds {plane.dtype}, not whole numbers")
        if plane.shape not in (shape, shape[1:]):
            raise ValueError(f"`{name}` has shape {plane.shape}, the image {shape}")
        found = bits_set(plane) if name == "maskbits" else plane != 0
        bad = np.broadcast_to(found, shape) | (False if bad is None else bad)
    return bad
