"""The whole road once, and what is not walked twice."""

import json
import os

import pytest

from dhs.book.run import STEPS, Run


def mtimes(run):
    return {f: os.stat(run.path / f).st_mtime_ns for step in STEPS.values() for f in step.makes}


def test_every_artefact_of_the_contract_is_there(run):
    assert all((run.path / f).exists() for step in STEPS.values() for f in step.makes)
    gates = json.loads((run.path / "preflight.json").read_text())["gates"]
    fields = {"name", "status", "blocking", "value", "ci_low", "ci_high", "threshold", "n", "n_hosts", "n_sources"}
    assert all(fields | {"explanation", "remedy", "figure"} <= set(g) for g in gates)
    signoff = json.loads((run.path / "signoff.json").read_text())
    assert signoff["decision"] in ("CONDITIONAL-GO", "NO-GO"), "mock hosts cap the decision"
    assert {"blockers", "conditions", "recommended_changes", "priority_order"} <= set(signoff)


def test_a_second_call_makes_nothing_again(run):
    before = mtimes(run)
    again = Run(run.path, run.profile)
    again.signoff()
    assert mtimes(again) == before


def test_a_changed_setting_remakes_exactly_what_depends_on_it(run):
    changed = Run(run.path, run.profile.replace(preflight__sample_n=7))
    assert [name for name in STEPS if not changed.current(name)] == ["preflight", "evaluate"]  # by its plan
    changed = Run(run.path, run.profile.replace(evaluate__prevalence=2e-4))
    assert set(name for name in STEPS if not changed.current(name)) <= {"preflight", "train", "evaluate", "real_lenses"}
    assert not Run(run.path, run.profile, seed=1).current("inject")


@pytest.mark.parametrize("name", ["inject", "preflight", "train", "evaluate", "real_lenses", "signoff"])
def test_what_a_step_returns_prints_as_a_table_or_picture(run, name):
    result = getattr(run, name)()
    assert "<" in result._repr_html_()


def test_training_is_read_back_as_it_was(run):
    from dhs.models.train import TrainResult

    result = run.train()
    assert isinstance(result, TrainResult) and len(result.history) == run.profile.train.epochs
    assert result.best == str(run.checkpoint) and os.path.exists(result.last)
