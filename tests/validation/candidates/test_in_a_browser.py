"""The contact sheet and the zoom galleries in a real browser, opened from a file."""

import csv

import browser as chromium
import numpy as np
import pytest

from dhs.figures import zoom_gallery
from dhs.validation.candidates.contact_sheet import contact_sheet

pytestmark = pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.WHY_NOT)

EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
NAMES = (EVIL, 'say "hi", you', "J1234+0506")


@pytest.fixture
def browser(tmp_path):
    """One that has seen no page before."""
    with chromium.Browser(tmp_path) as one:
        yield one


@pytest.fixture
def sheet(browser, tmp_path):
    """A sheet of three candidates, opened."""
    rng = np.random.default_rng(0)
    rows = [
        {"rank": i + 1, "id": name, "logit": 2.0 - i, "probability": 0.1, "ra": 1.0, "dec": 2.0, "known_lens": name}
        for i, name in enumerate(NAMES)
    ]
    page = tmp_path / "candidates.html"
    page.write_text(contact_sheet(rows, list(rng.normal(0, 0.05, (3, 3, 64, 64)).astype(np.float32)), title=EVIL))
    browser.open(page)
    return page


def count(browser) -> str:
    return browser.js("document.getElementById('count').textContent")


def test_names_from_catalogues_stay_text_and_nothing_is_loaded(browser, sheet):
    captions = browser.js("[...document.querySelectorAll('figcaption b')].map(b => b.textContent)")
    assert captions == [f"{i + 1}. {name}" for i, name in enumerate(NAMES)]
    assert browser.js("document.title") == EVIL
    assert browser.js("document.querySelectorAll('figure').length") == 3
    assert browser.js("[...document.images].map(i => i.complete && i.naturalWidth)") == [64, 64, 64]
    assert not browser.happened("Page.javascriptDialogOpening") and not browser.happened("Runtime.exceptionThrown")
    asked = [p["request"]["url"].split(":")[0] for p in browser.happened("Network.requestWillBeSent")]
    assert set(asked) <= {"file", "data"} and asked.count("file") == 1


def test_keys_grade_and_the_grades_outlive_the_page_and_are_saved_as_csv(browser, sheet):
    browser.press("3", "0", "ArrowLeft", "Backspace", "2", "x")
    grades = "[...document.querySelectorAll('figure')].map(f => f.dataset.grade ?? '')"
    assert browser.js(grades) == ["3", "2", ""] and count(browser) == "2 of 3 graded"
    assert browser.js("document.querySelectorAll('.grade')[0].textContent") == "3: certain"
    assert browser.reload(), "grades that are in no file yet: the page asks"
    assert browser.js(grades) == ["3", "2", ""] and count(browser) == "2 of 3 graded"
    browser.press("3")
    saved = browser.folder / "grades.csv"
    browser.press("s")
    browser.until(saved.exists)
    assert not browser.reload(), "they are saved"
    assert browser.js(grades) == ["3", "2", ""]
    rows = list(csv.DictReader(saved.open(newline="")))
    assert [(r["id"], r["grade"]) for r in rows] == list(zip(NAMES, ("3", "2", "")))
    assert rows[0]["known_lens"] == EVIL and rows[1]["logit"] == "1"


def test_z_enlarges_the_card_in_focus(browser, sheet):
    width = "document.activeElement.getBoundingClientRect().width"
    before = browser.js(width)
    browser.press("z")
    assert browser.js(width) > 1.5 * before
    browser.press("z")
    assert browser.js(width) == before


def test_stamps_of_a_gallery_grow_in_focus_without_a_script(browser, tmp_path):
    page = tmp_path / "gallery.html"
    gallery = zoom_gallery(np.full((2, 3, 64, 64), 0.1, np.float32), ["one", EVIL], "missed")
    page.write_text(f"<!doctype html><meta charset=utf-8>{gallery._repr_html_()}")
    browser.open(page)
    width = "document.querySelector('.dhs-zoom img').getBoundingClientRect().width"
    before = browser.js(width)
    browser.press("Tab")
    browser.js("document.querySelector('.dhs-zoom figure').focus()")
    browser.until(lambda: browser.js(width) == pytest.approx(3 * before))
    assert browser.js("document.querySelectorAll('figcaption')[1].textContent") == EVIL
    assert not browser.happened("Page.javascriptDialogOpening")
