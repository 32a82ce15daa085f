"""Methods that are masked language modelling on some text: ``mlm``, ``bec``, ``cda``, ``dropout``.

``mlm`` is the control: the same sentences and steps as ``bec``, unchanged text. ``bec`` (Bartl et
al. 2020) trains on the gender-swapped sentences, ``cda`` (Zmigrod et al. 2019) on both versions,
``dropout`` (Webster et al. 2020) on unchanged text with more dropout. The published BEC recipe
trains on all of GAP; here only GAP development, because GAP test is measured on.
"""

from collections.abc import Sequence
from functools import partial

from torch import nn

from fairnc_utils import swap
from fairnc_utils.debias.base import (
    Method,
    Recipe,
    gap_sentences,
    masked_batch,
    masked_lm_loss,
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
    chosen = [*(texts if original else []), *(map(swap.gender, texts) if swapped else [])]
    return tokenized(chosen, tokenizer, max_length=max_length)


def _collate(rows: Sequence[dict], tokenizer, generator):
    return masked_batch([row["input_ids"] for row in rows], tokenizer, generator)


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
    departures: str,
    *,
    original: bool,
    swapped: bool,
    prepare=None,
) -> Method:
    return Method(
        name,
        source,
        corpus,
        RECIPE,
        partial(_examples, original=original, swapped=swapped),
        _collate,
        masked_lm_loss,
        prepare=prepare,
        departures=departures,
    )


MLM = _method(
    "mlm",
    "control",
    "GAP development sentences",
    "no paper: the recipe of bec on unchanged sentences",
    original=True,
    swapped=False,
)
BEC = _method(
    "bec",
    "Bartl et al. 2020",
    "GAP development sentences, gender-swapped",
    "GAP's development part alone, not all of GAP, on whose test part models are measured; larger batches than the script's",
    original=False,
    swapped=True,
)
CDA = _method(
    "cda",
    "Zmigrod et al. 2019",
    "GAP development sentences and their swapped copies",
    "English, swapped by a list of words; the paper inflects languages of rich forms",
    original=True,
    swapped=True,
)
DROPOUT = _method(
    "dropout",
    "Webster et al. 2020",
    MLM.corpus,
    "a short further training on GAP sentences; the paper pre-trains with more dropout",
    original=True,
    swapped=False,
    prepare=more_dropout,
)
