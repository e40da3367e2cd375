"""``dhs audit``: stamps and labels that nobody here made, looked at once and judged by every check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dhs import storage
from dhs.artefacts.audit import Audit
from dhs.engines import Engine
from dhs.errors import DhsError
from dhs.options import refuse_others, take
from dhs.survey.imaging import Imaging, imaging
from dhs.validation.audit import duplicates
from dhs.validation.audit import geometry as geo
from dhs.validation.audit.check import CHECKS, AuditData
from dhs.validation.audit.collect import Context, Measured, blocks_of, collect
from dhs.validation.audit.missed import missed
from dhs.validation.audit.page import page
from dhs.validation.audit.ranking import ranked
from dhs.validation.audit.readers.base import Layout
from dhs.validation.audit.readers.labels import classes
from dhs.validation.audit.readers.open import open_set
from dhs.validation.audit.stamps import Stamps, fitted
from dhs.validation.preflight.gate import ALPHA, Gate, decide, run_gate, settle

NO_LABELS = "the set has no labels. Give a folder a class, --negatives FOLDER, or --labels TABLE."


@dataclass(frozen=True)
class Wanted:
    """What a user asked for: enough to open the set again in a worker process."""

    data: object
    labels: object
    negatives: str | None
    imaging: Imaging
    layout: Layout
    seed: int


def audit(
    data,
    out: str | Path | None = None,
    *,
    labels=None,
    negatives: str | Path | None = None,
    survey: str | Path | Imaging = "legacy",
    seed: int = 0,
    workers: int | None = None,
    **columns,
) -> Audit:
    """Can the classes of a training set be told apart by what no lens decides?

    Parameters
    ----------
    data : str, Path or ndarray
        A folder of FITS, npz, npy or PNG, a class a sub-folder; one ``.npy``, ``.npz``, ``.h5`` or ``.zarr`` with all
        stamps; parquet; pairs of `dhs.inject`; or an array (n, bands, y, x).
    out : str or Path, optional
        Folder for ``audit.json``, ``audit.html`` and ``quarantine.parquet``; nothing is written without one.
    labels : str, Path or array_like, optional
        A table with a column of labels, and of file names where stamps are files; or one label a stamp.
    negatives : str or Path, optional
        Folder of the second class; ``data`` then holds the first.
    survey : str, Path or Imaging
        ``legacy``, ``des``, ``hsc``, ``euclid-vis``, ``lsst``, or a YAML with the keys of `dhs.survey.imaging.Imaging`.
    seed, workers : int
        Workers change no number.
    **columns
        ``label, split, group, ra, dec, file, image``: names of columns; ``positive``: which class is the lens;
        ``bands``: names of the planes. Found by their usual names where left out.

    Returns
    -------
    Audit

    Raises
    ------
    DhsError
        Nothing can be read.
    UsageError
        An unknown option or survey.
    """
    layout = take(Layout, columns)
    refuse_others("audit", columns, Layout)
    negatives = None if negatives is None else str(negatives)
    wanted = Wanted(data, labels, negatives, imaging(survey), layout, seed)
    found = measure(wanted, workers)
    gates = judge(found)
    decision, reasons = decide(gates)
    report = Audit.made(
        {
            "decision": decision,
            "reasons": reasons,
            "data": _about(found, wanted),
            "gates": [g.as_dict() for g in gates],
            "ranked": ranked(gates),
            "missed": missed(found, gates),
            "tests": _family(gates),
        }
    )
    text = page(report, found)
    if out is not None:
        report.write(out)
        storage.write_bytes(storage.join(out, "audit.html"), text.encode())
        storage.write_quarantine(
            storage.join(out, "quarantine.parquet"), [*found.stamps.found.refusals, *found.measured.refusals]
        )
    return report


def judge(data: AuditData, names=None) -> tuple[Gate, ...]:
    """Outcomes of all checks, or of the named ones, settled together."""
    chosen = [c for c in CHECKS.values() if names is None or c.name in names]
    return settle([run_gate(c, data) for c in sorted(chosen, key=lambda c: c.number)], ALPHA, CHECKS)


def opened(wanted: Wanted) -> tuple[Context, np.ndarray | None, np.ndarray, str, str]:
    """The set, its labels, which are known, what was taken for what, and why there are none."""
    found = open_set(wanted.data, wanted.labels, wanted.negatives, wanted.layout)
    stamps = fitted(found, wanted.imaging, wanted.layout.band_names)
    n = len(found)
    labels, known, said, reason = None, np.zeros(n, bool), "", NO_LABELS
    if "label" in found.columns:
        try:
            labels, known, said = classes(found.columns["label"], wanted.layout.positive)
        except DhsError as error:
            reason = str(error)
    groups = _groups(found.columns, n)
    classed = np.where(known, labels, -1).astype(int) if labels is not None else np.full(n, -1)
    return Context(stamps, classed, blocks_of(groups, wanted.seed), wanted.seed), labels, known, said, reason


def _context(wanted: Wanted) -> Context:
    return opened(wanted)[0]


def _groups(columns: dict, n: int) -> np.ndarray:
    """Declared groups; a stamp without one is its own."""
    if "group" not in columns:
        return np.arange(n)
    names = np.array(["" if v is None or v != v else str(v) for v in columns["group"].tolist()])
    codes = np.unique(names, return_inverse=True)[1]
    return np.where(names == "", n + np.arange(n), codes)


def measure(wanted: Wanted, workers: int | None = None) -> AuditData:
    """Look at every stamp once, and find which are the same."""
    context, labels, known, said, reason = opened(wanted)
    stamps = context.stamps
    again = _context if isinstance(wanted.data, str | Path) else None
    measured = collect(context, again, (wanted,), Engine("processes", workers))
    places, n = measured.places, len(stamps.found)
    columns = {k: v[places] for k, v in stamps.found.columns.items() if k != "label" and len(v) == n}
    declared = _groups(stamps.found.columns, n)[places]
    twins = duplicates.find(measured, _in_scale(stamps, measured), declared if "group" in columns else None)
    data = AuditData(
        stamps=stamps,
        measured=measured,
        labels=None if labels is None else labels[places],
        known=known[places],
        columns=columns,
        twins=twins,
        groups=duplicates.merged(declared, twins.component) if len(places) else declared,
        blocks=context.blocks[places],
        seed=wanted.seed,
        no_labels=reason,
        said=said,
    )
    return data


def _in_scale(stamps: Stamps, measured: Measured):
    """Rows' stamps in the set's scale, sky subtracted."""

    def fetch(rows: np.ndarray) -> np.ndarray:
        images = stamps.read(measured.places[rows])[1]
        with np.errstate(all="ignore"):
            sky = np.nan_to_num(np.nanmedian(images[..., geo.outskirts(stamps.shape)], axis=-1))
        return np.clip(np.nan_to_num(images - sky[..., None, None]) / stamps.scale[:, None, None], -1e6, 1e6)

    return fetch


def _family(gates: tuple[Gate, ...]) -> int:
    return max((g.details.get("holm_family", 0) for g in gates), default=0)


def _about(data: AuditData, wanted: Wanted) -> dict:
    y = None if data.labels is None else data.labels[data.known]
    return {
        "kind": data.stamps.found.kind,
        "n": data.n,
        "n_refused": len(data.stamps.found.refusals) + len(data.measured.refusals),
        "n_positive": None if y is None else int(y.sum()),
        "n_negative": None if y is None else int((~y).sum()),
        "bands": data.stamps.bands,
        "side": data.stamps.shape,
        "survey": wanted.imaging.name,
        "classes": data.said,
        "groups": len(np.unique(data.groups)),
        "seed": wanted.seed,
    }
