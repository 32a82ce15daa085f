"""What was computed once and can be computed again: tensors kept under the content that they depend
on.

Nothing depends on the cache. An entry that is cut, altered or of another version is made anew, and
a cache that cannot be written costs time, not the run.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, uint8

from fairnc_utils import assets
from fairnc_utils._atomic import write_atomic

_VERSION = 2  # of the entries' format


def tensors(kind: str, facts: object, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The entry of a ``kind`` that depends on ``facts`` (JSON values); ``make`` computes it if
    there is no sound one.

    Entries are safetensors files named by the hash of the facts, written aside and renamed; a
    checksum tells every altered bit. The tensors are on the CPU.
    """
    name = hashlib.sha256(json.dumps([_VERSION, facts]).encode()).hexdigest()
    path = assets.cache_dir() / kind / f"{name[:32]}.safetensors"
    entry = _read(path, name)
    if entry is None:
        entry = {key: tensor.cpu() for key, tensor in make().items()}
        try:
            write_atomic(path, save(entry, metadata={"checksum": _checksum(name, entry)}))
        except OSError as error:
            print(
                f"{path} is not kept ({error.strerror}): this is computed again next time",
                file=sys.stderr,
            )
    return entry


def _read(path: Path, name: str) -> dict[str, Tensor] | None:
    """The tensors of an entry, or None if there is none or it is not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            entry = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no dictionary)
            sound = (file.metadata() or {}).get("checksum") == _checksum(name, entry)
    except (OSError, SafetensorError):
        return None
    return entry if sound else None


def _checksum(name: str, entry: dict[str, Tensor]) -> str:
    """Of the content and of what it belongs to, so that no entry stands in for another."""
    digest = hashlib.sha256(name.encode())
    for key, tensor in sorted(entry.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(uint8).numpy())
    return digest.hexdigest()
