"""A regularizer beside a debiasing method: options, weight, words and texts that ``regularizer``
stands for.
"""

from dataclasses import asdict, replace

import torch

from fairnc_utils import batching, corpora, words
from fairnc_utils.debias import swap_pairs
from fairnc_utils.debias.base import Method
from fairnc_utils.debias.swap_pairs import SwapOptions
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer import (
    RELEASED_WEIGHTS,
    NC3Options,
    NC3Regularizer,
    as_released,
    corrected,
    repaired,
)
from fairnc_utils.regularizer_label import PRESETS, RegularizerLabel
from fairnc_utils.swap_collapse import SwapCollapse

#: Options of a regularizer, either kind.
Options = NC3Options | SwapOptions

#: λ of NC3, and μ of swap collapse, where neither weight nor dose is given.
WEIGHT, SWAP_WEIGHT = 10.0, 0.3


def label(
    regularizer: object,
    *,
    nc3_words: str | None = None,
    frozen: str | None = None,
    dose: float | None = None,
) -> RegularizerLabel:
    """What result rows call a configuration's regularizer.

    ``regularizer``: one of ``PRESETS``, or a mapping of the options that differ from what it names
    as ``preset``, else from ``corrected``; ``nc3_words``: the list that NC3 is trained on, None:
    the usual one; ``dose``: None where the weight itself is given. Raises ``FairNCError`` for an
    unknown name or option.
    """
    changes = dict(regularizer) if isinstance(regularizer, dict) else {"preset": regularizer}
    preset = changes.pop("preset", "corrected")
    if preset not in PRESETS or (preset == "none" and changes):
        raise FairNCError(
            f"option regularizer = {brief(regularizer)}: choose {', '.join(PRESETS)} or a mapping "
            f"of {', '.join(asdict(NC3Options()))}"
        )
    plain = RegularizerLabel(preset, tuple(sorted(changes.items())), frozen=frozen)
    valid = asdict(NC3Options() if plain.is_nc3 else SwapOptions())
    if unknown := [str(key) for key in changes if key not in valid]:
        what = "NC3" if plain.is_nc3 else "swap collapse"
        raise FairNCError(
            f"option regularizer.{unknown[0]}: no such {what} option; options are "
            f"{', '.join(['preset', *valid])}"
        )
    unusual = nc3_words if plain.is_nc3 and nc3_words != plain.usual_words else None
    return replace(plain, words=unusual, dose=dose if preset != "none" else None)


def require(method: Method) -> None:
    """Raise ``FairNCError`` for a method that cannot take NC3."""
    if method.without_nc3:
        raise FairNCError(f"method {method.name} cannot take NC3: {method.without_nc3}")


def options(label: RegularizerLabel, method: Method) -> Options | None:
    """Options of the regularizer, None for ``none``. Raises ``FairNCError`` for a value that an
    option cannot have, and where the method cannot take NC3 or has no released script.
    """
    changes = dict(label.changes)
    if label.preset == "none":
        return None
    if label.preset == "swap":
        return SwapOptions(**changes)
    require(method)
    if label.preset == "repaired":
        return repaired(**changes)
    preset = as_released(method.name) if label.preset == "as_released" else corrected()
    return replace(preset, **changes)


def weight(label: RegularizerLabel, method: Method) -> float:
    """The weight where a configuration gives none: that of the released script, else ours; 0
    without a regularizer.
    """
    if label.preset == "as_released":
        return RELEASED_WEIGHTS[method.name]
    return {"none": 0.0, "swap": SWAP_WEIGHT}.get(label.preset, WEIGHT)


def build(
    options: Options,
    method: Method,
    lm: LanguageModel,
    *,
    weight: float,
    nc3_words: str = "gender",
    seed: int = 0,
) -> NC3Regularizer | SwapCollapse:
    """The regularizer on a model; ``nc3_words``: see ``word_list``; ``seed``: of drawn words and
    pairs.
    """
    if isinstance(options, SwapOptions):
        return swap_pairs.regularizer(lm, options, weight=weight, seed=seed)
    words = word_list(nc3_words, method, lm, seed=seed)
    nc3 = NC3Regularizer(lm.model, lm.tokenizer, words, weight=weight, options=options)
    return nc3.to(lm.device)


def word_list(
    name: str, method: Method, lm: LanguageModel, *, seed: int = 0
) -> words.WordList | list[int]:
    """Words that NC3 is trained on: an axis of ``words``, ``released`` (the method's own), the
    whole ``vocabulary``, or ``random`` and frequency-``matched`` ones, as many as the gender words,
    drawn by ``seed`` from those of GAP development.
    """
    if name == "released":
        return words.released(method.name, lm.tokenizer)
    if name == "vocabulary":
        return sorted(set(range(len(lm.weight))) - set(lm.special_ids))
    if name not in ("random", "matched"):
        return words.load(name, lm.tokenizer)
    texts = corpora.load("gap", "development")["text"]
    sequences = batching.tokenize(texts, lm.tokenizer, max_length=lm.max_length)
    tokens = torch.tensor([i for ids in sequences for i in ids])
    counts = torch.bincount(tokens, minlength=len(lm.weight)).numpy()
    return words.control(name, lm.tokenizer, counts, min_count=1, seed=seed)
