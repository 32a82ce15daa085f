"""Figures of a book without a network: what the renderer writes, what a page loads, a small book in
a browser.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import plotly.graph_objects as go
import pytest
from helpers import ROOT
from helpers.site import browser, browser_problems, local_problems, needs_chromium, toc_pages

from fairnc_book.site import pages as site_pages
from fairnc_book.site import pdf
from fairnc_book.site import plotly as sphinx_plotly
from fairnc_utils import assets
from fairnc_utils.errors import FairNCError

ALT = 'Words "she" & <he> </script><script>alert(1)</script>'


def figure(title: str = "", **meta) -> dict:
    """A figure as it stands in a notebook's output."""
    drawn = go.Figure(
        go.Scatter(x=[1, 2, 3], y=[2, 1, 3], mode="markers", text=["</script>", "<b>", "&"])
    )
    drawn.update_layout(title=title, meta={"alt": ALT, **meta})
    return json.loads(drawn.to_json())


def test_no_text_of_a_figure_can_leave_its_place():
    html = sphinx_plotly.figure_html(figure(), "plot-1")
    assert html.count("<script") == html.count("</script>") == 1
    label = re.search(r'aria-label="([^"]*)"', html).group(1)
    assert (
        label
        == "Words &quot;she&quot; &amp; &lt;he&gt; &lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"
    )


def test_the_figure_survives_the_page():
    html = sphinx_plotly.figure_html(figure(), "plot-1")
    data = re.search(
        r'<script type="application/json">(.*)</script><noscript>', html, re.DOTALL
    ).group(1)
    assert json.loads(data) == figure()


def test_a_figure_that_is_not_in_a_plane_is_marked():
    assert sphinx_plotly.WHOLE not in sphinx_plotly.figure_html(figure(), "plot-1")
    deep = figure() | {"data": [{"type": "scatter3d", "x": [1], "y": [1], "z": [1]}]}
    assert sphinx_plotly.WHOLE in sphinx_plotly.figure_html(deep, "plot-1")


def test_ids_follow_the_content_and_are_unique():
    first = sphinx_plotly._unique_id(figure(), taken=())
    assert first == sphinx_plotly._unique_id(figure(), taken=())
    assert first != sphinx_plotly._unique_id(figure(title="other"), taken=())
    second = sphinx_plotly._unique_id(figure(), taken={first})
    assert sphinx_plotly._unique_id(figure(), taken={first, second}) == f"{first}-3"


def test_other_outputs_are_left_to_other_renderers():
    data = SimpleNamespace(mime_type="text/html", content="<p>", line=1)
    assert sphinx_plotly.PlotlyRenderer.handle_mime(None, data, False) is None


@pytest.mark.parametrize(
    ("body", "kept", "added"),
    [
        ("<p>no figure</p>", ["_static/doctools.js"], []),
        (
            f"<div {sphinx_plotly.MARK}>",
            ["_static/doctools.js", "_static/figures.js"],
            ["plotly-cartesian.min.js"],
        ),
        (
            f'<div {sphinx_plotly.MARK}>"text":"$x$"',
            ["_static/doctools.js", "_static/figures.js"],
            ["plotly-cartesian.min.js", None, "mathjax/tex-svg.js"],
        ),
    ],
)
def test_a_page_gets_the_scripts_it_uses(body, kept, added):
    names = ["_static/doctools.js", "_static/figures.js", "_static/sphinx-thebe.js", None]
    inline = {"body": "const thebe_selector = 1"}
    files = [SimpleNamespace(filename=name, attributes={} if name else inline) for name in names]
    calls = []
    app = SimpleNamespace(
        add_js_file=lambda name, **attributes: calls.append(name),
        config=SimpleNamespace(mathjax_path="mathjax/tex-svg.js", mathjax3_config={}),
    )
    sphinx_plotly.choose_scripts(
        app, "page", "page.html", {"body": body, "script_files": files}, None
    )
    assert [file.filename for file in files] == kept
    assert calls == added


