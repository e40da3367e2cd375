"""Whether gates foretell networks that lean, as sentences that follow from what was measured."""

from __future__ import annotations

from collections.abc import Mapping

from dhs.figures.numbers.words import COUNTED, capital, counted, known, listed, number, short

WORDS = {"residual_image": "the residual image", "core_leakage": "core leakage", "any": "any gate"}
WORDS |= {"radial_profile_leakage": "the radial profile", "normalisation": "the sky's normalisation"}
WORDS |= {"hard_negative_texture": "texture", "arc_core_fraction": "the arc's flux and core fraction"}
RENDERING = ("residual_image", "arc_core_fraction")
"""Gates that render the arc again, which needs its parameters; the others learn from pixels alone."""
KEYS = (
    "run",
    "finding",
    "missed",
    "harmless",
    "cliff",
    "ahead",
    "pixels",
    "amplitude",
    "best",
    "rank",
    "reported",
    "lean",
)
KEYS += ("limits", "count_costly", "count_harmless", "count_cliff", "count_rank")


def leaks(measured: Mapping) -> dict[str, str]:
    """What ``benchmarks/leaks.py`` stored; every sentence is empty where it was not run."""
    answer, cells = measured.get("answer") or {}, measured.get("cells") or []
    if not cells or not answer.get("gates"):
        return {f"leaks_{key}": "" for key in KEYS}
    said = {
        "run": _run(measured),
        "finding": _finding(answer),
        "missed": _missed(answer),
        "harmless": _harmless(answer),
        "cliff": _cliff(answer),
        "ahead": _ahead(answer),
        "pixels": _pixels(answer),
        "amplitude": _amplitude(measured),
        "best": _best(answer),
        "rank": _rank(answer),
        "reported": _reported(measured),
        "lean": _lean(cells),
        "limits": _limits(measured),
        **_for_claims(answer),
    }
    return {f"leaks_{key}": text for key, text in said.items()}


def _counts(answer: Mapping, name: str = "any") -> tuple[int, int, int, int]:
    """Costly cells where the gate fails, all costly ones, harmless ones where it fails, all harmless ones."""
    c = answer["gates"][name]["costs"]
    return c["raised_yes"], c["raised_yes"] + c["silent_yes"], c["raised_no"], c["raised_no"] + c["silent_no"]


def _run(measured: Mapping) -> str:
    answer, cells, data = measured["answer"], measured["cells"], measured["data"]
    test, gates = cells[0]["lost"], measured.get("gate_set") or {}
    mock = "mock " if (data.get("hosts") or {}).get("mock") else ""
    return (
        f"{capital(counted(answer['n_kinds'], 'kind'))} of leak were planted in the positives, in "
        f"{number(answer['n_cells'])} strengths altogether, and {number(len(measured['networks']))} small networks "
        f"trained on {number(measured['networks'][0]['stamps'])} stamps each, "
        f"{counted(measured['clean']['networks'], 'of them', 'of them')} without a leak. Logits are of "
        f"{number(test['n'])} test pairs on {number(test['n_hosts'])} {mock}galaxies; "
        f"{counted(answer['n_gates'], 'gate')} judged {number(gates.get('n_pairs'))} training pairs with the same "
        "leaks, and with fainter ones."
    )


def _finding(answer: Mapping) -> str:
    """The answer in one sentence."""
    caught, costly, alarmed, harmless = _counts(answer)
    if not costly:
        return "No leak cost a network anything that was measured, so the question is open."
    if caught < costly:
        return f"**No: {costly - caught} of the {costly} leaks that cost a network something passed every gate.**"
    if harmless and alarmed == harmless:
        return "**The alarm misses nothing and tells nothing apart.**"
    if harmless and 2 * alarmed > harmless:
        return "**No leak that costs a network anything passed; most that cost nothing failed too.**"
    return "**Yes: a gate fails where a network suffers, and mostly there alone.**"


def _missed(answer: Mapping) -> str:
    """Leaks that cost and that no gate refuses."""
    caught, costly, *_ = _counts(answer)
    if not costly:
        return ""
    said = f"A gate fails in {_of(caught, costly)} cases in which the AUROC on clean pairs falls by more than "
    said += f"{number(answer['margin'])}, its whole interval"
    alone = [n for n in answer["gates"] if n != "any" and _counts(answer, n)[0] == costly]
    return said + (f"; {listed([WORDS.get(n, n) for n in alone])} alone catches them." if len(alone) == 1 else ".")


def _harmless(answer: Mapping) -> str:
    """Leaks that gates refuse and networks leave alone."""
    _, _, alarmed, harmless = _counts(answer)
    if not harmless:
        return ""
    said = f"It fails as well in {_of(alarmed, harmless)} cases in which the AUROC falls by less than that"
    never = [k for k, e in answer["kinds"].items() if e["costs_not_to"] == max(e["trained_at"])]
    said += f"; a {never[0]} costs nothing at any strength." if len(never) == 1 else "."
    return said + " A gate that fails says that positives differ from what they should be, not that a network cares."


