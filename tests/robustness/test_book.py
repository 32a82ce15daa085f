"""The rendered book: every page is there, reachable and small; nothing is broken, nothing leaves
the reader's machine.

The book is the folder ``$FAIRNC_BOOK_HTML``, else the newest ``build/*/_build/html``; without one
these tests are skipped. The checks are plain functions that return a list of problems;
``test_sphinx_plotly`` runs them on a small book and on pages with planted faults.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT
from helpers.site import (
    BOOK,
    PENDING,
    _wait,
    browser,
    browser_problems,
    local_problems,
    needs_chromium,
    structure_problems,
    toc_pages,
)

from fairnc_utils import assets


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of axe-core in the version that ``tests/package.json`` pins, by npm, kept in the
    cache.
    """
    pinned = json.loads((ROOT / "tests/package.json").read_text())["devDependencies"]["axe-core"]
    folder = assets.cache_dir() / "npm" / f"axe-core-{pinned}"
    source = folder / "node_modules/axe-core/axe.min.js"
    if not source.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed, so axe-core cannot be had")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / "tests" / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode != 0:
            pytest.skip(f"npm cannot install axe-core: {done.stderr.strip()[-200:]}")
    return source.read_text()


@pytest.fixture(scope="module")
def html() -> Path:
    """The folder of the built book."""
    if named := os.environ.get("FAIRNC_BOOK_HTML"):
        return Path(named)
    built = sorted(
        ROOT.glob("build/*/_build/html/index.html"), key=lambda path: path.stat().st_mtime
    )
    if not built:
        pytest.skip("no book is built: run `make book`, or name one in FAIRNC_BOOK_HTML")
    return built[-1].parent


@pytest.fixture(scope="module")
def pages(html) -> dict[str, Path]:
    """Page name → file, for every page of the table of contents."""
    return {page: html / f"{page}.html" for page in toc_pages(ROOT / "book/_toc.yml")}


@pytest.fixture
def open_page(html):
    """Function(page, query) → a browser that shows it, its figures drawn."""
    with browser() as driver:

        def show(page: str, query: str = ""):
            driver.get((html / f"{page}.html").as_uri() + query)
            assert _wait(lambda: driver.execute_script(PENDING), 20) == []
            return driver

        yield show


def test_every_page_of_the_table_of_contents_is_built(pages):
    assert [page for page, path in pages.items() if not path.is_file()] == []


def test_links_and_assets_resolve_inside_the_book(html):
    assert local_problems(html) == []


def test_pages_are_structured_and_small(pages, html):
    problems = {page: structure_problems(path) for page, path in pages.items()}
    assert {page: of_page for page, of_page in problems.items() if of_page} == {}
    assert sum(path.stat().st_size for path in html.rglob("*") if path.is_file()) < BOOK


def test_every_figure_has_a_still_picture(pages):
    for page, path in pages.items():
        text = path.read_text()
        figures = text.count('<div class="plotly-figure"') + text.count('data-widget="words"')
        assert (
            len(re.findall(r'<img class="still" src="[^"]+\.svg" alt="[^"]{20}', text)) == figures
        ), page


@pytest.mark.slow
@needs_chromium
def test_pages_open_without_a_network_and_without_barriers(pages, axe):
    with browser() as driver:
        driver.set_script_timeout(180)
        problems = {page: browser_problems(driver, path, axe=axe) for page, path in pages.items()}
    assert {page: of_page for page, of_page in problems.items() if of_page} == {}


@pytest.mark.slow
@needs_chromium
def test_start_page_can_be_used_at_once(open_page):
    driver = open_page("index")
    spent = driver.execute_script(
        "return performance.getEntriesByType('navigation')[0].domInteractive"
    )
    print(f"interactive after {spent:.0f} ms")
    assert spent < 5000  # generous: the machine may be busy


@pytest.mark.slow
@needs_chromium
def test_search_finds_a_metric(open_page):
    driver = open_page("search", "?q=UNC3")
    script = "return !!document.querySelector('#search-results li a[href*=glossary]')"
    assert _wait(lambda: [] if driver.execute_script(script) else ["nothing found"], 10) == []


@pytest.mark.slow
@needs_chromium
def test_without_scripts_pictures_stand_for_figures(open_page):
    driver = open_page("index")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver.refresh()
    pictures = driver.find_elements("css selector", "img.still")
    assert pictures
    assert all(picture.is_displayed() and picture.size["height"] > 100 for picture in pictures)


EXPLORED = """
const plot = document.querySelector('[data-widget=words] .js-plotly-plot');
return [plot.data.map(trace => trace.x.length), plot.layout.xaxis.type,
        document.querySelector('.word-details').textContent, document.querySelector('.said').textContent]"""


@pytest.mark.slow
@needs_chromium
def test_explorer_is_worked_by_keyboard(open_page):
    from selenium.webdriver.common.keys import Keys

    driver = open_page("notebooks/10-explorer")
    driver.implicitly_wait(5)
    before = driver.execute_script(EXPLORED)
    fields = driver.find_elements("css selector", "[data-widget=words] select")
    fields[3].send_keys(Keys.ARROW_DOWN)  # another list of words
    after = driver.execute_script(EXPLORED)
    assert after[0] != before[0]
    assert after[3] != before[3]
    word = driver.execute_script(
        "return document.querySelector('[data-widget=words] datalist option').value"
    )
    driver.find_element("css selector", "[data-widget=words] input").send_keys(word, Keys.ENTER)
    assert driver.execute_script(EXPLORED)[2].startswith(f"{word}: cosine")
    summary = driver.find_element("css selector", "[data-widget=words] summary")
    summary.send_keys(Keys.ENTER)
    button = driver.find_element("css selector", "[data-widget=words] tbody button")
    button.send_keys(Keys.ENTER)
    assert driver.execute_script(EXPLORED)[2].startswith(f"{button.text}: cosine")
    assert driver.find_element("css selector", ".word-details mark").text.lower() == button.text


@pytest.mark.slow
@needs_chromium
def test_comparer_follows_its_fields(open_page):
    from selenium.webdriver.common.keys import Keys

    driver = open_page("notebooks/11-comparer")
    script = "return document.querySelector('[data-widget=runs] .said').textContent"
    rows = "return document.querySelectorAll('[data-widget=runs] .scrolls tbody tr').length"
    first, second, only = driver.find_elements("css selector", "[data-widget=runs] select")
    shown = driver.execute_script(rows)
    assert str(shown) in driver.execute_script(script)
    # a run beside itself
    second.send_keys(first.find_element("css selector", "option:checked").text)
    assert "0 have intervals that do not touch" in driver.execute_script(script)
    every = driver.execute_script(rows)
    only.send_keys(Keys.ARROW_DOWN)  # one benchmark
    assert 0 < driver.execute_script(rows) < every


@pytest.mark.slow
@needs_chromium
def test_a_barrier_is_found(tmp_path, axe):
    page = tmp_path / "page.html"
    head = '<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width"><title>x</title>'
    page.write_text(f'{head}<img src="data:,">')
    with browser() as driver:
        assert any(
            "image-alt" in problem
            for problem in browser_problems(driver, page, timeout=0.5, axe=axe)
        )
