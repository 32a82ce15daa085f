"""Records of audits and comparisons without a model: what pages are made of in tests."""

import json
from functools import cache
from importlib import resources

import nbformat
import numpy as np
import pandas as pd

from fairnc_book.audit import page
from fairnc_utils import panel
from fairnc_utils.audit import Audit, _numbers
from fairnc_utils.compare import Comparison, judged, paired_tests

#: A name that a browser would run if it were not escaped.
MARKUP = '<img src=x onerror="document.title=1">&"\'<script>document.title = 2</script>'


def _items(seed: int, shift: float) -> pd.DataFrame:
    rng, shares = np.random.default_rng(seed), np.linspace(-0.5, 0.5, 30)
    odds = 2 * shares + shift + np.random.default_rng(0).normal(0, 1, 30) + rng.normal(0, 0.2, 30)
    names = [f"occupation {i}" for i in range(30)]
    table = pd.DataFrame({"item_id": names, "unit": names, "score_a": odds, "score_c": shares})
    return table.assign(score_b=0.0, axis="gender")


@cache
def _part() -> panel.Part:
    ((part,), _) = panel.parts(["masked"], ["occupation_slope:bls"])
    return part


def comparison(margins: dict[str, float] | None = None) -> Comparison:
    """Two simulated models on one benchmark."""
    tests = judged(paired_tests(_part(), _items(1, 0.0), _items(2, 0.4)), margins or {"slope": 0.3})
    return Comparison("models/old", MARKUP, tests, {MARKUP: MARKUP}, panel.provenance())


def audit() -> Audit:
    """An audit of a simulated model against another one."""
    numbers = _numbers(_part(), [_items(2, 0.4), _items(1, 0.0)])
    tests = judged([number.test for number in numbers])
    numbers = [type(n)(**{**vars(n), "test": t}) for n, t in zip(numbers, tests, strict=True)]
    rng = np.random.default_rng(0)
    lists = {
        kind: {
            "nc3": rng.normal(0.5, 0.05, 100).tolist(),
            "unc3": rng.normal(0.1, 0.01, 100).tolist(),
        }
        for kind in ("random", "matched")
    }
    words = {
        "list": "gender",
        "words": 20,
        "nc3": 0.4,
        "unc3": 0.13,
        "lists": lists,
        "percentiles": {"random/nc3": 2.0, "matched/nc3": 4.0, "random/unc3": 97.0},
    }
    model = {
        "name": MARKUP,
        "kind": "masked",
        "family": MARKUP,
        "parameters": 3,
        "fingerprint": "0",
    }
    told = {
        "models": [model],
        "minutes": 3.0,
        "budget_minutes": 2.0,
        "items": {"a": [20, 40]},
        "seed": 0,
    }
    provenance = panel.provenance() | told
    return Audit(
        MARKUP, "models/old", tuple(numbers), {MARKUP: words}, {MARKUP: MARKUP}, provenance
    )


def notebook():
    """The audit's notebook as papermill leaves it, of the simulated model."""
    source = resources.files("fairnc_book.audit").joinpath("audit.ipynb").read_text()
    executed = nbformat.reads(source, as_version=4)
    names = {"page": page, "record": audit().record()}
    for cell in executed.cells:
        if (
            cell.cell_type == "code"
            and cell.source.startswith("page.")
            and "style" not in cell.source
        ):
            call, _, rest = cell.source.partition("(")
            arguments = [part.strip() for part in rest.rstrip(")").split(",")]
            values = [names.get(each, each.strip('"')) for each in arguments]
            shown = getattr(page, call.removeprefix("page."))(*values)
            data = {"text/html": shown._repr_html_()}
            cell.outputs = [nbformat.v4.new_output("display_data", data)]
    return executed


def audit_page() -> str:
    """The page of the simulated audit."""
    return page.of_notebook(notebook(), title=f"Audit of {MARKUP}")


def comparison_page() -> str:
    """The page of the simulated comparison, by way of its JSON."""
    return page.rendered(json.loads(comparison().json()), "comparison.json")
