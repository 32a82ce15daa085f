"""NC3 beside a debiasing method: which options, weight and words a configuration's ``regularizer`` stands for."""

from dataclasses import asdict, replace

import torch

from fairnc_utils import corpora, words
from fairnc_utils.debias.base import Method
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer import RELEASED_WEIGHTS, NC3Options, as_released, corrected
from fairnc_utils.regularizer_label import PRESETS, RegularizerLabel

#: λ of the corrected NC3 where none is given.
WEIGHT = 10.0


def label(
    regularizer: object, *, nc3_words: str | None = None, frozen: str | None = None
) -> RegularizerLabel:
    """What result rows call a configuration's regularizer.

    ``regularizer``: ``none``, ``corrected``, ``as_released``, or a mapping of the options that differ from ``corrected``, or
    from what it names as ``preset``; ``nc3_words``: the list that NC3 is trained on, None: the usual one. Raises
    ``FairNCError`` for an unknown name or option.
    """
    valid = asdict(corrected())
    changes = dict(regularizer) if isinstance(regularizer, dict) else {"preset": regularizer}
    preset = changes.pop("preset", "corrected")
    if unknown := [str(key) for key in changes if key not in valid]:
        raise FairNCError(
            f"option regularizer.{unknown[0]}: no such NC3 option; options are "
            f"{', '.join(['preset', *valid])}"
        )
    if preset not in PRESETS or (preset == "none" and changes):
        raise FairNCError(
            f"option regularizer = {brief(regularizer)}: choose {', '.join(PRESETS)} or a mapping "
            f"of {', '.join(valid)}"
        )
    plain = RegularizerLabel(preset, tuple(sorted(changes.items())), frozen=frozen)
    unusual = nc3_words if preset != "none" and nc3_words != plain.usual_words else None
    return replace(plain, words=unusual)


def require(method: Method) -> None:
    """Raise ``FairNCError`` for a method that cannot take NC3."""
    if method.without_nc3:
        raise FairNCError(f"method {method.name} cannot take NC3: {method.without_nc3}")


def options(label: RegularizerLabel, method: Method) -> NC3Options | None:
    """Options of the regularizer, None for ``none``. Raises ``FairNCError`` for a value that an option cannot have, and where
    the method cannot take NC3 or has no released script."""
    if label.preset == "none":
        return None
    require(method)
    preset = as_released(method.name) if label.preset == "as_released" else corrected()
    return replace(preset, **dict(label.changes))


def weight(label: RegularizerLabel, method: Method) -> float:
    """λ where a configuration gives none: that of the released script, else ``WEIGHT``; 0 without NC3."""
    if label.preset == "none":
        return 0.0
    return RELEASED_WEIGHTS[method.name] if label.preset == "as_released" else WEIGHT


def word_list(
    name: str, method: Method, lm: LanguageModel, *, seed: int = 0
) -> words.WordList | list[int]:
    """Words that NC3 is trained on: an axis of ``words``, ``released`` (the method's own), the whole ``vocabulary``, or
    ``random`` and frequency-``matched`` ones, as many as the gender words, drawn by ``seed`` from those of GAP development."""
    if name == "released":
        return words.released(method.name, lm.tokenizer)
    if name == "vocabulary":
        return sorted(set(range(len(lm.weight))) - set(lm.special_ids))
    if name not in ("random", "matched"):
        return words.load(name, lm.tokenizer)
    texts = corpora.load("gap", "development")["text"]
    sequences = corpora.tokenize(texts, lm.tokenizer, max_length=lm.max_length)
    tokens = torch.tensor([i for ids in sequences for i in ids])
    counts = torch.bincount(tokens, minlength=len(lm.weight)).numpy()
    return words.control(name, lm.tokenizer, counts, min_count=1, seed=seed)
