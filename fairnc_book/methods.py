"""The debiasing methods side by side: what each trains on, how it departs from its paper, what it leaves of the language."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.figures.training import CURVES
from fairnc_book.numbers import MEASURES, METHODS, UNTRAINED, Numbers, Setting, estimate
from fairnc_utils import debias, stats
from fairnc_utils.catalog import METHODS as ENTRIES
from fairnc_utils.regularizer import RELEASED_WEIGHTS
from fairnc_utils.runs import checkout

PERPLEXITY = MEASURES["perplexity/gap/masked_perplexity"]
STEREOTYPES = MEASURES["stereoset_intra/test/gender/SS"]
#: Plain training on the same text.
PLAIN = "mlm"
#: The chapter on training as it was executed at full length.
EXECUTED = "book/recorded/training-on-a-gpu.ipynb"


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
    return tables.left(tables.plain(shown, caption=caption))


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
    said = [
        f"These methods train on stand-in text, so they are not those of their papers: {_listed(stand_in)}."
    ]
    if worst is not None:
        said += [
            f"Worse as language models than before, by intervals: {_listed(worse['method'])}; "
            f"better: {_listed(better['method'])}.",
            f"The largest masked perplexity, as a multiple of the untrained model's, is that of {worst['method']}: "
            f"{tables.number(worst['ratio'])}.",
        ]
    return " ".join(said)


def beside_plain(numbers: Numbers, method: str) -> str:
    """How much of a method's change of SS plain training on the same text makes as well, in words."""
    changes = {
        name: numbers.contrast(STEREOTYPES, UNTRAINED, Setting(name)).difference
        for name in (PLAIN, method)
    }
    if not all(map(len, changes.values())):
        return f"Whether {method} does more than plain training is not run."
    plain, debiased = (stats.over_seeds(change) for change in changes.values())
    share = plain.value / debiased.value if debiased.value else float("nan")
    how = "Most" if share > 0.5 else "A part" if share > 0 else "Nothing"
    said = "; ".join(
        f"{name} {_interval(pd.Series(_ends('change', change)), 'change')}"
        for name, change in ((PLAIN, plain), (method, debiased))
    )
    return (
        f"{how} of what {method} changes on StereoSet, plain training on the same text changes as well. "
        f"Change of SS in points: {said}."
    )


def weight(numbers: Numbers, method: str, lam: float) -> str:
    """Which λ of NC3 a chapter shows for a method, and which one others show, in words."""
    if not lam > 0:
        return "No run with NC3 is here."
    chosen = numbers.weights.get(method)
    said = f"NC3 has λ = {lam:g} here"
    if lam == RELEASED_WEIGHTS.get(method):
        said += f", the weight of the released script for {method}"
    if chosen is None:
        return f"{said}."
    if chosen == lam:
        return f"{said}. It is also the λ that StereoSet's development part chooses."
    return (
        f"{said}. Where methods are compared, in the chapters on claims and tables, each has the λ that StereoSet's "
        f"development part chooses: for {method} that is {chosen:g}."
    )


def recorded_curves(executed: Path | None = None) -> tuple[dict[str, pd.DataFrame], float]:
    """Learning curves of the chapter on training as it was executed at full length, and its λ: label
    of a run → table as ``runs.train`` has it. Nothing where the executed chapter is not there.
    """
    path = executed or checkout.root() / EXECUTED
    curves: dict[str, list[pd.DataFrame]] = {}
    if not path.exists():
        return {}, np.nan
    cells = json.loads(path.read_text())["cells"]
    settings = "".join(
        line for cell in cells for line in cell["source"] if line.startswith("lam = ")
    )
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    shown = next(data[_PLOTLY] for data in outputs if _PLOTLY in data)
    panels = list(dict.fromkeys(trace["xaxis"] for trace in shown["data"]))
    for trace in shown["data"]:
        values = {
            "item_id": _numbers(trace["x"]),
            "score_a": _numbers(trace["y"]),
            "unit": list(CURVES)[panels.index(trace["xaxis"])],
        }
        label = trace["name"].replace("_", " ")
        curves.setdefault(label, []).append(pd.DataFrame(values))
    lam = float(settings.splitlines()[-1].partition("=")[2])
    return {label: pd.concat(parts) for label, parts in curves.items()}, lam


_PLOTLY = "application/vnd.plotly.v1+json"


def _numbers(values: list | dict) -> np.ndarray:
    """Numbers of a trace, which plotly writes as a list or as bytes."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return np.array(values)


def _listed(names: pd.Series) -> str:
    return ", ".join(names) or "none"
