"""The report in a browser: nothing is loaded, nothing runs, it fits a phone, and it is read in the dark."""

import browser as chromium
import numpy as np
import pytest
from foreign_sets import corner_mark, stamps

import dhs

pytestmark = pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.WHY_NOT)

EVIL = '"><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of a set with a planted mark, a copy, and file names and labels that are code."""
    folder = tmp_path_factory.mktemp("audit")
    images = stamps(60, seed=9)
    images[::2] = corner_mark(images[::2], None, 0.02)
    images[5] = images[2][:, ::-1]
    for i, image in enumerate(images):
        name = EVIL.replace("/", "") if i == 2 else f"g{i}"
        where = folder / "set" / ("nonlens" if i % 2 else "lens")
        where.mkdir(parents=True, exist_ok=True)
        np.save(where / f"{name}.npy", image)
    report = dhs.audit(folder / "set", folder / "out")
    assert report.decision == "NO-GO"
    return folder / "out" / "audit.html"


@pytest.fixture
def browser(tmp_path):
    with chromium.Browser(tmp_path) as one:
        yield one


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_loads_nothing_and_runs_nothing(browser, page, width):
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    browser.open(page)
    asked = {e["request"]["url"].split(":")[0] for e in browser.happened("Network.requestWillBeSent")}
    assert asked <= {"file", "data"} and not browser.happened("Page.javascriptDialogOpening")
    assert browser.js("document.scripts.length") == 0
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.js("[...document.images].every(i => i.naturalWidth > 0 && i.alt)")
    assert browser.js("document.querySelectorAll('section.check').length") > 18
    assert browser.js("document.querySelector('#corners').className") == "check fail"
    assert browser.js("document.body.innerText.includes('<script>')")


def test_links_lead_to_checks_and_dark_is_dark(browser, page):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.open(page)
    assert browser.js("[...document.querySelectorAll('.reasons a')].every(a => document.querySelector(a.hash))")
    colour = browser.js("getComputedStyle(document.body).backgroundColor")
    assert sum(int(x) for x in colour.strip("rgb()").split(",")) < 150
