"""The three lists of dependencies agree: pyproject.toml, constraints.txt, environment.yml."""

import re
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonical(name): pin for name, _, pin in (line.partition("==") for line in lines)}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements):
    return {canonical(Requirement(text).name) for text in requirements}


def direct():
    return names(project()["dependencies"] + project()["optional-dependencies"]["test"])


def in_turn(text, found):
    """Names of all that a requirement brings with it on this machine."""
    requirement = Requirement(text)
    key = canonical(requirement.name), frozenset(requirement.extras)
    if key not in found:
        found.add(key)
        for more in distribution(requirement.name).requires or []:
            marker = Requirement(more).marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in requirement.extras or [""]):
                in_turn(more, found)
    return found


def test_every_direct_dependency_is_pinned_and_installed_at_its_pin():
    assert direct() <= set(pins())
    assert {name: version(name) for name in direct()} == {name: pins()[name] for name in direct()}


def test_what_they_bring_with_them_is_pinned_too():
    found = set()
    for text in project()["dependencies"] + project()["optional-dependencies"]["test"]:
        in_turn(text, found)
    tools = {"setuptools", "wheel"}  # each environment has its own
    assert len(found) > 100 and {name for name, _ in found} - tools <= set(pins())


def test_the_tests_have_the_extras_whose_behaviour_they_hold():
    extras = project()["optional-dependencies"]
    assert names(extras["test"]) >= names(extras["spark"] + extras["wandb"] + extras["book"] + extras["attribution"])


def test_the_oldest_set_is_the_lower_bounds():
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if "==" in line)
    bounds = {r.name: r.specifier for r in map(Requirement, project()["dependencies"])}
    assert set(oldest) == set(bounds)
    for name, specifier in bounds.items():
        (bound,) = (s.version for s in specifier if s.operator == ">=")
        assert oldest[name] == bound or oldest[name].startswith(f"{bound}."), name


def test_conda_users_get_the_same_versions():
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    conda = dict(line.split("==") for line in pip if "==" in line)
    assert {canonical(k.partition("[")[0]): v for k, v in conda.items()} == {name: pins()[name] for name in direct()}
    assert "--constraint constraints.txt" in pip


def test_constraints_name_no_file_or_host():
    assert not re.search(r"://|@|/", (ROOT / "constraints.txt").read_text())
