"""The pre-registered plan: what will be measured and against which bounds, hashed before the test split is read.

``<pairs>/plan.json`` holds the plan and its SHA-256. `register` writes it (``dhs preflight`` does), `open_test` is what
everything that reads the test split calls first: without a plan, with a plan of another data set, or with settings
other than the plan's, it refuses. A plan may be changed; the change is kept beside it, with whether the test split had
been read by then, and the sign-off shows it.
"""

from __future__ import annotations

from importlib import resources

from dhs import storage
from dhs.config import Profile, digest
from dhs.datasets.reader import Pairs
from dhs.errors import DhsError

PLAN, READ = "plan.json", "test_read.json"
VERSION = 1
PRIMARY_METRIC = "evaluation.tpr_at_fpr.-1.tpr"  # recall at the smallest FPR that the survey negatives support


def build(pairs: Pairs, profile: Profile) -> dict:
    """The plan of a profile for a data set: thresholds, margins, strata, primary metric, seeds, sign-off rules.

    Returns
    -------
    dict
        JSON types only; equal plans have equal `dhs.config.digest`.
    """
    rules = (resources.files("dhs.validation.signoff") / "rules.yaml").read_text()
    evaluate = profile.evaluate.model_dump(mode="json")
    return {
        "version": VERSION,
        "data": pairs.manifest.get("content_hash"),
        "primary_metric": PRIMARY_METRIC,
        "seeds": {"injection": pairs.manifest.get("seed"), "analysis": profile.seed},
        "strata": {"theta_e_arcsec": evaluate["theta_e_edges"], "arc_snr_matched": evaluate["snr_edges"]},
        "gates": profile.preflight.model_dump(mode="json"),
        "evaluation": evaluate,
        "signoff_rules": digest(rules),
    }


def _file(pairs: Pairs, name: str) -> str:
    return storage.join(pairs.path, name)


def read(pairs: Pairs) -> dict | None:
    """``plan.json``, or None where there is none.

    Raises
    ------
    DhsError
        The plan was edited: it has not the hash that stands beside it.
    """
    path = _file(pairs, PLAN)
    if not storage.exists(path):
        return None
    record = storage.read_json(path)
    if not isinstance(record.get("plan"), dict) or digest(record["plan"]) != record.get("sha256"):
        raise DhsError(
            f"{path}: the plan has not the SHA-256 written beside it, so it was edited by hand. "
            "Delete it and run `dhs preflight` again to register another."
        )
    return record


def register(pairs: Pairs, profile: Profile) -> dict:
    """Write the plan of a profile, or keep the same one; another plan is replaced and remembered.

    Returns
    -------
    dict
        ``plan``, ``sha256``, and ``amendments``: plans before this one, what was changed, and whether the test split
        had been read.
    """
    plan, before = build(pairs, profile), read(pairs)
    sha = digest(plan)
    if before is not None and before["sha256"] == sha:
        return before
    amendments = []
    if before is not None and before["plan"].get("data") == plan["data"]:
        changed = {
            f"{key}.{k}": [old.get(k), new.get(k)]
            for key in plan
            for old, new in [(_mapping(before["plan"].get(key)), _mapping(plan[key]))]
            for k in sorted({*old, *new})
            if old.get(k) != new.get(k)
        }
        already = before["sha256"] in read_under(pairs)
        amendments = [*before["amendments"], {"from": before["sha256"], "changed": changed, "after_test_read": already}]
    record = {"plan": plan, "sha256": sha, "amendments": amendments}
    storage.write_json(_file(pairs, PLAN), record)
    return record


def _mapping(value) -> dict:
    return value if isinstance(value, dict) else {"value": value}


def read_under(pairs: Pairs) -> list[str]:
    """Hashes of the plans under which the test split has been read."""
    path = _file(pairs, READ)
    return storage.read_json(path)["plans"] if storage.exists(path) else []


def open_test(pairs: Pairs, profile: Profile | None = None) -> dict:
    """Permission to read the test split, noted in ``test_read.json``.

    Parameters
    ----------
    pairs : Pairs
    profile : Profile, optional
        Settings of an evaluation; they must be the plan's. Without one, only that a plan is there is asked.

    Returns
    -------
    dict
        As `register`.

    Raises
    ------
    DhsError
        No plan, an edited one, one of other data, or settings that are not the plan's.
    """
    record = read(pairs)
    remedy = f"Run `dhs preflight --data-path {pairs.path} --out DIR` with this profile first: it registers the plan."
    if record is None:
        raise DhsError(f"{pairs.path}: the test split is not read before a plan is registered. {remedy}")
    plan = record["plan"]
    if plan["data"] != pairs.manifest.get("content_hash"):
        raise DhsError(f"{pairs.path}: the plan was registered for another data set. {remedy}")
    if profile is not None:
        now = build(pairs, profile)
        different = sorted(k for k in now if now[k] != plan.get(k))
        if different:
            raise DhsError(
                f"{pairs.path}: {', '.join(different)} are not those of the registered plan "
                f"({record['sha256'][:12]}). {remedy} The change will be on record."
            )
    known = read_under(pairs)
    if record["sha256"] not in known:
        storage.write_json(_file(pairs, READ), {"plans": [*known, record["sha256"]]})
    return record
