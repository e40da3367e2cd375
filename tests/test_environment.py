"""The three lists of dependencies agree: pyproject.toml, constraints.txt, environment.yml."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonical(name): pin for name, _, pin in (line.partition("==") for line in lines)}


def direct():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    return {canonical(re.match(r"[\w.-]+", text)[0]) for text in wanted}


def test_every_direct_dependency_is_pinned_and_installed_at_its_pin():
    assert direct() <= set(pins())
    assert {name: version(name) for name in direct()} == {name: pins()[name] for name in direct()}


def test_conda_users_get_the_same_versions():
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    conda = dict(line.split("==") for line in pip if "==" in line)
    assert {canonical(k.partition("[")[0]): v for k, v in conda.items()} == {name: pins()[name] for name in direct()}
    assert "--constraint constraints.txt" in pip


def test_constraints_name_no_file_or_host():
    assert not re.search(r"://|@|/", (ROOT / "constraints.txt").read_text())