def _for_claims(answer: Mapping) -> dict[str, str]:
    """The numbers alone, for a table of claims."""
    caught, costly, alarmed, harmless = _counts(answer)
    lost = sorted((e["at"]["lost"] for e in answer["kinds"].values() if "at" in e), key=lambda m: m["value"])
    found = [t["correlation"] for t in answer["gates"].values() if known((t.get("correlation") or {}).get("p"))]
    best = min(found, key=lambda c: c["p"], default=None)
    return {
        "count_costly": f"in {_of(caught, costly)} that cost",
        "count_harmless": f"in {_of(alarmed, harmless)} that do not",
        "count_cliff": f"{short(lost[0])} to {short(lost[-1])}" if lost else "",
        "count_rank": f"{short(best)}, corrected p = {number(best['holm_p'])}" if best else "",
    }


def _of(some: int, every: int) -> str:
    return f"all {every}" if some == every else f"{some} of the {every}"


def _cliff(answer: Mapping) -> str:
    """How suddenly a leak begins to cost."""
    steps = {k: e for k, e in answer["kinds"].items() if "below" in e}
    clear = {k: e for k, e in steps.items() if e["costs_not_to"] == e["below"]["strength"]}
    if not clear:
        return ""
    lost = sorted(((e["at"]["lost"], k) for k, e in clear.items()), key=lambda pair: pair[0]["value"])
    factors = [e["at"]["strength"] / e["below"]["strength"] for e in clear.values()]
    (least, first), (most, last) = lost[0], lost[-1]
    factor = " to ".join(dict.fromkeys(number(f, 0) for f in (min(factors), max(factors))))
    lost_to = f"{short(most)}, for {last}"
    if first != last:
        lost_to = f"between {short(least)}, for {first}, and {lost_to}"
    return (
        f"Harm comes as a cliff. Of {counted(len(clear), 'kind')} of leak one step of strength, a factor of {factor}, "
        f"leads from less than {number(answer['margin'])} of AUROC lost to {lost_to}."
    )


def _ahead(answer: Mapping) -> str:
    """How much fainter than anything that costs the first gate fails."""
    kinds = {k: e for k, e in answer["kinds"].items() if known(e["costs_not_to"]) and known(e["fails_from"]["any"])}
    if not kinds:
        return ""
    ratio = {k: e["costs_not_to"] / e["fails_from"]["any"] for k, e in kinds.items()}
    low, high = min(ratio, key=lambda k: ratio[k]), max(ratio, key=lambda k: ratio[k])
    if ratio[low] < 1:
        return f"Of {low} a network suffers before the first gate fails."
    return (
        "The first gate fails long before: at strengths below the greatest that cost nothing by a factor of "
        f"{number(ratio[low], 0)} for {low} and up to {number(ratio[high], 0)} for {high}. So a set that it lets "
        "through is safe from these leaks, as far as harm grows with strength; whether one that it refuses would have "
        "done harm only a training tells."
    )


def _pixels(answer: Mapping) -> str:
    """What is left without the arcs' parameters."""
    costly = {k: e for k, e in answer["kinds"].items() if "at" in e}
    rest = [n for n in answer["gates"] if n not in (*RENDERING, "any")]
    if not costly or not rest:
        return ""
    n = {name: sum(name in e["at"]["fails"] for e in costly.values()) for name in rest}
    each = [
        f"{WORDS.get(name, name)} for {COUNTED[n[name]] if n[name] else 'none'}"
        for name in sorted(rest, key=lambda name: -n[name])
    ]
    said = (
        "Gates that look at pixels alone, as whoever lacks the arcs' parameters must, are late. Where "
        f"{counted(len(costly), 'kind')} begin to cost, the alarm is given by {listed(each)}"
    )
    gone = [k for k, e in costly.items() if not set(rest) & set(e["at"]["fails"])]
    return said + (f"; of {listed(gone)} all of these are silent." if gone else ".")


def _amplitude(measured: Mapping) -> str:
    """Kinds measured in one unit begin to cost at strengths far apart."""
    groups: dict[str, list[str]] = {}
    for kind in measured["answer"]["kinds"]:
        groups.setdefault((measured["leaks"].get(kind) or {}).get("unit", ""), []).append(kind)
    unit, kinds = max(groups.items(), key=lambda item: len(item[1]))
    found = {k: measured["answer"]["kinds"][k] for k in kinds}
    starts = sorted((e["costs_from"], k) for k, e in found.items() if known(e["costs_from"]))
    never = [(max(e["trained_at"]), k) for k, e in found.items() if e["costs_not_to"] == max(e["trained_at"])]
    if len(starts) + len(never) < 3 or not starts:
        return ""
    said = listed(
        [*(f"{k} from {s:g}" for s, k in starts), *(f"{k} not even at {s:g}" for s, k in never)],
        ", but" if never else "and",
    ).replace(" , but", ", but")
    return f"The size of a leak does not tell either. In units of the {unit}, these cost: {said}."


