"""Put a trained network in the box, with its card: weights at half precision, sample stamps and their logits.

    python -m dhs.models.finder.box CHECKPOINT --evaluation evaluation.json --preflight preflight.json --pairs PAIRS

makes ``finder.pt``, ``card.json`` and ``sample.npz`` here. ``--plan plan_on_gpu.json --recipe finder`` takes
data, gates and rates from what ``benchmarks/plan_on_gpu.py`` stored of that very checkpoint instead. Rates may be those
of the packed network, or of the whole one where half precision moves no sample's logit by `CLOSE`; others are refused.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
import torch

from dhs import storage
from dhs.datasets.inject import inject
from dhs.datasets.reader import open_pairs
from dhs.errors import DhsError
from dhs.models import checkpoints
from dhs.models.decode import read_parts
from dhs.models.score import Scorer

HERE = Path(__file__).parent
LIMIT_BYTES = 8_000_000
KEPT = ("train", "seed", "content_hash", "weights", "epoch", "negatives")
CLOSE = 0.05
SAMPLE = 4  # mock stamps of each class: nothing that may not be handed on
NOT_FOR = (
    "Claims about real lenses: where it was trained on mock galaxies, its rates are rates on mock galaxies.",
    "Other surveys, bands, pixel scales or stamp sizes than grz at 0.262 arcsec, 64 pixels, in nanomaggies.",
    "Lenses unlike those it was trained on: point-like images (lensed quasars), groups and clusters, Einstein radii "
    "outside the range of its training.",
    "A probability of being a lens: its logit is no probability without a calibration and a prevalence.",
    "A selection function: give that by `dhs evaluate` on injections of your own survey and hosts.",
)


def path() -> str:
    """Path of the network in the box.

    Raises
    ------
    DhsError
        This copy of the package has none.
    """
    file = HERE / "finder.pt"
    if not file.is_file():
        raise DhsError(
            "this copy of the package holds no trained finder. Train one (dhs train) and give it as --checkpoint."
        )
    return str(file)


def card() -> dict:
    """The model card of the network in the box."""
    path()
    return storage.read_json(HERE / "card.json")


def pack(
    checkpoint: str | Path, out: str | Path = HERE, *, evaluation=None, preflight=None, pairs=None, plan=None
) -> dict:
    """Write a checkpoint as the finder in the box.

    Parameters
    ----------
    checkpoint : str or Path
        Of `dhs.models.training.train.train`.
    out : str or Path
        Folder for ``finder.pt``, ``card.json``, ``sample.npz``.
    evaluation, preflight : str or Path, optional
        ``evaluation.json`` of the packed network, ``preflight.json`` of the data set it was trained on.
    pairs : str or Path, optional
        The data set it was trained on.
    plan : (str or Path, str), optional
        ``plan_on_gpu.json`` and the name of its recipe that gave the checkpoint, instead of these three.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    DhsError
        The weights take more than 8 MB at half precision or overflow there; an evaluation or a preflight of another
        network or data set.
    """
    state, out = checkpoints.load(checkpoint), Path(out)
    small = {k: v.half() if v.is_floating_point() else v for k, v in state["model"].items()}
    if not all(v.isfinite().all() for v in small.values()):
        raise DhsError(f"{checkpoint}: some weights are not finite at half precision. Give another checkpoint.")
    n_train = len(state.get("history", []))
    kept = {k: state[k] for k in KEPT if k in state} | {"format": checkpoints.FORMAT, "model": small, "history": []}
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    if buffer.tell() > LIMIT_BYTES:
        raise DhsError(
            f"{checkpoint}: {buffer.tell() / 1e6:.1f} MB at half precision, and the box holds {LIMIT_BYTES / 1e6:.0f}. "
            "Train arch small, or distil it."
        )
    storage.write_bytes(out / "finder.pt", buffer.getvalue())
    boxed, whole = Scorer(out / "finder.pt"), Scorer(checkpoint)
    about = {
        "network": boxed.state["network"],
        "sha256": storage.sha256(out / "finder.pt"),
        "megabytes": round(buffer.tell() / 1e6, 2),
        "arch": boxed.config.arch,
        "parameters": sum(v.numel() for v in small.values()),
        "training": {k: state.get(k) for k in ("content_hash", "seed", "epoch", "weights")} | {"epochs_run": n_train},
        "configuration": state["train"],
        "must_not_be_used_for": list(NOT_FOR),
    }
    about |= _sampled(boxed, whole, out)
    moved = about["half_precision"]["largest_change_of_a_logit"]
    if plan is not None:
        about |= _planned(*plan, storage.sha256(checkpoint), moved)
    else:
        networks = {boxed.state["network"]: "packed", whole.state["network"]: "whole"}
        about |= _data(pairs, boxed) | _rates(evaluation, networks, moved) | _gates(preflight, state)
    storage.write_json(out / "card.json", about)
    return about


def _sampled(boxed: Scorer, whole: Scorer, out: Path) -> dict:
    """Mock stamps with their logits, and how far half precision moved them."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"hosts": "mock", "sources": "mock", "n_pairs": 60, "seed": 1, "engine": "serial", "profile": "smoke"}
        pairs = inject(folder, **options)
        part = next(read_parts(pairs, "train"))
    stamps = np.concatenate([part.positive[:SAMPLE], part.control[:SAMPLE], part.hard[:SAMPLE]]).astype(np.float32)
    rows = np.concatenate([np.arange(SAMPLE), np.arange(SAMPLE), part.hard_row[:SAMPLE]])
    sigma, kinds = part.sky_sigma[rows], np.repeat(["positive", "control", "look-alike"], SAMPLE)[: len(rows)]
    logits, before = (s.logits(stamps, sky_sigma=sigma) for s in (boxed, whole))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, stamps=stamps, sky_sigma=sigma, logits=logits, kind=kinds)
    storage.write_bytes(out / "sample.npz", buffer.getvalue())
    return {"half_precision": {"largest_change_of_a_logit": float(np.abs(logits - before).max()), "n": len(logits)}}


