"""What an evaluation says of the network, in sentences chosen by rule from its intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dhs.figures.numbers.words import (
    capital,
    counted,
    field,
    interval,
    known,
    listed,
    number,
    one_in,
    percent,
    short,
)

CHANCE, NEAR, TOLD = 0.5, 0.7, 0.85
"""AUROC against look-alikes: at chance; the bound of the sign-off; told apart."""
PUBLISHED = 0.45
"""Recall of one network on this imaging at a false-positive rate of 1e-4 (Melo et al. 2024)."""
AFFORDABLE = 0.2
"""Recall below which the sign-off calls a network of no use to a survey."""
KINDS = {
    "azimuthal_shuffle": "shuffled arcs",
    "companions": "companions",
    "scrambled_geometry": "scrambled images",
    "lookalike_merger_mock": "mergers",
    "lookalike_ring_mock": "rings",
    "lookalike_spiral_mock": "spirals",
}


def sentences(evaluation: Mapping) -> dict[str, str]:
    """All keys that begin with ``says_``, and short numbers used with them."""
    makers = (
        lookalikes,
        by_kind,
        called_lenses,
        twins,
        ring,
        core,
        core_masked,
        placebo,
        recall,
        candidates,
        calibrated,
    )
    makers += (counts, change_of_light, probabilities, above_baseline)
    return {f"says_{maker.__name__}": maker(evaluation) for maker in makers}


def _auroc(evaluation: Mapping, section: str) -> Mapping | None:
    return field(evaluation.get(section), "auroc")


def counts(evaluation: Mapping) -> str:
    """The sizes that every number of a page rests on."""
    twins = evaluation.get("auroc") or {}
    if not twins.get("n_hosts"):
        return ""
    pairs = (evaluation.get("data") or {}).get("counts", {}).get("test")
    survey = (evaluation.get("survey_negatives") or {}).get("n")
    said = f"The test split holds {number(pairs)} pairs on {number(twins['n_hosts'])} galaxies"
    said += f" with {number(twins['n_sources'])} sources" if twins.get("n_sources") else ""
    return said + (f", and {number(survey)} survey negatives." if survey else ".")


def in_100(metric: Mapping | None) -> str:
    return "" if metric is None or not known(metric.get("value")) else f"{100 * metric['value']:.0f}"


def twins(evaluation: Mapping) -> str:
    """How often a lensed galaxy is ranked above its own twin."""
    metric = evaluation.get("concordance")
    if not in_100(metric):
        return ""
    bounds = interval(metric)
    if bounds and bounds[0] <= CHANCE:
        return "It is not shown to rank a lensed galaxy above its own twin."
    return f"It ranks a lensed galaxy above its own twin {in_100(metric)} times in 100."


def lookalikes(evaluation: Mapping) -> str:
    """What the AUROC against look-alikes says: the network's verdict."""
    metric = _auroc(evaluation, "hard_negatives")
    bounds = interval(metric)
    if bounds is None:
        return ""
    low, high = bounds
    if high < CHANCE:
        return "It prefers look-alikes to lenses."
    if low <= CHANCE:
        return "It does not tell a lens from a look-alike."
    if high < NEAR:
        return "It sees that light was added, hardly that the light is an arc."
    if low < NEAR:
        return "It tells some look-alikes from lenses; how well is open."
    return "It tells most look-alikes from lenses." if low < TOLD else "It tells arcs from look-alikes."


def by_kind(evaluation: Mapping) -> str:
    """AUROC by kind of look-alike, from the one best told apart to the one worst; which include chance."""
    found = field(evaluation.get("hard_negatives"), "by_kind", {})
    rows = [
        (KINDS.get(name.split(":")[-1], name.split(":")[-1].replace("_", " ")), entry["auroc"])
        for name, entry in found.items()
        if interval(entry.get("auroc"))
    ]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row[1]["value"])
    chance = [name for name, metric in rows if interval(metric)[0] <= CHANCE]
    said = f"By kind of look-alike the AUROC is {listed([f'{short(m)} for {n}' for n, m in rows])}."
    if not chance:
        return said + " None of them is at chance."
    if len(chance) == len(rows):
        return said + " Every interval holds one half, so none is shown to be told apart."
    return said + f" The interval of {listed(chance)} holds one half: these are not shown to be told apart."


