"""Writing so that a file or folder is absent, old or complete, and nothing is lost that others put
there.
"""

import errno
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fairnc_utils.errors import FairNCError


@contextmanager
def replacing(path: Path, *, ours: Collection[str] = ()) -> Iterator[Path]:
    """Where to write a file or a folder; it takes the place of ``path`` in one step when the block
    ends without an error.

    Of an older folder only the entries named in ``ours`` go, everything else moves into the new
    one. A process that is killed leaves a hidden folder beside ``path``. Another process may do the
    same at the same time; the last one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as aside:
        temporary = Path(aside) / path.name
        yield temporary
        if temporary.is_dir():
            _swap(temporary, path, ours)
        else:
            os.replace(temporary, path)


def _swap(built: Path, target: Path, ours: Collection[str]) -> None:
    """Put a complete folder in the place of one that may be there: the old one leaves in one step,
    the new one comes in one.
    """
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    left: list[Path] = []
    while True:
        with suppress(FileNotFoundError):
            left.append(target.rename(tempfile.mkdtemp(dir=built.parent)))
        try:
            built.rename(target)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    for entry in (entry for old in left for entry in old.iterdir()):
        if entry.name not in ours and not (target / entry.name).exists():
            entry.rename(target / entry.name)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that it is either absent, old or complete."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def require_folder(folder: Path, option: str) -> None:
    """Raise ``FairNCError`` that names the ``option`` unless ``folder`` is one to write in, or can
    be made.
    """
    there = next(
        place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()
    )
    if not there.is_dir():
        raise FairNCError(f"option {option}: {there} is a file: choose another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise FairNCError(f"option {option}: {there} cannot be written to: choose another folder")


def require_ours(folder: Path, ours: Collection[str], option: str) -> None:
    """Raise ``FairNCError`` that names the ``option`` unless ``folder`` is new or holds but the
    entries in ``ours``.
    """
    require_folder(folder, option)
    others = (
        sorted({entry.name for entry in folder.iterdir()} - set(ours)) if folder.exists() else []
    )
    if others:
        and_more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise FairNCError(
            f"option {option}: {folder} has {others[0]}{and_more}, which was not written by it and would be lost: "
            "choose a new or empty folder"
        )
