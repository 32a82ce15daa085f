"""Fuzz: whatever stands in configurations, word lists, texts and data files, the answer is a result
or one ``FairNCError``.

The examples are the same each time; ``FAIRNC_FUZZ=1000`` draws that many new ones a test.
"""

import io
import json
import os
import random
import tarfile
from dataclasses import asdict

import datasets
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairnc_book import published
from fairnc_utils import assets, batching, benchmarks, corpora, first_names, hub, tasks, words
from fairnc_utils.benchmarks import occupations
from fairnc_utils.debias import mabel, swap_pairs
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer import corrected
from fairnc_utils.runs import checkout, cli, options
from fairnc_utils.runs.score import requested
from fairnc_utils.runs.treatment import Treatment
from fairnc_utils.tasks import biographies

EXAMPLES = int(os.environ.get("FAIRNC_FUZZ", 0))
few = settings(
    max_examples=EXAMPLES or 25,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def asked(function, *arguments, **keywords):
    """The function's result; None where it refuses in one short line. Any other exception is a
    defect.
    """
    said = ""
    try:
        return function(*arguments, **keywords)
    except FairNCError as error:
        said = str(error)
    assert 0 < len(said) < 2000
    assert len(said.splitlines()) == 1
    return None


names = st.sampled_from(["auto", "gap", "bec", "none"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | names
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
NC3_OPTIONS = ["preset", *asdict(corrected())]
SCHEMAS = [
    kind
    for kind in vars(options).values()
    if isinstance(kind, type) and issubclass(kind, options.Config) and kind is not options.Config
]


# ----------------------------------------------------------------------------------- configurations


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
@few
@given(data=st.data())
def test_options(schema, data):
    names = st.sampled_from(sorted(schema.model_fields)) | st.text(max_size=10)
    config = asked(
        options.configured, schema, data.draw(st.dictionaries(names, values, max_size=4))
    )
    assert config is None or isinstance(config, schema)


@few
@given(
    text=st.text()
    | values.map(yaml.safe_dump)
    | st.sampled_from(["[" * 2_000, "&a [*a]", "? [1]\n: 2", "a: 0x_", "\0"])
)
def test_configuration_files(text, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    mapping = asked(cli._options, str(path), options.TrainConfig)
    assert mapping is None or isinstance(mapping, dict)


def test_references_that_multiply_do_not_fill_the_screen(tmp_path, capsys):
    """Nine lists of nine references each: the document is a few hundred bytes, written out it has
    gigabytes.
    """
    lines = ["method: bec", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (tmp_path / "run.yaml").write_text("\n".join([*lines, "regularizer: *a9"]))
    assert cli.main(["train", "--config", str(tmp_path / "run.yaml")]) == 2
    assert len(capsys.readouterr().err) < 2000


@few
@given(
    regularizer=values | st.dictionaries(st.sampled_from(NC3_OPTIONS), values, max_size=3),
    lam=st.none() | st.floats(0, 1e9),
)
def test_regularizers(regularizer, lam):
    asked(
        Treatment.of,
        options.Debiasing(method="bec", regularizer=regularizer, lam=lam),
        model="random",
    )


@few
@given(
    wanted=st.text(max_size=40)
    | st.lists(st.sampled_from(["stereoset", "dev", "gender", ""]), max_size=5).map(":".join)
)
def test_names(wanted, tokenizer):
    asked(requested, wanted, "masked")
    asked(tasks.get, wanted)
    asked(words.load, wanted, tokenizer)
    asked(assets.locate_model, wanted)
    asked(assets.locate_model, wanted * 1000)
    asked(assets.read, wanted)


# ---------------------------------------------------------------------------------- words and texts


@few
@given(
    pairs=st.lists(
        st.tuples(
            st.text(max_size=12) | st.sampled_from(["she", "SHE", " he ", "[MASK]", "ſhe"]),
            st.just("g"),
        )
    )
)
def test_word_lists(pairs, tokenizer):
    word_list = asked(words.resolve, "mine", pairs, tokenizer)
    if word_list is not None:
        assert len(set(word_list.token_ids)) == len(word_list)
        assert {word for word, _ in pairs} == {*word_list.words, *word_list.dropped}


def test_huge_and_empty_word_lists(tokenizer):
    many = [(word, "g") for word in ("king", "\0", "", "😀" * 50, *["kings"] * 2000, "x" * 100_000)]
    word_list = words.resolve("mine", many, tokenizer)
    assert word_list.words == ("king", "kings")
    assert asked(words.resolve, "mine", [], tokenizer) is None


@few
@given(
    content=st.binary()
    | st.text().map(str.encode)
    | st.lists(st.text(max_size=20)).map("\r\n".join).map(str.encode)
)
def test_text_files(content, tmp_path_factory, tokenizer):
    path = tmp_path_factory.getbasetemp() / "fuzzed.txt"
    path.write_bytes(content)
    corpus = asked(corpora.load, str(path))
    if corpus is not None:
        assert all(text == text.strip() != "" for text in corpus["text"])
        assert all(
            len(ids) <= 16 for ids in batching.tokenize(corpus["text"], tokenizer, max_length=16)
        )


def test_texts_with_a_mark_at_the_start_other_line_ends_and_long_lines(tmp_path, tokenizer):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"\xef\xbb\xbfOne.\r\nTwo.\r" + b"word " * 200_000 + b"\n\n\0\n")
    texts = list(corpora.load(str(path))["text"])
    assert texts[:2] == ["One.", "Two."]
    assert len(texts[2]) == 999_999
    assert max(map(len, batching.tokenize(texts, tokenizer))) == 512


@few
@given(
    name=st.text(max_size=20)
    | st.sampled_from(["a/b", "a/b:c", "../x", "/", "x" * 5000, "x" * 300 + ".txt", "\0.txt"])
)
def test_corpus_names(name, monkeypatch):
    monkeypatch.setattr(hub, "dataset", lambda *_: datasets.Dataset.from_dict({"text": ["a"]}))
    asked(corpora.load, name)


# --------------------------------------------------------------------------------- published values


@pytest.fixture(scope="module")
def published_lines():
    return (checkout.root() / published.FILE).read_text().splitlines()[:6]


@few
@given(data=st.data())
def test_published_values(data, published_lines, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "published.csv"
    path.write_bytes(data.draw(damaged("\n".join(published_lines).encode())))
    asked(published.load, path)


# --------------------------------------------------------------------------------- local data files


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """The content as careless hands leave it: cut, doubled, with junk inside, re-encoded, or
    something else altogether.
    """
    places = st.integers(0, len(content))
    lines = content.split(b"\n")
    marks = [b'"', b"\t", b",", b"\0", b"[", b"\n", b"\xff", b"x" * 200_000, b"9" * 5000]
    junk = st.binary(max_size=20) | st.sampled_from(marks)
    return st.one_of(
        st.binary(max_size=50),
        st.just(content),
        places.map(lambda end: content[:end]),
        st.tuples(places, places).map(lambda ends: content[: min(ends)] + content[max(ends) :]),
        st.tuples(places, junk).map(
            lambda given: content[: given[0]] + given[1] + content[given[0] :]
        ),
        st.tuples(places, junk).map(
            lambda given: content[: given[0]] + given[1] + content[given[0] + len(given[1]) :]
        ),
        st.permutations(lines[:8]).map(lambda order: b"\n".join([*order, *lines[8:]])),
        st.sampled_from([b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n"), content * 2]),
        st.just(content.decode().encode("utf-16")),
        altered(content),
    )


def altered(content: bytes) -> st.SearchStrategy[bytes]:
    """A JSON document with one of its values exchanged; other content as it is."""
    try:
        document = json.loads(content)
    except ValueError:
        return st.just(content)
    return st.builds(
        lambda seed, value: json.dumps(exchanged(document, random.Random(seed), value)).encode(),
        st.integers(0),
        values,
    )


def exchanged(document, draw, value):
    """The document with a value somewhere in it replaced."""
    if not isinstance(document, list | dict) or not document or draw.random() < 0.15:
        return value
    place = draw.choice(list(document) if isinstance(document, dict) else range(len(document)))
    copy = document.copy()
    copy[place] = exchanged(document[place], draw, value)
    return copy


def shortened(key: str, content: bytes) -> bytes:
    """The first few lines or entries of a data file: still one of its kind."""
    if key.endswith(".json"):
        return json.dumps(first(json.loads(content))).encode()
    if key.endswith(".tgz"):
        return panda([{"original": "She ran.", "rewrite": "He ran."}])
    return b"\n".join(content.split(b"\n")[:8]) + b"\n"


def first(document, number: int = 4):
    if isinstance(document, list):
        return [first(value) for value in document[:number]]
    return (
        {name: first(value, number) for name, value in document.items()}
        if isinstance(document, dict)
        else document
    )


def panda(rows: list[dict]) -> bytes:
    buffer, content = io.BytesIO(), "".join(json.dumps(row) + "\n" for row in rows).encode()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("shard.jsonl")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


LOCAL = {
    **{f"corpus {name}": (lambda name=name: corpora.load(name)) for name in corpora.CORPORA},
    **{
        f"words {name}": listed
        for name, listed in words.AXES.items()
        if name not in ("gender", "neutral")
    },
    **{
        f"benchmark {name}": (
            lambda name=name: benchmarks.get(name).load(benchmarks.get(name).splits[0])
        )
        for name in (
            "stereoset_intra",
            "stereoset_inter_likelihood",
            "crows_official",
            "bec_pro",
            "occupation_slope",
            "gap",
            "winobias",
            "winogender",
            "bias_nli",
        )
    },
    "task bug_profession": lambda: tasks.get("bug_profession").items("train"),
    "task coreference": lambda: tasks.get("coreference").items("train"),
    "method mabel": lambda: mabel.pairs(20),
}


def forget_files() -> None:
    """Clear what was made of data files and kept: the next example, or test, reads other ones."""
    for kept in (
        biographies._bug_items,
        first_names.paired,
        occupations.times_named,
        swap_pairs._forms,
    ):
        kept.cache_clear()


@pytest.fixture(scope="module")
def small_files():
    """Key → content, shortened, of every data file that has been asked for."""
    return {}


@pytest.mark.parametrize("name", LOCAL)
@few
@given(data=st.data())
def test_local_data_files(name, data, small_files, monkeypatch):
    read, seen = assets.read, []

    def small(key: str) -> bytes:
        if key not in small_files:
            small_files[key] = shortened(key, read(key))
        seen.append(key)
        return small_files[key]

    with monkeypatch.context() as patched:
        patched.setattr(assets, "read", small)
        forget_files()
        good = asked(LOCAL[name])
        assert good is None or len(good)
        key = data.draw(st.sampled_from(sorted(set(seen))))
        content = data.draw(
            damaged(small_files[key]) if not key.endswith(".tgz") else damaged_archive()
        )
        patched.setattr(
            assets, "read", lambda asked_for: content if asked_for == key else small(asked_for)
        )
        forget_files()
        asked(LOCAL[name])
    forget_files()


def damaged_archive() -> st.SearchStrategy[bytes]:
    whole = panda([{"original": "She ran."}] * 20)
    cut = st.integers(0, len(whole)).map(lambda end: whole[:end])
    return cut | st.binary(max_size=50) | st.lists(values, max_size=3).map(panda)
