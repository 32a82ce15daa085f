"""``fairnc audit`` and ``fairnc page``, which the entry points of this package add to ``fairnc``.

An audit is a parameterized notebook, which papermill runs and which becomes one HTML file.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from fairnc_utils._atomic import require_folder, write_atomic
from fairnc_utils._extras import needs
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout, flags

# What computes is imported once the arguments are known to be good: it takes seconds.

#: The notebook, a part of the package.
NOTEBOOK = "audit.ipynb"


def audit(arguments: Sequence[str]) -> int:
    """``fairnc audit MODEL [--against OTHER] [--budget MINUTES] --out report.html``: exit status 0."""
    parser = flags.Parser(
        prog="fairnc audit",
        description="A report on one language model as one HTML file: bias, what is kept, where its words stand.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="folder, adapter, hub name, smollm2 or random"
    )
    parser.add_argument("--against", metavar="OTHER", help="another model, compared item by item")
    parser.add_argument(
        "--budget",
        type=float,
        default=2.0,
        metavar="MINUTES",
        help="of measuring, about, which chooses the samples; 0: all items (default: 2)",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the page, e.g. report.html")
    parser.add_argument(
        "--benchmarks",
        nargs="+",
        metavar="NAME",
        help="name, name:split or name:split:axis; all: whatever it can take (default: one form of each question)",
    )
    parser.add_argument(
        "--words", default="gender", metavar="NAME", help="list or .csv file (default: gender)"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="(default: auto)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the items drawn (default: 0)"
    )
    parser.add_argument("--notebook", metavar="FILE", help="the executed notebook as well")
    options = vars(parser.parse_args(arguments))
    out, kept = _file(options.pop("out"), "--out"), options.pop("notebook")
    kept = _file(kept, "--notebook") if kept else None
    for name in ("model", "against"):
        if options[name] is not None:
            options[name] = checkout.located(options[name])
    options["budget"] = options["budget"] or None
    from fairnc_utils import panel

    panel.check(options["budget"], options["words"], options["benchmarks"])
    notebook, page = executed(options)
    write_atomic(out, page)
    if kept:
        import nbformat

        write_atomic(kept, nbformat.writes(notebook))
    print(out)
    return 0


def page(arguments: Sequence[str]) -> int:
    """``fairnc page COMPARISON.json --out FILE``: a comparison as one HTML file; exit status 0."""
    parser = flags.Parser(
        prog="fairnc page", description="What `fairnc compare --json` printed, as one HTML file."
    )
    parser.add_argument("record", metavar="COMPARISON.json", help="of `fairnc compare --json`")
    parser.add_argument("--out", required=True, metavar="FILE", help="the page")
    options = parser.parse_args(arguments)
    out = _file(options.out, "--out")
    from fairnc_book.audit import page as pages

    write_atomic(out, pages.rendered(pages.read(options.record), options.record))
    print(out, file=sys.stderr)
    return 0


def _file(name: str, option: str) -> Path:
    """Where to write a file. Raises ``FairNCError`` before hours of work that could not be saved."""
    path = Path(name).absolute()
    if "\0" in name or path.is_dir():
        raise FairNCError(
            f"option {option}: {name!r} is a folder or no name of a file: name a file"
        )
    require_folder(path.parent, option)
    return path


def executed(options: dict) -> tuple[object, str]:
    """The notebook, run with these parameters, and its page. What a cell raises as ``FairNCError`` is
    raised here.
    """
    needs("book")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of papermill's and Jupyter's own future
        import nbformat
        import papermill
        from papermill.exceptions import PapermillExecutionError

    from fairnc_book.audit import page as pages

    budget = options["budget"]
    minutes = (
        f"about {budget:g} minute{'s' * (budget != 1)} of measuring" if budget else "all items"
    )
    print(f"auditing {options['model']} ({minutes})", file=sys.stderr)
    # The kernel's threads sleep where they wait for each other: spinning stalls on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    source = resources.files("fairnc_book.audit").joinpath(NOTEBOOK)
    with resources.as_file(source) as place, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / NOTEBOOK
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                papermill.execute_notebook(
                    str(place),
                    str(target),
                    parameters=options,
                    kernel_name="python3",
                    progress_bar=False,
                    log_output=False,
                    stderr_file=sys.stderr,  # how far it is
                    extra_arguments=["--IPKernelApp.log_level=ERROR"],
                )
            except PapermillExecutionError as error:
                if error.ename in ("FairNCError", "MissingExtra"):
                    raise FairNCError(error.evalue) from None
                raise
        notebook = nbformat.read(target, as_version=4)
    return notebook, pages.of_notebook(notebook, title=f"Audit of {options['model']}")
