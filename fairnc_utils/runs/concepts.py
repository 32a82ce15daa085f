"""The run that reads the bias of occupations off concept vectors, layer by layer."""

import pandas as pd

from fairnc_utils import corpora, models
from fairnc_utils.benchmarks import concept_bias
from fairnc_utils.runs import checkout
from fairnc_utils.runs.options import ConceptsConfig, configured
from fairnc_utils.runs.rows import Run, make
from fairnc_utils.runs.score import scored
from fairnc_utils.runs.store import stored


@stored
def concepts(**options) -> Run:
    """The benchmark ``concept_bias`` at every hidden layer, as if the model ended there; options: see
    ``ConceptsConfig``.

    Rows and items as of the benchmark, with the number of the layer in the column ``layer``, in items before a
    slash in ``item_id``. Raises ``FairNCError`` where too few words are seen.
    """
    config = configured(ConceptsConfig, options)
    benchmark = concept_bias.CONCEPT_BIAS
    benchmark.check(split=config.split, axis="gender")
    lm = models.load(checkout.located(config.model), device=config.device)
    by_layer = concept_bias.by_layer(lm, benchmark.items(config.split), number=config.sentences)
    results, items = [], []
    for layer, table in enumerate(by_layer, 1):
        rows, scores = scored(
            benchmark,
            table,
            split=config.split,
            axis="gender",
            corpus="bug",
            layer=str(layer),
            method="base",
        )
        results += rows
        items.append(scores.assign(item_id=f"{layer}/" + scores["item_id"]))
    evidence = {"model": lm.fingerprint, "items": corpora.fingerprint(by_layer[0]["item_id"])}
    return make(config, results, pd.concat(items), device=lm.device, evidence=evidence)
