"""``dhs fetch``: downloads, only because the user asks for them; nothing else in the package touches the network.

A download goes to ``NAME.part`` and is renamed when it is whole, continues where it stopped, and is checked against
a SHA-256 where one is known. A file that is already there is not asked for again.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tqdm.auto import tqdm

from dhs import storage
from dhs.errors import DhsError, UsageError
from dhs.survey.catalogues import known_lenses, read_catalogue
from dhs.survey.facts import PIXEL_SCALE, STAMP
from dhs.survey.lens_list import build

COSMOS_URL = "https://zenodo.org/record/3242143/files/COSMOS_25.2_training_sample.tar.gz"
CUTOUT_URL = "https://www.legacysurvey.org/viewer/fits-cutout"
LAYER = "ls-dr10"
ATTEMPTS = 4
TIMEOUT_S = 60.0
PAUSE_S = 1.0  # first pause between attempts; doubled each time
TRANSIENT = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


def fetch(
    what: str, out: str | Path, *, catalogue: str | None = None, url: str | None = None, sha256: str | None = None
) -> list[str]:
    """Download COSMOS galaxies or host cutouts, or export the table of known lenses.

    Parameters
    ----------
    what : {"cosmos", "hosts", "lenses"}
        ``cosmos``: GalSim's COSMOS 25.2 training sample (several GB), unpacked. ``hosts``: one FITS cutout with
        inverse variance per row of ``catalogue``, from the Legacy Surveys cutout service. ``lenses``: the
        positions of lenscat's table, from its installed package, and the curated list of ground-found lenses
        (`dhs.survey.lens_list`), whose ``real_lenses.csv`` can be the catalogue of ``hosts``; no network.
    out : str or Path
        Local folder.
    catalogue : str, optional
        For ``hosts``: CSV or TSV with RA and Dec in degrees.
    url : str, optional
        Another address than the public one.
    sha256 : str, optional
        For ``cosmos``: the checksum to insist on.

    Returns
    -------
    list of str
        Files that are now there.

    Raises
    ------
    UsageError
        Unknown ``what``, or ``hosts`` without a catalogue.
    DhsError
        The server did not answer after several attempts, or a checksum differs.
    """
    folder = Path(out)
    if what == "lenses":
        lenses, path = known_lenses("lenscat"), folder / "lenscat.csv"
        rows = "".join(f"{a:.6f},{d:.6f}\n" for a, d in zip(lenses.ra, lenses.dec))
        storage.write_bytes(path, f"RA,Dec\n{rows}".encode())
        return [str(path), *build(need_second=False).write(folder)]
    if what == "cosmos":
        archive = download(url or COSMOS_URL, folder / "cosmos.tar.gz", sha256)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        return sorted(str(p) for p in folder.rglob("*.fits"))
    if what == "hosts":
        if catalogue is None:
            raise UsageError("fetch hosts needs --catalogue: a CSV or TSV with RA and Dec of the galaxies in degrees.")
        hosts = read_catalogue(catalogue)
        places = tqdm(list(zip(hosts.ra, hosts.dec)), desc="cutouts", disable=None)
        return [_cutout(url or CUTOUT_URL, folder, ra, dec) for ra, dec in places]
    raise UsageError(f"nothing to fetch called {what!r}: choose cosmos, hosts or lenses.")


def _cutout(base: str, folder: Path, ra: float, dec: float) -> str:
    query = {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}", "size": STAMP, "layer": LAYER, "pixscale": PIXEL_SCALE}
    address = f"{base}?{urllib.parse.urlencode({**query, 'bands': 'grz'})}&invvar"
    return str(download(address, folder / f"cutout_{ra:.6f}_{dec:+.6f}.fits"))


def download(url: str, path: Path, sha256: str | None = None) -> Path:
    """Fetch one address to one file, whole or not at all, continuing a partial download.

    Raises
    ------
    DhsError
        After several attempts, on an answer that will not change, or where the checksum differs.
    """
    if path.exists():
        _check(path, sha256)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            _stream(url, part)
            _check(part, sha256)
            part.rename(path)
            return path
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise DhsError(f"{url}: the server answered {error.code} {error.reason}. Check the address.") from None
            last: Exception = error
        except TRANSIENT as error:
            last = error
        if attempt < ATTEMPTS - 1:
            time.sleep(PAUSE_S * 2**attempt)
    raise DhsError(f"{url}: no whole answer in {ATTEMPTS} attempts ({last}). What came is kept; run the command again.")


def _stream(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        if answer.status != 206:
            have = 0  # the server starts from the beginning
        length = answer.headers.get("Content-Length")
        with open(part, "ab" if have else "wb") as stream:
            shutil.copyfileobj(answer, stream, 1 << 20)
    if length is not None and part.stat().st_size < have + int(length):
        raise ConnectionError(f"cut off at {part.stat().st_size} of {have + int(length)} bytes")


def _check(path: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256.lower():
        path.unlink()
        raise DhsError(f"{path}: SHA-256 is {found}, expected {sha256}. The file was removed; run the command again.")