def _best(answer: Mapping) -> str:
    """The gate that tells most of the costly from the harmless cases."""
    found = {n: _counts(answer, n) for n in answer["gates"] if n != "any"}
    if not found or not all(c[1] and c[3] for c in found.values()):
        return ""
    gain = {n: c[0] / c[1] - c[2] / c[3] for n, c in found.items()}
    best = max(gain, key=lambda n: gain[n])
    caught, costly, alarmed, harmless = found[best]
    if gain[best] < 0.2:
        return "No gate fails much more often where it costs than where it does not."
    return (
        f"The gate that tells most apart is {WORDS.get(best, best)}: it fails in {_of(caught, costly)} cases that cost "
        f"and in {alarmed} of the {harmless} that do not."
    )


def _rank(answer: Mapping) -> str:
    """Whether a gate's value tells which kinds of leak cost how much."""
    found = {n: t["correlation"] for n, t in answer["gates"].items() if known((t.get("correlation") or {}).get("p"))}
    if not found:
        return ""
    shown = [n for n, c in found.items() if c["holm_p"] < 0.05]
    best = min(found, key=lambda n: found[n]["p"])
    c = found[best]
    numbers = (
        f"rank correlation {short(c)}, p = {number(c['p'])}, and {number(c['holm_p'])} when corrected for "
        f"{counted(len(found), 'gate')}"
    )
    flat = [
        n for n, t in answer["gates"].items() if n != "any" and not known((t.get("correlation") or {}).get("value"))
    ]
    kinds = f" The kinds of leak are the units, and there are {counted(answer['n_kinds'], 'of them', 'of them')}."
    if shown:
        said = f"How far {listed([WORDS.get(n, n) for n in shown])} lies beyond its limit tells which leaks cost"
    else:
        said = "How far a gate lies beyond its limit is not shown to tell which leaks cost"
    said += f". Nearest comes {WORDS.get(best, best)}: {numbers}."
    if flat:
        said += f" The value of {listed([WORDS.get(n, n) for n in flat])} says least, for it is at its ceiling."
    return said + kinds


def _reported(measured: Mapping) -> str:
    """What a test set that was made like the training set says of networks that were harmed."""
    hurt = [c for c in measured["cells"] if c["costs"]]
    if not hurt:
        return ""
    better = [c for c in hurt if c["auroc_leaked"]["ci_low"] > measured["clean"]["auroc"]["ci_high"]]
    worst = max(hurt, key=lambda c: c["lost"]["value"])
    return (
        "A test set that was made like the training set hides the harm. With the leak in the test's positives too, "
        f"networks of {_of(len(better), len(hurt))} harmed cases score above the clean networks' "
        f"{short(measured['clean']['auroc'])}. The worst, {worst['kind']} at {worst['strength']:g}, reads "
        f"{number(worst['auroc_leaked']['value'])} there and {short(worst['auroc_clean'])} on clean pairs."
    )


def _lean(cells: list[Mapping]) -> str:
    """Networks that lean on a leak without paying for it."""
    leaning = [c for c in cells if c["leans"]]
    free = [c for c in leaning if not c["costs"]]
    if not leaning:
        return "No network gives the leak alone, in a galaxy without an arc, a higher score."
    full = max(leaning, key=lambda c: c["leak_alone"]["value"])
    said = (
        f"Put alone into galaxies without an arc, the leak lifts their scores in {len(leaning)} of {len(cells)} cases; "
        f"at worst ({full['kind']} at {full['strength']:g}) they then rank above others without it with an AUROC of "
        f"{number(full['leak_alone']['value'])}"
    )
    if not free:
        return said + "; all of these pay for it."
    named = listed([f"{c['kind']} at {c['strength']:g}" for c in free])
    return said + f". {capital(counted(len(free), 'of these', 'of these'))} lose less than shows for it: {named}."


def _limits(measured: Mapping) -> str:
    """What one run of small networks on these galaxies can't show."""
    cells, made, asked = measured["cells"], len(measured["networks"]), measured.get("networks_asked")
    single = sum(c["networks"] == 1 for c in cells)
    epochs = measured["networks"][0]["stamps"] / (2 * measured["train_pairs"])
    said = f"One small architecture, trained for {number(epochs, 1)} epochs on one {measured['machine']['device']}. "
    if asked and made < asked:
        said += (
            f"{made} of the {asked} networks were trained in the time; {single} of {len(cells)} cases have one seed. "
        )
    if (measured["data"].get("hosts") or {}).get("mock"):
        said += "The galaxies are mock. "
    return said + (
        "Look-alikes carried no leak, which flatters the texture gate: a pipeline would put the leak into both. Shares "
        "of cases depend on the strengths that were chosen; where the cost begins is known to one step of them."
    )
