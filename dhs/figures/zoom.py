"""Galleries whose stamps grow when they are pointed at or focused: HTML and CSS, one picture for all stamps."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dhs.picture import sheet

COLUMNS = 24  # stamps side by side in the one picture

_STYLE = """<style>
.dhs-zoom{display:flex;flex-wrap:wrap;gap:8px;margin:.5em 0}
.dhs-zoom .c{width:104px;font-size:13px;line-height:1.25}
.dhs-zoom .s{width:104px;height:104px;image-rendering:pixelated;background-color:#000;transition:transform .15s;
background-image:var(--sprite);background-size:calc(var(--n)*104px) auto;
background-position:calc(var(--i)*-104px) calc(var(--j)*-104px)}
.dhs-zoom .c:hover .s,.dhs-zoom .c:focus .s{transform:scale(2.4);transform-origin:top left;
position:relative;z-index:9;outline:1px solid #fff}
.dhs-zoom .c:nth-child(n+3):hover .s,.dhs-zoom .c:nth-child(n+3):focus .s{transform-origin:top right}
</style>"""


def sprite(stamps: Sequence[np.ndarray], columns: int = COLUMNS) -> str:
    """Stamps (3, y, x) of one size in one PNG picture, as its address."""
    return "data:image/png;base64," + base64.b64encode(sheet(stamps, columns)).decode()


@dataclass(frozen=True)
class ZoomGallery:
    """Stamps with a line of text each; prints as HTML in a notebook."""

    stamps: np.ndarray
    titles: Sequence[str]
    label: str

    def _repr_html_(self) -> str:
        return Galleries([self], f"{self.label}: none to show.")._repr_html_()

    def cards(self, start: int) -> Iterator[str]:
        """A card a stamp; ``start`` is the place of the first in the sprite."""
        for k, title in enumerate(self.titles[: len(self.stamps)], start=start):
            row, column = divmod(k, COLUMNS)
            alt = html.escape(f"{self.label}: {title}")
            picture = f'<div class="s" style="--i:{column};--j:{row}"></div>'
            text = f"<div>{html.escape(title)}</div>"
            yield f'<div class="c" tabindex="0" role="img" aria-label="{alt}">{picture}{text}</div>'


def zoom_gallery(stamps: np.ndarray, titles: Sequence[str], label: str) -> ZoomGallery:
    """Stamps (n, 3, y, x) in g, r, z nanomaggies with a title each, enlarged on demand."""
    return ZoomGallery(stamps, titles, label)


@dataclass(frozen=True)
class Galleries:
    """Galleries one below the other, or a line that says why there is none; prints as HTML in a notebook."""

    galleries: Sequence[ZoomGallery]
    reason: str = ""

    def _repr_html_(self) -> str:
        held = [g for g in self.galleries if len(g.stamps)]
        if not held:
            return f"<p>{html.escape(self.reason)}</p>"
        stamps = [s for g in held for s in g.stamps[: len(g.titles)]]
        out, place = [], 0
        for gallery in held:
            out.append(f'<p><b>{html.escape(gallery.label)}</b></p><div class="dhs-zoom">')
            out.append("".join(gallery.cards(place)) + "</div>")
            place += len(gallery.stamps[: len(gallery.titles)])
        wide = min(len(stamps), COLUMNS)
        hint = "<p>Point at a stamp, or focus it, to enlarge it.</p>"
        style = f"--sprite:url({sprite(stamps)});--n:{wide}"
        return f'{_STYLE}{hint}<div style="{style}">{"".join(out)}</div>'
