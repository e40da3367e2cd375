"""npz and FITS cutouts from their bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dhs import storage
from dhs.survey.hosts.cutouts.archive import MAX_UNPACKED, TooLarge, check
from dhs.survey.hosts.cutouts.door import through_door
from dhs.survey.hosts.cutouts.fits import FITS_SUFFIXES, FitsRefused, open_fits
from dhs.survey.hosts.cutouts.npz_keys import KEYS, OPTIONAL, misnamed
from dhs.survey.hosts.cutouts.values import Door, angle, band_names, member, scalar
from dhs.survey.hosts.stamp import HostStamp

SUFFIXES = (".npz", *FITS_SUFFIXES)  # in any case


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
        raise Door(name).refuse("unreadable", f"neither FITS nor npz inside: {what}", "Fetch or write the file again.")
    raise Door(name).refuse("unknown_format", "not a cutout format", f"Give one of {', '.join(SUFFIXES)}.")


def _gunzip(data: bytes, name: str) -> bytes:
    """What a gzip file holds, up to `MAX_UNPACKED`."""
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            unpacked = stream.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Door(name).refuse("unreadable", f"not a whole gzip file ({error})", "Fetch the file again.") from None
    if len(unpacked) > MAX_UNPACKED:
        raise Door(name).refuse("too_large", f"more than {MAX_UNPACKED >> 20} MB unpacked", "Give single cutouts.")
    return unpacked


def read_fits(data: bytes, name: str) -> HostStamp:
    """Read a FITS cutout of the Legacy Surveys cutout service from its bytes; see `read_cutout`."""
    door = Door(name)
    try:
        content = open_fits(data)
    except FitsRefused as error:
        raise door.refuse(error.code, str(error), error.remedy) from None
    except Exception as error:  # cards of a damaged header fail where they are first read
        said = " ".join(str(error).split())
        raise door.refuse("unreadable", f"not a readable FITS file ({said})", "Fetch the file again.") from None
    return through_door(door, content)


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
    door = Door(name)
    try:
        check(data, KEYS)
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            raw = {key: member(door, archive, key) for key in archive.files if key in KEYS}
            _refuse_misnamed(door, archive.files)
    except TooLarge as error:
        raise door.refuse("too_large", str(error), "Give single cutouts.") from None
    except (BadZipFile, ValueError, EOFError, OSError, AttributeError, NotImplementedError, zlib.error) as error:
        raise door.refuse("unreadable", f"not a readable npz ({error})", "Fetch or write the file again.") from None
    if "image_nmgy" in raw:
        content = {key: raw.get(key) for key in OPTIONAL}
        content |= {
            "image": raw["image_nmgy"],
            "bands": band_names(raw["bands"]) if "bands" in raw else ["g", "r", "z"],
            "ra": angle(door, raw, "ra"),
            "dec": angle(door, raw, "dec"),
            "pixel_scale": scalar(door, raw, "pixscale"),
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
                "ra": angle(door, raw, "meta_ra"),
                "dec": angle(door, raw, "meta_dec"),
                "pixel_scale": scalar(door, raw, "meta_pixel_scale"),
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
    return through_door(door, content)


def _refuse_misnamed(door: Door, keys: list[str]) -> None:
    """What was stored to be used and would not be: a mask, an inverse variance or a position under another name."""
    for key, meant in misnamed(keys).items():
        raise door.refuse("misnamed_key", f"`{key}` is not read", f"Name it `{meant}`, or leave it out.")
