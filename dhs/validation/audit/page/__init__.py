"""The report as ONE HTML file: pictures in it, nothing loaded, every text escaped."""

from __future__ import annotations

import html
from importlib import metadata, resources
from string import Template

import numpy as np

from dhs.artefacts.audit import WORDS, Audit
from dhs.artefacts.parts import text as number
from dhs.random import Stream, keyed
from dhs.validation.audit.check import AuditData
from dhs.validation.audit.page import pictures

N_SHOWN = 12
RULES = {
    "GO": "No check found a way to tell the classes apart. It is no proof: see what could have been missed.",
    "CONDITIONAL-GO": "Nothing forbids training; read what is not settled before you believe a score.",
    "NO-GO": "A network can tell the classes apart without looking at a lens. Repair this before you train.",
}


def page(report: Audit, data: AuditData) -> str:
    """The whole document."""
    found = report.content
    about = found.data
    name = str(about.kind)
    counts = f"{about.n} stamps ({about.kind}), {about.side[1]} x {about.side[0]} pixels in {', '.join(about.bands)}"
    if about.n_positive is not None:
        counts += (
            f"; {about.n_positive} positives, {about.n_negative} negatives ({about.classes}); {about.groups} groups"
        )
    counts += f"; survey {about.survey}; seed {about.seed}"
    counts += f"; {about.n_refused} refused" if about.n_refused else ""
    rule = f"{RULES[found.decision]} {found.tests} tests were corrected together: of clean sets one in twenty may fail."
    return Template(_file("html")).substitute(
        title=html.escape(f"Training set: {name}"),
        style=_file("css"),
        version=html.escape(metadata.version("dark-halo-scope") if _installed() else ""),
        kind=found.decision.lower(),
        decision=html.escape(found.decision),
        about=html.escape(counts),
        rule=html.escape(rule),
        reasons=_reasons(found),
        checks="\n".join(_check(g) for g in found.gates),
        ranked=_ranked(found),
        maps=_maps(data),
        stamps=_stamps(found, data),
        twins=_twins(found, data),
        missed=_missed(found),
        method=METHOD,
    )


def _installed() -> bool:
    try:
        metadata.version("dark-halo-scope")
    except metadata.PackageNotFoundError:
        return False
    return True


def _file(suffix: str) -> str:
    return (resources.files("dhs.validation.audit.page") / f"page.{suffix}").read_text()


def _reasons(found) -> str:
    if not found.reasons:
        return ""
    words = {"fail": "failed", "warn": "is not settled", "skip": "was not measured"}
    blocking = [g for g in found.gates if g.blocking and g.status == "fail"]
    rest = [g for g in found.gates if g not in blocking and g.status != "pass" and (g.blocking or g.status == "fail")]
    items = "".join(
        f"<li><a href='#{html.escape(g.name)}'>{html.escape(g.name.replace('_', ' '))}</a> {words[g.status]}: "
        f"{html.escape(_first(g.explanation))}</li>"
        for g in (*blocking, *rest)
    )
    return f"<h2>Why</h2><ul class='reasons'>{items}</ul>"


def _first(text: str) -> str:
    """The first sentence."""
    return text.split(". ")[0].rstrip(".") + "."


def _check(gate) -> str:
    name = html.escape(gate.name.replace("_", " ")) + (" *" if gate.blocking else "")
    remedy = f"<div class='remedy'><b>What to do.</b> {html.escape(gate.remedy)}</div>" if gate.remedy else ""
    return (
        f"<section class='check {gate.status}' id='{html.escape(gate.name)}'>"
        f"<span class='status'>{WORDS[gate.status]}</span><b>{name}</b><div class='side'>{_side(gate)}</div>"
        f"<div class='text'>{html.escape(gate.explanation)}</div>{remedy}</section>"
    )


def _side(gate) -> str:
    if gate.value is None:
        return ""
    said = [f"value {number(gate.value)}"]
    if gate.ci_low is not None:
        said.append(f"{number(gate.ci_low)} to {number(gate.ci_high)}")
    said += [f"limit {number(gate.threshold)}"] if gate.threshold is not None else []
    said += [f"n = {gate.n:,}"] if gate.n else []
    return _bar(gate) + html.escape(", ".join(said))


