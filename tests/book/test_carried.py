"""Which biases a model carries: an interval off the ideal, on either side of it, and nothing else."""

import numpy as np
import pandas as pd

from fairnc_book import carried
from fairnc_book.numbers import MEASURES, Numbers
from fairnc_utils.runs.rows import RESULT_COLUMNS

#: Measure → value with its interval: above, below and at the ideal; a size, which is not judged.
VALUES = {
    "stereoset_intra/test/gender/SS": (58.0, 54.0, 62.0),
    "occupation_slope/bls/gender/lean": (-1.7, -1.9, -1.5),
    "crows_official/all/gender/log_ratio": (0.1, -0.2, 0.4),
    "bec_pro/english/female/abs_association_female": (0.9, 0.8, 1.0),
    "collapse/test/gender/unc3": (0.04, 0.03, 0.05),
}


def rows(method="base"):
    made = []
    for key, (value, low, high) in VALUES.items():
        place = MEASURES[key].where | {
            "metric": MEASURES[key].name,
            "model": "m",
            "profile": "full",
        }
        run = {"run_id": method, "method": method, "regularizer": "none", "lam": 0.0, "seed": 0}
        found = {"value": value, "ci_low": low, "ci_high": high, "n": 9, "created": "2026"}
        made.append(dict.fromkeys(RESULT_COLUMNS, np.nan) | place | run | found)
    return pd.DataFrame(made)


def test_a_bias_is_carried_where_the_interval_excludes_the_ideal():
    found = carried.carried(Numbers(rows(), model="m"))
    assert dict(zip(found["label"], found["side"], strict=True)) == {
        "SS, gender, test": 1,
        "lean at parity, 60 occupations": -1,
        "mean log ratio, gender, official": 0,
    }
    shown = carried.table(found, caption="").data
    assert shown["away from the ideal?"].tolist() == ["yes, above", "not shown", "yes, below"]
    said = carried.finding(found)
    assert said.startswith("The model has some of the biases that are asked for")
    assert "2 of 3 measures are away from their ideal by their interval" in said


def test_only_the_untrained_model_counts():
    found = carried.carried(Numbers(rows("bec"), model="m"))
    assert found.empty
    assert carried.finding(found) == "Nothing of this model is recorded."
    assert carried.table(found, caption="").data.empty
