"""The definitions again, written as slowly and plainly as possible: one pair, one sentence, one
token at a time.

Nothing here imports the package. The tests compare the fast code with these loops.
"""

import difflib
import math
import string
from itertools import combinations

import numpy as np
import torch

# --------------------------------------------------------------------------------------------------
# Neural collapse. Vectors are float64 NumPy arrays; M (K, D) class means, W (K, D) classifier rows,
# v (K,) variances.


def class_statistics(features, labels, classes):
    """Counts, means and mean squared distances to the mean of each class, two passes over the raw
    samples.
    """
    n, means, variances = [], [], []
    for c in classes:
        of_class = [
            np.asarray(h, np.float64) for h, y in zip(features, labels, strict=True) if y == c
        ]
        mean = sum(of_class) / len(of_class)
        n.append(len(of_class))
        means.append(mean)
        variances.append(sum(float((h - mean) @ (h - mean)) for h in of_class) / len(of_class))
    return np.array(n), np.array(means), np.array(variances)


def norm(x):
    return math.sqrt(sum(float(a) * float(a) for a in x))


def cosine(x, y):
    return float(x @ y) / (norm(x) * norm(y))


def sd(values):
    values = list(values)
    mean = sum(values) / len(values)
    return math.sqrt(sum((x - mean) ** 2 for x in values) / (len(values) - 1))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def pairs(count):
    return list(combinations(range(count), 2))


def cdnv(points, v, power=2):
    """NC1 on means, NC1w on classifier rows; the released code divides by the fourth power of the
    distance.
    """
    return mean(
        (v[i] + v[j]) / (2 * norm(points[i] - points[j]) ** power) for i, j in pairs(len(points))
    )


def equinorm(points, centre, squared=False):
    norms = [norm(p - centre) ** (2 if squared else 1) for p in points]
    return sd(norms) / mean(norms)


def cosines(points, centre):
    return [cosine(points[i] - centre, points[j] - centre) for i, j in pairs(len(points))]


def equiangular(points, centre):
    return sd(cosines(points, centre))


def angle_to_simplex(points, centre):
    return mean(abs(c + 1 / (len(points) - 1)) for c in cosines(points, centre))


def log_kernel(points, centre):
    u = [(p - centre) / norm(p - centre) for p in points]
    kernel = [math.log(1 / norm(u[i] - u[j])) for i, j in pairs(len(u))]
    return mean(kernel), sd(kernel)


def duality(M, m_G, W):
    return [cosine(m - m_G, w) for m, w in zip(M, W, strict=True)]


def duality_sum(M, m_G, W):
    """Sum of the coordinates of normalize(normalize(W_c) − normalize(M_c − m_G)), averaged over
    classes.
    """
    total = 0.0
    for m, w in zip(M, W, strict=True):
        difference = w / norm(w) - (m - m_G) / norm(m - m_G)
        total += sum(float(x) for x in difference / norm(difference))
    return total / len(M)


def collapse(M, v, W):
    """Every corrected metric by a plain name."""
    m_G, w_G = sum(M) / len(M), sum(W) / len(W)
    gnc2, gnc2w = log_kernel(M, m_G), log_kernel(W, w_G)
    nc3 = duality(M, m_G, W)
    return {
        "nc1": cdnv(M, v),
        "nc1w": cdnv(W, v),
        "equinorm": equinorm(M, m_G),
        "equiangular": equiangular(M, m_G),
        "angle": angle_to_simplex(M, m_G),
        "gnc2_mean": gnc2[0],
        "gnc2_sd": gnc2[1],
        "equinorm_w": equinorm(W, w_G),
        "equiangular_w": equiangular(W, w_G),
        "angle_w": angle_to_simplex(W, w_G),
        "gnc2w_mean": gnc2w[0],
        "gnc2w_sd": gnc2w[1],
        "nc3": mean(nc3),
        "nc3_ceiling": mean(duality(W, w_G, W)),
        "nc3c": mean(duality(M, m_G, [w - w_G for w in W])),
        "unc3": sd(nc3),
    }


