"""``python -m speed [names]``: run benchmarks, print their table, write their figures."""

import argparse
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

# Threads that wait for each other by spinning stall whenever another program wants a core: let them
# sleep instead.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

NAMES = (
    "measurement",
    "accumulation",
    "pairwise",
    "kernels",
    "scaling",
    "scoring",
    "regularizer",
    "training",
    "precision",
    "neighbours",
    "large",
)
#: Those that can run elsewhere than on the CPU.
ON_DEVICE = (
    "measurement",
    "accumulation",
    "scaling",
    "scoring",
    "regularizer",
    "training",
    "precision",
    "large",
)
#: Those that a CPU would take hours for.
NOT_ON_CPU = ("large",)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m speed", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"any of {', '.join(NAMES)} (default: all)"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument(
        "--repeats", type=int, default=30, help="paired repeats wanted of each comparison"
    )
    parser.add_argument(
        "--seconds", type=float, default=180, help="time for the repeats of one comparison"
    )
    parser.add_argument(
        "--threads", type=int, help="threads that torch may use (default: its own choice)"
    )
    parser.add_argument(
        "--device", default="cpu", help=f"{', '.join(ON_DEVICE)}: where they run (default: cpu)"
    )
    parser.add_argument(
        "--full-corpus", action="store_true", help="measurement: the whole corpus in every repeat"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="a trial of a few seconds; its figures mean nothing"
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="keep the figures: figures.json, and the tables made from it",
    )
    parser.add_argument("--note", default="", help="--record: what else to know about this run")
    parser.add_argument(
        "--tables",
        action="store_true",
        help="measure nothing: write the tables from figures.json anew",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}: choose {', '.join(NAMES)}")
    if options.record and options.tiny:
        parser.error("--record keeps figures, and those of --tiny mean nothing")
    if options.device != "cpu" and not 0 < len(set(options.names)) == len(
        set(options.names) & set(ON_DEVICE)
    ):
        parser.error(f"--device is for {', '.join(ON_DEVICE)}: name what is to run")

    names = options.names or [name for name in NAMES if name not in NOT_ON_CPU]
    if options.device == "cpu" and not options.tiny and set(names) & set(NOT_ON_CPU):
        parser.error(
            f"{', '.join(NOT_ON_CPU)} needs a GPU: give --device cuda, or --tiny for a trial"
        )

    import torch  # only now, so that the wait policy above counts

    from fairnc_utils.assets import write_atomic
    from speed import results, timing

    if (
        options.output
        and options.output.exists()
        and '"results"' not in options.output.read_text(errors="replace")
    ):
        parser.error(
            f"--output {options.output} holds something else than figures: choose another file"
        )
    if options.tables:
        return results.write()
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = timing.Settings(
        options.repeats, options.seconds, options.tiny, options.full_corpus, options.device
    )
    rows, failed = [], {}
    for name in names:
        print(f"{name} …", file=sys.stderr)
        try:
            measured = importlib.import_module(f"speed.{name}").run(settings)
        except (
            Exception
        ) as error:  # data that are not here, memory that is not enough: others go on
            failed[name] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
            measured = []
        if options.record and measured:  # at once: what comes after may fail
            results.keep(
                name,
                options.device.partition(":")[0],
                timing.machine(options.device),
                measured,
                note=options.note,
            )
        rows += measured
        if options.output:  # at once, too
            content = {"machine": timing.machine(options.device), "results": timing.as_dicts(rows)}
            write_atomic(options.output, json.dumps(content | {"failed": failed}, indent=1) + "\n")
    machine, shown = timing.machine(options.device), [results.shown(row) for row in rows]
    table = results.markdown(shown) if shown else "Nothing was measured."
    print(", ".join(f"{key} {value}" for key, value in machine.items()), table, sep="\n\n")
    if options.record:
        results.write()
    if failed:
        sys.exit("\n".join(f"{name} failed: {why}" for name, why in failed.items()))


if __name__ == "__main__":
    main()
