"""``dhs score``: from stamps to a table of candidates, with calibrated probabilities and known lenses marked."""

from __future__ import annotations

import heapq
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.artefacts.report import read
from dhs.config import Profile, load_profile
from dhs.datasets import preregistration, reader
from dhs.engines import Engine
from dhs.errors import DhsError, UsageError
from dhs.models.foreign.open import identity, open_scorer
from dhs.models.score import NOT_FINITE_REMEDY, Scorer, refuse_other_network
from dhs.models.shards import Scoring, score_shards
from dhs.options import refuse_others, take
from dhs.stats.calibration import Calibrator
from dhs.survey.lenses.catalogues import Catalogue, known_lenses
from dhs.validation.candidates.cascade import exact_best
from dhs.validation.candidates.contact_sheet import contact_sheet
from dhs.validation.candidates.sheet_stamps import beside, stamps_of

MATCH_ARCSEC = 3.0
TOP = 1000
OTHER_FORMATS = ("csv", "tsv", "txt", "ecsv", "fits", "fit", "fz", "gz", "vot", "xml", "html", "json", "npz", "pq")


@dataclass(frozen=True)
class Selection:
    """What is scored of the inputs.

    Attributes
    ----------
    host_catalogue : str, optional
        Of coadds: Tractor or sweep catalogues, or a table of positions; ``tractor/`` by default.
    host_select : {"lrg", "none"}, optional
        Cuts on that catalogue; the profile's by default.
    splits : sequence of str
        Of a pairs data set.
    """

    host_catalogue: str | None = None
    host_select: str | None = None
    splits: Sequence[str] = ("test",)


@dataclass(frozen=True)
class Listing:
    """What becomes of the scores.

    Attributes
    ----------
    prevalence : float, optional
        Share of lenses among what is scored; that of the evaluation by default.
    known : str
        Catalogue of known lenses, as ``--known-lenses`` of ``dhs inject``; ``none`` for none.
    top : int
        Candidates in the table.
    sheet : int, optional
        Candidates on the contact sheet; all of the table by default.
    lenses : str, optional
        Cutouts of known lenses to show beside the candidates; by default the known ones among these.
    core_masked : bool
        Score with the core hidden as well; doubles the forward passes.
    """

    prevalence: float | None = None
    known: str = "auto"
    top: int = TOP
    sheet: int | None = None
    lenses: str | None = None
    core_masked: bool = False


