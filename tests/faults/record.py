"""Write what the software says now into the catalogue, for review: ``python tests/faults/record.py``."""

import importlib
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers")]
MODULES = ("plants_cutouts", "plants_tables", "plants_runs")

if __name__ == "__main__":
    import harness

    for module in MODULES:
        importlib.import_module(module)
    groups = yaml.safe_load(harness.TABLE.read_text())
    for fault in (fault for group in groups for fault in group["faults"]):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "w"
            work.mkdir()
            fault |= vars(harness.meet(fault["id"], work))
    harness.TABLE.write_text(yaml.safe_dump(groups, sort_keys=False, width=120, allow_unicode=True))
