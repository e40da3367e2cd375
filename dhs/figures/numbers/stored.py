"""Results that were measured once, stored with the project and shown with it, as sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from dhs.figures.numbers import network
from dhs.figures.numbers.words import counted, field, interval, known, listed, number, short

RECIPES = {"plan": "the plan's ResNet-18", "finder": "a smaller network with half of its negatives look-alikes"}
SAYS = ("lookalikes", "by_kind", "twins", "ring", "core", "core_masked", "recall", "called_lenses")


def plan_on_gpu(measured: Mapping) -> dict[str, str]:
    """The seed's plan on one graphics processor, as sentences that follow from what was measured."""
    runs = measured.get("recipes") or {}
    plan, finder = (runs.get(name) or {} for name in ("plan", "finder"))
    out = dict.fromkeys(("run", "learning", "finder", "leaning", "plateau", "limits", "against_demo", "hours"), "")
    out |= {f"{name}_{key}": "" for name in RECIPES for key in (*SAYS, "auroc", "hard_negatives")}
    for name in RECIPES:
        found = (runs.get(name) or {}).get("evaluation") or {}
        for key in SAYS if found else ():
            out[f"{name}_{key}"] = getattr(network, key)(found)
        out |= {f"{name}_auroc": short(found.get("auroc"))} if found else {}
        out |= {f"{name}_hard_negatives": short(field(found.get("hard_negatives"), "auroc"))} if found else {}
    if not plan.get("history"):
        return out
    data = measured["data"]
    pairs = sum(data["counts"].values())
    made, trained = (number(round(n)) for n in (data["pairs_per_s"], plan["stamps_per_s"]))
    out["run"] = (
        f"{number(pairs)} pairs on {number(data['hosts']['n'])} mock galaxies were made by "
        f"{measured['machine']['cores']} cores at {made} a second and trained on one {measured['machine']['device']} "
        f"at {trained} stamps a second: {plan['epochs']} of the plan's {plan['epochs_asked']} epochs fitted into the "
        "ten minutes that there were."
    )
    epoch = plan["about"]["seconds_a_step"] * plan["about"]["steps_an_epoch"] if plan.get("about") else None
    if known(epoch):
        minutes = (data["inject_s"] + epoch * plan["epochs_asked"]) / 60
        out["hours"] = (
            f"{number(round(minutes))} minutes on one {measured['machine']['device']} with "
            f"{measured['machine']['cores']} cores"
        )
    return out | {
        "learning": _learning(plan, data),
        "finder": _finder(finder, runs.get("finder_few_galaxies") or {}),
        "leaning": _leaning(plan, finder),
        "plateau": _plateau(runs),
        "limits": _limits(measured),
    }


def _learning(plan: Mapping, data: Mapping) -> str:
    aurocs = [row["auroc_val"] for row in plan["history"]]
    peak, last = max(aurocs), aurocs[-1]
    said = f"The plan's network is best at epoch {plan['best_epoch']}, with a validation AUROC of {number(peak)}"
    losses = [plan["history"][i]["loss_val"] for i in (aurocs.index(peak), -1)]
    hosts = data["hosts"]["per_split"]["train"]
    if last < peak - 0.005 and losses[1] > losses[0]:
        each = round(data["counts"]["train"] / hosts)
        return said + (
            f"; by epoch {plan['epochs']} it has fallen to {number(last)} while the training loss still falls. It saw "
            f"{number(hosts)} distinct galaxies, some {number(each)} pairs each, and may be learning those: more "
            "galaxies would tell."
        )
    return said + "."


def _finder(finder: Mapping, before: Mapping) -> str:
    """What the finder was trained on, and what it finds that it did not with fewer galaxies."""
    if not finder.get("history"):
        return ""
    about, hosts = finder["about"], (finder.get("data") or {}).get("hosts") or {}
    said = f"A network of {number(about['parameters'] / 1e6, 1)} million parameters, half of its negatives look-alikes"
    if about.get("survey_share"):
        said += f" and {number(100 * about['survey_share'], 0)} % survey galaxies"
    if galaxies := (hosts.get("per_split") or {}).get("train"):
        said += f", trained on {number(galaxies)} distinct galaxies"
    said += f" for {finder['epochs']} epochs"
    now, then = (_recall_at(run, 1e-3) for run in (finder, before))
    if now is None:
        return said + f" reaches {number(max(row['auroc_val'] for row in finder['history']))} on the validation split."
    said += f", finds {short(now)} of the arcs at one false alarm in a thousand survey negatives"
    if then is None:
        return said + "."
    said += f". Trained on a few thousand galaxies and no survey negatives, the same network found {short(then)}"
    bounds = interval(now), interval(then)
    apart = all(bounds) and (bounds[0][0] > bounds[1][1] or bounds[0][1] < bounds[1][0])
    return said + (
        ": galaxies, negatives, core dropout and epochs were changed together, and which of them did it is not told."
        if apart
        else ", which is no different within the error."
    )