def score(
    checkpoint: str | Path,
    out: str | Path,
    *,
    data_path: str | Path | None = None,
    cutouts: str | None = None,
    profile: str | Path | Profile = "demo",
    evaluation: str | Path | None = None,
    scorer: Scorer | None = None,
    **options,
) -> pa.Table:
    """Score stamps into shards, and the best of them into a candidate table and a contact sheet.

    Parameters
    ----------
    checkpoint : str or Path
    out : str or Path
        Parquet file of the best candidates, ``NAME.parquet``. Beside it: ``NAME.fits``, ``NAME.vot``, the contact sheet
        ``NAME.html``, ``NAME.quarantine.parquet``, and ``NAME.shards/part-*.parquet`` with the score of every stamp,
        from which an interrupted run goes on.
    data_path, cutouts : str, optional
        A pairs data set, or a host spec: a folder of cutouts, one file, a folder that holds the survey's ``coadd/``,
        ``mock``. Exactly one.
    profile : str, Path or Profile
    evaluation : str or Path, optional
        ``evaluation.json`` whose calibration on survey negatives turns logits into probabilities; without it there
        are none.
    scorer : Scorer, optional
        Instead of the checkpoint's network.
    **options
        Fields of `Selection`, `Listing`, `dhs.models.shards.Scoring` (the tables are written by the call that finds
        every part of every ``shard`` done) and `dhs.engines.Engine`.

    Returns
    -------
    pyarrow.Table
        The candidates, best first; empty where other processes have parts to finish.

    Raises
    ------
    UsageError
        Both inputs, or neither; a catalogue or cuts for a pairs data set.
    DhsError
        A bad checkpoint, data set or evaluation, or one of another checkpoint; a test split without a registered plan;
        a folder begun with other inputs; no stamp that could be scored.
    """
    if "known" in options and options["known"] is None:
        options["known"] = "none"
    selection, listing = take(Selection, options), take(Listing, options)
    how, engine = take(Scoring, options), take(Engine, options)
    refuse_others("score", options, Selection, Listing, Scoring, Engine)
    if (data_path is None) == (cutouts is None):
        raise UsageError("give either data_path (--data-path) or cutouts (--cutouts), one of the two")
    if data_path is not None and (selection.host_catalogue or selection.host_select):
        raise UsageError("a catalogue and its cuts (--host-catalogue, --host-select) are for coadds (--cutouts)")
    profile, stem = load_profile(profile), stem_of(out)
    network = scorer or open_scorer(checkpoint, precision=how.precision)  # refuses a bad one before anything is written
    calibrator, prevalence = _calibrator(evaluation, listing.prevalence, network)
    hosts, known = None, known_lenses(listing.known)
    folder = f"{stem}.shards"
    pairs = reader.open_pairs(data_path) if data_path is not None else None
    if pairs is not None and "test" in selection.splits and pairs.manifest["counts"].get("test"):
        preregistration.open_test(pairs, network=network, what="score", noted=how.shard[0] == 0)
    if pairs is None:
        from dhs.survey.hosts.open import open_hosts

        known_ones = {"hosts__known_lenses": "none", "hosts__allow_known_lenses": True}  # they are what is looked for
        asked = {"hosts__spec": cutouts, "hosts__catalogue": selection.host_catalogue}
        asked["hosts__select"] = selection.host_select
        hosts = open_hosts(profile.replace(**asked, **known_ones).hosts, profile.seed)
        if hosts.refusals and how.shard[0] == 0:
            storage.write_quarantine(storage.join(folder, "quarantine-opening.parquet"), hosts.refusals)
    if listing.core_masked:
        how = replace(how, core_mask_px=profile.evaluate.core_radius_px)
    inputs = {"hosts": hosts, "pairs": pairs, "splits": selection.splits}
    parts = score_shards(folder, checkpoint=checkpoint, scorer=scorer, **inputs, **vars(how), **vars(engine))
    if not all(map(storage.exists, parts)):
        return candidate_table([], None, None, None)
    best, n = _best(parts, listing.top)
    if how.precision != "float32" and scorer is None and n:
        best, _ = exact_best(parts, listing.top, _again(open_scorer(checkpoint), hosts, pairs))
    _gather_quarantine(stem, folder)
    if not n:
        where = f"{stem}.quarantine.parquet"
        raise DhsError(f"{cutouts or data_path}: no stamp could be scored. See {where} for the reasons.")
    table = candidate_table(best, calibrator, prevalence, known)
    about = {
        "dhs_n_scored": str(n),
        "dhs_prevalence": str(prevalence),
        "dhs_checkpoint": identity(checkpoint) if scorer is None else "",
    }
    table = table.replace_schema_metadata(about)
    write_candidates(table, stem)
    shown = table.slice(0, listing.sheet)
    stamps = stamps_of(shown, hosts, pairs)
    page = contact_sheet(shown.to_pylist(), stamps, lenses=beside(listing.lenses, shown, stamps), prevalence=prevalence)
    storage.write_bytes(f"{stem}.html", page.encode())
    return table


def stem_of(out: str | Path) -> str:
    """The path that the files of a call share, without ``.parquet``.

    Raises
    ------
    UsageError
        A folder, or a name with another ending.
    """
    text = str(out)
    name = text.rsplit("/", 1)[-1]
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    folder = not name or name in (".", "..") or ("://" not in text and Path(text).is_dir())
    if folder:
        raise UsageError(f"--out {text}: a folder. Name the table in it, e.g. {text.rstrip('/')}/candidates.parquet.")
    if suffix in OTHER_FORMATS:
        raise UsageError(
            f"--out {text}: the table is written as NAME.parquet, with NAME.fits, NAME.vot and NAME.html beside it. "
            f"Give {text[: -len(suffix) - 1]}.parquet."
        )
    return text.removesuffix(".parquet")


def _calibrator(evaluation, prevalence, network) -> tuple[Calibrator | None, float | None]:
    if evaluation is None:
        if prevalence is not None:
            raise UsageError("a prevalence needs --evaluation: probabilities come from its calibration.")
        return None, None
    data = read(evaluation)
    refuse_other_network(network, data.get("checkpoint") or {}, evaluation)
    part = data.get("calibration", {}).get("survey", {})
    if "calibrator" not in part:
        reason = part.get("reason", "made by an older version")
        raise DhsError(
            f"{evaluation}: holds no calibration on survey negatives ({reason}). "
            "Run dhs evaluate again with evaluate.n_calibration_negatives above 0."
        )
    calibrator = Calibrator.from_dict(part["calibrator"])
    prevalence = part["prevalence"] if prevalence is None else prevalence
    calibrator.probability(np.zeros(1), "sigmoid", prevalence)  # refuses a bad prevalence before anything is scored
    return calibrator, prevalence


