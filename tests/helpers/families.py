"""Tiny models of every family, and what tests need to compare them step by step."""

import torch
import transformers

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
