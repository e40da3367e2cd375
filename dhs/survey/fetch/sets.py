"""``dhs fetch``: downloads, only because the user asks for them; nothing else in the package touches the network."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import urllib.parse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dhs import storage
from dhs.config import digest
from dhs.errors import DhsError, InputRefused, Refusal, UsageError
from dhs.survey import facts
from dhs.survey.fetch.demo import demo
from dhs.survey.fetch.download import PARALLEL, NotThis, Wanted, download, download_all
from dhs.survey.hosts.cutouts import read_npz
from dhs.survey.hosts.cutouts.fits import FitsRefused, open_fits
from dhs.survey.lenses.catalogues import known_lenses, lenscat_file, read_catalogue
from dhs.survey.lenses.lens_list import build, second_catalogues

COSMOS_URL = "https://zenodo.org/record/3242143/files/COSMOS_25.2_training_sample.tar.gz"
VIEWER_URL = "https://www.legacysurvey.org/viewer"
LENSES_URL = "https://raw.githubusercontent.com/lenscat/lenscat/main/lenscat/data/catalog.csv"
LAYER = "ls-dr10"
SIZE = facts.STAMP + 1  # odd, so that the galaxy lies on a pixel


def fetch(
    what: str,
    out: str | Path,
    *,
    catalogue: str | None = None,
    url: str | None = None,
    sha256: str | None = None,
    parallel: int = PARALLEL,
    second: Sequence[str] | None = None,
    training: Sequence[str] = (),
) -> list[str]:
    """Download real galaxies to begin with, COSMOS galaxies, hosts with their PSFs, or the table of known lenses.

    Parameters
    ----------
    what : {"demo", "cosmos", "hosts", "lenses"}
        ``demo``: real hosts and sources that may be passed on (`dhs.survey.fetch.demo`), for ``DHS_DATA_DIR``.
        ``cosmos``: GalSim's COSMOS 25.2 training sample (several GB), unpacked. ``hosts``: for each row of
        ``catalogue`` one npz cutout with inverse variance and the coadd's PSF images, from the Legacy Surveys viewer;
        the FITS files it is made of stay in ``fits/``, and positions without a usable cutout go to
        ``quarantine.parquet``. ``lenses``: lenscat's table, from its installed package, else from its
        repository; where the package is installed also the curated list of ground-found lenses
        (`dhs.survey.lenses.lens_list`), whose ``real_lenses.csv`` can be the catalogue of ``hosts``.
    out : str or Path
        Folder. What is there and has the sum in ``SHA256SUMS`` is not asked for again. For an object store, files are
        fetched to the user's cache and copied from there.
    catalogue : str, optional
        For ``hosts``: CSV or TSV with RA and Dec in degrees.
    url : str, optional
        Another address than the public one; for ``hosts`` the viewer's, above ``fits-cutout`` and ``coadd-psf``; for
        ``demo`` one with ``{repository}``, ``{commit}`` and ``{path}`` in it.
    sha256 : str, optional
        For ``cosmos`` and ``lenses``: the checksum to insist on.
    parallel : int
        Downloads at a time.
    second : sequence of str, optional
        For ``lenses``: tables to check every coordinate of the curated list against; those under ``DHS_DATA_DIR`` by
        default. Where there is none the list is written unchecked, and says so.
    training : sequence of str
        For ``lenses``: tables of positions that a network was trained on, which the curated list leaves out.

    Returns
    -------
    list of str
        Files that are now there.

    Raises
    ------
    UsageError
        Unknown ``what``, or ``hosts`` without a catalogue.
    DhsError
        The server did not answer after several attempts, a checksum differs, or no host could be fetched.
    """
    if "://" in str(out):
        if not storage.exists("/".join(str(out).split("/")[:3])):
            raise DhsError(f"{out}: no such bucket. Create it, or check the name; nothing was fetched.")
        here = storage.cache_folder("fetch") / digest(str(out).rstrip("/"))[:32]
        given = {"url": url, "sha256": sha256, "parallel": parallel, "second": second, "training": training}
        files = fetch(what, here, catalogue=catalogue, **given)
        return [_copied(Path(file), here, str(out)) for file in [*files, *map(str, here.glob("quarantine.parquet"))]]
    folder = Path(out)
    if what == "lenses":
        return _lenses(folder, url, sha256, second, training)
    if what == "cosmos":
        return _cosmos(folder, url or COSMOS_URL, sha256)
    if what == "demo":
        return demo(folder, url, parallel)
    if what == "hosts":
        if catalogue is None:
            raise UsageError("fetch hosts needs --catalogue: a CSV or TSV with RA and Dec of the galaxies in degrees.")
        return _hosts(folder, catalogue, url or VIEWER_URL, parallel)
    raise UsageError(f"nothing to fetch called {what!r}: choose demo, cosmos, hosts or lenses.")


def _copied(file: Path, folder: Path, out: str) -> str:
    """A file of a folder at its place in an object store; a copy that is there, not older, is left."""
    target, here = storage.join(out, file.relative_to(folder).as_posix()), file.stat()
    fs, inner = storage.resolve(target)
    with storage.explained(target):
        there = fs.get_file_info(inner)
    if there.size != here.st_size or (there.mtime_ns or 0) < here.st_mtime_ns:
        storage.copy(file, target)
    return target


def _lenses(folder: Path, url: str | None, sha256: str | None, second, training) -> list[str]:
    path = folder / "lenscat.csv"
    if url is None and lenscat_file()[0] is not None:
        lenses = known_lenses("lenscat")
        rows = "".join(f"{a:.6f},{d:.6f}\n" for a, d in zip(lenses.ra, lenses.dec))
        storage.write_bytes(path, f"RA,Dec\n{rows}".encode())
        tables = second_catalogues() if second is None else second
        return [str(path), *build(second=tables, training=training, need_second=bool(tables)).write(folder)]
    url = url or LENSES_URL
    download(Wanted(url, path, sha256, _is_catalogue))
    return [str(path)]


def _is_catalogue(path: Path) -> None:
    try:
        read_catalogue(path)
    except DhsError as error:
        raise NotThis(str(error)) from None


def _cosmos(folder: Path, url: str, sha256: str | None) -> list[str]:
    archive = download(Wanted(url, folder / "cosmos.tar.gz", sha256, _is_archive))
    target = folder / "cosmos"
    if not target.exists():
        aside = Path(tempfile.mkdtemp(dir=folder, prefix=".unpack-"))
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(aside, filter="data")
            os.rename(aside, target)
        except (tarfile.TarError, EOFError, OSError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise DhsError(
                f"{archive}: can't be unpacked ({error}). Delete it, or free some space; run again."
            ) from None
    return sorted(str(p) for p in target.rglob("*.fits"))


def _is_archive(path: Path) -> None:
    with open(path, "rb") as stream:
        start = stream.read(2)
    if start != b"\x1f\x8b":
        raise NotThis("not a gzip archive")


def _is_fits(path: Path) -> None:
    data = path.read_bytes()
    if not data.startswith(b"SIMPLE"):
        raise NotThis(f"not a FITS file but {data[:40]!r}")
    if len(data) % 2880:
        raise NotThis("a FITS file cut short")


def _hosts(folder: Path, catalogue: str, viewer: str, parallel: int) -> list[str]:
    table = read_catalogue(catalogue)
    names = [f"{ra:.6f}{dec:+.6f}" for ra, dec in zip(table.ra, table.dec)]
    wanted: list[Wanted] = []
    for name, ra, dec in zip(names, table.ra, table.dec):
        place = {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}", "layer": LAYER, "bands": "grz"}
        cutout = urllib.parse.urlencode({**place, "size": SIZE, "pixscale": facts.PIXEL_SCALE})
        psf = urllib.parse.urlencode(place)
        fits = folder / "fits"
        wanted += [
            Wanted(f"{viewer}/fits-cutout?{cutout}&invvar", fits / f"cutout_{name}.fits", None, _is_fits),
            Wanted(f"{viewer}/coadd-psf/?{psf}", fits / f"psf_{name}.fits", None, _is_fits),
        ]
    failed = list(download_all(wanted, "cutouts", parallel))
    made, refusals = [], []
    for row, name in enumerate(names):
        path, error = folder / f"{name}.npz", failed[2 * row] or failed[2 * row + 1]
        try:
            if error is not None:
                raise _refused(name, path, "not_fetched", str(error), "Run the command again.")
            if not path.exists():
                storage.write_bytes(path, host_npz(*(w.path for w in wanted[2 * row : 2 * row + 2]), name))
            made.append(str(path))
        except InputRefused as refused:
            refusals.append(replace(refused.refusal, id=name, row=row))
    storage.write_quarantine(folder / "quarantine.parquet", refusals)
    if not made:
        first = refusals[0].message if refusals else "the catalogue has no rows"
        raise DhsError(
            f"{catalogue}: none of {len(names)} hosts could be fetched; {folder}/quarantine.parquet says why. First: "
            f"{first}"
        )
    return made


def _refused(name: str, path: Path, code: str, message: str, remedy: str) -> InputRefused:
    return InputRefused(Refusal(name, str(path), -1, "host", code, message, remedy))


def host_npz(cutout: Path, psf: Path, name: str) -> bytes:
    """One npz cutout (`dhs.survey.hosts.cutouts`) from the viewer's cutout and coadd-PSF files, checked as a host is.

    Raises
    ------
    InputRefused
        The position has no usable cutout or PSF.
    """
    try:
        content = open_fits(cutout.read_bytes())
        content["psf"] = _psf_images(psf.read_bytes(), content["bands"])
    except FitsRefused as error:
        raise _refused(name, cutout, error.code, str(error), error.remedy) from None
    keys = {"image": "image_nmgy", "pixel_scale": "pixscale", "brickname": "brickname"}
    arrays = {keys.get(k, k): v for k, v in content.items() if v is not None} | {"host_id": name}
    buffer = io.BytesIO()
    np.savez(buffer, **{k: np.array(v) for k, v in arrays.items()})
    read_npz(buffer.getvalue(), str(cutout))
    return buffer.getvalue()


def _psf_images(data: bytes, bands: list[str]) -> np.ndarray:
    """(bands, k, k) PSF images of the viewer's ``coadd-psf``: one HDU a band, in the order asked for (g, r, z)."""
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(data)) as hdus:
            planes = [np.array(h.data, dtype=np.float32) for h in hdus if h.is_image and h.data is not None]
            named = [str(h.header.get("BAND", "")).strip() for h in hdus if h.is_image and h.data is not None]
    except Exception as error:  # astropy raises a dozen kinds on a damaged file
        raise FitsRefused("bad_psf", f"the PSF file is not readable ({error})", "Delete it and fetch again.") from None
    order = named if all(named) else list(facts.BAND_NAMES)
    if len(planes) != len(order) or set(order) < set(bands):
        raise FitsRefused("bad_psf", f"PSFs of {len(planes)} bands", "Choose a position the survey has in g, r and z.")
    side = min(min(plane.shape) for plane in planes)
    half = (side - 1) // 2  # an even side has no centre pixel
    cut = {}
    for band, plane in zip(order, planes):
        y, x = (n // 2 for n in plane.shape)
        cut[band] = plane[y - half : y + half + 1, x - half : x + half + 1]
    return np.stack([cut[band] for band in bands])
