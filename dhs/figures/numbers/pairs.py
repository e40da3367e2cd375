"""Numbers of a data set as they stand in prose."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dhs.artefacts.manifest import Hosts, Inputs, Manifest, Sources
from dhs.artefacts.report import checked
from dhs.figures.numbers.words import listed, number, short

SPLITS = ("train", "val", "test")
NAMES = {"train": "for training", "val": "for validation", "test": "for the test"}
SOURCES = {"xdf": "the Hubble eXtreme Deep Field", "real_galaxy": "COSMOS"}


def pairs(artefact: Mapping) -> dict[str, str]:
    """All keys of ``manifest.json`` and of the stored ``benchmark`` of the injection and ``host_realism``."""
    manifest = checked(Manifest, artefact, "manifest.json") if "counts" in artefact else None
    counts = manifest.counts if manifest else {}
    out = {"n_pairs": number(sum(counts.values())) if counts else ""}
    out |= {f"n_{s}": number(counts.get(s)) for s in SPLITS}
    out |= _inputs(manifest and manifest.hosts, "hosts") | _inputs(manifest and manifest.sources, "sources")
    bench = artefact.get("benchmark") or {}
    out["bench_machine"] = str(bench.get("machine", ""))
    out["bench_rate"] = number(round(bench["pairs_per_s_all_inclusive"], -2), 0) if bench else ""
    out["bench_hard_rate"] = number(round(bench["pairs_per_s_with_hard_negatives"], -1), 0) if bench else ""
    out["bench_kb"] = number(bench.get("kb_per_pair"), 0)
    out["bench_error"] = number(bench.get("max_abs_error_over_peak"))
    accepted, rejected = 0, 0
    if manifest:
        accepted, rejected = manifest.draws.accepted, sum(manifest.draws.rejected.values())
    out |= {"accepted": number(accepted), "rejected": number(rejected)}
    out["acceptance"] = f"{100 * accepted / (accepted + rejected):.0f} of 100" if accepted + rejected else ""
    hard = {k: v for k, v in manifest.negatives.items() if k != "refused"} if manifest else {}
    out["n_hard_negatives"] = number(sum(hard.values())) if hard else ""
    out["hard_kinds"] = listed(
        [f"{number(n)} {KINDS.get(k, k)}" for k, n in sorted(hard.items(), key=lambda kv: -kv[1])]
    )
    out["content_hash"] = manifest.content_hash[:12] if manifest else ""
    out["seed"] = str(manifest.seed) if manifest else ""
    out["mock_label"] = mock_label(manifest)
    return out | {"host_realism": host_realism(artefact.get("host_realism") or {})}


KINDS = {
    "azimuthal_shuffle": "shuffled arcs",
    "companions": "companions",
    "scrambled_geometry": "scrambled images",
    "lookalike_merger_mock": "mergers",
    "lookalike_ring_mock": "rings",
    "lookalike_spiral_mock": "spirals",
}


def host_realism(found: Mapping) -> str:
    """How far mock hosts are from real galaxies, from the stored benchmark of that name."""
    if not found:
        return ""
    by = max(found["families"], key=lambda name: found["families"][name]["value"])
    said = (
        f"A linear probe tells mock hosts from {found['n_real']} real galaxies of DES coadds, in one seeing and noise "
        f"and matched in magnitude and colour, with an AUC of {short(found['probe'])}; two halves of the real ones "
        f"with {short(found['control'])}. What differs most is the {by}. Those same galaxies set some of the mocks' "
        "properties"
    )
    told = found["probe"]["ci_low"] > found["control"]["value"]
    return said + (
        ", so the mocks are less real than this says." if told else ", so the probe can't settle how real they are."
    )


def _inputs(part: Hosts | Sources | Inputs | None, noun: str) -> dict[str, str]:
    out = dict.fromkeys((f"{noun}_kind", f"n_{noun}", f"{noun}_refused", f"{noun}_per_split"), "")
    per_split = part.per_split if part else {}
    if per_split:
        out[f"{noun}_per_split"] = listed([f"{number(per_split.get(s))} {NAMES[s]}" for s in SPLITS])
    if part:
        what = f"simulated {noun[:-1]} galaxies" if part.mock else f"real {noun[:-1]} galaxies"
        what += f" of {SOURCES[part.kind]}" if part.kind in SOURCES else ""
        out |= {f"{noun}_kind": what, f"n_{noun}": number(part.n)}
        out[f"{noun}_refused"] = number(part.refused) if part.refused else ""
    if noun == "hosts":
        real = part is not None and not part.mock
        told = f"Hosts within reach of a lens of {part.known_lens_catalogue} were left out." if real else ""
        return out | {"known_lens_catalogue": told if real and part.known_lens_catalogue else ""}
    return out | {"sources_limits": "\n".join(f"- {_plain(line)}." for line in (part.limits if part else ()))}


def _plain(limit: str) -> str:
    """A limit without the names of its flags."""
    return re.sub(r" \(flags? [^)]*\)", "", limit).rstrip(".")


def mock_label(manifest: Manifest | None) -> str:
    """What numbers of this data set describe."""
    if manifest is None:
        return ""
    mock = [name for name in ("hosts", "sources") if manifest[name].mock]
    if not mock:
        return "Hosts and sources are real images."
    return f"The {' and '.join(mock)} of this run are simulated: its numbers judge the method, not the sky."
