"""`Run`: the steps of one run, each done once until something it depends on changes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dhs import fingerprint, storage
from dhs.artefacts.training import read_settings
from dhs.config import Profile, digest, load_profile
from dhs.errors import DhsError

log = logging.getLogger(__name__)


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
    also : tuple of str
        Files it writes beside them, or may write.
    data : tuple of str
        Folders under ``DHS_DATA_DIR`` that it may read.
    """

    module: str
    sections: tuple[str, ...]
    upstream: tuple[str, ...]
    makes: tuple[str, ...]
    also: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


STEPS = {
    "inject": Step(
        "dhs.datasets.inject",
        ("seed", "hosts", "sources", "injection", "splits"),
        (),
        ("pairs/manifest.json",),
        data=("sources", "hosts", "catalogues"),
    ),
    "preflight": Step(
        "dhs.validation.preflight.preflight",
        ("seed", "preflight", "train", "splits", "evaluate"),
        ("inject",),
        ("preflight.json", "pairs/plan.json"),
        data=("sources",),
    ),
    "train": Step(
        "dhs.models.training.train",
        ("seed", "train", "evaluate"),
        ("inject",),
        ("train/history.csv", "train/config.yaml", "train/checkpoints/best.pt"),
        ("train/checkpoints/last.pt", "train/checkpoints/diverged.pt"),
        data=("sources", "nonlenses"),
    ),
    "evaluate": Step(
        "dhs.validation.evaluation.evaluate",
        ("seed", "evaluate", "train", "preflight"),
        ("inject", "train"),
        ("evaluation.json", "scores.parquet"),
        ("completeness.parquet", "evaluation_run.json"),
        data=("sources", "hosts", "lenses"),
    ),
    "real_lenses": Step(
        "dhs.validation.real_lenses.real_lenses",
        ("seed", "evaluate"),
        ("train", "evaluate"),
        ("real_lenses.json", "real_scores.parquet"),
        data=("hosts", "lenses", "nonlenses", "catalogues"),
    ),
    "signoff": Step(
        "dhs.validation.signoff.signoff",
        ("seed",),
        ("inject", "preflight", "train", "evaluate", "real_lenses"),
        ("signoff.json",),
    ),
}
AMENDED = ("pairs/plan.json",)  # its writer keeps what was there, as an amendment


