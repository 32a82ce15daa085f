"""What the theme's pages lack: names that agree with what is seen, buttons that open a notebook, and nothing that no page uses.

A chapter can be opened in JupyterLab on the reader's own machine (``make lab``). Where the book is published from a repository,
named by ``FAIRNC_REPOSITORY`` (its address) and ``FAIRNC_BRANCH``, Binder and Colab are offered as well.
"""

import os
import re
from pathlib import Path

import nbformat

#: Markup of the theme → what stands there instead. A name that differs from the visible text misleads voice control.
MENDED = (
    (re.compile(r'(<button class="[^"]*search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"'), r"\1"),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
)

#: Where ``make lab`` serves the notebooks.
LAB = "http://localhost:8888/lab/tree"


def mend(page: str) -> str:
    """A page of the theme with its flaws mended."""
    for flaw, instead in MENDED:
        page = flaw.sub(instead, page)
    return page


#: Files of the theme below ``_static`` that no page loads: source maps, other languages, fonts that are there in smaller form.
UNUSED = ("**/*.map", "locales/**/*.*", "vendor/fontawesome/webfonts/*.ttf")


def finish(app, exception) -> None:
    """Mend all pages; make the notebooks for download what a reader would run; take away what no page loads."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for path in site.rglob("*.html"):
        path.write_text(mend(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in (site / "_sources").rglob("*.ipynb"):
        nbformat.write(without_outputs(nbformat.read(path, as_version=4)), path)
    for pattern in UNUSED:
        for path in (site / "_static").glob(pattern):
            path.unlink()


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with this build's parameters and without outputs: the page has those, and they would double the book."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def name_repository(app, config) -> None:
    """Let the theme offer Binder and Colab, where a repository is named."""
    if address := os.environ.get("FAIRNC_REPOSITORY"):
        config.html_theme_options |= {
            "repository_url": address, "repository_branch": os.environ.get("FAIRNC_BRANCH", "main"), "path_to_docs": "",
            "use_repository_button": True,
            "launch_buttons": {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org",
                               "colab_url": "https://colab.research.google.com"},
        }  # fmt: skip


def add_lab(app, pagename, templatename, context, doctree) -> None:
    """Add to a chapter's buttons the one that opens it on the reader's own machine."""
    if not pagename.startswith("notebooks/"):
        return
    buttons = context["header_buttons"]
    group = next((button for button in buttons if button.get("label") == "launch-buttons"), None)
    if group is None:
        group = {"type": "group", "label": "launch-buttons", "icon": "fas fa-rocket", "tooltip": "Open it", "buttons": []}
        buttons.insert(0, group)
    here = f"{LAB}/{pagename.removeprefix('notebooks/')}.ipynb"
    told = {"text": "JupyterLab here", "tooltip": "Open on this machine, while `make lab` runs", "icon": "fas fa-laptop"}
    group["buttons"].append({"type": "link", "url": here} | told)


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("config-inited", name_repository)
    app.connect("html-page-context", add_lab, priority=900)  # after the theme's own buttons
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
