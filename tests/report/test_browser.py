"""The report in a real browser: Debian's chromium, driven headless by playwright."""

from __future__ import annotations

import base64
import io
import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest

import tightfit
from support.sample_reports import build
from tightfit.report.comparison.page import write_comparison
from tightfit.report.page.html import write_html
from tightfit.report.page.sample_sheet import tile_of
from tightfit.search.verdict.budget import Budget

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: the extra 'browser'")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")

HIDDEN = (
    "[...document.querySelectorAll('.listing td')].filter(cell => {"
    "const room = cell.closest('.scroll').getBoundingClientRect(), own = cell.getBoundingClientRect();"
    "return own.right > room.right + 1 || cell.scrollWidth > cell.clientWidth + 1;}).length"
)
"""Cells of the listings that are cut, or lie outside of what is seen."""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page_file(report, tmp_path):
    write_html(report, tmp_path / "report.html")
    return (tmp_path / "report.html").as_uri()


@pytest.fixture
def comparison_file(tmp_path):
    reports = {"first": build(), "second": build(Budget(max_drop=0.05))}
    write_comparison(tightfit.compare(reports), reports, tmp_path / "compare.html")
    return (tmp_path / "compare.html").as_uri()


@pytest.mark.parametrize("kind", ["page_file", "comparison_file"])
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (900, "dark"), (1400, "light")])
def test_the_page_fits_each_width_and_has_no_error(browser, request, kind, width, scheme):
    page_file = request.getfixturevalue(kind)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    errors = []

    def note(what):  # playwright cannot wrap a builtin
        errors.append(what)

    page.on("pageerror", note)
    page.on("requestfailed", note)
    page.goto(page_file)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    drawn = page.evaluate(
        "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width > 0)"
        ".filter(s => s.classList.contains('wide') || s.classList.contains('narrow')).map(s => {"
        "const box = s.getBoundingClientRect();"
        "return [...s.querySelectorAll('.range, circle')].every(m => {"
        "const r = m.getBoundingClientRect(); return r.top >= box.top - 1 && r.bottom <= box.bottom + 1;});})"
    )
    assert drawn == [True], "one chart is shown, and its marks stay within it"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(15, 18, 19)") == (scheme == "dark")
    assert len(page.screenshot(full_page=True)) > 10_000
    assert errors == []
    page.close()


def test_pictures_of_changed_samples_are_shown(browser, report, tmp_path):
    packed = io.BytesIO()
    tile_of(np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)).save(packed, "PNG")
    picture = "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
    row = {"index": 3, "label": 1, "original": 1, "chosen": 2, "picture": picture}
    long = "Fully Connected (NC, QDU8, F32, QC4W) GEMM"
    details = {
        **report.details, "flipped": [row], "changed": 1, "decided": 9,
        "op_times": [{"kind": long, "name": long, "ms": 0.5, "share": 0.9}],
        "storage": [{"kind": "FULLY_CONNECTED", "name": "net/" + "layer/" * 20, "bytes": 5000}],
        "memory": {"weights": 83_000, "activations": 69_000},
    }  # fmt: skip
    write_html(replace(report, details=details), tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    widths = page.evaluate("[...document.querySelectorAll('.flips img')].map(i => i.naturalWidth)")
    assert widths == [112], "the policy of the page permits its own pictures"
    assert page.evaluate(HIDDEN) == 0, "every number of the listings is seen without scrolling"
    page.close()


def test_clicks_sort_the_table_and_change_the_panel(browser, page_file):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(page_file)
    names = "[...document.querySelectorAll('table tbody tr th')].map(t => t.innerText)"
    before = page.evaluate(names)
    page.locator("thead button").nth(1).click()
    assert sorted(page.evaluate(names)) == sorted(before)
    assert page.locator("th[aria-sort]").count() == 1
    options = page.locator("#pick option").count()
    page.locator("#pick").select_option(str(options - 1))
    assert page.locator("article.panel:not([hidden])").get_attribute("data-panel") == str(options - 1)
    page.close()


def test_the_latency_bars_are_in_order_and_the_untried_are_listed(browser, page_file):
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(page_file)
    ends = page.evaluate(
        "[...document.querySelectorAll('.box')].map(b => {"
        "const r = s => b.querySelector(s).getBoundingClientRect();"
        "return [r('s').left, r('i').left, r('b').left, r('i').right, r('s').right, "
        "b.getBoundingClientRect().right];})"
    )
    assert len(ends) == 10
    assert all(a <= b + 1.5 for row in ends for a, b in itertools.pairwise(row))
    assert "int8+zeros60" in page.locator(".untried").inner_text()
    page.close()
