"""``dhs evaluate``: score the test split and survey negatives, and measure.

The configuration of the evaluation is frozen by its digest, which goes into ``evaluation.json``. The network's
temperature is fitted on the validation split; the test split is read for measurement alone.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm.auto import tqdm

from dhs import engines, storage
from dhs.config import Profile, digest, load_profile
from dhs.datasets import plan
from dhs.datasets.reader import Pairs, open_pairs, per_band, rows, stamp
from dhs.datasets.schema import SCORE_SCHEMA
from dhs.errors import DhsError
from dhs.injection.noise import Stream, generator, shot_noise
from dhs.survey.negatives import SurveyNegatives
from dhs.validation import completeness, failures, interventions, metrics, realism, sections, worth
from dhs.validation.expectation import radius_map
from dhs.validation.gate import jsonable
from dhs.validation.population import COLUMNS
from dhs.validation.sections import Scores

CHUNK = 400
SWAP_COLUMNS = ("pair_id", "host_id", "source_id", "control", "arc", "rng_key", "gain_g", "gain_r", "gain_z")


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluation.json`` holds.

    Attributes
    ----------
    data : dict
        The sections; ``evaluation["auroc"]`` is short for ``evaluation.data["auroc"]``.
    """

    data: dict

    def __getitem__(self, key: str):
        return self.data[key]

    @classmethod
    def read(cls, folder: str | Path) -> Evaluation:
        """Read the ``evaluation.json`` of a folder."""
        return cls(storage.read_json(storage.join(folder, "evaluation.json")))

    def lines(self) -> list[tuple[str, str]]:
        """Name and value of the leading metrics."""
        data = self.data
        shown = [
            ("AUROC, positives against controls", data["auroc"]),
            ("AUROC, positives against survey negatives", data["auroc_survey"]),
            ("within-pair concordance", data["concordance"]),
            ("AUROC, bright and wide arcs", data["bright_wide"]["auroc"]),
            ("AUROC with the core masked", data["core_masked"].get("auroc")),
            ("AUROC against hard negatives", data["hard_negatives"].get("auroc")),
        ]
        shown += [(f"recall at FPR {e['fpr']:.2g}", e["tpr"]) for e in data["tpr_at_fpr"]]
        return [(name, _text(metric)) for name, metric in shown]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self.lines())

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in self.lines())
        return f"<table>{cells}</table>"


def _text(metric: dict | None) -> str:
    if not metric or metric["value"] is None:
        return f"not measured ({', '.join(metric['flags']) if metric else 'skipped'})"
    interval = "no interval" if metric["ci_low"] is None else f"{metric['ci_low']:.3f} to {metric['ci_high']:.3f}"
    return f"{metric['value']:.3f} ({interval}, n = {metric['n']}, hosts = {metric['n_hosts']})"


def make_negatives(negatives, span: tuple[int, int]) -> dict:
    """Stamps start to stop of a set of survey negatives."""
    stamps = [negatives.read(i) for i in range(*span)]
    return {
        "start": span[0],
        "images": np.stack([s.image for s in stamps]).astype(np.float32),
        "host_id": [s.host_id for s in stamps],
        "subkind": [str(s.meta.get("kind", "")) for s in stamps],
        "psf_fwhm": np.array([s.psf_fwhm for s in stamps], dtype=np.float32),
        "sky_sigma": np.array([s.sky_sigma for s in stamps], dtype=np.float32),
    }


def score_survey(
    scorer, n: int, seed: int, *, first: int = 0, split="test", engine="processes", workers=None, make=SurveyNegatives
) -> pa.Table:
    """Make and score survey negatives in chunks; the order is theirs, whoever makes them.

    Parameters
    ----------
    scorer : object with ``logits``
    n, seed : int
    first : int
        Negatives before this one are left out.
    split : str
        Written into the rows.
    engine, workers
        As in `dhs.engines.run`.
    make : callable
        ``make(n, seed)`` gives the set; importable by name.

    Returns
    -------
    pyarrow.Table
        Rows of kind ``survey_negative``.
    """
    from dhs.models.score import host_mag_r, score_table

    spans = [(i, min(i + CHUNK, n)) for i in range(first, n, CHUNK)]
    tables = {}
    for chunk in engines.run(make_negatives, spans, make, (n, seed), engine, workers, "survey negatives"):
        columns = {"kind": "survey_negative", "split": split, "source_id": ""}
        columns["host_mag_r"] = host_mag_r(chunk["images"])
        columns |= {k: chunk[k] for k in ("host_id", "subkind")}
        columns["logit"] = scorer.logits(chunk["images"])
        for b, band in enumerate("grz"):
            columns[f"psf_fwhm_{band}_arcsec"] = chunk["psf_fwhm"][:, b]
            columns[f"sky_sigma_{band}"] = chunk["sky_sigma"][:, b]
        tables[chunk["start"]] = score_table(columns, len(chunk["host_id"]))
    return pa.concat_tables([SCORE_SCHEMA.empty_table(), *(tables[k] for k in sorted(tables))])


def swapped_stamps(row: dict, positive: np.ndarray, core: np.ndarray) -> dict[str, np.ndarray]:
    """The counterfactuals of one positive.

    Parameters
    ----------
    row : mapping
        ``control``, ``arc``, ``gain_*``, ``rng_key``.
    positive : ndarray, (3, 64, 64)
    core : ndarray of bool, (64, 64)

    Returns
    -------
    dict of ndarray, (3, 64, 64)
        ``core``: core pixels from the control. ``placebo``: core pixels from the same arc with another draw of its
        shot noise. ``outer``: all pixels but the core from the control.
    """
    noise = shot_noise(row["arc"], per_band(row, "gain"), generator(row["rng_key"], Stream.SHOT, attempt=1))
    return {
        "core": np.where(core, row["control"], positive),
        "placebo": np.where(core, row["control"] + row["arc"] + noise, positive),
        "outer": np.where(core, positive, row["control"]),
    }


def _swaps(scorer, pairs: Pairs, radius_px: float, baselines: dict) -> tuple[dict, dict]:
    """Logits of the counterfactuals of the test split, and of the baselines on val and test."""
    core = radius_map() < radius_px
    swapped: dict[str, list] = {"pair_id": [], "core": [], "placebo": [], "outer": []}
    scored: dict = {name: {"val": [], "test": []} for name in baselines}
    for split in ("val", "test"):
        for batch in tqdm(pairs.batches(split, list(SWAP_COLUMNS)), desc=f"swaps, {split}", disable=None):
            if not batch.num_rows:
                continue
            part = rows(pa.Table.from_batches([batch]))
            positive = np.stack([stamp(row) for row in part])
            control = np.stack([row["control"] for row in part])
            hosts, sources = ([str(row[c]) for row in part] for c in ("host_id", "source_id"))
            for name, baseline in baselines.items():
                scored[name][split].append((baseline.logits(positive), baseline.logits(control), hosts, sources))
            if split == "test":
                made = [swapped_stamps(row, image, core) for row, image in zip(part, positive)]
                swapped["pair_id"] += [row["pair_id"] for row in part]
                for name in ("core", "placebo", "outer"):
                    swapped[name].append(scorer.logits(np.stack([m[name] for m in made]).astype(np.float32)))
    out = {k: np.concatenate(v) if v else np.empty(0) for k, v in swapped.items() if k != "pair_id"}
    return {"pair_id": np.asarray(swapped["pair_id"], dtype=np.int64), **out}, scored


def _baselines(scored: dict, val: Scores, test: Scores) -> dict:
    out = {"network": {"auroc": test.auroc("control"), "val": val.auroc("control")}}
    for name, splits in scored.items():
        found = {}
        for split, parts in splits.items():
            if not parts:
                found[split] = metrics.missing("empty split")
                continue
            positive, control = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
            hosts, sources = ([name for p in parts for name in p[i]] for i in (2, 3))
            n = len(positive)
            labels = np.repeat([True, False], n)
            both = np.concatenate([positive, control])
            source = np.array(sources + [""] * n)
            found[split] = metrics.auroc(both, labels, np.array(hosts * 2), source)
        out[name] = {"auroc": found["test"], "val": found["val"]}
    return out


