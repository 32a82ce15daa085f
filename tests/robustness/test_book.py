"""The rendered book: every page is there, reachable and small; nothing is broken, nothing leaves
the reader's machine.

The book is the folder ``$FAIRNC_BOOK_HTML``, else the newest ``build/*/_build/html``; without one
these tests are skipped. The checks are plain functions that return a list of problems;
``test_sphinx_plotly`` runs them on a small book and on pages with planted faults.
"""

import os
import re
import statistics
import time
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers import ROOT, reading
from helpers.site import (
    BOOK,
    FIRST,
    NARROW,
    PENDING,
    Terms,
    _requests,
    _wait,
    _width,
    browser,
    browser_problems,
    local_problems,
    needs_chromium,
    structure_problems,
    toc_pages,
)

from fairnc_book.site import terms


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


def test_a_term_of_the_glossary_is_linked_once_a_page(pages):
    """The first use in prose: what is left over on a page without a link has none of its words."""
    glossary = pages[terms.GLOSSARY].read_text()
    linked_anywhere = set()
    for page, path in pages.items():
        if terms.LEFT_OUT.fullmatch(page):
            continue
        seen = Terms(path)
        anchors = [address.partition("#")[2] for address in seen.linked]
        assert len(set(anchors)) == len(anchors), page
        linked_anywhere |= set(anchors)
        for word in ("NC3", "UNC3", "positive control", "definitional gender", "ICAT"):
            pattern = terms.Term(word, "", "").pattern
            if re.search(rf"(?<![\w-]){pattern}(?![\w-])", seen.said):
                assert terms.anchor(word) in anchors, f"{page}: {word}"
    assert all(f'id="{anchor}"' in glossary for anchor in linked_anywhere)
    assert len(linked_anywhere) > 10


def findings(page: str) -> list[str]:
    """Findings and answers that a page shows, as text; code in them is left out."""
    shown = re.findall(r"<p><strong>((?:Finding|Answer)\.)</strong>(.*?)</p>", page, re.DOTALL)
    code = re.compile(r"<code.*?</code>|<[^>]*>", re.DOTALL)
    return [f"**{kind}** {unescape(code.sub('', text)).strip()}" for kind, text in shown]


def test_findings_open_with_a_plain_sentence(pages):
    """The first sentence of each has no number, and most of them are easy to read."""
    shown = {page: findings(path.read_text()) for page, path in pages.items()}
    numbers = {
        page: [text for text in texts if reading.LONE.search(reading.opening(text))]
        for page, texts in shown.items()
    }
    assert {page: texts for page, texts in numbers.items() if texts} == {}
    every = [text for texts in shown.values() for text in texts]
    assert len(every) > 50
    assert statistics.median(map(reading.ease, every)) >= 50


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
def test_first_visit_is_small(open_page):
    driver = open_page("index")
    files = {Path(unquote(urlsplit(url).path)) for url in _requests(driver)}
    size = sum(file.stat().st_size for file in files if file.is_file())
    print(f"first visit: {size / 1e6:.2f} MB")
    assert 0 < size <= FIRST


FIRST_SCREEN = """
const [height, inside] = [arguments[0], []];
const walk = document.createTreeWalker(document.querySelector('.bd-article'), NodeFilter.SHOW_TEXT);
for (let node; node = walk.nextNode();) {
  const range = document.createRange();
  range.selectNodeContents(node);
  if (node.textContent.trim() && range.getBoundingClientRect().top < height) inside.push(node.textContent);
}
return [inside.join(' '), document.querySelector('.verdict-strip').getBoundingClientRect().bottom]"""


@pytest.mark.slow
@needs_chromium
def test_verdicts_stand_on_the_first_screen_of_a_laptop_and_the_second_of_a_phone(open_page):
    driver = open_page("index")
    for width, screen, screens in ((1366, 768, 1), (390, 844, 2)):
        _width(driver, width)
        said, bottom = driver.execute_script(FIRST_SCREEN, screen)
        assert bottom <= screens * screen, f"{width}: {bottom}"
        numbers = re.findall(r"(?<![A-Za-z\d.])\d[\d.,]*", said)
        assert len(numbers) <= 6, numbers


@pytest.mark.slow
@needs_chromium
def test_search_finds_a_metric(open_page):
    driver = open_page("search", "?q=UNC3")
    script = "return !!document.querySelector('#search-results li a[href*=glossary]')"
    assert _wait(lambda: [] if driver.execute_script(script) else ["nothing found"], 10) == []
    snippets = driver.execute_script(
        "return [...document.querySelectorAll('#search-results p.context')].map(p => p.textContent)"
    )
    assert any("UNC3" in snippet for snippet in snippets)


@pytest.mark.slow
@needs_chromium
def test_search_leads_to_a_section(open_page, html):
    driver = open_page("search", "?q=trustworthiness")
    script = (
        "return document.querySelector('#search-results li a[href*=\"03-geometry.html\"]')?.href"
    )
    assert _wait(lambda: [] if driver.execute_script(script) else ["nothing found"], 10) == []
    section = urlsplit(driver.execute_script(script)).fragment
    assert section == "how-far-to-trust-the-maps"
    assert f'id="{section}"' in (html / "notebooks/03-geometry.html").read_text()


@pytest.mark.slow
@needs_chromium
def test_without_scripts_pictures_stand_for_figures(open_page):
    driver = open_page("notebooks/02-measuring-collapse")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver.refresh()
    pictures = driver.find_elements("css selector", "img.still")
    assert pictures
    assert all(picture.is_displayed() and picture.size["height"] > 100 for picture in pictures)


STEP = """
const plot = document.querySelector('.plotly-figure:has(+ .steps) .js-plotly-plot');
return [plot.layout.sliders[0].active ?? 0, plot.layout.annotations?.[0].text]"""


@pytest.mark.slow
@needs_chromium
def test_sliders_play_by_keyboard_and_never_by_themselves(open_page):
    from selenium.webdriver.common.keys import Keys

    driver = open_page("notebooks/02-measuring-collapse")
    back, play, forth = driver.find_elements("css selector", ".steps button")
    first, said = driver.execute_script(STEP)
    assert first == 0
    forth.send_keys(Keys.ENTER)
    assert driver.execute_script(STEP)[0] == 1
    assert driver.execute_script(STEP)[1] != said
    assert "0.1" in driver.execute_script(
        "return document.querySelector('.steps output').textContent"
    )
    back.send_keys(Keys.ENTER)
    assert driver.execute_script(STEP) == [first, said]
    play.send_keys(Keys.SPACE)
    assert "Pause" in play.text
    reached = lambda step: [] if driver.execute_script(STEP)[0] >= step else ["it stands"]  # noqa: E731
    assert _wait(lambda: reached(3), 5) == []
    play.send_keys(Keys.SPACE)
    assert "Play" in play.text
    stopped = driver.execute_script(STEP)
    time.sleep(1)
    assert driver.execute_script(STEP) == stopped


EXPLORED = """
const plot = document.querySelector('[data-widget=words] .js-plotly-plot');
return [plot.data.map(trace => trace.x.length), plot.layout.xaxis.type,
        document.querySelector('.word-details').textContent, document.querySelector('.said').textContent]"""


@pytest.mark.slow
@needs_chromium
def test_explorer_is_worked_by_keyboard(open_page):
    from selenium.webdriver.common.keys import Keys

    driver = open_page("notebooks/21-explorer")
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


MARKED = """
const plot = document.querySelector('[data-widget=words] .js-plotly-plot');
return plot.data.at(-1).text"""


@pytest.mark.slow
@needs_chromium
def test_explorer_says_why_a_word_was_not_measured_and_keeps_its_state_in_the_address(open_page):
    from selenium.webdriver.common.keys import Keys

    driver = open_page("notebooks/21-explorer", "#words=neutral&word=she")
    driver.implicitly_wait(5)
    chosen = "return document.querySelectorAll('[data-widget=words] select')[3].value"
    assert driver.execute_script(chosen) == "neutral"
    assert driver.execute_script(EXPLORED)[2].startswith("she: cosine")
    assert driver.execute_script(MARKED) == ["she"]
    field = driver.find_element("css selector", "[data-widget=words] input")
    for word, why in (
        ("qzorb", "not a single token"),
        ("nurses", "too rare"),
        ("two words", "not one word"),
    ):
        field.clear()
        field.send_keys(word, Keys.ENTER)
        assert why in driver.execute_script(EXPLORED)[2], word
        assert driver.execute_script(MARKED) == []
    assert "word=two+words" in driver.current_url