def _recall_at(run: Mapping, fpr: float) -> Mapping | None:
    """Recall at a false-positive rate, where the evaluation supports it."""
    rows = (run.get("evaluation") or {}).get("tpr_at_fpr") or []
    return next((e["tpr"] for e in rows if abs(e["fpr"] / fpr - 1) < 0.01 and known(e["tpr"].get("value"))), None)


def _leaning(plan: Mapping, finder: Mapping) -> str:
    """What masking the core costs either network, where both were judged."""
    masked = [field((r.get("evaluation") or {}).get("core_masked"), "auroc") for r in (plan, finder)]
    if not all(m and known(m.get("value")) for m in masked):
        return ""
    said = f"With the core masked the AUROC against twins is {short(masked[0])} for the plan's network"
    said += f" and {short(masked[1])} for the smaller one"
    if (finder.get("config") or {}).get("core_dropout_prob"):
        return said + ": both were trained with core dropout, and neither needs the core."
    bounds = [interval(m) for m in masked]
    leans = all(bounds) and bounds[1][1] < bounds[0][0]
    never = ". The smaller one has never met a mask, so its loss is of the mask and of the core together."
    return said + (never if leans else ".")


def _plateau(runs: Mapping) -> str:
    """Whether positives' logits follow the prediction ln(1 / ratio), from short trainings at several ratios."""
    ended = {float(n.removeprefix("ratio_")): r for n, r in runs.items() if n.startswith("ratio_") and r.get("history")}
    found = [(k, r["history"][-1]["positive_logit_median"], r["predicted_plateau"]) for k, r in sorted(ended.items())]
    if len(found) < 2:
        return ""
    said = listed([f"{number(logit)} at {ratio:g} (predicted {number(want)})" for ratio, logit, want in found])
    epochs = listed(sorted({r["epochs"] for r in ended.values()}))
    falls = all(a[1] > b[1] for a, b in pairwise(found))
    verdict = (
        f"The order is the predicted one; after {epochs} epochs the values are no test of it."
        if falls
        else "The order is not the predicted one."
    )
    return f"Median logit of positives by share of look-alikes among the negatives: {said}. {verdict}"


def _limits(measured: Mapping) -> str:
    """What one training on few galaxies can't show."""
    hosts = measured["data"]["hosts"]
    mock = "mock, and " if hosts.get("mock") else ""
    said = "One training of each, so the scatter between seeds is not known; the galaxies are "
    said += f"{mock}{number(hosts['n'])} in all"
    return said + ("." if measured.get("complete") else "; the gates had not all been measured when the time was over.")


def stored(found: Mapping) -> dict[str, str]:
    """Sentences of the stored studies by name; empty where one was not made."""
    return {
        "recipes": _recipes(found.get("recipe") or {}),
        "transfer": _transfer(found.get("transfer") or {}),
        "learning_curve": _learning_curve(found.get("learning_curve") or {}),
        **_audit_any(found.get("audit_any") or {}),
    }


def _audit_any(study: Mapping) -> dict[str, str]:
    """How often the audit of anyone's set errs, either way."""
    out = dict.fromkeys(("audit_any_clean", "audit_any_leaks", "audit_any_copies"), "")
    clean, leaks, copies = (study.get(k) or {} for k in ("clean", "leaks", "copies"))
    if clean.get("n"):
        sets, refused = number(clean["n"]), number(clean["false_failures"])
        out["audit_any_clean"] = (
            f"Of {sets} clean sets of {number(study['made_with']['stamps'])} mock galaxies each, labels at random, "
            f"{refused} were refused: at most {number(clean['upper_bound'])} of such sets are, with a certainty of "
            "nineteen in twenty."
        )
    if leaks:
        said = []
        for name, leak in leaks.items():
            every = [bool(n) and k == n for k, n in zip(leak["caught"], leak["tried"])]
            sure = [s for i, s in enumerate(leak["strengths"]) if all(every[i:])]
            said.append(f"{name} from {sure[0]:.2g} ({leak['unit']})" if sure else f"{name} at no strength tried")
        sets = max(max(leak["tried"]) for leak in leaks.values())
        strengths = max(len(leak["strengths"]) for leak in leaks.values())
        out["audit_any_leaks"] = (
            f"{counted(len(leaks), 'kind').capitalize()} of leak were planted at {number(strengths)} strengths each in "
            f"the positives of sets of {number(study['made_with']['stamps'])} stamps, {counted(sets, 'set')} a "
            f"strength. Caught in every one: {listed(said)}."
        )
    if copies:
        caught, tried = (sum(c[k] for c in copies.values()) for k in ("caught", "n"))
        lost = [name for name, c in copies.items() if c["caught"] < c["n"]]
        out["audit_any_copies"] = (
            f"A single copy under the other label was found in {number(caught)} of {number(tried)} sets: "
            f"{listed(list(copies))}." + (f" Some were missed: {listed(lost)}." if lost else "")
        )
    return out


