"""Artefacts are read by the models that wrote them, and one of another version says so in one line."""

import html
import json
from pathlib import Path

import numpy as np
import pytest

from dhs.artefacts.evaluation import Evaluation
from dhs.artefacts.manifest import Manifest
from dhs.artefacts.parts import Metric, absent
from dhs.artefacts.preflight import Preflight
from dhs.artefacts.real_lenses import RealLenses
from dhs.artefacts.report import VERSION, Report, checked, jsonable
from dhs.artefacts.signoff import SignOffContent
from dhs.artefacts.training import read_history, read_settings, write_history, write_settings
from dhs.errors import DhsError
from dhs.stats.clusters import Metric as Measured
from dhs.validation.preflight.gate import PreflightReport
from dhs.validation.signoff.signoff import SignOff

SMOKE = Path(__file__).parent / "figures" / "smoke_run"
MODELS = {"manifest": Manifest, "preflight": Preflight, "signoff": SignOffContent}
READERS = {"evaluation": Evaluation, "real_lenses": RealLenses, "preflight": PreflightReport, "signoff": SignOff}


@pytest.mark.parametrize("name", MODELS)
def test_models_lose_nothing_of_a_stored_file(name):
    data = json.loads((SMOKE / f"{name}.json").read_text())
    dumped = MODELS[name].model_validate(data).model_dump(mode="json", exclude_unset=True)
    assert dumped == data


@pytest.mark.parametrize("report", [Evaluation, RealLenses])
def test_reports_read_like_a_dict_and_typed(report, tmp_path):
    found = report.read(SMOKE)
    data = json.loads((SMOKE / report.file).read_text())
    assert dict(found) == data and len(found) == len(data)
    content = getattr(found.content, "root", found.content)
    point = (content.recall_at_fpr if report is RealLenses else content.tpr_at_fpr)[-1]
    key = "recall_at_fpr" if report is RealLenses else "tpr_at_fpr"
    assert point.fpr == data[key][-1]["fpr"] == point["fpr"] and point.get("absent") is None
    found.write(tmp_path)
    assert json.loads((tmp_path / report.file).read_text()) == data
    name, text = list(found.lines())[-1]
    assert f"{name}: {text}" in str(found) and html.escape(text) in found._repr_html_()


@pytest.mark.parametrize("name", READERS)
def test_an_artefact_of_another_version_is_refused_in_one_line(name, tmp_path):
    data = json.loads((SMOKE / f"{name}.json").read_text()) | {VERSION: 7}
    (tmp_path / f"{name}.json").write_text(json.dumps(data))
    with pytest.raises(DhsError, match=rf"{name}.json: {VERSION} 7, this dhs reads 1.*[Rr]un the step") as caught:
        READERS[name].read(tmp_path / f"{name}.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("preflight", "gates.0.status", "gates.0.status"),
        ("preflight", "decision", "decision"),
        ("manifest", "hosts.mock", "hosts.mock"),
        ("signoff", "blockers", "blockers"),
    ],
)
def test_a_key_that_others_rely_on_is_missed_by_name(name, path, said):
    data = json.loads((SMOKE / f"{name}.json").read_text())
    holder, (*head, last) = data, path.split(".")
    for part in head:
        holder = holder[int(part) if part.isdigit() else part]
    del holder[last]
    with pytest.raises(DhsError, match=rf"^{name}.json: {said}: field required"):
        checked(MODELS[name], data, f"{name}.json")


def test_a_report_is_checked_before_it_is_written_and_keeps_what_it_does_not_know():
    with pytest.raises(DhsError, match=r"evaluation.json: auroc.*value"):
        Evaluation.made({"auroc": {"n": 3}})
    made = Evaluation.made({"auroc": Measured(np.float64(0.5), None, np.nan, 3), "of_a_plugin": {"x": np.arange(2)}})
    assert made["of_a_plugin"] == {"x": [0, 1]} and made[VERSION] == 1
    assert made["auroc"]["value"] == 0.5 and made["auroc"]["ci_high"] is None
    assert made.content.auroc.n == 3 and made.content.of_a_plugin == {"x": [0, 1]}


def test_json_types_of_everything():
    value = {1: {np.int64(3), 2}, "a": (np.bool_(True), np.float32(np.inf), None), "b": np.array([[1.5, np.nan]])}
    assert jsonable(value) == {"1": [2, 3], "a": [True, None, None], "b": [[1.5, None]]}


def test_absence_has_a_reason_for_mappings_and_models():
    assert absent(None) == absent({}) == "not part of this run"
    assert absent({"status": "skip", "reason": "too few"}) == "too few"
    assert absent(Metric(value=None)) is None and absent({"status": "pass"}) is None


def test_a_page_escapes_what_files_are_called():
    class Named(Report):
        file, model = "x.json", Metric

        def lines(self):
            return [("<b>", "a & b")]

    assert "&lt;b&gt;" in Named({})._repr_html_() and "a &amp; b" in Named({})._repr_html_()
    assert "&lt;i&gt;" in Report.table([{"host_id": "<i>"}], {"host_id": "stamp"})


def test_a_training_is_written_and_read_by_its_models(tmp_path):
    history, settings = read_history(SMOKE), read_settings(SMOKE)
    write_history(tmp_path / "history.csv", history.to_dict("records"))
    assert read_history(tmp_path).equals(history)
    write_settings(tmp_path, settings.model_dump())
    assert read_settings(tmp_path).profile == settings.profile and settings.resolved["parameters"] > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("artefact_version: 2\nprofile: {}\n", r"config.yaml: artefact_version 2, this dhs reads 1"),
        ("weights: random\n", r"config.yaml: profile: field required, so it was written by another version"),
        ("[1", r"config.yaml: not valid YAML"),
    ],
)
def test_settings_of_another_version_are_refused(text, said, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(DhsError, match=said):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch,loss\n1,0.5\n", r"history.csv: loss_train: field required, so it was written by another version"),
        ("", r"history.csv: not a table of epochs"),
    ],
)
def test_a_history_of_another_version_is_refused(text, said, tmp_path):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(DhsError, match=said):
        read_history(tmp_path)
