"""Generated text and hurtful fillers: what is sampled, what is counted, and how far a scorer may be
believed.
"""

import sys

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

from fairnc_utils import _extras, benchmarks, finetuning, models, tasks
from fairnc_utils.benchmarks import bold, honest, lexicons, redditbias
from fairnc_utils.benchmarks.scoring import tokenize
from fairnc_utils.errors import FairNCError

# ---------------------------------------------------------------- sampling


def test_the_nucleus_is_the_fewest_tokens_with_that_probability():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 30, generator=generator).log_softmax(-1)
    kept = bold.nucleus(scores, 0.9)
    for row, of_row in zip(scores.exp().numpy(), kept.numpy(), strict=True):
        order, total, expected = np.argsort(-row), 0.0, set()
        for token in order:
            if total >= 0.9:
                break
            expected.add(int(token))
            total += row[token]
        assert set(np.flatnonzero(np.isfinite(of_row)).tolist()) == expected


@pytest.fixture
def writer(tiny):
    return tiny("gpt2")


PROMPTS = ["the nurse said", "a woman and a man", "the doctor met the", "my sister is"]


def test_a_text_depends_on_its_prompt_and_not_on_its_batch(writer):
    names = list("abcd")
    together = bold.continuations(writer, PROMPTS, names=names, new=6)
    alone = [
        bold.continuations(writer, [prompt], names=[name], new=6)[0]
        for prompt, name in zip(PROMPTS, names, strict=True)
    ]
    assert together == alone
    assert bold.continuations(writer, PROMPTS, names=list("abce"), new=6)[:3] == together[:3]
    assert len(set(together)) > 1


def test_models_that_say_the_same_write_the_same_and_others_do_not(writer, tiny):
    names = list("abcd")
    first = bold.continuations(writer, PROMPTS, names=names, new=6)
    assert bold.continuations(tiny("gpt2"), PROMPTS, names=names, new=6) == first
    edited = writer.with_gender_direction(2.0, words=("nurse", "doctor"))
    far = bold.continuations(edited, PROMPTS, names=names, new=6)
    assert len(far) == len(first)


def test_sampling_follows_the_distribution():
    """The share of each token over many prompts' noise is its probability."""
    probabilities = torch.tensor([0.5, 0.3, 0.2])

    class Constant:
        device = torch.device("cpu")

        def features(self, ids, mask):
            return torch.zeros(*ids.shape, 3)

        def log_probabilities(self, features):
            return probabilities.log().expand(len(features), 3)

    generators = [torch.Generator().manual_seed(bold._digest(str(i))) for i in range(3000)]
    start = torch.zeros(3000, 1, dtype=torch.long)
    drawn = bold._write(Constant(), start, generators, new=1, top_p=1.0)[:, 1]
    shares = torch.bincount(drawn, minlength=3) / 3000
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.03)


def test_a_text_stops_at_its_end():
    assert bold._ended([4, 5, 2, 6], 2) == [4, 5]
    assert bold._ended([4, 5], None) == [4, 5]


# ---------------------------------------------------------------- BOLD


def test_the_sample_has_as_many_prompts_of_each_group():
    items = bold.load("sample").to_pandas()
    counts = items.groupby(["axis", "side"]).size()
    assert set(counts) == {250}
    assert items["item_id"].is_unique
    assert not items["prompt"].str.endswith(" ").any()
    every = bold.load("all").to_pandas()
    assert set(items["item_id"]) < set(every["item_id"])
    assert len(every) == 2048 + 1156 + 1854 + 4839


class Judge:
    """Calls every text with the word *bad* biased."""

    def probabilities(self, texts):
        return np.array([0.9 if "bad" in text else 0.1 for text in texts])

    def auc(self, axis="all"):
        from fairnc_utils.stats import Estimate

        return Estimate({"gender": 0.8, "race": 0.6}[axis], np.nan, np.nan, 10)


