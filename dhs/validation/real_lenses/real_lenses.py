"""``dhs real-lenses``: what the network says of lenses that nobody injected.

A handful of stamps gives a recall with a wide interval: n and the exact interval stand beside every value. Thresholds
are those of the last evaluation, set on survey negatives; nothing is tuned on real stamps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.artefacts.real_lenses import RealLenses
from dhs.artefacts.report import read
from dhs.config import Profile, load_profile
from dhs.datasets.schema import SCORE_SCHEMA
from dhs.datasets.stamp_sets import describe
from dhs.errors import DhsError
from dhs.owner import alone
from dhs.stats.metrics import Metric, clopper_pearson
from dhs.stats.pixels import radius_map
from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.hosts.open import open_cutouts
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.lenses.catalogues import read_catalogue, read_table
from dhs.survey.lenses.lens_list import first_number
from dhs.validation.evaluation.evaluate import refuse_unscored
from dhs.validation.real_lenses.selection import by_selection, is_lens, non_lenses
from dhs.validation.realism.probe import match

MATCH_ARCSEC = 3.0
BESIDE_ARCSEC = (0.8, 4.0)  # where arcs lie
FAINT_PEAK = 5.0  # S/N of its brightest pixel below which an arc is called faint
DEFAULT_FOLDER = "hosts/ls_dr10_grz"
THETA_COLUMNS = ("theta_e_arcsec", "theta_ein", "theta_e")
TOLD = {"found_by": str, "is_lens": lambda text: text.strip().lower() != "false", "probability": first_number}
HOW_TO_GET = (
    "Give real cutouts with --cutouts, or fetch some: `dhs fetch hosts --catalogue <CSV with RA and Dec> --out "
    "FOLDER`, then `dhs real-lenses --cutouts FOLDER --catalogue CSV --checkpoint PT --out RUN`."
)


def recall(k: int, n: int) -> Metric:
    """k of n found with the exact (Clopper-Pearson) interval."""
    low, high = clopper_pearson(k, n)
    return Metric(k / n if n else None, low, high, n, n, None, ("exact",))


@alone("real-lenses", "out")
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
        CSV with RA and Dec, and names; cutouts within 3 arcsec of a row carry its name. Those in no row count as well,
        and ``n_in_catalogue`` says how many are in one. From a catalogue of ``dhs lenses`` recall is given apart for
        lenses found in images and by spectra, and candidates shown to be no lens count as negatives.
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
        A folder that was asked for does not exist or holds no usable cutout, the catalogue cannot be read, or
        ``evaluation.json`` is of another checkpoint; the network gives NaN.
    """
    profile = load_profile(profile)
    names, spec = _names(catalogue), cutouts or storage.data_file(DEFAULT_FOLDER)
    if spec is None:
        reason = f"no real cutout was given and DHS_DATA_DIR holds none. {HOW_TO_GET}"
        return _write(out, {"status": "skip", "reason": reason, "n_lenses": 0}, SCORE_SCHEMA.empty_table())
    from dhs.models.foreign.open import open_scorer
    from dhs.models.score import refuse_other_network
    from dhs.models.shards import score_hosts
    from dhs.models.training.negatives import refuse_trained_on

    hosts = open_cutouts(spec, profile.seed)
    scorer = scorer or open_scorer(checkpoint)
    refuse_other_network(scorer, _evaluation(out).get("checkpoint") or {}, storage.join(out, "evaluation.json"))
    radius = profile.evaluate.core_radius_px
    table, refusals = score_hosts(scorer, hosts, None, radius, "real_lens", "real")
    refusals = [*hosts.refusals, *refusals]
    if table.num_rows == 0:
        raise DhsError(f"{spec}: no cutout could be scored ({refusals[0].message}). {refusals[0].remedy}")
    refuse_unscored(table)
    reference = _survey_logits(out)
    stamps = _stamps(table, hosts, reference, names)
    table, refuted = _without_refuted(table, stamps)
    tables = [table, refuted]
    if table.num_rows == 0:
        raise DhsError(f"{catalogue}: every cutout is of a candidate shown to be no lens. Give some of lenses, too.")
    data = {
        "status": "scored",
        "cutouts": str(spec),
        "catalogue": Path(catalogue).name if catalogue else None,
        "grade": "not stated: no catalogue was given" if cutouts else "published candidates, not confirmed",
        "n_lenses": table.num_rows,
        "n_refused": len(refusals),
        "refused": [r.as_dict() for r in refusals],
        "n_survey_negatives": len(reference),
        "stamps": [stamp for stamp in stamps if is_lens(stamp)],
        "recall_at_fpr": _recall(out, table["logit"].to_numpy()),
        "by_selection": by_selection(stamps, _thresholds(out)),
        "confirmed_non_lenses": non_lenses(stamps, _thresholds(out)),
    }
    if catalogue:
        n = sum(stamp["name"] is not None for stamp in data["stamps"])
        data |= {"n_in_catalogue": n, "grade": f"{n} of {table.num_rows} in {data['catalogue']}"}
    data["misses"] = _misses(out, table, data["stamps"], hosts)
    if negatives:
        other_hosts = open_cutouts(negatives, profile.seed)
        refuse_trained_on(getattr(scorer, "state", None) or {}, hosts=other_hosts)
        others, refused = score_hosts(scorer, other_hosts, None, radius, "real_negative", "real")
        refuse_unscored(others)
        refused = [*other_hosts.refusals, *refused]
        tables.append(others)
        data["real_negatives"] = _negatives(out, others, refused) | _alike(out, hosts, table, other_hosts, others)
    return _write(out, data, pa.concat_tables(tables))


