"""FITS files of the Legacy Surveys cutout service (legacysurvey/imagine, ``MapLayer.write_cutout``).

Two layouts are understood:

resampled (``fits-cutout?ra=..&dec=..&pixscale=0.262&bands=grz[&invvar]``)
    PRIMARY holds a (bands, y, x) cube, its bands in ``BANDS`` and ``BAND0, BAND1, ..``; with invvar a second HDU of the
    same shape has ``IMAGETYP = 'INVVAR'``; a third may hold ``MASKBITS``. The WCS is TAN, the target at the centre.
subimage (``..&subimage``)
    PRIMARY is empty; one HDU per brick, band and kind, with ``BRICK``, ``BAND`` and ``IMAGETYP`` (image or invvar), on
    the brick's own pixels. Where several bricks overlap, the one that covers the most pixels is taken. A piece that its
    brick's edge cuts off is refused: its target is no longer in the middle, and the file does not say where it is.
"""

from __future__ import annotations

import io
import warnings

import numpy as np

FITS_SUFFIXES = (".fits", ".fits.gz", ".fits.fz", ".fit")
BRICK_SIDE = 3600  # pixels of a coadd brick


class FitsRefused(Exception):
    """A FITS file that is no usable cutout: ``code``, message, ``remedy``."""

    def __init__(self, code: str, message: str, remedy: str):
        super().__init__(message)
        self.code, self.remedy = code, remedy


def open_fits(data: bytes) -> dict:
    """Content of a cutout: image, invvar, bands, ra, dec, pixel_scale, brickname; other optional keys None.

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
                planes = [(h.header, h.data) for h in hdus if h.is_image and h.data is not None]
    except Exception as error:  # astropy raises a dozen kinds on a damaged file
        raise FitsRefused("unreadable", f"not a readable FITS file ({error})", "Fetch the file again.") from None
    if not planes:
        raise FitsRefused("unreadable", "no image in any HDU", "Fetch the file again, inside the coverage.")
    header, image = planes[0]
    if image.ndim == 3:
        bands = _bands(header, image.shape[0])
        invvar = [d for h, d in planes[1:] if str(h.get("IMAGETYP", "")).strip().upper() == "INVVAR"]
        content = {"image": image, "bands": bands, "invvar": invvar[0] if invvar else None, "brickname": None}
    else:
        header, content = _subimage(planes)
    ra, dec, scale = _where(header, content["image"].shape)
    native = {k: _native(content[k]) for k in ("image", "invvar")}
    optional = dict.fromkeys(("psf", "psf_fwhm", "exptime", "z_phot", "host_id", "flags"))
    return optional | content | native | {"ra": ra, "dec": dec, "pixel_scale": scale}


def _native(array):
    """Big-endian FITS pixels as the machine's own float32."""
    return None if array is None else np.asarray(array).astype(np.float32)


def _bands(header, n: int) -> list[str]:
    bands = [str(header.get(f"BAND{i}", "")).strip() for i in range(n)]
    if not all(bands):
        bands = list(str(header.get("BANDS", "")).strip())
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
        if data.ndim == 2 and "BAND" in header:
            kind = str(header.get("IMAGETYP", "image")).strip().lower()
            key = (kind, str(header["BAND"]).strip())
            found.setdefault(str(header.get("BRICK", "")).strip(), {})[key] = (header, data)
    if not found:
        raise FitsRefused(
            "unknown_layout",
            "neither a (bands, y, x) cube with BANDS nor HDUs with BAND and IMAGETYP",
            "Fetch it from the survey's cutout service (fits-cutout, bands=grz).",
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
            centre = [n // 2 - 0.5 * (n % 2 == 0) for n in (shape[2], shape[1])]
            ra, dec = (float(v) for v in wcs.wcs_pix2world([centre], 0)[0])
            scale = float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs))) * 3600.0)
    except Exception as error:  # wcslib raises its own kinds
        raise FitsRefused(
            "missing_position", f"no usable WCS ({error})", "Write CTYPE, CRVAL, CRPIX and CD into the header."
        ) from None
    if not (np.isfinite(ra) and np.isfinite(dec)):
        raise FitsRefused("missing_position", "the WCS gives no position at the centre", "Check CRVAL and CD.")
    return ra, dec, scale