def called_lenses(evaluation: Mapping) -> str:
    """Share of look-alikes with a logit above zero."""
    found = field(evaluation.get("hard_negatives"), "by_kind", {})
    rows = [e["accuracy"] for e in found.values() if known((e.get("accuracy") or {}).get("value"))]
    n = sum(r["n"] for r in rows)
    if not n:
        return ""
    share = 1 - sum(r["value"] * r["n"] for r in rows) / n
    said = f"At a logit of zero it calls {100 * share:.0f} of 100 look-alikes lenses"
    return said + (", more than half." if share > 0.5 else ".")


def _bins(section: Mapping | None) -> list[Mapping]:
    return [b for b in (section or {}).get("by_theta_e") or () if known(b.get("value")) and interval(b)]


def _edges(bins: Sequence[Mapping]) -> str:
    spans = [f"{b['lo']:g} to {b['hi']:g}" for b in bins]
    return listed(spans)


def ring(evaluation: Mapping) -> str:
    """What of the arc's effect a plain ring keeps, by Einstein radius."""
    bins = _bins(field(evaluation.get("interventions"), "shares", {}).get("ring"))
    if not bins:
        return ""
    shares = " / ".join(f"{100 * b['value']:.0f}" for b in bins)
    said = f"A plain ring of the arc's flux and colour has {shares} % of the arc's effect at Einstein radii of "
    said += " / ".join(f"{b['lo']:g}–{b['hi']:g}" for b in bins) + " arcsec. "
    as_good = [b for b in bins if interval(b)[1] >= 1]
    less = [b for b in bins if interval(b)[1] < CHANCE]
    if len(as_good) == len(bins):
        return said + "At no radius is the arc shown to be worth more than the ring: shape is not shown to count."
    if as_good:
        more = f", and at {_edges(less)} arcsec it is worth less than half" if less else ""
        return (
            said + f"At {_edges(as_good)} arcsec a featureless ring is not shown to be worth less than the arc{more}."
        )
    if less and len(less) == len(bins):
        return said + "The ring is worth less than half of the arc at every radius: shape counts."
    return said + "The ring is worth less than the arc at every radius: shape counts, for a part."


def core(evaluation: Mapping) -> str:
    """The core's share of the effect against its share of the light, where the seed's premise asks: wide arcs."""
    section = evaluation.get("interventions")
    effect = {(b["lo"], b["hi"]): b for b in _bins(field(section, "shares", {}).get("core"))}
    light = {
        (b["lo"], b["hi"]): b for b in (field(section, "core_light") or {}).get("by_theta_e") or () if known(b["value"])
    }
    wide = [k for k in effect if k in light and k[0] >= 2]
    if not wide:
        return ""
    shares = listed([f"{100 * effect[k]['value']:.0f}" for k in wide])
    lights = listed([f"{100 * light[k]['value']:.0f}" for k in wide])
    said = f"At Einstein radii from 2 arcsec up the core carries {shares} % of the arc's effect and {lights} % of its "
    said += "light"
    more = [k for k in wide if interval(effect[k])[0] > light[k]["value"]]
    if not more:
        return said + ": it is not shown to lean on the core beyond the light that the lens puts there."
    return said + f": at {_edges([effect[k] for k in more])} arcsec it leans on the core beyond its light, a shortcut."


def above_baseline(evaluation: Mapping) -> str:
    """Whether the network is shown to know more than the radial profile, on the validation split."""
    found = evaluation.get("baselines") or {}
    mine, profile = (field(found.get(name), "val") for name in ("network", "radial_profile"))
    bounds = interval(mine)
    if bounds is None or not known((profile or {}).get("value")):
        return ""
    said = f"On the validation split the network reaches {short(mine)} and the radial profile alone {short(profile)}: "
    if bounds[0] > profile["value"]:
        return said + "it has learnt more than photometry."
    if bounds[1] < profile["value"]:
        return said + "it has learnt less than photometry."
    return said + "that it has learnt more than photometry is not shown."


