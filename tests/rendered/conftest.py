"""The built book in a browser. ``DHS_PAGES`` is the folder of its pages; without it these tests are skipped."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
import browser as driver
from browser import CHROMIUM, WHY_NOT, Browser

driver.WAIT_S = 300.0  # axe reads a long page for a while on a busy machine

PAGES = Path(os.environ.get("DHS_PAGES") or "no book")


def pytest_generate_tests(metafunc):
    if "page" in metafunc.fixturenames:
        inside = sorted(p for p in PAGES.rglob("*.html") if not p.relative_to(PAGES).parts[0].startswith("_"))
        kept = [p for p in inside if p.stem not in ("genindex", "py-modindex", "search")]
        kept = [p for p in kept if b'http-equiv="Refresh"' not in p.read_bytes()[:200]]  # no page, but the way to one
        metafunc.parametrize("page", kept, ids=lambda p: str(p.relative_to(PAGES).with_suffix("")))


@pytest.fixture(scope="session")
def pages():
    if not (PAGES / "index.html").is_file():
        pytest.skip("DHS_PAGES names no built book: `make book PROFILE=smoke`, then DHS_PAGES=_build/smoke/_build/html")
    return PAGES


@pytest.fixture(scope="session")
def browser(pages, tmp_path_factory):
    if not CHROMIUM:
        pytest.skip(WHY_NOT)
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        found.call("Log.enable")
        yield found
