"""Every page as a reader meets it: wide and on a phone, light and dark, from disk and without a network."""

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SCREENS = [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")]
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "End": 35, "Home": 36}
FIRST_PAGE_BYTES, FIRST_PAGE_MS, CHAPTER_BYTES = 3_000_000, 1000, 150_000
AXE = """axe.run({exclude: [["dl.py ~ dl.py ~ dl.py"], ["tr ~ tr ~ tr ~ tr ~ tr ~ tr ~ tr ~ tr"]]}, {
    resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "best-practice"]}).then(found =>
    found.violations.filter(v => ["serious", "critical"].includes(v.impact)).map(v => v.id + ": " + v.nodes.slice(0, 3)
        .map(n => n.target.join(" ") + " " + (n.any[0] ? n.any[0].message : "")).join(" | ")))"""


@pytest.fixture(scope="session")
def axe():
    found = find_spec("axe_core_python")
    if not found:
        pytest.skip("axe-core is not installed (pip install axe-core-python)")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


def screen(browser, width: int, theme: str) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    media = [{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.call("Emulation.setEmulatedMedia", features=media)


def show(browser, page: Path, width: int = 1400, theme: str = "light") -> None:
    """A page on one screen, in one theme."""
    screen(browser, width, theme)
    browser.open(page)
    browser.js(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{theme}'")


def press(browser, key: str) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        code = KEYS[key]
        text = {"text": "\r"} if key == "Enter" and kind == "rawKeyDown" else {}
        kind = "keyDown" if text else kind
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)


def said(browser) -> list[str]:
    """What a page wrote to the console, and what it threw."""
    entries = [e["entry"] for e in browser.happened("Log.entryAdded")]
    out = [f"{e['level']}: {e['text']}" for e in entries if e["level"] in ("error", "warning")]
    out += [e["exceptionDetails"]["text"] + str(e) for e in browser.happened("Runtime.exceptionThrown")]
    calls = browser.happened("Runtime.consoleAPICalled")
    return out + [str(c["args"]) for c in calls if c["type"] in ("error", "warning", "assert")]


def test_a_page_reads_well_on_every_screen(browser, axe, page):
    found = {}
    for k, (width, theme) in enumerate(SCREENS):
        if k == 0:
            show(browser, page, width, theme)
            addresses = [e["request"]["url"] for e in browser.happened("Network.requestWillBeSent")]
            away = [a for a in addresses if not a.startswith(("file:", "data:"))]
            assert away == [], "a page asks nothing of a network"
            browser.js(axe)
        else:
            screen(browser, width, theme)
            browser.js(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{theme}'")
            browser.js("new Promise(r => setTimeout(r, 50))")
        wide = browser.js("document.documentElement.scrollWidth")
        if wide > width:
            found[width, theme, "wider than the screen"] = wide
        faults = browser.js(AXE)
        if faults:
            found[width, theme] = faults
    assert found == {}
    assert said(browser) == [], "the console is silent"
    broken = (
        """[...document.images].filter(i => i.loading !== "lazy" && !(i.complete && i.naturalWidth)).map(i => i.src)"""
    )
    assert browser.js(broken) == []
    assert browser.js("[...document.images].filter(i => i.closest('article') && !i.alt).map(i => i.src)") == []


def test_links_anchors_and_pictures_of_a_page_are_there(pages, page):
    text, wrong = page.read_text(), []
    inside = set(re.findall(r'\bid="([^"]+)"', text))
    for address in set(re.findall(r'(?:href|src|srcset)="([^"]+)"|url\((\.\./[^)"]+)\)', text)):
        address = unquote((address[0] or address[1]).replace("&amp;", "&"))
        parts = urlsplit(address)
        if parts.scheme or address.startswith(("//", "#!")) or not address:
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        if not target.exists():
            wrong.append(address)
        elif parts.fragment and target.suffix == ".html":
            known = inside if target == page else set(re.findall(r'\bid="([^"]+)"', target.read_text()))
            if parts.fragment not in known:
                wrong.append(address)
    assert wrong == []


def test_pages_are_light(browser, pages):
    heavy = {p.stem: p.stat().st_size for folder in ("notebooks", "book") for p in (pages / folder).glob("*.html")}
    assert {k: v for k, v in heavy.items() if v > CHAPTER_BYTES and k not in ("api", "references")} == {}
    first = pages / "book" / "index.html"
    took = []
    for _ in range(3):
        show(browser, first)
        took.append(browser.js("performance.timing.loadEventEnd - performance.timing.navigationStart"))
    addresses = {e["request"]["url"] for e in browser.happened("Network.requestWillBeSent")}
    files = [Path(unquote(urlsplit(a).path)) for a in addresses if a.startswith("file:")]
    assert sum(f.stat().st_size for f in files if f.is_file()) < FIRST_PAGE_BYTES
    assert min(took) < FIRST_PAGE_MS


def test_there_is_one_search_box_and_it_finds_core_leakage(browser, pages):
    show(browser, pages / "book" / "index.html")
    shown = """[...document.querySelectorAll("input[type=search], .search-button, .search-button-field")]
        .filter(e => e.offsetParent !== null && e.getBoundingClientRect().width > 0).length"""
    assert browser.js(shown) <= 1
    screen(browser, 1400, "light")
    browser.events.clear()
    browser.call("Page.navigate", url=(pages / "search.html").resolve().as_uri() + "?q=core+leakage")
    browser.until(lambda: browser.js("document.querySelectorAll('#search-results li').length") > 0)
    assert "Preflight" in browser.js("document.querySelector('#search-results').innerText") or browser.js(
        "[...document.querySelectorAll('#search-results a')].some(a => a.href.includes('preflight'))"
    )
    assert said(browser) == []


def played(pages: Path, kind: str) -> Path:
    found = [p for p in sorted(pages.rglob("*.html")) if f'data-play="{kind}"' in p.read_text()]
    if not found:
        pytest.skip(f"this book has no {kind}: its numbers are missing")
    return found[0]


def frame(kind: str, rest: str = "") -> str:
    return f"document.querySelector('[data-play={kind}]'){rest}"


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_the_threshold_slider_reacts_to_keys(browser, pages, width, theme):
    show(browser, played(pages, "threshold"), width, theme)
    text = frame("threshold", ".querySelector('.dhs-said').textContent")
    browser.js(frame("threshold", ".querySelector('input').focus()"))
    first = browser.js(text)
    press(browser, "Home")
    every = browser.js(text)
    assert first != every and "one candidate in" in every
    assert re.search(r"finds (9\d|100) %", every), "at the lowest threshold nearly every lens passes"
    value = browser.js(frame("threshold", ".querySelector('input').getAttribute('aria-valuetext')"))
    press(browser, "ArrowRight")
    assert browser.js(frame("threshold", ".querySelector('input').getAttribute('aria-valuetext')")) != value
    assert said(browser) == []


def test_what_the_slider_says_is_what_the_scores_say(browser, pages):
    show(browser, played(pages, "threshold"))
    data = browser.js(frame("threshold", ".querySelector('tbody').innerText"))
    lenses = re.search(r"lenses\s+(\d+) %\s+([\d,]+)", data)
    sentence = browser.js(frame("threshold", ".querySelector('.dhs-said').textContent"))
    assert f"finds {lenses[1]} % of the lenses" in sentence


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_the_explorer_reacts_to_keys_and_noise_to_a_tap(browser, pages, width, theme):
    show(browser, played(pages, "explorer"), width, theme)
    tiles = frame("explorer", ".querySelectorAll('.dhs-tile')")
    state = f"[...{tiles}].map(t => t.style.backgroundPosition + t.getAttribute('aria-label')).join()"
    seen = {browser.js(state)}
    for k in range(4):
        browser.js(frame("explorer", f".querySelectorAll('input')[{k}].focus()"))
        for key in ("Home", "End"):
            press(browser, key)
            seen.add(browser.js(state))
    assert len(seen) >= 5, "each slider changes what is shown"
    before = browser.js(state)
    browser.js(frame("explorer", ".querySelectorAll('button')[1].focus()"))
    press(browser, "Enter")
    assert browser.js(state) != before
    assert "logit" in browser.js(frame("explorer", ".innerText"))
    wide = "document.documentElement.scrollWidth"
    assert browser.js(wide) <= width and said(browser) == []


def test_interventions_change_picture_and_logit(browser, pages):
    show(browser, played(pages, "interventions"), 390, "dark")
    buttons = frame("interventions", ".querySelectorAll('.dhs-bars button')")
    text = frame("interventions", ".querySelector('.dhs-said').textContent")
    found = set()
    for k in range(browser.js(f"{buttons}.length")):
        browser.js(f"{buttons}[{k}].click()")
        found.add(browser.js(text) + browser.js(frame("interventions", ".querySelector('.dhs-tile').style.cssText")))
        assert browser.js(f"{buttons}[{k}].getAttribute('aria-pressed')") == "true"
    assert len(found) == browser.js(f"{buttons}.length") >= 6
    assert "arc removed" in " ".join(found).lower() and said(browser) == []


def test_the_completeness_map_is_walked_by_arrow_keys(browser, pages):
    show(browser, played(pages, "completeness"), 390, "light")
    text = frame("completeness", ".querySelector('.dhs-said').textContent")
    browser.js(frame("completeness", ".querySelector('button').focus()"))
    first = browser.js(text)
    press(browser, "ArrowRight")
    second = browser.js(text)
    press(browser, "ArrowDown")
    third = browser.js(text)
    assert len({first, second, third}) == 3 and all("Einstein radius" in t for t in (first, second, third))
    assert said(browser) == []


def test_formulas_are_drawn_without_a_script(browser, pages):
    page = next(p for p in sorted(pages.rglob("*.html")) if "<math" in p.read_text())
    show(browser, page)
    size = browser.js("(r => [r.width, r.height])(document.querySelector('article math').getBoundingClientRect())")
    assert min(size) > 5 and "\\(" not in browser.js("document.querySelector('article').innerText")
