"""The book as a graph: data and parameters → executed notebooks → one table of results → one site."""

import os
import shutil
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, validate

min_version("9.0")


# Snakemake merges configuration files key by key; a second one would mix the chapters of two profiles.
if "chapters" not in config:

    configfile: "config/quick.yaml"


try:
    validate(config, "workflow/schemas/config.schema.yaml")
except (
    WorkflowError
) as error:  # its text is the whole schema; the cause says what is wrong and where
    cause = error.__context__
    raise WorkflowError(f"Configuration, at {cause.json_path}: {cause.message}") from None

# A terminal sends Ctrl-C to every process, and each would say where it was. workflow/launch.py hears it and ends the jobs.
if "FAIRNC_WORKFLOW" in os.environ:
    shell.prefix("set -euo pipefail; trap '' INT; ")

# A profile is called after its file, so that a copy of one builds into a folder of its own.
PROFILE = Path(workflow.configfiles[-1]).stem
BUILD = Path(config.get("build", f"build/{PROFILE}"))
RESULTS = BUILD / "results"


include: "workflow/rules/chapters.smk"
include: "workflow/rules/book.smk"
include: "workflow/rules/study.smk"


rule all:
    default_target: True
    input:
        site=rules.book.output.site,
        results=rules.collect.output,
    message:
        "The book is complete."


# What a chapter made that the profile no longer has would be read as part of this build.
onstart:
    for parameters in (BUILD / "parameters").glob("*.yaml"):
        if parameters.stem not in PARAMETERS:
            shutil.rmtree(RESULTS / parameters.stem, ignore_errors=True)
            shutil.rmtree(SUMMARIZED / parameters.stem, ignore_errors=True)
            for kind in ("executed", "notebooks", "timings"):
                for made in (BUILD / kind).glob(f"{parameters.stem}.*"):
                    made.unlink()
            parameters.unlink()


# Runs of older code, versions or data are of no use to a build that is complete.
onsuccess:
    for folder in STORE.parent.glob("[0-9a-f]" * len(STORE.name)):
        if folder.name != STORE.name:
            shutil.rmtree(folder)
