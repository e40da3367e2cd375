"""The contact sheet and the zoom galleries in a real browser, opened from a file."""

import base64
import csv
import io
import time

import browser as chromium
import numpy as np
import pytest
from PIL import Image

from dhs.figures import zoom_gallery
from dhs.picture import colour
from dhs.validation.candidates.contact_sheet import contact_sheet

pytestmark = pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.WHY_NOT)

EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
FORMULA = "=HYPERLINK(1)"
NAMES = (EVIL, 'say "hi", you', "J1234+0506", FORMULA)
GRADES = "[...document.querySelectorAll('article')].map(a => a.dataset.grade ?? '')"
CURRENT = "document.querySelector('[aria-current] .caption b').textContent"
PRESS = """(async key => {
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  await new Promise(done => requestAnimationFrame(() => {
    const channel = new MessageChannel(); channel.port1.onmessage = done; channel.port2.postMessage(0); }));
  return performance.now() - start; })"""


def galaxies(n, seed=0):
    """Round red galaxies under noise, each with a blue arc."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-32:32, -32:32]
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    disc = np.exp(-r / 5) * np.array([0.15, 0.5, 1.0])[:, None, None]
    arc = np.exp(-((r - 10) ** 2) / 4) * (np.abs(angle) < 0.6) * np.array([0.06, 0.05, 0.04])[:, None, None]
    return (disc + arc + rng.normal(0, 0.004, (n, 3, 64, 64))).astype(np.float32)


@pytest.fixture
def browser(tmp_path):
    """One that has seen no page before."""
    with chromium.Browser(tmp_path) as one:
        yield one


@pytest.fixture
def sheet(browser, tmp_path):
    """A sheet of four candidates and two lenses to compare with, opened."""
    rows = [
        {"rank": i + 1, "id": name, "logit": [2.0, -1.5, 0.5, 0.0][i], "probability": 0.1, "ra": 1.0, "dec": -2.0}
        | {"known_lens": name if i < 2 else "", "flags": "psf_assumed"}
        for i, name in enumerate(NAMES)
    ]
    page = tmp_path / "candidates.html"
    lenses = [{"name": EVIL, "ra": 5.0, "dec": 5.0}, {"name": "other", "ra": 6.0, "dec": 5.0}]
    page.write_text(
        contact_sheet(rows, galaxies(4), title=EVIL, lenses=(lenses, list(galaxies(2, 1))), prevalence=0.01)
    )
    browser.open(page)
    ready(browser)
    return page


def ready(browser, what="article canvas"):
    """Wait until every picture of a kind is drawn."""
    browser.until(lambda: browser.js(f"[...document.querySelectorAll('{what}')].every(c => c.dataset.drawn)"))


def count(browser) -> str:
    return browser.js("document.getElementById('count').textContent")


def drawn(browser, selector="[aria-current] canvas") -> np.ndarray:
    """(y, x, 3) of a canvas."""
    url = browser.js(f"document.querySelector('{selector}').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")).astype(int)


def saved_rows(browser, name="grades.csv"):
    path = browser.folder / name
    browser.press("s")
    browser.until(path.exists)
    return list(csv.DictReader(path.open(newline="")))


def take(browser, path):
    """Give the sheet a file, as a user chooses one."""
    node = browser.call("Runtime.evaluate", expression="document.getElementById('load')")["result"]["objectId"]
    browser.call("DOM.setFileInputFiles", files=[str(path)], objectId=node)
    browser.until(lambda: browser.js("document.getElementById('said').textContent"))
    return browser.js("document.getElementById('said').textContent")


def test_names_from_catalogues_stay_text_and_nothing_is_loaded(browser, sheet):
    captions = browser.js("[...document.querySelectorAll('.caption b')].map(b => b.textContent)")
    assert captions == [f"{i + 1}. {name}" for i, name in enumerate(NAMES)]
    browser.press("z")
    assert EVIL in browser.js("document.getElementById('known-name').textContent")
    assert browser.js("document.title") == EVIL and browser.js("document.images.length") == 0
    assert not browser.happened("Page.javascriptDialogOpening") and not browser.happened("Runtime.exceptionThrown")
    asked = [p["request"]["url"].split(":")[0] for p in browser.happened("Network.requestWillBeSent")]
    assert set(asked) <= {"file", "data"} and asked.count("file") == 1


def test_the_browser_itself_refuses_a_script_or_a_picture_that_gets_in(browser, sheet):
    """Planted: an element with a handler, and a picture from elsewhere, as if something had not been escaped."""
    planted = '<img src="https://planted.invalid/x.png" onerror="document.title=1"><b onclick="document.title=2">x</b>'
    browser.js(f"document.getElementById('list').insertAdjacentHTML('beforeend', '{planted}')")
    browser.js("document.querySelector('#list > b').click()")
    browser.until(lambda: browser.happened("Network.loadingFailed"))
    assert [p.get("blockedReason") for p in browser.happened("Network.loadingFailed")] == ["csp"]
    assert browser.js("document.title") == EVIL


def test_keys_of_both_scales_grade_and_undo_and_the_grades_outlive_the_page(browser, sheet):
    browser.press("3", "x", "ArrowLeft", "Backspace", "B", "q")
    assert browser.js(GRADES) == ["3", "2", "", ""] and count(browser) == "2 of 4 graded (A 1, B 1, C 0, X 0)"
    assert browser.js("document.querySelectorAll('.grade')[0].textContent") == "A (3): certain"
    assert browser.reload(), "grades that are in no file yet: the page asks"
    browser.until(lambda: browser.js(GRADES) == ["3", "2", "", ""])
    browser.press("c", "u")
    assert browser.js(GRADES) == ["3", "2", "", ""] and browser.js(CURRENT).startswith("1.")
    browser.press("n")
    assert browser.js(CURRENT).startswith("3."), "the next that has no grade"


def test_the_csv_holds_who_and_when_and_no_formula_and_a_sheet_goes_on_from_it(browser, sheet, tmp_path):
    browser.js("document.getElementById('grader').value = 'Vera R.'")
    browser.press("3", "End", "1", "t")
    browser.call("Input.insertText", text="+ a ring")
    browser.press("Escape")
    rows = saved_rows(browser, "grades-Vera_R_.csv")
    assert not browser.reload(), "they are saved"
    assert [(r["grade"], r["letter"]) for r in rows] == [("3", "A"), ("", ""), ("", ""), ("1", "C")]
    assert [r["id"] for r in rows] == [*NAMES[:3], "'" + FORMULA] and rows[3]["note"] == "'+ a ring"
    assert rows[1]["logit"] == "-1.5" and rows[0]["grader"] == "Vera R." and rows[0]["graded_at"].startswith("20")
    browser.js("localStorage.clear(); location.hash = ''; unsaved = false; given.clear(); arrange()")
    assert browser.js(GRADES) == [""] * 4
    assert "2 grades taken over" in take(browser, tmp_path / "grades-Vera_R_.csv")
    assert browser.js(GRADES) == ["3", "", "", "1"]
    (tmp_path / "bad.csv").write_text("id,grade\nJ1234+0506,7\n")
    browser.js("say('')")
    assert "line 2: grade 7" in take(browser, tmp_path / "bad.csv") and browser.js(GRADES) == ["3", "", "", "1"]


def test_a_browser_that_stores_nothing_keeps_the_grades_in_the_address(browser, sheet):
    browser.js("Storage.prototype.setItem = () => { throw new Error('blocked'); }")
    browser.press("2", "0")
    browser.until(lambda: browser.js("location.hash") == "#grades=20--")
    browser.reload()
    assert browser.js(GRADES) == ["2", "0", "", ""]


def test_pictures_are_those_of_the_book_and_rings_leave_the_arc(browser, sheet):
    stamp = galaxies(4)[0]
    got, wanted = drawn(browser), colour(stamp)[::-1].astype(int)
    assert np.abs(got - wanted).mean() < 4 and np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.99
    browser.press("l")  # g alone
    assert np.ptp(drawn(browser), axis=2).max() == 0
    before = drawn(browser).mean()
    browser.press("+", "+")
    assert drawn(browser).mean() > before
    browser.press("o", "m")
    y, x = np.mgrid[-32:32, -32:32]
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    left = drawn(browser)[::-1].mean(axis=2)
    arc, opposite = ((np.abs(r - 10) < 2) & (np.abs(a) < 0.5) for a in (angle, np.abs(angle) - np.pi))
    assert left[arc].mean() > left[opposite].mean() + 40, "the arc stands out"
    assert abs(left[opposite].mean() - left[r > 25].mean()) < 20, "the galaxy is gone"
    browser.press("o")
    assert np.array_equal(drawn(browser), got)


def test_one_at_a_time_stays_while_grading_and_shows_bands_and_a_lens(browser, sheet):
    browser.press("z", "3")
    assert browser.js("document.getElementById('closer').hidden") is False
    assert browser.js("document.getElementById('big-name').textContent").startswith(NAMES[1])
    ready(browser, "#closer canvas")
    assert browser.js("document.querySelectorAll('#small canvas').length") == 4
    assert "known lens" in browser.js("document.getElementById('known-name').textContent")
    address = browser.js("document.getElementById('viewer').href")
    assert address.startswith("https://www.legacysurvey.org/viewer?ra=1.000000&dec=-2.000000")
    browser.press("k")
    assert browser.js("document.getElementById('known').hidden") is True
    browser.press("Escape")
    assert browser.js("document.getElementById('closer').hidden") is True


def test_sorting_filtering_and_searching(browser, sheet):
    def listed():
        return browser.js("places.map(i => rows[i].rank)")

    def choose(name, value):
        browser.js(f"(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('change')); }})({name})")

    choose("document.getElementById('sort')", "logit")
    assert listed() == [2, 4, 3, 1]
    browser.js("document.getElementById('down').click()")
    assert listed() == [1, 3, 4, 2]
    choose("document.getElementById('filter')", "known lenses")
    assert listed() == [1, 2]
    browser.press("3")
    choose("document.getElementById('filter')", "ungraded")
    assert listed() == [3, 4, 2]
    browser.js("(e => { e.value = 'j1234'; e.dispatchEvent(new Event('input')); })(document.getElementById('search'))")
    assert listed() == [3]


def test_five_thousand_candidates_open_and_react(browser, tmp_path, capsys):
    """The figures are printed; the bounds are loose, for the machine may be busy."""
    n = 5000
    some = galaxies(50)
    rows = [{"rank": i + 1, "id": f"c{i}", "logit": 5 - i / 1000, "ra": 1.0, "dec": 2.0} for i in range(n)]
    page = tmp_path / "many.html"
    page.write_text(contact_sheet(rows, [some[i % 50] for i in range(n)]))
    start = time.monotonic()
    browser.open(page)
    ready(browser)
    opened = time.monotonic() - start
    keys = ("3", "ArrowDown", "m", "l", "End", "2", "Home", "n", "z", "1", "u", "z")
    react = {key: browser.js(f"{PRESS}('{key}')") for key in keys}
    size = page.stat().st_size / 1e6
    with capsys.disabled():
        print(f"\n{n} candidates ({size:.0f} MB): opened in {opened:.2f} s, slowest key {max(react.values()):.0f} ms")
    assert browser.js("document.querySelectorAll('article').length") < 100, "only those in sight exist"
    assert count(browser) == "2 of 5000 graded (A 1, B 1, C 0, X 0)"
    assert opened < 20 and max(react.values()) < 1000, react


def test_stamps_of_a_gallery_grow_in_focus_without_a_script(browser, tmp_path):
    page = tmp_path / "gallery.html"
    gallery = zoom_gallery(np.full((2, 3, 64, 64), 0.1, np.float32), ["one", EVIL], "missed")
    page.write_text(f"<!doctype html><meta charset=utf-8>{gallery._repr_html_()}")
    browser.open(page)
    width = "document.querySelector('.dhs-zoom .s').getBoundingClientRect().width"
    before = browser.js(width)
    browser.js("document.querySelector('.dhs-zoom .c').focus()")
    browser.until(lambda: browser.js(width) == pytest.approx(2.4 * before))
    assert browser.js("document.querySelectorAll('.dhs-zoom .c')[1].textContent") == EVIL
    assert not browser.happened("Page.javascriptDialogOpening")
