"""Which configurations are the same: what ids hash, and how a recorded configuration is read.

An id hashes the value of every option that a schema had at first, and of those added since only the
values that differ from their default. So an option that is added with a default changes the id of
no run that leaves it there. For this the default of an added option is what runs made before it
had, and never changes; what new runs should have stands in a preset or in a profile.
"""

from collections.abc import Collection, Mapping

from pydantic import BaseModel

from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.options import configured

#: Version of the schemas, written into provenance: count it up when an option is added. A provenance without one is of 1.
VERSION = 4

#: Schema → its options in version 1, or in the version that brought the schema, without those that it inherits.
FIRST: dict[str, frozenset[str]] = {
    schema: frozenset(options.split())
    for schema, options in {
        "Config": "model device profile seed",
        "TextConfig": "corpus split texts",
        "MeasureConfig": "heldout_split words space labels variants min_counts draws layers",
        "GeometryConfig": "words min_count neighbors",
        "TurningConfig": "shares min_count angles",
        "ConceptsConfig": "split sentences",
        "PerplexityConfig": "sample",
        "ScoreConfig": "benchmark split axis gender_scale method regularizer",
        "Debiasing": "method regularizer lam nc3_words frozen steps epochs batch_size texts precision",
        "TrainConfig": "log_every evaluate_every evaluation_texts min_count benchmarks collapse by_layer perplexity"
        " checkpoint checkpoint_every output",
        "FinetuneConfig": "task debiasing benchmarks items steps epochs batch_size lr texts precision log_every"
        " evaluate_every evaluation_texts method regularizer",
        "CooccurrenceOptions": "how alpha",
        "TrajectoryConfig": "method regularizers lam steps batch_size texts precision snapshots split evaluation_texts"
        " words min_count neighbors",
    }.items()
}

#: Options that say where a run keeps files: in no run id, and in no provenance.
PLACES = ("checkpoint", "output")


def name(schema: type[BaseModel]) -> str:
    """The schema of ``FIRST`` that this one is, or extends."""
    return next(base.__name__ for base in schema.__mro__ if base.__name__ in FIRST)


def hashed(config: BaseModel, *, leaving_out: Collection[str] = ()) -> dict:
    """What the id of a configuration hashes, as JSON takes it; configurations inside it by the same
    rule.
    """
    first = set().union(*(FIRST.get(base.__name__, ()) for base in type(config).__mro__))
    values = config.model_dump(mode="json", exclude=set(leaving_out))
    for option, field in type(config).model_fields.items():
        value = getattr(config, option)
        if option not in values:
            continue
        if option not in first and value == field.get_default(call_default_factory=True):
            del values[option]
        elif isinstance(value, BaseModel):
            values[option] = hashed(value)
    return values


def read(schema: type[BaseModel], run_id: str, run: Mapping) -> BaseModel:
    """A recorded run's configuration as today's schema has it: options that it does not name have
    their default.

    ``run``: its provenance. Raises ``FairNCError`` if it has an option or a value that the schema
    does not know.
    """
    try:
        return configured(schema, run["config"])
    except FairNCError as error:
        made = run.get("schema", {}).get("version", 1)
        advice = f"; it was made by a newer version of this package (options {made}, here {VERSION}): update it"
        raise FairNCError(
            f"recorded run {run_id}: {error}{advice if made > VERSION else ''}"
        ) from error
