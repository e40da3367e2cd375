"""``dhs card``: a model card (Mitchell et al. 2019) from the evaluation and the sign-off of a run."""

from __future__ import annotations

from pathlib import Path

import yaml

from dhs import storage
from dhs.artefacts.evaluation import Evaluation
from dhs.artefacts.parts import metric_text
from dhs.artefacts.real_lenses import RealLenses
from dhs.artefacts.report import read
from dhs.config import parse_profile
from dhs.errors import DhsError
from dhs.validation.signoff.signoff import SignOff

MANIFESTS = ("pairs/manifest.json", "manifest.json")
CONFIGURATIONS = ("train/config.yaml", "config.yaml")


def model_card(run: str | Path, out: str | Path | None = None, *, name: str = "", licence: str | None = None) -> str:
    """Write the card of a run's network.

    Every number is that of a file of the run; nothing is measured here.

    Parameters
    ----------
    run : str or Path
        Folder with ``evaluation.json`` and ``signoff.json``; ``real_lenses.json``, the training's ``config.yaml`` and
        the pairs' manifest where they are there.
    out : str or Path, optional
        ``<run>/MODEL_CARD.md`` by default.
    name : str
        Of the network; the run's by default.
    licence : str, optional
        SPDX name. Without one the card says that none is stated.

    Returns
    -------
    str
        The file written.

    Raises
    ------
    DhsError
        No evaluation or no sign-off, or they are of different data sets.
    """
    for file, step in (("evaluation.json", "dhs evaluate"), ("signoff.json", "dhs signoff")):
        if not storage.exists(storage.join(run, file)):
            raise DhsError(f"{run}: no {file}. Run `{step}` first.")
    evaluation, decision = Evaluation.read(run), SignOff.read(storage.join(run, "signoff.json"))
    path = next((p for p in (storage.join(run, m) for m in MANIFESTS) if storage.exists(p)), None)
    manifest = read(path) if path else {}
    if manifest and evaluation["data"]["content_hash"] != manifest["content_hash"]:
        raise DhsError(f"{run}: evaluation.json is of another data set than {path}. Run `dhs evaluate` again.")
    title = name or str(run).rstrip("/").rsplit("/", 1)[-1]
    lines = ["---", f"license: {licence.lower() if licence else 'unknown'}"]
    lines += ["tags: [astronomy, strong-gravitational-lensing, legacy-surveys]", "---", "", f"# {title}", ""]
    lines += ["A network that scores 64-pixel g, r, z stamps of galaxies for the arcs of a strong lens.", ""]
    lines += [f"**{decision.decision}** for the data set ({decision.data_set}); the network is {decision.network}.", ""]
    lines += ["## Not to be used", "", *_limits(evaluation, manifest), ""]
    lines += ["## Model", "", *_model(run, evaluation, licence), ""]
    lines += ["## Data", "", *_data(manifest, evaluation), ""]
    lines += ["## Measured", "", "With 95 % intervals by host and source, on the test split.", ""]
    lines += [f"- {key}: {value}" if key else f"- {value}" for key, value in evaluation.lines()]
    lines += ["", "## What it leans on", "", *_leans(evaluation), "", "## Real lenses", "", *_real(run), ""]
    lines += ["## Sign-off", ""]
    for head, found in (("Blockers", decision.blockers), ("Conditions", decision.conditions)):
        lines += [f"{head}: {'none' if not found else ''}".rstrip(), *(f"- {line['text']}" for line in found), ""]
    lines += [f"Plan registered before the test split was read: `{decision.plan}`." if decision.plan else "No plan."]
    lines += ["", "Model cards for model reporting: Mitchell et al. (2019), doi:10.1145/3287560.3287596."]
    target = str(out or storage.join(run, "MODEL_CARD.md"))
    storage.write_bytes(target, ("\n".join(lines) + "\n").encode())
    return target


def _limits(evaluation: Evaluation, manifest: dict) -> list[str]:
    said = ["- For other surveys, bands, pixels or units than those it was tested on."]
    said += ["- To quote a recall on lenses of the sky from simulated arcs."]
    if evaluation.content.survey_negatives.get("mock", True):
        said += ["- To expect its false-positive rates on the sky: they were measured on MOCK galaxies."]
    for part in ("hosts", "sources"):
        if manifest.get(part, {}).get("mock"):
            said += [f"- As if it had seen the sky: its {part} are MOCK."]
    return said + [f"- {text}" for text in manifest.get("sources", {}).get("limits", ())]


def _model(run, evaluation: Evaluation, licence: str | None) -> list[str]:
    checkpoint = evaluation.get("checkpoint") or {}
    said = [f"- {key}: `{value}`" for key, value in sorted(checkpoint.items()) if value is not None]
    path = next((p for p in (storage.join(run, c) for c in CONFIGURATIONS) if storage.exists(p)), None)
    if path:
        train = parse_profile(yaml.safe_load(storage.read_bytes(path))["profile"], path).train
        said += [f"- architecture: {train.arch}, {train.channels} channels, {train.epochs} epochs, seed of the run"]
    return [*said, f"- licence: {licence or 'not stated by who made this card'}"]


def _data(manifest: dict, evaluation: Evaluation) -> list[str]:
    counts = ", ".join(f"{split} {n}" for split, n in evaluation["data"]["counts"].items())
    said = [f"- pairs: {counts}; content hash `{evaluation['data']['content_hash']}`"]
    if manifest:
        said += [f"- {part}: {manifest[part]['n']}, {manifest[part]['kind']}" for part in ("hosts", "sources")]
    return [*said, f"- survey negatives: {evaluation.content.survey_negatives.get('told', 'mock')}"]


def _leans(evaluation: Evaluation) -> list[str]:
    parts = evaluation.get("interventions") or {}
    if parts.get("status") == "skip" or not parts.get("interventions"):
        return [f"Not measured ({parts.get('reason', 'not part of this run')})."]
    said = ["Mean change of the logit when one thing is changed in a pair:", ""]
    return said + [f"- {row['name'].replace('_', ' ')}: {metric_text(row)}" for row in parts["interventions"]]


def _real(run) -> list[str]:
    if not storage.exists(storage.join(run, RealLenses.file)):
        return ["Not scored."]
    return [f"- {key}: {value}" if key else f"- {value}" for key, value in RealLenses.read(run).lines()]
