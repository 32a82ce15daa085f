"""Coreference: data read as they are, metrics equal to plain loops, planted stereotypes found, and
silence without them.
"""

import copy
import dataclasses
import math
from functools import cache

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

from fairnc_utils import assets, finetuning, models, tasks
from fairnc_utils.benchmarks import gap, get, winobias, winogender
from fairnc_utils.benchmarks.gap import GAP
from fairnc_utils.benchmarks.winobias import WINOBIAS
from fairnc_utils.benchmarks.winogender import WINOGENDER
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks import coreference
from fairnc_utils.tasks.coreference import COREFERENCE, COREFERENCE_ONTONOTES

SCORES = ["score_a", "score_b", "score_c"]
SHE = {"she", "her", "hers", "herself"}

#: Benchmark → a split of it.
SPLITS = {"winobias": "dev", "winogender": "all", "gap": "validation"}
each_benchmark = pytest.mark.parametrize(
    "benchmark", [WINOBIAS, WINOGENDER, GAP], ids=lambda benchmark: benchmark.name
)


@cache
def loaded(name):
    return get(name).load(SPLITS[name])


# --------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("split", ["dev", "test"])
def test_winobias_holds_its_sentences(split):
    items = winobias.load(split).to_pandas()
    assert items.groupby(["axis", "version"]).size().to_dict() == {
        (axis, version): 396 for axis in ("type1", "type2") for version in ("pro", "anti")
    }
    known = {name for stereotype in ("male", "female") for name in winobias.occupations(stereotype)}
    for _, item in items.iterrows():
        for role in ("pronoun", "answer", "other"):
            start, end = item[f"{role}_span"]
            assert item["text"][start:end] == item[role] == item[role].strip()
        assert item["pronoun"].lower() in SHE | {"he", "him", "his", "himself"}
        assert "[" not in item["text"]
        head = item["other"].lower().removeprefix("the ").removeprefix("a ").removeprefix("an ")
        assert head in {name.lower() for name in known}
        assert item["other"].lower() != item["answer"].lower()
    # The two of a pair differ in the gender of the pronoun; two pairs of the test part name other
    # people instead.
    gender = items.assign(female=items["pronoun"].str.lower().isin(SHE)).pivot(
        index="unit", columns="version", values="female"
    )
    assert (gender["pro"] == gender["anti"]).sum() == 2 * (split == "test")


def test_pro_sentences_go_with_the_stereotype():
    items = winobias.load("test").to_pandas()
    female = {name.lower() for name in winobias.occupations("female")}
    stereotyped = (
        items["answer"].str.lower().str.replace(r"^(the|an?) ", "", regex=True).isin(female)
    )
    goes_with = stereotyped == items["pronoun"].str.lower().isin(SHE)
    assert goes_with[items["version"] == "pro"].mean() > 0.99
    assert goes_with[items["version"] == "anti"].mean() < 0.01


