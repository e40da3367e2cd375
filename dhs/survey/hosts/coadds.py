"""Coadds of the Legacy Surveys: the files of one brick, opened once, and stamps cut from its own pixels.

Layout and headers are those of DR9 and DR10 (legacysurvey.org/dr10/files, "Image stacks"; legacypipe,
``coadds.write_coadd_images``): ``coadd/<AAA>/<brick>/legacysurvey-<brick>-<kind>-<band>.fits.fz`` with AAA the first
three digits of the brick, fpacked, one TAN WCS a brick, nanomaggies a pixel. Stamps are whole pixels of the brick:
nothing is resampled a second time.
"""

from __future__ import annotations

import io
import warnings

import numpy as np

from dhs import storage
from dhs.errors import InputRefused, Refusal
from dhs.survey import facts
from dhs.survey.hosts.cutouts import MAX_MASKED_FRACTION, masks, stamp_of
from dhs.survey.hosts.cutouts.fits import unit_problem
from dhs.survey.hosts.record import HostRef
from dhs.survey.hosts.stamp import HostStamp

SUFFIXES = (".fits.fz", ".fits")
KINDS = ("image", "invvar", "psfsize", "copsf")
HALF = facts.STAMP // 2


class BrickRefused(Exception):
    """A brick no stamp can be cut from: ``code``, message, ``remedy``."""

    def __init__(self, code: str, message: str, remedy: str):
        super().__init__(message)
        self.code, self.remedy = code, remedy


def folder(root: str, brick: str) -> str:
    """Folder of a brick's coadds under a region's root (the folder that holds ``coadd/``)."""
    return storage.join(root, "coadd", brick[:3], brick)


