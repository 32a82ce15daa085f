"""What all tests share."""

import os

# No test needs the Hugging Face hub; one that reaches for it fails at once instead of waiting for a
# network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
import transformers
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


#: The lowest transformers that is admitted differs in a few places that tests know of.
TRANSFORMERS_4 = transformers.__version__.startswith("4.")


def without_dropout(model):
    """The model, with every rate of dropout set to 0."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        # which the attention of BERT in transformers 4 reads instead
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    return model


class InOrder:
    """For a ``transformers.Trainer``: rows are taken as they stand, which transformers 4 has no
    option for.
    """

    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)


SENTENCES = """
the nurse said that she was tired . the engineer said that he was tired . the doctor met the waitress .
a woman and a man walk home . the girl reads a book , the boy writes a letter . my sister is a teacher .
unhappy people rarely talk about happiness . the chess player was kind , friendly and patient .
""".strip().splitlines()


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


_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
_WORDPIECE = _SMALL | {"vocab_size": 30_522}
_BPE = _SMALL | {
    "vocab_size": 420,
    "num_key_value_heads": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}

#: Family → (tokenizer, kind, parameters, configuration): untrained models of a few thousand weights.
TINY = {
    "bert": (
        "tokenizer",
        "masked",
        524_714,
        {
            "vocab_size": 30_522,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
        },
    ),
    "distilbert": (
        "tokenizer",
        "masked",
        524_682,
        {
            "vocab_size": 30_522,
            "dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 32,
            "max_position_embeddings": 64,
        },
    ),
    "roberta": (
        "bpe_tokenizer",
        "masked",
        12_996,
        {
            "vocab_size": 420,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 66,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "type_vocab_size": 1,
        },
    ),
    "gpt2": (
        "bpe_tokenizer",
        "causal",
        14_336,
        {
            "vocab_size": 420,
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 64,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
    ),
    "llama": (
        "bpe_tokenizer",
        "causal",
        18_128,
        {
            "vocab_size": 420,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 1,
        },
    ),
    "albert": ("tokenizer", "masked", 277_762, _WORDPIECE | {"embedding_size": 8}),
    "electra": ("tokenizer", "masked", 279_986, _WORDPIECE | {"embedding_size": 8}),
    "deberta-v2": (
        "tokenizer",
        "masked",
        524_202,
        _WORDPIECE
        | {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "type_vocab_size": 0,
            "position_biased_input": False,
        },
    ),
    "modernbert": (
        "tokenizer",
        "masked",
        524_346,
        _WORDPIECE
        | {
            "pad_token_id": 0,
            "bos_token_id": 101,
            "eos_token_id": 102,
            "cls_token_id": 101,
            "sep_token_id": 102,
            "sparse_prediction": True,
        },
    ),
    "mpnet": ("tokenizer", "masked", 524_778, _WORDPIECE | {"max_position_embeddings": 66}),
    "nomic_bert": ("tokenizer", "masked", 524_490, _WORDPIECE),
    "xlm-roberta": (
        "unigram_tokenizer",
        "masked",
        7_216,
        _SMALL
        | {
            "vocab_size": 80,
            "max_position_embeddings": 66,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "type_vocab_size": 1,
        },
    ),
    "qwen2": ("bpe_tokenizer", "causal", 18_192, _BPE),
    "qwen3": ("bpe_tokenizer", "causal", 18_160, _BPE | {"head_dim": 8}),
    "gemma2": (
        "bpe_tokenizer",
        "causal",
        11_472,
        _BPE | {"head_dim": 8, "final_logit_softcapping": 5.0},
    ),
    "gemma3_text": ("bpe_tokenizer", "causal", 11_504, _BPE | {"head_dim": 8}),
    "cohere": ("bpe_tokenizer", "causal", 11_376, _BPE | {"logit_scale": 2.0}),
    "granite": ("bpe_tokenizer", "causal", 18_128, _BPE | {"logits_scaling": 2.0}),
    "opt": (
        "bpe_tokenizer",
        "causal",
        12_256,
        {
            "vocab_size": 420,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 32,
            "max_position_embeddings": 64,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 1,
        },
    ),
}


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