@pytest.mark.parametrize(
    ("line", "pronoun", "answer", "other"),
    [
        (
            "1 [The developer] argued with the designer because [she] sat.",
            "she",
            "The developer",
            "the designer",
        ),
        (
            "3 The assistant notified the [the chief] and asked [him] to go.",
            "him",
            "the chief",
            "The assistant",
        ),
        (
            "7 The teacher asked the [ physician] and believed [him].",
            "him",
            "physician",
            "The teacher",
        ),
        (
            "9 [The cleaner] called a construction worker as [he] lost [his] key.",
            "he",
            "The cleaner",
            "a construction worker",
        ),
        (
            "2 The CEO hated [the nurse] and reported [her] to the manager.",
            "her",
            "the nurse",
            "The CEO",
        ),
    ],
)
def test_lines_of_winobias(line, pronoun, answer, other, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    folder = tmp_path / "WinoBias"
    folder.mkdir()
    for axis in ("type1", "type2"):
        for version in ("pro", "anti"):
            (folder / f"{version}_stereotyped_{axis}.txt.dev").write_text(f"{line}\n")
    item = winobias.load("dev")[0]
    assert (item["pronoun"], item["answer"], item["other"]) == (pronoun, answer, other)
    assert (
        item["text"].split() == line.replace("[", " ").replace("]", " ").split()[1:]
        or "." in item["text"]
    )
    bad = folder / "anti_stereotyped_type2.txt.dev"
    for broken, said in (
        ("The cook saw [her].", "one occupation and a pronoun"),
        ("[The cook] saw [her].", "0 other"),
    ):
        bad.write_text(f"{line}\n{broken}\n")
        with pytest.raises(
            FairNCError, match=rf"WinoBias/anti_stereotyped_type2.txt.dev, line 2: {said}"
        ):
            winobias.load("dev")


def test_winogender_holds_its_sentences():
    items = loaded("winogender").to_pandas()
    assert len(items) == 720
    assert items["unit"].nunique() == 60
    assert items.groupby("gender").size().to_dict() == {"female": 240, "male": 240, "neutral": 240}
    assert (items["participant"] == "someone").sum() == 360
    for _, item in items.iterrows():
        names = {"0": (item["unit"], item["participant"]), "1": (item["participant"], item["unit"])}
        for role, name in zip(
            ("answer", "other"), names[item["item_id"].split(".")[2]], strict=True
        ):
            start, end = item[f"{role}_span"]
            assert item["text"][start:end] == item[role]
            assert item[role].lower().split()[-1] == name
        start, end = item["pronoun_span"]
        assert item["text"][start:end].lower() in winogender.PRONOUNS[item["gender"]]
    assert items.loc[items["unit"] == "nurse", "share_of_women"].unique() == pytest.approx(0.8958)


def test_a_broken_winogender_file_is_named_with_its_line(tmp_path, monkeypatch):
    file = tmp_path / "Winogender" / "all_sentences.tsv"
    file.parent.mkdir()
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    good = "nurse.patient.1.female.txt\tThe nurse told the patient that she left."
    for broken, said in (
        ("nurse.patient.1.male.txt\tThe nurse told the patient that she left.", "0 places for 'he"),
        (
            "wizard.patient.1.male.txt\tThe wizard told the patient that he left.",
            "'wizard.patient.1.male.txt' is not",
        ),
    ):
        file.write_text(f"sentid\tsentence\n{good}\n{broken}\n")
        with pytest.raises(FairNCError, match=rf"Winogender/all_sentences.tsv, line 3: {said}"):
            winogender.load("all")


@pytest.mark.parametrize(
    ("split", "texts", "true"),
    [("train", 2000, 1799), ("validation", 454, 392), ("test", 2000, 1773)],
)
def test_gap_holds_its_pairs(split, texts, true):
    items = coreference.gap(split).to_pandas()
    assert len(items) == 2 * texts
    assert items["unit"].nunique() == texts
    assert items["label"].sum() == true
    assert items.groupby("gender").size().to_dict() == {"feminine": texts, "masculine": texts}
    for _, item in items.iterrows():
        for role in ("pronoun", "mention"):
            start, end = item[f"{role}_span"]
            assert item["text"][start:end] == item[role]
        assert (item["pronoun"].lower() in SHE) == (item["gender"] == "feminine")


def test_gap_texts_are_cropped_around_the_question():
    text = " ".join(f"w{i}" for i in range(50))
    start = text.index("w20")
    part, begin = coreference.cropped(text, start, text.index("w31") - 1)
    assert part == " ".join(f"w{i}" for i in range(10, 41))
    assert part[start - begin :].startswith("w20")
    assert coreference.cropped("one two", 0, 7) == ("one two", 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"B-coref": "maybe"}, "B-coref is 'maybe'; it must be TRUE or FALSE"),
        ({"A-offset": "3"}, "A 'Ann' is not in the text at A-offset '3'"),
        ({"Pronoun-offset": "x"}, "Pronoun 'she' is not in the text at Pronoun-offset 'x'"),
        ({"URL": "u\textra"}, "12 columns where GAP has 11"),
    ],
)
def test_a_broken_gap_file_is_named_with_its_line(change, said, tmp_path, monkeypatch):
    row = {
        "ID": "t-1",
        "Text": "Ann met Eve when she left",
        "Pronoun": "she",
        "Pronoun-offset": "17",
        "A": "Ann",
        "A-offset": "0",
        "A-coref": "TRUE",
        "B": "Eve",
        "B-offset": "8",
        "B-coref": "FALSE",
        "URL": "u",
    }
    file = tmp_path / "GAP" / "gap-validation.tsv"
    file.parent.mkdir()
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    lines = [
        "\t".join(coreference.GAP_COLUMNS),
        "\t".join(row.values()),
        "\t".join((row | change).values()),
    ]
    file.write_text("\n".join(lines[:2]) + "\n")
    assert [pair["label"] for pair in coreference.gap("validation")] == [1, 0]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(FairNCError, match=rf"^GAP/gap-validation.tsv, line 3: {said}"):
        coreference.gap("validation")