def _recipes(study: Mapping) -> str:
    """Trainings of equal cost, by what they are taught with: the seed's recipe and the best, budget by budget."""
    rows = study.get("rows") or []
    said = []
    for minutes in sorted({r["minutes"] for r in rows}):
        mine = [r for r in rows if r["minutes"] == minutes]
        first = next((r for r in mine if r["name"] == "seed"), None)
        best = max(mine, key=lambda r: r["choice"])
        if first is None or best is first:
            continue
        seeds = max(len(r["seeds"]) for r in mine)
        gain = best["recall_1e-2"].get("difference")
        text = f"Of {counted(len(mine), 'recipe')} of {number(minutes, 0)} processor minutes the best on the "
        text += f"validation split, *{best['name'].replace('_', ' ')}*, finds {short(best['recall_1e-2'])} of the test "
        text += f"arcs at one false alarm in a hundred and {short(best['recall_1e-3'])} at one in a thousand; the "
        text += f"seed's finds {short(first['recall_1e-2'])} and {short(first['recall_1e-3'])}"
        bounds = interval(gain) if gain else None
        apart = bounds and (bounds[0] > 0 or bounds[1] < 0)
        text += ", a difference that its interval keeps" if apart else ", no different within the error"
        said.append(text + f" ({counted(seeds, 'seed')} each).")
    return " ".join(said)


def _transfer(study: Mapping) -> str:
    """What a network loses between mock and real galaxies: AUROC against twins, recall at one in a hundred."""
    rows = {(r["trained_on"], r["tested_on"]): r for r in study.get("rows") or ()}
    home, away = rows.get(("mock", "mock")), rows.get(("mock", "real"))
    if not home or not away:
        return ""
    out = f"Taught on mock galaxies, a network has an AUROC against twins of {short(home['auroc_twins'])} on mock "
    out += f"galaxies it never saw and of {short(away['auroc_twins'])} on {number(away['n']['hosts'])} real ones. "
    found = [r.get("recall_1e-2") for r in (home, away)]
    if all(short(f) for f in found):
        out += (
            f"At the threshold of one false alarm in a hundred mock galaxies it finds {short(found[0])} of the arcs in "
        )
        out += f"mock and {short(found[1])} in real galaxies"
        alarms = away.get("false_alarms_1e-2") or {}
        if known(alarms.get("k")):
            out += f", and calls {alarms['k']} of {alarms['n']} real galaxies lenses"
        lost = _less(found[1], found[0])
        out += ": part of what it learnt on mock galaxies is lost on real ones" if lost else ""
        out += "." if lost else "; that anything is lost is not shown on so few."
    real = rows.get(("real", "real"))
    if real and short(real["auroc_twins"]):
        out += f" Taught on the real ones themselves, it reaches {short(real['auroc_twins'])} on the "
        out += f"{number(real['n']['hosts'])} it did not see: too few to learn from."
    return out


def _less(first: Mapping, second: Mapping) -> bool:
    """One number below an independent other, by an interval for their difference (Newcombe 1998)."""
    bounds = interval(first), interval(second)
    if not all(bounds):
        return False
    apart = second["value"] - first["value"]
    return apart > math.hypot(second["value"] - bounds[1][0], bounds[0][1] - first["value"])


def _learning_curve(curve: Mapping) -> str:
    """What more pairs change, from trainings on parts of one set."""
    points = sorted(curve.get("points") or (), key=lambda p: p["pairs"])
    if len(points) < 2:
        return ""
    first, last = points[0], points[-1]
    said = f"From {number(first['pairs'])} to {number(last['pairs'])} pairs "
    names = {"auroc": "the AUROC against twins", "auroc_hard": "that against look-alikes", "recall": "the recall"}
    parts, grew = [], []
    for key, name in names.items():
        if short(first.get(key)) and short(last.get(key)):
            parts.append(f"{name} goes from {short(first[key])} to {short(last[key])}")
            apart = interval(first[key]) and interval(last[key]) and interval(last[key])[0] > interval(first[key])[1]
            grew += [name] if apart else []
    said += listed(parts)
    if not parts:
        return ""
    return said + (f": more pairs help {listed(grew)}." if grew else ": that more pairs help is not shown.")
