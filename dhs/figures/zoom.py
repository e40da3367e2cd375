"""A gallery whose stamps grow when they are pointed at or focused: plain HTML and CSS, no script."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dhs.picture import png

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
