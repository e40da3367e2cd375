"""FITS files of the Legacy Surveys cutout service (legacysurvey/imagine, ``MapLayer.write_cutout``).

Two layouts are understood:

resampled (``fits-cutout?ra=..&dec=..&pixscale=0.262&bands=grz[&invvar]``)
    PRIMARY holds a (bands, y, x) cube, its bands in ``BANDS`` and ``BAND0, BAND1, ..``; with invvar a second HDU of the
    same shape has ``IMAGETYP = 'INVVAR'``; a third may hold ``MASKBITS``, whose spoilt pixels are masked
    (`dhs.survey.hosts.cutouts.masks`). The WCS is TAN, the target at the centre.
subimage (``..&subimage``)
    PRIMARY is empty; one HDU per brick, band and kind, with ``BRICK``, ``BAND`` and ``IMAGETYP`` (image or invvar), on
    the brick's own pixels. Where several bricks overlap, the one that covers the most pixels is taken. A piece that its
    brick's edge cuts off is refused: its target is no longer in the middle, and the file does not say where it is.
"""

from __future__ import annotations

import io
import warnings

import numpy as np

from dhs.survey.hosts.cutouts.archive import MAX_UNPACKED

FITS_SUFFIXES = (".fits", ".fits.gz", ".fits.fz", ".fit")
BRICK_SIDE = 3600  # pixels of a coadd brick


class FitsRefused(Exception):
    """A FITS file that is no usable cutout: ``code``, message, ``remedy``."""

    def __init__(self, code: str, message: str, remedy: str):
        super().__init__(" ".join(message.split()))  # wcslib's messages have many lines
        self.code, self.remedy = code, remedy