def planted(monkeypatch, texts):
    monkeypatch.setattr(bold, "scorer", lambda device: Judge())
    monkeypatch.setattr(bold, "continuations", lambda lm, prompts, names: texts)
    items = datasets.Dataset.from_dict(
        {
            "item_id": [f"p{i}" for i in range(len(texts))],
            "axis": ["gender"] * len(texts),
            "prompt": ["x"] * len(texts),
            "side": [1.0, -1.0] * (len(texts) // 2),
        }
    )
    return bold.score(models.load("random", device="cpu"), items)


def test_what_is_planted_in_texts_is_measured(monkeypatch):
    kind, unkind = "She is wonderful and great, her mother says.", "It was bad, what the hell."
    rows = planted(monkeypatch, [kind, unkind] * 6)
    values = {name: e.value for name, e in bold.BOLD.estimates(rows).items()}
    assert values["sentiment_gap"] > 1
    assert values["biased"] == 50
    assert values["biased_gap"] == -100
    assert values["profanity_gap"] == -100
    assert values["polarity"] == 1.5  # she, her, mother in every second text
    assert values["polarity_gap"] == 3
    assert values["scorer_auc"] == 0.8
    same = bold.BOLD.estimates(planted(monkeypatch, [kind] * 12))
    assert same["sentiment_gap"].value == 0


def test_units_are_those_of_a_plain_loop(monkeypatch):
    texts = ["She is bad.", "He is good.", "damn", "nothing"]
    rows = planted(monkeypatch, texts)
    table = bold.units(rows)
    for place, text in enumerate(texts):
        unit = table.loc[f"p{place}"]
        assert unit["biased"] == float("bad" in text)
        assert unit["polarity"] == {"She": 1, "He": -1}.get(text.split()[0], 0)
        assert unit["side"] == (1, -1)[place % 2]


# ---------------------------------------------------------------- lists of words


def test_profanity_is_a_whole_word():
    texts = ["What the hell?", "A shell on Scunthorpe's beach", "HELL no", ""]
    assert lexicons.profane(texts).tolist() == [1, 0, 1, 0]


def test_profanity_agrees_with_the_package_on_plain_words():
    from better_profanity import profanity

    listed = sorted(word for word in lexicons.profanities() if word.isalpha())[:40]
    texts = [f"they said {word} again" for word in listed] + ["they said hello again"]
    expected = [float(profanity.contains_profanity(text)) for text in texts]
    assert lexicons.profane(texts).tolist() == expected


def test_without_the_package_there_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(_extras, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "vaderSentiment", None)
    lexicons._analyzer.cache_clear()
    with pytest.raises(FairNCError, match=r"not installed: pip install 'fairnc-utils\[text\]'"):
        lexicons.sentiment(["fine"])


def test_a_brought_list_takes_the_place_of_profanities(tmp_path, monkeypatch):
    (tmp_path / "hurtlex").mkdir()
    (tmp_path / "hurtlex/hurtlex_EN.tsv").write_text("id\tlemma\n1\tMaid\n2\tthief\n")
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    assert lexicons.hurtful() == {"maid", "thief"}


# ---------------------------------------------------------------- HONEST


@pytest.fixture
def hurtlex(tmp_path, monkeypatch):
    monkeypatch.setattr(honest, "hurtful", lambda: frozenset({"maid", "nurse"}))


def test_honest_counts_hurtful_words_among_the_likeliest(lm, hurtlex):
    items = honest.load("english").select([0, 1, 405, 406, 810])
    rows = honest.score(lm, items)
    for text, share in zip(items["text"], rows["score_a"], strict=True):
        ids = tokenize(lm.tokenizer, [text.replace("[M]", "[MASK]")])["input_ids"][0]
        with torch.no_grad():
            tensor = torch.tensor([ids])
            logits = lm.model(input_ids=tensor, attention_mask=torch.ones_like(tensor)).logits
        top = logits[0, ids.index(lm.tokenizer.mask_token_id)].topk(20).indices.tolist()
        names = lm.tokenizer.convert_ids_to_tokens(top)
        assert share == pytest.approx(sum(name in {"maid", "nurse"} for name in names) / 20)
    assert rows["score_b"].tolist() == [1, 1, -1, -1, 1]


def test_honest_sees_a_planted_gap():
    rows = pd.DataFrame(
        {
            "axis": "binary",
            "item_id": [str(i) for i in range(20)],
            "unit": [str(i) for i in range(20)],
            "score_a": [0.2, 0.1] * 10,
            "score_b": [1.0, -1.0] * 10,
            "score_c": np.nan,
        }
    )
    values = {name: e.value for name, e in honest.HONEST.estimates(rows).items()}
    assert values == pytest.approx({"honest": 15, "honest_gap": 10})


# ---------------------------------------------------------------- the scorer


def test_comments_are_split_once_and_labelled():
    task = tasks.get("redditbias")
    parts = {split: task.items(split).to_pandas() for split in task.splits}
    texts = [set(part["text"]) for part in parts.values()]
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]
    assert sum(map(len, texts)) == 11_464
    every = pd.concat(parts.values())
    assert set(every["axis"]) == {"gender", "race", "jews", "muslims", "lgbtq"}
    assert 0.5 < every["label"].mean() < 0.65


def pairs_in_order(likely, biased):
    """AUC by counting every pair."""
    right = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, x in zip(likely, biased, strict=True)
        for b, y in zip(likely, biased, strict=True)
        if x == 1 and y == 0
    ]
    return np.mean(right)


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    likely, biased = rng.integers(6, size=40) / 5, rng.integers(2, size=40).astype(float)
    got = float(redditbias.auc(likely, biased, axis=-1))
    assert got == pytest.approx(pairs_in_order(likely, biased))
    rows = redditbias.auc(np.stack([likely, -likely]), np.stack([biased, biased]), axis=-1)
    assert rows == pytest.approx([got, 1 - got])
    assert redditbias.auc(biased, biased, axis=-1) == 1
    assert np.isnan(redditbias.auc(likely, np.ones(40), axis=-1))


def test_the_benchmark_of_a_scorer_knows_a_perfect_one():
    texts = [f"they are {word} people {i}" for i in range(40) for word in ("awful", "lovely")]
    items = datasets.Dataset.from_dict(
        {
            "item_id": [str(i) for i in range(80)],
            "axis": ["gender"] * 80,
            "text": texts,
            "label": [1, 0] * 40,
        }
    )
    task = redditbias.task.REDDITBIAS
    lm = models.load("random", device="cpu")
    plain = finetuning.attach(lm, task)
    classifier = finetuning.Classifier("x", plain, lm.tokenizer, task.kind, 64)
    rows = redditbias.score(classifier, items)
    assert list(rows["score_a"]) == [1.0, 0.0] * 40
    estimates = benchmarks.get("redditbias").estimates(rows)
    assert 0 <= estimates["auc"].value <= 1
    perfect = rows.assign(score_b=rows["score_a"])
    assert benchmarks.get("redditbias").estimates(perfect)["auc"].value == 1
