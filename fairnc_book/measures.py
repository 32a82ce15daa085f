"""What the tables of the book show: each number by the columns of its result rows, table by table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import pandas as pd

from fairnc_book import tables
from fairnc_utils.runs import rows as records


@dataclass(frozen=True)
class Measure:
    """One number of a table: its ``metric`` on what (``on``, for people), and the columns ``where`` its result rows are found.

    A tuple in ``where`` names values of which the first that has rows counts. ``quoted``: what published values are filed
    under where that is not the same.
    """

    metric: str
    on: str
    where: Mapping
    quoted: Mapping = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As the table names it, with the ideal value."""
        name, ideal = tables.METRICS[self.metric]
        return f"{name} ({ideal}), {self.on}"

    def rows(self, results: pd.DataFrame, **columns) -> pd.DataFrame:
        """The result rows of this number, computed by this code, that have the given values as well."""
        for column, wanted in {"metric": self.metric, **self.where, **columns}.items():
            if isinstance(wanted, tuple):
                wanted = next((value for value in wanted if (results[column] == value).any()), wanted[0])
            results = results[results[column] == wanted]
        return results

    def quotes(self, results: pd.DataFrame, **columns) -> pd.DataFrame:
        """The published rows of this number, which know no variant, space or cutoff."""
        filed = {key: self.where[key] for key in ("benchmark", "split", "axis") if key in self.where}
        return records.select(results, origin="published", metric=self.metric, **filed | self.quoted, **columns)


def _measures(metrics: str, on: str, *, quoted: Mapping | None = None, **where) -> tuple[Measure, ...]:
    where = {"variant": "corrected", **where}
    return tuple(Measure(metric, on, where, quoted or {}) for metric in metrics.split())


def _collapse(words: str, on: str) -> tuple[Measure, ...]:
    where = {"benchmark": "collapse", "split": "test", "space": "head", "layer": "last", "min_count": 10, "words": words}
    return _measures("nc3 unc3 nc1 nc2_equinorm nc2_equiangular gnc2_sd", on, quoted={"axis": words}, **where)


def _task(name: str, metrics: str, on: str, split: str = "validation") -> tuple[Measure, ...]:
    return _measures(metrics, on, benchmark=name, split=split, axis="")


#: Name → the numbers of a table, in the order in which they are offered.
TABLES: dict[str, tuple[Measure, ...]] = {
    "collapse": (
        *_collapse("gender", "gender words"), *_collapse("random", "random words"), *_collapse("vocabulary", "vocabulary"),
    ),
    "stereoset": (
        *_measures("SS LM ICAT log_ratio", "gender, test", benchmark="stereoset_intra", split="test", axis="gender"),
        *_measures("SS LM ICAT log_ratio", "gender, dev", benchmark="stereoset_intra", split="dev", axis="gender"),
        *_measures("SS LM ICAT log_ratio", "all types, test", benchmark="stereoset_intra", split="test", axis="all"),
        *_measures("SS log_ratio", "gender, test, next sentence", benchmark="stereoset_inter_likelihood", split="test",
                   axis="gender"),
    ),
    "crows": (
        *_measures("stereotype_pct log_ratio", "gender, bias-bench", benchmark="crows_bias_bench", split="all", axis="gender"),
        *_measures("stereotype_pct log_ratio", "gender, official", benchmark="crows_official", split="all", axis="gender"),
    ),
    "bec_pro": tuple(
        measure for axis, held in (("female", "women's"), ("male", "men's"), ("balanced", "balanced"))
        for measure in _measures("gap abs_association_female abs_association_male", f"{held} professions",
                                 benchmark="bec_pro", split="english", axis=axis)
    ),
    "companions": (
        *_measures("slope lean", "60 occupations", benchmark="occupation_slope", split="bls", axis="gender"),
        *_measures("abs_effect_size", "SEAT, gender tests", benchmark="seat", split="gender", axis="all"),
    ),
    "professions": (
        *_measures("TPR-GAP TPR-RMS accuracy", "Bias in Bios", benchmark="bias_in_bios", split="test", axis="gender"),
        *_measures("TPR-GAP TPR-RMS accuracy probability_gap", "BUG (stand-in)", benchmark="bug_profession", split="test",
                   axis="gender"),
    ),
    "inference": _measures("NN FN T:0.5 T:0.7", "occupation pairs", benchmark="bias_nli", split=("all", "sample"),
                           axis="gender", quoted={"split": "test"}),
    "coreference": (
        *(measure for split, kind in product(("dev", "test"), ("type1", "type2"))
          for measure in _measures("TPR answer_probability_gap", f"WinoBias {kind}, {split}", benchmark="winobias",
                                   split=split, axis=kind)),
        *_measures("gotcha_gap answer_probability_gap", "Winogender", benchmark="winogender", split="all", axis="gender"),
        *_measures("f1 f1_ratio", "GAP test", benchmark="gap", split="test", axis="gender"),
    ),
    "understanding": (
        *_measures("masked_perplexity", "GAP test", benchmark="perplexity", corpus="gap", variant=""),
        *_task("cola", "matthews", "CoLA dev"), *_task("sst2", "accuracy", "SST-2 dev"), *_task("mrpc", "f1", "MRPC dev"),
        *_task("stsb", "spearman", "STS-B dev"), *_task("qqp", "f1", "QQP dev"), *_task("mnli", "accuracy", "MNLI dev"),
        *_task("qnli", "accuracy", "QNLI dev"), *_task("rte", "accuracy", "RTE dev"), *_task("wnli", "accuracy", "WNLI dev"),
        *_task("sick", "accuracy", "SICK test (beside GLUE)", "test"),
    ),
}  # fmt: skip
