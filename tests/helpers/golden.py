"""Golden numbers of the embedded model: what its published file measures, to notice when any of it
moves.

``python tests/golden.py`` writes ``tests/golden.json`` again; do so only after a change that is
meant to move them.
"""

import json
from pathlib import Path

from fairnc_utils import batching, corpora, models, words
from fairnc_utils.benchmarks import get
from fairnc_utils.collapse import VARIANTS, ClassStatistics, measure
from fairnc_utils.perplexity import masked_perplexity

FILE = Path(__file__).with_name("golden.json")

#: Metrics in percent, which are compared to 0.01; all others to a relative 1e-4.
PERCENT = {"LM", "SS", "ICAT", "stereotype_pct", "stereo_pct", "antistereo_pct"}

#: A mean of differences that cancel. CrowS-Pairs' scores are rounded to three decimals: each one that another order of float32
#: sums rounds the other way moves the mean over 262 pairs by 4e-6; five of them are allowed.
NEAR_ZERO = {"log_ratio": 2e-5}


def benchmark(name, rows):
    """Metric → value from item scores."""
    return {metric: estimate.value for metric, estimate in get(name).estimates(rows).items()}


def collapse(lm):
    """Collapse of the gender words on the first 200 texts of GAP validation, both variants."""
    statistics = ClassStatistics(*lm.weight.shape)
    texts = corpora.load("gap", "validation")["text"][:200]
    sequences = batching.tokenize(texts, lm.tokenizer, max_length=lm.max_length)
    for batch in batching.bucketed(sequences, pad_id=lm.tokenizer.pad_token_id):
        statistics.update(*lm.labelled_features(batch.input_ids, batch.attention_mask))
    ids = words.load("gender", lm.tokenizer).token_ids
    measured = {
        variant: measure(statistics, lm.weight, classes=ids, variant=variant)
        for variant in VARIANTS
    }
    counts = {
        "classes": len(measured["corrected"].classes),
        "samples": int(measured["corrected"].counts.sum()),
    }
    return {
        variant: {name: x.item() for name, x in f.metrics().items()}
        for variant, f in measured.items()
    } | counts


def perplexity(lm):
    """Masked perplexity on the first 48 texts of GAP validation."""
    texts = corpora.load("gap", "validation")["text"][:48]
    return {"gap_validation_48": masked_perplexity(lm, batching.tokenize(texts, lm.tokenizer))}


def every(lm):
    """All golden numbers by source."""
    return {
        "stereoset_intra dev gender": benchmark(
            "stereoset_intra", get("stereoset_intra").run(lm, split="dev", axis="gender")
        ),
        "crows_bias_bench gender": benchmark(
            "crows_bias_bench", get("crows_bias_bench").run(lm, split="all", axis="gender")
        ),
        "collapse gap validation gender": collapse(lm),
        "perplexity": perplexity(lm),
    }


if __name__ == "__main__":
    FILE.write_text(
        json.dumps(every(models.load("models/minilm-mlm", device="cpu")), indent=2) + "\n"
    )
