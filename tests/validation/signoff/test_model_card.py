"""The card of the stored run: its numbers are those of the run's files, its limits come first."""

import json
import shutil
from pathlib import Path

import pytest

from dhs import storage
from dhs.artefacts.parts import metric_text
from dhs.errors import DhsError
from dhs.validation.signoff.model_card import model_card

STORED = Path(__file__).parents[2] / "figures" / "smoke_run"


@pytest.fixture
def run(tmp_path):
    shutil.copytree(STORED, tmp_path / "run")
    return tmp_path / "run"


def test_numbers_are_those_of_the_evaluation_and_limits_stand_before_them(run):
    text = Path(model_card(run, licence="MIT")).read_text()
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert text.index("Not to be used") < text.index("Measured") and "license: mit" in text
    for name in ("auroc", "auroc_survey", "concordance"):
        assert metric_text(evaluation[name]) in text
    assert "measured on MOCK galaxies" in text and "its hosts are MOCK" in text
    decision = json.loads((run / "signoff.json").read_text())
    assert f"**{decision['decision']}**" in text and decision["network"] in text
    assert all(line["text"] in text for line in decision["conditions"])
    arc = next(row for row in evaluation["interventions"]["interventions"] if row["name"] == "arc_removed")
    assert f"arc removed: {metric_text(arc)}" in text


def test_a_changed_number_changes_the_card(run):
    before = Path(model_card(run)).read_text()
    data = storage.read_json(run / "evaluation.json")
    data["auroc"]["value"] = 0.123456
    storage.write_json(run / "evaluation.json", data)
    after = Path(model_card(run)).read_text()
    assert "controls: 0.123 (" in after and "controls: 0.123 (" not in before and "not stated" in after


def test_a_run_without_its_files_or_of_other_data_is_refused(run):
    data = storage.read_json(run / "manifest.json")
    storage.write_json(run / "manifest.json", data | {"content_hash": "0" * 64})
    with pytest.raises(DhsError, match="another data set"):
        model_card(run)
    (run / "manifest.json").unlink()
    (run / "real_lenses.json").unlink()
    assert "Not scored" in Path(model_card(run)).read_text()
    (run / "signoff.json").unlink()
    with pytest.raises(DhsError, match="dhs signoff"):
        model_card(run)