def _without_refuted(table: pa.Table, stamps: list[dict]) -> tuple[pa.Table, pa.Table]:
    """Rows of lenses, and those of candidates shown to be none, which are negatives."""
    none = {stamp["host_id"] for stamp in stamps if not is_lens(stamp)}
    lens = np.array([name not in none for name in table["host_id"].to_pylist()], dtype=bool)
    refuted = table.filter(pa.array(~lens))
    kinds = pa.array(["real_negative"] * refuted.num_rows, pa.string())
    refuted = refuted.set_column(refuted.schema.get_field_index("kind"), "kind", kinds)
    return table.filter(pa.array(lens)), refuted


def _write(out, data: dict, table: pa.Table) -> RealLenses:
    report = RealLenses.made(data)
    storage.write_table(storage.join(out, "real_scores.parquet"), table)
    report.write(out)
    return report


def _survey_logits(out) -> np.ndarray:
    path = storage.join(out, "scores.parquet")
    if not storage.exists(path):
        return np.empty(0)
    table = storage.read_table(path, columns=["kind", "logit"])
    kinds = np.array(table["kind"].to_pylist(), dtype=str)
    return np.sort(table["logit"].to_numpy()[kinds == "survey_negative"])


def _stamps(table: pa.Table, hosts, reference: np.ndarray, names) -> list[dict]:
    """One entry a stamp, highest score first."""
    refs = {ref.host_id: ref for ref in hosts.refs}
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


def brightest_feature(stamp: HostStamp) -> float:
    """S/N in r of the brightest pixel beside a host: an upper bound on that of an arc nobody has modelled.

    Medians along the host's elliptical isophotes are taken off (`dhs.models.residuals`); the noise is that of the sky
    and of the light taken off. Among pixels 0.8 to 4 arcsec from the centre, where noise alone reaches about 3. To be
    held against ``arc_snr_maxpix`` of the injections.
    """
    import torch

    from dhs.models.residuals import elliptical_residual

    image = np.asarray(stamp.image, np.float32)
    scaled = torch.tensor((image / np.asarray(stamp.sky_sigma)[:, None, None]).astype(np.float32))
    left = elliptical_residual(scaled[None])[0, 1].numpy() * stamp.sky_sigma[1]
    noise = np.sqrt(stamp.sky_sigma[1] ** 2 + np.maximum(image[1] - left, 0) / stamp.gain[1])
    radius = radius_map() * PIXEL_SCALE
    return float((left / noise)[(radius > BESIDE_ARCSEC[0]) & (radius < BESIDE_ARCSEC[1])].max())