def collapse_as_released(M, v, W):
    """The metrics that the released code computes differently."""
    m_G, w_G, origin = sum(M) / len(M), sum(W) / len(W), np.zeros(M.shape[1])
    gnc2, gnc2w = log_kernel(M, origin), log_kernel(W, origin)
    return {
        "nc1": cdnv(M, v, power=4),
        "nc1w": cdnv(W, v, power=4),
        "equinorm": equinorm(M, m_G, squared=True),
        "equinorm_w": equinorm(W, w_G, squared=True),
        "gnc2_mean": gnc2[0],
        "gnc2_sd": gnc2[1],
        "gnc2w_mean": gnc2w[0],
        "gnc2w_sd": gnc2w[1],
        "duality_sum": duality_sum(M, m_G, W),
    }


def nearest_class_agreement(features, M, W, bias=None):
    """NC4: share of samples whose largest logit belongs to the class with the nearest mean."""
    agree = 0
    for h in features:
        logits = [
            float(w @ h) + (0.0 if bias is None else float(b))
            for w, b in zip(W, W if bias is None else bias, strict=True)
        ]
        distances = [norm(h - m) for m in M]
        agree += int(np.argmax(logits) == np.argmin(distances))
    return agree / len(features)


def simplex(count, dim, *, scale=1.0, seed=0):
    """Vertices of a simplex ETF in random position: (K, D), K ≤ D + 1."""
    centred = np.eye(count) - 1 / count
    directions, sizes, _ = np.linalg.svd(centred)
    flat = (directions * sizes)[:, : count - 1]
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
    vertices = np.zeros((count, dim))
    vertices[:, : count - 1] = flat
    return scale * vertices @ turn / np.linalg.norm(flat[0])


# --------------------------------------------------------------------------------------------------
# Masked probabilities: a forward pass a sentence, plain logits.


class Model:
    """Log-probabilities at one position of one sentence from a ``ForMaskedLM`` model; equal inputs
    are computed once.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer, self.memory = model.eval(), tokenizer, {}

    @torch.no_grad()
    def log_probabilities(self, ids, position):
        key = (tuple(ids), position)
        if key not in self.memory:
            self.memory[key] = self._log_softmax(
                self.model(input_ids=torch.tensor([list(ids)])).logits[0, position]
            )
        return self.memory[key]

    @torch.no_grad()
    def masked_one_by_one(self, ids, positions):
        """ln P(token | all others) at each position: copies of one sentence, one mask in each."""
        copies = torch.tensor([list(ids)] * len(positions))
        for row, position in enumerate(positions):
            copies[row, position] = self.tokenizer.mask_token_id
        logits = self.model(input_ids=copies).logits
        return [float(self._log_softmax(logits[row, p])[ids[p]]) for row, p in enumerate(positions)]

    @staticmethod
    def _log_softmax(logits):
        logits = logits.double()
        return (logits - torch.logsumexp(logits, 0)).numpy()


# StereoSet intrasentence.


def stereoset_candidate(context, sentence):
    """The whitespace word of ``sentence`` where the last BLANK stands in ``context``, without
    punctuation.
    """
    place = None
    for index, word in enumerate(context.split(" ")):
        if "BLANK" in word:
            place = index
    word = sentence.split(" ")[place]
    return "".join(letter for letter in word if letter not in string.punctuation)


def stereoset_score(reference, context, sentence, leading_space=False):
    """Mean probability of the candidate's pieces, each with the earlier ones filled in and the
    later ones not shown.
    """
    tokenizer = reference.tokenizer
    word = stereoset_candidate(context, sentence)
    pieces = tokenizer.encode((" " if leading_space else "") + word, add_special_tokens=False)
    template = tokenizer.encode(context.replace("BLANK", tokenizer.mask_token))
    probabilities = []
    for i, piece in enumerate(pieces):
        ids = []
        for token in template:
            ids += [*pieces[:i], token] if token == tokenizer.mask_token_id else [token]
        first = ids.index(tokenizer.mask_token_id)
        probabilities.append(math.exp(reference.log_probabilities(ids, first)[piece]))
    return sum(probabilities) / len(probabilities)


def stereoset_items(data, axis):
    """(target, context, sentence of each label) of one axis of a StereoSet file, or of all for axis
    ``"all"``.
    """
    items = []
    for example in data["data"]["intrasentence"]:
        if axis in ("all", example["bias_type"]):
            sentences = {s["gold_label"]: s["sentence"] for s in example["sentences"]}
            items.append((example["id"], example["target"], example["context"], sentences))
    return items


def stereoset_metrics(terms, stereotype, anti, unrelated):
    """LM, SS and ICAT in percent from item scores; ``terms`` are the items' target terms."""
    lm, ss = [], []
    for term in dict.fromkeys(terms):
        of_term = [i for i, t in enumerate(terms) if t == term]
        ss.append(sum(stereotype[i] > anti[i] for i in of_term) / len(of_term))
        over_s = sum(stereotype[i] > unrelated[i] for i in of_term) / len(of_term)
        over_a = sum(anti[i] > unrelated[i] for i in of_term) / len(of_term)
        lm.append((over_s + over_a) / 2)
    lm, ss = 100 * mean(lm), 100 * mean(ss)
    return {"lm": lm, "ss": ss, "icat": lm * min(ss, 100 - ss) / 50}