def _bar(gate) -> str:
    """An interval between 0.4 and 1, where the value is an AUC."""
    if gate.ci_low is None or gate.threshold is None or not 0.5 <= gate.threshold < 1:
        return ""

    def x(value: float) -> float:
        return 10 + 220 * (min(max(value, 0.4), 1.0) - 0.4) / 0.6

    a, b, v, t = (x(k) for k in (gate.ci_low, gate.ci_high, gate.value, gate.threshold))
    return (
        f"<svg viewBox='0 0 240 34' role='img' aria-label='AUC {gate.value:.3f}, interval {gate.ci_low:.3f} to "
        f"{gate.ci_high:.3f}'><line class='axis' x1='10' x2='230' y1='14' y2='14'/>"
        f"<line class='limit' x1='{t:.1f}' x2='{t:.1f}' y1='4' y2='24'/>"
        f"<line class='ci' x1='{a:.1f}' x2='{b:.1f}' y1='14' y2='14'/>"
        f"<circle class='dot' cx='{v:.1f}' cy='14' r='4.5'/>"
        "<text x='46' y='33' text-anchor='middle'>0.5</text><text x='230' y='33' text-anchor='end'>AUC 1</text></svg>"
    )


def _ranked(found) -> str:
    if not found.ranked:
        return "<p>Not measured.</p>"
    rows = "".join(
        f"<tr><td>{html.escape(f.name)}</td><td class='n'>{number(f.value)}</td>"
        f"<td class='n'>{number(f.ci_low)} to {number(f.ci_high)}</td><td class='n'>{_p(f.p_holm)}</td>"
        f"<td>{html.escape(f.single)}</td><td class='n'>{number(f.single_auc)}</td></tr>"
        for f in found.ranked
    )
    head = "<th>seen</th><th class='n'>AUC</th><th class='n'>interval</th><th class='n'>p, corrected</th>"
    head += "<th>number that differs most</th><th class='n'>its AUC</th>"
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _p(p: float | None) -> str:
    return "" if p is None else "below 0.001" if p < 0.001 else f"{p:.3f}"


MAPS_SAID = (
    "Mean of the positives less mean of the negatives, in standard errors; red where positives have more. Full colour "
    "lies at twice what chance reaches anywhere in the frame."
)
MAP_SAID = {
    "fixed pattern": "each pixel against its four neighbours: what stays at one place in the frame",
    "noise": "its square: where one class is rougher; compared in the outskirts",
    "light": "smoothed light, for the eye alone: an arc's own light shows as a ring",
}


def _maps(data: AuditData) -> str:
    maps = data.sections.get("maps")
    if not maps:
        return "<p>Not measured: two classes with enough groups are needed.</p>"
    out = [f"<p class='soft'>{MAPS_SAID}</p>"]
    for name, found in maps.items():
        limit = 2 * found.limit
        figures = "".join(
            f"<figure><img alt='{html.escape(name)} in {html.escape(band)}' src='{pictures.signed(z, limit)}'>"
            f"<figcaption>{html.escape(band)}: |z| up to {np.abs(z).max():.1f}</figcaption></figure>"
            for band, z in zip(data.stamps.bands, found.z_map)
        )
        said = f"|z| up to {found.z:.1f} at {found.where}; chance stays below {found.limit:.1f} in 95 of 100 sets"
        out.append(
            f"<h3>{html.escape(name)}</h3><p class='soft'>{html.escape(MAP_SAID[name])}; {html.escape(said)}.</p>"
        )
        out.append(f"<div class='maps'>{figures}</div>")
    return "".join(out)


def _figure(data: AuditData, row: int, caption: str = "") -> str:
    name = html.escape(data.name(row).rsplit("/", 1)[-1])
    src = pictures.stamp(data.pixels(row), data.stamps.scale, data.stamps.found.display)
    return f"<figure><img alt='stamp {name}' src='{src}'><figcaption>{name}{html.escape(caption)}</figcaption></figure>"


