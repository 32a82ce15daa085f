"""Text corpora as ``datasets.Dataset`` objects."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnc_utils import _io, assets, hub
from fairnc_utils._extras import needs
from fairnc_utils.catalog import CORPORA
from fairnc_utils.errors import FairNCError, brief

with needs("measure"):
    import datasets


def _gap(split: str) -> Iterable[str]:
    return [
        row["Text"]
        for row in _io.table(f"GAP/gap-{split}.tsv", ("Text",), delimiter="\t", quoted=False)
    ]


def _bug(split: str) -> Iterable[str]:
    return [row["sentence_text"] for row in _io.table("BUG/full_BUG.csv", ("sentence_text",))]


def _panda(split: str) -> Iterable[str]:
    key = "PANDA/PANDA-dataset.tgz"
    shards: dict[str, bytes] = {}
    with _io.parsing(key), tarfile.open(fileobj=io.BytesIO(assets.read(key))) as archive:
        for member in archive:  # its size is known before it is unpacked
            assets.check_size(key, sum(map(len, shards.values())) + member.size)
            if not (member.isfile() and member.name.endswith(".jsonl")):
                continue
            if (file := archive.extractfile(member)) is not None:
                shards[member.name] = file.read()
        return [
            str(json.loads(line)["original"])
            for _, shard in sorted(shards.items())
            for line in shard.splitlines()
        ]


def _bold(split: str) -> Iterable[str]:
    texts = []
    for axis in ("gender", "political_ideology", "profession", "race", "religious_ideology"):
        groups = _io.document(f"BOLD/{axis}_wiki.json")
        with _io.parsing(f"BOLD/{axis}_wiki.json"):
            texts += [
                str(text)
                for entries in groups.values()
                for passages in entries.values()
                for text in passages
            ]
    return texts


@dataclass(frozen=True)
class Corpus:
    """``splits``, the one that is measured by default last; ``read(split)`` → texts."""

    splits: tuple[str, ...]
    read: Callable[[str], Iterable[str]]


GAP = Corpus(("development", "validation", "test"), _gap)
BUG = Corpus(("train",), _bug)
PANDA = Corpus(("train",), _panda)
BOLD = Corpus(("train",), _bold)


def splits(name: str) -> tuple[str, ...]:
    """Splits of a corpus, the one that is measured by default last; a file of texts has none."""
    if name in CORPORA:
        return CORPORA[name].splits
    return tuple(_saved(name)) if os.path.isdir(name) else ()


def load(name: str, split: str | None = None) -> datasets.Dataset:
    """A corpus with one column, ``text``.

    ``name``: ``gap``, ``bug``, ``panda``, ``bold``; a UTF-8 file, ``.txt`` with one text a line or
    ``.jsonl`` with one object with the field ``text`` a line; a folder that ``datasets`` saved
    (``save_to_disk``), of which the column ``text`` is read, else the first column of strings; or a
    hub dataset, ``owner/name``, ``owner/name@revision`` or either with ``:configuration``, whose
    first column of strings is read. Blank texts are left out. Raises ``FairNCError`` for an unknown
    corpus or split, a file that is no text, and a corpus with no text.
    """
    texts = [text for text in ((text or "").strip() for text in _texts(name, split)) if text]
    if not texts:
        raise FairNCError(f"corpus {name!r} is empty: it needs at least one line of text")
    return datasets.Dataset.from_dict({"text": texts})


def _texts(name: str, split: str | None) -> Iterable[str]:
    if read := _FILES.get(Path(name).suffix):
        if split is not None:
            raise FairNCError(f"corpus {name} is a text file: it has no split {split!r}")
        return read(Path(name))
    if os.path.isdir(name):
        return _folder(name, split)
    if "/" in name:
        return _hub(name, split or "train")
    CORPORA.check(name, hint=", a .txt or .jsonl file, a folder saved by datasets or a hub dataset")
    corpus = CORPORA[name]
    return corpus.read(_checked(name, split, corpus.splits))


def _checked(name: str, split: str | None, splits: Sequence[str]) -> str:
    """The split, or the last one if none is asked for."""
    if split is not None and split not in splits:
        raise FairNCError(f"corpus {name} has no split {split!r}: choose {', '.join(splits)}")
    return split or splits[-1]


def _lines(path: Path) -> list[str]:
    return _io.user_text(path).splitlines()


def _objects(path: Path) -> Iterator[str]:
    # No other sign than a line feed ends an object: JSON may hold the rest unescaped.
    for number, line in enumerate(_io.user_text(path).split("\n"), 1):
        if line.strip():
            try:
                text = json.loads(line)["text"]
            except (ValueError, RecursionError, LookupError, TypeError):
                text = None
            if not isinstance(text, str):
                raise FairNCError(
                    f'{path}, line {number}: not an object with a text, e.g. {{"text": "She met him."}}; correct it'
                )
            yield text


#: Suffix of a file of texts → its reader.
_FILES = {".txt": _lines, ".jsonl": _objects}


def _saved(folder: str) -> dict[str, datasets.Dataset]:
    """Split → data of a folder that ``datasets`` saved; one without splits has one, ``all``."""
    try:
        saved = datasets.load_from_disk(folder)
    except Exception as error:  # of many types: no such folder, damaged tables
        raise FairNCError(
            f"corpus {folder} is a folder that cannot be read ({brief(error)}): give one saved by datasets (save_to_disk), "
            "or a .txt or .jsonl file"
        ) from error
    return dict(saved) if isinstance(saved, datasets.DatasetDict) else {"all": saved}


def _folder(name: str, split: str | None) -> Iterable[str]:
    saved = _saved(name)
    table = saved[_checked(name, split, list(saved))]
    columns = _columns_of_text(table, name)
    return table["text" if "text" in columns else columns[0]]


def _hub(name: str, split: str) -> Iterable[str]:
    repository, _, configuration = name.partition(":")
    table = hub.dataset(repository, split, configuration or None)
    return table[_columns_of_text(table, name)[0]]


def _columns_of_text(table: datasets.Dataset, name: str) -> list[str]:
    columns = [
        column
        for column, kind in table.features.items()
        if getattr(kind, "dtype", None) == "string"
    ]
    if not columns:
        raise FairNCError(
            f"dataset {name} has no column of text; it has {', '.join(table.column_names)}"
        )
    return columns


def fingerprint(texts: Iterable[str]) -> str:
    """Hash of a list of texts (or of item ids), equal wherever the same come from."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(str(text).encode())
        digest.update(b"\0")
    return digest.hexdigest()