@pytest.mark.slow
@needs_chromium
def test_comparer_follows_its_fields(open_page):
    from selenium.webdriver.common.keys import Keys

    driver = open_page("notebooks/22-comparer")
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
    kept = driver.execute_script(script)
    address = driver.current_url
    assert "second=" in address
    with browser() as another:  # whoever was sent the address
        another.get(address)
        assert another.execute_script(script) == kept
    hidden = """
      const box = document.querySelector('[data-widget=runs] .scrolls');
      return box.scrollHeight - box.clientHeight"""
    assert driver.execute_script(hidden) <= 1


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


#: Pairs of a figure's titles, legend, toolbar, tick labels and what stands below it that lie over each other, by figure; 2 px
#: may touch.
OVERLAPS = """
const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
return [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
  const boxes = (selector) => [...plot.querySelectorAll(selector)].filter(e => e.getClientRects().length)
    .map(e => [e.textContent.trim().slice(0, 30) || selector, e.getBoundingClientRect()]);
  const titles = boxes('.g-gtitle text').concat([...plot.querySelectorAll('.annotation')].flatMap((e, i) =>
    (plot.layout.annotations[i]?.xref ?? 'paper').startsWith('x') || plot.layout.annotations[i]?.textangle ? []
    : [[e.textContent.slice(0, 30), e.querySelector('.annotation-text-g').getBoundingClientRect()]]));
  const legend = boxes('.legend .bg'), bar = boxes('.modebar-group'), ticks = boxes('.xtick text');
  const pairs = [];
  titles.forEach((first, i) => {
    for (const other of titles.slice(i + 1)) pairs.push([first, other]);
    for (const other of legend.concat(bar, ticks)) pairs.push([first, other]);
  });
  for (const first of legend) for (const other of bar.concat(ticks)) pairs.push([first, other]);
  const below = [...plot.closest('figure')?.querySelectorAll('figcaption, .steps') ?? []]
    .map(e => [e.className || 'caption', e.getBoundingClientRect()]);
  for (const first of legend.concat(boxes('.xtitle'), boxes('.slider-rail-group'), ticks))
    for (const other of below) pairs.push([first, other]);
  const name = plot.closest('[id]')?.id ?? plot.layout.meta?.name;
  return pairs.filter(([a, b]) => over(a[1], b[1])).map(([a, b]) => `${name}: ${a[0]} / ${b[0]}`);
});"""


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [1366, NARROW])
def test_titles_legends_and_toolbars_of_figures_do_not_overlap(pages, open_page, width):
    driver = open_page("index")
    device = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == NARROW}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    found = {}
    for page in pages:
        shown = open_page(page)  # a figure is laid out twice: what lies over another stays there
        found[page] = _wait(lambda shown=shown: shown.execute_script(OVERLAPS), 5)
    assert {page: of_page for page, of_page in found.items() if of_page} == {}


@pytest.mark.slow
@needs_chromium
def test_an_overlap_is_found(html, open_page):
    driver = open_page("notebooks/09-ablations")
    assert driver.execute_script("return document.querySelectorAll('.js-plotly-plot').length") > 3
    driver.execute_script("""
        const plot = document.querySelector('.js-plotly-plot');
        const [bar, title] = ['.modebar-group', '.annotation'].map(of => plot.querySelector(of));
        const a = bar.getBoundingClientRect(), b = title.getBoundingClientRect();
        title.style.transform = `translate(${a.left - b.left}px, ${a.top - b.top}px)`;""")
    assert driver.execute_script(OVERLAPS)


@pytest.mark.slow
@needs_chromium
def test_marks_of_legends_are_seen_in_the_dark(open_page):
    driver = open_page("notebooks/03-geometry")
    driver.execute_script("document.documentElement.dataset.theme = 'dark'")
    drawn = driver.execute_script("""
        return [...document.querySelectorAll('.legendpoints path')].map(mark => getComputedStyle(mark))
          .map(({fill, stroke, strokeWidth}) => parseFloat(strokeWidth) ? stroke : fill)""")
    assert drawn
    assert "rgb(0, 0, 0)" not in drawn


@pytest.mark.slow
@needs_chromium
def test_a_covered_caption_is_found(open_page):
    driver = open_page("notebooks/02-measuring-collapse")
    assert driver.execute_script(OVERLAPS) == []
    driver.execute_script("""
        const style = document.createElement('style');
        style.textContent = '.plotly-figure { padding-bottom: 0 !important; }';
        document.head.append(style);""")
    assert any("/ caption" in pair for pair in driver.execute_script(OVERLAPS))
