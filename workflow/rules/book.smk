"""From prose and executed notebooks to the static site."""


# The findings in a few sentences, from what the chapters found: the start page includes them.
rule abstract:
    input:
        live=expand(rules.execute.output.results, chapter=CHAPTERS),
    output:
        markdown=BUILD / "abstract.md",
    log:
        BUILD / "logs" / "abstract.log",
    params:
        live=RESULTS,
    message:
        "Writing the abstract."
    shell:
        "{sys.executable:q} -c 'import sys; from fairnc_book.abstract import abstract; from fairnc_utils.runs import rows;"
        " sys.stdout.write(abstract(rows.load(sys.argv[1])))'"
        " {params.live:q} > {output.markdown:q} 2> {log:q}"


# What made this build and what it took, as tables that pages include.
rule status:
    input:
        results=rules.collect.output,
        notebooks=expand(rules.draw.output.notebook, chapter=PARAMETERS),
        recorded=files("book/recorded", "*"),
        plans=["config/full.yaml", "config/second.yaml"],
        pages=files("fairnc_book/site", "*.py"),
        names="fairnc_utils/catalog.py",
    output:
        folder=directory(BUILD / "status"),
    log:
        BUILD / "logs" / "status.log",
    params:
        build=BUILD,
    message:
        "Writing the tables of the status page."
    shell:
        "{sys.executable:q} -m fairnc_book.site.status {params.build:q} {output.folder:q} > {log:q} 2>&1"


# Always from scratch: Sphinx does not repeat the warnings of pages it has already read, so a strict build that
# failed would pass when run again.
rule book:
    input:
        config="_config.yml",
        citation="CITATION.cff",  # the front page says how to cite
        prose=files("book", "*"),
        package=files("fairnc_utils", "*.py") + files("fairnc_book", "*.py"),  # its docstrings are the reference
        notebooks=expand(rules.draw.output.notebook, chapter=PARAMETERS),
        results=rules.collect.output,
        abstract=rules.abstract.output,
        status=rules.status.output.folder,
        mathjax=BUILD / "assets" / "django-static-mathjax",
    output:
        site=BUILD / "_build" / "html" / "index.html",
    log:
        BUILD / "logs" / "book.log",
    threads: workflow.cores or 1
    params:
        source=BUILD / "book",
        build=BUILD,
    message:
        "Rendering the book."
    shell:
        """
        exec >{log:q} 2>&1
        rm -rf {params.source:q} {params.build:q}/_build
        mkdir -p {params.source:q}/notebooks
        cp -R book/. {params.source:q}
        cp {input.notebooks:q} {params.source:q}/notebooks
        cp -R {input.results:q} {input.abstract:q} {input.status:q} {params.source:q}
        {sys.executable:q} -m fairnc_book.site.build {params.source:q} {params.build:q} --config {input.config:q} --jobs {threads}
        """
