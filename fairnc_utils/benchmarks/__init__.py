"""Fairness benchmarks: one file each, one line in the registry."""

from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.bec_pro import BEC_PRO, BEC_PRO_AS_RELEASED
from fairnc_utils.benchmarks.bias_in_bios import BIOS, BUG
from fairnc_utils.benchmarks.bias_nli import BIAS_NLI
from fairnc_utils.benchmarks.causal import CROWS_CAUSAL, STEREOSET_INTRA_CAUSAL
from fairnc_utils.benchmarks.crows_pairs import CROWS_BIAS_BENCH, CROWS_OFFICIAL
from fairnc_utils.benchmarks.definitional import DEFINITIONAL
from fairnc_utils.benchmarks.gap import GAP
from fairnc_utils.benchmarks.gender_agreement import GENDER_AGREEMENT
from fairnc_utils.benchmarks.intersentence import STEREOSET_INTER_LIKELIHOOD, STEREOSET_INTER_NSP
from fairnc_utils.benchmarks.likelihood import CROWS_AUL, CROWS_AULA
from fairnc_utils.benchmarks.occupations import OCCUPATION_SLOPE
from fairnc_utils.benchmarks.seat import SEAT, SEAT_BIAS_BENCH, SEAT_WORD
from fairnc_utils.benchmarks.stereoset import STEREOSET
from fairnc_utils.benchmarks.swap_collapse import SWAP_COLLAPSE
from fairnc_utils.benchmarks.winobias import WINOBIAS
from fairnc_utils.benchmarks.winobias_zero_shot import WINOBIAS_ZERO_SHOT
from fairnc_utils.benchmarks.winogender import WINOGENDER
from fairnc_utils.errors import FairNCError

__all__ = ["BENCHMARKS", "Benchmark", "get"]

_ALL = (
    STEREOSET,
    CROWS_OFFICIAL,
    CROWS_BIAS_BENCH,
    CROWS_AUL,
    CROWS_AULA,
    CROWS_CAUSAL,
    STEREOSET_INTRA_CAUSAL,
    STEREOSET_INTER_NSP,
    STEREOSET_INTER_LIKELIHOOD,
    BEC_PRO,
    BEC_PRO_AS_RELEASED,
    OCCUPATION_SLOPE,
    DEFINITIONAL,
    GENDER_AGREEMENT,
    SWAP_COLLAPSE,
    SEAT,
    SEAT_BIAS_BENCH,
    SEAT_WORD,
    GAP,
    WINOBIAS,
    WINOBIAS_ZERO_SHOT,
    WINOGENDER,
    BIAS_NLI,
    BIOS,
    BUG,
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}

#: Short names for the command line.
ALIASES = {"stereoset": "stereoset_intra", "crows": "crows_official", "crows_pairs": "crows_official"}


def get(name: str) -> Benchmark:
    """The benchmark called ``name``. Raises ``FairNCError`` with the valid names if there is none."""
    try:
        return BENCHMARKS[ALIASES.get(name, name)]
    except KeyError:
        raise FairNCError(f"unknown benchmark {name!r}: choose {', '.join([*BENCHMARKS, *ALIASES])}") from None