def evaluate(
    data_path: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    profile: str | Path | Profile = "demo",
    real: str | None = None,
    engine: str = "processes",
    workers: int | None = None,
    scorer=None,
    baselines: dict | None = None,
    survey=SurveyNegatives,
) -> Evaluation:
    """Score a checkpoint on the test split.

    Writes ``<out>/scores.parquet``, ``<out>/evaluation.json`` and, where a threshold could be set,
    ``<out>/completeness.parquet``.

    Parameters
    ----------
    data_path : str or Path
        A pairs data set.
    checkpoint : str or Path
        Of `dhs.models.train.train`.
    out : str or Path
        Folder; its files are replaced atomically.
    profile : str, Path or Profile
    real : str, optional
        Folder of real lenses for the realism probe; by default what ``DHS_DATA_DIR`` holds.
    engine, workers
        Who makes the survey negatives; changes no number.
    scorer : object with ``logits(stamps, core_mask_px=None)``, optional
        Instead of the checkpoint's network.
    baselines : dict of objects with ``logits(stamps)``, optional
        Instead of those fitted to the training split.
    survey : callable
        ``survey(n, seed)`` gives the survey negatives.

    Returns
    -------
    Evaluation

    Raises
    ------
    DhsError
        No data set or checkpoint there, an empty test split, no registered plan or other settings than the
        plan's, or hosts that are lens candidates themselves.
    """
    from dhs.models.parts import refuse_candidates
    from dhs.models.score import Scorer, score_pairs

    profile = load_profile(profile)
    config, pairs = profile.evaluate, open_pairs(data_path)
    if not pairs.manifest["counts"].get("test"):
        raise DhsError(f"{data_path}: the test split is empty. Make more pairs, or give splits.test a larger share.")
    registered = plan.open_test(pairs, profile)
    refuse_candidates(pairs, ("val", "test"))
    scorer = scorer or Scorer(checkpoint)
    if baselines is None:
        baselines = _fit_baselines(pairs, profile)
    table = score_pairs(scorer, pairs, ("test",), config.core_radius_px)
    n, apart = config.n_survey_negatives, config.n_calibration_negatives
    making = {"engine": engine, "workers": workers, "make": survey}
    negatives = score_survey(scorer, n, profile.seed, **making)
    table = pa.concat_tables([table, negatives])
    val = Scores.of(score_pairs(scorer, pairs, ("val",), None), config, profile.seed)
    of_val = score_survey(scorer, n + apart, profile.seed, first=n, split="val", **making)
    test = Scores.of(table, config, profile.seed)
    swapped, scored = _swaps(scorer, pairs, config.core_radius_px, baselines)
    rates = sections.rates(test)
    operating = rates["tpr_at_fpr"][-1] if rates["tpr_at_fpr"] else None
    weights = _population_weights(pairs, test)
    complete, cells, model = worth.completeness(test, worth.mapped_at(test, rates["tpr_at_fpr"]), weights)
    data = sections.discrimination(test) | rates
    data |= {
        "core_masked": sections.core_masked(test),
        "core_swap": sections.core_swap(test, swapped),
        "interventions": interventions.section(interventions.intervene(scorer, pairs, profile), profile),
        "top": worth.top(test, operating),
        "calibration": worth.calibration(test, val, Scores.of(of_val, config, profile.seed)),
        "completeness": complete,
        "purity": worth.purity(test, rates["tpr_at_fpr"]),
        "population": worth.population(test, weights, rates["tpr_at_fpr"]),
        "hard_negatives": sections.hard_negatives(test, operating),
        "baselines": _baselines(scored, val, test),
        "realism": realism.section(
            pairs,
            scorer,
            real=real,
            seed=profile.seed,
            n_permutations=min(realism.N_PERMUTATIONS, config.n_bootstrap // 5),
        ),
        "real_lenses": {"file": "real_lenses.json", "reason": "written by dhs real-lenses into its own file"},
        "galleries": sections.galleries(test),
        "failures": failures.section(test, operating, pairs, scorer),
        "survey_negatives": {
            "mock": bool(getattr(survey, "mock", True)),
            "n": negatives.num_rows,
            "proportions": _proportions(negatives),
        },
        "frozen": {"evaluate": config.model_dump(mode="json"), "digest": digest(config)},
        "data": {"content_hash": pairs.manifest.get("content_hash"), "counts": pairs.manifest["counts"]},
        "checkpoint": _about(scorer, pairs),
        "plan": {"sha256": registered["sha256"]},
    }
    data = jsonable(data)
    storage.write_table(storage.join(out, "scores.parquet"), table)
    if cells:
        about = {
            "content_hash": data["data"]["content_hash"],
            "fpr": complete["fpr"],
            "threshold": complete["threshold"],
        }
        reason = "" if model else complete["smooth"]["reason"]
        completeness.write(storage.join(out, "completeness.parquet"), cells, model, about, reason)
    storage.write_json(storage.join(out, "evaluation.json"), data)
    return Evaluation(data)


def _population_weights(pairs: Pairs, test: Scores) -> np.ndarray | str:
    """Weights of the test split's positives in the order of the scores, or why there are none."""
    table = pairs.table("test", columns=["pair_id", *COLUMNS])
    made = worth.weights_of({c: table[c].to_numpy() for c in COLUMNS}, table.num_rows)
    if isinstance(made, str):
        return made
    place = {i: k for k, i in enumerate(table["pair_id"].to_pylist())}
    return made.weights[[place[i] for i in test["pair_id"][test.kind("positive")]]]


def _fit_baselines(pairs: Pairs, profile: Profile) -> dict:
    from dhs.models.baselines import fit_baselines

    return fit_baselines(pairs, profile.train) if pairs.manifest["counts"].get("train") else {}


def _proportions(negatives: pa.Table) -> dict:
    names, counts = np.unique(np.array(negatives["subkind"].to_pylist(), dtype=str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist()))


def _about(scorer, pairs: Pairs) -> dict:
    """Which checkpoint was evaluated, and whether it was trained on this very data set."""
    state = getattr(scorer, "state", {})
    about = {k: state.get(k) for k in ("epoch", "seed", "weights", "content_hash")}
    trained_on = about["content_hash"]
    return about | {"same_data": None if trained_on is None else trained_on == pairs.manifest.get("content_hash")}
