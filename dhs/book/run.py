"""`Run`: the steps of one run, each done once until something it depends on changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dhs import fingerprint, storage
from dhs.config import Profile, digest, load_profile


@dataclass(frozen=True)
class Step:
    """A verb, and all that decides what it makes.

    Attributes
    ----------
    module : str
        Where the verb is; its import closure is the step's code.
    sections : tuple of str
        Sections of the profile it reads.
    upstream : tuple of str
        Steps whose artefacts it reads.
    makes : tuple of str
        Its artefacts, relative to the run's folder. Each file has one writer.
    """

    module: str
    sections: tuple[str, ...]
    upstream: tuple[str, ...]
    makes: tuple[str, ...]


STEPS = {
    "inject": Step(
        "dhs.datasets.inject",
        ("seed", "hosts", "sources", "injection", "splits"),
        (),
        ("pairs/manifest.json",),
    ),
    "preflight": Step(
        "dhs.validation.preflight.preflight",
        ("seed", "preflight", "train", "splits", "evaluate"),
        ("inject",),
        ("preflight.json", "pairs/plan.json"),
    ),
    "train": Step(
        "dhs.models.training.train",
        ("seed", "train", "evaluate"),
        ("inject",),
        ("train/history.csv", "train/config.yaml", "train/checkpoints/best.pt"),
    ),
    "evaluate": Step(
        "dhs.validation.evaluation.evaluate",
        ("seed", "evaluate", "train", "preflight"),
        ("inject", "train"),
        ("evaluation.json", "scores.parquet"),
    ),
    "real_lenses": Step(
        "dhs.validation.real_lenses.real_lenses",
        ("seed", "evaluate"),
        ("train", "evaluate"),
        ("real_lenses.json", "real_scores.parquet"),
    ),
    "signoff": Step(
        "dhs.validation.signoff.signoff",
        ("seed",),
        ("inject", "preflight", "train", "evaluate", "real_lenses"),
        ("signoff.json",),
    ),
}


class Run:
    """One run: a folder, a profile and a seed, and the verbs applied to them in order.

    Each method makes what it needs first, and returns at once when the code, configuration and files it depends on
    are those of the last time; a step whose dependencies changed is made again, in place.

    Parameters
    ----------
    path : str or Path
        The run's folder; the layout is the book's contract (``pairs/``, ``train/``, ``preflight.json`` ...).
    profile : str, Path or Profile
    seed : int, optional
        The profile's by default.
    """

    def __init__(self, path: str | Path, profile: str | Path | Profile = "demo", seed: int | None = None):
        self.path = Path(path)
        self.profile = load_profile(profile, seed=seed)

    def __repr__(self) -> str:
        done = [name for name, step in STEPS.items() if self._exist(step)]
        return f"Run({str(self.path)!r}, profile={self.profile.name!r}, seed={self.profile.seed}; done: {done})"

    def _exist(self, step: Step) -> bool:
        return all((self.path / f).exists() for f in step.makes)

    def _record(self, name: str) -> Path:
        return self.path / ".steps" / f"{name}.json"

    def depends(self, name: str) -> dict:
        """All that decides what a step makes, as hashes: its code, configuration, upstream files, data folder."""
        step, data = STEPS[name], self.profile.model_dump(mode="json")
        return {
            "code": fingerprint.code(step.module),
            "config": digest({k: data[k] for k in step.sections}),
            "upstream": {up: fingerprint.files(*(self.path / f for f in STEPS[up].makes)) for up in step.upstream},
            "data": os.environ.get("DHS_DATA_DIR") or "",
        }

    def current(self, name: str) -> bool:
        """Whether a step's artefacts are there and nothing it depends on has changed since they were made."""
        record = self._record(name)
        return self._exist(STEPS[name]) and record.exists() and storage.read_json(record) == self.depends(name)

    def _do(self, name: str, make: Callable, read: Callable):
        if self.current(name):
            return read()
        depends = self.depends(name)
        result = make()
        storage.write_json(self._record(name), depends)
        return result

    def inject(self):
        """The pairs data set; see `dhs.inject`. An unfinished one of the same dependencies is continued."""
        from dhs.datasets.inject import inject
        from dhs.datasets.reader import open_pairs

        out = self.path / "pairs"

        def make():
            begun, depends = self._record("inject-begun"), self.depends("inject")
            if out.exists() and not (begun.exists() and storage.read_json(begun) == depends):
                shutil.rmtree(out)
            storage.write_json(begun, depends)
            return inject(out, profile=self.profile, resume=True)

        return self._do("inject", make, lambda: open_pairs(out))

    def preflight(self):
        """The gates; see `dhs.preflight`."""
        from dhs.validation.preflight.preflight import PreflightReport, preflight

        self.inject()
        return self._do(
            "preflight",
            lambda: preflight(self.path / "pairs", self.path, profile=self.profile),
            lambda: PreflightReport.read(self.path / "preflight.json"),
        )

    def train(self, **overrides):
        """Train; see `dhs.train`. ``overrides`` are keys of the profile's ``train`` section, None meaning unchanged.
        An interrupted training of the same dependencies goes on where it stopped.

        What was trained stays the run's checkpoint, whatever the profile says, until ``train`` is called again.
        """
        from dhs.models.training.train import TrainResult, train

        self.inject()
        run = Run(self.path, self.profile.replace(**{f"train__{k}": v for k, v in overrides.items()}))
        out = self.path / "train"

        def make():
            begun, depends = run._record("train-begun"), run.depends("train")
            same = begun.exists() and storage.read_json(begun) == depends
            storage.write_json(begun, depends)
            return train(self.path / "pairs", out, profile=run.profile, resume=same, overwrite=not same)

        return run._do("train", make, lambda: TrainResult.read(out))

    @property
    def checkpoint(self) -> Path:
        return self.path / "train" / "checkpoints" / "best.pt"

    def evaluate(self):
        """Scores and metrics of the test split; see `dhs.evaluate`."""
        from dhs.validation.evaluation.evaluate import Evaluation, evaluate

        self.preflight()  # registers the plan without which the test split is not read
        if not self._exist(STEPS["train"]):
            self.train()
        return self._do(
            "evaluate",
            lambda: evaluate(self.path / "pairs", self.checkpoint, self.path, profile=self.profile),
            lambda: Evaluation.read(self.path),
        )

    def completeness(self):
        """The smooth completeness of the evaluation, or why there is none."""
        from dhs.errors import DhsError
        from dhs.validation.evaluation.completeness import CompletenessMap

        try:
            return CompletenessMap.read(self.path / "completeness.parquet")
        except DhsError as error:
            return str(error).partition(": ")[2] or str(error)

    def published_grid(self) -> dict | None:
        """The published completeness grid under ``DHS_DATA_DIR``, through our functions; None where it is not."""
        from dhs.book.studies.published_grid import published_grid

        root = os.environ.get("DHS_DATA_DIR")
        path = storage.join(root, "published/completeness_grid.csv") if root else None
        return published_grid(path) if path and storage.exists(path) else None

    def real_lenses(self):
        """Scores of real lenses; see `dhs.real_lenses`."""
        from dhs.validation.real_lenses.real_lenses import RealLenses, real_lenses

        self.evaluate()
        return self._do(
            "real_lenses",
            lambda: real_lenses(self.checkpoint, self.path, profile=self.profile),
            lambda: RealLenses.read(self.path),
        )

    def signoff(self):
        """GO, CONDITIONAL-GO or NO-GO; see `dhs.signoff`."""
        from dhs.validation.signoff.signoff import SignOff, signoff

        self.preflight()
        self.real_lenses()
        return self._do("signoff", lambda: signoff(self.path), lambda: SignOff.read(self.path / "signoff.json"))