def _stamps(found, data: AuditData) -> str:
    rng = keyed(data.seed, Stream.SAMPLE)
    out = []
    if data.labels is None:
        rows = np.sort(rng.permutation(data.n)[:N_SHOWN])
        return f"<div class='grid'>{''.join(_figure(data, int(r)) for r in rows)}</div>"
    for label, word in ((True, "positives"), (False, "negatives")):
        rows = np.flatnonzero(data.known & (data.labels == label))
        rows = np.sort(rng.permutation(rows)[:N_SHOWN])
        out.append(f"<h3>Some {word}, drawn at random</h3><div class='grid'>")
        out += [_figure(data, int(r)) for r in rows]
        out.append("</div>")
    return "".join([*out, _extremes(found, data)])


def _extremes(found, data: AuditData) -> str:
    """Stamps at the ends of the single number that differs most significantly."""
    if not found.ranked:
        return ""
    best = min(found.ranked, key=lambda f: (1.0 if f.p_holm is None else f.p_holm, -f.single_auc))
    values, names = data.measured.families.get(best.name, (None, []))
    if best.single not in names or best.p_holm is None or best.p_holm > 0.05:
        return ""
    x = values[:, names.index(best.single)]
    order = np.argsort(x, kind="stable")
    out = [f"<h3>Least and most of: {html.escape(best.single)}</h3><div class='grid'>"]
    for row in (*order[:6], *order[::-1][:6]):
        label = "" if not data.known[row] else ", positive" if data.labels[row] else ", negative"
        out.append(_figure(data, int(row), f": {x[row]:.3g}{label}"))
    return "".join([*out, "</div>"])


def _twins(found, data: AuditData) -> str:
    shown, out = set(), []
    for gate in found.gates:
        for pair in gate.details.get("pairs", ())[:6]:
            a, b = pair["rows"]
            if (a, b) in shown:
                continue
            shown.add((a, b))
            words = {True: "positive", False: "negative"}
            labels = [
                "" if data.labels is None or not data.known[r] else f", {words[bool(data.labels[r])]}" for r in (a, b)
            ]
            pictures_ = "".join(_figure(data, r, label) for r, label in zip((a, b), labels))
            out.append(f"<div><div class='pair'>{pictures_}</div><p class='soft'>{html.escape(pair['how'])}</p></div>")
    return f"<h2>Duplicates</h2><div class='maps'>{''.join(out)}</div>" if out else ""


def _missed(found) -> str:
    if not found.missed:
        return "<p>Not measured.</p>"
    rows = "".join(
        f"<tr><td>{html.escape(m.name)}</td><td class='n'>{_strength(m)}</td><td>{html.escape(m.unit)}</td>"
        f"<td>{html.escape(m.check.replace('_', ' '))}</td></tr>"
        for m in found.missed
    )
    head = "<th>leak planted in the positives</th><th class='n'>caught from</th><th>unit</th><th>by</th>"
    how = html.escape(found.missed[0].how)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<p class='soft'>{how}</p><div class='wide'>{table}</div>"


def _strength(leak) -> str:
    if leak.strength is None:
        return "beyond what was tried"
    return f"{leak.strength:.2g}{' or less' if leak.at_most else ''}"


METHOD = """<p>Each stamp was read once and measured: no number is scaled by the stamp's own light or noise, so that a
difference of scale stays one. A classifier is a ridge regression on ranks and on their distance from the middle, scored
on groups that it has not seen (declared groups, and whatever is the same picture); its null is the same with labels
exchanged between groups, and so is that of single numbers, corrected for how many there are. Mean images are compared
over blocks of groups, with blocks exchanged. All p-values are corrected together after Holm. The core and the rings may
differ because of lenses: they never forbid by themselves. Pictures of duplicates are compared at all eight turns,
centred on their light, and count as one when they differ by no more than their noise, or share it.</p>"""
