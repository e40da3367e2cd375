"""The front page's findings: which sentence stands there follows from the run's intervals, not from its author."""

from __future__ import annotations

from collections.abc import Mapping

from dhs.figures.numbers import network
from dhs.figures.numbers.words import capital, counted, field, interval, known, listed, number, short


def story(about: Mapping) -> dict[str, str]:
    """All keys.

    Parameters
    ----------
    about : mapping
        ``manifest``, ``preflight``, ``evaluation``, ``real_lenses``, ``signoff`` and ``operating`` as stored;
        ``logits`` and ``ratio`` of `dhs.figures.numbers.network.why_recall`; ``version``. Each may be left out.
    """
    evaluation, preflight = about.get("evaluation") or {}, about.get("preflight") or {}
    manifest, real = about.get("manifest") or {}, about.get("real_lenses") or {}
    logits = about.get("logits") or {}
    return {
        "finding_set": finding_set(preflight, about.get("operating") or {}),
        "finding_network": finding_network(evaluation),
        "finding_survey": finding_survey(evaluation),
        "caveat": caveat(manifest, real),
        "why_recall": network.why_recall(evaluation, logits, about.get("ratio")),
        "highest": network.highest(logits),
        "premise": premise(preflight),
        "core_difference": core_difference(preflight),
        "core_with_lookalikes": core_with_lookalikes(preflight),
        "operating": operating(about.get("operating") or {}),
        "blind_to": blind_to(about.get("operating") or {}),
        "alt_front": " ".join(
            filter(None, (network.twins(evaluation), network.ring(evaluation), network.core(evaluation)))
        ),
        "version": str(about.get("version") or ""),
        "hash": str(manifest.get("content_hash") or "")[:12],
        "commit": str(manifest.get("git_commit") or "")[:12],
        "seed": str(manifest.get("seed", "")),
    }


def core_gate(preflight: Mapping) -> Mapping:
    return next((g for g in preflight.get("gates") or () if g["name"] == "core_leakage"), {})


def core_difference(preflight: Mapping) -> str:
    """The core's AUC less that of physics, with the margin and whether it holds."""
    details = core_gate(preflight).get("details") or {}
    delta, margin = details.get("delta"), details.get("margin")
    bounds = interval(delta)
    if bounds is None or not known(margin):
        return ""
    digits = 3 if abs(delta["value"]) < 0.005 else 2
    size = (
        f"difference {network.number(delta['value'], digits) if round(delta['value'], digits) else '0.' + '0' * digits}"
    )
    size += f", margin {number(margin)}"
    if -margin < bounds[0] and bounds[1] < margin:
        return f"the core tells no more than the lens equation says ({size})"
    if bounds[0] >= margin:
        return f"the core tells more than the lens equation says ({size})"
    if bounds[1] <= -margin:
        return f"the core tells less than the lens equation says ({size})"
    return f"whether the core tells more than the lens equation says is open ({size})"


def operating(study: Mapping) -> str:
    """How often gates erred on sets with and without a planted fault."""
    clean, faults = study.get("clean") or {}, study.get("faults") or []
    if not clean.get("n") or not faults:
        return ""
    seen = [f for f in faults if f.get("smallest_caught") is not None]
    said = f"{len(seen)} of {counted(len(faults), 'kind')} of planted fault were caught from some strength on"
    return said + f", and {clean['n'] - clean['false_failures']} of {clean['n']} clean sets passed"


def blind_to(study: Mapping) -> str:
    """The faults that the gates saw at no strength that was tried."""
    names = [f["name"] for f in study.get("faults") or () if f.get("smallest_caught") is None]
    return f"At no strength that was tried did the gates see these: {listed(names)}." if names else ""


def finding_set(preflight: Mapping, study: Mapping) -> str:
    """Is the set fit to train on?"""
    gates = preflight.get("gates") or []
    if not gates:
        return ""
    failed = [g["name"] for g in gates if g["status"] == "fail"]
    blocking = [g["name"] for g in failed_blocking(gates)]
    open_ = [g["name"] for g in gates if g["status"] in ("warn", "skip")]
    passed = sum(g["status"] == "pass" for g in gates)
    core = core_difference(preflight)
    if blocking:
        head = f"**The set is not fit to train on.** {capital(counted(len(blocking), 'gate'))} that block training "
        return head + f"failed: {listed(blocking)}."
    if failed:
        head = f"**The set has faults that do not forbid training.** {capital(listed(failed))} failed; "
        head += f"{passed} of {len(gates)} gates passed."
    elif any(g["blocking"] and g["name"] in open_ for g in gates):
        head = (
            f"**No fault was found in the set, and not everything was shown.** {passed} of {len(gates)} gates passed; "
        )
        head += f"{listed(open_)} {'is' if len(open_) == 1 else 'are'} open."
    else:
        head = f"**The set is clean, as far as its gates see.** {passed} of {len(gates)} gates passed"
        head += f"; {listed(open_)} {'is' if len(open_) == 1 else 'are'} open." if open_ else ", and none failed."
    said = operating(study)
    return " ".join(filter(None, (head, capital(core) + "." if core else "", capital(said) + "." if said else "")))


