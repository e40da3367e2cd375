"""One notebook re-executed as README says: through jupytext and papermill, on a run that exists."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def test_one_notebook_alone(run, tmp_path):
    profile = tmp_path / "tiny.yaml"
    profile.write_text(run.profile.to_yaml())
    before = (run.path / "preflight.json").stat().st_mtime_ns
    command = (
        f"'{BIN}/jupytext' --to ipynb -o - notebooks/02_preflight.py | "
        f"'{BIN}/papermill' - '{tmp_path}/out.ipynb' -k python3 -p run_dir '{run.path}' -p profile '{profile}'"
    )
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = [o for c in json.loads((tmp_path / "out.ipynb").read_text())["cells"] for o in c.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert (run.path / "preflight.json").stat().st_mtime_ns == before, "the gates were not measured a second time"


def test_help_lists_every_parameter_with_its_type():
    said = subprocess.check_output(
        f"'{BIN}/jupytext' --to ipynb -o - notebooks/03_training.py | '{BIN}/papermill' --help-notebook -",
        shell=True,
        text=True,
        cwd=ROOT,
        stderr=subprocess.STDOUT,
    )
    for parameter in ("run_dir: str", "profile: str", "seed: int", "epochs: int"):
        assert parameter in said
