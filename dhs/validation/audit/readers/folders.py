"""Folders of single stamps: a class a folder, within a folder a split or not; or one folder and a table of labels."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dhs import storage
from dhs.errors import DhsError, InputRefused
from dhs.validation.audit.readers.base import Found, Layout, Raw, named, refused, take_roles
from dhs.validation.audit.readers.files import FLUX, PICTURES, read_file
from dhs.validation.audit.readers.labels import KNOWN
from dhs.validation.audit.readers.tables import read_columns

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"} | {
    "test": "test",
    "testing": "test",
}


def of_folders(folders: dict[str | None, str], layout: Layout, table: str | None = None) -> Found:
    """Stamps of folders.

    Parameters
    ----------
    folders : dict
        Class to folder; the class None for one whose sub-folders are the classes, or whose labels a table holds.
    layout : Layout
    table : str, optional
        With a column of file names and one of labels.

    Raises
    ------
    DhsError
        Nothing that can be read, or a table that names none of the files.
    """
    files, labels, splits = [], [], []
    empty = []
    for label, folder in folders.items():
        found = [f for f in storage.list_files(folder, recursive=True) if f.lower().endswith((*FLUX, *PICTURES))]
        for file in found:
            parts = file[len(str(folder).rstrip("/")) + 1 :].lower().split("/")[:-1]
            split = next((SPLITS[p] for p in parts if p in SPLITS), "")
            own = [p for p in parts if p not in SPLITS]
            files.append(file)
            splits.append(split)
            labels.append(label if label is not None else _class_of(own))
        if label is not None and not found:
            empty.append(f"{folder} holds no stamp that can be read")
        elif label is None:
            for name in storage.list_folders(folder):
                if not any(f"/{name}/" in f for f in found) and name.lower() not in SPLITS:
                    empty.append(f"the folder {name} is empty")
    if not files:
        said = "; ".join(empty) or "it is empty"
        wanted = ", ".join((*FLUX, *PICTURES))
        raise DhsError(f"{', '.join(map(str, folders.values()))}: no stamp ({said}). Give files that end in {wanted}.")
    files, labels, splits, refusals, display = _one_kind(files, labels, splits)
    columns: dict[str, np.ndarray] = {}
    if table is not None:
        columns, keep, missing = _from_table(table, files, layout)
        refusals += missing
        files, splits = [files[i] for i in keep], [splits[i] for i in keep]
    elif any(label is not None for label in labels):
        columns["label"] = np.array([x or "" for x in labels], dtype=object)
    if any(splits) and "split" not in columns:
        columns["split"] = np.array(splits, dtype=object)
    kind = "pictures" if display else Counter(f.rsplit(".", 1)[-1].lower() for f in files).most_common(1)[0][0]

    def read(places) -> list[Raw | InputRefused]:
        out: list[Raw | InputRefused] = []
        for i in places:
            try:
                out.append(read_file(files[int(i)]))
            except InputRefused as error:
                out.append(error)
        return out

    return Found(f"single files, {kind}", files, columns, read, display, refusals=refusals, notes=empty)


def _class_of(parts: list[str]) -> str | None:
    """The deepest folder that is called like a class, else the topmost one."""
    return next((p for p in reversed(parts) if p in KNOWN), parts[0] if parts else None)


def _one_kind(files, labels, splits):
    """The commoner of fluxes and pictures; the others are refused."""
    picture = np.array([f.lower().endswith(PICTURES) for f in files])
    display = bool(picture.mean() > 0.5)
    keep, refusals = np.flatnonzero(picture == display), []
    for i in np.flatnonzero(picture != display):
        kinds = ("a flux stamp among pictures", "a picture among flux stamps")
        what = kinds[bool(picture[i])]
        remedy = "Keep fluxes and display pictures in sets of their own: the two can't be compared."
        name = files[i].rsplit("/", 1)[-1]
        refusals.append(refused(name, files[i], what, remedy, "another_kind").refusal)
    return [files[i] for i in keep], [labels[i] for i in keep], [splits[i] for i in keep], refusals, display


def _from_table(path: str, files: list[str], layout: Layout):
    """Columns of the files that a table names, which files those are, and refusals of the others."""
    table = read_columns(path)
    if list(table) == ["label"] and len(table["label"]) == len(files):
        return {"label": table["label"]}, list(range(len(files))), []
    key = named(list(table), "file", layout)
    if key is None:
        raise DhsError(f"{path}: no column of file names; it has {', '.join(table)[:200]}. Name it with --file.")
    rows = {_bare(str(v)): i for i, v in enumerate(table[key])}
    place = [rows.get(_bare(f), -1) for f in files]
    keep = [i for i, row in enumerate(place) if row >= 0]
    if not keep:
        raise DhsError(
            f"{path}: none of its {len(rows)} names in {key!r} is one of the {len(files)} files, e.g. "
            f"{next(iter(rows), '')!r} and {files[0].rsplit('/', 1)[-1]!r}. Give file names as they are on disk."
        )
    remedy = "Add a row for it, or take the file away."
    missing = [
        refused(_bare(files[i]), files[i], f"{path} has no label for it", remedy, "unlabelled").refusal
        for i, row in enumerate(place)
        if row < 0
    ]
    chosen = {k: np.asarray(v)[[place[i] for i in keep]] for k, v in table.items() if k != key}
    return take_roles(chosen, layout, len(keep)), keep, missing


def _bare(name: str) -> str:
    """A file's name without folders and endings."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    for ending in sorted((*FLUX, *PICTURES), key=len, reverse=True):
        if base.lower().endswith(ending):
            return base[: -len(ending)]
    return base
