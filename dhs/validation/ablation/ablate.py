"""``dhs ablate``: which ingredients of the training matter, as paired differences on one test set.

A plan lists variants of the training configuration. Each is trained with several seeds for the same number of epochs,
and scored after its last one on the same test split of the same data set. A difference is taken stamp by stamp: both
networks see the same hosts and arcs, so the cluster bootstrap draws them together, and what the test set's chance does
to both cancels. How much a training's own chance does is shown by its seeds.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import yaml
from pydantic import Field, ValidationError, model_validator
from tqdm.auto import tqdm

from dhs import storage
from dhs.artefacts.training import read_history
from dhs.config import Profile, Section, TrainConfig, digest, load_profile
from dhs.datasets import preregistration, survey_negatives
from dhs.datasets.reader import Pairs, configuration, open_pairs
from dhs.errors import DhsError, UsageError
from dhs.models import checkpoints
from dhs.models.baselines import fit_baselines
from dhs.models.decode import refuse_candidates
from dhs.models.networks.registry import network
from dhs.models.score import Scorer
from dhs.models.training.train import train
from dhs.owner import alone
from dhs.validation.ablation.compare import compare, scores_of

TABLE = "ablation.parquet"


class Variant(Section):
    """One change to the reference."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    question: str
    train: dict = Field({})
    inject: dict = Field({}, description="changes to the data set's own configuration: trained on such a set instead")
    against: str | None = Field(None, description="variant it is compared with; the first one by default")
    seeds: tuple[int, ...] | None = None
    needs_weights: bool = Field(False, description="left out where no pretrained weights are in the torch cache")


class Plan(Section):
    """The variants, and what they have in common."""

    n_survey_negatives: int = Field(2000, ge=0)
    seeds: tuple[int, ...] = (1, 2)
    train: dict = Field({})
    variants: tuple[Variant, ...]

    @model_validator(mode="after")
    def _consistent(self):
        names = [v.name for v in self.variants]
        if len(set(names)) < len(names) or not names:
            raise ValueError("variants need names, each its own")
        if self.variants[0].needs_weights or self.variants[0].inject:
            raise ValueError("the first variant is the reference: it needs neither weights nor data of its own")
        for i, variant in enumerate(self.variants):
            if variant.against not in (None, *names[:i]):
                raise ValueError(
                    f"variant {variant.name!r} is against {variant.against!r}, which is not listed before it"
                )
        return self


def load_plan(plan: str | Path) -> Plan:
    """Read a plan by name (``default``, ``full``, ``smoke``) or from a YAML file.

    A plan with ``extends: NAME`` is that plan with its own keys in place of the other's, and its variants after them.

    Raises
    ------
    UsageError
        Unknown plan, bad YAML, unknown key.
    """
    own = Path(__file__).parent / f"{plan}.yaml"
    path = own if own.is_file() else plan
    if not (Path(path).is_file() or "://" in str(path)):
        raise UsageError(
            f"no plan {str(plan)!r}: choose default, full or smoke, or give a YAML file that lists variants"
        )
    try:
        data = yaml.safe_load(storage.read_bytes(path))
        if isinstance(data, dict) and "extends" in data:
            base = load_plan(data.pop("extends")).model_dump(mode="json")
            data = base | data | {"variants": [*base["variants"], *(data.get("variants") or [])]}
        return Plan.model_validate(data)
    except (yaml.YAMLError, ValidationError) as error:
        raise UsageError(f"{path}: {error}") from None


@dataclass(frozen=True)
class Ablation:
    """What ``ablation.parquet`` holds.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each variant and metric: ``variant, against, question, status, reason, metric, value`` (mean over
        seeds), ``value_by_seed, difference, ci_low, ci_high, difference_by_seed, n, n_hosts, n_sources, flags,
        minutes``. The interval is of the test set's chance alone, 95 %, for each difference by itself.
    """

    table: pd.DataFrame

    @classmethod
    def read(cls, folder: str | Path) -> Ablation:
        """What `ablate` wrote to a folder."""
        return cls(storage.read_table(storage.join(folder, TABLE)).to_pandas())

    @classmethod
    def find(cls, folder: str | Path, content_hash: str) -> Ablation | None:
        """What `ablate` wrote to a folder for the data set of this hash; None where there is nothing."""
        path = storage.join(folder, TABLE)
        if not storage.exists(path):
            return None
        table = storage.read_table(path)
        same = (table.schema.metadata or {}).get(b"dhs_content_hash") == content_hash.encode()
        return cls(table.to_pandas()) if same else None

    def lines(self) -> Iterator[str]:
        """One line a variant: AUROC, difference, seeds."""
        for variant, rows in self.table.groupby("variant", sort=False):
            row = rows.iloc[0]
            if row["status"] == "skip":
                yield f"{variant}: skipped, {row['reason']}"
                continue
            text = f"{variant}: AUROC {row['value']:.3f}"
            if np.isfinite(row["difference"]):
                interval = "no interval"
                if np.isfinite(row["ci_low"]):
                    interval = f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
                seeds = ", ".join(f"{d:+.3f}" for d in row["difference_by_seed"])
                text += f"; against {row['against']} {row['difference']:+.3f} ({interval}; by seed {seeds})"
            yield text + (f"; {row['minutes']:.1f} min a run" if np.isfinite(row["minutes"]) else "")

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in self.lines()) + "</ul>"


