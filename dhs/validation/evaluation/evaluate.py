"""``dhs evaluate``: score the test split and survey negatives, and measure.

The configuration of the evaluation is frozen by its digest, which goes into ``evaluation.json``. The network's
temperature is fitted on the validation split; the test split is read for measurement alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.artefacts.evaluation import Evaluation
from dhs.config import InjectionConfig, Profile, digest, load_profile
from dhs.datasets import preregistration, survey_negatives
from dhs.datasets.reader import Pairs, open_pairs
from dhs.errors import DhsError
from dhs.options import refuse_others, take
from dhs.owner import alone
from dhs.validation.evaluation import completeness, discrimination, failures, forward, survey_yield
from dhs.validation.evaluation.discrimination import Scores
from dhs.validation.evaluation.population_weights import COLUMN, NEEDED, above_floor
from dhs.validation.evaluation.sections.base import Scored, section


class Clock:
    """Seconds of one stage after another."""

    def __init__(self):
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now


@dataclass(frozen=True)
class StandIns:
    """What takes the place of the checkpoint's network and of what the data set holds.

    Attributes
    ----------
    scorer : object with ``logits(stamps, core_mask_px=None, sky_sigma=None)``, optional
        Instead of the checkpoint's network; used by several threads at once.
    baselines : dict of objects with ``logits(stamps)``, optional
        Instead of those fitted to the training split.
    survey : callable, optional
        ``survey(n, seed)`` gives survey negatives (a `dhs.survey.hosts.record.HostSet`) instead of the data set's own.
    """

    scorer: object = None
    baselines: dict | None = None
    survey: Callable | None = None


@alone("evaluate", "out")
def evaluate(
    data_path: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    profile: str | Path | Profile = "demo",
    real: str | None = None,
    workers: int | None = None,
    **instead,
) -> Evaluation:
    """Score a checkpoint on the test split.

    Writes ``<out>/scores.parquet``, ``<out>/evaluation.json`` and, where a threshold could be set,
    ``<out>/completeness.parquet``. ``<out>/evaluation_run.json`` says how long each stage took and how many stamps
    went through the network.

    Parameters
    ----------
    data_path : str or Path
        A pairs data set.
    checkpoint : str or Path
        Of `dhs.models.training.train.train`, or any network that `dhs.models.foreign.open.open_scorer` opens.
    out : str or Path
        Folder; its files are replaced atomically.
    profile : str, Path or Profile
    real : str, optional
        Folder of real lenses for the realism probe; by default what ``DHS_DATA_DIR`` holds.
    workers : int, optional
        Threads that score (`dhs.validation.evaluation.forward`), a core each by default; changes no number.
    **instead
        Fields of `StandIns`.

    Returns
    -------
    Evaluation

    Raises
    ------
    DhsError
        No data set or checkpoint there, an empty test split, no registered plan or other settings than the
        plan's, hosts that are lens candidates themselves, or a network that gives NaN.
    """
    from dhs.models.decode import refuse_candidates
    from dhs.models.foreign.open import open_scorer
    from dhs.models.training.negatives import refuse_trained_on

    clock, given = Clock(), take(StandIns, instead)
    refuse_others("evaluate", instead, StandIns)
    survey, profile = given.survey, load_profile(profile)
    config, pairs = profile.evaluate, open_pairs(data_path)
    if not pairs.manifest["counts"].get("test"):
        raise DhsError(f"{data_path}: the test split is empty. Make more pairs, or give splits.test a larger share.")
    scorer = given.scorer or open_scorer(checkpoint)
    own = survey_negatives.Maker(pairs.path, config.survey_negatives)
    galaxies = own(config.n_survey_negatives + config.n_calibration_negatives, profile.seed) if not own.mock else None
    refuse_trained_on(getattr(scorer, "state", None) or {}, seed=profile.seed, hosts=galaxies)
    refuse_candidates(pairs, ("val", "test"))
    registered = preregistration.open_test(pairs, profile, network=scorer)
    clock.lap("open")
    fit = (lambda: _fit_baselines(pairs, profile)) if given.baselines is None else (lambda: given.baselines)
    if survey is None and not own.mock:
        survey = own  # a folder's galaxies are read where they are; mock ones are stored beside the pairs
    elif survey is None:
        n_survey = config.n_survey_negatives + config.n_calibration_negatives
        survey_negatives.ensure(pairs.path, profile.seed, n_survey, workers)
        clock.lap("survey negatives")
    found = forward.run(scorer, pairs, profile, baselines=fit, survey=survey, real=real, workers=workers)
    clock.lap("scores")
    counted = forward.Counted(scorer)
    with forward.one_thread():
        data, files = _measured(found, counted, pairs, profile, survey, clock)
    data |= {
        "survey_negatives": {
            "mock": bool(getattr(survey, "mock", True)),
            "told": getattr(survey or own, "told", "as given"),
            "n": found.survey.num_rows,
            "proportions": _proportions(found.survey),
        },
        "frozen": {"evaluate": config.model_dump(mode="json"), "digest": digest(config)},
        "data": {"content_hash": pairs.manifest.get("content_hash"), "counts": pairs.manifest["counts"]},
        "checkpoint": _about(scorer, pairs),
        "plan": _under(registered),
        "realism": found.realism,
    }
    report = Evaluation.made(data)
    _write(out, report, *files)
    clock.lap("write")
    used = {"workers": workers or os.cpu_count(), "seconds": clock.laps, "cpu_seconds": dict(found.seconds)}
    used |= {"passes": {**found.passes, "failures": counted.n}}
    used["test_read"] = {k: registered["read"][k] for k in ("n", "sha256")}
    storage.write_json(storage.join(out, "evaluation_run.json"), used)
    return report


def _under(registered: dict) -> dict:
    """The plan, and whether the network was trained as it says."""
    otherwise = registered["read"]["trained_otherwise"]
    about = {"trained_as_planned": None if otherwise is None else not otherwise, "trained_otherwise": otherwise}
    return {"sha256": registered["sha256"]} | about


def _measured(found: forward.Found, scorer, pairs: Pairs, profile: Profile, survey: Callable | None, clock: Clock):
    """The sections that are made of scores, and what else is to be written: scores, completeness."""
    config = profile.evaluate
    table = pa.concat_tables([found.test, found.survey])
    refuse_unscored(pa.concat_tables([table, found.val, found.apart]))
    test, val, apart = (Scores.of(t, config, profile.seed) for t in (table, found.val, found.apart))
    data = discrimination.discrimination(test)
    clock.lap("discrimination")
    rates = discrimination.rates(test)
    clock.lap("rates")
    operating = rates["tpr_at_fpr"][-1] if rates["tpr_at_fpr"] else None
    discrimination.recall_by_stratum(test, data["strata"], operating)
    weights, share = _population_weights(pairs, test)
    prior = str(pairs.manifest.get("config", {}).get("injection", {}).get("prior", "unknown")).replace("_", " ")
    mapped = survey_yield.mapped_at(test, rates["tpr_at_fpr"])
    complete, cells, model = survey_yield.completeness(test, mapped, weights, prior)
    if share is not None and "overall_population" in complete:
        # at most: of the arcs below the floor none is counted as found
        found_of_all = complete["overall_population"].value
        complete["population_above_snr_floor"] = share
        complete["overall_population_unconditional"] = None if found_of_all is None else share * found_of_all
    clock.lap("completeness")
    data |= rates | {"completeness": complete}
    scored = Scored(test, val, apart, found, pairs, profile, rates["tpr_at_fpr"], weights)
    for name in section:
        data[name] = section[name](scored)
    data["population"]["above_snr_floor"] = share
    clock.lap("other sections")
    data["failures"] = failures.section(test, operating, pairs, scorer, survey)
    clock.lap("failures")
    return data, (table, cells, model)


def _write(out, report: Evaluation, table: pa.Table, cells: list, model) -> None:
    storage.write_table(storage.join(out, "scores.parquet"), table)
    complete = report["completeness"]
    if cells:
        about = {"content_hash": report["data"]["content_hash"], "fpr": complete["fpr"]}
        about["threshold"] = complete["threshold"]
        reason = "" if model else complete["smooth"]["reason"]
        completeness.write(storage.join(out, "completeness.parquet"), cells, model, about, reason)
    report.write(out)


def refuse_unscored(table: pa.Table) -> None:
    """Stop where a logit is not a number.

    Raises
    ------
    DhsError
        With how many there are, and of what the first one is.
    """
    logits = table["logit"].to_numpy()
    bad = np.flatnonzero(~np.isfinite(logits))
    if len(bad):
        row = {name: table[name][int(bad[0])].as_py() for name in ("kind", "pair_id", "host_id")}
        raise DhsError(
            f"the network gives NaN or infinity for {len(bad)} of {len(logits)} stamps (first: {row['kind']}, pair "
            f"{row['pair_id']}, host {row['host_id']}), so they have no rank. Its weights are not finite or overflow: "
            "take an earlier checkpoint, or train again with a smaller learning rate."
        )


def _population_weights(pairs: Pairs, test: Scores) -> tuple[np.ndarray | str, float | None]:
    """Weights of the test split's positives in the order of the scores, or why there are none.

    And the share of the population that they stand for.
    """
    table = pairs.table("test", columns=["pair_id", COLUMN, *NEEDED])
    made = survey_yield.weights_of(table[COLUMN].to_numpy())
    if isinstance(made, str):
        return made, None
    place = {i: k for k, i in enumerate(table["pair_id"].to_pylist())}
    drawn = (pairs.manifest.get("config") or {}).get("injection")
    share = None
    if drawn is not None:
        columns = {c: table[c].to_numpy() for c in NEEDED}
        share = above_floor(made.weights, columns, InjectionConfig.model_validate(drawn))
    return made.weights[[place[i] for i in test["pair_id"][test.kind("positive")]]], share


def _fit_baselines(pairs: Pairs, profile: Profile) -> dict:
    from dhs.models.baselines import fit_baselines

    return fit_baselines(pairs, profile.train) if pairs.manifest["counts"].get("train") else {}


def _proportions(negatives: pa.Table) -> dict:
    names, counts = np.unique(np.array(negatives["subkind"].to_pylist(), dtype=str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist()))


def _about(scorer, pairs: Pairs) -> dict:
    """Which checkpoint was evaluated, and whether it was trained on this very data set."""
    from dhs.models.score import IDENTITY

    state = getattr(scorer, "state", {})
    about = {k: state.get(k) for k in IDENTITY}
    trained_on = about["content_hash"]
    return about | {"same_data": None if trained_on is None else trained_on == pairs.manifest.get("content_hash")}