# CrowS-Pairs.


def spans(first, second, equal):
    """Positions of the equal, or of the differing, tokens on either side."""
    matcher = difflib.SequenceMatcher(None, first, second)
    left, right = [], []
    for tag, a, b, c, d in matcher.get_opcodes():
        if (tag == "equal") == equal:
            left += range(a, b)
            right += range(c, d)
    return left, right


def crows_official(reference, sent_more, sent_less):
    """Pseudo-log-likelihood of the unmodified tokens of both sentences, rounded to three decimals."""
    sides = [reference.tokenizer.encode(sent_more), reference.tokenizer.encode(sent_less)]
    scores = []
    for ids, positions in zip(sides, spans(*sides, equal=True), strict=True):
        inner = positions[1:-1]  # the first and the last equal tokens are the special ones
        scores.append(round(sum(reference.masked_one_by_one(ids, inner)), 3))
    return tuple(scores)


def crows_bias_bench(reference, sent_more, sent_less):
    """Mean log-probability of the differing tokens, rounded to three decimals; None when a side has
    none.
    """
    sides = [reference.tokenizer.encode(sent_more), reference.tokenizer.encode(sent_less)]
    both = spans(*sides, equal=False)
    if not both[0] or not both[1]:
        return None
    return tuple(
        round(mean(reference.masked_one_by_one(ids, positions)), 3)
        for ids, positions in zip(sides, both, strict=True)
    )


def crows_metric(scores, directions):
    """Percent of pairs with more > less (ties stay in N), and the stereo and anti sub-scores (ties
    left out).
    """
    wins = [more > less for more, less in scores]
    result = {"metric": 100 * sum(wins) / len(wins)}
    for direction in ("stereo", "antistereo"):
        right = [
            w
            for w, (m, s), d in zip(wins, scores, directions, strict=True)
            if d == direction and m != s
        ]
        result[direction] = 100 * sum(right) / len(right) if right else math.nan
    return result


# AUL and AULA on a sentence.


@torch.no_grad()
def aul(reference, sentence, attention=False):
    """Mean over the tokens between the special ones of ln P(token), the sentence shown; AULA: times
    the attention received.
    """
    model = reference.model
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    ids = reference.tokenizer.encode(sentence)
    output = model(input_ids=torch.tensor([ids]), output_attentions=True)
    model.set_attn_implementation(before)
    layers = [layer[0].numpy() for layer in output.attentions]  # heads × queries × keys
    scores = []
    for place in range(1, len(ids) - 1):
        score = float(reference._log_softmax(output.logits[0, place])[ids[place]])
        if attention:
            seen = [
                layer[head, query, place]
                for layer in layers
                for head in range(len(layer))
                for query in range(len(ids))
            ]
            score *= mean(seen)
        scores.append(score)
    return mean(scores)


# BEC-Pro.


