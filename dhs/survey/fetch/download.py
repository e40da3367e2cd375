"""Polite downloads: few at a time, continued where they stopped, checked, asked for again with back-off.

A file goes to ``NAME.part`` and is renamed when it is whole; its SHA-256 is kept in the folder's ``SHA256SUMS``. A
file that is already there and has that sum is not asked for again; one that was damaged since is.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from dhs.errors import DhsError

PARALLEL = 4
ATTEMPTS = 5
TIMEOUT_S = 60.0  # without a byte
PAUSE_S = 1.0  # first pause between attempts; doubled each time
LONGEST_PAUSE_S = 120.0
SUMS = "SHA256SUMS"
AGENT = "dark-halo-scope (dhs fetch)"
TRANSIENT = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


class Broken(ConnectionError):
    """An answer that is not the whole file; the rest is asked for."""


class NotThis(Broken):
    """An answer that is another file than the one meant, such as an error page; it is not kept."""


@dataclass(frozen=True)
class Wanted:
    """One file to fetch.

    Attributes
    ----------
    url : str
    path : Path
    sha256 : str or None
        The sum to insist on.
    looks_right : callable, optional
        Takes the path of what came; raises `NotThis` where it is something else.
    """

    url: str
    path: Path
    sha256: str | None = None
    looks_right: Callable[[Path], None] | None = None


class Sums:
    """The SHA-256 of a folder's files, appended to ``SHA256SUMS`` one by one."""

    def __init__(self, folder: Path):
        self.path, self._lock = folder / SUMS, threading.Lock()
        # A line cut short by an interruption is left out, and its file summed anew.
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.known = {name: digest for digest, _, name in (line.partition("  ") for line in lines) if len(digest) == 64}

    def add(self, name: str, digest: str) -> None:
        with self._lock:
            self.known[name] = digest
            with open(self.path, "a") as stream:
                stream.write(f"{digest}  {name}\n")


def sha256_of(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download_all(wanted: Sequence[Wanted], label: str, parallel: int = PARALLEL) -> Iterator[DhsError | None]:
    """Download files, a few at a time; for each in turn None, or why it could not be had."""

    def one(item: Wanted) -> DhsError | None:
        try:
            download(item, sums[item.path.parent])
        except DhsError as error:
            return error
        return None

    for folder in {item.path.parent for item in wanted}:
        folder.mkdir(parents=True, exist_ok=True)
    sums = {folder: Sums(folder) for folder in {item.path.parent for item in wanted}}
    with ThreadPoolExecutor(parallel) as pool:
        try:
            yield from tqdm(pool.map(one, wanted), total=len(wanted), desc=label, unit="file", disable=None)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def download(wanted: Wanted, sums: Sums | None = None) -> Path:
    """Fetch one address to one file, whole or not at all, continuing a partial download.

    Raises
    ------
    DhsError
        After several attempts, on an answer that will not change, or where the checksum differs.
    """
    path = wanted.path
    path.parent.mkdir(parents=True, exist_ok=True)
    sums = sums or Sums(path.parent)
    insisted = wanted.sha256.lower() if wanted.sha256 else None
    if path.exists():
        found, expected = sha256_of(path), insisted or sums.known.get(path.name)
        if expected in (None, found):
            if path.name not in sums.known:
                sums.add(path.name, found)
            return path
        path.unlink()
    part = path.with_name(path.name + ".part")
    for attempt in range(ATTEMPTS):
        wait = PAUSE_S * 2**attempt
        try:
            _stream(wanted.url, part)
            if wanted.looks_right is not None:
                wanted.looks_right(part)
            found = sha256_of(part)
            if insisted not in (None, found):
                _forget(part)
                raise DhsError(
                    f"{wanted.url}: SHA-256 is {found}, expected {wanted.sha256}. Nothing was kept; check the address."
                )
            part.rename(path)
            _version_of(part).unlink(missing_ok=True)
            sums.add(path.name, found)
            return path
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what is there is longer than the file: another version of it
                _forget(part)
            elif error.code < 500 and error.code not in (408, 425, 429):
                raise DhsError(
                    f"{wanted.url}: the server answered {error.code} {error.reason}. Check the address."
                ) from None
            wait, last = max(wait, _asked_to_wait(error.headers)), error
        except NotThis as error:
            _forget(part)
            last = error
        except TRANSIENT as error:
            last = error
        except OSError as error:
            raise DhsError(f"{part}: {error.strerror}. Free some space, or choose another --out.") from None
        if attempt < ATTEMPTS - 1:
            time.sleep(min(wait, LONGEST_PAUSE_S))
    raise DhsError(
        f"{wanted.url}: no whole answer in {ATTEMPTS} attempts ({last}). What came is kept; run the command again."
    )


def _version_of(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_of(part).unlink(missing_ok=True)


def _asked_to_wait(headers) -> float:
    try:
        return float(headers.get("Retry-After", 0))
    except (TypeError, ValueError):  # a date: the pause of the back-off will do
        return 0.0


def _stream(url: str, part: Path) -> None:
    """Append to a partial file what is missing of it; start anew where the server has another version now."""
    have, version = part.stat().st_size if part.exists() else 0, _version_of(part)
    headers = {"User-Agent": AGENT}
    if have and version.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": version.read_text()}
    elif have:
        headers["Range"] = f"bytes={have}-"
    asked = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # nosec B310 # an address the user gave
        told = answer.headers.get("Content-Range", "")
        if answer.status != 206:
            have = 0  # the server starts from the beginning
        elif told and not told.startswith(f"bytes {have}-"):
            raise NotThis(f"asked for bytes from {have}, got {told!r}")
        if answer.headers.get("ETag"):
            version.write_text(answer.headers["ETag"])
        length = answer.headers.get("Content-Length")
        with open(part, "ab" if have else "wb") as stream:
            while piece := answer.read1(1 << 20):  # what comes before a stall is kept
                stream.write(piece)
    size = part.stat().st_size
    if length is not None and size != have + int(length):
        raise Broken(f"cut off at {size} of {have + int(length)} bytes")
    stated = answer.headers.get("Content-MD5")
    if stated and not have and base64.b64decode(stated) != _md5(part):
        raise NotThis("what came does not have the MD5 the server states")


def _md5(path: Path) -> bytes:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "md5").digest()
