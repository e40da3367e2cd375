"""PSF images as they come with a cutout: what can be used, and what is refused."""

from __future__ import annotations

import numpy as np

from dhs.survey import psf

SIDE = 63  # pixels, as stored with a pair
MAX_OFFSET_PX = 0.5  # of the light's centroid from the middle pixel: an arc would be displaced by as much
MAX_PEDESTAL = 0.05  # of the flux, as the level of the outermost pixels spread over the image
MAX_CROPPED = 0.01  # of the flux, outside the stored side
CORE_PX = 8  # radius of the centroid's aperture


def centred(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """PSF images of unit sum on `SIDE` pixels at most, their FWHM, and flags.

    Parameters
    ----------
    images : ndarray, (bands, k, k)
        At the survey's pixel scale, k odd.

    Returns
    -------
    images : ndarray, (bands, k', k') float32
    fwhm : ndarray, (bands,)
        Arcsec.
    flags : list of str
        ``psf_cropped`` where light outside `SIDE` was cut off.

    Raises
    ------
    ValueError
        Even side, no flux, a pedestal, a peak off the middle, or too much light outside `SIDE`.
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"shape {images.shape}, expected (bands, k, k)")
    if images.shape[1] % 2 == 0:
        raise ValueError(f"side {images.shape[1]} is even, so it has no centre pixel")
    fwhm = np.array([psf.fwhm_of(image) for image in images])
    for image in images:
        _check(image)
    images, flags = _crop(images)
    return (images / images.sum(axis=(1, 2), keepdims=True)).astype(np.float32), fwhm, flags


def _check(image: np.ndarray) -> None:
    total, middle = image.sum(), image.shape[0] // 2
    edge = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    y, x = np.indices(image.shape)
    top = np.unravel_index(image.argmax(), image.shape)
    light = np.clip(image - np.median(edge), 0, None) * (np.hypot(y - top[0], x - top[1]) <= CORE_PX)
    offset = np.hypot((light * (x - middle)).sum(), (light * (y - middle)).sum()) / light.sum()
    if offset > MAX_OFFSET_PX:
        raise ValueError(f"its light is {offset:.1f} pixels off its middle, and would displace every arc by as much")
    pedestal = abs(float(np.median(edge))) * image.size
    if total <= 0 or pedestal > MAX_PEDESTAL * light.sum():
        level = float(np.median(edge))
        raise ValueError(f"it sums to {total:.3g} on a pedestal of {level:.2g}: subtract the background")


def _crop(images: np.ndarray) -> tuple[np.ndarray, list[str]]:
    extra = (images.shape[1] - SIDE) // 2
    if extra <= 0:
        return images, []
    inner = images[:, extra:-extra, extra:-extra]
    lost = 1.0 - inner.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    if lost.max() > MAX_CROPPED:
        raise ValueError(f"{lost.max():.1%} of its flux lies outside {SIDE} x {SIDE} pixels, which are what is stored")
    return inner, ["psf_cropped"]