def _data(pairs, boxed: Scorer) -> dict:
    """What the training set was made of."""
    if pairs is None:
        return {"data": None}
    manifest = open_pairs(pairs).manifest
    if manifest["content_hash"] != boxed.state["content_hash"]:
        raise DhsError(f"{pairs}: is not the data set the network was trained on. Give that one.")
    data = {name: {k: manifest[name].get(k) for k in ("kind", "mock", "spec")} for name in ("hosts", "sources")}
    return {"data": data | {"counts": manifest["counts"], "injection": manifest.get("config", {}).get("injection")}}


def _rates(evaluation, networks: dict, moved: float) -> dict:
    """What an evaluation found, of the packed network or of the whole one."""
    if evaluation is None:
        return {"rates": None}
    found = storage.read_json(evaluation)
    measured = networks.get(found["checkpoint"]["network"])
    if measured is None:
        raise DhsError(f"{evaluation}: is of another network. Evaluate this checkpoint (dhs evaluate).")
    return {"rates": _shown(found, measured, moved)}


def _shown(found: dict, measured: str, moved: float) -> dict:
    """The sections of an evaluation that a card shows.

    Raises
    ------
    DhsError
        It is of the whole network, whose logits half precision moves too far.
    """
    if measured == "whole" and not moved < CLOSE:
        raise DhsError(
            f"half precision moves a logit by {moved:.2g}: rates of the whole network are not the packed one's. "
            "Evaluate the packed one (dhs evaluate --checkpoint .../finder.pt), and pack again."
        )
    numbers = ("value", "ci_low", "ci_high", "n")
    rates = [
        {"fpr": r["fpr"], "recall": {k: r["tpr"].get(k) for k in numbers}, "threshold": r["threshold"].get("value")}
        for r in found["tpr_at_fpr"]
    ]
    out = {"auroc_twins": found["auroc"], "auroc_survey": found["auroc_survey"]}
    out["auroc_lookalikes"] = (found["hard_negatives"] or {}).get("auroc")
    out = {k: {n: v.get(n) for n in numbers} for k, v in out.items() if isinstance(v, dict)}
    negatives = {k: found["survey_negatives"].get(k) for k in ("mock", "n")}
    return out | {"measured_on": f"the {measured} network", "recall_at_fpr": rates, "survey_negatives": negatives}


def _planned(file, recipe: str, sha256: str, moved: float) -> dict:
    """Data, rates and gates of a recipe of ``plan_on_gpu.json``."""
    plan = storage.read_json(file)
    entry = plan["recipes"].get(recipe) or {}
    if (entry.get("checkpoint") or {}).get("sha256") != sha256:
        raise DhsError(f"{file}: its recipe {recipe!r} gave another checkpoint. Join the pieces that lie beside it.")
    rates = _shown(entry["evaluation"], "whole", moved) if entry.get("evaluation") else None
    if rates is not None and "evaluated_on" in entry:
        rates["evaluated_on"] = entry["evaluated_on"]
    of = entry.get("data") or plan["data"]  # of a recipe that was run on another data set than the first
    data = {name: {k: of[name].get(k) for k in ("kind", "mock", "n")} for name in ("hosts", "sources")}
    data |= {"counts": of["counts"], "injection": entry.get("injection") or plan["profile"]["injection"]}
    return {"data": data, "gates": entry.get("preflight") or plan.get("preflight"), "rates": rates}


def _gates(preflight, state: dict) -> dict:
    """Gates that the training set passed."""
    if preflight is None:
        return {"gates": None}
    found = storage.read_json(preflight)
    if found["data"].get("content_hash") != state.get("content_hash"):
        raise DhsError(f"{preflight}: is of another data set than the network was trained on. Give that one's.")
    return {"gates": {"decision": found["decision"], "of": {g["name"]: g["status"] for g in found["gates"]}}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--out", default=str(HERE))
    for name in ("evaluation", "preflight", "pairs", "plan"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--recipe", default="finder")
    args = vars(parser.parse_args())
    recipe = args.pop("recipe")
    args["plan"] = args["plan"] and (args["plan"], recipe)
    for name, value in pack(args.pop("checkpoint"), args.pop("out"), **args).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
