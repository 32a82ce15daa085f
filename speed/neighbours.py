"""Other packages that compute the same, side by side in one run: the values must agree, then the
times are compared.

None of them is needed by anything here. What is not installed, or does not run with the versions that
are, is named and passed over.
"""

import copy
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
import torch

from fairnc_utils import collapse, models
from fairnc_utils.benchmarks import get
from fairnc_utils.benchmarks.crows_pairs import sentences
from fairnc_utils.benchmarks.scoring import log_probabilities, masked
from speed.pairwise import random_classes
from speed.timing import Row, Settings, median, paired

PAIRS = 40  # of CrowS-Pairs on gender
CLASSES, DIM = 1000, 384
#: How far scores may differ: both are sums of float32.
CLOSE = 1e-3

Work = tuple[str, Callable[[], np.ndarray], Callable[[], np.ndarray]]


def run(settings: Settings) -> list[Row]:
    """Their time over ours, and the largest difference of values, for each package that is
    installed. Raises ``AssertionError`` where values differ by more than ``CLOSE``.
    """
    rows = []
    for package, (module, works) in PACKAGES.items():
        if find_spec(module) is None:
            print(f"{package} is not installed: not compared", file=sys.stderr)
            continue
        name = f"{package} {_version(package)}"
        try:
            for what, ours, theirs in works(settings):
                rows += _compared(settings, f"{name}: {what}", ours, theirs)
        except AssertionError:
            raise
        except (
            Exception
        ) as error:  # whatever another package raises with versions that it is not made for
            print(f"{name} does not run here ({error}): not compared", file=sys.stderr)
    return rows


def _compared(settings: Settings, case: str, ours: Callable, theirs: Callable) -> list[Row]:
    difference = float(np.max(np.abs(np.asarray(ours()) - np.asarray(theirs()))))
    assert difference < CLOSE, f"{case}: values differ by {difference:g}"
    times = paired(
        {"ours": lambda repeat: ours(), "theirs": lambda repeat: theirs()},
        repeats=settings.repeats,
        seconds=settings.seconds / 6,
    )
    return [
        median("neighbours", case, "theirs / ours", "×", times["theirs"] / times["ours"]),
        Row("neighbours", case, "largest difference of values", "", difference),
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout on the path
        return "from a checkout"


def _model_and_pairs(settings: Settings, *, model: str = "", benchmark: str = "crows_aul"):
    name = "random" if settings.tiny else model or settings.model
    lm = models.load(name, device=settings.device)
    items = get(benchmark).items("all", "gender").select(range(4 if settings.tiny else PAIRS))
    return lm, items


def _fairlms(settings: Settings) -> Iterator[Work]:
    """AUL and AULA of whole sentences, a sentence at a time as its metrics call it."""
    from fairlms.utils.pll import score_sentence

    lm, items = _model_and_pairs(settings)
    for name, attention in (("crows_aul", False), ("crows_aula", True)):

        def ours(name: str = name) -> np.ndarray:
            return get(name).score(lm, items)[["score_a", "score_b"]].to_numpy()

        def theirs(attention: bool = attention) -> np.ndarray:
            score = [
                [
                    score_sentence(lm.tokenizer, lm.model, sentence, attention)[0]
                    for sentence in pair
                ]
                for pair in sentences(items)
            ]
            return np.array(score)

        yield f"{name}, {len(items)} pairs", ours, theirs


def _minicons(settings: Settings) -> Iterator[Work]:
    """Pseudo-log-likelihood of sentences, each token masked in turn, a batch at a time."""
    from minicons.scorer import MaskedLMScorer

    lm, items = _model_and_pairs(settings)
    texts = [sentence for pair in sentences(items) for sentence in pair]
    tokenizer = copy.copy(lm.tokenizer)
    if not hasattr(tokenizer, "batch_encode_plus"):  # the name that transformers 5 has no more
        tokenizer.batch_encode_plus = tokenizer.__call__
    scorer = MaskedLMScorer(lm.model, device=str(lm.device), tokenizer=tokenizer)

    def ours() -> np.ndarray:
        ids = lm.tokenizer(texts)["input_ids"]
        mask = lm.tokenizer.mask_token_id
        asked = [masked(row, place, mask) for row in ids for place in range(1, len(row) - 1)]
        owners = np.repeat(np.arange(len(ids)), [len(row) - 2 for row in ids])
        return np.bincount(owners, log_probabilities(lm, asked), len(ids))

    def theirs() -> np.ndarray:
        batches = (texts[i : i + 8] for i in range(0, len(texts), 8))
        return np.concatenate(
            [scorer.sequence_score(batch, reduction=lambda x: x.sum().item()) for batch in batches]
        )

    yield f"pseudo-log-likelihood of {len(texts)} sentences", ours, theirs


def _neural_collapse(settings: Settings) -> Iterator[Work]:
    """NC3 of class means and classifier rows; ours has every other metric and interval with it."""
    from neural_collapse.measure import similarities

    size, dim = (40, 16) if settings.tiny else (CLASSES, DIM)
    statistics, weight = random_classes(size, dim)
    means, rows = statistics.means(torch.arange(size)), weight.double()

    def ours() -> np.ndarray:
        return collapse.duality_cosines(means, rows, means.mean(0)).numpy()

    def theirs() -> np.ndarray:
        return similarities(means, rows, means.mean(0), cos=True).numpy()

    yield f"NC3 of {size:,} classes, {dim} dimensions", ours, theirs


def _lm_eval(settings: Settings) -> Iterator[Work]:
    """ln P of whole sentences by a causal model, as the task ``fairnc_crows`` asks the harness for them."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    if settings.tiny:  # there is no tiny causal model that both could load by name
        return
    lm, items = _model_and_pairs(settings, model="smollm2", benchmark="crows_causal")
    texts = [sentence for pair in sentences(items) for sentence in pair]
    harness = HFLM(
        pretrained=lm.model, tokenizer=lm.tokenizer, device=str(lm.device), batch_size=16
    )
    requests = [Instance("loglikelihood", {}, ("", text), 0) for text in texts]

    def ours() -> np.ndarray:
        return get("crows_causal").score(lm, items)[["score_a", "score_b"]].to_numpy()

    def theirs() -> np.ndarray:
        scores = harness.loglikelihood(requests, disable_tqdm=True)
        return np.array([score for score, _ in scores]).reshape(-1, 2)

    yield f"ln P of {len(texts)} sentences, SmolLM2", ours, theirs


#: Package → its module, and function(settings) → (what, ours, theirs) of what both compute.
PACKAGES = {
    "fairlms": ("fairlms", _fairlms),
    "minicons": ("minicons", _minicons),
    "neural-collapse": ("neural_collapse", _neural_collapse),
    "lm-eval": ("lm_eval", _lm_eval),
}