def _best(parts: list[str], top: int) -> tuple[list[dict], int]:
    """The ``top`` highest logits over all parts, one part in memory at a time, and how many stamps there are."""
    best: list[dict] = []
    n = 0
    for path in parts:
        table = storage.read_table(path)
        n += table.num_rows
        logits = table["logit"].to_numpy()
        if bad := int((~np.isfinite(logits)).sum()):
            raise DhsError(
                f"{path}: {bad} of {table.num_rows} logits are NaN or infinite. {NOT_FINITE_REMEDY} Give another --out."
            )
        chosen = np.argsort(-logits, kind="stable")[:top]
        best = heapq.nsmallest(top, best + table.take(pa.array(chosen)).to_pylist(), key=lambda row: -row["logit"])
    return best, n


def _again(network, hosts, pairs) -> Callable[[list[dict]], np.ndarray]:
    """Logits of rows of the score tables, from their stamps."""

    def again(rows: list[dict]) -> np.ndarray:
        columns = {"id": [_identity(row) for row in rows]}
        columns |= {name: [row[name] for row in rows] for name in ("kind", "pair_id")}
        sigma = np.array([[row[f"sky_sigma_{band}"] for band in "grz"] for row in rows], np.float32)
        return network.logits(np.stack(stamps_of(pa.table(columns), hosts, pairs)), sky_sigma=sigma)

    return again


def candidate_table(
    best: list[dict], calibrator: Calibrator | None, prevalence: float | None, catalogue: Catalogue | None
) -> pa.Table:
    """Candidates, best first.

    Returns
    -------
    pyarrow.Table
        ``rank, id, ra, dec`` (degrees), ``logit, probability`` (NaN without a calibration; at ``prevalence``),
        ``known_lens`` (name, empty where none lies within 3 arcsec), ``known_lens_arcsec, host_mag_r,
        psf_fwhm_r_arcsec, sky_sigma_r, flags, brickname, kind, pair_id``.
    """
    n = len(best)
    logits = np.array([row["logit"] for row in best], dtype=float)
    probability = np.full(n, np.nan)
    if calibrator is not None:
        probability = calibrator.probability(logits, "sigmoid", prevalence)
    ra, dec = (np.array([row.get(c, np.nan) for row in best], dtype=float) for c in ("ra", "dec"))
    names, separations = [""] * n, np.full(n, np.nan)
    placed = np.isfinite(ra)
    if catalogue is not None and placed.any():
        index, separation = catalogue.match(ra[placed], dec[placed], MATCH_ARCSEC)
        for i, k, s in zip(np.flatnonzero(placed), index, separation):
            if k >= 0:
                names[i], separations[i] = _name(catalogue, int(k)), s
    columns = {"rank": np.arange(1, n + 1), "id": [_identity(row) for row in best], "ra": ra, "dec": dec}
    columns |= {"logit": logits, "probability": probability, "known_lens": names, "known_lens_arcsec": separations}
    for name in ("host_mag_r", "psf_fwhm_r_arcsec", "sky_sigma_r"):
        columns[name] = np.array([row[name] for row in best], dtype=float)
    for name in ("flags", "brickname", "kind"):
        columns[name] = pa.array([str(row.get(name) or "") for row in best], pa.string())
    return pa.table(columns | {"pair_id": np.array([row["pair_id"] for row in best])})


def _identity(row: dict) -> str:
    pair, kind = row["pair_id"], row["kind"]
    return str(row["host_id"]) if pair is None or pair < 0 else f"{kind}-{pair}"


def _name(catalogue: Catalogue, index: int) -> str:
    return catalogue.names[index] if catalogue.names else f"{catalogue.label}, row {index + 1}"


def write_candidates(table: pa.Table, stem: str) -> list[str]:
    """Write ``stem.parquet``, ``stem.fits`` and ``stem.vot``; in FITS, letters beyond ASCII become ``\\xe9``."""
    from astropy import units as u
    from astropy.table import Table

    data = Table({name: np.array(table[name].to_pylist()) for name in table.column_names})
    for name, unit in (("ra", u.deg), ("dec", u.deg), ("known_lens_arcsec", u.arcsec), ("host_mag_r", u.mag)):
        data[name].unit = unit
    ascii_only = data.copy()
    for name in [n for n in data.colnames if data[n].dtype.kind == "U"]:
        ascii_only[name] = [v.encode("ascii", "backslashreplace").decode() for v in data[name].tolist()]
    paths = [f"{stem}.{suffix}" for suffix in ("parquet", "fits", "vot")]
    storage.write_table(paths[0], table)
    for path, form, content in zip(paths[1:], ("fits", "votable"), (ascii_only, data)):
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content.write(buffer, format=form)
        storage.write_bytes(path, buffer.getvalue())
    return paths


def _gather_quarantine(stem: str, folder: str) -> None:
    files = [f for f in storage.list_files(folder, (".parquet",)) if f.rsplit("/", 1)[-1].startswith("quarantine")]
    if files:
        storage.write_table(f"{stem}.quarantine.parquet", pa.concat_tables(map(storage.read_table, files)))
