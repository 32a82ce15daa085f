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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from fairnc_utils import assets

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = (
    shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
)
DRIVER = shutil.which("chromedriver")
NARROW = 390  # px: a phone
PAGE, BOOK = 1.5e6, 25e6  # bytes: a page with its figures' data, the whole book

#: Attributes by which a page loads something without being asked; <a href> is not among them.
LOADED = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
    ("object", "data"),
    ("embed", "src"),
    ("use", "href"),
}


def toc_pages(toc: Path) -> list[str]:
    """Page names of a Jupyter Book table of contents, the root first."""
    tree = yaml.safe_load(toc.read_text())
    return [
        tree["root"],
        *(chapter["file"] for part in tree["parts"] for chapter in part["chapters"]),
    ]


class Page(HTMLParser):
    """What a page links to (``links``), loads by itself (``loaded``) and can be linked at
    (``anchors``); its headings by level (``levels``), and for each table whether it has a head
    (``heads``).
    """

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loaded, self.anchors, self.levels, self.heads = [], [], {""}, [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        elif tag == "table":
            self.heads.append(False)
        elif tag == "th" and self.heads:
            self.heads[-1] = True
        for name, value in attrs:
            if (tag, name) in LOADED:
                self.loaded.append(value)
            elif (tag, name) == ("a", "href"):
                self.links.append(value)
            elif name == "id" or (tag, name) == ("a", "name"):
                self.anchors.add(value)


parse = cache(Page)
OUTSIDE = re.compile(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)")


def local_problems(html: Path) -> list[str]:
    """Links and assets of a site that lead nowhere or, if they load by themselves, to another host."""
    problems = []
    for path in sorted(html.rglob("*.html")):
        if "_static" in path.parts:
            continue
        page, name = parse(path), path.relative_to(html)
        for url in page.links + page.loaded:
            parts = urlsplit(url)
            if parts.scheme in ("http", "https") or parts.netloc:
                if url in page.loaded:
                    problems.append(f"{name} loads {url}")
            elif parts.scheme in ("", "file"):
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                if not target.is_file():
                    problems.append(f"{name} → {url}: no such file")
                elif (
                    target.suffix == ".html"
                    and unquote(parts.fragment) not in parse(target).anchors
                ):
                    problems.append(f"{name} → {url}: no such anchor")
    for sheet in html.rglob("*.css"):
        problems += [f"{sheet.name} loads {url}" for url in OUTSIDE.findall(sheet.read_text())]
    return problems


def structure_problems(page: Path) -> list[str]:
    """Headings that leave out a level, tables whose head is not marked up, and a page that is too
    large.
    """
    structure = parse(page)
    problems = [
        f"heading {a} is followed by {b}" for a, b in pairwise(structure.levels) if b > a + 1
    ]
    problems += ["a table has no head"] * structure.heads.count(False)
    return problems + [f"{page.stat().st_size} bytes"] * (page.stat().st_size > PAGE)


@contextmanager
def browser() -> Iterator:
    """A headless Chromium that reaches no host and logs what pages ask for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "enable-unsafe-swiftshader",
        "no-first-run",
        "disable-sync",
        "disable-background-networking",
        "disable-component-update",
        "window-size=1280,1000",
        "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=DRIVER)
    )
    try:
        yield driver
    finally:
        driver.quit()


# Scripts that run in the page.
PENDING = """
const all = (selector) => [...document.querySelectorAll(selector)];
const undrawn = all('.plotly-figure:not([data-drawn])');
const unset = all('.bd-article .math').filter(e => !e.querySelector('mjx-container svg'));
return [...undrawn.map(e => `figure ${e.id} is not drawn`),
        ...unset.map(e => `formula is not set: ${e.textContent.slice(0, 60)}`)]"""

FAULTS = """
const all = (selector) => [...document.querySelectorAll(selector)];
const marks = '.trace, .traces, .hm image, .slice, .gl-container canvas, .table-control-view, .plot path';
return [...all('.plotly-figure').filter(e => !e.querySelector(marks)).map(e => `figure ${e.id} has no marks`),
        ...all('.plotly-figure').filter(e => !e.ariaLabel).map(e => `figure ${e.id} has no alternative text`),
        ...all('[data-mml-node=merror]').map(e => `formula in error: ${e.textContent}`)]"""

INK = """
const text = document.querySelector('.plotly-figure .main-svg text:not(:empty)');
return text && getComputedStyle(text).fill"""

SWITCH = """
const page = document.documentElement;
document.head.append(Object.assign(document.createElement('style'), {textContent: '* { transition: none !important; }'}));
page.dataset.theme = page.dataset.theme == 'dark' ? 'light' : 'dark'"""

AXE = """
const done = arguments[0];
axe.run({resultTypes: ['violations'], preload: false}).then(({violations}) => done(violations
  .filter(v => ['serious', 'critical'].includes(v.impact)).map(v => `${v.id}: ${v.nodes[0].target.join(' ')}`)))"""

WIDTH = "return document.documentElement.scrollWidth"


def browser_problems(driver, page: Path, timeout: float = 20, axe: str = "") -> list[str]:
    """What goes wrong when a reader opens the page, switches light and dark, and makes it as narrow
    as a phone.

    ``axe``: source of axe-core; it is then asked for serious violations, in both themes.
    """
    run = driver.execute_script
    _width(driver, 1280)
    driver.get_log("performance"), driver.get_log("browser")
    driver.get(page.resolve().as_uri())
    problems = _wait(lambda: run(PENDING), timeout) + run(FAULTS)
    problems += _violations(driver, axe)
    ink = run(INK)
    run(SWITCH)
    problems += _violations(driver, axe)
    if ink:
        problems += _wait(
            lambda: ["figures do not follow the theme"] if run(INK) == ink else [], timeout
        )
    _width(driver, NARROW)
    problems += _wait(lambda: ["scrolls sideways"] if run(WIDTH) > NARROW else [], timeout)
    problems += [
        entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"
    ]
    outside = [url for url in _requests(driver) if not url.startswith(("file:", "data:", "blob:"))]
    return problems + [f"asks for {url}" for url in outside]


def _violations(driver, axe: str) -> list[str]:
    if not axe:
        return []
    driver.execute_script(axe)
    return driver.execute_async_script(AXE)


def _width(driver, width: int) -> None:
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def _wait(problems, timeout: float) -> list[str]:
    """The list that ``problems()`` returns, as soon as it is empty or when time is up."""
    end = time.monotonic() + timeout
    while (remaining := problems()) and time.monotonic() < end:
        time.sleep(0.1)
    return remaining


def _requests(driver) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]


needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with chromedriver"
)


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
        driver.set_script_timeout(60)
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
