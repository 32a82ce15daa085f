"""The weights at which regularizers pull as hard as their tasks: measured once, kept as
``config/doses.csv``.

One row a model, method and regularizer. ``weight`` is λ (or μ) at dose 1, two digits, measured on a
CPU in float32 so that it comes out the same wherever it is measured again; at dose d it is d times
that.
"""

import csv
import io
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import torch

from fairnc_utils import dose, models
from fairnc_utils._atomic import write_atomic
from fairnc_utils._io import user_table
from fairnc_utils.debias import get as get_method
from fairnc_utils.debias import regularizers
from fairnc_utils.debias import train as debiasing
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs import checkout
from fairnc_utils.runs.options import Debiasing

#: The table, in the project.
FILE = "config/doses.csv"

#: What makes its rows.
COMMAND = "fairnc doses --config PROFILE.YAML"

_DIGITS = 12  # of a model's fingerprint


@dataclass(frozen=True)
class Measured:
    """One row: ``regularizer`` is the label without its dose, ``fingerprint`` that of the model's
    weights.
    """

    model: str
    fingerprint: str
    method: str
    regularizer: str
    weight_at_1: float

    def weight(self, dose: float) -> float:
        """The weight at a dose."""
        return float(f"{dose * self.weight_at_1:.2g}")

    def require(self, lm: LanguageModel) -> None:
        """Raise ``FairNCError`` unless it was measured on these weights."""
        if lm.fingerprint[:_DIGITS] != self.fingerprint:
            raise FairNCError(
                f"dose: {FILE} was measured on other weights of {self.model}: delete its rows and run `{COMMAND}`"
            )


def read(file: str | Path | None = None) -> list[Measured]:
    """The rows of the table; none where there is no table."""
    file = Path(file or checkout.root() / FILE)
    if not file.exists():
        return []
    names = [field.name for field in fields(Measured)]
    rows = []
    for line, row in user_table(str(file), names):
        try:
            rows.append(Measured(**row | {"weight_at_1": float(row["weight_at_1"])}))
        except (TypeError, ValueError):
            raise FairNCError(
                f"{file}, line {line}: weight_at_1 is {row['weight_at_1']!r}, no number"
            ) from None
    return rows


def find(model: str, method: str, label: RegularizerLabel) -> Measured:
    """The row of a model, method and regularizer. Raises ``FairNCError`` with the command that
    makes it if there is none.
    """
    wanted = (model, method, str(replace(label, dose=None)))
    for row in read():
        if (row.model, row.method, row.regularizer) == wanted:
            return row
    raise FairNCError(
        f"no dose of {wanted[2]} was measured for {method} on {model}: run `{COMMAND}`, or give lam"
    )


def measure(
    treatments: Iterable[tuple[str, Debiasing, RegularizerLabel]],
    file: str | Path | None = None,
    *,
    jobs: int = 1,
) -> Iterator[Measured]:
    """Measure what the table lacks of those that have a dose, each on the model of that name; the
    table is saved after each.

    ``jobs``: processes side by side.
    """
    file = Path(file or checkout.root() / FILE)
    rows = read(file)
    there = {(row.model, row.method, row.regularizer) for row in rows}
    missing = {
        key: treatment
        for treatment in treatments
        if treatment[2].dose is not None and (key := _key(*treatment)) not in there
    }
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        done = [pool.submit(_measured, *treatment) for treatment in missing.values()]
        for future in as_completed(done):
            rows.append(future.result())
            write_atomic(file, _csv(rows))
            yield rows[-1]


def _key(model: str, options: Debiasing, label: RegularizerLabel) -> tuple[str, str, str]:
    return model, options.method, str(replace(label, dose=None))


def _measured(model: str, options: Debiasing, label: RegularizerLabel) -> Measured:
    # the order of sums, and with it the last digits, depends on their number
    torch.set_num_threads(1)
    lm, method = models.load(checkout.located(model), device="cpu"), get_method(options.method)
    words = label.words or label.usual_words
    ratio = debiasing.gradient_ratio(
        lm,
        method,
        regularizers.options(label, method),
        batch_size=options.batch_size,
        texts=options.texts,
        **({"nc3_words": words} if words else {}),
    )
    _, name, regularizer = _key(model, options, label)
    return Measured(model, lm.fingerprint[:_DIGITS], name, regularizer, dose.weight(1.0, ratio))


def _csv(rows: list[Measured]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.name for field in fields(Measured)])
    table.writerows(
        sorted(astuple(replace(row, weight_at_1=f"{row.weight_at_1:g}")) for row in rows)
    )
    return text.getvalue()
