"""What the study means: for those who use models, for readers of the paper, and what threatens the
answers. Every sentence follows from result rows, so that it changes with them; what has no rows says so.
"""

from collections.abc import Iterable, Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import bias_source, claims, compressed, planned, tables
from fairnc_book.claims.rows import WHOLE
from fairnc_book.claims.rows import read as read_claims
from fairnc_book.matched import Outcome
from fairnc_book.numbers import METHODS
from fairnc_book.planned.data import EMBEDDED, FAMILIES, KEPT, OVER_BASES, TREATMENTS
from fairnc_book.planned.report import BLINDER, FAIRER
from fairnc_book.planned.rows import read, read_lacking, read_predictions
from fairnc_book.verdicts import Verdict
from fairnc_utils import debias
from fairnc_utils.errors import listed
from fairnc_utils.runs.rows import Run, make, select

#: Benchmark of this chapter's own rows.
BENCHMARK = "meaning"

#: Plan of a part of the study → what the part is called.
PARTS = {
    "config/second.yaml": "the second edition",
    "config/where.yaml": "where bias comes from",
    "config/compression.yaml": "compression",
    "config/groups.yaml": "other groups",
    "config/concepts.yaml": "the geometry of concepts",
}
#: Sweeps of the second edition that are a part of their own.
CAUSAL = "the causal model"
_OF_CAUSAL = {
    ("config/second.yaml", sweep) for sweep in ("causal", "causal_base", "causal_treated")
}

_ABSENT = "Its runs are not recorded yet, so the book says nothing about it."


# ---------------------------------------------------------------- what is missing


