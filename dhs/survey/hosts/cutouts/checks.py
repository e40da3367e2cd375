"""What of a cutout's content can be used: bands, pixels, masks, units, place and PSF, or why not."""

from __future__ import annotations

import numpy as np

from dhs.survey import facts
from dhs.survey.bricks import brick
from dhs.survey.hosts.cutouts import masks, psf_image
from dhs.survey.hosts.cutouts.holes import pixel_noise, problem
from dhs.survey.hosts.cutouts.values import Door, per_band, text
from dhs.survey.survey import Survey, surveys

PIXEL_SCALE_TOLERANCE = 0.01  # relative
MAX_MASKED_FRACTION = 0.05  # pixels of a band with zero inverse variance
PLAUSIBLE_SIGMA = (1e-4, 0.1)  # sky noise in nanomaggies; single exposures reach 0.03 in z
MAX_NOISE_RATIO = 4.0  # between the noise by inverse variance and by the pixels
PLAUSIBLE_FWHM = (0.6, 4.0)  # arcsec; a standard deviation given as FWHM lies below in at least one band
UNKNOWN_VALUES = (-99.0, -999.0, -9999.0)  # what tables write where they know no position


def survey_of(door: Door, content: dict) -> Survey:
    """The survey a cutout says it is of; the Legacy Surveys where it does not say."""
    name = "legacy" if content.get("survey") is None else str(content["survey"])
    if name not in surveys:
        message = f"of survey {name!r}, known are {list(surveys)}"
        raise door.refuse("unknown_survey", message, "Register a record of it (dhs.survey.survey).")
    return surveys[name]


