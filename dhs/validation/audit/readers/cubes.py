"""One file with all stamps: npy, npz, HDF5 or Zarr, labels beside or inside; and arrays in memory."""

from __future__ import annotations

import numpy as np

from dhs import storage
from dhs.errors import DhsError, UsageError
from dhs.validation.audit.readers.base import Found, Layout, Raw, named, take_roles
from dhs.validation.audit.readers.tables import read_columns

MAX_UNPACKED = 3 << 29  # bytes that an npz may take in memory


def of_arrays(images, columns: dict[str, np.ndarray], layout: Layout, kind: str, bands=()) -> Found:
    """Stamps of anything that is indexed like an array (n, ...).

    Raises
    ------
    DhsError
        It has not 3 or 4 axes of numbers.
    """
    shape, dtype = tuple(images.shape), np.dtype(images.dtype)
    if len(shape) not in (3, 4) or dtype.kind not in "fiub":
        raise DhsError(f"{kind} of shape {shape}, {dtype}: stamps are (n, bands, y, x), (n, y, x, bands) or (n, y, x).")
    n = shape[0]
    for role, values in columns.items():
        if len(values) != n:
            raise DhsError(f"{n} stamps and {len(values)} of {role!r}: give one a stamp, in the same order.")

    def read(places) -> list[Raw]:
        places = np.asarray(places, dtype=int)
        start, stop = int(places.min()), int(places.max()) + 1
        if stop - start <= 4 * len(places):
            block = np.asarray(images[start:stop])
            return [Raw(block[i - start], {"dtype": dtype.str}) for i in places]
        return [Raw(np.asarray(images[int(i)]), {"dtype": dtype.str}) for i in places]

    names = [f"{i}" for i in range(n)]
    return Found(kind, names, columns, read, display=dtype == np.uint8, bands=tuple(bands))


def of_cube(path: str, layout: Layout, labels: str | None = None) -> Found:
    """Stamps of one file.

    Raises
    ------
    DhsError
        It holds no array of stamps, or it can't be read.
    UsageError
        A library is missing.
    """
    low = path.lower()
    if low.endswith(".npy"):
        images, inside = _npy(path), {}
    elif low.endswith(".npz"):
        images, inside = _npz(path, layout)
    elif low.endswith((".h5", ".hdf5", ".hdf")):
        images, inside = _hdf5(path, layout)
    else:
        images, inside = _zarr(path, layout)
    n = images.shape[0]
    columns = take_roles(inside, layout, n)
    if labels is not None:
        table = read_columns(labels)
        sizes = {len(v) for v in table.values()}
        if n not in sizes:
            raise DhsError(f"{labels}: {max(sizes, default=0)} rows for {n} stamps. Give one a stamp, in their order.")
        columns |= take_roles(table, layout, n)
    return of_arrays(images, columns, layout, f"a cube, {low.rsplit('.', 1)[-1]}")


def _npy(path: str):
    inner = storage.resolve(path)[1]
    try:
        if "://" in path:
            import io

            return np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False)
        with storage.explained(path):
            return np.load(inner, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DhsError(f"{path}: not a readable npy ({error}). Save plain numbers: objects are not opened.") from None


def _npz(path: str, layout: Layout):
    import io
    from zipfile import BadZipFile, ZipFile

    data = storage.read_bytes(path)
    try:
        with ZipFile(io.BytesIO(data)) as packed:
            size = sum(i.file_size for i in packed.infolist())
        if size > MAX_UNPACKED:
            raise DhsError(f"{path}: {size >> 20} MB unpacked, an npz is held whole. Save it as npy or HDF5.")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            held = {k: archive[k] for k in archive.files}
    except (BadZipFile, ValueError, OSError) as error:
        raise DhsError(f"{path}: not a readable npz ({error}). Save plain numbers: objects are not opened.") from None
    return _largest(held, path, layout)


def _hdf5(path: str, layout: Layout):
    import h5py

    inner = storage.resolve(path)[1]
    try:
        with storage.explained(path):
            file = h5py.File(inner, "r")
    except OSError as error:
        raise DhsError(f"{path}: not a readable HDF5 file ({str(error).splitlines()[0]}).") from None
    held: dict = {}
    file.visititems(lambda name, item: held.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    images, columns = _largest(held, path, layout)
    return images, {k: _decoded(v[()]) for k, v in columns.items()}


def _decoded(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "SO":
        return np.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.tolist()], object)
    return values


def _zarr(path: str, layout: Layout):
    try:
        import zarr
    except ImportError:
        raise UsageError(f"{path}: Zarr needs its package: pip install zarr; or save the set as HDF5 or npy.") from None
    try:
        found = zarr.open(path, mode="r")
    except Exception as error:  # its versions raise different kinds
        raise DhsError(f"{path}: not a readable Zarr store ({type(error).__name__}: {error}).") from None
    held = {"image": found} if hasattr(found, "shape") else dict(found.arrays())
    images, columns = _largest(held, path, layout)
    return images, {k: np.asarray(v) for k, v in columns.items()}


def _largest(held: dict, path: str, layout: Layout):
    """The array of stamps, by name or else the largest with 3 or 4 axes; and the columns beside it."""
    stamps = {k: v for k, v in held.items() if len(v.shape) in (3, 4) and np.dtype(v.dtype).kind in "fiub"}
    if not stamps:
        shapes = ", ".join(f"{k} {tuple(v.shape)}" for k, v in held.items())[:200]
        raise DhsError(f"{path}: no array of stamps (n, bands, y, x) in it; it holds {shapes or 'nothing'}.")
    chosen = (
        layout.image or named(list(stamps), "image", Layout()) or max(stamps, key=lambda k: np.prod(stamps[k].shape))
    )
    if chosen not in stamps:
        raise DhsError(f"{path}: no array {chosen!r} of stamps; there are {', '.join(stamps)}.")
    n = stamps[chosen].shape[0]
    columns = {
        k.rsplit("/", 1)[-1]: v
        for k, v in held.items()
        if k != chosen and v.shape[:1] == (n,) and (len(v.shape) == 1 or tuple(v.shape) == (n, 2))
    }
    return stamps[chosen], columns