def _obstacle(pairs: Pairs, variant: Variant) -> str:
    """Why a variant can't be run on this data set, or nothing."""
    if variant.needs_weights and network[variant.train.get("arch", "resnet18")].cached_weights() is None:
        folder = os.path.join(torch.hub.get_dir(), "checkpoints").replace(os.path.expanduser("~"), "~")
        return f"no pretrained weights in {folder}"
    if variant.inject and "config" not in pairs.manifest:
        return "the data set is in the earlier format, which does not say how it was injected"
    negatives = pairs.dataset("train", negatives=True)
    if "hard_negative_ratio" in variant.train and (negatives is None or not negatives.count_rows()):
        return "the data set has no hard negatives"
    return ""


def _data(pairs: Pairs, variant: Variant, out: str) -> Pairs:
    """The data set a variant is trained on, made first where it is its own."""
    if not variant.inject:
        return pairs
    from dhs.datasets.inject import inject

    config = configuration(pairs.manifest, pairs.path).replace(**variant.inject)
    return inject(storage.join(out, "data", variant.name), profile=config, resume=True)


def _run(data: Pairs, test: Pairs, profile: Profile, folder: str, negatives: dict | None) -> tuple[pd.DataFrame, float]:
    """Train and score one variant with one seed, or read what an earlier call left; scores and minutes."""
    scores, final = storage.join(folder, "scores.parquet"), storage.join(folder, "checkpoints", "final.pt")
    key = digest(
        [
            profile.train.model_dump(mode="json"),
            profile.seed,
            data.manifest["content_hash"],
            test.manifest["content_hash"],
        ]
    )
    if storage.exists(scores):
        table = storage.read_table(scores)
        if (table.schema.metadata or {}).get(b"dhs_run") != key.encode():
            raise DhsError(f"{folder}: holds another run (plan, profile or data changed). Choose another --out.")
    else:
        result = train(data, folder, profile=profile, resume=True)
        state = checkpoints.load(result.last)
        checkpoints.save(final, {k: v for k, v in state.items() if k not in ("optimizer", "schedule", "progress")})
        table = scores_of(Scorer(final), test, negatives, profile.evaluate.core_radius_px)
        storage.write_table(scores, table.replace_schema_metadata({"dhs_run": key}))
        for path in (result.last, result.best):  # a finished run needs no optimiser state
            fs, inner = storage.resolve(path)
            fs.delete_file(inner)
    return table.to_pandas(), float(read_history(folder)["seconds"].sum() / 60)


