"""npz archives of unknown origin: what they promise is compared with what they hold before anything is unpacked."""

from __future__ import annotations

import io
from zipfile import ZipFile

import numpy as np

MAX_UNPACKED = 1 << 29  # bytes of a gzipped or zipped cutout


class TooLarge(ValueError):
    """More bytes than a cutout may hold."""


def check(data: bytes, keys=None, most: int = MAX_UNPACKED) -> None:
    """Refuse an archive whose arrays are larger than they may be, or than the bytes that are there.

    Parameters
    ----------
    data : bytes
    keys : collection of str, optional
        Arrays that will be read; all by default.
    most : int
        Bytes of all of them, unpacked.

    Raises
    ------
    TooLarge
    ValueError
        No readable archive, or an array's header promises more than its member holds.
    """
    try:
        with ZipFile(io.BytesIO(data)) as packed:
            members = [i for i in packed.infolist() if keys is None or i.filename.removesuffix(".npy") in keys]
            if sum(i.file_size for i in members) > most:
                raise TooLarge(f"more than {most >> 20} MB unpacked")
            for info in members:
                shape, dtype = header(packed, info.filename)
                if not dtype.hasobject and int(np.prod(shape, dtype=object)) * dtype.itemsize > info.file_size:
                    raise ValueError(f"{info.filename} promises {shape} of {dtype}, and holds {info.file_size} bytes")
    except TooLarge:
        raise
    except Exception as error:  # zip, tokens, recursion, memory: a damaged or hostile file raises a dozen kinds
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def header(packed: ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in an archive; its pixels are not read."""
    with packed.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    return shape, dtype
