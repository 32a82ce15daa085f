"""Methods that are language modelling on some text: ``mlm``, ``clm``, ``bec``, ``cda``,
``dropout``.

``mlm`` is the control: the same sentences and steps as ``bec``, unchanged text; ``clm`` is that of
causal models. ``bec`` (Bartl et al. 2020) trains on the gender-swapped sentences, ``cda`` (Zmigrod
et al. 2019) on both versions, with the loss that the model was made with, ``dropout`` (Webster et
al. 2020) on unchanged text with more dropout. The published BEC recipe trains on all of GAP; here
only GAP development, because GAP test is measured on.
"""

from collections.abc import Sequence
from functools import partial

from torch import nn

from fairnc_utils import swap
from fairnc_utils.catalog import BOTH, CAUSAL
from fairnc_utils.debias.base import (
    Method,
    Recipe,
    causal_batch,
    gap_sentences,
    language_model_loss,
    masked_batch,
    tokenized,
)

#: Bartl et al.: AdamW 2e-5, linear decay, 3 epochs, batch 16.
RECIPE = Recipe(lr=2e-5, epochs=3, batch_size=16, max_length=128)

#: Webster et al.: dropout of attention weights and of everything else.
ATTENTION_DROPOUT, HIDDEN_DROPOUT = 0.15, 0.20


def _examples(
    tokenizer, *, limit: int | None = None, max_length: int, original: bool, swapped: bool
):
    texts = gap_sentences(limit)
    sentences = [*(texts if original else []), *(map(swap.gender, texts) if swapped else [])]
    return tokenized(sentences, tokenizer, max_length=max_length)


def _masked(rows: Sequence[dict], tokenizer, generator):
    return masked_batch([row["input_ids"] for row in rows], tokenizer, generator)


def _causal(rows: Sequence[dict], tokenizer, generator):
    return causal_batch([row["input_ids"] for row in rows], tokenizer)


def more_dropout(model: nn.Module, tokenizer=None, rows=None) -> None:
    """Set the dropout of a model in memory; its configuration, which is saved, keeps the original
    rates.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = (
                ATTENTION_DROPOUT
                if name.endswith(("attention.self.dropout", "attention.dropout"))
                else HIDDEN_DROPOUT
            )
        # which the attention of BERT in transformers 4 reads instead
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = ATTENTION_DROPOUT


def _method(
    name: str,
    source: str,
    corpus: str,
    *,
    original: bool = False,
    swapped: bool = False,
    collate=_masked,
    **more,
) -> Method:
    examples = partial(_examples, original=original, swapped=swapped)
    return Method(name, source, corpus, RECIPE, examples, collate, language_model_loss, **more)


TEXT = "GAP development sentences"
MLM = _method(
    "mlm",
    "control",
    TEXT,
    original=True,
    departures="no paper: the recipe of bec on unchanged sentences",
)
CLM = _method(
    "clm",
    "control",
    TEXT,
    original=True,
    collate=_causal,
    kinds=CAUSAL,
    departures="no paper: mlm's recipe for causal models",
)
BEC = _method(
    "bec",
    "Bartl et al. 2020",
    f"{TEXT}, gender-swapped",
    swapped=True,
    departures="GAP's development part alone, not all of GAP, on whose test part models are measured; "
    "larger batches than the script's",
)
CDA = _method(
    "cda",
    "Zmigrod et al. 2019",
    f"{TEXT} and their swapped copies",
    original=True,
    swapped=True,
    collate_causal=_causal,
    kinds=BOTH,
    departures="English, swapped by a list of words; the paper inflects languages of rich forms",
)
DROPOUT = _method(
    "dropout",
    "Webster et al. 2020",
    TEXT,
    original=True,
    prepare=more_dropout,
    departures="a short further training on GAP sentences; the paper pre-trains with more dropout",
)
