"""The run that turns the rows of *she* and *he* at constant NC3 and UNC3, and watches the
occupation slope.
"""

from math import pi, sin

import pandas as pd
import torch

from fairnc_utils import collapse, models, words
from fairnc_utils.benchmarks import occupations
from fairnc_utils.duality import slope_range, turned
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.measure import reading_of
from fairnc_utils.runs.options import TurningConfig, configured
from fairnc_utils.runs.rows import Run, make
from fairnc_utils.runs.store import stored
from fairnc_utils.swap import PRONOUNS

#: Cosines between row and class mean at which the range of slopes is given: even steps of the angle, as it narrows fastest
#: towards 1.
COSINES = tuple(round(sin(pi / 40 * step), 4) for step in range(21))


@stored
def turning(**options) -> Run:
    """Slope and lean of classifiers that differ by nothing that NC3, UNC3 or R can see; options:
    see ``TurningConfig``.

    Rows, benchmark ``turning``: ``slope``, ``lean``, ``nc3`` and ``unc3`` with variant ``angle
    <degrees>`` for rows turned from the greatest slope (0) to the least (180), and with variant
    ``model`` for the model as it is; ``slope_least`` and ``slope_greatest`` with variant ``cosine
    <ρ>``, the ends of what rows of the mean norm can have at that cosine. Items: each occupation's
    log-odds (``score_a``) and share of women − ½ (``score_c``), ``item_id``
    ``<variant>:<occupation>``. Raises ``FairNCError`` for a causal model and where *she* or *he* is
    not seen often enough.
    """
    config = configured(TurningConfig, options)
    reading = reading_of(config)
    lm, statistics = reading.lm, reading.statistics
    slots = occupations.slots(lm, config.shares)
    gender = words.load("gender", lm.tokenizer)
    seen = statistics.seen(gender.token_ids, min_count=config.min_count)
    pronouns = torch.tensor([models.single_token_id(lm.tokenizer, word) for word in PRONOUNS])
    if not torch.isin(pronouns, seen.cpu()).all():
        raise FairNCError(
            f"she and he need {config.min_count} samples each: give more texts, or lower min_count"
        )
    centred = statistics.means(pronouns) - statistics.means(seen).mean(0)
    centred = centred.to(slots.features)
    pair = lm.weight.detach()[pronouns]
    shift = 0.0 if lm.bias is None else -float(lm.bias.detach()[pronouns].diff())
    ways = {"model": pair} | {
        f"angle {degrees:g}": turned(pair, centred, slots.kappa, degrees * pi / 180)
        for degrees in torch.linspace(0, 180, config.angles).tolist()
    }
    results, items = [], []
    for name, rows_of_pair in ways.items():
        edited = lm.weight.detach().clone()
        edited[pronouns] = rows_of_pair
        measured = collapse.measure(
            statistics, edited, classes=seen, min_count=config.min_count, groups=1
        ).metrics()
        log_odds = (slots.features @ (rows_of_pair[0] - rows_of_pair[1]) + shift).cpu().numpy()
        share = slots.share.cpu().numpy()
        values = {
            "slope": occupations.slope(log_odds, share, -1),
            "lean": occupations.lean(log_odds, share, -1),
            "nc3": measured["nc3"],
            "unc3": measured["unc3"],
        }
        results += [
            {"variant": name, "metric": metric, "value": float(value)}
            for metric, value in values.items()
        ]
        items.append(
            pd.DataFrame({"unit": slots.names, "score_a": log_odds, "score_c": share}).assign(
                item_id=[f"{name}:{occupation}" for occupation in slots.names]
            )
        )
    norm = pair.norm(dim=-1).mean().expand(2)
    for cosine in COSINES:
        ends = slope_range(centred, slots.kappa, torch.full_like(norm, cosine), norm)
        results += [
            {"variant": f"cosine {cosine:g}", "metric": f"slope_{end}", "value": value}
            for end, value in zip(("least", "greatest"), ends, strict=True)
        ]
    common = {"benchmark": "turning", "axis": "gender", "min_count": config.min_count}
    return make(
        config,
        [reading.columns | common | {"words": "gender"} | row for row in results],
        pd.concat(items, ignore_index=True).assign(
            benchmark="turning", split=reading.split, axis="gender"
        ),
        device=lm.device,
        evidence={"reading": reading.fingerprint, "shares": config.shares},
    )