def core_masked(evaluation: Mapping) -> str:
    """The paired change of the AUROC when the core is hidden."""
    change = field(evaluation.get("core_masked"), "delta")
    bounds = interval(change)
    if bounds is None:
        return ""
    said = f"With the core hidden the AUROC against twins changes by {short(change, True)}"
    if bounds[0] <= 0 <= bounds[1]:
        return said + ", which is not told from no change."
    if bounds[1] < 0:
        return said + (", a small loss." if bounds[0] > -0.05 else ", a loss: the core matters to it.")
    return said + ", a gain: without the core it ranks better."


def placebo(evaluation: Mapping) -> str:
    """Whether the edge alone moves the score."""
    rows = {r["name"]: r for r in field(evaluation.get("interventions"), "interventions", ())}
    edge, removed = rows.get("placebo_edge"), rows.get("arc_removed")
    if interval(edge) is None or interval(removed) is None:
        return ""
    said = f"The same edge with nothing removed moves the logit by {short(edge, True)}"
    held = interval(edge)[0] <= 0 <= interval(edge)[1]
    said += (
        ", so what the interventions change is the light and not the seam."
        if held
        else (f", beside {short(removed, True)} for the whole arc: that much of a hard swap is its seam.")
    )
    return said


def _lowest(evaluation: Mapping) -> Mapping | None:
    points = [p for p in evaluation.get("tpr_at_fpr") or () if known((p.get("tpr") or {}).get("value"))]
    return min(points, key=lambda p: p["fpr"], default=None)


def false_alarm(fpr: float) -> str:
    """``one false alarm in a thousand``."""
    words = {10: "ten", 100: "a hundred", 1000: "a thousand", 10_000: "ten thousand"}
    n = round(1 / fpr)
    return f"one false alarm in {words.get(n) or number(n)}"


def recall(evaluation: Mapping) -> str:
    """How many injected arcs are found at the smallest rate that the sample supports."""
    point = _lowest(evaluation)
    bounds = interval(point and point["tpr"])
    if bounds is None:
        return ""
    share = 100 * point["tpr"]["value"]
    digits = 0 if share >= 1 or share == 0 else 1
    said = f"At {false_alarm(point['fpr'])} it finds {share:.{digits}f} of 100 injected arcs "
    said += f"({100 * bounds[0]:.{digits}f} to {100 * bounds[1]:.{digits}f})"
    if bounds[0] > PUBLISHED and point["fpr"] <= 1e-4:
        return said + ", more than a published network on this imaging finds of its own."
    return said + ("." if bounds[0] >= AFFORDABLE else ", too few for a survey." if bounds[1] < AFFORDABLE else ".")


def candidates(evaluation: Mapping) -> str:
    """What an inspector would face at the sky's prevalence, of arcs as drawn and as the population has them."""
    share = (field(evaluation.get("purity"), "purity") or {}).get("value")
    if not one_in(share):
        return ""
    said = f"{capital(one_in(share))} candidates would be a lens"
    rates = field(evaluation.get("population"), "recall_at_threshold", ())
    low = min(rates, key=lambda r: r["fpr"], default=None)
    prevalence = field(evaluation.get("purity"), "prevalence")
    if low and known(low["tpr"].get("value")) and low["tpr"]["value"] > 0:
        found = prevalence * low["tpr"]["value"]
        said += f"; of lenses as galaxies have them, {one_in(found / (found + (1 - prevalence) * low['fpr']))}"
    return said + "."


def calibrated(evaluation: Mapping) -> str:
    """Whether probabilities at the balance of the test split are told from perfect ones."""
    found = field(evaluation.get("calibration"), "against_perfect") or {}
    rows = [(name, found.get(key) or {}) for key, name in STAGES.items()]
    rows = [(name, r) for name, r in rows if known(r.get("ece")) and known(r.get("p_value"))]
    if not rows:
        return ""
    said = listed([f"{number(r['ece'])} {name} (perfect ones would show {number(r['null_mean'])})" for name, r in rows])
    off = [name for name, r in rows if r["p_value"] < 0.05]
    verdict = f"Told from perfect: {listed(off)}." if off else "None is told from perfect on this many stamps."
    return f"The expected calibration error is {said}. {verdict}"


STAGES = {"before": "as trained", "temperature": "after a temperature", "isotonic": "after isotonic regression"}