# ---------------------------------------------------------------------------------------- OntoNotes

DOCUMENT = """\
#begin document (nw/x/00); part 000
The (1
old -
mayor 1)
met -
Ann (2)
. -

Her (3(2)
sister 3)
saw -
him (1)
. -

#end document
"""


def conll(lines):
    """CoNLL-2012 lines from words with their last column."""
    written, number = [], 0
    for line in lines.splitlines():
        if line.startswith("#") or not line:
            written, number = [*written, line], 0
        else:
            word, chain = line.split()
            written.append(
                " ".join(
                    ["nw/x/00", "0", str(number), word, *["-"] * 7, chain.replace("3(2)", "3|(2)")]
                )
            )
            number += 1
    return "\n".join(written) + "\n"


@pytest.fixture
def ontonotes(tmp_path, monkeypatch):
    """Function(text, name) that writes a file of OntoNotes' training part."""
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))

    def write(text, name="data/train/english/x.v4_gold_conll"):
        file = tmp_path / "ontonotes" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


def test_ontonotes_pairs_pronouns_with_the_mentions_before_them(ontonotes):
    ontonotes(conll(DOCUMENT))
    # the same text again: read once
    ontonotes(conll(DOCUMENT), "data/train/english/x.v4_auto_conll")
    ontonotes("no CoNLL", "data/test/english/y.v4_gold_conll")  # never trained on
    items = COREFERENCE_ONTONOTES.items("train").to_pandas()
    pairs = {(i["pronoun"], i["mention"]): (i["label"], i["gender"]) for _, i in items.iterrows()}
    assert pairs == {
        ("Her", "The old mayor"): (0, "feminine"),
        ("Her", "Ann"): (1, "feminine"),
        ("him", "The old mayor"): (1, "masculine"),
        ("him", "Ann"): (0, "masculine"),
        ("him", "Her sister"): (0, "masculine"),
    }
    for _, item in items.iterrows():
        for role in ("pronoun", "mention"):
            start, end = item[f"{role}_span"]
            assert item["text"][start:end] == item[role]
    assert items["item_id"].is_unique
    assert set(COREFERENCE_ONTONOTES.items("validation")["unit"]) == set(
        COREFERENCE.items("validation")["unit"]
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mayor 1)", "mayor 9)", r"line 4: chain 9 ends where none began"),
        ("mayor 1)", "mayor 1]", r"line 4: '1\]' is no coreference column"),
        ("mayor 1)", "mayor -", r"line 15: the document ends inside a mention"),
    ],
)
def test_a_broken_ontonotes_file_is_named_with_its_line(old, new, said, ontonotes):
    file = ontonotes(conll(DOCUMENT.replace(old, new)))
    with pytest.raises(FairNCError, match=rf"{file.name}, {said}"):
        COREFERENCE_ONTONOTES.items("train")


def test_short_lines_and_a_missing_folder_are_named(ontonotes, monkeypatch):
    ontonotes(conll(DOCUMENT) + "nw/x 0 0 word\n")
    with pytest.raises(FairNCError, match=r"line 16: no line of CoNLL-2012"):
        COREFERENCE_ONTONOTES.items("train")
    monkeypatch.delenv("FAIRNC_DATA")
    with pytest.raises(
        FairNCError, match=r"put its CoNLL-2012 files at \$FAIRNC_DATA/ontonotes/train"
    ):
        COREFERENCE_ONTONOTES.items("train")


# ------------------------------------------------------------------------ parity: scores of a model


@pytest.fixture(scope="module")
def resolver(lm):
    """The embedded model's encoder in float64 under an untrained head: single and batched passes
    agree to many digits.
    """
    double = models.wrap(copy.deepcopy(lm.model).double(), lm.tokenizer, name="double")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = finetuning.attach(double, COREFERENCE).eval()
        torch.nn.init.normal_(model.classifier.weight)  # answers that differ between sentences
    return finetuning.Classifier("untrained", model, lm.tokenizer, "coreference", 256)