@alone("ablate", "out")
def ablate(
    data_path: str | Path,
    out: str | Path,
    *,
    plan: str | Path = "default",
    profile: str | Path | Profile = "demo",
) -> Ablation:
    """Train the variants of a plan and compare them pair by pair on the test split of one data set.

    What is finished is not run again, so an interrupted plan goes on where it stopped. The table is written anew
    after every variant. The two baselines without a network (radial profile; core only) are rows of it as well.

    Parameters
    ----------
    data_path : str or Path
        A pairs data set.
    out : str or Path
        Folder for ``ablation.parquet``, and ``runs/<variant>/seed-<n>/`` with history, scores and last weights.
    plan : str or Path
        ``default``, ``full`` (the default and the smaller corrections), ``smoke``, or a YAML file as `Plan`.
    profile : str, Path or Profile
        Its ``train`` section with the plan's changes is the reference; its ``evaluate`` section holds bins, core
        radius and bootstrap draws.

    Returns
    -------
    Ablation

    Raises
    ------
    UsageError
        A plan that can't be read, or with options that do not exist.
    DhsError
        An empty test split, lens candidates among the hosts, or runs of another plan in ``out``.
    """
    plan, profile, out = load_plan(plan), load_profile(profile), str(out).rstrip("/")
    pairs = open_pairs(data_path)
    if not pairs.manifest["counts"].get("test"):
        raise DhsError(f"{data_path}: the test split is empty. Make more pairs, or give splits.test a larger share.")
    refuse_candidates(pairs, ("test",))
    data_hash = pairs.manifest["content_hash"]
    seeds = list(dict.fromkeys(s for v in plan.variants for s in v.seeds or plan.seeds))
    todo = [(v, s) for s in seeds for v in plan.variants if s in (v.seeds or plan.seeds)]  # all variants, seed by seed
    negatives = None
    if plan.n_survey_negatives:
        maker = survey_negatives.Maker(pairs.path, profile.evaluate.survey_negatives)
        n = maker.shares(plan.n_survey_negatives, 0)[0]
        if maker.mock:
            survey_negatives.ensure(pairs.path, profile.seed, n)
        negatives = survey_negatives.looked_at(maker, profile.seed, n)
    scores: dict[str, dict[int, pd.DataFrame]] = {v.name: {} for v in plan.variants}
    minutes: dict[str, list[float]] = {v.name: [] for v in plan.variants}
    rows: dict[str, list[dict]] = {v.name: [] for v in plan.variants}
    for variant, seed in tqdm(todo, desc="ablate", unit="run", disable=None):
        name = variant.name
        about = {"variant": name, "against": "", "question": variant.question, "status": "done", "reason": ""}
        if reason := _obstacle(pairs, variant):
            rows[name] = [about | {"status": "skip", "reason": reason, "metric": "auroc"}]
            continue
        config = profile.replace(seed=seed, **{f"train__{k}": x for k, x in (plan.train | variant.train).items()})
        folder = storage.join(out, "runs", name, f"seed-{seed}")
        scores[name][seed], spent = _run(_data(pairs, variant, out), pairs, config, folder, negatives)
        minutes[name].append(spent)
        _note(pairs, f"ablation {name}, seed {seed}", config)
        against = variant.against or plan.variants[0].name
        common = [s for s in scores[name] if s in scores[against]] if against != name else []
        mine, theirs = [scores[name][s] for s in common or scores[name]], [scores[against][s] for s in common]
        about |= {"against": against if common else "", "minutes": float(np.mean(minutes[name]))}
        rows[name] = [about | row for row in compare(mine, theirs, profile.evaluate, profile.seed)]
        _write(out, [row for found in rows.values() for row in found], data_hash)
    every = [row for found in rows.values() for row in found]
    return _write(out, every + _baseline_rows(pairs, profile, plan, scores, negatives), data_hash)


def _note(pairs: Pairs, what: str, config: Profile) -> None:
    """One reading of the test split for the log, once however often the ablation goes on."""
    if what not in {r["what"] for r in preregistration.Log.of(pairs).reads}:
        network = SimpleNamespace(
            state={"network": digest({"what": what, "train": config.train.model_dump(mode="json")})},
            config=config.train,
        )
        preregistration.note(pairs, what, network, preregistration.read(pairs))


def _baseline_rows(pairs: Pairs, profile: Profile, plan: Plan, scores: dict, negatives: dict | None) -> list[dict]:
    """The baselines without a network, against every seed of the reference."""
    config = TrainConfig.model_validate(profile.train.model_dump() | plan.train)
    name = plan.variants[0].name
    rows = []
    for baseline, model in fit_baselines(pairs, config).items():
        about = {"variant": baseline, "against": name, "status": "done", "reason": "", "minutes": np.nan}
        about["question"] = "What does a logistic regression without an image of the arc reach?"
        found = scores_of(model, pairs, negatives, profile.evaluate.core_radius_px).to_pandas()
        rows += [about | row for row in compare([found], list(scores[name].values()), profile.evaluate, profile.seed)]
    return rows


def _write(out: str, rows: list[dict], content_hash: str) -> Ablation:
    columns = ("variant", "against", "question", "status", "reason", "metric", "value", "value_by_seed", "difference")
    columns += ("ci_low", "ci_high", "difference_by_seed", "n", "n_hosts", "n_sources", "flags", "minutes")
    missing = {"value_by_seed": [], "difference_by_seed": [], "flags": [], "n": 0, "n_hosts": 0, "n_sources": 0}
    filled = [{c: row.get(c, missing.get(c, np.nan)) for c in columns} for row in rows]
    types = {"value_by_seed": pa.list_(pa.float64()), "difference_by_seed": pa.list_(pa.float64())}
    types |= {"flags": pa.list_(pa.string())}
    arrays = {c: pa.array([row[c] for row in filled], types.get(c)) for c in columns}
    table = pa.table(arrays).replace_schema_metadata({"dhs_content_hash": content_hash})
    storage.write_table(storage.join(out, TABLE), table)
    return Ablation.read(out)
