"""What is checked of a rendered page: lists of problems, from its file or from a browser."""

import json
import re
import shutil
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

CHROMIUM = (
    shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
)


DRIVER = shutil.which("chromedriver")

NARROW = 390  # px: a phone


# bytes: a page with its figures' data, the whole book, all that the first page loads
PAGE, BOOK, FIRST = 1e6, 30e6, 2.5e6

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


class Terms(HTMLParser):
    """What a page says in prose (``said``: text of paragraphs outside headings, code, links, tables and
    captions) and the addresses of its links to terms of the glossary (``linked``).
    """

    NOT = (
        "a",
        "code",
        "pre",
        "table",
        "figcaption",
        "nav",
        "h1",
        "h2",
        "h3",
        "h4",
        "script",
        "dt",
        "details",
    )

    def __init__(self, path: Path):
        super().__init__()
        self.said, self.linked, self.within, self.article = "", [], [], False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.article |= tag == "article"
        if tag in (*self.NOT, "p"):
            self.within.append(tag)
        if tag == "a" and "term" in (attributes.get("class") or "").split():
            self.linked.append(attributes["href"])

    def handle_endtag(self, tag):
        self.article &= tag != "article"
        if tag in self.within:
            del self.within[len(self.within) - 1 - self.within[::-1].index(tag) :]

    def handle_data(self, data):
        if self.article and "p" in self.within and not set(self.within) & set(self.NOT):
            self.said += data + " "


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
    """Headings that leave out a level, more or fewer than one of the first, tables whose head is not
    marked up, and a page that is too large.
    """
    structure = parse(page)
    problems = [
        f"heading {a} is followed by {b}" for a, b in pairwise(structure.levels) if b > a + 1
    ]
    if structure.levels.count(1) != 1:
        problems.append(f"{structure.levels.count(1)} headings of the first level")
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


parse = cache(Page)
