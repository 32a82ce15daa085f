"""What all tests share."""

import os

# No test needs the Hugging Face hub; one that reaches for it fails at once instead of waiting for a
# network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from helpers.families import TINY
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedTokenizerFast,
)

from fairnc_utils import models as fairnc_models
from fairnc_utils.benchmarks.stereoset import STEREOSET


@pytest.fixture(scope="session")
def lm():
    """The embedded masked language model, as a reader loads it."""
    return fairnc_models.load("models/minilm-mlm", device="cpu")


@pytest.fixture(scope="session")
def tokenizer():
    """The embedded model's tokenizer: WordPiece, uncased."""
    return fairnc_models.embedded_tokenizer()


@pytest.fixture(scope="session")
def gender_rows(lm):
    """Item scores of the embedded model on StereoSet dev, gender: 255 items."""
    return STEREOSET.run(lm, split="dev", axis="gender")


@pytest.fixture
def one_thread():
    """Many tiny forward passes are faster on one thread than on two that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SENTENCES = """
the nurse said that she was tired . the engineer said that he was tired . the doctor met the waitress .
a woman and a man walk home . the girl reads a book , the boy writes a letter . my sister is a teacher .
unhappy people rarely talk about happiness . the chess player was kind , friendly and patient .
""".strip().splitlines()


def _fast(core: Tokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer of transformers with RoBERTa's special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )


@pytest.fixture(scope="session")
def bpe_tokenizer():
    """A byte-level BPE tokenizer in RoBERTa's style: word starts are marked by the space before
    them.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES * 4, trainer)
    core.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return _fast(core)


@pytest.fixture(scope="session")
def unigram_tokenizer():
    """A SentencePiece-like unigram tokenizer in XLM-RoBERTa's style: it puts the space before the
    first word itself.
    """
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [
        *sorted({f"▁{word}" for word in " ".join(SENTENCES).split()}),
        "▁",
        *"abcdefghijklmnopqrstuvwxyz.,",
    ]
    core = Tokenizer(
        models.Unigram([(piece, -float(i)) for i, piece in enumerate(special + pieces)], unk_id=3)
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.add_special_tokens(
        [AddedToken(token, lstrip=token == "<mask>", special=True) for token in special]
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return _fast(core)


@pytest.fixture(scope="session")
def tiny(request):
    """Function(family) → a tiny random ``LanguageModel``, its weights drawn anew from seed 0."""

    def build(family, **overrides):
        tokenizer, kind, _, config = TINY[family]
        auto = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
        if family not in CONFIG_MAPPING:
            pytest.skip(f"this transformers has no {family}")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = auto.from_config(AutoConfig.for_model(family, **(config | overrides)))
            # biases and norms too, so that leaving one out shows
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
        return fairnc_models.wrap(model, request.getfixturevalue(tokenizer), name=f"tiny {family}")

    return build
