"""Runs that die, go on, meet other settings, other files and each other: what must be there whatever the order."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import dhs
from dhs import storage
from dhs.config import load_profile
from dhs.datasets import preregistration
from dhs.errors import DhsError
from dhs.owner import owned
from dhs.validation.candidates.candidates import score

SETTINGS = {
    "hosts__n_mock": 8,
    "sources__spec": "mock",
    "injection__n_pairs": 8,
    "injection__pairs_per_part": 2,
    "injection__supersampling": 1,
    "injection__prior": "response_grid",
    "splits__train": 0.4,
    "splits__val": 0.3,
    "splits__test": 0.3,
}


class Died(BaseException):
    """The process ends here, as by SIGKILL: nothing is tidied up by the program itself."""


class Flux:
    """A network of one line."""

    state = None

    def logits(self, stamps, **options):
        return np.asarray(stamps)[:, 1].sum(axis=(1, 2)).astype(np.float32)


def profile(seed):
    return load_profile("smoke", seed=seed, **SETTINGS)


def content(folder) -> dict[str, bytes]:
    """All files but the records of a run, which say when it was made, and locks."""
    paths = [p for p in Path(folder).rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def data(folder) -> dict[str, bytes]:
    return {n: d for n, d in content(folder).items() if n.endswith(".parquet")}


@cache
def whole(seed) -> tuple[dict[str, bytes], dict]:
    """The uninterrupted data set of a seed: its files and its manifest."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = dhs.inject(f"{folder}/a", profile=profile(seed), engine="serial")
        return data(f"{folder}/a"), pairs.manifest


class Folder(RuleBasedStateMachine):
    """One output folder, and everybody who comes by."""

    @initialize()
    def empty(self):
        self.base = Path(tempfile.mkdtemp())
        self.out = self.base / "out"
        self.begun, self.finished, self.damaged, self.foreign = None, False, False, False

    def teardown(self):
        shutil.rmtree(self.base, ignore_errors=True)

    def _inject(self, seed, resume):
        return dhs.inject(self.out, profile=profile(seed), engine="serial", resume=resume)

    def _refused(self, act):
        before = content(self.base)
        with pytest.raises(DhsError) as error:
            act()
        assert content(self.base) == before, "a refusal changes nothing"
        return str(error.value)

    def _may(self, seed, resume) -> bool:
        return (self.begun is None and not self.foreign) or (self.begun == seed and resume)

    @rule(seed=st.sampled_from([1, 2]), resume=st.booleans())
    def inject(self, seed, resume):
        if not self._may(seed, resume):
            said = self._refused(lambda: self._inject(seed, resume))
            assert "Choose another --out" in said or "Add --resume" in said or "Choose an empty folder" in said
            return
        as_it_was = self.finished and self.damaged
        pairs = self._inject(seed, resume)
        files, manifest = whole(seed)
        assert pairs.manifest == manifest
        if not as_it_was:  # a finished one is returned as it is; that a part was lost is for the gates to say
            assert data(self.out) == files
            self.damaged = False
        self.begun, self.finished = seed, True

    @rule(seed=st.sampled_from([1, 2]), resume=st.booleans(), writes=st.integers(0, 12), half=st.booleans())
    def die(self, seed, resume, writes, half):
        """Killed at the n-th write, before it or after it."""
        if not self._may(seed, resume) or self.finished:
            return
        real, left = storage.write_bytes, [writes]

        def write(path, content):
            if not left[0]:
                if half:
                    real(path, content)
                raise Died
            left[0] -= 1
            real(path, content)

        with mock.patch.object(storage, "write_bytes", write):
            try:
                self._inject(seed, resume)
            except Died:
                pass
        if (self.out / "run.json").exists():
            self.begun = seed
        self.finished = (self.out / "manifest.json").exists()
        if self.finished:
            assert data(self.out) == whole(seed)[0]

    @precondition(lambda self: self.begun)
    @rule(which=st.integers(0, 10**6), whole_file=st.booleans())
    def lose_a_part(self, which, whole_file):
        parts = sorted(self.out.rglob("part-*.parquet"))
        if parts:
            path = parts[which % len(parts)]
            path.unlink() if whole_file else path.write_bytes(path.read_bytes()[:-50])
            self.damaged = True

    @precondition(lambda self: self.finished)
    @rule()
    def lose_the_manifest(self):
        (self.out / "manifest.json").unlink()
        self.finished = False

    @precondition(lambda self: self.begun is None and not self.foreign)
    @rule()
    def something_else_lies_there(self):
        self.out.mkdir(exist_ok=True)
        (self.out / "thesis.tex").write_text("precious")
        self.foreign = True

    @rule(seed=st.sampled_from([1, 2]))
    def another_is_at_work(self, seed):
        self.out.mkdir(exist_ok=True)
        with owned(self.out, "inject"):
            assert "inject is at work there" in self._refused(lambda: self._inject(seed, True))

    @precondition(lambda self: self.finished and not self.damaged)
    @rule(other=st.booleans())
    def plan_and_score(self, other):
        """The same candidates however often the scoring was asked for; the data set is left as it is."""
        before = data(self.out)
        pairs = dhs.open_pairs(self.out)
        preregistration.register(pairs, profile(self.begun))
        name = self.base / f"candidates-{self.begun}-{other}.parquet"
        table = score("", name, data_path=self.out, scorer=Flux(), known="none", engine="serial", sheet=2)
        again = score("", name, data_path=self.out, scorer=Flux(), known="none", engine="serial", sheet=2)
        assert table.equals(again) and table.num_rows > 0 and data(self.out) == before

    @invariant()
    def what_is_there_is_whole(self):
        if self.foreign:
            assert (self.out / "thesis.tex").read_text() == "precious"
        if self.begun and not self.damaged:
            files = whole(self.begun)[0]
            found = data(self.out)
            parts = {n: d for n, d in found.items() if "part-" in n}
            assert parts.items() <= files.items(), "a part that is there is that of the whole run"
        assert self.finished == ((self.out / "manifest.json").exists())
        if self.finished:
            assert dhs.open_pairs(self.out).manifest == whole(self.begun)[1]


COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "print_blob": True}


def test_a_few_histories():
    run_state_machine_as_test(Folder, settings=settings(max_examples=6, stateful_step_count=8, **COMMON))


@pytest.mark.slow
def test_many_histories():
    run_state_machine_as_test(Folder, settings=settings(max_examples=60, stateful_step_count=25, **COMMON))
