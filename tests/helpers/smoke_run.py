"""Make the artefacts that the figure tests draw: ``python tests/helpers/smoke_run.py``, some minutes on two cores.

A small whole run on mock hosts, with mock stamps in the place of real lenses, so that every section of every artefact
is there. Its numbers mean nothing.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow.compute as pc

from dhs import storage
from dhs.book.run import Run
from dhs.config import load_profile
from dhs.survey.mock.hosts import write_mock_hosts
from dhs.validation.evaluation.evaluate import evaluate
from dhs.validation.real_lenses.real_lenses import real_lenses
from dhs.validation.signoff.signoff import signoff

TARGET = Path(__file__).parents[1] / "figures" / "smoke_run"
FILES = ("pairs/manifest.json", "preflight.json", "train/history.csv", "train/config.yaml", "evaluation.json")
FILES += ("real_lenses.json", "signoff.json")
SETTINGS = {
    "hosts__n_mock": 160,
    "sources__spec": "xdf",
    "injection__n_pairs": 320,
    "injection__supersampling": 2,
    "splits__train": 0.5,
    "splits__val": 0.2,
    "splits__test": 0.3,
    "train__epochs": 4,
    "evaluate__n_survey_negatives": 400,
    "evaluate__n_calibration_negatives": 100,
    "evaluate__n_bootstrap": 60,
    "evaluate__n_interventions": 12,
    "preflight__n_null": 10,
    "preflight__n_bootstrap": 60,
}


def make(folder: Path) -> None:
    """The run, its artefacts into `TARGET`, and scores without what no picture needs."""
    profile = load_profile("smoke", **SETTINGS)
    run = Run(folder / "run", profile)
    run.preflight()
    run.train()
    write_mock_hosts(folder / "stand-ins", 24, 99)
    write_mock_hosts(folder / "non-lenses", 12, 98)
    evaluate(run.path / "pairs", run.checkpoint, run.path, profile=profile, real=str(folder / "stand-ins"))
    options = {"cutouts": str(folder / "stand-ins"), "negatives": str(folder / "non-lenses"), "profile": profile}
    real_lenses(run.checkpoint, run.path, **options)
    signoff(run.path)
    for name in FILES:
        target = TARGET / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run.path / name, target)
        text = target.read_text().replace(str(folder), "smoke")
        if target.suffix == ".json":
            text = json.dumps(json.loads(text), sort_keys=True) + "\n"
        target.write_text(text)
    for name in ("scores", "real_scores"):
        table = storage.read_table(run.path / f"{name}.parquet")
        if name == "scores":
            table = table.filter(pc.equal(table["split"], "test"))
        storage.write_table(TARGET / f"{name}.parquet", table)
    complete = run.path / "completeness.parquet"
    if complete.exists():
        shutil.copy(complete, TARGET)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
    print(TARGET, file=sys.stderr)
