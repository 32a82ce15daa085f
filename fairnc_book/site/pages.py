"""What the theme's pages lack: names that agree with what is seen, buttons that open a notebook,
and nothing that no page uses.

A chapter can be opened in JupyterLab on the reader's own machine (``make lab``). Where the book is
published from a repository on GitHub, named by ``FAIRNC_REPOSITORY`` (its address) and
``FAIRNC_BRANCH``, two more ways are offered: Colab, which opens the notebook that was published
with the page, and a container in the browser, which ``.devcontainer`` describes.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from sphinx.util import logging

#: Markup of the theme → what stands there instead. A name that differs from the visible text misleads voice control.
MENDED = (
    (re.compile(r'(<button class="[^"]*search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"'), r"\1"),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
)

#: Where ``make lab`` serves the notebooks.
LAB = "http://localhost:8888/lab/tree"


#: Files of the theme below ``_static`` that no page loads: source maps, other languages, fonts that are there in smaller form.
UNUSED = ("**/*.map", "locales/**/*.*", "vendor/fontawesome/webfonts/*.ttf")

#: Branch that `.github/workflows/pages.yml` publishes the pages and their notebooks on.
PUBLISHED = "gh-pages"

#: First cell of a published notebook.
INSTALL = """\
# Only where the project is not installed, as in Colab; it takes some minutes. On your own machine, `make lab` has everything.
!git clone --quiet --depth 1 --branch {branch} {address} project
%pip install --quiet --editable ./project[book]
%cd project"""


def mend(page: str) -> tuple[str, set[re.Pattern]]:
    """A page of the theme with its flaws mended, and those that it had."""
    had = set()
    for flaw, instead in MENDED:
        page, count = flaw.subn(instead, page)
        had |= {flaw} if count else set()
    return page, had


def finish(app, exception) -> None:
    """Mend all pages; make the notebooks for download what a reader would run; take away what no
    page loads.

    What is looked for and nowhere found gives a warning: the theme has changed, and its pages have
    flaws of another form.
    """
    if exception or app.builder.format != "html":
        return
    site, missing = Path(app.outdir), {flaw for flaw, _ in MENDED}
    for path in site.rglob("*.html"):
        page, had = mend(path.read_text(encoding="utf-8"))
        path.write_text(page, encoding="utf-8")
        missing -= had
    for path in (site / "_sources").rglob("*.ipynb"):
        nbformat.write(for_readers(nbformat.read(path, as_version=4)), path)
    for pattern in UNUSED:
        files = list((site / "_static").glob(pattern))
        missing |= set() if files else {pattern}
        for path in files:
            path.unlink()
    for what in missing:
        logging.getLogger(__name__).warning(
            "no page has %s any more: see fairnc_book.site.pages", what
        )


def repository() -> tuple[str, str] | None:
    """Address and branch of the repository that the book is published from, if it is named and one
    of GitHub.
    """
    address = os.environ.get("FAIRNC_REPOSITORY", "")
    return (
        (address, os.environ.get("FAIRNC_BRANCH", "main"))
        if urlsplit(address).hostname == "github.com"
        else None
    )


def for_readers(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with this build's parameters and without outputs: the page has those, and they
    would double the book.

    Where it can be opened far from the project, its first cell installs that.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if published := repository():
        install = INSTALL.format(address=published[0], branch=published[1])
        notebook.cells.insert(0, nbformat.v4.new_code_cell(install, id="install"))
    return notebook


def name_repository(app, config) -> None:
    """Let the theme link to the repository, where one is named."""
    if address := os.environ.get("FAIRNC_REPOSITORY"):
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": os.environ.get("FAIRNC_BRANCH", "main"),
            "path_to_docs": "",
            "use_repository_button": True,
        }


def ways_to_open(pagename: str) -> list[dict]:
    """Buttons that open the notebook of a page."""
    chapter = pagename.removeprefix("notebooks/")
    ways = [
        {
            "text": "JupyterLab here",
            "tooltip": "Open on this machine, while `make lab` runs",
            "icon": "fas fa-laptop",
            "url": f"{LAB}/{chapter}.ipynb",
        }
    ]
    if published := repository():
        project = urlsplit(published[0]).path.strip("/").removesuffix(".git")
        ways += [
            {
                "text": "Colab",
                "tooltip": "Open in Colab; the first cell installs the project",
                "icon": "fas fa-cloud",
                "url": f"https://colab.research.google.com/github/{project}/blob/{PUBLISHED}/_sources/{pagename}.ipynb",
            },
            {
                "text": "In the browser",
                "tooltip": "The whole project in a container; then `make lab`",
                "icon": "fas fa-box",
                "url": f"https://codespaces.new/{project}/tree/{published[1]}",
            },
        ]
    return [{"type": "link"} | way for way in ways]


def add_ways(app, pagename, templatename, context, doctree) -> None:
    """Add to a chapter's buttons those that open its notebook."""
    if pagename.startswith("notebooks/"):
        group = {
            "type": "group",
            "label": "launch-buttons",
            "icon": "fas fa-rocket",
            "tooltip": "Open it",
        }
        context["header_buttons"].insert(0, group | {"buttons": ways_to_open(pagename)})


#: Extensions of Jupyter Book that do not say whether several processes may read pages: one numbers sections when all are
#: read, one is about LaTeX.
SILENT = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")


def read_side_by_side(app, env, docnames) -> None:
    """Say it for those that are silent, without which Sphinx reads one page after the other."""
    for name in set(SILENT) & set(app.extensions):
        app.extensions[name].parallel_read_safe = True


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("env-before-read-docs", read_side_by_side)
    app.connect("config-inited", name_repository)
    app.connect("html-page-context", add_ways, priority=900)  # after the theme's own buttons
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
