"""What an interrupted run left behind: whether it may be gone on with, and by what."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from dhs import __version__, fingerprint, owner, storage
from dhs.errors import DhsError, Refusal
from dhs.survey.hosts.open import Hosts, index_table

PACKAGES = ("numpy", "scipy", "pyarrow", "lenstronomy", "astropy", "photutils", "galsim")
REFUSALS_KEY = b"dhs_refusals"
OWN_FILES = re.compile(
    r"(manifest|run|plan|test_read)\.json|(quarantine|hosts)\.parquet"
    r"|(negatives/)?split=(train|val|test)/part-\d+\.parquet|survey/seed=\d+/part-\d+\.parquet|(.*/)?\.tmp-[^/]*|\.owner-[a-z-]+"
)
"""Names that a data set's own files have, relative to its folder."""


def made_by(module: str = "dhs.datasets.inject") -> dict:
    """What decides a part's bytes beside its configuration: the code that makes it, and the packages under it."""
    versions = {"dark-halo-scope": __version__} | {name: version(name) for name in PACKAGES}
    return {"code": fingerprint.code(module), "versions": versions}


def already_done(out: str, identity: str, maker: dict, resume: bool) -> bool:
    """Whether ``out`` holds this very data set, finished; refuse to touch anything else."""
    if not storage.list_files(out, recursive=True):
        return False
    run_file = storage.join(out, "run.json")
    if not storage.exists(run_file):
        raise DhsError(f"{out}: not empty, and not a pairs data set. Choose an empty folder for --out.")
    run = storage.read_json(run_file)
    if run["identity"] != identity:
        raise DhsError(
            f"{out}: holds pairs of another configuration or seed. Choose another --out; nothing was changed."
        )
    if not resume:
        state = "finished" if run["finished"] else "unfinished"
        raise DhsError(f"{out}: holds a {state} data set of this configuration. Add --resume, or choose another --out.")
    if run["finished"] and storage.exists(storage.join(out, "manifest.json")):
        return True
    if {name: run.get(name) for name in maker} != maker:
        raise DhsError(
            f"{out}: its parts were made by another version of the code or of its packages (run.json). Finish it with "
            "that version, or choose another --out; nothing was changed."
        )
    return False


def identity_of(out: str | Path) -> str | None:
    """Digest of the configuration that the data set in a folder was begun with; None where there is none."""
    path = storage.join(out, "run.json")
    return storage.read_json(path).get("identity") if storage.exists(path) else None


def clear(out: str | Path) -> None:
    """Delete a local data set's own files, the manifest first.

    Raises
    ------
    DhsError
        Something else lies among them, or ``out`` is no folder; then nothing is deleted.
    """
    owner.refuse_other(out, "inject")
    out = Path(out)
    if out.is_symlink() or not out.is_dir():
        raise DhsError(f"{out}: a link or a file, not a folder of pairs, so it is left as it is. Move it away.")
    paths = [Path(folder) / name for folder, inner, files in os.walk(out) for name in [*files, *inner]]
    paths = [p for p in paths if p.is_symlink() or not p.is_dir()]
    names = {p.relative_to(out).as_posix(): p for p in paths}
    foreign = sorted(n for n, p in names.items() if not OWN_FILES.fullmatch(n) or p.is_symlink())
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise DhsError(
            f"{out}: has to be made anew, but {', '.join(foreign[:3])}{more} in it are no files of the data set. Move "
            "them out of it, or choose another run_dir; nothing was deleted."
        )
    for name in sorted(names, key=lambda n: (n != "manifest.json", n == "run.json", n)):
        names[name].unlink()


def keep_hosts(hosts: Hosts, out: str) -> str | None:
    """Write the index of hosts that were opened, once, and return its path; hosts made from the seed need none.

    Raises
    ------
    DhsError
        The hosts are not those the run began with.
    """
    if hosts.made:
        return None
    path, data = storage.join(out, "hosts.parquet"), storage.table_bytes(index_table(hosts))
    if not storage.exists(path):
        storage.write_bytes(path, data)
    elif storage.read_bytes(path) != data:
        raise DhsError(f"{path}: the hosts have changed since this run began. Put them back, or choose another --out.")
    return path


def refusals_meta(refused: Iterable[Refusal]) -> dict[bytes, bytes]:
    """Metadata of a part whose hosts were refused when they were read."""
    rows = [r.as_dict() for r in refused]
    return {REFUSALS_KEY: json.dumps(rows, sort_keys=True).encode()} if rows else {}


def refusals_of(metadata: dict[bytes, bytes]) -> list[Refusal]:
    return [Refusal(**row) for row in json.loads(metadata.get(REFUSALS_KEY, b"[]"))]


def by_brick(slots: list[tuple[int, int]], bricks: list[str], size: int) -> list[tuple[tuple[int, int], ...]]:
    """Slots (pair_id, host) cut into parts that hold bricks whole, so that a brick is opened once.

    Bricks keep the order in which they first appear; the hosts of one are together. A brick with more than ``size``
    slots is cut.
    """
    groups: dict[str, list] = {}
    for slot in slots:
        groups.setdefault(bricks[slot[1]], []).append(slot)
    parts: list[list] = [[]]
    for group in groups.values():
        group.sort(key=lambda slot: slot[1])
        if parts[-1] and len(parts[-1]) + len(group) > size:
            parts.append([])
        parts[-1] += group
        while len(parts[-1]) > size:
            parts[-1:] = [parts[-1][:size], parts[-1][size:]]
    return [tuple(part) for part in parts if part]
