"""The report in a real browser: Debian's chromium, driven headless by playwright."""

from __future__ import annotations

import itertools
import shutil

import pytest

import tightfit
from support.sample_reports import build
from tightfit.report.comparison.page import write_comparison
from tightfit.report.page.html import write_html
from tightfit.search.verdict.budget import Budget

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: the extra 'browser'")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


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
