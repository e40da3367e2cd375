"""A gallery whose stamps grow when they are pointed at or focused: plain HTML and CSS, no script."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dhs.datasets.reader import Pairs, png
from dhs.datasets.stamp_sets import by_pair
from dhs.datasets.stamps import of_survey_negatives
from dhs.figures.style import absent

_STYLE = """<style>
.dhs-zoom{display:flex;flex-wrap:wrap;gap:6px;margin:.5em 0}
.dhs-zoom figure{margin:0;width:110px;font-size:12px;line-height:1.25}
.dhs-zoom img{width:110px;image-rendering:pixelated;display:block;background:#000;transition:transform .15s}
.dhs-zoom figure:hover img,.dhs-zoom figure:focus img{transform:scale(3);transform-origin:top left;
position:relative;z-index:9;outline:1px solid #fff}
.dhs-zoom figure:nth-child(n+4):hover img,.dhs-zoom figure:nth-child(n+4):focus img{transform-origin:top center}
</style>"""


@dataclass(frozen=True)
class ZoomGallery:
    """Stamps with a line of text each; prints as HTML in a notebook."""

    stamps: np.ndarray
    titles: Sequence[str]
    label: str

    def _repr_html_(self) -> str:
        if not len(self.stamps):
            return f"<p>{html.escape(self.label)}: none to show.</p>"
        cards = []
        for image, title in zip(self.stamps, self.titles):
            data = base64.b64encode(png(np.asarray(image))).decode()
            text = html.escape(title)
            alt = html.escape(f"{self.label}: {title}")
            cards.append(
                f'<figure tabindex="0"><img alt="{alt}" src="data:image/png;base64,{data}">'
                f"<figcaption>{text}</figcaption></figure>"
            )
        head = f"<p><b>{html.escape(self.label)}</b> (point at a stamp, or focus it, to enlarge it)</p>"
        return f'{_STYLE}{head}<div class="dhs-zoom">{"".join(cards)}</div>'


def zoom_gallery(stamps: np.ndarray, titles: Sequence[str], label: str) -> ZoomGallery:
    """Stamps (n, 3, y, x) in g, r, z nanomaggies with a title each, enlarged threefold on demand."""
    return ZoomGallery(stamps, titles, label)


@dataclass(frozen=True)
class Galleries:
    """Galleries one below the other, or a line that says why there is none; prints as HTML in a notebook."""

    galleries: Sequence[ZoomGallery]
    reason: str = ""

    def _repr_html_(self) -> str:
        if not self.galleries:
            return f"<p>{html.escape(self.reason)}</p>"
        return "".join(gallery._repr_html_() for gallery in self.galleries)


def cause_galleries(failures: Mapping, pairs: Pairs, n_survey: int, seed: int) -> Galleries:
    """A gallery of the worst stamps of each cause of a miss or a false alarm, and of each group of either.

    Parameters
    ----------
    failures : mapping
        Of ``evaluation.json``.
    pairs : Pairs
    n_survey, seed : int
        Of the run: how many survey negatives it scored, and its seed.
    """
    if absent(failures):
        return Galleries([], f"Failures by cause: skipped: {absent(failures)}.")
    found = [(f"missed: {c['cause']} ({c['n']})", c["examples"]) for c in failures["misses"]["causes"]]
    found.append(("missed, none of these causes", failures["misses"].get("unexplained_examples") or []))
    for k, group in enumerate((failures.get("embedding") or {}).get("groups") or [], start=1):
        medians = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in group["medians"].items())
        found.append(
            (f"missed, group {k} by the network's features ({group['n']}); medians: {medians}", group["examples"])
        )
    out = []
    for label, examples in found:
        stamps, rows = by_pair(pairs, examples)
        titles = [f'{r["theta_e_arcsec"]:.1f}", SNR {r["arc_snr_matched"]:.0f}' for r in rows]
        out.append(zoom_gallery(stamps, titles, label))
    for kind in failures["alarms"]["causes"]:
        name, examples = kind["cause"], kind["examples"]
        if name.startswith("survey: "):
            titles = [str(e["host_id"]) for e in examples]
            stamps = of_survey_negatives(n_survey, seed, titles, pairs.path)
        else:
            hosts = {e["pair_id"]: str(e["host_id"]) for e in examples}
            stamps, rows = by_pair(pairs, hosts, name)
            titles = [hosts[row["pair_id"]] for row in rows]
        out.append(zoom_gallery(stamps, titles, f"passed: {name.replace('_', ' ')} ({kind['n']} of {kind['of']})"))
    for k, group in enumerate((failures.get("alarm_embedding") or {}).get("groups") or [], start=1):
        held = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in group["kinds"].items())
        stamps, titles = [], []
        for example in group["examples"]:
            if example["kind"] == "survey_negative":
                found = of_survey_negatives(n_survey, seed, [example["host_id"]], pairs.path)
            else:
                found = by_pair(pairs, [example["pair_id"]], example["kind"])[0]
            stamps += list(found)
            titles += [example["host_id"]] * len(found)
        label = f"passed, group {k} by the network's features ({group['n']}): {held}"
        out.append(zoom_gallery(np.array(stamps), titles, label))
    return Galleries([g for g in out if len(g.stamps)], "No failure at this threshold.")
