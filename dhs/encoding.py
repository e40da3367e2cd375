"""Images as integers in byte planes: small on disk, fast to decode, with a known error.

An image of C bands is rounded to multiples of one step a band, the band's least multiple taken off, and the bytes of
the integers stored plane by plane (all lowest bytes, then the next), as many planes as the largest needs. The noise
then sits in the first plane and the compressor finds the others nearly empty. A value is

    (u0 + 256 u1 + ... + zero) * step,

computed in float64 and rounded to float32; it differs from the original by at most half a step (plus one float32
rounding). A blob is the 28-byte `HEADER`, then the planes, each C * side * side bytes, band by band and row by row.

**Dither.** Values on a lattice of a 32nd of the sky noise tell a stored stamp from one that has had light added, or
was never stored. So an image with noise is read with a dither: a uniform number within half a step is added to each
pixel, from a counter-based hash keyed by the blob. The same blob gives the same pixels everywhere, encoding them again
gives the same blob, and a pixel whose neighbours all hold its own value (no noise: a filled or dead patch) stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

BANDS = 3
FORMAT = 1
HEADER = np.dtype(
    [("format", "u1"), ("planes", "u1"), ("side", "<u2"), ("step", "<f4", (BANDS,)), ("zero", "<i4", (BANDS,))]
)
HEADER_BYTES = HEADER.itemsize
LIMIT = 2.0**31 - 1024.0
SKY_LEVELS = 32  # steps a sky sigma, of a stamp with its noise: the error stays below 1/64 sigma


def quantise(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    """What `encode` then `decode` make of an image, without dither.

    Parameters
    ----------
    image : ndarray, (3, n, n)
    step : array_like, (3,)
        In the image's unit, positive; used as float32.

    Returns
    -------
    ndarray, (3, n, n) float32
    """
    step = np.asarray(step, np.float32).astype(np.float64)[:, None, None]
    return (np.rint(np.asarray(image, np.float64) / step) * step).astype(np.float32)


def served(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    """What an image with noise is once it has been stored and read again: `encode`, then `decode` with dither."""
    return decode(pa.array([encode(image, step)]), dither=True)[0]


def encode(image: np.ndarray, step: np.ndarray) -> bytes:
    """One image as a blob.

    Parameters
    ----------
    image : ndarray, (3, n, n)
    step : array_like, (3,)
        Quantisation step a band, in the image's unit; used as float32.

    Raises
    ------
    ValueError
        Another shape, a step that is not positive and finite, or a value that is not finite or beyond 2^31 steps.
    """
    image = np.ascontiguousarray(image)
    header = np.zeros(1, HEADER)
    header["step"] = step
    if image.ndim != 3 or image.shape[0] != BANDS or image.shape[1] != image.shape[2]:
        raise ValueError(f"an image to encode has shape (3, n, n), not {image.shape}")
    if not (np.isfinite(header["step"]) & (header["step"] > 0)).all():
        raise ValueError(f"quantisation steps must be positive and finite, not {header['step'][0].tolist()}")
    integers = np.empty(image.shape, np.int64)
    low, high = np.empty(BANDS, np.int64), np.empty(BANDS, np.int64)
    if not _round(
        image.reshape(BANDS, -1), header["step"][0].astype(np.float64), integers.reshape(BANDS, -1), low, high
    ):
        raise ValueError("a value to encode is not finite, or beyond 2^31 quantisation steps")
    planes = max(1, (int((high - low).max()).bit_length() + 7) // 8)
    header["format"], header["planes"], header["side"], header["zero"] = FORMAT, planes, image.shape[1], low
    out = np.empty((planes, integers.size), np.uint8)
    _split(integers.reshape(BANDS, -1), low, out)
    return header.tobytes() + out.tobytes()


def decode(blobs: pa.Array, dither: bool = False) -> np.ndarray:
    """Images of a binary column.

    Parameters
    ----------
    blobs : pyarrow.BinaryArray
        n blobs of one image size; an entry may be null.
    dither : bool
        For images with noise: take them off the lattice of their steps, keyed by the blob.

    Returns
    -------
    ndarray, (n, 3, side, side) float32
        0 where a blob is null.

    Raises
    ------
    ValueError
        A blob of another format, of another size than the first, or cut short.
    """
    data, starts, filled, headers = _opened(blobs)
    n, side = len(blobs), int(headers["side"][0]) if len(headers) else 0
    if not len(filled):
        return np.zeros((n, BANDS, 0, 0), np.float32)
    out = np.empty if len(filled) == n else np.zeros
    images = out((n, BANDS, side, side), np.float32)
    _join(
        data,
        starts,
        headers["planes"],
        headers["step"].astype(np.float64),
        headers["zero"].astype(np.int64),
        filled,
        images.reshape(n, BANDS, -1),
    )
    if dither:
        lengths = headers["planes"].astype(np.int64) * (BANDS * side * side)
        steps = headers["step"].astype(np.float64)
        _dither(data, starts - HEADER.itemsize, HEADER.itemsize + lengths, steps, filled, images)
    return images


class Integers(NamedTuple):
    """Images as the integers they are stored as: value = (low + 65536 high + zero) * step.

    Attributes
    ----------
    low : ndarray of uint16, (n, 3, side, side)
    high : ndarray of uint8, (n, 3, side, side)
    zero : ndarray of int32, (n, 3)
    step : ndarray of float32, (n, 3)
    key : ndarray of uint64, (n,)
        Of the dither.
    """

    low: np.ndarray
    high: np.ndarray
    zero: np.ndarray
    step: np.ndarray
    key: np.ndarray


def integers(blobs: pa.Array) -> Integers:
    """Images of a binary column, not yet multiplied out: three bytes a pixel. Other threads run meanwhile.

    Parameters
    ----------
    blobs : pyarrow.BinaryArray
        n blobs of one image size, none null.

    Raises
    ------
    ValueError
        As `decode`; and where an image is null, or needs more than three byte planes.
    """
    data, starts, filled, headers = _opened(blobs)
    if len(filled) < len(blobs):
        raise ValueError("a null among images that must all be there")
    if (headers["planes"] > 3).any():
        raise ValueError("an encoded image of four byte planes; only three are kept as integers")
    side = int(headers["side"][0]) if len(headers) else 0
    low = np.empty((len(blobs), BANDS, side, side), np.uint16)
    high = np.empty(low.shape, np.uint8)
    key = np.empty(len(blobs), np.uint64)
    _planes(data, starts, headers["planes"], low.reshape(len(blobs), -1), high.reshape(len(blobs), -1), key)
    return Integers(low, high, headers["zero"].astype(np.int32), headers["step"].astype(np.float32), key)


def _opened(blobs: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All bytes, where the planes of each blob that is not null begin, which those are, and their headers."""
    n = len(blobs)
    offsets = np.frombuffer(blobs.buffers()[1], np.int32)[blobs.offset : blobs.offset + n + 1]
    data = np.frombuffer(blobs.buffers()[2] or b"", np.uint8)
    filled = np.flatnonzero(np.asarray(blobs.is_valid()))
    starts = offsets[filled].astype(np.int64)
    if not len(filled):
        return data, starts, filled, np.empty(0, HEADER)
    if (offsets[filled + 1] - starts < HEADER.itemsize).any():
        raise ValueError("an encoded image is cut short")
    headers = data[starts[:, None] + np.arange(HEADER.itemsize)].view(HEADER)[:, 0]
    side = int(headers["side"][0])
    if (headers["format"] != FORMAT).any():
        raise ValueError(f"an image of encoding {headers['format'].max()}; this version reads {FORMAT}")
    if (headers["side"] != side).any():
        raise ValueError("encoded images of different sizes in one column")
    expected = HEADER.itemsize + headers["planes"].astype(np.int64) * (BANDS * side * side)
    if (offsets[filled + 1] - starts != expected).any():
        raise ValueError("an encoded image is cut short or has bytes to spare")
    return data, starts + HEADER.itemsize, filled, headers