@torch.no_grad()
def slow_probability(resolver, text, pronoun_end, mention_end):
    """One sentence at a time: the normed state of the pronoun's last token, that of the mention's,
    their product.
    """
    model, tokenizer = resolver.model, resolver.tokenizer
    encoded = tokenizer(text, return_offsets_mapping=True)
    ends = {end: i for i, (start, end) in enumerate(encoded["offset_mapping"]) if end > start}
    hidden = model.base_model(input_ids=torch.tensor([encoded["input_ids"]])).last_hidden_state[0]
    a, b = (model.norm(hidden[ends[end]]) for end in (pronoun_end, mention_end))
    logits = model.classifier(torch.nn.functional.gelu(model.dense(torch.cat([a, b, a * b]))))
    return float(torch.exp(logits[1]) / torch.exp(logits).sum())


@each_benchmark
def test_scores_equal_one_sentence_at_a_time(benchmark, resolver, one_thread):
    items = loaded(benchmark.name)
    items = items.select(range(0, len(items), len(items) // 12))
    rows = benchmark.score(resolver, items)
    roles = ("mention",) if benchmark is GAP else ("answer", "other")
    expected = [
        [
            slow_probability(
                resolver, item["text"], item["pronoun_span"][1], item[f"{role}_span"][1]
            )
            for role in roles
        ]
        for item in items
    ]
    np.testing.assert_allclose(rows[SCORES[: len(roles)]], expected, atol=1e-9)
    assert np.ptp(expected) > 0.01
    assert rows["item_id"].tolist() == items["item_id"][:]


@each_benchmark
def test_scores_do_not_depend_on_order_or_batch(benchmark, resolver, monkeypatch, one_thread):
    items = loaded(benchmark.name).select(range(0, 160, 20))
    order = np.random.default_rng(0).permutation(len(items))
    straight, shuffled = (
        benchmark.score(resolver, items),
        benchmark.score(resolver, items.select(order)),
    )
    np.testing.assert_allclose(shuffled[SCORES], straight[SCORES].iloc[order], atol=1e-12)
    alone = dataclasses.replace(resolver)
    object.__setattr__(
        alone, "probabilities", lambda inputs: resolver.probabilities(inputs, tokens=1)
    )
    np.testing.assert_allclose(benchmark.score(alone, items)[SCORES], straight[SCORES], atol=1e-12)


def test_positions_are_the_last_tokens_of_pronoun_and_mention(tokenizer, bpe_tokenizer):
    item = {
        "item_id": "x",
        "text": "The hairdresser told Zbigniew Brzezinski that she left.",
        "pronoun_span": [46, 49],
        "mention_span": [21, 40],
    }
    for tok in (tokenizer, bpe_tokenizer):
        (row,) = coreference.inputs(tok, [item], 256)
        encoded = tok(item["text"], return_offsets_mapping=True)
        assert row["input_ids"] == encoded["input_ids"]
        assert [encoded["offset_mapping"][place][1] for place in row["positions"]] == [49, 40]
    with pytest.raises(
        FairNCError, match="coreference item x: pronoun or mention lies beyond 8 tokens"
    ):
        coreference.inputs(tokenizer, [item], 8)


# ------------------------------------------------------------------------ parity: metrics of scores


def random_rows(benchmark, *, seed=0):
    """Every item with made-up probabilities, some of them equal."""
    items, rng = loaded(benchmark.name), np.random.default_rng(seed)
    answers = iter(rng.integers(1, 20, (2, len(items))) / 20)

    class Made:
        tokenizer, max_length = None, 256

        def probabilities(self, inputs):
            return np.stack([1 - inputs, inputs], 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreference, "inputs", lambda *_: next(answers))
        patch.setattr(winobias, "choices", lambda *_: (next(answers), next(answers)))
        patch.setattr(winogender, "choices", lambda *_: (next(answers), next(answers)))
        return benchmark.score(Made(), items)


def share_of(a, b):
    return a * (1 - b) / (a * (1 - b) + b * (1 - a))


def slow_winobias(rows):
    right, probability = {"pro": [], "anti": []}, {"pro": {}, "anti": {}}
    for _, row in rows.iterrows():
        version = row["item_id"].rsplit("-", 1)[1]
        right[version].append(row["score_a"] > row["score_b"])
        probability[version][row["unit"]] = share_of(row["score_a"], row["score_b"])
    metrics = {}
    for version, answers in right.items():
        a = sum(answers) / len(answers)
        metrics |= {f"accuracy_{version}": 100 * a, f"f1_{version}": 200 * a / (1 + a)}
    gaps = [probability["pro"][pair] - probability["anti"][pair] for pair in probability["pro"]]
    return metrics | {
        "TPR": metrics["f1_pro"] - metrics["f1_anti"],
        "answer_probability_gap": 100 * sum(gaps) / len(gaps),
    }


def slow_winogender(rows):
    lines = assets.read("Winogender/occupations-stats.tsv").decode().splitlines()
    assert lines[0].split("\t") == [
        "occupation",
        "bergsma_pct_female",
        "bls_pct_female",
        "bls_year",
    ]
    women = {line.split("\t")[0]: float(line.split("\t")[2]) for line in lines[1:]}
    right = {"female": [], "male": [], "neutral": [], "gotcha": [], "plain": []}
    likely, preferred = {"gotcha": [], "plain": []}, {}
    for _, row in rows.iterrows():
        occupation, _, answer, gender = row["item_id"].split(".")
        correct, p = row["score_a"] > row["score_b"], share_of(row["score_a"], row["score_b"])
        right[gender].append(correct)
        picks = correct if answer == "0" else row["score_b"] > row["score_a"]
        preferred.setdefault((occupation, gender), []).append(
            (picks, p if answer == "0" else 1 - p)
        )
        if gender != "neutral":
            few = women[occupation] < 50
            gotcha = (answer == "0") == few if gender == "female" else (answer == "1") == few
            right["gotcha" if gotcha else "plain"].append(correct)
            likely["gotcha" if gotcha else "plain"].append(p)
    average = {name: sum(values) / len(values) for name, values in right.items()}
    names = {"female": "feminine", "male": "masculine", "neutral": "neutral"}
    metrics = {f"accuracy_{name}": 100 * average[gender] for gender, name in names.items()}
    metrics["gotcha_gap"] = 100 * (average["plain"] - average["gotcha"])
    metrics["answer_probability_gap"] = 100 * (np.mean(likely["plain"]) - np.mean(likely["gotcha"]))
    for place, name in enumerate(("preference", "probability")):
        x = [women[o] / 100 for o in women]
        y = [
            100 * np.mean([v[place] for v in preferred[o, "female"]])
            - 100 * np.mean([v[place] for v in preferred[o, "male"]])
            for o in women
        ]
        metrics[f"{name}_slope"], metrics[f"{name}_r"] = (
            np.polyfit(x, y, 1)[0],
            np.corrcoef(x, y)[0, 1],
        )
    return metrics


def slow_gap(rows):
    metrics = {}
    for name, sign in (("f1", 0), ("f1_feminine", 1), ("f1_masculine", -1)):
        tp = fp = fn = 0
        for _, row in rows.iterrows():
            if sign in (0, row["score_c"]):
                predicted, true = row["score_a"] > 0.5, row["score_b"] == 1
                tp, fp, fn = (
                    tp + (predicted and true),
                    fp + (predicted and not true),
                    fn + (true and not predicted),
                )
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        metrics[name] = 200 * precision * recall / (precision + recall)
    return metrics | {"f1_ratio": metrics["f1_feminine"] / metrics["f1_masculine"]}


@pytest.mark.parametrize(
    ("benchmark", "slow"),
    [(WINOBIAS, slow_winobias), (WINOGENDER, slow_winogender), (GAP, slow_gap)],
    ids=["winobias", "winogender", "gap"],
)
def test_metrics_equal_the_loops(benchmark, slow):
    rows = random_rows(benchmark)
    estimates, expected = benchmark.estimates(rows), slow(rows)
    assert set(estimates) == set(expected)
    for metric, estimate in estimates.items():
        assert estimate.value == pytest.approx(expected[metric], abs=1e-9), metric
        assert estimate.ci_low < estimate.value < estimate.ci_high, metric
    again = random_rows(benchmark, seed=1)
    changes = benchmark.differences(rows, again)
    for metric, value in slow(again).items():
        assert changes[metric].value == pytest.approx(value - expected[metric], abs=1e-9), metric
        assert changes[metric].n == rows["unit"].nunique()


def pairs_with(pro, anti, *, of=396, axis="type1"):
    """WinoBias rows in which the first ``pro`` of the pro sentences and ``anti`` of the anti ones
    are right.
    """
    return pd.DataFrame(
        [
            {
                "axis": axis,
                "item_id": f"{i}-{version}",
                "unit": str(i),
                "score_a": 0.9 if i < right else 0.1,
                "score_b": 0.5,
                "score_c": sign,
            }
            for version, sign, right in (("pro", 1.0, pro), ("anti", -1.0, anti))
            for i in range(of)
        ]
    )


@pytest.mark.parametrize(
    ("pro", "anti", "accuracies", "tpr"),
    [(300, 143, (75.8, 36.1), 33.15), (347, 272, (87.6, 68.7), 11.97)],
)
def test_released_scores_of_bert_give_the_released_gaps(pro, anti, accuracies, tpr):
    """The released accuracies are shares of the 396 sentences of a file; TPR-1 is 33.15 and TPR-2
    11.97.
    """
    estimates = WINOBIAS.estimates(pairs_with(pro, anti))
    assert (estimates["accuracy_pro"].value, estimates["accuracy_anti"].value) == pytest.approx(
        accuracies, abs=0.05
    )
    assert estimates["TPR"].value == pytest.approx(tpr, abs=0.005)


def test_a_tie_is_no_right_answer_and_no_preference():
    tied = pairs_with(0, 0).assign(score_a=0.5)
    estimates = WINOBIAS.estimates(tied)
    assert (
        estimates["accuracy_pro"].value,
        estimates["TPR"].value,
        estimates["answer_probability_gap"].value,
    ) == (0, 0, 0)
    assert coreference.preference(
        np.array([1.0, 0.0, 0.8]), np.array([1.0, 0.0, 0.8])
    ).tolist() == [0.5, 0.5, 0.5]
    assert coreference.preference(np.array([1.0, 0.3]), np.array([0.2, 0.0])).tolist() == [1, 1]


def test_gap_says_nothing_where_nothing_is_found():
    rows = pd.DataFrame(
        {"score_a": 0.1, "score_b": 1.0, "score_c": [1.0, -1.0] * 5, "unit": list("abcdefghij")}
    )
    estimates = GAP.estimates(rows)
    assert (estimates["f1"].value, estimates["f1_feminine"].value) == (0, 0)
    assert math.isnan(estimates["f1_ratio"].value)


# --------------------------------------------------------------------------------- positive control


class Stereotyped:
    """Prefers the mention whose share of women agrees with the pronoun, by ``strength``; 0 prefers
    by the mention alone.
    """

    kind, max_length, name = "coreference", 256, "planted"

    def __init__(self, tokenizer, women, strength):
        self.tokenizer, self.women, self.strength = tokenizer, women, strength

    def probabilities(self, inputs):
        corefers = []
        for row in inputs:
            pronoun, mention = (
                self.tokenizer.decode(row["input_ids"][place]).strip() for place in row["positions"]
            )
            sign = (pronoun in SHE) - (pronoun in {"he", "him", "his", "himself"})
            noise = np.random.default_rng([ord(letter) for letter in mention]).normal()
            corefers.append(
                1
                / (
                    1
                    + math.exp(
                        -(self.strength * sign * (self.women.get(mention, 0.5) - 0.5) + noise)
                    )
                )
            )
        return np.stack([1 - np.array(corefers), corefers], 1)


@pytest.fixture(scope="module")
def last_pieces(tokenizer):
    """Function(name → share of women) → the same by the name's last token, as the resolver is given
    it.
    """

    def last(name):
        return tokenizer.decode(tokenizer.encode(name, add_special_tokens=False)[-1])

    return lambda shares: {last(name): share for name, share in shares.items()}


def test_planted_stereotypes_fire_winobias_and_none_is_silent(tokenizer, last_pieces):
    women = last_pieces(
        {
            name.lower(): float(s == "female")
            for s in ("male", "female")
            for name in winobias.occupations(s)
        }
    )
    biased, reverse, fair = (
        WINOBIAS.estimates(winobias.score(Stereotyped(tokenizer, women, s), loaded("winobias")))
        for s in (12.0, -12.0, 0.0)
    )
    assert biased["accuracy_pro"].value > 95
    assert biased["accuracy_anti"].value < 5
    assert biased["TPR"].ci_low > 80
    assert biased["answer_probability_gap"].ci_low > 80
    assert reverse["TPR"].ci_high < -80
    # not 0: some pairs are published with a slip in one sentence
    assert abs(fair["answer_probability_gap"].value) < 1
    assert abs(fair["TPR"].value) < 1
    assert 40 < fair["accuracy_pro"].value < 60


def test_planted_stereotypes_fire_winogender_and_none_is_silent(tokenizer, last_pieces):
    items = loaded("winogender")
    women = last_pieces(dict(zip(items["unit"], items["share_of_women"], strict=True)))
    biased, fair = (
        WINOGENDER.estimates(winogender.score(Stereotyped(tokenizer, women, s), items))
        for s in (8.0, 0.0)
    )
    assert biased["gotcha_gap"].ci_low > 20
    assert biased["answer_probability_gap"].ci_low > 20
    assert biased["preference_slope"].ci_low > 50
    assert biased["probability_r"].ci_low > 0.8
    # chosen by the mention alone, right in one of two
    assert biased["accuracy_neutral"].value == pytest.approx(50, abs=2)
    for metric in ("gotcha_gap", "answer_probability_gap", "probability_slope"):
        assert fair[metric].value == pytest.approx(0, abs=1e-9), metric


def agreement(split):
    """Texts in which the noun whose gender agrees is the one that is meant: what an encoder can
    learn at once.
    """
    items = []
    for verb in ("saw", "met", "knew", "heard") if split == "train" else ("liked",):
        for pronoun, meant in (("she", "woman"), ("he", "man")):
            for first, second in (("woman", "man"), ("man", "woman")):
                text = f"the {first} {verb} the {second} when {pronoun} left"
                for name in (first, second):
                    start, at = text.index(f" {name} ") + 1, text.index(f" {pronoun} ") + 1
                    items.append(
                        {
                            "item_id": f"{text} {name}",
                            "text": text,
                            "pronoun_span": [at, at + len(pronoun)],
                            "mention_span": [start, start + len(name)],
                            "label": int(name == meant),
                        }
                    )
    return datasets.Dataset.from_list(items)


def test_a_resolver_learns_what_there_is_to_learn(tokenizer, one_thread):
    lm = models.wrap(models.random_model(), tokenizer, name="random")
    task = dataclasses.replace(COREFERENCE, load=agreement)
    classifier = finetuning.fit(lm, task, steps=24, lr=3e-3, evaluate_every=1)
    assert classifier.kind == "coreference"
    assert classifier.curve["accuracy"].iloc[0] < 100
    heldout = agreement("validation")
    probabilities = classifier.probabilities(
        coreference.inputs(tokenizer, heldout, classifier.max_length)
    )[:, 1]
    assert ((probabilities > 0.5) == np.array(heldout["label"])).all()


# ----------------------------------------------------------------------------------------- registry


def test_the_registry_knows_them(lm):
    assert [get(name) for name in ("gap", "winobias", "winogender")] == [GAP, WINOBIAS, WINOGENDER]
    assert tasks.get("coreference") is COREFERENCE
    assert COREFERENCE_ONTONOTES.kind == COREFERENCE.kind == "coreference"
    # it chooses the checkpoint: F1 would take one that says yes to all
    assert next(iter(COREFERENCE.metrics)) == "accuracy"
    for benchmark in (GAP, WINOBIAS, WINOGENDER):
        assert benchmark.measures
        assert benchmark.limits
        assert benchmark.source
    with pytest.raises(
        FairNCError, match="winobias scores coreference models; models/minilm-mlm is masked"
    ):
        WINOBIAS.run(lm, split="dev")
    with pytest.raises(FairNCError, match="winobias has no split 'train': choose dev, test"):
        WINOBIAS.run(lm, split="train")
    assert gap.load("validation").column_names == coreference.gap("validation").column_names
