"""Reading one survey cutout, npz or FITS, into a `HostStamp`; every cutout, real or mock, passes this door.

Layouts
-------
npz, channel last
    ``cutout`` (y, x, 3) and ``meta_ra, meta_dec, meta_pixel_scale, meta_bands_requested, meta_galaxy_id,
    meta_brickname``.
npz, channel first
    ``image_nmgy`` (3, y, x), ``bands, pixscale``; optional ``ra, dec`` degrees, ``invvar`` (3, y, x), ``psf``
    (3, k, k), ``psf_fwhm`` (3,) arcsec, ``exptime`` (3,) seconds, ``z_phot, host_id, brickname, flags``. Without a
    position a stamp is flagged ``position_unknown``, split by its id, and not matched with known lenses. ``mask``
    (anything but 0 is bad) and ``maskbits`` (the survey's) are (y, x) or (3, y, x) whole numbers.
FITS
    Of the Legacy Surveys cutout service: see `dhs.survey.hosts.fits_cutouts`.

Centring
--------
The centre pixel of an n-pixel side is n // 2 (the target of an odd-sized cutout lies on it; in an even-sized one half
a pixel below). The crop puts it on pixel 32: a target of an odd-sized cutout then lies at (32, 32), half a pixel from
the stamp's geometric centre (31.5, 31.5), and one of an even-sized cutout at (31.5, 31.5). Nothing is resampled;
``x_arcsec, y_arcsec`` of the stamp hold where the light's centroid is.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from dhs import storage
from dhs.errors import InputRefused, Refusal
from dhs.survey import facts, sky
from dhs.survey.bricks import brick
from dhs.survey.hosts import masks, psf_image
from dhs.survey.hosts.fits_cutouts import FITS_SUFFIXES, FitsRefused, open_fits
from dhs.survey.hosts.holes import problem
from dhs.survey.hosts.npz_keys import KEYS, OPTIONAL, misnamed
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.survey import Survey, surveys

SUFFIXES = (".npz", *FITS_SUFFIXES)  # in any case
PIXEL_SCALE_TOLERANCE = 0.01  # relative
MAX_UNPACKED = 1 << 29  # bytes of a gzipped or zipped cutout
MAX_MASKED_FRACTION = 0.05  # pixels of a band with zero inverse variance
PLAUSIBLE_SIGMA = (1e-4, 0.1)  # sky noise in nanomaggies; single exposures reach 0.03 in z
PLAUSIBLE_FWHM = (0.6, 4.0)  # arcsec; a standard deviation given as FWHM lies below in at least one band
UNKNOWN_VALUES = (-99.0, -999.0, -9999.0)  # what tables write where they know no position


class _Door:
    """Refuses one cutout, with its name in every message."""

    def __init__(self, name: str, row: int = -1):
        self.name, self.row, self.host_id = name, row, Path(name).stem

    def refuse(self, code: str, message: str, remedy: str) -> InputRefused:
        return InputRefused(Refusal(self.host_id, self.name, self.row, "host", code, message, remedy))


def read_cutout(path: str | Path) -> HostStamp:
    """Read one cutout file, local or in an object store.

    Parameters
    ----------
    path : str or Path
        npz or FITS, gzipped or tile-compressed or neither: told by its first bytes, whatever it is called.

    Raises
    ------
    InputRefused
        Whatever makes the cutout unusable, with code, message and remedy.
    DhsError
        No such file.
    """
    name = str(path)
    data = storage.read_bytes(path)
    if data.startswith(b"\x1f\x8b"):
        data = _gunzip(data, name)
    if data.startswith(b"SIMPLE"):
        return read_fits(data, name)
    if data.startswith(b"PK"):
        return read_npz(data, name)
    if name.lower().endswith(SUFFIXES):
        what = "a bare array (.npy)" if data.startswith(b"\x93NUMPY") else f"{len(data)} bytes of something else"
        raise _Door(name).refuse("unreadable", f"neither FITS nor npz inside: {what}", "Fetch or write the file again.")
    raise _Door(name).refuse("unknown_format", "not a cutout format", f"Give one of {', '.join(SUFFIXES)}.")


def _gunzip(data: bytes, name: str) -> bytes:
    """What a gzip file holds, up to `MAX_UNPACKED`."""
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            unpacked = stream.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _Door(name).refuse("unreadable", f"not a whole gzip file ({error})", "Fetch the file again.") from None
    if len(unpacked) > MAX_UNPACKED:
        raise _Door(name).refuse("too_large", f"more than {MAX_UNPACKED >> 20} MB unpacked", "Give single cutouts.")
    return unpacked


def read_fits(data: bytes, name: str) -> HostStamp:
    """Read a FITS cutout of the Legacy Surveys cutout service from its bytes; see `read_cutout`."""
    door = _Door(name)
    try:
        content = open_fits(data)
    except FitsRefused as error:
        raise door.refuse(error.code, str(error), error.remedy) from None
    return _stamp(door, content)


def read_npz(data: bytes, name: str) -> HostStamp:
    """Read an npz cutout of either layout from its bytes.

    Parameters
    ----------
    data : bytes
    name : str
        File name, for messages and for ``HostStamp.file``.

    Raises
    ------
    InputRefused
        See `read_cutout`.
    """
    door = _Door(name)
    try:
        with ZipFile(io.BytesIO(data)) as packed:
            size = sum(i.file_size for i in packed.infolist() if i.filename.removesuffix(".npy") in KEYS)
        if size > MAX_UNPACKED:
            raise door.refuse("too_large", f"more than {MAX_UNPACKED >> 20} MB unpacked", "Give single cutouts.")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            raw = {key: _member(door, archive, key) for key in archive.files if key in KEYS}
            _refuse_misnamed(door, archive.files)
    except (BadZipFile, ValueError, EOFError, OSError, AttributeError, NotImplementedError, zlib.error) as error:
        raise door.refuse("unreadable", f"not a readable npz ({error})", "Fetch or write the file again.") from None
    if "image_nmgy" in raw:
        content = {key: raw.get(key) for key in OPTIONAL}
        content |= {
            "image": raw["image_nmgy"],
            "bands": _band_names(raw["bands"]) if "bands" in raw else ["g", "r", "z"],
            "ra": _angle(door, raw, "ra"),
            "dec": _angle(door, raw, "dec"),
            "pixel_scale": _scalar(door, raw, "pixscale"),
        }
    elif "cutout" in raw:
        image = raw["cutout"]
        bands = list(str(raw.get("meta_bands_requested", "grz")))
        absent = [b for b in bands if not np.all(raw.get(f"meta_has_{b}", True))]
        if image.ndim != 3 or image.shape[2] != len(bands):
            raise door.refuse(
                "wrong_shape",
                f"`cutout` has shape {image.shape}, expected (y, x, {len(bands)}): channel last",
                "Transpose it, or store a channel-first image under the key image_nmgy.",
            )
        content = (
            dict.fromkeys(OPTIONAL)
            | {key: raw.get(key) for key in ("mask", "maskbits")}
            | {
                "image": np.ascontiguousarray(image.transpose(2, 0, 1)),
                "bands": ["" if b in absent else b for b in bands],
                "ra": _angle(door, raw, "meta_ra"),
                "dec": _angle(door, raw, "meta_dec"),
                "pixel_scale": _scalar(door, raw, "meta_pixel_scale"),
                "host_id": raw.get("meta_galaxy_id"),
                "brickname": raw.get("meta_brickname"),
            }
        )
    else:
        raise door.refuse(
            "unknown_layout",
            "it has neither `image_nmgy` nor `cutout`",
            "Store the image in nanomaggies as image_nmgy (3, y, x) with bands, ra, dec, pixscale.",
        )
    return _stamp(door, content)


def _refuse_misnamed(door: _Door, keys: list[str]) -> None:
    """What was stored to be used and would not be: a mask, an inverse variance or a position under another name."""
    for key, meant in misnamed(keys).items():
        raise door.refuse("misnamed_key", f"`{key}` is not read", f"Name it `{meant}`, or leave it out.")


def stamp_of(content: dict, name: str, row: int = -1, shape: bool = True, whole: bool = False) -> HostStamp:
    """A stamp from pixels already read, checked as a cutout is.

    Parameters
    ----------
    content : dict
        ``image`` (bands, y, x) nanomaggies, ``bands``, ``ra, dec`` degrees, ``pixel_scale`` arcsec; and, where known,
        ``invvar, psf, psf_fwhm, exptime, z_phot, host_id, brickname, flags, survey`` as in an npz cutout.
    name : str
        File, for messages and for ``HostStamp.file``.
    row : int
    shape : bool
        Measure the light's ellipticity and centroid; else they are 0 and the target's nominal place.
    whole : bool
        The pixels were made here, so none can be missing: the search for holes is left out.

    Raises
    ------
    InputRefused
        See `read_cutout`.
    """
    return _stamp(_Door(name, row), dict.fromkeys(OPTIONAL) | content, shape, whole)


def _scalar(door: _Door, raw: dict, key: str) -> float:
    """One finite number, or a refusal that names the key."""
    pixels = "pix" in key
    try:
        value = float(np.asarray(raw[key]).reshape(()))
    except (KeyError, TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        what = "missing_pixel_scale" if pixels else "missing_position"
        remedy = "arcsec a pixel" if pixels else "decimal degrees, or leave ra and dec out where nobody knows them"
        raise door.refuse(what, f"no usable number under `{key}`", f"Store `{key}`: {remedy}.")
    return value


def _angle(door: _Door, raw: dict, key: str) -> float:
    """One finite number, NaN where there is none or no key: a position that nobody knows is not made up."""
    value = raw.get(key)
    unknown = value is None or (value.dtype.kind == "f" and np.isnan(value).all())
    return float("nan") if unknown else _scalar(door, raw, key)


def _member(door: _Door, archive, key: str) -> np.ndarray:
    try:
        return archive[key]
    except ValueError as error:
        remedy = f"Store `{key}` as numbers or text, or leave it out."
        raise door.refuse("bad_value", f"`{key}` is no array of numbers or text ({error})", remedy) from None


def _band_names(value) -> list[str]:
    """Names of bands from ``["g", "r", "z"]``, bytes, or one word ``grz``."""
    names = [b.decode("ascii", "replace") if isinstance(b, bytes) else str(b) for b in np.atleast_1d(value).tolist()]
    return list(names[0]) if len(names) == 1 else [n.strip() for n in names]


def _number(door: _Door, value, key: str) -> float:
    """One number, NaN where there is none, or a refusal that names the key."""
    if value is None:
        return float("nan")
    array = np.asarray(value)
    if array.size == 1:
        try:
            return float(array.reshape(())[()])
        except (TypeError, ValueError):
            pass
    said = str(array.tolist())[:60]
    raise door.refuse("bad_value", f"`{key}` is {said}, not one number", f"Give one number, or leave `{key}` out.")


def _text(door: _Door, value, key: str) -> str | None:
    """One word, None where a value stands for nothing, or a refusal that names the key."""
    array = np.asarray("" if value is None else value)
    if array.size != 1:
        message = f"`{key}` is {str(array.tolist())[:60]}, not one word"
        raise door.refuse("bad_value", message, f"Give one, or leave `{key}` out.")
    word = array.reshape(()).item()
    word = word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
    return None if word.strip().lower() in ("", "nan", "none", "null") else word


def _survey(door: _Door, content: dict) -> Survey:
    """The survey a cutout says it is of; the Legacy Surveys where it does not say."""
    name = "legacy" if content.get("survey") is None else str(content["survey"])
    if name not in surveys:
        message = f"of survey {name!r}, known are {list(surveys)}"
        raise door.refuse("unknown_survey", message, "Register a record of it (dhs.survey.survey).")
    return surveys[name]


def _centre_crop(cube: np.ndarray) -> np.ndarray:
    """(3, 64, 64) with pixel n // 2 of each side on pixel 32."""
    y, x = (n // 2 - facts.STAMP // 2 for n in cube.shape[1:])
    with np.errstate(over="ignore"):  # an overflow is infinite, and refused as such
        return np.ascontiguousarray(cube[:, y : y + facts.STAMP, x : x + facts.STAMP], dtype=np.float32)


def _stamp(door: _Door, content: dict, shape: bool = True, whole: bool = False) -> HostStamp:
    """Check a cutout's content and derive what a `HostStamp` holds."""
    door.host_id = _text(door, content.get("host_id"), "host_id") or door.host_id
    image = _select(door, content["image"], content["bands"], "image")
    crop = _centre_crop(image)
    invvar = None
    if content["invvar"] is not None:
        if content["invvar"].shape != content["image"].shape:
            raise door.refuse(
                "wrong_shape",
                f"invvar {content['invvar'].shape} and image {content['image'].shape} differ in shape",
                "Store both with the same bands and size.",
            )
        invvar = _centre_crop(_select(door, content["invvar"], content["bands"], "invvar"))
        _check_invvar(door, invvar)
    seen = invvar
    if (bad := _spoilt(door, content)) is not None:
        invvar = None if invvar is None else np.where(bad, np.float32(0), invvar)
        seen = invvar if invvar is not None else (~bad).astype(np.float32)
        _check_masked(door, seen)
    if not whole:
        _check_pixels(door, crop, seen)
    place = _place(door, content)
    mask = sky.sky_mask(crop, seen)
    lag1, correlation_sum = sky.noise_correlation(crop, mask)
    if invvar is not None:
        nominal = sky.sky_sigma_invvar(invvar, mask)
        delivered = nominal / np.sqrt(correlation_sum)
    else:
        delivered = sky.sky_sigma_mad(crop, mask)
        nominal = delivered * np.sqrt(correlation_sum)
    _check_units(door, nominal)
    survey = _survey(door, content)
    psf_image, psf_fwhm, flags = _psf(door, content, survey)
    if content["exptime"] is not None:
        gain = survey.gain_from_exposures(_per_band(door, content["exptime"], "exptime", 1.0, 1e7))
    else:
        gain = survey.gain_from_sky_noise(nominal)
        flags += ["gain_assumed"] if invvar is None else []
    flags += ["sigma_from_mad"] if invvar is None else []
    given = np.atleast_1d(content["flags"] if content["flags"] is not None else [])
    flags += [f for f in (_text(door, value, "flags") for value in given) if f]
    flags += [] if np.isfinite(place["ra"]) else ["position_unknown"]
    # An odd-sized cutout has its target on a pixel, an even-sized one between two (module docstring).
    first_guess = tuple(facts.STAMP / 2 - 0.5 * (n % 2 == 0) for n in image.shape[:0:-1])
    e1, e2, x, y = 0.0, 0.0, *first_guess
    if shape:
        e1, e2, x, y = sky.light_shape(crop[1], first_guess, float(psf_fwhm[1]), float(np.median(crop[1][mask])))
    middle = (facts.STAMP - 1) / 2
    return HostStamp(
        host_id=door.host_id,
        **place,
        image=crop,
        invvar=invvar,
        psf=psf_image,
        psf_fwhm=psf_fwhm,
        sky_sigma=delivered,
        gain=gain,
        e1=e1,
        e2=e2,
        x_arcsec=(x - middle) * facts.PIXEL_SCALE,
        y_arcsec=(y - middle) * facts.PIXEL_SCALE,
        lag1=lag1,
        z_phot=float(facts.known_redshift(_number(door, content["z_phot"], "z_phot"))),
        flags=tuple(sorted(flags)),
        file=door.name,
        row=door.row,
        survey=survey.name,
    )


def _select(door: _Door, cube: np.ndarray, bands: list[str], what: str) -> np.ndarray:
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


def _place(door: _Door, content: dict) -> dict:
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
    name = _text(door, content["brickname"], "brickname") or name
    return {"brickname": name, "ra": ra % 360.0, "dec": dec, "brick_ra": brick_ra, "brick_dec": brick_dec}


def _check_scale(door: _Door, scale: float) -> None:
    if abs(scale / facts.PIXEL_SCALE - 1.0) > PIXEL_SCALE_TOLERANCE:
        raise door.refuse(
            "wrong_pixel_scale",
            f"pixels of {scale:.4f} arcsec, not {facts.PIXEL_SCALE}",
            f"Fetch it again with pixscale={facts.PIXEL_SCALE}; resampling would change the noise.",
        )


def _check_pixels(door: _Door, crop: np.ndarray, invvar: np.ndarray | None) -> None:
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


def _check_invvar(door: _Door, invvar: np.ndarray) -> None:
    for name, band in zip(facts.BAND_NAMES, invvar):
        if not np.isfinite(band).all() or band.min() < 0:
            raise door.refuse(
                "bad_invvar", f"negative or non-finite inverse variance in {name}", "Set masked pixels to 0."
            )
    _check_masked(door, invvar)


def _check_masked(door: _Door, seen: np.ndarray) -> None:
    """Refuse where too many pixels are 0 in inverse variance, or in what masks leave of it."""
    for name, band in zip(facts.BAND_NAMES, seen):
        masked = float((band == 0).mean())
        if masked > MAX_MASKED_FRACTION:
            raise door.refuse(
                "masked",
                f"{masked:.0%} of {name} are masked, limit {MAX_MASKED_FRACTION:.0%}",
                "Choose a position away from bright stars and edges.",
            )


def _spoilt(door: _Door, content: dict) -> np.ndarray | None:
    """(3, 64, 64) bool of what the cutout's masks call bad; None where it has none."""
    shape = np.shape(content["image"])
    try:
        bad = masks.spoilt(content["mask"], content["maskbits"], shape)
    except ValueError as error:
        remedy = "Store (y, x) or (bands, y, x) whole numbers, 0 where a pixel is good."
        raise door.refuse("bad_mask", str(error), remedy) from None
    return None if bad is None else _centre_crop(_select(door, bad.astype(np.uint8), content["bands"], "mask")) > 0


def _check_units(door: _Door, sigma: np.ndarray) -> None:
    low, high = PLAUSIBLE_SIGMA
    for name, value in zip(facts.BAND_NAMES, sigma):
        if not low < value < high:
            raise door.refuse(
                "implausible_units",
                f"sky noise of {value:.3g} a pixel in {name}, outside {low:g} to {high:g} nanomaggies",
                "Convert the image to nanomaggies (AB zero-point 22.5) before the sky is scaled or clipped.",
            )


def _per_band(door: _Door, value, key: str, low: float, high: float) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.asarray(str(value))
    more = ", the FWHM in arcsec, not the standard deviation or pixels" if key == "psf_fwhm" else ""
    if array.shape != (3,) or not ((array >= low) & (array <= high)).all():
        raise door.refuse(
            f"bad_{key}",
            f"`{key}` is {array.tolist()}",
            f"Give three numbers (g, r, z) from {low:g} to {high:g}{more}.",
        )
    return array


def _psf(door: _Door, content: dict, survey: Survey) -> tuple[np.ndarray | None, np.ndarray, list[str]]:
    """PSF image, FWHM per band, flags: the image where there is one, else the FWHM, else the survey's typical one."""
    if content["psf"] is None and content["psf_fwhm"] is None:
        return None, survey.psf_fwhm, ["psf_assumed"]
    if content["psf"] is None:
        return None, _per_band(door, content["psf_fwhm"], "psf_fwhm", *PLAUSIBLE_FWHM), []
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