@njit(cache=True, error_model="numpy")
def _round(image, step, integers, low, high):
    for b in range(image.shape[0]):
        least, most = LIMIT, -LIMIT
        for k in range(image.shape[1]):
            v = np.rint(image[b, k] / step[b])
            if not abs(v) < LIMIT:
                return False
            least, most = min(least, v), max(most, v)
            integers[b, k] = np.int64(v)
        low[b], high[b] = np.int64(least), np.int64(most)
    return True


@njit(cache=True, error_model="numpy")
def _split(integers, low, out):
    pixels = integers.shape[1]
    for p in range(out.shape[0]):
        for b in range(integers.shape[0]):
            for k in range(pixels):
                out[p, b * pixels + k] = ((integers[b, k] - low[b]) >> (8 * p)) & 255


@njit(cache=True, error_model="numpy")
def _join(data, starts, planes, step, zero, filled, images):
    bands, pixels = images.shape[1:]
    for row in range(len(filled)):
        for b in range(bands):
            into = images[filled[row], b]
            low = data[starts[row] + b * pixels : starts[row] + (b + 1) * pixels]
            if planes[row] == 1:
                for k in range(pixels):
                    into[k] = (np.int32(low[k]) + zero[row, b]) * step[row, b]
                continue
            high = data[starts[row] + (bands + b) * pixels : starts[row] + (bands + b + 1) * pixels]
            if planes[row] == 2:
                for k in range(pixels):
                    into[k] = (np.int32(low[k]) + (np.int32(high[k]) << 8) + zero[row, b]) * step[row, b]
                continue
            for k in range(pixels):
                v = np.int64(low[k])
                for p in range(1, planes[row]):
                    v += np.int64(data[starts[row] + (p * bands + b) * pixels + k]) << (8 * p)
                into[k] = (v + zero[row, b]) * step[row, b]


GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ROOM = 0.998  # of a step: a dithered value still rounds to its own multiple, in float32 too
_S30, _S27, _S31, _S32 = (np.uint64(n) for n in (30, 27, 31, 32))
M1, M2, _PRIME = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x100000001B3)


@njit(inline="always")
def _mixed(x):
    """SplitMix64 (Steele, Lea & Flood 2014): 64 even bits of a counter."""
    x = (x ^ (x >> _S30)) * M1
    x = (x ^ (x >> _S27)) * M2
    return x ^ (x >> _S31)


@njit(cache=True, error_model="numpy")
def _key(data, start, length):
    """64-bit hash of a blob: FNV-1a over four interleaved lanes of bytes, mixed together."""
    a, b, c, d = GOLDEN, M1, M2, _PRIME
    for k in range(start, start + length - 3, 4):
        a = (a ^ np.uint64(data[k])) * _PRIME
        b = (b ^ np.uint64(data[k + 1])) * _PRIME
        c = (c ^ np.uint64(data[k + 2])) * _PRIME
        d = (d ^ np.uint64(data[k + 3])) * _PRIME
    return _mixed(_mixed(_mixed(_mixed(a) ^ b) ^ c) ^ d)


@njit(cache=True, error_model="numpy")
def _dither(data, starts, lengths, step, filled, images):
    bands, side = images.shape[1], images.shape[2]
    above, row = np.empty(side, np.float32), np.empty(side, np.float32)
    for i in range(len(filled)):
        counter = _key(data, starts[i], lengths[i])
        for b in range(bands):
            image, scale = images[filled[i], b], step[i, b] * ROOM / 4294967296.0
            for y in range(side):
                row[:] = image[y]
                for x in range(0, side, 2):
                    counter += GOLDEN
                    bits = _mixed(counter)
                    for h in range(min(2, side - x)):
                        v = row[x + h]
                        same = x + h == 0 or row[x + h - 1] == v
                        same = same and (x + h == side - 1 or row[x + h + 1] == v)
                        if same and (y == 0 or above[x + h] == v) and (y == side - 1 or image[y + 1, x + h] == v):
                            continue
                        half = (bits >> _S32) if h == 0 else (bits & np.uint64(0xFFFFFFFF))
                        image[y, x + h] = np.float32(v + (np.float64(half) - 2147483647.5) * scale)
                above[:] = row


@njit(cache=True, error_model="numpy", nogil=True)
def _planes(data, starts, planes, low, high, key):
    pixels = low.shape[1]
    for row in range(len(starts)):
        first = starts[row]
        key[row] = _key(data, first - HEADER_BYTES, HEADER_BYTES + planes[row] * pixels)
        for k in range(pixels):
            low[row, k] = data[first + k]
            high[row, k] = 0
        if planes[row] > 1:
            for k in range(pixels):
                low[row, k] |= np.uint16(data[first + pixels + k]) << 8
        if planes[row] > 2:
            for k in range(pixels):
                high[row, k] = data[first + 2 * pixels + k]