class Run:
    """One run: a folder, a profile and a seed, and the verbs applied to them in order.

    Each method makes what it needs first, and returns at once when the code, configuration and files it depends on
    are those of the last time; a step whose dependencies changed is made again, in place.

    ``.steps/`` records what each step made. Files in its place that are not on record (those of ``dhs inject``,
    ``dhs train`` ... called by hand, or changed since) are never replaced: whole results are used as they are, with a
    warning; anything else is refused.

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

    def _recorded(self, name: str) -> dict:
        record = self._record(name)
        return storage.read_json(record) if record.exists() else {}

    def _hashes(self, step: Step) -> dict[str, str]:
        """SHA-256 of the files of a step that are there."""
        return {f: fingerprint.files(p) for f in (*step.makes, *step.also) if os.path.lexists(p := self.path / f)}

    def _unrecorded(self, name: str) -> list[str]:
        """Files in a step's place that it did not make, or that were changed since."""
        record, step = self._recorded(name), STEPS[name]
        if record and not record.get("adopted") and "made" not in record:
            return []  # made by an earlier version, which kept no hashes
        begun = self._begun(name)
        if begun:  # a step that was interrupted; but a data set with a manifest is never one that was only begun
            other = name == "inject" and begun != self.depends(name)
            return [f for f in step.makes if other and (self.path / f).exists()]
        made = record.get("made", {})
        return [f for f, h in self._hashes(step).items() if f not in AMENDED and made.get(f) != h]

    def _foreign(self, name: str) -> list[str]:
        """Files in a step's place that are another hand's, on record or not."""
        adopted = self._recorded(name).get("adopted")
        return self._unrecorded(name) or [f for f in self._hashes(STEPS[name]) if adopted and f not in AMENDED]

    def depends(self, name: str) -> dict:
        """All that decides what a step makes, as hashes: its code, configuration, upstream files, data folder."""
        step, data = STEPS[name], self.profile.model_dump(mode="json")
        return {
            "code": fingerprint.code(step.module),
            "config": digest({k: data[k] for k in step.sections}),
            "upstream": {up: fingerprint.files(*(self.path / f for f in STEPS[up].makes)) for up in step.upstream},
            "data": fingerprint.data(storage.data_file() or "", step.data),
        }

    def current(self, name: str) -> bool:
        """Whether a step's artefacts are there and nothing it depends on has changed since they were made."""
        step, record = STEPS[name], self._recorded(name)
        if not record or not self._exist(step) or self._unrecorded(name):
            return False
        depends = self.depends(name)
        keys = ("upstream",) if record.get("adopted") else depends
        return all(record.get(k) == depends[k] for k in keys)

    def _do(self, name: str, make: Callable, read: Callable, differs: Callable[[], str] = str, prepare=None):
        """The result of a step: as it is, from files by another hand, or made now.

        ``make(same)`` is told whether the step was begun before from the same dependencies; ``differs()`` says why
        files by another hand can't serve, or nothing; ``prepare(begun, same)`` clears the place, or refuses.
        """
        if self.current(name):
            if self._recorded(name).get("adopted"):
                self._say_adopted(name)
            return read()
        if self._foreign(name):
            return self._adopt(name, read, differs)
        depends, begun = self.depends(name), self._begun(name)
        same = begun == depends
        if prepare:
            prepare(begun, same)
        storage.write_json(self._record(f"{name}-begun"), depends)
        result = make(same)
        storage.write_json(self._record(name), depends | {"made": self._hashes(STEPS[name])})
        self._record(f"{name}-begun").unlink()
        return result

    def _begun(self, name: str) -> dict:
        """What a step depended on when it began, if it never ended."""
        begun = self._record(f"{name}-begun")
        return storage.read_json(begun) if begun.exists() else {}

    def _say_adopted(self, name: str) -> None:
        files = ", ".join(str(self.path / f) for f in STEPS[name].makes if f not in AMENDED)
        log.warning("%s: not made by this run, used as it is; this run's settings of %r do not apply.", files, name)

    def _adopt(self, name: str, read: Callable, differs: Callable[[], str]):
        """Use what another hand made, or refuse; change nothing."""
        step, files = STEPS[name], ", ".join(str(self.path / f) for f in self._foreign(name))
        missing = [f for f in step.makes if not (self.path / f).exists()]
        if missing:
            why = f"{', '.join(missing)} is missing beside it"
        elif not self._unrecorded(name):
            why = "what it was made from has changed since"
        else:
            why = differs()
        if why:
            raise DhsError(
                f"{files}: not made by this run, so not replaced, and it can't be used: {why}. Move it away, or choose "
                "another run_dir; nothing was changed."
            )
        result = read()
        record = {"adopted": True, "upstream": self.depends(name)["upstream"], "made": self._hashes(step)}
        storage.write_json(self._record(name), record)
        self._say_adopted(name)
        return result

    def _other_data(self, file: str) -> str:
        """Whether an artefact is of another data set than the run's pairs, in words."""
        theirs = storage.read_json(self.path / file).get("data", {}).get("content_hash")
        mine = storage.read_json(self.path / "pairs/manifest.json")["content_hash"]
        return "" if theirs == mine else "it was made for another data set"

    def inject(self):
        """The pairs data set; see `dhs.inject`. An unfinished one of the same dependencies is continued."""
        from dhs.datasets import resume
        from dhs.datasets.inject import inject
        from dhs.datasets.reader import open_pairs

        out = self.path / "pairs"

        def prepare(begun: dict, same: bool):
            record = self._recorded("inject")
            owner = begun or ({} if record.get("adopted") else record)
            if same or not os.path.lexists(out) or {k: owner.get(k) for k in now} == now:
                return
            if not owner or resume.identity_of(out) not in (owner["config"], None):
                raise DhsError(
                    f"{out}: this run did not begin what lies there, and it is no finished data set, so it is left as "
                    "it is. Finish it with `dhs inject --resume`, move it away, or choose another run_dir."
                )
            resume.clear(out)

        now = self.depends("inject")
        return self._do(
            "inject",
            lambda same: inject(out, profile=self.profile, resume=True),
            lambda: open_pairs(out),
            prepare=prepare,
        )

    def preflight(self):
        """The gates; see `dhs.preflight`."""
        from dhs.validation.preflight.preflight import PreflightReport, preflight

        self.inject()
        return self._do(
            "preflight",
            lambda _: preflight(self.path / "pairs", self.path, profile=self.profile),
            lambda: PreflightReport.read(self.path / "preflight.json"),
            lambda: self._other_data("preflight.json"),
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

        def make(same: bool):
            return train(self.path / "pairs", out, profile=run.profile, resume=same, overwrite=not same)

        def differs() -> str:
            """Which settings of a training by another hand are not those asked for."""
            theirs = read_settings(out).profile
            mine = run.profile.model_dump(mode="json")
            keys = [k for k, v in mine["train"].items() if theirs.get("train", {}).get(k) != v]
            keys = [k for k in keys if not k.startswith("wandb_")] + ["seed"] * (theirs.get("seed") != mine["seed"])
            return f"it was trained with other {', '.join(keys)} than are asked for" if keys else ""

        return run._do("train", make, lambda: TrainResult.read(out), differs)

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
            lambda _: evaluate(self.path / "pairs", self.checkpoint, self.path, profile=self.profile),
            lambda: Evaluation.read(self.path),
            lambda: self._other_data("evaluation.json"),
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

        path = storage.data_file("published", "completeness_grid.csv")
        return published_grid(path) if path else None

    def real_lenses(self):
        """Scores of real lenses; see `dhs.real_lenses`."""
        from dhs.validation.real_lenses.real_lenses import RealLenses, real_lenses

        self.evaluate()
        return self._do(
            "real_lenses",
            lambda _: real_lenses(self.checkpoint, self.path, profile=self.profile),
            lambda: RealLenses.read(self.path),
        )

    def signoff(self):
        """GO, CONDITIONAL-GO or NO-GO; see `dhs.signoff`."""
        from dhs.validation.signoff.signoff import SignOff, signoff

        self.preflight()
        self.real_lenses()
        return self._do("signoff", lambda _: signoff(self.path), lambda: SignOff.read(self.path / "signoff.json"))