def bec_pro_rows(text):
    """The released table as dictionaries."""
    header, *lines = text.splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def bec_pro_association(reference, row):
    """(ln P(person | profession), ln P(person | masks)) of a row; every word piece has a mask of
    its own.
    """
    tokenizer, sentence = reference.tokenizer, row["Sentence"]
    marked = tokenizer.tokenize("a word") != [*tokenizer.tokenize("a"), *tokenizer.tokenize("word")]

    def hide(text, words):
        begin = text.index(words)
        space = " " if marked and begin and text[begin - 1] == " " else ""
        pieces = tokenizer.encode(space + words, add_special_tokens=False)
        return text[:begin] + " ".join([tokenizer.mask_token] * len(pieces)) + text[
            begin + len(words) :
        ], pieces

    without, pieces = hide(sentence, row["Person"])
    neither, _ = hide(without, row["Profession"])
    scores = []
    for text in (without, neither):
        ids = tokenizer.encode(text)
        first = ids.index(tokenizer.mask_token_id)
        scores.append(
            sum(
                float(reference.log_probabilities(ids, first + i)[piece])
                for i, piece in enumerate(pieces)
            )
        )
    return tuple(scores)


def bec_pro_released_masks(reference, row, width=None):
    """The same from the released masked sentences: the token that the first mask hides.

    ``width``: tokens of an input, filled up with masks or cut.
    """
    tokenizer = reference.tokenizer
    inputs = []
    for column in ("Sentence", "Sent_TM", "Sent_TAM"):
        ids = tokenizer.encode(row[column].replace("[MASK]", tokenizer.mask_token))
        if width is not None:
            ids = ids[:width] + [tokenizer.mask_token_id] * (width - len(ids))
        inputs.append(ids)
    whole, one, both = inputs
    place = both.index(tokenizer.mask_token_id)
    return tuple(
        float(reference.log_probabilities(ids, place)[whole[place]]) for ids in (one, both)
    )


def bec_pro_as_released(reference, row):
    """As the script does: 13 words are the most of a masked sentence, so 16 tokens are an input."""
    return bec_pro_released_masks(reference, row, width=16)


def signed_rank_z(differences):
    """z of Wilcoxon's signed-rank statistic: zeros left out, ties share their rank."""
    values = [d for d in differences if d]
    n, above, ties = len(values), 0.0, 0.0
    for d in values:
        below = sum(abs(other) < abs(d) for other in values)
        same = sum(abs(other) == abs(d) for other in values)
        above += (below + (same + 1) / 2) * (d > 0)
        ties += same**2 - 1  # over a group of t this adds up to t³ − t
    return (above - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24 - ties / 48)


# What follows a context, and causal models.


@torch.no_grad()
def log_likelihood(reference, given, ids):
    """Σ ln P(token | given and all before it) by a causal model, a pass for each token."""
    total = 0.0
    for i, token in enumerate(ids):
        logits = reference.model(input_ids=torch.tensor([[*given, *ids[:i]]])).logits[0, -1]
        total += float(reference._log_softmax(logits)[token])
    return total


def sentence_log_likelihood(reference, sentence):
    """The whole sentence behind the start token."""
    tokenizer = reference.tokenizer
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return log_likelihood(reference, [start], tokenizer.encode(sentence, add_special_tokens=False))


def released_sentence_score(reference, sentence):
    """ln of the geometric mean of the tokens' probabilities: the first behind the start token, the
    others behind the sentence's tokens alone.
    """
    tokenizer = reference.tokenizer
    ids = tokenizer.encode(sentence, add_special_tokens=False)
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    first = log_likelihood(reference, [start], ids[:1])
    return (first + log_likelihood(reference, ids[:1], ids[1:])) / len(ids)


def continuation_score(reference, context, sentence, causal=False):
    """Mean ln P of the tokens of a sentence that follows a context."""
    tokenizer = reference.tokenizer
    given = tokenizer.encode(context, add_special_tokens=False)
    ids = tokenizer.encode(f"{context} {sentence}", add_special_tokens=False)[len(given) :]
    if causal:
        return log_likelihood(reference, given, ids) / len(ids)
    whole = tokenizer.encode(f"{context} {sentence}")
    return mean(
        reference.masked_one_by_one(whole, range(len(whole) - 1 - len(ids), len(whole) - 1))
    )


@torch.no_grad()
def next_sentence_probability(model, tokenizer, context, sentence):
    """P(the sentence follows the context) by a model with a next-sentence head."""
    logits = model(**tokenizer(context, sentence, return_tensors="pt")).logits[0].double()
    return float(torch.exp(logits[0]) / torch.exp(logits).sum())
