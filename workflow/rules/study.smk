"""The study of a profile, part by part: `make study`. No part of the book, which shows what was recorded."""

import json
import math

STUDY = config.get("study", {"sweeps": {}, "parts": 1})
RUNS = Path("runs") / "study" / PROFILE  # not below build/, which `make clean` removes


def parts(*sweeps):
    """The files that say that all parts of these sweeps are done."""
    return [
        BUILD / "study" / "done" / f"{sweep}-{part}-of-{number}"
        for sweep in sweeps
        # A part has at least one cell, as far as the grid can tell.
        for number in [
            min(
                STUDY["parts"], math.prod(map(len, STUDY["sweeps"][sweep].get("grid", {}).values()))
            )
        ]
        for part in range(1, number + 1)
    ]


# A sweep with `lam: chosen` somewhere waits for all that have none: λ is chosen from them.
CHOOSING = [name for name, sweep in STUDY["sweeps"].items() if '"chosen"' not in json.dumps(sweep)]


wildcard_constraints:
    sweep="|".join(STUDY["sweeps"]) or "(?!)",
    part="[0-9]+",
    number="[0-9]+",


# As with `parameters`, the file changes with its content: that of a sweep only when the sweep does.
rule plan:
    output:
        file=BUILD / "study" / "plans" / "{sweep}.yaml",
    log:
        BUILD / "logs" / "plan-{sweep}.log",
    localrule: True
    params:
        yaml=lambda wildcards: yaml.safe_dump(
            {"study": {**STUDY, "sweeps": {wildcards.sweep: STUDY["sweeps"][wildcards.sweep]}}},
            sort_keys=False,
        ),
    message:
        "Writing the plan of the sweep {wildcards.sweep}."
    shell:
        "printf %s {params.yaml:q} > {output.file:q} 2> {log:q}"


# Cells of one part run one after another in one process. Those that are there already stay: a part that was stopped, or a
# sweep that grew, runs only what it lacks. One that fails names the cell and does not stop the others.
rule part:
    input:
        plan=rules.plan.output.file,
        assets=expand(BUILD / "assets" / "{wheel}", wheel=config["assets"]),
        choosing=lambda wildcards: parts(*CHOOSING) if wildcards.sweep not in CHOOSING else [],
    output:
        done=touch(BUILD / "study" / "done" / "{sweep}-{part}-of-{number}"),
    log:
        BUILD / "logs" / "study-{sweep}-{part}-of-{number}.log",
    threads: 1
    resources:
        gpu_parts=1,  # profiles/default says how many may share the GPU of this machine
        mem_mb=4000,
        runtime=240,  # minutes; both are for clusters
    params:
        runs=RUNS,
        device=config["common"]["device"],
    message:
        "Running part {wildcards.part} of {wildcards.number} of the sweep {wildcards.sweep}."
    shell:
        "{sys.executable:q} -m fairnc_utils.runs.cli study --config {input.plan:q} --out {params.runs:q}"
        " --part {wildcards.part}/{wildcards.number} --device {params.device:q} > {log:q} 2>&1"


rule study:
    input:
        parts(*STUDY["sweeps"]),
    message:
        f"The study is complete: `fairnc study --record --config ... --out {RUNS}` keeps it with the book."
