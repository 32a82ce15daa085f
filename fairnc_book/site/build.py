"""Render the book: what ``jupyter-book build -W -n --keep-going`` does, with several pages at a time,
for which its command line has no option.

python -m fairnc_book.site.build SOURCE TARGET --config _config.yml --jobs 2
"""

import argparse
import sys
from pathlib import Path

from jupyter_book.sphinx import build_sphinx


def main() -> int:
    """Render ``SOURCE`` into ``TARGET/_build/html`` → exit status; 1 where anything was warned of."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    status = build_sphinx(
        options.source,
        options.target / "_build/html",
        noconfig=True,
        path_config=options.config,
        confoverrides={
            "external_toc_path": (options.source / "_toc.yml").resolve().as_posix(),
            "latex_individualpages": False,
            "nitpicky": True,
        },
        warningiserror=True,
        keep_going=True,
        jobs=options.jobs,
    )
    return int(status) if isinstance(status, int) else 1  # an exception, which Sphinx has shown


if __name__ == "__main__":
    sys.exit(main())
