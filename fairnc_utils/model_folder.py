"""Folders that a trained model is saved to: Hugging Face's files, and a mark that tells them from a
user's own.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairnc_utils import assets
from fairnc_utils._atomic import replacing, require_ours
from fairnc_utils.errors import FairNCError

#: File beside the model's: how it was made, under ``about``, and under ``files`` the sha256 of each of them.
MARK = "fairnc.json"


def require(folder: Path, option: str = "output") -> None:
    """Raise ``FairNCError`` that names the ``option`` unless ``folder`` is new, empty or an older
    model that we saved.

    To be called before training. A file of such a model that was altered since is the user's, not
    ours.
    """
    require_ours(folder, _unaltered(folder), option)
    place = folder.resolve()
    if place.is_mount() or place == Path.cwd():  # it cannot give way to the complete one
        kind = "the current folder" if place == Path.cwd() else "a disk of its own"
        raise FairNCError(f"option {option}: {folder} is {kind}: name a folder in it")


@contextmanager
def saving(folder: Path, about: dict) -> Iterator[Path]:
    """Where to write the model's files; ``folder`` has them, and the mark, when all are complete.

    ``about``: how the model was made (JSON). Of an older model of ours nothing is left; what else
    is in the folder stays. Raises ``FairNCError`` where it cannot be written.
    """
    try:
        with replacing(folder, ours=_unaltered(folder)) as built:
            built.mkdir()
            yield built
            files = {file.name: assets.sha256(file) for file in sorted(built.iterdir())}
            (built / MARK).write_text(
                json.dumps({"about": about, "files": files}, indent=1, default=str) + "\n"
            )
    except OSError as error:
        reason = error.strerror or error
        raise FairNCError(
            f"the model cannot be saved to {folder} ({reason}): make room or choose another folder"
        ) from error


def save(model, tokenizer, folder: Path, about: dict) -> None:
    """Write the model and its tokenizer as a Hugging Face folder; see ``saving``."""
    with saving(folder, about) as built:
        model.save_pretrained(built)
        tokenizer.save_pretrained(built)


def _unaltered(folder: Path) -> set[str]:
    """Names of the files that are as we saved them, the mark among them."""
    try:
        files = dict(json.loads((folder / MARK).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, LookupError, TypeError):  # no mark, or one that somebody else made
        return set()
    there = {name: folder / name for name in files if (folder / name).is_file()}
    return {name for name, file in there.items() if assets.sha256(file) == files[name]} | {MARK}
