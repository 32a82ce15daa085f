"""The table of methods: numbers from recorded runs, words from the methods themselves."""

import numpy as np
import pandas as pd
import pytest

from fairnc_book import methods
from fairnc_book.numbers import METHODS, Numbers
from fairnc_utils import debias
from fairnc_utils.runs.rows import RESULT_COLUMNS

#: Method → masked perplexity by seed; the untrained model has 20.
PERPLEXITIES = {"bec": (19.0, 19.2, 18.8), "ase": (80.0, 90.0, 100.0)}


def row(method, seed, value):
    run = {"run_id": f"{method}{seed}", "method": method, "seed": seed, "value": value, "lam": 0.0}
    place = {"metric": "masked_perplexity", "model": "m", "profile": "full", "regularizer": "none"}
    return (
        dict.fromkeys(RESULT_COLUMNS, np.nan)
        | methods.PERPLEXITY.where
        | place
        | run
        | {"created": "2026"}
    )


@pytest.fixture
def overview():
    rows = [row("base", 0, 20.0)]
    rows += [row(name, i, value) for name, of in PERPLEXITIES.items() for i, value in enumerate(of)]
    recorded = {"ase2": {"config": {"epochs": 2, "batch_size": None, "texts": 400}}}
    return methods.overview(Numbers(pd.DataFrame(rows), model="m"), recorded).set_index("method")


def test_every_method_says_how_it_departs_from_its_paper():
    for name in METHODS:
        assert debias.get(name).departures, name
        assert not debias.get(name).departures.endswith(".")


def test_perplexity_is_the_mean_over_seeds_and_its_ratio_to_the_untrained(overview):
    assert list(overview.index) == list(METHODS)
    assert overview.loc["bec", "after"] == pytest.approx(19)
    assert overview.loc["bec", "ratio"] == pytest.approx(0.95)
    assert overview.loc["ase", "ratio"] == pytest.approx(4.5)
    assert overview.loc["ase", "seeds"] == 3
    assert overview.loc["cda", ["after", "ratio", "ratio_low"]].isna().all()


def test_length_is_that_of_the_recorded_run_or_as_published(overview):
    assert overview.loc["ase", ["epochs", "batch_size", "texts"]].tolist() == [2, 6, 400]
    recipe = debias.get("bec").recipe
    assert overview.loc["bec", ["epochs", "batch_size"]].tolist() == [
        recipe.epochs,
        recipe.batch_size,
    ]
    assert overview.loc["bec", "texts"] is None or pd.isna(overview.loc["bec", "texts"])


def test_what_a_reader_sees(overview):
    rows = overview.reset_index()
    shown = methods.table(rows, caption="").data.set_index("method")
    assert shown.loc["ase", "passes × batch"] == "2 × 6, first 400 texts"
    assert shown.loc["cda", "÷ untrained"] == "–"
    assert shown.loc["bec", "÷ untrained"].startswith("0.950 [0.9")
    said = methods.finding(rows)
    assert "stand-in text: mabel, ase, adept." in said
    assert "by intervals: ase; better: bec." in said
    assert said.endswith("is that of ase: 4.50.")
    nothing = methods.overview(Numbers(pd.DataFrame(columns=list(RESULT_COLUMNS)), model="m"), {})
    assert methods.finding(nothing) == "Trained on stand-in text: mabel, ase, adept."