def failed_blocking(gates) -> list[Mapping]:
    return [g for g in gates if g["blocking"] and g["status"] == "fail"]


def finding_network(evaluation: Mapping) -> str:
    """Light, or arcs?"""
    verdict, ranked = network.lookalikes(evaluation), network.twins(evaluation)
    against = field(evaluation.get("hard_negatives"), "auroc")
    if not verdict or not ranked:
        return ""
    twin = evaluation.get("concordance")
    if interval(twin) and interval(twin)[0] > network.CHANCE:
        ranked = ranked.rstrip(".") + f", above a look-alike {network.in_100(against)}."
    return f"**{verdict}** {ranked}"


def finding_survey(evaluation: Mapping) -> str:
    """Would it find lenses in a survey?"""
    point = network._lowest(evaluation)
    bounds = interval(point and point["tpr"])
    if bounds is None:
        return ""
    if bounds[0] >= network.AFFORDABLE:
        head = "**It finds arcs at a rate that a survey can afford.**"
    elif bounds[1] < network.AFFORDABLE:
        head = "**So it is not a finder yet.**"
    else:
        head = "**Whether it is a finder is open.**"
    return " ".join(filter(None, (head, network.recall(evaluation), network.candidates(evaluation))))


def caveat(manifest: Mapping, real: Mapping) -> str:
    """What the numbers are of, in one line."""
    hosts, sources = manifest.get("hosts") or {}, manifest.get("sources") or {}
    if not hosts or not sources:
        return ""
    names = {"xdf": "from the Hubble eXtreme Deep Field", "real_galaxy": "from COSMOS"}
    of = names.get(sources.get("kind"), "")
    host = "Simulated host galaxies" if hosts.get("mock") else "Real host galaxies"
    source = (
        "simulated sources"
        if sources.get("mock")
        else f"real sources ({number(sources.get('n'))} {of})".replace(" )", ")")
    )
    n = real.get("n_lenses") or 0
    scored = counted(n, "real lens", "real lenses") + " scored" if n else "no real lens scored"
    means = "So the numbers judge the method, not the sky." if hosts.get("mock") or sources.get("mock") or not n else ""
    return f"{host}, {source}, {scored}. {means}".strip()


def premise(preflight: Mapping) -> str:
    """Does core leakage at large Einstein radii match physics, as the premise of the work has it?"""
    bins = (core_gate(preflight).get("details") or {}).get("bins") or []
    wide = [
        b for b in bins if b.get("by") == "theta_e_arcsec" and b["lo"] >= 2 and interval(b) and known(b.get("expected"))
    ]
    near = [b for b in bins if b.get("by") == "theta_e_arcsec" and b["hi"] <= 1 and known(b.get("value"))]
    if not wide:
        return ""
    values = listed([number(b["value"]) for b in wide])
    expected = listed([number(b["expected"]) for b in wide])
    said = f"At Einstein radii from 2 arcsec up the core alone gives an AUC of {values} where the lens equation gives "
    said += expected
    statuses = {b.get("status") for b in wide}
    if statuses == {"pass"}:
        said += ", equal within the margin: **yes, it is physics**"
    elif "fail" in statuses:
        said += ": **no, that is more than physics**"
    else:
        said += "; the interval is too wide to call them equal within the margin: **not contradicted, not shown**"
    if near:
        said += f". The larger number stands at radii below 1 arcsec: {number(near[0]['value'])}, where physics gives "
        said += number(near[0].get("expected"))
    return said + "."


def core_with_lookalikes(preflight: Mapping) -> str:
    """The sixth preflight check: the core alone with hard negatives included."""
    found = (core_gate(preflight).get("details") or {}).get("hard_negatives") or {}
    mixed, alone = found.get("with hard negatives") or {}, found.get("hard negatives alone") or {}
    if not short(mixed) or not short(alone):
        return ""
    said = f"With look-alikes among the negatives the core alone reaches {short(mixed)} where physics gives "
    said += f"{number(mixed.get('expected'))}; against look-alikes alone {short(alone)}, where physics gives "
    bounds = interval(alone)
    little = bounds and bounds[1] < 0.6
    return said + number(alone.get("expected")) + (": there the core is worth little." if little else ".")