class Coadds:
    """The coadds of one brick: g, r, z images with their inverse variance, mask and PSF.

    Only the compressed bytes and headers are held; the tiles under a stamp are decompressed when it is cut.

    Parameters
    ----------
    root : str
        Local folder or URI that holds ``coadd/``.
    brick : str
        e.g. ``2428p117``.

    Raises
    ------
    BrickRefused
        A file is missing or unreadable, planes differ in shape, or there is no celestial WCS.
    """

    def __init__(self, root: str, brick: str):
        self.brick, self.folder = brick, folder(root, brick)
        names = {f.rsplit("/", 1)[-1]: f for f in storage.list_files(self.folder, SUFFIXES)}
        if not names:
            raise BrickRefused(
                "missing_brick", f"no coadds of brick {brick} in {self.folder}", "Fetch the brick, or leave it out."
            )
        self._files = names
        self._planes = {(kind, b): self._plane(kind, b) for kind in ("image", "invvar") for b in facts.BAND_NAMES}
        self._mask = self._plane("maskbits")
        psf = "copsf" if self._find("copsf", "r") else "psfsize"
        self._psf = {(psf, b): self._plane(psf, b) for b in facts.BAND_NAMES}
        shapes = {tuple(p.shape) for key, p in {**self._planes, "maskbits": self._mask}.items()}
        if len(shapes) != 1:
            raise BrickRefused("wrong_shape", f"planes of one brick have shapes {sorted(shapes)}", "Fetch it again.")
        self.shape = shapes.pop()
        for band in facts.BAND_NAMES:
            if wrong := unit_problem(self._planes["image", band].header):
                raise BrickRefused("wrong_units", f"brick {brick}, {band}: {wrong}", "Give coadds in nanomaggies.")
        self._wcs, self.pixel_scale = self._celestial(self._planes["image", "r"].header)

    def _find(self, kind: str, band: str = "") -> str | None:
        stem = f"legacysurvey-{self.brick}-{kind}" + (f"-{band}" if band else "")
        return next((self._files[stem + s] for s in SUFFIXES if stem + s in self._files), None)

    def _plane(self, kind: str, band: str = ""):
        """The first image HDU of one file."""
        from astropy.io import fits

        path = self._find(kind, band)
        if path is None:
            what = "missing_band" if kind == "image" else f"missing_{kind}"
            raise BrickRefused(
                what,
                f"brick {self.brick} has no {kind}{f' in {band}' if band else ''}",
                "Fetch the brick's files again, or leave out bricks the survey has not seen in g, r and z.",
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                hdus = fits.open(io.BytesIO(storage.read_bytes(path)), lazy_load_hdus=False)
                return next(h for h in hdus if h.is_image and h.header.get("NAXIS", 0) == 2)
        except Exception as error:  # astropy raises a dozen kinds on a damaged file
            raise BrickRefused("unreadable", f"{path} is not a readable coadd ({error})", "Fetch it again.") from None

    def _celestial(self, header):
        from astropy.wcs import WCS
        from astropy.wcs.utils import proj_plane_pixel_scales

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wcs = WCS(header)
                if not wcs.has_celestial:
                    raise ValueError("no celestial axes")
                return wcs, float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs))) * 3600.0)
        except Exception as error:  # wcslib raises its own kinds
            raise BrickRefused(
                "missing_position", f"brick {self.brick} has no usable WCS ({error})", "Fetch the image file again."
            ) from None

    def pixel(self, ra: float, dec: float) -> tuple[int, int]:
        """Pixel (x, y) a position falls on, counted from 0."""
        x, y = self._wcs.wcs_world2pix([[ra, dec]], 0)[0]
        if not (np.isfinite(x) and np.isfinite(y)):
            return -1, -1
        return int(np.floor(x + 0.5)), int(np.floor(y + 0.5))

    def stamp(self, ref: HostRef) -> HostStamp:
        """The stamp of one host, the pixel it falls on at (32, 32).

        Raises
        ------
        InputRefused
            The stamp leaves the brick, the mask covers it, or `dhs.survey.hosts.cutouts` refuses its pixels.
        """

        def refuse(code, message, remedy):
            return InputRefused(Refusal(ref.host_id, self.folder, ref.row, "host", code, message, remedy))

        x, y = self.pixel(ref.ra, ref.dec)
        if not (HALF <= x < self.shape[1] - HALF and HALF <= y < self.shape[0] - HALF):
            raise refuse(
                "outside_brick",
                f"its 64 x 64 stamp at pixel ({x}, {y}) leaves brick {self.brick} {self.shape[::-1]}",
                "Give each host the brick whose centre is nearest (column brickname), or leave the column out.",
            )
        # An odd-sized cutout has its target on the centre pixel (dhs.survey.hosts.cutouts).
        window = (slice(y - HALF, y + HALF + 1), slice(x - HALF, x + HALF + 1))
        try:
            image, invvar = (self._cut(kind, window) for kind in ("image", "invvar"))
            masked, psf = self._mask.section[window], self._psf_at(x, y)
        except Exception as error:  # tiles are decompressed here, and a damaged one raises a dozen kinds
            said = " ".join(str(error).split())
            raise refuse("unreadable", f"its pixels can't be read ({said})", "Fetch the brick again.") from None
        bad = masks.bits_set(masked)
        if bad.mean() > MAX_MASKED_FRACTION:
            names = masks.names_set(masked)
            raise refuse(
                "masked",
                f"{bad.mean():.0%} of the stamp is masked ({', '.join(names)}), limit {MAX_MASKED_FRACTION:.0%}",
                "Choose a position away from bright stars, large galaxies and missing data.",
            )
        invvar = np.where(bad, 0.0, invvar).astype(np.float32)
        content = {"image": image, "invvar": invvar, "bands": list(facts.BAND_NAMES), "brickname": self.brick}
        content |= {"ra": ref.ra, "dec": ref.dec, "pixel_scale": self.pixel_scale, "host_id": ref.host_id}
        content |= {"z_phot": ref.z_phot if np.isfinite(ref.z_phot) else None} | psf
        return stamp_of(content, self.folder, ref.row)

    def _cut(self, kind: str, window) -> np.ndarray:
        return np.stack([self._planes[kind, band].section[window] for band in facts.BAND_NAMES]).astype(np.float32)

    def _psf_at(self, x: int, y: int) -> dict:
        if ("copsf", "r") in self._psf:
            return {"psf": np.stack([self._psf["copsf", b].data for b in facts.BAND_NAMES]).astype(np.float32)}
        at = (slice(y, y + 1), slice(x, x + 1))
        return {"psf_fwhm": np.array([float(self._psf["psfsize", b].section[at][0, 0]) for b in facts.BAND_NAMES])}
