"""What the book covers of the field, as Markdown for its page: every benchmark, method and data set of the registries
in the taxonomies of a survey (Gallegos et al. 2024), cell by cell, the empty ones too.

Names come from the registries. ``METRICS``, ``DATA`` and ``MITIGATION`` say in which cell each stands; what stands in none
is listed as not placed, and a test fails that names it.
"""

from collections.abc import Iterable, Mapping

from fairnc_utils import catalog
from fairnc_utils._registry import Entry

#: Taxonomy → its cells, in the survey's order; the last ones are not the survey's.
CELLS = {
    "metrics": (
        "embeddings: words",
        "embeddings: words in context and sentences",
        "probabilities: masked token",
        "probabilities: pseudo-log-likelihood",
        "generated text: distribution",
        "generated text: classifier",
        "generated text: lexicon",
        "not in the survey: a fine-tuned model, group by group",
        "not in the survey: a check of an instrument",
    ),
    "data": (
        "counterfactual inputs: masked tokens",
        "counterfactual inputs: unmasked sentences",
        "prompts: sentence completions",
        "prompts: question answering",
        "not in the survey: word lists",
        "not in the survey: text and tasks that measure no bias",
    ),
    "mitigation": (
        "pre-processing: data augmentation",
        "pre-processing: data filtering and reweighting",
        "pre-processing: data generation",
        "pre-processing: instruction tuning",
        "pre-processing: projection",
        "in-training: architecture modification",
        "in-training: loss function modification",
        "in-training: selective parameter updating",
        "in-training: filtering model parameters",
        "intra-processing: decoding strategy modification",
        "intra-processing: weight redistribution",
        "intra-processing: modular debiasing networks",
        "post-processing: rewriting",
        "no mitigation: controls",
    ),
}

#: Groups that the survey names, in its words; a benchmark names those that its items are about.
GROUPS = (
    "gender",
    "race",
    "religion",
    "age",
    "disability",
    "nationality",
    "physical appearance",
    "sexual orientation",
    "social class",
    "profession",
    "political ideology",
)

_WORDS, _SENTENCES, _MASKED, _PSEUDO, _, _CLASSIFIER, _LEXICON, _TUNED, _CHECK = CELLS["metrics"]
_GENDER, _STEREOSET = ("gender",), ("gender", "profession", "race", "religion")
_CROWS = ("gender", "race", "religion", "age", "disability", "nationality")
_CROWS += ("physical appearance", "sexual orientation", "social class")

#: Benchmark → its cells, and the groups that it is about.
METRICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "stereoset_intra": ((_MASKED,), _STEREOSET),
    "stereoset_intra_causal": ((_PSEUDO,), _STEREOSET),
    "stereoset_intra_causal_as_released": ((_PSEUDO,), _STEREOSET),
    "stereoset_inter_nsp": ((_PSEUDO,), _STEREOSET),
    "stereoset_inter_likelihood": ((_PSEUDO,), _STEREOSET),
    "crows_official": ((_PSEUDO,), _CROWS),
    "crows_bias_bench": ((_PSEUDO,), _CROWS),
    "crows_aul": ((_PSEUDO,), _CROWS),
    "crows_aula": ((_PSEUDO,), _CROWS),
    "crows_causal": ((_PSEUDO,), _CROWS),
    "crows_causal_as_released": ((_PSEUDO,), _CROWS),
    "bec_pro": ((_MASKED,), _GENDER),
    "bec_pro_as_released": ((_MASKED,), _GENDER),
    "bec_pro_released_masks": ((_MASKED,), _GENDER),
    "bec_pro_german": ((_MASKED,), _GENDER),
    "occupation_slope": ((_MASKED,), _GENDER),
    "occupation_calibration": ((_MASKED,), _GENDER),
    "concept_bias": ((_WORDS, _SENTENCES), _GENDER),
    "definitional": ((_CHECK,), _GENDER),
    "selectivity": ((_MASKED,), _GENDER),
    "gender_agreement": ((_CHECK,), _GENDER),
    "swap_collapse": ((_MASKED,), _GENDER),
    "iat": ((_WORDS,), ("gender", "race", "religion", "age")),
    "valence": ((_MASKED,), ("age", "nationality", "physical appearance", "social class")),
    "unqover": ((_MASKED,), ("gender", "race", "religion")),
    "bbq": ((_PSEUDO,), _CROWS),
    "gap_names": ((_TUNED,), ("race",)),
    "seat": ((_SENTENCES,), ("gender", "race")),
    "seat_bias_bench": ((_SENTENCES,), _GENDER),
    "seat_word": ((_SENTENCES,), ("gender", "race")),
    "gap": ((_TUNED,), _GENDER),
    "winobias": ((_TUNED,), _GENDER),
    "winobias_zero_shot": ((_MASKED,), _GENDER),
    "winogender": ((_TUNED,), _GENDER),
    "bias_nli": ((_TUNED,), _GENDER),
    "bias_in_bios": ((_TUNED,), _GENDER),
    "bug_profession": ((_TUNED,), _GENDER),
    "bug_counterfactual": ((_TUNED,), _GENDER),
    "bios_counterfactual": ((_TUNED,), _GENDER),
    "explanations": ((_TUNED,), _GENDER),
    "redditbias": ((_CHECK,), ("gender", "race", "religion", "sexual orientation")),
    "bold": ((_CLASSIFIER, _LEXICON), ("gender", "race")),
    "honest": ((_LEXICON,), ("gender", "sexual orientation")),
}

_TOKENS, _UNMASKED, _COMPLETIONS, _QUESTIONS, _LISTS, _TEXT = CELLS["data"]

