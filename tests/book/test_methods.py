"""The table of methods: numbers from recorded runs, words from the methods themselves."""

import numpy as np
import pandas as pd
import pytest

from fairnc_book import figures, methods
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
    assert "not those of their papers: mabel, ase, adept." in said
    assert "by intervals: ase; better: bec." in said
    assert said.endswith("is that of ase: 4.50.")
    nothing = methods.overview(Numbers(pd.DataFrame(columns=list(RESULT_COLUMNS)), model="m"), {})
    assert methods.finding(nothing) == (
        "These methods train on stand-in text, so they are not those of their papers: mabel, ase, adept."
    )


@pytest.mark.parametrize(
    ("plain", "expected"), [(-1.5, "Most"), (-0.5, "A part"), (0.5, "Nothing")]
)
def test_debiasing_stands_beside_plain_training(plain, expected):
    place = methods.STEREOTYPES.where | {"metric": methods.STEREOTYPES.name}
    values = [("base", 0, 56.0)]
    values += [(name, i, 56.0 + by) for name, by in (("mlm", plain), ("bec", -2.0)) for i in (0, 1)]
    numbers = Numbers(pd.DataFrame([row(*each) | place for each in values]), model="m")
    said = methods.beside_plain(numbers, "bec")
    assert said.startswith(f"{expected} of what bec changes on StereoSet, plain training")
    assert "bec −2.00" in said
    assert "not run" in methods.beside_plain(numbers, "cda")


def test_a_chapter_says_which_weight_it_shows_and_which_others_do():
    chosen = Numbers(pd.DataFrame([row("base", 0, 20.0)]), model="m", weights={"bec": 1.0})
    assert methods.weight(chosen, "bec", 100.0) == (
        "NC3 has λ = 100 here, the weight of the released script for bec. Where methods are compared, in the chapters on "
        "claims and tables, each has the λ that StereoSet's development part chooses: for bec that is 1."
    )
    assert methods.weight(chosen, "bec", 1.0).endswith("development part chooses.")
    assert methods.weight(chosen, "cda", 3.0) == "NC3 has λ = 3 here."
    assert methods.weight(chosen, "bec", np.nan) == "No run with NC3 is here."


def test_the_recorded_long_run_is_read_from_the_executed_chapter(tmp_path):
    curves, lam = methods.recorded_curves()
    assert list(curves) == ["bec, NC3 none", "bec, NC3 corrected", "bec, NC3 as released"]
    assert lam == 100
    for table in curves.values():
        assert set(table["unit"]) == set(figures.training.CURVES)
        assert table["item_id"].max() == 1116
    start = [table[table["unit"] == "nc3"]["score_a"].iloc[0] for table in curves.values()]
    assert start == pytest.approx([start[0]] * 3)  # the untrained model
    figure = figures.training_curves(curves, name="fig-x", about="Long.", small=True)
    assert len(figure.data) == 12
    assert methods.recorded_curves(tmp_path / "none.ipynb")[0] == {}