def probabilities(evaluation: Mapping) -> str:
    """What the probabilities add up to at the sky's prevalence, and whether any stamp is likelier a lens than not."""
    survey = field(evaluation.get("calibration"), "survey")
    promised = field(survey, "promised_lenses")
    if not known(promised):
        return ""
    off = promised - 1
    said = f"At the prevalence of the sky they add up to {number(promised)} lenses for each one there is: "
    said += "right in total" if abs(off) < 0.02 else f"{abs(off):.0%} too {'many' if off > 0 else 'few'} in total"
    likelier = field(survey, "likelier_than_not", {}).get("completeness")
    if likelier == 0:
        return said + ". No test stamp is likelier a lens than not."
    return said + (f". {100 * likelier:.0f} of 100 arcs are likelier lenses than not." if known(likelier) else ".")


def change_of_light(evaluation: Mapping) -> str:
    """Which changes of the arc its effect survives, of those with an interval."""
    shares = field(evaluation.get("interventions"), "shares", {})
    names = {"core": "the light in the core", "outer": "the light outside it", "brightest_image": "the brightest image"}
    rows = [(names[k], shares[k]) for k in names if interval(shares.get(k))]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row[1]["value"])
    said = f"Of the arc's effect on the logit {listed([f'{n} carries {percent(m)}' for n, m in rows])}"
    return said + f": what counts most is {rows[0][0]}."


def plateau(ratio: float) -> float:
    """Logit of a network that knows that light was added and not whether it is an arc."""
    return math.log(1 / ratio)


def why_recall(evaluation: Mapping, logits: Mapping, ratio: float | None) -> str:
    """Why recall is what it is, as far as the scores say.

    Parameters
    ----------
    evaluation : mapping
    logits : mapping
        ``by_snr``, medians of positives' logits in bins of rising SNR with ``lo``, ``hi`` and ``median``; ``highest``,
        kinds of the survey negatives with the highest logits and how many of each.
    ratio : float or None
        Share of look-alikes among the negatives of the training.
    """
    point, rows = _lowest(evaluation), logits.get("by_snr") or ()
    threshold = ((point or {}).get("threshold") or {}).get("value")
    if not rows or not known(threshold) or not ratio or not interval(point["tpr"]):
        return ""
    if interval(point["tpr"])[0] >= AFFORDABLE:
        return ""
    top, at = rows[-1], plateau(ratio)
    said = (
        f"The brightest arcs (matched SNR from {top['lo']:g} up) have a median logit of {number(top['median'])}, the "
    )
    said += f"threshold is {number(threshold)}. "
    if top["median"] >= threshold:
        return said + "Bright arcs are found; what is missed is faint."
    said += "A network that knows that light was added, and not whether it is an arc, ends at "
    said += f"ln(1/{ratio:g}) = {number(at)} when {100 * ratio:.0f} of 100 negatives are look-alikes"
    near = abs(top["median"] - at) < 0.5
    said += (
        ": this one stops near it, and below the threshold. That is an inference from the scores, not a test."
        if near
        else (". This one is not near it, so that is not the reason.")
    )
    return said


def highest(logits: Mapping) -> str:
    """What the survey negatives are that set the threshold."""
    found = logits.get("highest") or {}
    if not found:
        return ""
    kinds = sorted(found.items(), key=lambda kv: -kv[1])
    said = listed(
        [counted(n, KIND_NAMES.get(k, (k, k + "s"))[0], KIND_NAMES.get(k, (k, k + "s"))[1]) for k, n in kinds]
    )
    why = LOOKS_LIKE.get(kinds[0][0], "")
    return (
        f"The {counted(sum(found.values()), 'negative')} that set the threshold are {said}{': ' if why else '.'}{why}"
    )


NEIGHBOUR = "a blue neighbour, by chance, lies at the right distance, and its light is as blue as an arc's."
LOOKS_LIKE = {
    "lrg": NEIGHBOUR,
    "blend": NEIGHBOUR,
    "spiral": "arms hold blue light at the distance where an arc would lie.",
    "ring": "a ring of stars is a ring.",
    "merger": "tails look like arcs.",
}
KIND_NAMES = {"lrg": ("red galaxy", "red galaxies"), "ring": ("ring galaxy", "ring galaxies")}
