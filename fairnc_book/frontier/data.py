"""What the second edition compares: treatments, arms and doses; what is measured; where the rows
are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairnc_book.numbers import MEASURES, Cell, Measure, Numbers
from fairnc_utils.benchmarks import occupations
from fairnc_utils.runs.rows import recorded, recorded_units, select

#: Profile of the recorded runs that are read.
EDITION = "second"

#: Dose at which treatments are judged.
DOSE = 0.3
DOSES = (0.1, DOSE, 1.0)

#: Name of the causal model, whose cells are ``CAUSAL_METHODS`` × ``TREATMENTS``.
CAUSAL = "smollm2"
CAUSAL_METHODS = ("clm", "cda")

#: Methods of the main cells on the embedded model.
METHODS = ("mlm", "bec", "cda", "mabel", "adept")

#: Treatment → label of its regularizer without the dose.
TREATMENTS = {"uniform": "repaired", "both": "repaired,kind=both", "swap": "swap"}

#: Variant of swap collapse → the same.
ARMS = {
    "ratio form": "swap,form=ratio",
    "evidence pairs only": "swap,pairs=evidence",
    "even part alone": "swap,form=even",
    "with the occupations' sentences": "swap,occupations=True",
    "BUG's texts added": "swap,texts=gap+bug",
    "both of these": "swap,occupations=True,texts=gap+bug",
    "names swapped": "swap,names=True",
}

#: Splits of the occupation slope that keep occupations which the pairs of an arm name rarely.
RARE = ("bls_rare_in_gap_pairs", "bls_rare_in_gap_bug_pairs")


@dataclass(frozen=True)
class Outcome:
    """A number that a treatment may change: its ``label`` in tables, and where its rows are.

    ``bound``: how far the upper 95% bound of a change for the worse may reach; None: any change may
    be. ``worse``: the sign of such a change. ``logarithm``: changes are those of ln value.
    ``digits``: decimals that changes are shown with.
    """

    label: str
    measure: Measure
    bound: float | None = None
    worse: int = 1
    logarithm: bool = False
    digits: int = 3


def _measure(benchmark: str, split: str, axis: str, name: str) -> Measure:
    where = {"benchmark": benchmark, "split": split, "axis": axis, "variant": "corrected"}
    return Measure(name, axis, where)


#: Metric of the rows of this module → the outcome. Bounds are those of the plan.
OUTCOMES = {
    "slope": Outcome("occupation slope", MEASURES["occupation_slope/bls/gender/slope"]),
    "lean": Outcome("lean at parity", MEASURES["occupation_slope/bls/gender/lean"]),
    "log_loss": Outcome(
        "log loss of the right pronoun",
        _measure("gender_agreement", "test", "all", "log_loss"),
        bound=0.03,
    ),
    "accuracy": Outcome(
        "accuracy %",
        _measure("gender_agreement", "test", "all", "accuracy"),
        bound=2.0,
        worse=-1,
        digits=2,
    ),
    "log_perplexity": Outcome(
        "log perplexity",
        MEASURES["perplexity/gap/masked_perplexity"],
        bound=0.02,
        logarithm=True,
    ),
    "accuracy_names": Outcome(
        "accuracy % where only names tell",
        _measure("gender_agreement", "test", "names", "accuracy"),
        worse=-1,
        digits=2,
    ),
    "even_rms": Outcome("even part", _measure("swap_collapse", "gap", "all", "even_rms")),
    "odd_mean": Outcome("odd part", _measure("swap_collapse", "gap", "all", "odd_mean")),
    "swap_collapse": Outcome(
        "swap collapse", _measure("swap_collapse", "gap", "all", "swap_collapse")
    ),
    "neutral_part": Outcome(
        "neutral part", _measure("swap_collapse", "gap", "all", "neutral_part")
    ),
    "slope_rare_gap": Outcome(
        "slope over those rare in GAP's pairs",
        _measure("occupation_slope", RARE[0], "gender", "slope"),
    ),
    "slope_rare_gap_bug": Outcome(
        "slope over those rare in GAP's and BUG's",
        _measure("occupation_slope", RARE[1], "gender", "slope"),
    ),
    "bec_women": Outcome(
        "BEC-Pro of women", MEASURES["bec_pro/english/all/abs_association_female"]
    ),
    "bec_men": Outcome("BEC-Pro of men", MEASURES["bec_pro/english/all/abs_association_male"]),
    "winobias_type1": Outcome(
        "WinoBias type 1", _measure("winobias_zero_shot", "test", "type1", "log_ratio")
    ),
    "winobias_type2": Outcome(
        "WinoBias type 2", _measure("winobias_zero_shot", "test", "type2", "log_ratio")
    ),
    "net_neutral": Outcome("net neutral of Bias-NLI", MEASURES["bias_nli/all|sample/gender/NN"]),
}

#: What must be kept.
KEPT = tuple(name for name, outcome in OUTCOMES.items() if outcome.bound is not None)
#: What a change is judged by.
JUDGED = ("slope", *KEPT)
#: What tables of changes show: that, and what no bound keeps.
SHOWN = (*JUDGED, "accuracy_names")
#: Fairness that is measured in another way, or after another training.
TRANSFER = ("bec_women", "bec_men", "winobias_type1", "winobias_type2", "net_neutral")

# ---------------------------------------------------------------- rows


def bases(
    studied: str, *, edition: str = EDITION, rare: Iterable[str] = RARE
) -> dict[str, Numbers]:
    """Base → its numbers and unit scores: the one ``studied``, recorded or not, then the edition's
    other masked ones. The causal model is looked at apart.

    ``rare``: splits of the occupation slope that ``with_rare`` adds.
    """
    results, units = select(recorded(), profile=edition), None
    others = [] if studied == CAUSAL else [base for base in results["model"] if base != CAUSAL]
    names = list(dict.fromkeys([studied, *others]))
    results = select(results, model=names)
    if len(results):
        units = recorded_units()
        units = units[units["run_id"].isin(results["run_id"].unique())]
        results, units = with_rare(results, units, rare)
    return {base: Numbers(results, units, model=base, edition=edition) for base in names}


def with_rare(
    results: pd.DataFrame, units: pd.DataFrame, splits: Iterable[str] = RARE
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both with the rows of splits of the occupation slope that keep some occupations only: what
    scoring them would give, since their sentences are those of ``bls``. Slopes have no interval of
    their own; runs that were scored on a split keep that.
    """
    of_slope = select(results, benchmark="occupation_slope", axis="gender", metric="slope")
    slopes = of_slope[of_slope["split"] == "bls"]
    scored = select(units, benchmark="occupation_slope", split="bls", axis="gender")
    more, more_units = [], []
    for split in splits if len(scored) else ():
        kept = set(occupations.load(split)["occupation"])
        done = of_slope.loc[of_slope["split"] == split, "run_id"]
        part = scored[scored["unit"].isin(kept) & ~scored["run_id"].isin(done)].assign(split=split)
        if part.empty:
            continue
        wide = part.pivot(index="run_id", columns=["column", "unit"], values="value")
        ends = (wide[column].sort_index(axis=1).to_numpy() for column in ("log_odds", "share"))
        values = pd.Series(occupations.slope(*ends, axis=-1), wide.index)
        rows = slopes[slopes["run_id"].isin(values.index)]
        more.append(
            rows.assign(
                split=split,
                value=rows["run_id"].map(values),
                ci_low=np.nan,
                ci_high=np.nan,
                n=len(kept),
            )
        )
        more_units.append(part)
    return (
        pd.concat([results, *more], ignore_index=True),
        pd.concat([units, *more_units], ignore_index=True),
    )


def cell(method: str, treatment: str, dose: float = DOSE) -> Cell:
    """The cell of a method with a treatment or an arm at a dose; ``none``: without."""
    label = (TREATMENTS | ARMS).get(treatment)
    return Cell(method, f"{label},dose={dose:g}") if label else Cell(method)
