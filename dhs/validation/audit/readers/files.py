"""One file, one stamp: FITS, npz, npy or a picture; its pixels as they are and what its header says."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from zipfile import BadZipFile

import numpy as np
from PIL import Image, UnidentifiedImageError

from dhs import storage
from dhs.errors import InputRefused
from dhs.validation.audit.readers.base import Raw, refused

FLUX = (".fits", ".fit", ".fits.gz", ".fits.fz", ".fit.gz", ".npz", ".npy")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_BYTES = 1 << 28
IMAGE_KEYS = ("image_nmgy", "image", "img", "stamp", "cutout", "data", "arr_0")
STRUCTURE = ("SIMPLE", "BITPIX", "EXTEND", "XTENSION", "PCOUNT", "GCOUNT", "END", "COMMENT", "HISTORY", "", "CHECKSUM")
STRUCTURE += ("DATASUM", "TFIELDS", "ZIMAGE")
MAX_CARDS = 60


def read_file(path: str) -> Raw:
    """The stamp of a file.

    Raises
    ------
    InputRefused
        It holds none that can be read.
    """
    return decode(storage.read_bytes(path), path)


def decode(data: bytes, name: str) -> Raw:
    """A stamp from a file's bytes, told by its first ones."""
    size = len(data)
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise _bad(name, f"not a whole gzip file ({error})") from None
    if len(data) > MAX_BYTES:
        raise refused(
            _stem(name), name, f"more than {MAX_BYTES >> 20} MB", "Give single stamps, or one cube.", "too_large"
        )
    if data.startswith(b"SIMPLE"):
        raw = _fits(data, name)
    elif data.startswith(b"PK"):
        raw = _npz(data, name)
    elif data.startswith(b"\x93NUMPY"):
        raw = _npy(data, name)
    else:
        raw = _picture(data, name)
    return Raw(raw.pixels, raw.about | {"bytes": size, "dtype": str(raw.pixels.dtype.str)})


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _bad(name: str, message: str) -> InputRefused:
    return refused(_stem(name), name, message, "Write or fetch the file again.", "unreadable")


def _npy(data: bytes, name: str) -> Raw:
    try:
        return Raw(np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise _bad(name, f"not a readable npy ({error})") from None


def _npz(data: bytes, name: str) -> Raw:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            for key in IMAGE_KEYS:
                if key in archive.files:
                    return Raw(archive[key])
            bands = sorted((k for k in archive.files if k.startswith("image_")), key=lambda k: "ugrizy".find(k[-1]))
            if bands:
                return Raw(np.stack([archive[k] for k in bands]))
            images = [k for k in archive.files if archive[k].ndim in (2, 3) and archive[k].dtype.kind in "fiu"]
            if len(images) == 1:
                return Raw(archive[images[0]])
            held = ", ".join(archive.files)[:100]
    except (BadZipFile, ValueError, EOFError, OSError, KeyError, zlib.error) as error:
        raise _bad(name, f"not a readable npz ({error})") from None
    message = f"no array that is clearly the image among {held or 'none'}"
    raise refused(_stem(name), name, message, "Store it as `image`.", "unknown_layout")


def _fits(data: bytes, name: str) -> Raw:
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(io.BytesIO(data), memmap=False) as hdus:
                images = [h for h in hdus if getattr(h, "is_image", False) or isinstance(h, fits.CompImageHDU)]
                images = [h for h in images if h.data is not None and h.data.ndim in (2, 3)]
                if not images:
                    raise refused(_stem(name), name, "no image in it", "Give FITS images, not tables.", "no_image")
                first = images[0]
                if first.data.ndim == 3:
                    pixels = first.data
                else:
                    same = [h.data for h in images if h.data.shape == first.data.shape and not _of_weight(h)]
                    pixels = np.stack(same) if len(same) > 1 else first.data
                return Raw(np.array(pixels), {"cards": _cards(hdus[0].header, first.header)})
    except InputRefused:
        raise
    except Exception as error:  # astropy raises several kinds for damaged files
        raise _bad(name, f"not a readable FITS file ({type(error).__name__}: {error})") from None


def _of_weight(hdu) -> bool:
    said = f"{hdu.name} {hdu.header.get('IMAGETYP', '')}".lower()
    return any(word in said for word in ("invvar", "weight", "mask", "var", "psf", "err"))


def _cards(*headers) -> dict[str, float | str]:
    out: dict[str, float | str] = {}
    for header in headers:
        for key, value in header.items():
            if key in STRUCTURE or key.startswith(("NAXIS", "TTYPE", "TFORM")) or len(out) >= MAX_CARDS:
                continue
            if isinstance(value, bool | int | float | str):
                out.setdefault(key, float(value) if isinstance(value, bool | int | float) else value.strip())
    return out


def _picture(data: bytes, name: str) -> Raw:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            mode = picture.mode
            picture = picture if mode in ("L", "I", "I;16", "F") else picture.convert("RGB")
            pixels = np.asarray(picture)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise _bad(name, f"neither FITS, npz, npy nor a picture ({error})") from None
    pixels = pixels[::-1] if pixels.ndim == 2 else pixels[::-1].transpose(2, 0, 1)
    return Raw(np.ascontiguousarray(pixels), {"display": True, "cards": {"MODE": mode}})
