"""The data card of a recorded study: Croissant (MLCommons, version 1.0), a JSON-LD file that other
programs find, check and load the study by.

Everything in it is read from the study's own files: hashes and sizes, columns and their types, and
from the provenance what was run, on what, and when.
"""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet

from fairnc_utils import __version__, assets
from fairnc_utils._atomic import write_atomic

FILE = "croissant.json"

#: The terms of the format and where they are defined, as its specification lists them.
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

#: File of a study → what it holds.
TABLES = {
    "results.parquet": "One row a number: a metric of a run with its 95% interval.",
    "units.parquet": "One row a number of a sampled unit, such as a target term or a profession, by which runs are paired.",
}

#: Column → what stands in it; those that say it themselves are left out.
COLUMNS = {
    "run_id": "hash of the run's configuration and of what it read",
    "method": "how the model was trained; base: not at all",
    "regularizer": "loss that was added while it was trained",
    "lam": "weight of the regularizer",
    "variant": "how the metric is computed: corrected, or as the released code does",
    "axis": "bias type or word group; all pools them",
    "words": "word list whose collapse is measured",
    "space": "where features are taken: before the classifier, or the last layer",
    "layer": "hidden layer, or last",
    "min_count": "samples that a class needs to be measured",
    "ci_low": "lower end of the 95% interval",
    "ci_high": "upper end of the 95% interval",
    "n": "number of units behind the value",
    "unit": "what is resampled",
    "column": "name of the unit's number",
    "git_commit": "commit of the code that made it",
    "created": "time of the run, UTC",
}

_TYPES = {"double": "cr:Float64", "float": "cr:Float32", "int64": "cr:Int64"}


def card(study: Path) -> dict:
    """The card of the recorded study in a folder."""
    runs = json.loads((study / "provenance.json").read_text())["runs"].values()
    configs = [run["config"] for run in runs]
    made = sorted(run["created"] for run in runs)
    models, methods, seeds = (
        sorted({config[key] for config in configs if key in config})
        for key in ("model", "method", "seed")
    )
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "fairnc-study",
        "description": (
            "Does neural collapse on fairness words make language models fairer, and does "
            f"enforcing it help? {len(configs)} recorded runs. Models: {', '.join(models)}. "
            f"Methods: {', '.join(methods)}. Seeds: {', '.join(map(str, seeds))}. Every metric "
            "with its interval, the scores of the units behind it, and the configuration, versions "
            "and fingerprints by which each run can be made again."
        ),
        "version": __version__,
        "license": "https://spdx.org/licenses/MIT",
        "creator": {"@type": "Organization", "name": "The fairnc-utils authors"},
        "citeAs": "The fairnc-utils authors: fairnc-utils, see CITATION.cff.",
        "dateCreated": made[0][:10],
        "datePublished": made[-1][:10],
        "inLanguage": "en",
        "keywords": ["fairness", "language models", "neural collapse", "gender bias"],
        "isLiveDataset": False,
        "rai:dataCollection": (
            "Computed by fairnc_utils from published test sets of stereotypes and occupations; no person was asked "
            "or observed, and no text of those sets is in the files."
        ),
        "rai:dataLimitations": (
            "Test sets are English, most are of women and men alone, and crowdsourced items often contrast more than a "
            "stereotype; numbers rank these models on these items, and certify none as fair."
        ),
        "distribution": [_file(study / name) for name in (*TABLES, "provenance.json")],
        "recordSet": [_records(study / name) for name in TABLES],
    }


def write(study: Path) -> None:
    """Put the card beside the study's files."""
    text = json.dumps(card(study), indent=2, ensure_ascii=False) + "\n"
    write_atomic(study / FILE, text.encode())


def _file(path: Path) -> dict:
    table = path.suffix == ".parquet"
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "description": TABLES.get(path.name, "Configuration, versions and fingerprints by run."),
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet" if table else "application/json",
        "sha256": assets.sha256(path),
    }


def _records(path: Path) -> dict:
    name = path.stem
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": TABLES[path.name],
        "field": [_field(name, path.name, column) for column in pyarrow.parquet.read_schema(path)],
    }


def _field(records: str, file: str, column: pyarrow.Field) -> dict:
    described = COLUMNS.get(column.name)
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{column.name}",
        "name": f"{records}/{column.name}",
        **({"description": described} if described else {}),
        "dataType": _TYPES.get(str(column.type), "sc:Text"),
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }
