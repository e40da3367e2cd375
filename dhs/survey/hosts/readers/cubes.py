"""``cubes``: one npz of many stamps, ``image_nmgy`` (n, bands, y, x), with what a table beside it measured.

Made for the 46 luminous red galaxies of DES coadds that deeplenstronomy publishes (``hosts/des_lrg46`` of
``DHS_DATA_DIR``): griz at 0.263 arcsec, no inverse variance, PSF, position or redshift. What is missing is derived from
the stamp or taken from the whole set, and each stamp says so in its flags.
"""

from __future__ import annotations

import io
import zlib
from functools import cached_property
from zipfile import BadZipFile, ZipFile

import numpy as np

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.survey import facts
from dhs.survey.hosts.cutouts import PLAUSIBLE_FWHM, SUFFIXES, stamp_of
from dhs.survey.hosts.cutouts.archive import check, header
from dhs.survey.hosts.cutouts.npz_keys import misnamed
from dhs.survey.hosts.record import Found, HostRef, host_reader
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.lenses.catalogues import read_table

MAX_CUBE = 1 << 34  # bytes of all stamps
PER_STAMP = ("ra", "dec", "psf_fwhm", "z_phot", "host_id", "invvar", "exptime")
MIN_STAR_SNR = 12.0  # r band
OUTLIER = 1.3  # a star's FWHM over the set's median in any band, or under it: a galaxy, a blend, or noise
ACKNOWLEDGED = {
    "des": "DES coadds (Dark Energy Survey DR1/DR2); 46 LRGs of deepskies/deeplenstronomy, MIT licence",
}


def _cube_file(folder: str) -> str | None:
    """The one npz of a folder that holds stamps in four dimensions; only headers are read."""
    if folder.endswith(SUFFIXES) or not storage.exists(folder):
        return None
    try:
        files = storage.list_files(folder, SUFFIXES)
        if len(files) != 1 or not files[0].lower().endswith(".npz"):
            return None
        with ZipFile(io.BytesIO(storage.read_bytes(files[0]))) as archive:
            return files[0] if len(header(archive, "image_nmgy.npy")[0]) == 4 else None
    except Exception:  # a damaged or hostile file raises a dozen kinds, and is no cube
        return None


