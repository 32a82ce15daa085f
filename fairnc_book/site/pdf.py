"""The whole book as one PDF: its pages one after the other in one page, which Chromium prints.

python -m fairnc_book.site.pdf HTML TARGET

Links between pages lead to their place in the PDF; figures are their still pictures.
"""

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fairnc_utils.errors import FairNCError

#: Names under which Chromium is installed.
BROWSERS = ("chromium", "google-chrome", "chromium-browser")

#: The one page, in the folder of the book while it is printed.
WHOLE = "whole-book.html"

_NEXT = re.compile(r'<link rel="next"[^>]*href="([^"]+)"')
_ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.DOTALL)
_HEAD = re.compile(r'<link\b[^>]*rel="stylesheet"[^>]*>|<script[^>]*mathjax[^>]*></script>')
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
_ADDRESS = re.compile(r'\b(href|src)="([^"]*)"')
_ID = re.compile(r'\bid="([^"]+)"')

#: What is other in the one page: pictures for figures, a new sheet for each page, only what is printed.
_STYLE = """
html[data-theme="light"] { --pst-color-background: #fff; --pst-color-on-background: #fff; }
.still { display: block !important; }
.plotly-figure { height: auto !important; }
.headerlink, .toggle-button, .copybtn { display: none !important; }
.whole > section { break-before: page; }
.whole > section:first-child { break-before: auto; }
details > :not(summary) { display: block; }
@page { size: A4; margin: 16mm 15mm; }
"""


def pages(html: Path) -> Iterator[str]:
    """Pages of a built book in the order of reading, from the front page on, as paths below it."""
    page, seen = "index.html", set()
    while page and page not in seen:
        seen.add(page)
        yield page
        following = _NEXT.search((html / page).read_text(encoding="utf-8"))
        folder = posixpath.dirname(page)
        page = posixpath.normpath(posixpath.join(folder, following.group(1))) if following else ""


def _label(page: str, anchor: str = "") -> str:
    """Id in the one page of a place on a page; of its begin where it has no anchor."""
    return f"{page.removesuffix('.html').replace('/', '-')}--{anchor}"


def article(html: Path, page: str, every: set[str]) -> str:
    """A page's text, its ids and addresses made those of the one page. ``every``: pages that are in it."""
    text = _ARTICLE.search((html / page).read_text(encoding="utf-8"))
    if text is None:
        raise FairNCError(f"{page} has no article: the theme has changed, see fairnc_book.site.pdf")
    folder = posixpath.dirname(page)

    def address(found: re.Match) -> str:
        name, url = found.groups()
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            return found.group()
        target = posixpath.normpath(posixpath.join(folder, parts.path)) if parts.path else page
        if name == "href" and target in every:
            return f'href="#{_label(target, unquote(parts.fragment))}"'
        return f'{name}="{target}"'

    inside = _ID.sub(lambda found: f'id="{_label(page, found.group(1))}"', _SCRIPT.sub("", text[1]))
    inside = _ADDRESS.sub(address, inside).replace(' loading="lazy"', "")
    return f'<section id="{_label(page)}">{inside}</section>'


def whole(html: Path) -> str:
    """The one page."""
    order = list(pages(html))
    every = set(order)
    heads: dict[str, None] = {}
    for page in order:
        folder = posixpath.dirname(page)
        for tag in _HEAD.findall((html / page).read_text(encoding="utf-8")):
            moved = _ADDRESS.sub(
                lambda found, folder=folder: (
                    f'{found[1]}="{posixpath.normpath(posixpath.join(folder, found[2]))}"'
                ),
                tag,
            )
            heads[moved] = None
    articles = "\n".join(article(html, page, every) for page in order)
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Neural collapse and fairness'
        f"</title>{''.join(heads)}<style>{_STYLE}</style></head>"
        f'<body><div class="bd-article whole">{articles}</div></body></html>'
    )


def print_book(html: Path, target: Path, *, timeout: float = 600) -> None:
    """Print a built book. Raises ``FairNCError`` where no Chromium is installed or it fails."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise FairNCError(f"a PDF needs Chromium, and none of {', '.join(BROWSERS)} is installed")
    page = html / WHOLE
    page.write_text(whole(html), encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory() as profile:
            flags = ["headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-sync"]
            flags += ["disable-background-networking", "disable-component-update"]
            flags += ["no-pdf-header-footer", "virtual-time-budget=120000"]
            flags += [f"user-data-dir={profile}", f"print-to-pdf={target.resolve()}"]
            command = [program, *(f"--{flag}" for flag in flags), page.resolve().as_uri()]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, check=False
            )
    finally:
        page.unlink()
    if not target.is_file():
        raise FairNCError(f"Chromium printed nothing: {done.stderr.strip()[-500:]}")


def main() -> int:
    """Print the book → exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("html", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    try:
        print_book(options.html, options.target)
    except FairNCError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