def open_fits(data: bytes) -> dict:
    """Content of a cutout: image, invvar, mask, maskbits, bands, ra, dec, pixel_scale, brickname; other keys None.

    Parameters
    ----------
    data : bytes

    Raises
    ------
    FitsRefused
        Unreadable, neither layout, without bands or without a celestial WCS.
    """
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=False) as hdus:
                images = [h for h in hdus if h.is_image and len(h.shape)]
                promised = sum(int(np.prod(h.shape, dtype=object)) * abs(h.header["BITPIX"]) // 8 for h in images)
                if promised > MAX_UNPACKED:
                    raise FitsRefused("too_large", f"more than {MAX_UNPACKED >> 20} MB of pixels", "Give cutouts.")
                planes = [(h.header, h.data) for h in images if h.data is not None]
    except FitsRefused:
        raise
    except Exception as error:  # astropy raises a dozen kinds on a damaged file
        raise FitsRefused("unreadable", f"not a readable FITS file ({error})", "Fetch the file again.") from None
    if not planes:
        raise FitsRefused("unreadable", "no image in any HDU", "Fetch the file again, inside the coverage.")
    beside = {kind: data for header, data in reversed(planes) if (kind := _kind(header)) in OTHER_KINDS}
    header, image = next(((h, d) for h, d in planes if _kind(h) not in OTHER_KINDS), planes[0])
    if image.ndim == 3:
        content = {"image": image, "bands": _bands(header, image.shape), "brickname": None}
        content |= {kind: beside.get(kind) for kind in OTHER_KINDS}
    else:
        header, content = _subimage(planes)
    if wrong := unit_problem(header):
        raise FitsRefused("wrong_units", wrong, "Give the image in nanomaggies (AB zero-point 22.5).")
    ra, dec, scale = _where(header, content["image"].shape)
    native = {k: _native(content[k]) for k in ("image", "invvar")}
    optional = dict.fromkeys(("psf", "psf_fwhm", "exptime", "z_phot", "host_id", "flags"))
    return optional | content | native | {"ra": ra, "dec": dec, "pixel_scale": scale}


OTHER_KINDS = ("invvar", "mask", "maskbits")
_KINDS = {"ivar": "invvar", "inverse_variance": "invvar", "weight": "invvar", "wht": "invvar", "wtmap": "invvar"}


def _kind(header) -> str:
    """What an HDU holds, by IMAGETYP or EXTNAME: ``image`` unless it says ``invvar``, ``mask`` or ``maskbits``."""
    said = str(header.get("IMAGETYP", header.get("EXTNAME", "image"))).strip().lower()
    said = _KINDS.get(said, said)
    return said if said in OTHER_KINDS else "image"


def unit_problem(header) -> str | None:
    """What a header says against nanomaggies, or None."""
    unit = str(header.get("BUNIT", "")).strip().lower()
    if unit and not unit.startswith(("nanomagg", "nmgy")):
        return f"BUNIT is {header['BUNIT']!r}, not nanomaggies"
    for key in ("MAGZERO", "MAGZPT"):
        zero = header.get(key, 22.5)
        if not isinstance(zero, int | float) or abs(zero - 22.5) > 0.01:
            return f"{key} is {zero}, not the 22.5 of nanomaggies"
    return None


def _native(array):
    """Big-endian FITS pixels as the machine's own float32."""
    return None if array is None else np.asarray(array).astype(np.float32)


def _bands(header, shape: tuple[int, int, int]) -> list[str]:
    n, named = shape[0], str(header.get("BANDS", "")).strip()
    if 1 < len(named) == shape[2] != n:
        message = f"the cube has shape {shape}: channel last"
        raise FitsRefused("channel_order", message, "Write it as (bands, y, x), so that NAXIS3 counts the bands.")
    bands = [str(header.get(f"BAND{i}", "")).strip() for i in range(n)]
    if not all(bands):
        bands = list(named)
    elif named and "".join(bands) != named and len(named) == n:
        message = f"BANDS is {named!r}, BAND0.. say {bands}"
        raise FitsRefused("contradiction", message, "Write the order of the planes, once.")
    if len(bands) != n:
        raise FitsRefused(
            "unknown_layout",
            f"{n} planes, but BANDS and BAND0.. name {len(bands)}",
            "Write BANDS (e.g. 'grz') into the header, or fetch the cutout from the survey's service.",
        )
    return bands


def _subimage(planes) -> tuple[object, dict]:
    """Header of the chosen brick's first image, and its content."""
    found: dict[str, dict[tuple[str, str], tuple]] = {}
    for header, data in planes:
        kind = _kind(header)
        if data.ndim == 2 and ("BAND" in header or kind in ("mask", "maskbits")):
            key = (kind, str(header.get("BAND", "")).strip())
            found.setdefault(str(header.get("BRICK", "")).strip(), {})[key] = (header, data)
    if not any(kind == "image" for planes_ in found.values() for kind, _ in planes_):
        raise FitsRefused(
            "unknown_layout",
            "neither a (bands, y, x) cube with BANDS nor HDUs with BAND and IMAGETYP",
            "One image holds one band: put g, r, z into one cube with BANDS = 'grz', or fetch it from the survey's "
            "cutout service (fits-cutout, bands=grz).",
        )
    whole = {name: planes for name, planes in found.items() if not any(_cut_off(h, d) for h, d in planes.values())}
    if not whole:
        raise FitsRefused(
            "cut_off",
            f"the edge of brick {' and '.join(found)} cuts this subimage, so its target is not in the middle",
            "Fetch it without &subimage, or give the brick's coadds and a catalogue of targets.",
        )
    name, best = max(whole.items(), key=lambda item: sum(d.size for _, d in item[1].values()))
    bands = [band for kind, band in best if kind == "image"]
    shapes = {data.shape for _, data in best.values()}
    if not bands or len(shapes) != 1:
        raise FitsRefused("wrong_shape", f"planes of one brick have shapes {sorted(shapes)}", "Fetch the file again.")
    has_invvar = all(("invvar", band) in best for band in bands)
    content = {
        "image": np.stack([best["image", band][1] for band in bands]),
        "bands": bands,
        "invvar": np.stack([best["invvar", band][1] for band in bands]) if has_invvar else None,
        "brickname": name or None,
    }
    for kind in ("mask", "maskbits"):
        own = [best.get((kind, band), best.get((kind, ""))) for band in bands]
        content[kind] = None if any(o is None for o in own) else np.stack([d for _, d in own])
    return best["image", bands[0]][0], content


def _cut_off(header, data) -> bool:
    """Whether a brick's piece may be less than was asked for: it reaches its brick's edge, or says nothing of it."""
    y, x = data.shape
    if "BRICK_X0" not in header or "BRICK_Y0" not in header:
        return x != y
    corners = ((int(header["BRICK_X0"]), x), (int(header["BRICK_Y0"]), y))
    return any(start <= 0 or start + side >= BRICK_SIDE for start, side in corners)


def _where(header, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """RA and Dec (degrees) of the target pixel and the pixel scale (arcsec)."""
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(header, naxis=2)
            if not wcs.has_celestial:
                raise ValueError("no celestial axes")
            if missing := [k for k in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2") if k not in header]:
                raise ValueError(f"no {', '.join(missing)}")
            centre = [n // 2 - 0.5 * (n % 2 == 0) for n in (shape[2], shape[1])]
            ra, dec = icrs(wcs, centre)
            sides = proj_plane_pixel_scales(wcs) * 3600.0
            scale = float(np.sqrt(np.prod(sides)))
            if sides.max() > 1.01 * sides.min():
                message = f"pixels of {sides[0]:.4f} x {sides[1]:.4f} arcsec are not square"
                raise FitsRefused("wrong_pixel_scale", message, "Fetch it again with square pixels of 0.262 arcsec.")
    except FitsRefused:
        raise
    except Exception as error:  # wcslib raises its own kinds
        raise FitsRefused(
            "missing_position", f"no usable WCS ({error})", "Write CTYPE, CRVAL, CRPIX and CD into the header."
        ) from None
    if not (np.isfinite(ra) and np.isfinite(dec)):
        raise FitsRefused("missing_position", "the WCS gives no position at the centre", "Check CRVAL and CD.")
    return ra, dec, scale


def icrs(wcs, pixel) -> tuple[float, float]:
    """RA and Dec in degrees of a pixel (x, y), counted from 0, whatever system and order of axes the WCS has."""
    told = wcs.wcs
    j2000 = told.radesys in ("", "ICRS", "FK5") and (np.isnan(told.equinox) or told.equinox == 2000.0)
    if told.lngtyp == "RA" and j2000:  # FK5 and ICRS differ by 0.03 arcsec
        world = wcs.wcs_pix2world([pixel], 0)[0]
        return float(world[told.lng]), float(world[told.lat])
    place = wcs.pixel_to_world(*pixel).icrs
    return float(place.ra.deg), float(place.dec.deg)
