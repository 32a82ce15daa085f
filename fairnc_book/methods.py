"""The debiasing methods side by side: what each trains on, how it departs from its paper, what it leaves of the language."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.numbers import MEASURES, METHODS, UNTRAINED, Numbers, Setting, estimate
from fairnc_utils import debias, stats
from fairnc_utils.catalog import METHODS as ENTRIES

PERPLEXITY = MEASURES["perplexity/gap/masked_perplexity"]


def overview(numbers: Numbers, recorded: Mapping[str, Mapping]) -> pd.DataFrame:
    """One row a method: its text and recipe as ``numbers``' runs were made, and their masked
    perplexity on GAP test.

    ``recorded``: run id → provenance (``recording.runs``). ``after`` with its interval is the mean
    over seeds, ``ratio`` with ``ratio_low`` and ``ratio_high`` the same over the untrained model's;
    NaN where no run is recorded.
    """
    rows = []
    for name in METHODS:
        method, runs = debias.get(name), numbers.runs(PERPLEXITY, Setting(name))
        config = recorded.get(runs["run_id"].iloc[-1], {}).get("config", {}) if len(runs) else {}
        ratio = numbers.contrast(PERPLEXITY, UNTRAINED, Setting(name)).ratio
        outcomes = {"after": estimate(runs) if len(runs) else None}
        outcomes["ratio"] = stats.over_seeds(ratio) if len(ratio) else None
        rows.append(
            {
                "method": name,
                "does": ENTRIES.entries[name].line,
                "source": method.source,
                "corpus": method.corpus,
                "departures": method.departures,
                "epochs": config.get("epochs") or method.recipe.epochs,
                "batch_size": config.get("batch_size") or method.recipe.batch_size,
                "texts": config.get("texts"),
                "seeds": len(runs),
            }
            | {
                key: value
                for name, each in outcomes.items()
                for key, value in _ends(name, each).items()
            }
        )
    return pd.DataFrame(rows)


def _ends(name: str, outcome: stats.Estimate | None) -> dict[str, float]:
    """A value and its interval as columns."""
    ends = (outcome.value, outcome.ci_low, outcome.ci_high) if outcome else (float("nan"),) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``overview`` as a reader sees it."""
    shown = pd.DataFrame(
        {
            "method": rows["method"],
            "what it does": rows["does"],
            "paper": rows["source"],
            "trains on": rows["corpus"],
            "not as in the paper": rows["departures"],
            "passes × batch": [
                f"{row.epochs} × {row.batch_size}"
                + ("" if pd.isna(row.texts) else f", first {row.texts:.0f} texts")
                for row in rows.itertuples()
            ],
            "masked perplexity after": [_interval(row, "after") for _, row in rows.iterrows()],
            "÷ untrained": [_interval(row, "ratio") for _, row in rows.iterrows()],
            "seeds": rows["seeds"].map("{:.0f}".format),
        }
    )
    return tables.plain(shown, caption=caption).set_properties(**{"text-align": "left"})


def _interval(row: pd.Series, name: str) -> str:
    return tables.interval(
        pd.Series(
            {"value": row[name], "ci_low": row[f"{name}_low"], "ci_high": row[f"{name}_high"]}
        )
    )


def finding(rows: pd.DataFrame) -> str:
    """Which methods train on stand-in text and which leave a worse language model, in words."""
    stand_in = rows[rows["departures"].str.startswith("stand-in text")]["method"]
    run = rows[rows["ratio"].notna()]
    worse, better = run[run["ratio_low"] > 1], run[run["ratio_high"] < 1]
    worst = run.loc[run["ratio"].idxmax()] if len(run) else None
    said = [f"Trained on stand-in text: {_listed(stand_in)}."]
    if worst is not None:
        said += [
            f"Worse as language models than before, by intervals: {_listed(worse['method'])}; "
            f"better: {_listed(better['method'])}.",
            f"The largest masked perplexity, as a multiple of the untrained model's, is that of {worst['method']}: "
            f"{tables.number(worst['ratio'])}.",
        ]
    return " ".join(said)


def _listed(names: pd.Series) -> str:
    return ", ".join(names) or "none"