def centre_crop(cube: np.ndarray) -> np.ndarray:
    """(3, 64, 64) with pixel n // 2 of each side on pixel 32."""
    y, x = (n // 2 - facts.STAMP // 2 for n in cube.shape[1:])
    with np.errstate(over="ignore"):  # an overflow is infinite, and refused as such
        return np.ascontiguousarray(cube[:, y : y + facts.STAMP, x : x + facts.STAMP], dtype=np.float32)


def select(door: Door, cube: np.ndarray, bands: list[str], what: str) -> np.ndarray:
    """(3, y, x) in the order g, r, z, from a (bands, y, x) cube."""
    missing = [b for b in facts.BAND_NAMES if b not in bands]
    if missing:
        raise door.refuse(
            "missing_band",
            f"no {', '.join(missing)} band; it holds {[b for b in bands if b]}",
            "Fetch the cutout with bands=grz where the survey has all three; bands are named g, r, z in small letters.",
        )
    if len(set(bands)) != len(bands):
        raise door.refuse("repeated_band", f"bands {list(bands)}: one stands there twice", "Store each band once.")
    cube = np.asarray(cube)
    if cube.ndim == 3 and cube.shape[0] != len(bands) and cube.shape[2] == len(bands):
        raise door.refuse(
            "channel_order",
            f"{what} has shape {cube.shape}: channel last",
            "Transpose it to (bands, y, x): image.transpose(2, 0, 1).",
        )
    if cube.ndim != 3 or cube.shape[0] != len(bands) or cube.dtype.kind not in "fiu":
        raise door.refuse(
            "wrong_shape",
            f"{what} has shape {cube.shape} and dtype {cube.dtype}, expected ({len(bands)}, y, x) numbers",
            "Store one plane per band, channel first.",
        )
    if min(cube.shape[1:]) < facts.STAMP:
        raise door.refuse(
            "too_small",
            f"{cube.shape[2]} x {cube.shape[1]} pixels, at least {facts.STAMP} x {facts.STAMP} are needed",
            f"Fetch it again with size={facts.STAMP} or more.",
        )
    return cube if bands == list(facts.BAND_NAMES) else cube[[bands.index(b) for b in facts.BAND_NAMES]]


def place_of(door: Door, content: dict) -> dict:
    """Position and brick of a stamp; one whose position is unknown stands in a brick of its own."""
    _check_scale(door, content["pixel_scale"])
    ra, dec = content["ra"], content["dec"]
    if np.isnan(ra) != np.isnan(dec):
        raise door.refuse("missing_position", f"ra {ra}, dec {dec}: half a position", "Give both, or neither.")
    if np.isnan(ra):
        unknown = dict.fromkeys(("ra", "dec", "brick_ra", "brick_dec"), float("nan"))
        return unknown | {"brickname": f"unknown:{door.host_id}"}
    if not (-360.0 <= ra <= 720.0 and abs(dec) <= 90.0) or ra in UNKNOWN_VALUES:
        remedy = "Give decimal degrees, or leave ra and dec out where nobody knows them."
        raise door.refuse("bad_position", f"ra {ra}, dec {dec} is not on the sky", remedy)
    name, brick_ra, brick_dec = brick(ra, dec)
    name = text(door, content["brickname"], "brickname") or name
    return {"brickname": name, "ra": ra % 360.0, "dec": dec, "brick_ra": brick_ra, "brick_dec": brick_dec}


def _check_scale(door: Door, scale: float) -> None:
    if abs(scale / facts.PIXEL_SCALE - 1.0) > PIXEL_SCALE_TOLERANCE:
        raise door.refuse(
            "wrong_pixel_scale",
            f"pixels of {scale:.4f} arcsec, not {facts.PIXEL_SCALE}",
            f"Fetch it again with pixscale={facts.PIXEL_SCALE}; resampling would change the noise.",
        )


def check_pixels(door: Door, crop: np.ndarray, invvar: np.ndarray | None) -> None:
    for b, (name, band) in enumerate(zip(facts.BAND_NAMES, crop)):
        bad = int(band.size - np.isfinite(band).sum())
        if bad:
            raise door.refuse(
                "not_finite", f"{bad} NaN or infinite pixels in {name}", "Choose a position inside the coverage."
            )
        if not band.any():
            raise door.refuse(
                "empty_band", f"all pixels of {name} are zero", "Choose a position with data in g, r and z."
            )
        wrong = problem(band, None if invvar is None else invvar[b] > 0)
        if wrong:
            remedy = (
                "Choose a position with full coverage, or an invvar that is 0 there; a model without noise is no host."
            )
            code = "implausible_value" if wrong.startswith("a pixel of") else "missing_data"
            if wrong.startswith("no pixel differs"):
                code, remedy = "no_noise", "Give the survey's image with its noise, not a model of it."
            raise door.refuse(code, f"{name}: {wrong}", remedy)


def check_invvar(door: Door, invvar: np.ndarray) -> None:
    for name, band in zip(facts.BAND_NAMES, invvar):
        if not np.isfinite(band).all() or band.min() < 0:
            raise door.refuse(
                "bad_invvar", f"negative or non-finite inverse variance in {name}", "Set masked pixels to 0."
            )
    check_masked(door, invvar)


def check_masked(door: Door, seen: np.ndarray) -> None:
    """Refuse where too many pixels are 0 in inverse variance, or in what masks leave of it."""
    for name, band in zip(facts.BAND_NAMES, seen):
        masked = float((band == 0).mean())
        if masked > MAX_MASKED_FRACTION:
            raise door.refuse(
                "masked",
                f"{masked:.0%} of {name} are masked, limit {MAX_MASKED_FRACTION:.0%}",
                "Choose a position away from bright stars and edges.",
            )


def spoilt(door: Door, content: dict) -> np.ndarray | None:
    """(3, 64, 64) bool of what the cutout's masks call bad; None where it has none."""
    shape = np.shape(content["image"])
    try:
        bad = masks.spoilt(content["mask"], content["maskbits"], shape)
    except ValueError as error:
        remedy = "Store (y, x) or (bands, y, x) whole numbers, 0 where a pixel is good."
        raise door.refuse("bad_mask", str(error), remedy) from None
    return None if bad is None else centre_crop(select(door, bad.astype(np.uint8), content["bands"], "mask")) > 0


def check_units(door: Door, sigma: np.ndarray) -> None:
    low, high = PLAUSIBLE_SIGMA
    for name, value in zip(facts.BAND_NAMES, sigma):
        if not low < value < high:
            raise door.refuse(
                "implausible_units",
                f"sky noise of {value:.3g} a pixel in {name}, outside {low:g} to {high:g} nanomaggies",
                "Convert the image to nanomaggies (AB zero-point 22.5) before the sky is scaled or clipped.",
            )


def check_agreement(door: Door, stated: np.ndarray, crop: np.ndarray) -> None:
    """Refuse an inverse variance that the pixels contradict: a weight map, a variance, another unit."""
    for name, band, theirs in zip(facts.BAND_NAMES, crop, stated):
        ours = pixel_noise(band)  # of differences, which a galaxy leaves alone
        if not ours < MAX_NOISE_RATIO * theirs < MAX_NOISE_RATIO**2 * ours:
            raise door.refuse(
                "bad_invvar",
                f"sky noise in {name} is {theirs:.3g} by the inverse variance, and {ours:.3g} by the pixels",
                "Store 1 / sigma^2 a pixel in nanomaggies^-2; a weight, a variance or another unit is none.",
            )


def psf_of(door: Door, content: dict, survey: Survey) -> tuple[np.ndarray | None, np.ndarray, list[str]]:
    """PSF image, FWHM per band, flags: the image where there is one, else the FWHM, else the survey's typical one."""
    if content["psf"] is None and content["psf_fwhm"] is None:
        return None, survey.psf_fwhm, ["psf_assumed"]
    if content["psf"] is None:
        return None, per_band(door, content["psf_fwhm"], "psf_fwhm", *PLAUSIBLE_FWHM), []
    try:
        images = np.asarray(content["psf"], dtype=np.float64)
        if len(images) != len(content["bands"]):
            raise ValueError(f"shape {images.shape}, expected ({len(content['bands'])}, k, k)")
        images, fwhm, flags = psf_image.centred(images[[content["bands"].index(b) for b in facts.BAND_NAMES]])
        if not ((fwhm >= PLAUSIBLE_FWHM[0]) & (fwhm <= PLAUSIBLE_FWHM[1])).all():
            raise ValueError(f"FWHM of {np.round(fwhm, 2).tolist()} arcsec")
    except (ValueError, TypeError) as error:
        raise door.refuse(
            "bad_psf",
            f"the PSF image can't be used: {error}",
            "Give one image per band at 0.262 arcsec a pixel: odd side, sky subtracted, its peak on the middle pixel.",
        ) from None
    return images, fwhm, flags