def _number(value) -> float:
    """A number, NaN where a table writes none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


@host_reader("cubes")
class CubeReader:
    """``spec`` is a folder that holds one npz with a cube of stamps, and perhaps a CSV with a row for each.

    Keys of the npz: ``image_nmgy`` (n, bands, y, x), ``bands``, ``pixscale``; where known ``ra``, ``dec``, ``psf_fwhm``
    (n, bands) arcsec, ``z_phot``, ``host_id``, and what else a cutout may hold (`dhs.survey.hosts.cutouts`), n of each;
    one ``mask``, ``psf`` or ``survey`` may stand for all stamps. Columns of the CSV that are used:
    ``star_fwhm_{band}``, ``star_snr_r``.
    """

    def __init__(self, spec: str, seed: int):
        self.spec = spec

    @staticmethod
    def claims(config: HostsConfig) -> bool:
        return config.spec != "mock" and _cube_file(config.spec) is not None

    def find(self, config: HostsConfig) -> Found:
        refs, refusals = [], []
        for i in range(self._n):
            try:
                s = self._stamp(i)
            except InputRefused as error:
                refusals.append(error.refusal)
                continue
            refs.append(HostRef(s.host_id, s.ra, s.dec, s.brickname, s.brick_ra, s.brick_dec, s.file, i, s.z_phot))
        return Found(refs, refusals, selection=self._about, kind="cubes")

    def read(self, ref: HostRef) -> HostStamp:
        return self._stamp(ref.row)

    @cached_property
    def _cube(self) -> dict:
        file = _cube_file(self.spec)
        if file is None:
            raise DhsError(f"{self.spec}: no longer holds one npz with image_nmgy (n, bands, y, x). Copy it again.")
        try:
            data = storage.read_bytes(file)
            check(data, most=MAX_CUBE)
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                cube = {name: archive[name] for name in archive.files}
        except (ValueError, BadZipFile, OSError, EOFError, zlib.error) as error:
            raise DhsError(f"{file}: not a readable npz ({error}). Write numbers and text alone.") from None
        missing = [name for name in ("bands", "pixscale") if name not in cube]
        if missing:
            raise DhsError(f"{file}: no {', '.join(missing)} beside image_nmgy. Store what the stamps were made with.")
        for key, meant in misnamed(cube).items():
            raise DhsError(f"{file}: `{key}` is not read. Name it `{meant}`, or leave it out.")
        n = len(cube["image_nmgy"])
        one_or_each = () if "survey" not in cube or cube["survey"].size == 1 else ("survey",)
        for key in (*PER_STAMP, *one_or_each):
            if key in cube and (cube[key].ndim == 0 or len(cube[key]) != n):
                size = cube[key].shape[0] if cube[key].ndim else "one value"
                raise DhsError(f"{file}: `{key}` is for {size}, image_nmgy for {n} stamps. Store one for each.")
        if cube["pixscale"].size != 1 or cube["pixscale"].dtype.kind not in "fiu":
            raise DhsError(f"{file}: `pixscale` is {cube['pixscale'].tolist()}, not one number. Store arcsec a pixel.")
        return cube | {"file": file, "bands": [str(b) for b in np.atleast_1d(cube["bands"])]}

    @property
    def _n(self) -> int:
        return len(self._cube["image_nmgy"])

    @cached_property
    def _table(self) -> list[dict]:
        tables = storage.list_files(self.spec, (".csv",))
        if len(tables) != 1:
            return []
        columns = read_table(tables[0])
        rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
        if rows and len(rows) != self._n:
            file = self._cube["file"]
            raise DhsError(
                f"{tables[0]}: {len(rows)} rows for {self._n} stamps in {file}. Copy the whole folder again."
            )
        return rows

    @cached_property
    def _stars(self) -> np.ndarray:
        """(n, 3) FWHM of the star in each stamp; NaN where it has none that is bright enough."""
        out = np.full((self._n, 3), np.nan)
        low, high = PLAUSIBLE_FWHM
        for i, row in enumerate(self._table):
            if not _number(row.get("star_snr_r")) >= MIN_STAR_SNR:
                continue
            fwhm = np.array([_number(row.get(f"star_fwhm_{b}")) for b in facts.BAND_NAMES])
            if ((fwhm > low) & (fwhm < high)).all():
                out[i] = fwhm
        if np.isfinite(out).any():
            apart = np.abs(np.log(out / np.nanmedian(out, axis=0))).max(axis=1)
            out[~(apart < np.log(OUTLIER))] = np.nan
        return out

    @property
    def _des(self) -> bool:
        return self.spec.rstrip("/").rsplit("/", 1)[-1].startswith("des_")

    @property
    def _about(self) -> dict:
        stars = int(np.isfinite(self._stars).all(axis=1).sum())
        about = {"stamps": self._n, "with_a_star_for_the_psf": stars}
        return about | ({"survey": "DES coadd", "acknowledgement": ACKNOWLEDGED["des"]} if self._des else {})

    def _psf(self, i: int) -> tuple[np.ndarray | None, list[str]]:
        """FWHM per band and its flag: the stamp's own star's, else the median of the set's, else nothing."""
        stars = self._stars
        if np.isfinite(stars[i]).all():
            return stars[i], ["psf_from_star"]
        if np.isfinite(stars).any():
            return np.nanmedian(stars, axis=0), ["psf_assumed"]
        return None, []

    def _stamp(self, i: int) -> HostStamp:
        cube, name = self._cube, self._cube["file"]
        stem = name.rsplit("/", 1)[-1].removesuffix(".npz")
        host_id = str(cube["host_id"][i]) if "host_id" in cube else f"{stem}-{i:03d}"
        if cube["image_nmgy"].ndim != 4:
            message = f"image_nmgy has {cube['image_nmgy'].ndim} dimensions"
            raise InputRefused(Refusal(host_id, name, i, "host", "wrong_shape", message, "Store (n, bands, y, x)."))
        content = {"image": cube["image_nmgy"][i], "bands": cube["bands"], "pixel_scale": float(cube["pixscale"])}
        content |= {axis: _number(cube[axis][i]) if axis in cube else float("nan") for axis in ("ra", "dec")}
        content |= {name: cube[name][i] for name in ("z_phot", "invvar", "exptime") if name in cube}
        each = cube["image_nmgy"].shape
        for name in ("mask", "maskbits", "psf"):
            if name in cube:
                of_one = cube[name].ndim == 4 or (name != "psf" and cube[name].shape == (each[0], *each[2:]))
                content[name] = cube[name][i] if of_one else cube[name]
        if "survey" in cube:
            names = np.atleast_1d(cube["survey"])
            content["survey"] = str(names[i if names.size > 1 else 0])
        content["host_id"] = host_id
        flags = ["des_coadd"] if self._des else []
        if "psf_fwhm" in cube:
            order = [cube["bands"].index(b) for b in facts.BAND_NAMES if b in cube["bands"]]
            content["psf_fwhm"] = cube["psf_fwhm"][i][order]
        elif "psf" not in cube:
            content["psf_fwhm"], found = self._psf(i)
            flags += found
        return stamp_of(content | {"flags": flags}, name, i)
