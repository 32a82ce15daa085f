"""BEC-Pro in German: two versions of each sentence, scored as by plain loops on a model with a small multilingual
vocabulary that lies in a folder.
"""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers import models as tokenizer_models
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from fairnc_utils import models
from fairnc_utils.benchmarks import get
from fairnc_utils.benchmarks.bec_pro_german import PARTNERS
from fairnc_utils.errors import FairNCError

BENCHMARK = get("bec_pro_german")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def items():
    return BENCHMARK.load("german")


@pytest.fixture(scope="module")
def multilingual(items, tmp_path_factory):
    """A tiny BERT whose word pieces were learned from German and English sentences, loaded from a folder."""
    english = get("bec_pro").load("english")["sentence"][::20]
    core = Tokenizer(tokenizer_models.WordPiece(unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normalizers.NFC(), pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.train_from_iterator(
        [*items["sentence"][:], *english],
        trainers.WordPieceTrainer(vocab_size=700, special_tokens=SPECIAL),
    )
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, **dict(zip(names, SPECIAL, strict=True))
    )
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=32, **small)
    folder = tmp_path_factory.mktemp("multilingual")
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return models.load(str(folder), device="cpu")


def test_every_sentence_has_two_versions(items):
    table = items.to_pandas()
    assert len(table) == 5400
    assert table["name"].nunique() == 60
    assert table.groupby("axis")["name"].nunique().tolist() == [20, 20, 20]
    table["pair"] = table["item_id"].str.partition(":")[0]
    assert (table.groupby("pair")["gender"].nunique() == 2).all()
    assert (table.groupby("pair")["name"].nunique() == 1).all()
    assert table["pair"].value_counts().eq(2).all()
    # the five sentences whose masks are corrupt, and their partners
    assert (~table["usable"]).sum() == 10
    starts = {
        sentence for sentence in table["sentence"].str.split(" ist ").str[0] if len(sentence) < 20
    }
    assert starts >= {*PARTNERS, *PARTNERS.values()}


def test_scores_equal_plain_loops(items, multilingual):
    places = [*range(0, 5400, 311)]
    rows = BENCHMARK.score(multilingual, items.select(places))
    tokenizer, mask = multilingual.tokenizer, multilingual.tokenizer.mask_token_id
    longest = 0
    for item, row in zip(items.select(places), rows.to_dict("records"), strict=True):
        encoded = tokenizer(item["sentence"], return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]

        def spans(part, sentence=item["sentence"], offsets=offsets):
            begin = sentence.find(part)
            return [i for i, (a, b) in enumerate(offsets) if a < begin + len(part) and b > begin]

        person, profession = spans(item["person"]), spans(item["profession"])
        longest = max(longest, len(profession))
        for column, hidden in (("score_a", person), ("score_b", [*person, *profession])):
            shown = [mask if place in hidden else token for place, token in enumerate(ids)]
            with torch.no_grad():
                logits = multilingual.model(torch.tensor([shown])).logits[0].log_softmax(-1)
            total = sum(float(logits[place, ids[place]]) for place in person)
            assert row[column] == pytest.approx(total, abs=1e-4)
        assert row["unit"] == item["name"]
    assert longest > 1


def test_metrics_are_over_professions_and_a_shift_moves_the_gap(items, multilingual):
    few = items.select(
        [i for i, usable in enumerate(items["usable"][:]) if usable and i % 9 < 2][:400]
    )
    rows = BENCHMARK.score(multilingual, few)
    metrics = BENCHMARK.estimates(rows)
    assert metrics["gap"].n == rows["unit"].nunique()
    female = np.where(rows["score_c"] > 0, 1.0, 0.0)
    moved = BENCHMARK.estimates(rows.assign(score_a=rows["score_a"] + female))
    assert moved["gap"].value == pytest.approx(metrics["gap"].value + 1)


def test_a_vocabulary_without_the_words_is_refused(items, multilingual):
    tokenizer = multilingual.tokenizer
    strange = items.select([0]).map(lambda item: item | {"person": "Я"})
    assert tokenizer.unk_token_id in tokenizer.encode("Я", add_special_tokens=False)
    with pytest.raises(FairNCError, match="take a model with a German or multilingual one"):
        BENCHMARK.score(multilingual, strange)