def _misses(out, table: pa.Table, stamps: list[dict], hosts) -> dict:
    """Real lenses below the threshold of the smallest supported rate, and what about them was hard or new.

    Seeing, depth and host are compared with the injections that the network was tested on: outside their central 98 %,
    the completeness measured there says nothing.
    """
    thresholds = _thresholds(out)
    if not thresholds:
        return {"status": "skip", "reason": "no evaluation set a threshold"}
    fpr, threshold = thresholds[-1]
    ranges = _ranges(out)
    values = {row["host_id"]: row for row in table.to_pylist()}
    entries = []
    for stamp in stamps:
        if stamp["logit"] > threshold:
            continue
        row, reasons = values[stamp["host_id"]], []
        theta, fwhm = stamp.get("theta_e_arcsec", np.nan), row["psf_fwhm_r_arcsec"]
        if theta < fwhm:
            reasons.append(f"theta_E {theta:.2f} arcsec is below the PSF's {fwhm:.2f}")
        snr = brightest_feature(hosts.by_id(stamp["host_id"]))
        if snr < FAINT_PEAK:
            reasons.append(f"nothing beside the host is brighter than S/N {snr:.1f} a pixel: a faint arc")
        for name, (low, high) in ranges.items():
            if not low <= row[name] <= high:
                reasons.append(f"{name} {row[name]:.4g} is outside the injections' {low:.4g} to {high:.4g}")
        if np.isnan(theta):
            reasons.append("theta_E is not known")
        entry = {"host_id": stamp["host_id"], "name": stamp.get("name"), "logit": stamp["logit"]}
        entries.append(entry | {"brightest_feature_snr": snr, "why": reasons})
    return {"fpr": fpr, "threshold": threshold, "n": len(entries), "stamps": entries}


def _ranges(out) -> dict[str, tuple[float, float]]:
    """Central 98 % of the positives' seeing, sky noise and host magnitude in the last evaluation."""
    names = ("psf_fwhm_r_arcsec", "sky_sigma_r", "host_mag_r")
    table = storage.read_table(storage.join(out, "scores.parquet"))
    positive = np.array(table["kind"].to_pylist(), dtype=str) == "positive"
    ranges = {}
    for name in names:
        values = table[name].to_numpy()[positive]
        if np.isfinite(values).sum() >= 50:
            ranges[name] = tuple(float(v) for v in np.nanquantile(values, (0.01, 0.99)))
    return ranges


def _names(catalogue: str | None):
    """A function of position that gives name and separation of the nearest catalogue row within 3 arcsec."""
    if catalogue is None:
        return lambda ra, dec: {}
    positions, columns = read_catalogue(catalogue), read_table(catalogue)
    radii = next((c for c in columns if c.lower() in THETA_COLUMNS), None)
    told = {name: columns[name] for name in ("found_by", "is_lens", "probability") if name in columns}

    def match(ra: float, dec: float) -> dict:
        index, separation = positions.match([ra], [dec], MATCH_ARCSEC)
        if index[0] < 0:
            return {"name": None, "separation_arcsec": None}
        name = positions.names[index[0]] if positions.names else f"row {index[0] + 1}"
        theta = first_number(columns[radii][index[0]]) if radii else np.nan
        found = {"name": name, "separation_arcsec": float(separation[0]), "theta_e_arcsec": theta}
        return found | {key: TOLD[key](values[index[0]]) for key, values in told.items()}

    return match


def _evaluation(out) -> dict:
    """The last evaluation; empty where there is none."""
    path = storage.join(out, "evaluation.json")
    data = read(path) if storage.exists(path) else {"tpr_at_fpr": []}
    if "tpr_at_fpr" not in data:
        raise DhsError(f"{path}: holds no false-positive rates. Write it with dhs evaluate, or give another --out.")
    return data


def _thresholds(out) -> list[tuple[float, float]]:
    """(fpr, threshold) pairs of the last evaluation."""
    entries = _evaluation(out)["tpr_at_fpr"]
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


def _measured(hosts, host_ids: list[str]) -> np.ndarray:
    """(n, 4) what hosts are matched by, of the stamps that were scored: the others cannot be read."""
    return np.concatenate([describe(hosts.by_id(i).image[None])["match"] for i in host_ids])


def _alike(out, lenses, table: pa.Table, negatives, others: pa.Table) -> dict:
    """The same rates on the non-lenses that have a lens like them in magnitude, colours and size."""
    rows = np.zeros(others.num_rows, dtype=bool)
    if others.num_rows:
        measured = [_measured(h, t["host_id"].to_pylist()) for h, t in ((lenses, table), (negatives, others))]
        rows[match(*measured)[1]] = True
    rates = [
        {"survey_fpr": e["fpr"], "threshold": e["threshold"], "k": e["k"], "fpr": e["recall"]}
        for e in _recall(out, others["logit"].to_numpy()[rows])
    ]
    return {"matched": {"n": int(rows.sum()), "fpr_at": rates}}


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