def not_run(plans: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Part of the study → how many runs its plan asks for, and how many of them are not recorded."""
    counts = {}
    for plan in plans:
        for sweep, (number, cells) in planned.not_run(plan).items():
            if not number:  # a sweep whose cells the plan does not count
                continue
            part = CAUSAL if (plan, sweep) in _OF_CAUSAL else PARTS[plan]
            asked, missing = counts.get(part, (0, 0))
            counts[part] = (asked + number, missing + len(cells))
    return counts


def as_run(lacking: Mapping[str, tuple[int, int]], config: dict) -> Run:
    """How many planned runs are not recorded, as result rows: ``value`` of ``n``, one row a part."""
    rows = [
        {"benchmark": BENCHMARK, "origin": "recorded", "split": part}
        | {"metric": "not_run", "value": float(missing), "n": float(asked)}
        for part, (asked, missing) in lacking.items()
    ]
    return make(config, rows, None, device="cpu", evidence={"parts": list(lacking)})


def missing(lacking: Mapping[str, tuple[int, int]]) -> str:
    """What has no answer yet, part by part, in Markdown."""
    absent = {part: counts for part, counts in lacking.items() if counts[1]}
    if not absent:
        return "Every run that the plans ask for is recorded."
    lines = [
        f"- **{part[0].upper()}{part[1:]}**: {'none of' if number == asked else f'{asked - number} of'} "
        f"{asked} planned runs {'is' if number == asked else 'are'} recorded."
        for part, (asked, number) in absent.items()
    ]
    return (
        "Some planned runs are not recorded. Where a part lacks runs, its chapter names them.\n\n"
        + "\n".join(lines)
    )


# ---------------------------------------------------------------- for practitioners


def practitioners(results: pd.DataFrame) -> str:
    """What to do and what to leave, in Markdown: advice in one plain sentence, then what it rests on."""
    tests = read(results)
    advice = (
        _enforcing(tests),
        _swapping(tests),
        _keeping(tests),
        _checking(tests),
        _tuning(results),
        _compressing(results),
    )
    return "\n".join(f"- **{lead}** {rest}" for lead, rest in advice)


def _verdicts(tests: pd.DataFrame, treatments: Iterable[str]) -> dict[str, str]:
    """Treatment → verdict on its slope at the main dose; empty: not run."""
    rows = {each: planned.effect(tests, each, planned.SLOPE.key) for each in treatments}
    return {each: "" if row is None else row["verdict"] for each, row in rows.items()}


def _enforcing(tests: pd.DataFrame) -> tuple[str, str]:
    treatments = [name for name in TREATMENTS if name != "swap"]
    verdicts = _verdicts(tests, treatments)
    run = {name: verdict for name, verdict in verdicts.items() if verdict}
    if not run:
        return "Enforcing neural collapse is untested here.", _ABSENT
    said = ", ".join(f"*{name}*: {verdict}" for name, verdict in run.items())
    rests = f"The claim that it lowers the slope over occupations, by treatment: {said}."
    if FAIRER in [planned.called(tests, name) for name in run]:
        return "Enforcing neural collapse is worth a try.", rests
    if set(run.values()) <= {Verdict.NO_EFFECT, Verdict.CONTRADICTED}:
        return "Do not expect NC3 regularization to make a model fairer.", rests
    return "This study gives no reason to add NC3 regularization for fairness.", rests


def _swapping(tests: pd.DataFrame) -> tuple[str, str]:
    verdict = _verdicts(tests, ["swap"])["swap"]
    if not verdict:
        return "Swap collapse is untested here.", _ABSENT
    rests = f"The verdict on the claim that it lowers the slope: {verdict}."
    called, lost = planned.called(tests, "swap"), planned.lost_by(tests, "swap")
    if called == FAIRER:
        return "Train on what must not matter, and keep what must.", (
            f"Swap collapse does both at once. {rests} What must be kept was kept."
        )
    if called == BLINDER and verdict == Verdict.SUPPORTED:
        return "A lower bias can be had, at a price.", (
            f"{rests} But swap collapse is not shown to keep {listed(lost)}."
        )
    return "Swap collapse is no safe remedy either.", rests


def _keeping(tests: pd.DataFrame) -> tuple[str, str]:
    lead = "Measure what must be kept beside every bias."
    rows = select(tests, family="kept", model=EMBEDDED, method=planned.TOTAL)
    rows = rows[rows["key"].isin([each.key for each in KEPT]) & rows["kept"].notna()]
    why = "A model that forgets gender has no bias, and is of no use."
    if rows.empty:
        return lead, why
    kept = rows.groupby("comparison", sort=False)["kept"].min().astype(bool)
    lost = listed(kept.index[~kept])
    return (
        lead,
        f"{why} Of {len(kept)} treatments and doses, {(~kept).sum()} are not shown to keep what they must: {lost}."
        if lost
        else f"{why} All {len(kept)} treatments and doses keep what they must.",
    )


def _checking(tests: pd.DataFrame) -> tuple[str, str]:
    lead = "Ask of each benchmark whether it could notice a change."
    totals = _totals(tests)
    idle = {
        word: sorted(set(totals.loc[totals["verdict"] == word, "label"]))
        for word in (Verdict.NOTHING, Verdict.FAILED)
    }
    said = {
        Verdict.NOTHING: "find no bias in the untrained model, so they cannot show that one was removed",
        Verdict.FAILED: "do not move when a bias is planted on purpose",
    }
    parts = [f"These {said[word]}: {'; '.join(names)}." for word, names in idle.items() if names]
    return lead, " ".join(parts) or "All that were judged here could."


def _tuning(results: pd.DataFrame) -> tuple[str, str]:
    rows = select(results, benchmark="bias_source", axis="verdict")
    word = rows["words"].iloc[0] if len(rows) else bias_source.Word.NOT_RUN
    lead = {
        bias_source.Word.BAKSI: "Look at the texts that a classifier is fine-tuned on.",
        bias_source.Word.STEED: "Do not rely on small changes of the fine-tuning texts.",
        bias_source.Word.NEITHER: "Look at both the model and the fine-tuning texts.",
        bias_source.Word.FAILED: "Look at both the model and the fine-tuning texts.",
        bias_source.Word.NOT_RUN: "Where a classifier's bias comes from is untested here.",
    }[bias_source.Word(word)]
    parts = (bias_source.said(bias_source.Word(word)), bias_source.beforehand(results))
    run = word != bias_source.Word.NOT_RUN
    return lead, " ".join(part for part in parts[: 1 + run] if part)


def _compressing(results: pd.DataFrame) -> tuple[str, str]:
    rows = select(results, benchmark="compressed", split="matched", metric="matched_difference")
    if rows.empty:
        return "Whether compression makes a model fairer is untested here.", _ABSENT
    counts = {word: int((rows["variant"] == word).sum()) for word in Outcome}
    said = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    lead = (
        "Compare a compressed model at equal quality before you call it fairer."
        if counts[Outcome.FAIRER]
        else "Do not compress a model in order to make it fairer."
    )
    shares = select(results, benchmark="compressed", split="matched", metric="definitional_kept")
    shares = select(shares, variant=str(Outcome.FAIRER))["value"]
    forgot = int((shares < compressed.KEEPS).sum())
    least = f"{100 * compressed.KEEPS:.0f}%"
    beside = (
        f" Of those called fairer, {forgot} kept less than {least} of the gender that words such as *mother* name: they "
        "forgot gender."
        if forgot
        else ""
    )
    return (
        lead,
        f"Against noise that costs as much quality, {len(rows)} compressed models are: {said}.{beside}",
    )


# ---------------------------------------------------------------- for readers of the paper


def paper_table(results: pd.DataFrame, *, caption: str) -> Styler:
    """One row a claim of the paper: what it says, and the verdict of the first edition by contrast."""
    tests = read_claims(results)
    whole = tests[(tests["key"] == WHOLE) & (tests["metric"] == "decided")]
    rows = []
    for claim in claims.CLAIMS:
        words = []
        for contrast in claim.contrasts:
            values = select(whole, claim=claim.key, contrast=contrast)["value"]
            verdict = claims.VERDICTS[int(values.iloc[0])] if len(values) else "not tested"
            several = f"{claims.CONTRAST_LABELS[contrast]}: " if len(claim.contrasts) > 1 else ""
            words.append(f"{several}{verdict}")
        rows.append({"claim": claim.title, "first edition": "<br>".join(words)})
    table = tables.plain(pd.DataFrame(rows), caption=caption)
    return tables.left(table)


def plan_table(results: pd.DataFrame, *, caption: str) -> Styler:
    """One row a question of the plan: how many of its totals on the embedded model came out how."""
    tests = read(results)
    rows = [
        {"question": family.question, "second edition": _counted(tests, family.key)}
        for family in FAMILIES
    ]
    table = tables.plain(pd.DataFrame(rows), caption=caption)
    return tables.left(table)


def _totals(tests: pd.DataFrame) -> pd.DataFrame:
    """Judged totals on the embedded model."""
    rows = select(tests, model=EMBEDDED, method=planned.TOTAL)
    return rows[rows["verdict"].ne("") & rows["verdict"].notna()]


def _counted(tests: pd.DataFrame, family: str) -> str:
    counts = select(_totals(tests), family=family)["verdict"].value_counts(sort=False)
    return ", ".join(f"{number} {word}" for word, number in counts.items()) or "not run"


def readers(results: pd.DataFrame) -> str:
    """What a reader of the paper should take away, in Markdown."""
    tests = read(results)
    released = select(_totals(tests), family="E")
    released = released[released["verdict"] != Verdict.NOTHING]
    better = int((released["verdict"] == Verdict.SUPPORTED).sum())
    lines = [
        "- **Alignment of gender words does not imply fairness.** That is proved, not measured: "
        "[the chapter on uniform duality](11-uniform-duality.ipynb) turns a stereotype around "
        "while every angle that NC3 sees stays.",
        f"- **Training could lower a bias all the same.** That is a matter of runs. {_by_runs(tests)}",
    ]
    if len(released):
        lines.append(
            "- **The metrics of the paper "
            + ("improve in part" if better else "do not show an improvement")
            + f" on this model.** With its released code and weights, {better} of the {len(released)} that find a bias "
            "to remove improve."
        )
    lines.append(
        "- **This is no replication.** The models of the paper are larger, and some methods train on "
        "stand-in data here. A claim that fails here can hold there."
    )
    return "\n".join(lines)


def _by_runs(tests: pd.DataFrame) -> str:
    """What the runs say of enforcing collapse, on the embedded model and over several, in a sentence."""
    ways = [name for name in TREATMENTS if name != "swap"]
    words = {
        Verdict.SUPPORTED: "lowers the bias",
        Verdict.CONTRADICTED: "raises it",
        Verdict.NO_EFFECT: "has no effect",
    }
    said = []
    for model, where in ((EMBEDDED, EMBEDDED.rpartition("/")[2]), (OVER_BASES, "several models")):
        rows = {name: planned.effect(tests, name, planned.SLOPE.key, model=model) for name in ways}
        found = [
            f"*{name}* {words.get(row['verdict'], 'is not shown to change it')}"
            for name, row in rows.items()
            if row is not None and row["verdict"]
        ]
        said += (
            [f"{'On' if model == EMBEDDED else 'Over'} {where}, {listed(found)}."] if found else []
        )
    return " ".join(said) or _ABSENT


# ---------------------------------------------------------------- threats to validity


def internal(results: pd.DataFrame, lacking: Mapping[str, tuple[int, int]]) -> str:
    """What else than the treatment could make the differences, in Markdown."""
    stand_in = [m for m in METHODS if debias.get(m).departures.startswith("stand-in text")]
    absent = sum(number for _, number in lacking.values())
    lines = [
        f"These methods train on stand-in text: {listed(stand_in)}. What is found on them is about "
        "their loss, and not about the published method.",
        "Rules of the first edition on whole claims were made stricter after a first look. The second "
        "edition fixed its rules before its runs.",
        "Part of the training text of the embedded model is BUG, from which some benchmarks are made.",
    ]
    if absent:
        lines.append(f"{absent} planned runs are not recorded. What they show could differ.")
    return _bullets(lines)


def construct(results: pd.DataFrame) -> str:
    """Whether the measures measure fairness, in Markdown."""
    return _bullets(
        [
            "The slope over occupations asks how far a pronoun follows labour statistics. A model "
            "can be fair in this sense and unfair in another.",
            "Templates and stereotyped sentences are not what people write, and a preference is not a harm.",
            f"Not every benchmark could show a change. {_checking(read(results))[1]}",
            "Gender is two groups in almost all of the data. That is a limit of the data.",
        ]
    )


def external(results: pd.DataFrame, lacking: Mapping[str, tuple[int, int]]) -> str:
    """Whether the answers hold elsewhere, in Markdown."""
    tests = read(results)
    run = tests[tests["value"].notna() & tests["model"].ne(OVER_BASES)]
    bases = [model.rpartition("/")[2] for model in run["model"].unique()]
    lines = [
        f"The models with recorded treatments are small: {listed(bases, otherwise='none')}. Nothing here says "
        "what a large model does.",
        "All texts are English, but for one German benchmark. Occupations and their shares are those of the United States.",
    ]
    for part, (asked, number) in lacking.items():
        if part != PARTS["config/second.yaml"] and number == asked:
            lines.append(f"On {part}, no planned run is recorded.")
    return _bullets(lines)


def statistical(results: pd.DataFrame) -> str:
    """Whether the numbers carry the answers, in Markdown."""
    tests = read(results)
    totals = _totals(tests)
    if totals.empty:
        return _bullets(["The second edition has no verdict yet."])
    seeds = totals["seeds"].dropna()
    unsure = totals[totals["verdict"] == Verdict.INCONCLUSIVE]
    lines = [
        f"Each total on {EMBEDDED.rpartition('/')[2]} rests on few seeds: {_range(seeds)}. All of them start from that one "
        "pre-trained model.",
        f"Of {len(totals)} verdicts on totals, {len(unsure)} are *inconclusive*. That is not *no effect*.",
        "Holm's correction is made within a family of tests, not over the whole book.",
    ]
    smallest = select(unsure, key=planned.SLOPE.key)["smallest"].dropna()
    if len(smallest):
        lines.append(
            "On the slope, an effect smaller than "
            f"{tables.number(smallest.max(), digits=2)} would often be missed (power 80%)."
        )
    return _bullets(lines)


# ---------------------------------------------------------------- conclusion


def conclusion(results: pd.DataFrame) -> str:
    """The answer in plain words, and what would change it, in Markdown."""
    tests = read(results)
    if tests.empty:
        return claims.abstract(results)
    missing = sum(read_lacking(results).values())
    return planned.answer(tests, read_predictions(results), missing)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.0f}", f"{values.max():.0f}"
    return low if low == high else f"{low} to {high}"
