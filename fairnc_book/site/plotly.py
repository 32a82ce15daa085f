"""Interactive figures and formulas in a book that needs no network: one local plotly.js, one local
MathJax.

Of plotly.js a page gets the part that draws in a plane, ``_static/plotly-cartesian.min.js`` (the package
``plotly.js-cartesian-dist-min`` of npm, of the version that plotly for Python has), a third of the whole; a page
with a figure of another kind gets the whole.

A notebook emits a figure as data (``application/vnd.plotly.v1+json``). ``PlotlyRenderer`` puts the
data into the page, and ``_static/figures.js`` of the book draws it in the page's colours; beside
them lies a still picture, for paper and for readers without scripts. An interactive element
(``plots.explorer.Widget``) is put into the page likewise, for its own script. What the figure says
about itself stands in ``figure.layout.meta``:

- ``alt``: alternative text, plain; every figure must have it,
- ``caption``: Markdown; it makes a numbered figure,
- ``name``: a label, for ``{numref}`` in any chapter.

A page of prose shows a figure of a chapter with ``{notebook-figure} notebooks/<chapter> <name of
the figure>``.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

import nbformat
import plotly
from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.core.render import create_figure_context
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from fairnc_book.site.stills import picture
from fairnc_utils import assets
from fairnc_utils.errors import FairNCError

MIME = "application/vnd.plotly.v1+json"
WIDGET_MIME = "application/vnd.fairnc.widget+json"
MARK = 'class="plotly-figure"'

#: Script of the book → what a page that needs it has.
SCRIPTS = {
    "figures.js": (MARK, 'data-widget="words"'),
    "state.js": ('data-widget="words"', 'data-widget="runs"'),
    "words.js": ('data-widget="words"',),
    "runs.js": ('data-widget="runs"',),
}

#: Kinds of traces that the part of plotly.js for figures in a plane draws; a figure with another is marked.
IN_A_PLANE = frozenset(
    "bar box contour heatmap histogram histogram2d histogram2dcontour image pie scatter scatterternary violin".split()
)
WHOLE = 'data-plotly="whole"'

#: What the book takes of MathJax. The SVG output is one file, draws the formulas inside plotly figures as well, and
#: needs no web fonts, which some browsers refuse to load from disk.
MATHJAX = re.compile(r"MathJax/(LICENSE|es5/tex-svg\.js|es5/input/tex/extensions/.+\.js)")


class PlotlyRenderer:
    """MyST-NB renderer of plotly figures and of interactive elements (entry point
    ``myst_nb.mime_renderers``).
    """

    mime_priority_overrides = (("html", MIME, 5), ("html", WIDGET_MIME, 4))

    @staticmethod
    def handle_mime(renderer, data, inline: bool) -> list[nodes.Node] | None:
        """Docutils nodes of one figure or element; None leaves other outputs to other renderers."""
        if inline or data.mime_type not in (MIME, WIDGET_MIME):
            return None
        content = data.content if isinstance(data.content, dict) else json.loads(data.string)
        env, document = renderer.renderer.sphinx_env, renderer.renderer.document
        plot_id = _unique_id(content, taken=document.ids)
        if data.mime_type == WIDGET_MIME:
            return [
                nodes.raw(
                    "",
                    widget_html(content, plot_id, _still(env, content.get("figure"), plot_id)),
                    format="html",
                )
            ]
        meta = content.get("layout", {}).get("meta") or {}
        if not meta.get("alt"):
            renderer.logger.warning(
                "figure without alternative text in layout.meta['alt']", line=data.line
            )
        plot = nodes.raw(
            "", figure_html(content, plot_id, _still(env, content, plot_id)), format="html"
        )
        document.ids[plot_id] = plot
        if not meta.get("caption"):
            return [plot]
        # A backslash keeps a "<" that would open a tag from doing so; "p < .05" and "$a < b$" stay
        # as they are.
        options = {
            "caption": re.sub(r"<(?=[\w/!?])", r"\\<", meta["caption"]),
            "name": meta.get("name"),
        }
        holder, parser = nodes.Element(), renderer.renderer
        with parser.current_node_context(holder), create_figure_context(parser, options, data.line):
            parser.current_node.append(plot)
        if not holder[0]["ids"]:  # Sphinx numbers only what has an id
            holder[0]["ids"].append(f"{plot_id}-figure")
        return holder.children


class NotebookFigure(SphinxDirective):
    """A figure of an executed notebook on another page: its path without suffix, its label; the
    content is the caption.
    """

    required_arguments = 2
    has_content = True
    option_spec = {"name": directives.unchanged}  # noqa: RUF012 (docutils' own way)

    def run(self) -> list[nodes.Node]:
        chapter, label = self.arguments
        self.env.note_dependency(f"{chapter}.ipynb")
        plotly_figure = next(
            filter(
                lambda figure: figure["layout"]["meta"]["name"] == label, self._figures(chapter)
            ),
            None,
        )
        if plotly_figure is None:
            logging.getLogger(__name__).warning(
                "%s has no figure %s", chapter, label, location=self.get_location()
            )
            return []
        plot_id = _unique_id(plotly_figure, taken=())
        plot = nodes.raw(
            "",
            figure_html(plotly_figure, plot_id, _still(self.env, plotly_figure, plot_id)),
            format="html",
        )
        caption, messages = self.state.inline_text(" ".join(self.content), self.lineno)
        holder = nodes.figure("", plot, nodes.caption("", "", *caption))
        self.add_name(holder)
        return [holder, *messages]

    def _figures(self, chapter: str) -> Iterator[dict]:
        path = Path(self.env.srcdir) / f"{chapter}.ipynb"
        for cell in nbformat.read(path, as_version=4).cells if path.exists() else ():
            for output in cell.get("outputs", ()):
                if MIME in output.get("data", {}):
                    yield output["data"][MIME]


def figure_html(figure: dict, plot_id: str, still: str = "") -> str:
    """The figure's data inside an element of its final height, so that the page does not jump when
    it is drawn.
    """
    layout = figure.get("layout", {})
    alt = escape((layout.get("meta") or {}).get("alt", ""))
    drawn = {key: figure[key] for key in ("data", "layout", "frames") if key in figure}
    data = json.dumps(drawn, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    kinds = {trace.get("type", "scatter") for trace in figure.get("data", ())}
    mark = MARK if kinds <= IN_A_PLANE else f"{MARK} {WHOLE}"
    return (
        f'<div {mark} id="{plot_id}" role="group" aria-label="{alt}" style="height:{layout.get("height", 450):.0f}px">'
        f"{_script(data)}{_picture_html(still, alt)}</div>"
    )


def widget_html(content: dict, plot_id: str, still: str = "") -> str:
    """The data of an interactive element, and what stands for it where no script runs: a still
    picture or a table.
    """
    alt = escape(content["alt"])
    instead = (
        f'<div class="still">{content["html"]}</div>{SHOWN}'
        if "html" in content
        else _picture_html(still, alt)
    )
    return (
        f'<div class="widget" data-widget="{content["widget"]}" id="{plot_id}" role="group" aria-label="{alt}">'
        f"{_script(content['data'])}{instead}</div>"
    )


#: What shows the still pictures of a page where no script runs.
SHOWN = "<noscript><style>.still { display: block !important; }</style></noscript>"


def _script(data: str) -> str:
    """JSON as a script element. No "<" is left in it, so none of its texts can end the element."""
    text = data.replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def _picture_html(still: str, alt: str) -> str:
    return (
        f'<img class="still" src="{still}" alt="{alt}">{SHOWN}'
        if still
        else f"<noscript><p>{alt}</p></noscript>"
    )


def _still(env: BuildEnvironment, figure: dict | None, plot_id: str) -> str:
    """Draw the still picture of a figure → its address as the page sees it; none where there is
    nothing to draw.
    """
    if figure is None:
        return ""
    try:
        drawn = picture(figure)
    except FairNCError as error:
        logging.getLogger(__name__).warning("figure %s: %s", plot_id, error, location=env.docname)
        return ""
    assets.write_atomic(Path(env.app.outdir) / "_images" / f"{plot_id}.svg", drawn)
    return "../" * env.docname.count("/") + f"_images/{plot_id}.svg"


def _unique_id(figure: dict, taken) -> str:
    """Id from the figure's content, the same in every build; a second figure with the same content
    counts on.
    """
    digest = hashlib.sha256(json.dumps(figure, sort_keys=True).encode()).hexdigest()[:10]
    plot_id, count = f"plot-{digest}", 1
    while plot_id in taken:
        count += 1
        plot_id = f"plot-{digest}-{count}"
    return plot_id


def copy_scripts(app) -> None:
    """Put MathJax where the pages look for it."""
    if app.builder.format == "html":
        for name, content in _mathjax():
            _put(app, name, content)


def _put(app, name: str, content: bytes) -> None:
    path = Path(app.outdir) / "_static" / name
    if not path.is_file() or path.stat().st_size != len(content):
        assets.write_atomic(path, content)


def _mathjax() -> Iterator[tuple[str, bytes]]:
    for key in filter(MATHJAX.fullmatch, assets.members("MathJax")):
        yield (
            key.replace("MathJax/es5/", "mathjax/").replace("MathJax/", "mathjax/"),
            assets.read(key),
        )


def choose_scripts(app, pagename, templatename, context, doctree) -> None:
    """Give each page the scripts it uses: plotly.js where a figure is, thebe (a remote service)
    nowhere.
    """
    body = context.get("body") or ""
    # the theme gives each page every script of the folder, at once
    unwanted = {"thebe", "plotly-cartesian", "snippets.js"} | {
        script for script, marks in SCRIPTS.items() if not any(mark in body for mark in marks)
    }
    if 'class="math' not in body:
        unwanted |= {"MathJax", "tex-svg.js"}
    files = context["script_files"]
    files[:] = [
        file
        for file in files
        if not any(word in f"{file.filename} {file.attributes}" for word in unwanted)
    ]
    if "figures.js" not in unwanted:
        if WHOLE in body:
            _put(app, "plotly.min.js", plotly.offline.get_plotlyjs().encode())
            app.add_js_file("plotly.min.js", defer="defer")
        else:
            app.add_js_file("plotly-cartesian.min.js", defer="defer")
        # a formula inside a figure: Sphinx counts only those of the text
        if re.search(r'"\$[^"]*\$"', body):
            app.add_js_file(None, body=f"window.MathJax = {json.dumps(app.config.mathjax3_config)}")
            app.add_js_file(app.config.mathjax_path, defer="defer")


def setup(app) -> dict:
    """Register with Sphinx."""
    app.add_directive("notebook-figure", NotebookFigure)
    app.connect("builder-inited", copy_scripts)
    app.connect("html-page-context", choose_scripts, priority=900)  # after those that add scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
