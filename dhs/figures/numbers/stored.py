"""Results that were measured once, stored with the project and shown with it, as sentences."""

from __future__ import annotations

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
        "finder": _finder(finder),
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


def _finder(finder: Mapping) -> str:
    if not finder.get("history"):
        return ""
    best = max(row["auroc_val"] for row in finder["history"])
    return (
        f"A network of {number(finder['about']['parameters'] / 1e6, 1)} million parameters without core dropout, half "
        f"of its negatives look-alikes, taught by the plan's, reaches {number(best)} in {finder['epochs']} epochs."
    )


def _leaning(plan: Mapping, finder: Mapping) -> str:
    """What masking the core costs either network, where both were judged."""
    masked = [field((r.get("evaluation") or {}).get("core_masked"), "auroc") for r in (plan, finder)]
    if not all(m and known(m.get("value")) for m in masked):
        return ""
    said = (
        f"With the core masked the AUROC against twins is {short(masked[0])} for the plan's network, which was trained "
    )
    said += f"with core dropout, and {short(masked[1])} for the smaller one, which was not"
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
    """Short trainings of equal time, by what they are taught with."""
    rows = study.get("rows") or []
    if not rows:
        return ""
    said = [f"*{r['name'].replace('_', ' ')}* {short(r['auroc_lookalikes'])}" for r in rows]
    out = f"{counted(len(rows), 'recipe').capitalize()} of {number(rows[0]['minutes'], 0)} minutes on "
    out += f"{study['cores']} cores reach, against look-alikes, an AUROC of {listed(said)}. "
    bounds = [interval(r["auroc_lookalikes"]) for r in rows]
    apart = all(bounds) and max(b[0] for b in bounds) > min(b[1] for b in bounds)
    out += "The best and the worst are told apart" if apart else "No two are told apart"
    seeds = max(len(r["seeds"]) for r in rows)
    return out + (", on one seed each." if seeds == 1 else f", on {seeds} seeds each.")


def _transfer(study: Mapping) -> str:
    """Trained and tested on mock and on real galaxies: recall at one false alarm in ten."""
    rows = study.get("rows") or []
    if not rows:
        return ""
    said = [
        f"{short(r['auroc_twins'])} trained on {r['trained_on']} and tested on {r['tested_on']} galaxies"
        for r in rows
        if r.get("auroc_twins")
    ]
    real = (study.get("hosts") or {}).get("real") or {}
    out = f"The AUROC against twins is {listed(said)}; the real galaxies are {number(real.get('n'))}. "
    at = {(r["trained_on"], r["tested_on"]): interval(r.get("auroc_twins")) for r in rows}
    home, away = at.get(("mock", "mock")), at.get(("mock", "real"))
    if not home or not away:
        return out.strip()
    if away[1] < home[0]:
        return out + "What was learnt on mock galaxies is partly lost on real ones."
    return out + "On so few, that what was learnt on mock galaxies is lost on real ones is neither shown nor refuted."


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
