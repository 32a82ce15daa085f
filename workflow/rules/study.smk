"""The study of a profile, cell by cell: `make study`. No part of the book, which shows what was recorded."""

STUDY = config.get("study", {"sweeps": {}})
RUNS = Path("runs") / "study" / PROFILE  # not below build/, which `make clean` removes

# λ is chosen from these; a sweep that says `chosen` waits for them.
CHOOSING = [sweep for sweep in ("plain", "lambda", "lambda-between") if sweep in STUDY["sweeps"]]


# As with `parameters`, the file changes with its content.
rule plan:
    output:
        file=BUILD / "study" / "plan.yaml",
    log:
        BUILD / "logs" / "plan.log",
    localrule: True
    params:
        yaml=yaml.safe_dump({"study": STUDY}, sort_keys=False),
    message:
        "Writing the plan of the study."
    shell:
        "printf %s {params.yaml:q} > {output.file:q} 2> {log:q}"


# Cells that are there already stay: a sweep that was stopped, or grew, runs only what it lacks.
rule sweep:
    input:
        plan=rules.plan.output.file,
        assets=expand(BUILD / "assets" / "{wheel}", wheel=config["assets"]),
        chosen=lambda wildcards: expand(
            BUILD / "study" / "{sweep}.done",
            sweep=CHOOSING if "chosen" in str(STUDY["sweeps"][wildcards.sweep]) else [],
        ),
    output:
        done=touch(BUILD / "study" / "{sweep}.done"),
    log:
        BUILD / "logs" / "study-{sweep}.log",
    threads: workflow.cores or 1
    params:
        runs=RUNS,
        device=config["common"]["device"],
    message:
        "Running the sweep {wildcards.sweep} of the study."
    shell:
        "{sys.executable:q} -m fairnc_utils.runs.cli study --config {input.plan:q} --sweeps {wildcards.sweep:q}"
        " --out {params.runs:q} --jobs {threads} --device {params.device:q} > {log:q} 2>&1"


rule study:
    input:
        expand(rules.sweep.output.done, sweep=STUDY["sweeps"]),
    message:
        f"The study is complete: `fairnc study --record --config ... --out {RUNS}` keeps it with the book."
