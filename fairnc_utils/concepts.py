"""Concept vectors of words, from three sources, and the bias that is read off their directions.

K words are classes c of the vocabulary, with class means M_c of what the classifier multiplies, its rows W_c,
and m_G and W̄ the means of either over the K words. The vectors are, all of length 1,

* ``means``       u_c = (M_c − m_G) / ‖M_c − m_G‖,
* ``embeddings``  w_c = (W_c − W̄) / ‖W_c − W̄‖,
* ``sentences``   the normal of a logistic regression of sentences with the word against as many without it, a
  sentence being the mean of its tokens' features: a concept activation vector, as BiasLens (Gao et al. 2025) has it.

The bias of a word t is b(t) = mean over feminine words f of v_t·v_f − mean over masculine words m of v_t·v_m, ideal 0,
positive towards the feminine ones. NC3c is the mean over c of cos(u_c, w_c), so that at NC3c = 1 means and
embeddings coincide and with them their biases. Short of that they differ by no more than ``bound``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from fairnc_utils import batching
from fairnc_utils._progress import progress
from fairnc_utils.collapse import ClassStatistics, duality_cosines
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel

#: Where a concept vector comes from.
SOURCES = ("means", "embeddings", "sentences")

#: Occurrences that a word needs to have a class mean.
MIN_COUNT = 10

#: Parts that sentences are divided into to say how well a concept vector tells those that it was not made of.
FOLDS = 2

#: Sentences with a word that its vector is made of, at most, and as many without.
MOST = 100

_TOKENS = 4096  # padded tokens a batch


@dataclass(frozen=True)
class States:
    """A model's features over sentences at one layer, for K token ids.

    ``statistics``: of the K classes; ``sentences`` (N, D): mean feature of each sentence; ``holds`` (N, K):
    whether it has the word; ``owners`` (N,): sentences with one number stay together where folds are made.
    """

    token_ids: tuple[int, ...]
    statistics: ClassStatistics
    sentences: Tensor
    holds: Tensor
    owners: np.ndarray

    def seen(self, *, min_count: int = MIN_COUNT) -> list[int]:
        """Places of the words that occur ``min_count`` times."""
        return self.statistics.seen(min_count=min_count).tolist()


def read(
    lm: LanguageModel,
    texts: Sequence[str],
    token_ids: Sequence[int],
    *,
    owners: Sequence[int] | None = None,
    every_layer: bool = False,
) -> list[States]:
    """States of the last layer over some texts, or of each layer in one pass, as the classifier would
    multiply them there.

    ``owners``: what ``States.owners`` says, by default each text for itself. Raises ``FairNCError`` where there is
    no text.
    """
    if not len(texts):
        raise FairNCError(f"{lm.name}: there is no sentence to read concepts from; give more texts")
    sequences = batching.tokenize(texts, lm.tokenizer, max_length=lm.max_length)
    place = torch.full((len(lm.weight),), -1, device=lm.device)
    place[list(token_ids)] = torch.arange(len(token_ids), device=lm.device)
    layers, dim = (lm.layers if every_layer else 1), lm.weight.shape[1]
    statistics = [ClassStatistics(len(token_ids), dim, device=lm.device) for _ in range(layers)]
    sums = torch.zeros(layers, len(texts), dim, dtype=torch.float64, device=lm.device)
    sizes, holds = _counted(lm, sequences, token_ids)
    with progress(total=len(sequences), desc="reading concepts", unit="text") as bar:
        for batch in batching.bucketed(
            sequences, pad_id=lm.tokenizer.pad_token_id or 0, tokens=_TOKENS, device=lm.device
        ):
            features, labels = lm.labelled_features(
                batch.input_ids, batch.attention_mask, layer="all" if every_layer else None
            )
            features = features.reshape(layers, len(labels), dim)
            row = torch.from_numpy(np.repeat(batch.index, sizes[batch.index])).to(lm.device)
            of_words = place[labels] >= 0
            for layer, states in enumerate(features):
                sums[layer].index_add_(0, row, states.double())
                statistics[layer].update(states[of_words], place[labels[of_words]])
            bar.update(len(batch.index))
    by_size = torch.from_numpy(sizes).to(sums).clamp_min(1)[:, None]
    numbers = np.arange(len(texts)) if owners is None else np.asarray(owners)
    return [
        States(tuple(token_ids), of_layer, total / by_size, holds, numbers)
        for of_layer, total in zip(statistics, sums, strict=True)
    ]


def _counted(
    lm: LanguageModel, sequences: Sequence[Sequence[int]], token_ids: Sequence[int]
) -> tuple[np.ndarray, Tensor]:
    """Ordinary tokens of each sequence whose class is read (N,), and which words it has (N, K)."""
    special, first = set(lm.special_ids), int(lm.kind == "causal")
    ordinary = [[token for token in ids[first:] if token not in special] for ids in sequences]
    holds = [[token in held for token in token_ids] for held in map(set, ordinary)]
    return np.array([len(ids) for ids in ordinary]), torch.tensor(holds)


# ---------------------------------------------------------------- vectors


def vectors(states: States, weight: Tensor, used: Sequence[int]) -> dict[str, Tensor]:
    """Source → unit vectors (K, D) float64 on the CPU, for the words at the places ``used``.

    ``weight`` (V, D): the classifier's rows.
    """
    on = torch.tensor(used, device=states.sentences.device)
    means = states.statistics.means(on).double()
    ids = torch.tensor([states.token_ids[place] for place in used], device=weight.device)
    rows = weight.detach()[ids].double().to(means.device)
    sentences = torch.stack([activation_vector(states, place) for place in used])
    return {
        "means": normalize(means - means.mean(0), dim=1).cpu(),
        "embeddings": normalize(rows - rows.mean(0), dim=1).cpu(),
        "sentences": sentences.cpu(),
    }


def cosines(states: States, weight: Tensor, used: Sequence[int]) -> Tensor:
    """cos(M_c − m_G, W_c − W̄) of each word (K,), whose mean is NC3c. Ideal 1."""
    on = torch.tensor(used, device=states.sentences.device)
    means = states.statistics.means(on).double()
    ids = torch.tensor([states.token_ids[place] for place in used], device=weight.device)
    rows = weight.detach()[ids].double().to(means.device)
    return duality_cosines(means, rows - rows.mean(0), means.mean(0)).cpu()


def bias(
    concept: Tensor, targets: Sequence[int], feminine: Sequence[int], masculine: Sequence[int]
) -> Tensor:
    """b(t) of the words at the places ``targets``: (K, D) unit vectors → (T,), from −2 to 2; ideal 0."""
    direction = concept[list(feminine)].mean(0) - concept[list(masculine)].mean(0)
    return concept[list(targets)] @ direction


def bound(targets: np.ndarray, feminine: np.ndarray, masculine: np.ndarray) -> float:
    """What the mean distance of two sources' biases cannot exceed, given the cosines between their
    vectors, by kind of word; 0 where all are 1.
    """
    chords = [
        np.sqrt(2 * (1 - np.asarray(x, float)).clip(0)) for x in (targets, feminine, masculine)
    ]
    return float(2 * chords[0].mean() + chords[1].mean() + chords[2].mean())


# ---------------------------------------------------------------- vectors of sentences


def activation_vector(states: States, place: int) -> Tensor:
    """Unit normal (D,) of the logistic regression of sentences with the word at ``place`` against as
    many without; 0 where there are none.
    """
    rows = _samples(states, place)
    return normalize(_normal(states.sentences[rows], states.holds[rows, place]), dim=0)


def held_out_accuracy(states: States, place: int) -> float:
    """Share of sentences that such a normal, fitted on the other folds, puts on their side; chance
    one half, ideal 1. Sentences of one owner are in one fold.
    """
    rows = _samples(states, place)
    folds, truth = states.owners[rows.numpy()] % FOLDS, states.holds[rows, place]
    right = 0
    for fold in range(FOLDS):
        train, test = (torch.from_numpy(mask) for mask in (folds != fold, folds == fold))
        features = states.sentences[rows[train]]
        if truth[train].unique().numel() < 2 or not test.any():
            continue
        middle = features.mean(0)
        side = (states.sentences[rows[test]] - middle) @ _normal(features, truth[train]) > 0
        right += int((side.cpu() == truth[test]).sum())
    return right / max(len(rows), 1)


def _samples(states: States, place: int) -> Tensor:
    """Places of the sentences with a word, and of as many without, spread evenly over those there are."""
    holds = states.holds[:, place]
    sides = [torch.where(side)[0] for side in (holds, ~holds)]
    if not (number := min(MOST, *map(len, sides))):
        return sides[0][:0]
    return torch.cat(
        [side[torch.linspace(0, len(side) - 1, number).round().long()] for side in sides]
    )


def _normal(features: Tensor, holds: Tensor, *, steps: int = 50) -> Tensor:
    """Weights (D,) of the logistic regression of ``holds`` (N,) on centred features of unit mean
    square, with the penalty ‖w‖²/2, by Newton's method in the span of the N samples.
    """
    x = features - features.mean(0)
    x = x / x.square().mean().sqrt().clamp_min(torch.finfo(x.dtype).tiny)
    sign = 2.0 * holds.to(x) - 1
    kernel, ones = x @ x.mT, torch.ones_like(sign)

    def loss(a: Tensor) -> Tensor:
        return a @ kernel @ a / 2 - logsigmoid(sign * (kernel @ a)).sum()

    a = torch.zeros_like(sign)
    least = loss(a)
    for _ in range(steps):
        scores = kernel @ a
        error = sign * torch.sigmoid(-sign * scores)
        spread = (torch.sigmoid(scores) * torch.sigmoid(-scores)).clamp_min(1e-12)
        # (K + S⁻¹)⁻¹ (K a + S⁻¹ error): where Newton's step would end
        ahead = torch.linalg.solve(kernel + torch.diag(ones / spread), scores + error / spread)
        step, size = ahead - a, 1.0
        while (reached := loss(a + size * step)) > least and size > 1e-6:
            size /= 2
        a, least = a + size * step, reached
        if (kernel @ step).abs().max() < 1e-4:
            break
    return x.mT @ a
