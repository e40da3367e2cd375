"""Making a clean source of any real stamp: denoising, deblending, cutting out, tapering, centring.

Denoising works on the starlet, an isotropic undecimated wavelet (Starck, Murtagh & Bijaoui 1998, "Image Processing
and Data Analysis", ch. 1).
"""

from __future__ import annotations

import warnings

import numpy as np
from photutils.segmentation import detect_sources
from photutils.utils.exceptions import NoDetectionsWarning
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from dhs.injection.sources.base import Unusable

_B3 = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
DETECT = 1.0  # sigma a pixel of the raw stamp; the denoised one has about half of it
SADDLE = 0.3  # of the lower of two peaks
MIN_STAMP = 16  # pixels
MAX_OFFSET = 0.2  # of the stamp's side, from its centre to the galaxy's
MAX_CUT = 0.3  # of the galaxy's light, that tapering to the frame may take
FRAME_START = 0.65  # of the largest ellipse within the frame: where its taper begins
MAX_EDGE_BRIGHTNESS = 0.25  # of the galaxy's peak, where its segment meets the stamp's edge


def starlet(image: np.ndarray, n_scales: int) -> np.ndarray:
    """Starlet transform, (n_scales + 1, y, x): details from fine to coarse, then the smooth plane; they sum up."""
    planes, smooth = [], np.asarray(image, dtype=float)
    for j in range(n_scales):
        kernel = np.zeros(4 * 2**j + 1)
        kernel[:: 2**j] = _B3
        next_smooth = ndimage.convolve1d(ndimage.convolve1d(smooth, kernel, 0, mode="mirror"), kernel, 1, mode="mirror")
        planes.append(smooth - next_smooth)
        smooth = next_smooth
    return np.array([*planes, smooth])


