"""What was aimed at, and whether the recorded figures reach it."""

import re
from dataclasses import dataclass

from speed.timing import Row


@dataclass(frozen=True)
class Goal:
    """A bound on every figure of a benchmark whose quantity matches a pattern and whose case
    contains some text.

    ``least`` is the smallest value that is good enough, ``most`` the largest; one of them is given.
    """

    device: str
    benchmark: str
    quantity: str
    case: str = ""
    least: float | None = None
    most: float | None = None

    def worst(self, rows: list[Row]) -> Row | None:
        """The figure that is farthest from good; None where nothing was measured."""
        candidates = [
            row
            for row in rows
            if row.benchmark == self.benchmark
            and self.case in row.case
            and re.fullmatch(self.quantity, row.quantity)
        ]
        pick = max if self.least is None else min
        return pick(candidates, key=lambda row: row.value, default=None)

    def verdict(self, row: Row) -> str:
        """Whether a figure is within the bound, and its interval too."""
        if not self._holds(row.value):
            return "no"
        worse_end = row.ci_high if self.least is None else row.ci_low
        return (
            "yes" if worse_end != worse_end or self._holds(worse_end) else "yes, its interval not"
        )

    def _holds(self, value: float) -> bool:
        return value <= self.most if self.least is None else value >= self.least


GOALS = (
    Goal("cpu", "measurement", "measurement / bare forward", most=1.10),
    Goal("cpu", "accumulation", "one-hot / update", "float64", least=300),
    Goal("cpu", "accumulation", "one-hot / update", "float32", least=1000),
    Goal("cpu", "kernels", "released CDNV, default patch .*", least=500),
    Goal("cpu", "kernels", "released log kernel, default patch .*", least=500),
    Goal("cpu", "kernels", "released CDNV, best patch .*", least=10),
    Goal("cpu", "kernels", "released log kernel, best patch .*", least=5),
    Goal("cpu", "pairwise", "all metrics of means and rows", "K = 30,000", most=30),
    Goal("cpu", "pairwise", "peak memory of the process", "K = 30,000", most=2),
    Goal("cpu", "scoring", "one sentence at a time / ours", least=4),
    Goal("cpu", "scoring", "ours / bare forward and decoder", most=1.25),
    Goal("cpu", "regularizer", "step with R / step without", most=1.05),
    Goal("cuda", "regularizer", "step with R / step without", "32 × 40 tokens", most=1.08),
    Goal("cuda", "regularizer", "step with R / step without", "400 × 40 tokens", most=1.03),
    Goal("cuda", "scoring", "one sentence at a time, by that sample / ours", least=50),
    Goal("cuda", "scoring", "ours / bare forward and decoder", most=1.5),
    Goal("cuda", "scoring", "ours, text to scores", most=1.5),
    Goal("cuda", "measurement", "measurement / bare forward", most=1.10),
    Goal("cuda", "large", "measurement / bare forward", most=1.05),
    Goal("cuda", "large", "all metrics of means and rows", most=6),
    Goal("cuda", "large", "peak memory, statistics and rows included", most=30),
    Goal("cuda", "training", "1260 steps", "captured, bfloat16", most=22),
    Goal("cuda", "training", "the same by run", most=12),
)
