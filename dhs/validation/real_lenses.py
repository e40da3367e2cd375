"""``dhs real-lenses``: what the network says of lenses that nobody injected.

A handful of stamps gives a recall with a wide interval: n and the exact interval stand beside every value. Thresholds
are those of the last evaluation, set on survey negatives; nothing is tuned on real stamps.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.config import HostsConfig, Profile, load_profile
from dhs.datasets.schema import SCORE_SCHEMA
from dhs.errors import DhsError
from dhs.survey.catalogues import read_catalogue, read_table
from dhs.survey.hosts import open_hosts
from dhs.validation.gate import jsonable
from dhs.validation.metrics import Metric, clopper_pearson

MATCH_ARCSEC = 3.0
DEFAULT_FOLDER = "hosts/ls_dr10_grz"
NAME_COLUMNS = ("name", "id", "objid", "object", "target", "system", "lens")
HOW_TO_GET = (
    "Give real cutouts with --cutouts, or fetch some: `dhs fetch hosts --catalogue <CSV with RA and Dec> --out "
    "FOLDER`, then `dhs real-lenses --cutouts FOLDER --catalogue CSV --checkpoint PT --out RUN`."
)


@dataclass(frozen=True)
class RealLenses(Mapping):
    """What ``real_lenses.json`` holds; reads like a dict.

    Attributes
    ----------
    data : dict
    """

    data: dict

    def __getitem__(self, key: str):
        return self.data[key]

    def __iter__(self):
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    @classmethod
    def read(cls, folder: str | Path) -> RealLenses:
        """Read the ``real_lenses.json`` of a folder."""
        return cls(storage.read_json(storage.join(folder, "real_lenses.json")))

    def __str__(self) -> str:
        if self["status"] == "skip":
            return f"real lenses: skip: {self['reason']}"
        lines = [f"{self['n_lenses']} real lens stamps ({self['grade']}), {self['n_refused']} refused"]
        for entry in self["recall_at_fpr"]:
            r = entry["recall"]
            lines.append(
                f"recall at survey FPR {entry['fpr']:.2g}: {entry['k']} of {r['n']} "
                f"(exact 95 % {r['ci_low']:.2f} to {r['ci_high']:.2f})"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            (
                e["host_id"],
                e.get("name") or "",
                f"{e['logit']:.2f}",
                _percent(e["fraction_of_survey_negatives_above"]),
            )
            for e in self.data.get("stamps", [])
        ]
        head = "<tr><th>stamp</th><th>name</th><th>logit</th><th>survey negatives at or above</th></tr>"
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        return f"<pre>{html.escape(str(self))}</pre>" + (f"<table>{head}{body}</table>" if rows else "")


def _percent(value: float | None) -> str:
    return "no negatives" if value is None else f"{100 * value:.2f} %"


def recall(k: int, n: int) -> Metric:
    """k of n found with the exact (Clopper-Pearson) interval."""
    low, high = clopper_pearson(k, n)
    return Metric(k / n if n else None, low, high, n, n, None, ("exact",))


def real_lenses(
    checkpoint: str | Path,
    out: str | Path,
    *,
    cutouts: str | None = None,
    catalogue: str | None = None,
    negatives: str | None = None,
    profile: str | Path | Profile = "demo",
    scorer=None,
) -> RealLenses:
    """Score real cutouts and write ``<out>/real_lenses.json`` and ``<out>/real_scores.parquet``.

    Parameters
    ----------
    checkpoint : str or Path
    out : str or Path
        Folder that holds ``scores.parquet`` and ``evaluation.json`` of the evaluation, whose negatives and
        thresholds are used; both are left as they are.
    cutouts : str, optional
        Folder of cutouts, or one. By default the lens candidates under ``DHS_DATA_DIR``; where there are none, the
        result has the status ``skip`` and says how to fetch some.
    catalogue : str, optional
        CSV with RA and Dec, and names; cutouts within 3 arcsec of a row carry its name.
    negatives : str, optional
        Cutouts known not to be lenses.
    profile : str, Path or Profile
    scorer : object with ``logits``, optional
        Instead of the checkpoint's network.

    Returns
    -------
    RealLenses

    Raises
    ------
    DhsError
        A folder that was asked for does not exist or holds no usable cutout, or the catalogue cannot be read.
    """
    profile = load_profile(profile)
    spec = cutouts or _default_cutouts()
    if spec is None:
        reason = f"no real cutout was given and DHS_DATA_DIR holds none. {HOW_TO_GET}"
        return _write(out, {"status": "skip", "reason": reason, "n_lenses": 0}, SCORE_SCHEMA.empty_table())
    from dhs.models.score import Scorer
    from dhs.models.shards import score_hosts

    hosts = _open(spec, profile)
    scorer = scorer or Scorer(checkpoint)
    radius = profile.evaluate.core_radius_px
    table, refusals = score_hosts(scorer, hosts, None, radius, "real_lens", "real")
    refusals = [*hosts.refusals, *refusals]
    if table.num_rows == 0:
        raise DhsError(f"{spec}: no cutout could be scored ({refusals[0].message}). {refusals[0].remedy}")
    tables, reference = [table], _survey_logits(out)
    data = {
        "status": "scored",
        "cutouts": str(spec),
        "catalogue": Path(catalogue).name if catalogue else None,
        "grade": "as in the catalogue given" if catalogue else "published candidates, not confirmed",
        "n_lenses": table.num_rows,
        "n_refused": len(refusals),
        "refused": [r.as_dict() for r in refusals],
        "n_survey_negatives": len(reference),
        "stamps": _stamps(table, hosts, reference, catalogue),
        "recall_at_fpr": _recall(out, table["logit"].to_numpy()),
    }
    if negatives:
        other_hosts = _open(negatives, profile)
        others, refused = score_hosts(scorer, other_hosts, None, radius, "real_negative", "real")
        refused = [*other_hosts.refusals, *refused]
        tables.append(others)
        data["real_negatives"] = _negatives(out, others, refused)
    return _write(out, data, pa.concat_tables(tables))


def _default_cutouts() -> str | None:
    root = os.environ.get("DHS_DATA_DIR")
    folder = storage.join(root, DEFAULT_FOLDER) if root else None
    return folder if folder and storage.exists(folder) else None


def _open(spec: str, profile: Profile):
    """Real cutouts with nothing refused for being a lens: that is what they are for."""
    return open_hosts(HostsConfig(spec=str(spec), known_lenses=None, allow_known_lenses=True), profile.seed)


def _write(out, data: dict, table: pa.Table) -> RealLenses:
    data = jsonable(data)
    storage.write_table(storage.join(out, "real_scores.parquet"), table)
    storage.write_json(storage.join(out, "real_lenses.json"), data)
    return RealLenses(data)


def _survey_logits(out) -> np.ndarray:
    path = storage.join(out, "scores.parquet")
    if not storage.exists(path):
        return np.empty(0)
    table = storage.read_table(path, columns=["kind", "logit"])
    kinds = np.array(table["kind"].to_pylist(), dtype=str)
    return np.sort(table["logit"].to_numpy()[kinds == "survey_negative"])


def _stamps(table: pa.Table, hosts, reference: np.ndarray, catalogue: str | None) -> list[dict]:
    """One entry a stamp, highest score first."""
    refs = {ref.host_id: ref for ref in hosts.refs}
    names = _names(catalogue)
    entries = []
    for host_id, logit, masked in zip(*(table[c].to_pylist() for c in ("host_id", "logit", "logit_core_masked"))):
        ref = refs[host_id]
        above = None
        if len(reference):
            above = 1 - np.searchsorted(reference, logit, "left") / len(reference)
        entry = {"host_id": host_id, "file": ref.file.rsplit("/", 1)[-1], "ra": ref.ra, "dec": ref.dec}
        entry |= {"logit": logit, "logit_core_masked": masked, "fraction_of_survey_negatives_above": above}
        entries.append(entry | names(ref.ra, ref.dec))
    return sorted(entries, key=lambda e: -e["logit"])


def _names(catalogue: str | None):
    """A function of position that gives name and separation of the nearest catalogue row within 3 arcsec."""
    if catalogue is None:
        return lambda ra, dec: {}
    positions, columns = read_catalogue(catalogue), read_table(catalogue)
    column = next((c for c in columns if c.lower() in NAME_COLUMNS), None)

    def match(ra: float, dec: float) -> dict:
        index, separation = positions.match([ra], [dec], MATCH_ARCSEC)
        if index[0] < 0:
            return {"name": None, "separation_arcsec": None}
        name = columns[column][index[0]] if column else f"row {index[0] + 1}"
        return {"name": name, "separation_arcsec": float(separation[0])}

    return match


def _thresholds(out) -> list[tuple[float, float]]:
    """(fpr, threshold) pairs of the last evaluation."""
    path = storage.join(out, "evaluation.json")
    if not storage.exists(path):
        return []
    entries = storage.read_json(path)["tpr_at_fpr"]
    return [(e["fpr"], e["threshold"]["value"]) for e in entries if e["threshold"]["value"] is not None]


def _recall(out, logits: np.ndarray) -> list[dict]:
    return [
        {
            "fpr": fpr,
            "threshold": t,
            "k": int((logits > t).sum()),
            "recall": recall(int((logits > t).sum()), len(logits)),
        }
        for fpr, t in _thresholds(out)
    ]


def _negatives(out, table: pa.Table, refused: list) -> dict:
    """False-positive rate on real non-lenses at the thresholds set on survey negatives."""
    logits = table["logit"].to_numpy()
    rates = [
        {"survey_fpr": e["fpr"], "threshold": e["threshold"], "k": e["k"], "fpr": e["recall"]}
        for e in _recall(out, logits)
    ]
    return {
        "n": len(logits),
        "n_refused": len(refused),
        "refused": [r.as_dict() for r in refused],
        "fpr_at": rates,
    }