def scale_sigmas(n_scales: int, correlation: np.ndarray | None = None) -> np.ndarray:
    """(n_scales,) noise sigma of each detail plane, for noise of unit variance a pixel.

    Parameters
    ----------
    n_scales : int
    correlation : ndarray, (k, k), optional
        Noise correlation function, k odd, 1 at its centre; white noise without.
    """
    size = 2 ** (n_scales + 3) + 1
    delta = np.zeros((size, size))
    delta[size // 2, size // 2] = 1.0
    details = starlet(delta, n_scales)[:-1]
    if correlation is None:
        return np.sqrt((details**2).sum(axis=(1, 2)))
    power = np.abs(np.fft.rfft2(details, axes=(1, 2))) ** 2
    grid = np.zeros((size, size))
    half = min(size, correlation.shape[0]) // 2
    centre = correlation.shape[0] // 2
    window = slice(centre - half, centre + half + 1)
    grid[size // 2 - half : size // 2 + half + 1, size // 2 - half : size // 2 + half + 1] = correlation[window, window]
    spectrum = np.fft.rfft2(np.fft.ifftshift(grid)).real
    variances = np.fft.irfft2(power * spectrum, s=(size, size), axes=(1, 2))[:, 0, 0]
    return np.sqrt(np.clip(variances, 0.0, None))


def denoise(image: np.ndarray, sigmas: np.ndarray, tau: float = 3.0, passes: int = 2) -> np.ndarray:
    """Weigh each wavelet coefficient by how far the power around it stands above the noise.

    The weight is (1 - tau sigma_j^2 / P)_+ with P the local mean of the squared coefficients (the empirical Wiener
    filter of Starck & Murtagh 2006, "Astronomical Image and Data Analysis", section 2.3, on smoothed power). The
    second pass takes the residual in with the same weights. On Sersic galaxies in correlated noise this left a
    third less error than hard thresholds and no holes, and biased the flux by less than 1.2 %.

    Parameters
    ----------
    image : ndarray, (y, x)
    sigmas : array_like, (n_scales,)
        Noise sigma of each detail plane, in the image's unit.
    tau : float
        1 is Wiener's; more suppresses chance peaks of the noise.
    passes : int

    Returns
    -------
    ndarray, (y, x)
    """
    weights = []
    for j, (plane, sigma) in enumerate(zip(starlet(image, len(sigmas))[:-1], sigmas)):
        power = ndimage.gaussian_filter(plane**2, 1.5 * 2**j, mode="mirror")
        weights.append(np.clip(1.0 - tau * sigma**2 / np.maximum(power, 1e-300), 0.0, 1.0))
    estimate = np.zeros_like(image, dtype=float)
    for _ in range(passes):
        planes = starlet(image - estimate, len(sigmas))
        estimate += (planes[:-1] * weights).sum(axis=0) + planes[-1]
    return estimate


def cosine_taper(support: np.ndarray, width: float) -> np.ndarray:
    """1 within a boolean (y, x) support, falling as a half cosine to 0 over ``width`` pixels outside it."""
    distance = ndimage.distance_transform_edt(~support)
    return 0.5 * (1.0 + np.cos(np.pi * np.clip(distance / width, 0.0, 1.0)))


def cut_out(image: np.ndarray, labels: np.ndarray, label: int) -> np.ndarray:
    """One labelled galaxy as a source image.

    Pixels of other segments take the value of the pixel opposite the galaxy's centroid, 0 where that one is taken
    too. The galaxy keeps its segment grown by a quarter of its radius, and a cosine taper beyond.

    Parameters
    ----------
    image : ndarray, (y, x)
        Denoised, sky subtracted.
    labels : ndarray of int, (y, x)
        Segmentation, 0 for sky.
    label : int

    Returns
    -------
    ndarray, (n, n) float64
        Sum 1, centroid on ((n - 1) / 2, (n - 1) / 2) to 0.05 pixels, 0 on the edges, n odd.

    Raises
    ------
    Unusable
        No light is left (``no_light``), or the image ends within the galaxy (``cut_by_edge``).
    """
    own = labels == label
    rows, columns = np.nonzero(own)
    weights = np.clip(image[own], 0.0, None)
    if not weights.sum() > 0:
        raise Unusable("no_light", "the galaxy's segment holds no positive light")
    cy, cx = (rows * weights).sum() / weights.sum(), (columns * weights).sum() / weights.sum()
    radius = float(np.sqrt(own.sum() / np.pi))
    grow, width = max(2.0, 0.25 * radius), max(3.0, 0.5 * radius)
    reach = int(np.ceil(np.hypot(rows - cy, columns - cx).max() + grow + width)) + 3

    iy, ix = round(cy), round(cx)
    window = (slice(iy, iy + 2 * reach + 1), slice(ix, ix + 2 * reach + 1))  # in arrays padded by reach
    stamp = np.pad(np.asarray(image, dtype=float), reach)[window]
    taken = np.pad((labels != 0) & ~own, reach)[window]
    inside = np.pad(np.ones_like(own), reach)[window]
    own = np.pad(own, reach)[window]

    opposite = np.where(taken | ~inside, 0.0, stamp)[::-1, ::-1]
    stamp = np.where(taken, opposite, stamp)
    support = ndimage.distance_transform_edt(~own) <= grow
    stamp, frame = np.clip(stamp, 0.0, None), _within_frame(own, inside)
    if (stamp * frame)[own].sum() < (1.0 - MAX_CUT) * stamp[own].sum():
        raise Unusable("cut_by_edge", "the edge of its stamp, or a neighbour there, takes part of the galaxy's light")
    return _recentre(stamp * frame * cosine_taper(support, width))


def _within_frame(own: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Weight that falls to 0 along ellipses of the galaxy's shape before the image it was cut from ends.

    The frame's straight edge would otherwise show in the outskirts. 1 everywhere where the frame is far.
    """
    if inside.all():
        return np.ones(own.shape)
    y, x = (np.indices(own.shape) - own.shape[0] // 2).astype(float)
    moments = np.array([[(a * b)[own].mean() for b in (x, y)] for a in (x, y)]) + 0.1 * np.eye(2)
    shape = np.linalg.inv(moments / np.sqrt(np.linalg.det(moments)))
    radius = np.sqrt(shape[0, 0] * x**2 + 2.0 * shape[0, 1] * x * y + shape[1, 1] * y**2)
    outer = radius[~ndimage.binary_erosion(inside) & inside].min()
    return 0.5 * (1.0 + np.cos(np.pi * np.clip((radius / outer - FRAME_START) / (1.0 - FRAME_START), 0.0, 1.0)))


def _recentre(stamp: np.ndarray) -> np.ndarray:
    """Shift the centroid onto the central pixel by cubic splines, trim what is empty, and normalise."""
    axis = np.arange(len(stamp)) - len(stamp) // 2
    for _ in range(2):
        total = stamp.sum()
        if not total > 0:
            raise Unusable("no_light", "nothing is left of the galaxy after masking and tapering")
        shift = (-(stamp.sum(axis=1) @ axis) / total, -(stamp.sum(axis=0) @ axis) / total)
        margin = int(np.ceil(np.max(np.abs(shift)))) + 1
        stamp = np.clip(ndimage.shift(np.pad(stamp, margin), shift, order=3, mode="constant"), 0.0, None)
        stamp[stamp < 1e-6 * stamp.max()] = 0.0  # ringing of the spline
        axis = np.arange(len(stamp)) - len(stamp) // 2
    used = np.nonzero(stamp)
    half = int(np.max(np.abs(np.array(used) - len(stamp) // 2))) + 1
    centre = len(stamp) // 2
    stamp = np.pad(stamp, 1)[centre + 1 - half : centre + 2 + half, centre + 1 - half : centre + 2 + half]
    return stamp / stamp.sum()


def split_neighbours(image: np.ndarray, labels: np.ndarray, saddle: float = SADDLE) -> np.ndarray:
    """Split segments where they hold a second object, and leave clumps of one galaxy together.

    A peak is its own object where the light sinks below ``saddle`` of it before it rises to a higher one; a
    deblending by flux contrast alone took clumpy galaxies apart.

    Parameters
    ----------
    image : ndarray, (y, x)
        Denoised.
    labels : ndarray of int, (y, x)
        Segments of the image, where it is positive.
    saddle : float

    Returns
    -------
    ndarray of int, (y, x)
        New labels, 0 where ``labels`` is 0.
    """
    inside = labels > 0
    height = np.log(np.where(inside, np.maximum(image, 1e-12 * image.max()), 1.0))
    height = np.where(inside, height, height[inside].min() - 1.0)
    peaks, _ = ndimage.label(h_maxima(height, -np.log(saddle)), structure=np.ones((3, 3)))
    return watershed(-height, np.where(inside, peaks, 0), mask=inside)


def central_source(
    image: np.ndarray, sigma: float, unit_sigmas: np.ndarray, clean: bool = True
) -> tuple[np.ndarray, float]:
    """The galaxy at the centre of a stamp.

    Parameters
    ----------
    image : ndarray, (y, x)
        Sky subtracted.
    sigma : float
        Noise a pixel, in the image's unit.
    unit_sigmas : ndarray
        `scale_sigmas` of the noise.
    clean : bool
        Denoise; otherwise the stamp's own pixels are kept.

    Returns
    -------
    source : ndarray, (n, n)
        As `cut_out` makes it.
    snr : float
        Flux over noise of the raw pixels of the segment, the noise taken as white.

    Raises
    ------
    Unusable
        ``too_small``, ``not_finite``, ``blank``, ``not_detected``, ``off_centre``, ``cut_by_edge``, ``no_light``.
    """
    if min(image.shape) < MIN_STAMP:
        raise Unusable("too_small", f"the stamp is {image.shape}, below {MIN_STAMP} pixels a side")
    if not np.isfinite(image).all():
        raise Unusable("not_finite", "the stamp holds NaN or infinite pixels")
    if np.ptp(image) == 0:
        raise Unusable("blank", "every pixel of the stamp has the same value")
    smooth = denoise(image, sigma * unit_sigmas)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = detect_sources(smooth, DETECT * sigma, n_pixels=5)
    if found is None:
        raise Unusable("not_detected", "nothing stands above the noise of the stamp")
    labels = split_neighbours(smooth, found.data)
    middle = np.array([(n - 1) / 2 for n in image.shape])
    spots = np.argwhere(labels > 0)
    distances = np.hypot(*(spots - middle).T)
    if distances.min() > MAX_OFFSET * min(image.shape):
        raise Unusable("off_centre", "no galaxy lies near the centre of the stamp")
    label = labels[tuple(spots[np.argmin(distances)])]
    own = labels == label
    rim = np.ones_like(own)
    rim[1:-1, 1:-1] = False
    if (own & rim).any() and smooth[own & rim].max() > MAX_EDGE_BRIGHTNESS * smooth[own].max():
        raise Unusable("cut_by_edge", "the galaxy is cut by the edge of its stamp")
    snr = float(image[own].sum() / (sigma * np.sqrt(own.sum())))
    return cut_out(smooth if clean else image, labels, int(label)), snr
