"""The run store: what was computed with the same options is read back instead of computed again.

It is used where the environment variable ``FAIRNC_STORE`` names a folder, as the workflow does, and
then by all public functions of ``runs``. An entry belongs to a function, its options, and the
content of every file or folder that an option names (a model, a corpus). What else numbers depend
on is not looked at: whoever names the folder takes another one when code, data or versions are
others.
"""

import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pyarrow

from fairnc_utils import assets, model_folder
from fairnc_utils._atomic import replacing
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout, identity
from fairnc_utils.runs.rows import RUN_FILES, Run

ENVIRONMENT = "FAIRNC_STORE"


def stored(compute: Callable[..., Run]) -> Callable[..., Run]:
    """The same function, reading its run from the store where one is named and has it.

    A run with an ``output`` is read only together with that folder: its files are kept in the entry
    and put back where they are missing. An entry that is damaged is made anew, and a store that
    cannot be written costs time, not the run.
    """

    @functools.wraps(compute)
    def run(*runs: Run, **options) -> Run:
        if not (store := os.environ.get(ENVIRONMENT)):
            return compute(*runs, **options)
        entry = Path(store) / f"{compute.__name__}-{_key(runs, options)}"
        output = Path(options["output"]) if options.get("output") else None
        if (
            entry.is_dir()
            and (kept := _read(entry))
            and (not output or _restored(entry / "output", output))
        ):
            return kept
        computed = compute(*runs, **options)
        try:
            _keep(computed, entry, output)
        except (OSError, FairNCError) as error:
            print(
                f"{entry} is not kept ({error}): this is computed again next time", file=sys.stderr
            )
        return computed

    return run


def _key(runs: tuple[Run, ...], options: Mapping) -> str:
    """Hash of the runs that are compared and of the options; of files and folders that they name,
    the content as well.
    """
    options = {name: value for name, value in options.items() if name not in identity.PLACES}
    contents = {text: _content(path) for text in _texts(options) for path in _named(text)}
    facts = [[run.run_id for run in runs], options, contents]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _texts(value: object) -> Iterator[str]:
    """Every text in an option, however deep."""
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _texts(part)


def _named(text: str) -> Iterator[Path]:
    """The file or folder that a text names, if it names one: seen from the current folder, then
    from the checkout.
    """
    if text:
        places = [Path(text), *(root / text for root in [checkout.find()] if root)]
        yield from [place for place in places if os.path.exists(place)][:1]


def _content(path: Path) -> str:
    """Hash of a file, or of all files of a folder with their names."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    names = [[file.relative_to(path).as_posix(), assets.sha256(file)] for file in files]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _read(entry: Path) -> Run | None:
    """The run of an entry; None, and no entry any more, if it is damaged."""
    try:
        results, items = (
            pd.read_parquet(entry / f"{name}.parquet") for name in ("results", "items")
        )
        provenance = json.loads((entry / "provenance.json").read_text())
        return Run(provenance["run_id"], results, items, provenance)
    except (OSError, ValueError, LookupError, pyarrow.ArrowException):
        shutil.rmtree(entry, ignore_errors=True)
        return None


def _restored(kept: Path, output: Path) -> bool:
    """Whether ``output`` holds what the run wrote there, after putting it back where nothing is.

    What else may lie there stays as it is: then the run is made again, and says itself whether it
    may write.
    """
    if not kept.is_dir():
        return False
    if output.is_dir() and any(output.iterdir()):
        return _content(output) == _content(kept)
    model_folder.require(output)
    with replacing(output) as built:
        shutil.copytree(kept, built)
    return True


def _keep(run: Run, entry: Path, output: Path | None) -> None:
    """Write an entry, all of it or nothing."""
    with replacing(entry, ours=(*RUN_FILES, "output")) as built:
        run.write(built)
        if output:
            shutil.copytree(output, built / "output")
