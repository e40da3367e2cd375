"""Numbers of a data set as they stand in prose."""

from __future__ import annotations

from collections.abc import Mapping

from dhs.artefacts.manifest import Hosts, Inputs, Manifest, Sources
from dhs.artefacts.parts import text
from dhs.artefacts.report import checked

SPLITS = ("train", "val", "test")


def pairs(artefact: Mapping) -> dict[str, str]:
    """All keys of ``manifest.json`` and of the stored ``benchmark`` of the injection and ``host_realism``."""
    manifest = checked(Manifest, artefact, "manifest.json") if "counts" in artefact else None
    counts = manifest.counts if manifest else {}
    out = {"n_pairs": text(sum(counts.values()))} | {f"n_{s}": text(counts.get(s, 0)) for s in SPLITS}
    out |= _inputs(manifest and manifest.hosts, "hosts") | _inputs(manifest and manifest.sources, "sources")
    bench = artefact.get("benchmark") or {}
    out["bench_machine"] = str(bench.get("machine", "a machine yet to be measured"))
    out["bench_rate"] = text(round(bench["pairs_per_s_all_inclusive"], -1) if bench else None)
    out["bench_hard_rate"] = text(round(bench["pairs_per_s_with_hard_negatives"], -1) if bench else None)
    out["bench_kb"] = text(bench.get("kb_per_pair"), 1)
    accepted, rejected = 0, 0
    if manifest:
        accepted, rejected = manifest.draws.accepted, sum(manifest.draws.rejected.values())
    out |= {"accepted": text(accepted), "rejected": text(rejected)}
    out["acceptance"] = f"{100 * accepted / (accepted + rejected):.0f} %" if accepted + rejected else "not measured"
    hard = {k: v for k, v in manifest.negatives.items() if k != "refused"} if manifest else {}
    out["n_hard_negatives"] = text(sum(hard.values()))
    out["content_hash"] = manifest.content_hash[:12] if manifest else "unknown"
    out["seed"] = str(manifest.seed) if manifest else "unknown"
    out["mock_label"] = mock_label(manifest)
    out["host_realism"] = host_realism(artefact.get("host_realism") or {})
    return out


def host_realism(found: Mapping) -> str:
    """How far mock hosts are from real galaxies, from the stored benchmark of that name."""
    if not found:
        return "How far mock hosts are from real galaxies was not measured."
    spans = [f"{m['value']:.2f} ({m['ci_low']:.2f} to {m['ci_high']:.2f})" for m in (found["probe"], found["control"])]
    by = max(found["families"], key=lambda name: found["families"][name]["value"])
    return (
        f"A linear probe tells mock hosts from {found['n_real']} real galaxies of DES coadds, in one seeing and noise "
        f"and matched in magnitude and colour, with an AUC of {spans[0]}; two halves of the real ones with "
        f"{spans[1]}. What differs most is the {by}. Those same galaxies set some of the mocks' properties."
    )


def _inputs(part: Hosts | Sources | Inputs | None, noun: str) -> dict[str, str]:
    out = {f"{noun}_kind": f"{noun} of kind unknown", f"n_{noun}": "not measured", f"{noun}_refused": "not measured"}
    per_split = part.per_split if part else {}
    out[f"{noun}_per_split"] = ", ".join(f"{text(per_split.get(s))} in {s}" for s in SPLITS)
    if part:
        kind = f"MOCK {noun} ({part.kind})" if part.mock else f"{noun} of kind {part.kind}"
        out |= {f"{noun}_kind": kind, f"n_{noun}": text(part.n), f"{noun}_refused": text(part.refused)}
    if noun == "hosts":
        catalogue = part and part.known_lens_catalogue
        return out | {"known_lens_catalogue": catalogue or "no catalogue: not cross-matched"}
    return out | {"sources_limits": " ".join(part.limits if part else ()) or "none stated"}


def mock_label(manifest: Manifest | None) -> str:
    """What numbers of this data set describe."""
    if manifest is None:
        return "What the hosts and sources are is not known: there is no manifest."
    mock = [name for name in ("hosts", "sources") if manifest[name].mock]
    if not mock:
        return "Hosts and sources are real images."
    return f"The {' and '.join(mock)} of this run are MOCK: its numbers describe the method, not the sky."