# A small book

INDEX = """
# Book

See {numref}`fig-one`, {numref}`fig-two` and {eq}`e`, and [(Papyan et al., 2020)](#papyan2020prevalence).

```{bibliography}
:all:
```
"""

TOC = """
format: jb-book
root: index
parts:
  - caption: Part
    numbered: true
    chapters: [{file: figures}, {file: formulas}, {file: table}]
"""


def notebook(*cells) -> str:
    """A notebook as it comes out of its run; a dict stands for a code cell with that output."""
    new = nbformat.v4
    made = [
        new.new_markdown_cell(cell)
        if isinstance(cell, str)
        else new.new_code_cell(
            "show()",
            execution_count=1,
            outputs=[new.new_output("display_data", data=cell)],
            # as chapters have it; the theme's markup of it is mended
            metadata={"tags": ["hide-input"]},
        )
        for cell in cells
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.writes(new.new_notebook(cells=made, metadata=metadata))


@pytest.fixture(scope="module")
def small_book(tmp_path_factory) -> Path:
    """A book with the real configuration and look, one page a trait, built as the real one is."""
    try:
        assets.fetch("django-static-mathjax")
    except FairNCError as error:
        pytest.skip(f"MathJax cannot be had: {error}")
    root = tmp_path_factory.mktemp("small")
    book = root / "book"
    shutil.copytree(ROOT / "book/_static", book / "_static")
    shutil.copy(ROOT / "book/references.bib", book)
    caption = "A caption with $a < b$, a <b> that is text, and {cite:t}`xu2025collapsed`."
    captioned = [figure(name=name, caption=caption) for name in ("fig-one", "fig-two")]
    plots = [
        {sphinx_plotly.MIME: drawn}
        for drawn in (*captioned, figure(), figure(), figure(title=r"$\lambda$"))
    ]
    table = {"text/html": "<table><tr><td>1.00</td></tr></table>"}
    (book / "_toc.yml").write_text(TOC)
    (book / "index.md").write_text(INDEX)
    (book / "figures.ipynb").write_text(notebook("# Figures", *plots))
    (book / "formulas.ipynb").write_text(notebook("# Formulas\n\n$\\lambda$\n\n$$\nx^2\n$$ (e)"))
    (book / "table.ipynb").write_text(notebook("# Table", table))
    program = Path(sys.executable).with_name("jupyter-book")
    paths = [book, "--config", ROOT / "_config.yml", "--path-output", root]
    done = subprocess.run(
        [program, "build", *paths, "-Wn", "--keep-going"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "_build/html"


@pytest.mark.slow
def test_small_book_has_numbered_captions_and_unique_ids(small_book):
    text = (small_book / "figures.html").read_text()
    ids = re.findall(r'<div class="plotly-figure" id="([^"]+)"', text)
    assert len(set(ids)) == len(ids) == 5
    assert re.findall(r"Figure 1\.\d", re.sub(r"<script.*?</script>", "", text)) == [
        "Figure 1.1",
        "Figure 1.2",
    ]
    assert "a &lt;b&gt; that is text" in text
    assert "Figure 1.2" in (small_book / "index.html").read_text()


@pytest.mark.slow
def test_small_book_loads_only_what_it_uses(small_book):
    pages = {
        page: (small_book / f"{page}.html").read_text() for page in ("figures", "formulas", "table")
    }
    scripts = {
        page: sorted(re.findall(r"(plotly[\w-]*\.min|figures|tex-svg)\.js", text))
        for page, text in pages.items()
    }
    assert scripts == {
        "figures": ["figures", "plotly-cartesian.min", "tex-svg"],
        "formulas": ["tex-svg"],
        "table": [],
    }
    assert not any("thebe.js" in text or "thebe@" in text for text in pages.values())


@pytest.mark.slow
def test_small_book_is_one_page_on_paper(small_book):
    assert list(pdf.pages(small_book)) == [
        "index.html",
        "figures.html",
        "formulas.html",
        "table.html",
    ]
    text = pdf.whole(small_book)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    inside = re.findall(r'href="#([^"]+)"', text)
    assert inside
    assert set(inside) <= set(ids)
    assert all((small_book / name).is_file() for name in re.findall(r'src="(_images[^"]+)"', text))


@pytest.mark.slow
@needs_chromium
def test_small_book_is_printed(small_book, tmp_path):
    pdf.print_book(small_book, tmp_path / "book.pdf")
    assert (tmp_path / "book.pdf").read_bytes().startswith(b"%PDF")
    assert not (small_book / pdf.WHOLE).exists()


@pytest.mark.slow
def test_icons_that_no_page_has_are_left_out(small_book):
    icons = (small_book / "_static/scripts/fontawesome.js").read_text()
    assert "magnifying-glass" in icons
    assert "chess-king" not in icons


@pytest.mark.slow
def test_small_book_is_whole(small_book):
    assert local_problems(small_book) == []


@pytest.mark.slow
@needs_chromium
def test_small_book_opens_without_a_network(small_book):
    with browser() as driver:
        pages = toc_pages(small_book.parent.parent / "book/_toc.yml")
        problems = {page: browser_problems(driver, small_book / f"{page}.html") for page in pages}
    assert {page: of_page for page, of_page in problems.items() if of_page} == {}


def test_texts_for_search_are_by_section():
    page = (
        '<article class="bd-article"><section class="a" id="title"><h1>Title</h1><p>First, <code>x</code> .</p>'
        '<section id="one"><h2>One<a class="headerlink" href="#one">#</a></h2><p>Said <a href="x">here</a> .</p>'
        "<pre>not.this</pre><table><tr><td>nor this</td></tr></table></section></section></article>"
    )
    assert site_pages.prose(page) == [("", "", "First, x."), ("one", "One", "Said here.")]
    assert site_pages.prose("<p>no article</p>") == []


# The checks themselves

FAULTY = {
    "a missing asset": ('<img src="none.png">', "no such file"),
    "a missing page": ('<a href="none.html">x</a>', "no such file"),
    "a missing anchor": ('<a href="#none">x</a>', "no such anchor"),
    "a script of another host": (
        '<script src="https://example.org/x.js"></script>',
        "loads https://example.org/x.js",
    ),
    "a host without a scheme": ('<link href="//example.org/x.css">', "loads //example.org/x.css"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_fault_in_the_files_is_found(tmp_path, fault):
    body, problem = FAULTY[fault]
    sound = '<p id="here"><a href="#here">x</a> <a href="https://example.org">y</a></p>'
    (tmp_path / "index.html").write_text(sound + body)
    problems = local_problems(tmp_path)
    assert len(problems) == 1
    assert problem in problems[0]


SEEN = {
    "an error": ("<script>throw new Error('planted')</script>", "planted"),
    "a request": (
        "<script>fetch('https://example.org/x').catch(() => 0)</script>",
        "asks for https://example.org/x",
    ),
    "an undrawn figure": (
        '<div class="plotly-figure" id="f" aria-label="x"></div>',
        "figure f is not drawn",
    ),
    "an unset formula": (
        '<div class="bd-article"><span class="math">x</span></div>',
        "formula is not set: x",
    ),
    "a figure of one ink": (
        '<div class="plotly-figure" id="f" aria-label="x" data-drawn><svg class="main-svg"><text>x</text></svg></div>',
        "figures do not follow the theme",
    ),
    "a wide page": ('<div style="width:900px">x</div>', "scrolls sideways"),
}


@pytest.mark.slow
@needs_chromium
def test_faults_that_only_a_browser_sees_are_found(tmp_path):
    with browser() as driver:
        for body, problem in SEEN.values():
            page = tmp_path / "page.html"
            page.write_text(
                f'<!DOCTYPE html><meta name="viewport" content="width=device-width"><title>x</title>{body}'
            )
            assert any(problem in fault for fault in browser_problems(driver, page, timeout=0.5)), (
                problem
            )