#: Data set (a folder of the pinned data, a name on the hub, or what users bring) → its cell.
DATA: dict[str, str] = {
    "BEC-Pro": _TOKENS,
    "BUG": _TOKENS,
    "GAP": _TOKENS,
    "StereoSet": _TOKENS,
    "WinoBias": _TOKENS,
    "Winogender": _TOKENS,
    "CrowS-Pairs": _UNMASKED,
    "NLI-Words": _UNMASKED,
    "PANDA": _UNMASKED,
    "RedditBias": _UNMASKED,
    "BOLD-prompts": _COMPLETIONS,
    "HONEST": _COMPLETIONS,
    "BBQ": _QUESTIONS,
    "UnQover": _QUESTIONS,
    "HolisticBias": _UNMASKED,
    "Occupations": _LISTS,
    "BOLD": _TEXT,
    "LabHC/bias_in_bios": _TEXT,
    "nyu-mll/glue": _TEXT,
    "nyu-mll/multi_nli": _TEXT,
    "stanfordnlp/snli": _TEXT,
    "ontonotes": _TEXT,
    "sick": _TEXT,
}

_AUGMENTED, _FILTERED, _, _, _PROJECTED, _ARCHITECTURE, _LOSS, *_, _CONTROL = CELLS["mitigation"]

#: Method, edit, change of texts or regularizer → its cells.
MITIGATION: dict[str, tuple[str, ...]] = {
    "bec": (_AUGMENTED,),
    "cda": (_AUGMENTED,),
    "mabel": (_AUGMENTED, _LOSS),
    "mabel_nli": (_AUGMENTED, _LOSS),
    "ase": (_AUGMENTED, _LOSS),
    "adept": (_LOSS,),
    "adept_prefix": (_ARCHITECTURE, _LOSS),
    "dropout": (_LOSS,),
    "hard_debias": (_PROJECTED,),
} | dict.fromkeys(
    (
        *("mlm", "clm", "planted", "planted_reversed", "random_init", "new_embeddings"),
        *("noise_0.1", "noise_0.2", "kd_self"),
        *(f"{kind}{layers}" for kind in ("kd", "small") for layers in range(1, 5)),
    ),
    (_CONTROL,),
)

#: What the book applies beside its registries → its cell.
BESIDE = {
    "NC3 as a regularizer": _LOSS,
    "swap collapse as a regularizer": _LOSS,
    "co-occurrence of gender and class swapped or drawn anew": _FILTERED,
    "pruning": CELLS["mitigation"][8],
}


def names() -> dict[str, list[str]]:
    """Taxonomy → the names of the registries that belong into it, those of other packages left out."""
    registries = (catalog.BENCHMARKS, catalog.METHODS, catalog.TASKS, catalog.CORPORA, catalog.AXES)
    used = {
        source: None
        for registry in registries
        for entry in _ours(registry.entries).values()
        for source in entry.data
    }
    methods = [*_ours(catalog.METHODS.entries), *_ours(catalog.EDITS.entries)]
    return {
        "metrics": [*_ours(catalog.BENCHMARKS.entries)],
        "data": list(used),
        "mitigation": methods,
    }


def _ours(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    return {name: entry for name, entry in entries.items() if not entry.package}


def cells_of(taxonomy: str, name: str) -> tuple[str, ...]:
    """The cells of a name; none where nobody has placed it."""
    if taxonomy == "metrics":
        return METRICS.get(name, ((), ()))[0]
    if taxonomy == "data":
        return (DATA[name],) if name in DATA else ()
    return MITIGATION.get(name, ())


def not_placed() -> dict[str, list[str]]:
    """Taxonomy → names of the registries that stand in no cell."""
    return {
        taxonomy: [name for name in listed if not cells_of(taxonomy, name)]
        for taxonomy, listed in names().items()
    }


def table(taxonomy: str) -> str:
    """Cells with what stands in them; empty ones say so, and what has no cell is listed at the end."""
    listed = names()[taxonomy]
    lines = ["| cell | in this book |", "| --- | --- |"]
    for cell in CELLS[taxonomy]:
        here = [f"`{name}`" for name in listed if cell in cells_of(taxonomy, name)]
        if taxonomy == "mitigation":
            here += [name for name, place in BESIDE.items() if place == cell]
        lines.append(f"| {cell} | {', '.join(here) or '**empty**'} |")
    left = not_placed()[taxonomy]
    return "\n".join([*lines, *([_row("not placed yet", left)] if left else [])])


def groups() -> str:
    """Kinds of metric by group: how many benchmarks are about both; empty cells say so."""
    kinds = [cell for cell in CELLS["metrics"] if cell != _CHECK]
    listed = names()["metrics"]
    lines = ["| group | " + " | ".join(kinds) + " |", "| --- " * (len(kinds) + 1) + "|"]
    for group in GROUPS:
        counts = [
            sum(
                kind in METRICS.get(name, ((), ()))[0] and group in METRICS[name][1]
                for name in listed
            )
            for kind in kinds
        ]
        lines.append(f"| {group} | " + " | ".join(str(n) if n else "–" for n in counts) + " |")
    return "\n".join(lines)


def empty() -> str:
    """The cells in which the book has nothing, in a sentence."""
    left = [
        cell
        for taxonomy, cells in CELLS.items()
        for cell in cells
        if not any(cell in cells_of(taxonomy, name) for name in names()[taxonomy])
        and cell not in BESIDE.values()
    ]
    return f"Nothing here stands under {'; '.join(left)}."


def _row(cell: str, here: Iterable[str]) -> str:
    return f"| {cell} | {', '.join(f'`{name}`' for name in here)} |"
