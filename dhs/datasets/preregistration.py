"""The pre-registered plan: what will be measured and against which bounds, hashed before the test split is read.

``<pairs>/plan.json`` holds the plan and its SHA-256. `register` writes it (``dhs preflight`` does), `open_test` is what
everything that reads the test split calls first: without a plan, with a plan of another data set, or with settings
other than the plan's, it refuses. Every reading is a file of its own in ``<pairs>/test_reads/``: when, by which
network, trained how, under which plan; each names the hash of the one before, so none can be taken out unseen. What was
changed after the test split had been read follows from these files, whatever became of ``plan.json``, and
``plan.json`` in turn knows how many there were when it was written.
"""

from __future__ import annotations

import hashlib
import time
from importlib import resources

from dhs import storage
from dhs.config import Profile, TrainConfig, digest
from dhs.datasets.reader import Pairs
from dhs.errors import DhsError

PLAN, READS = "plan.json", "test_reads"
VERSION = 2
PRIMARY_METRIC = "evaluation.tpr_at_fpr.-1.tpr"  # recall at the smallest FPR that the survey negatives support
FREE = ("wandb_project", "wandb_run", "wandb_mode", "memory_gb", "stall_seconds", "compile", "checkpoint_steps")
"""Settings of the training that change no network."""


def training(config: TrainConfig) -> dict:
    """What of a training configuration decides the network."""
    return {k: v for k, v in config.model_dump(mode="json").items() if k not in FREE}


def build(pairs: Pairs, profile: Profile) -> dict:
    """The plan of a profile for a data set.

    Thresholds, margins, strata, the training, the primary analysis, seeds, sign-off rules.

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
        "primary_analysis": {
            "networks": 1,
            "epoch_chosen_by": profile.train.monitor,
            "positives": "test split, every pair, equal weights",
            "negatives": "survey negatives of the test split",
            "interval": "95 %, hosts and sources resampled together",
        },
        "seeds": {"injection": pairs.manifest.get("seed"), "analysis": profile.seed},
        "strata": {"theta_e_arcsec": evaluate["theta_e_edges"], "arc_snr_matched": evaluate["snr_edges"]},
        "gates": profile.preflight.model_dump(mode="json"),
        "training": training(profile.train),
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
            "Delete it and run `dhs preflight` again to register another; what had been read under it stays on record."
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
    plan, before, log = build(pairs, profile), read(pairs), Log.of(pairs)
    sha = digest(plan)
    same = before is not None and before["plan"].get("data") == plan["data"]
    amendments = list(before["amendments"]) if same else []
    if same and before["sha256"] != sha:
        amendments.append(_amendment(before["sha256"], before["plan"], plan, before["sha256"] in log.plans))
    known = {a["from"] for a in amendments} | {sha}
    amendments += [_amendment(old, body, plan, True) for old, body in log.plans.items() if old not in known]
    if same and before["sha256"] == sha and before["amendments"] == amendments:
        return before
    record = {"plan": plan, "sha256": sha, "amendments": amendments, "test_reads": len(log.reads)}
    storage.write_json(_file(pairs, PLAN), record)
    return record


def _amendment(sha: str, before: dict, now: dict, read: bool) -> dict:
    changed = {
        f"{key}.{k}": [old.get(k), new.get(k)]
        for key in sorted({*before, *now})
        for old, new in [(_mapping(before.get(key)), _mapping(now.get(key)))]
        for k in sorted({*old, *new})
        if old.get(k) != new.get(k)
    }
    return {"from": sha, "changed": changed, "after_test_read": read}


def _mapping(value) -> dict:
    return value if isinstance(value, dict) else {"value": value}


class Log:
    """The readings of a test split, in their order.

    Attributes
    ----------
    reads : list of dict
        ``n, time, what, plan, network, trained_otherwise, before``, and ``sha256`` of the file itself.
    broken : str
        Why the log is not whole: an entry that was changed or taken out; empty where it is.
    """

    def __init__(self, folder: str, data: str | None):
        self.reads, self.bodies, self.broken = [], {}, ""
        before = None
        for path in storage.list_files(folder, (".json",)):
            raw, entry = storage.read_bytes(path), storage.read_json(path)
            if entry.get("before") != before and not self.broken:
                self.broken = f"{path.rsplit('/', 1)[-1]} does not follow the entry before it"
            before = hashlib.sha256(raw).hexdigest()
            if entry.get("data") == data:
                self.bodies[entry["plan"]] = entry.pop("plan_body")
                self.reads.append(entry | {"sha256": before})
        self.last, self.folder = before, folder

    @classmethod
    def of(cls, pairs: Pairs) -> Log:
        return cls(_file(pairs, READS), pairs.manifest.get("content_hash"))

    @property
    def plans(self) -> dict[str, dict]:
        """Plans under which there were readings: hash to plan."""
        return {k: v for k, v in self.bodies.items() if k is not None}

    @property
    def networks(self) -> set[str]:
        """Networks that read the split."""
        return {r["network"] for r in self.reads if r["network"]}

    def add(self, entry: dict) -> dict:
        n = len(storage.list_files(self.folder, (".json",))) + 1
        entry = {"n": n, "before": self.last, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} | entry
        path = storage.join(self.folder, f"{n:05d}-{(entry['network'] or 'unknown')[:12]}.json")
        storage.write_json(path, entry)
        return {"n": n, "sha256": hashlib.sha256(storage.read_bytes(path)).hexdigest()}


def note(pairs: Pairs, what: str, network=None, plan: dict | None = None) -> dict:
    """Write one reading of the test split into the log.

    Parameters
    ----------
    pairs : Pairs
    what : str
        The program that reads.
    network : object, optional
        With ``state["network"]``, the hash of its weights, and ``config``, how it was trained.
    plan : dict, optional
        Of `read`; none where none was asked for.

    Returns
    -------
    dict
        ``n`` and ``sha256`` of the entry, and ``trained_otherwise``: settings in which the network's training is not
        the plan's, None where that is not known.
    """
    body, config = (plan or {}).get("plan"), getattr(network, "config", None)
    otherwise = None
    if body and isinstance(config, TrainConfig):
        mine, wanted = training(config), body.get("training") or {}
        otherwise = sorted(k for k in mine if mine[k] != wanted.get(k))
    entry = {"what": what, "data": pairs.manifest.get("content_hash"), "plan": (plan or {}).get("sha256")}
    entry |= {"network": (getattr(network, "state", None) or {}).get("network"), "trained_otherwise": otherwise}
    return Log.of(pairs).add(entry | {"plan_body": body}) | {"trained_otherwise": otherwise}


def open_test(
    pairs: Pairs, profile: Profile | None = None, *, network=None, what: str = "evaluate", noted: bool = True
) -> dict:
    """Permission to read the test split, noted in ``test_reads/``.

    Parameters
    ----------
    pairs : Pairs
    profile : Profile, optional
        Settings of an evaluation; they must be the plan's. Without one, only that a plan is there is asked.
    network : object, optional
        Which network reads, as in `note`.
    what : str
        The program that reads.
    noted : bool
        False for further processes of one reading.

    Returns
    -------
    dict
        As `register`, and ``read``: ``n``, ``sha256`` and ``trained_otherwise`` of this reading.

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
        different = sorted(k for k in {*now, *plan} if now.get(k) != plan.get(k))
        if different:
            raise DhsError(
                f"{pairs.path}: {', '.join(different)} are not those of the registered plan "
                f"({record['sha256'][:12]}). {remedy} The change will be on record."
            )
    return record | ({"read": note(pairs, what, network, record)} if noted else {})
