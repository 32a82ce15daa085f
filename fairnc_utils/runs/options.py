"""What each run takes: the options of the functions of ``fairnc_utils.runs``, validated, each with
a description.

The command line is made from these: a field is a flag, its description the help. Nothing heavy is
imported, so that bad input is answered at once.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from fairnc_utils import catalog
from fairnc_utils.compressor import COMPRESSORS, Compressor
from fairnc_utils.errors import FairNCError, brief, near
from fairnc_utils.runs import checkout


def _benchmark_name(name: str) -> str:
    catalog.BENCHMARKS.check(name)
    return name  # as it was written: run ids hash it


def _requested_benchmark(wanted: str) -> str:
    catalog.BENCHMARKS.check(wanted.partition(":")[0])
    return wanted


def _measured_words(name: str) -> str:
    return catalog.check_words(name, more=catalog.CONTROLS)


def _trained_words(name: str) -> str:
    if "," in name:  # rows name the list within the regularizer's label, whose parts commas divide
        raise FairNCError(f"word list {name!r}: give the file a name without a comma")
    return catalog.check_words(name, more=(*catalog.CONTROLS, *catalog.RELEASED))


def _method_name(name: str) -> str:
    return catalog.METHODS.check(name, more=("base", *catalog.EDITS))


def _compressor(text: str) -> str:
    return str(Compressor.parse(text))


#: Names that are looked up before anything is loaded.
BenchmarkName = Annotated[str, AfterValidator(_benchmark_name)]
RequestedBenchmark = Annotated[str, AfterValidator(_requested_benchmark)]
Axis = Annotated[str, AfterValidator(catalog.check_words)]
MeasuredWords = Annotated[str, AfterValidator(_measured_words)]
TrainedWords = Annotated[str, AfterValidator(_trained_words)]
MethodName = Annotated[str, AfterValidator(_method_name)]
TaskName = Annotated[str, AfterValidator(catalog.TASKS.check)]
CompressorText = Annotated[str, AfterValidator(_compressor)]

_LISTS = "as `fairnc list words` names them, or .csv files with the columns word and group"
_REQUESTED = "name, name:split or name:split:axis; by default its last split and all axes"
_LAM = "λ; by default the released one for as_released, 0.3 for swap, else 10"
_SOURCE_TEXTS = "first source texts; by default all"
_COMPRESSED = (
    f"{', '.join(COMPRESSORS)}, those with a level as prune@0.3; behind it ,embeddings for those too, ,gender for "
    "the rows of gender words alone; by default nothing"
)


class Config(BaseModel):
    """Options common to all runs; unknown names and bad values are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(
        "models/minilm-mlm",
        description="folder, hub name, smollm2 or random (an untrained one, for trials)",
    )
    device: str = Field("auto", description="auto (a GPU if there is one), cpu, cuda, …")
    profile: str = Field(
        "adhoc", description="name that goes into the rows, of what this run belongs to"
    )
    seed: int = Field(0, ge=0, description="of everything that is drawn")

    @field_validator("model")
    @classmethod
    def _portable(cls, model: str) -> str:
        """A folder of the project by its place there: rows and run ids are the same wherever the
        checkout lies.
        """
        root = checkout.find()
        return (
            str(Path(model).relative_to(root))
            if root and Path(model).is_relative_to(root)
            else model
        )


class Loading(BaseModel):
    """How a model is held that is only read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of weights and forward pass; statistics and metrics stay float64"
    )
    device_map: str | int | dict[str, int | str] | None = Field(
        None,
        description="instead of device, where the parts of a large model lie: auto, balanced, … or a mapping, as "
        "transformers takes it; needs accelerate",
    )


class TextConfig(Config):
    corpus: str = Field(
        "gap",
        description="gap, bug, panda or bold; a .txt file (a text a line) or .jsonl file (field text); a folder saved by "
        "datasets; a hub dataset",
    )
    split: str | None = Field(None, description="split of the corpus; by default its last")
    texts: int | None = Field(None, ge=1, description="first texts of each split; by default all")


class MeasureConfig(Loading, TextConfig):
    """Collapse of word lists on a corpus."""

    heldout_split: str | None = Field(
        "validation", description="for NC4, where the corpus has it; none: no NC4"
    )
    words: tuple[MeasuredWords, ...] = Field(
        ("gender", "random", "matched", "vocabulary"),
        min_length=1,
        description=f"word lists, {_LISTS}",
    )
    space: Literal[catalog.SPACES] = Field(
        "head", description="where features are taken: before the classifier, or the last layer"
    )
    labels: Literal["aligned", "shifted"] = Field(
        "aligned", description="class of a position; shifted: as the released code"
    )
    variants: tuple[Literal[catalog.VARIANTS], ...] = Field(
        catalog.VARIANTS,
        min_length=1,
        description="how the metrics are computed: as this book or as the released code",
    )
    min_counts: tuple[PositiveInt, ...] = Field(
        (10, 5, 20),
        min_length=1,
        description="samples that a class needs; first: the book's; others beside",
    )
    draws: int = Field(200, ge=0, description="control lists drawn to place the gender words among")
    layers: tuple[PositiveInt, ...] | Literal["all"] = Field(
        (), description="hidden layers, from 1, measured beside the last; or all"
    )


class GeometryConfig(TextConfig):
    """Maps of class means and word embeddings."""

    words: tuple[Axis, ...] = Field(
        ("gender", "profession", "neutral"),
        min_length=1,
        description=f"word lists, {_LISTS}; no controls",
    )
    min_count: PositiveInt = Field(10, description="samples that a class needs")
    neighbors: int = Field(
        15, ge=2, description="UMAP's neighbourhood, and the one of trustworthiness"
    )


class TurningConfig(TextConfig):
    """Rows of she and he turned at constant NC3 and UNC3."""

    shares: Literal["bls", "bergsma"] = Field(
        "bls", description="source of the shares of women in occupations"
    )
    min_count: PositiveInt = Field(10, description="samples that a gender word needs")
    angles: int = Field(37, ge=2, description="so many from the greatest slope to the least")


class ConceptsConfig(Config):
    """Bias of occupations, read off concept vectors at each layer."""

    split: str = Field("gender", description="of the benchmark concept_bias")
    sentences: PositiveInt = Field(50, description="of BUG that are read for each word")


class PerplexityConfig(Config):
    """Masked perplexity."""

    sample: int | None = Field(None, ge=1, description="first texts of each corpus; by default all")


class ScoreConfig(Loading, Config):
    """One benchmark on one model."""

    benchmark: BenchmarkName = Field(description="as `fairnc list benchmarks` names them")
    split: str | None = Field(None, description="split of the benchmark; by default its last")
    axis: str = Field("all", description="bias type of the benchmark, e.g. gender, race, religion")
    gender_scale: float | None = Field(
        None, description="scale of the classifier's gender direction (positive control)"
    )
    method: str = Field("base", description="how the model was trained; goes into the rows")
    regularizer: str = Field("none", description="likewise")
    compression: CompressorText | None = Field(
        None, description=f"what the model is compressed by first: {_COMPRESSED}"
    )
    all_variants: bool = Field(
        False,
        description="every published way to compute this benchmark that takes the model, side by side",
    )


class Length(BaseModel):
    """How long something is trained, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: PositiveInt | None = Field(
        None, description="how long; by default as many as epochs ask for"
    )
    epochs: PositiveInt | None = Field(
        None, description="where steps are not given; by default as published"
    )
    batch_size: PositiveInt | None = Field(
        None, description="examples a step; by default as published"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the forward pass")


class Debiasing(Length):
    """How a model is trained: a method, with or without a regularizer."""

    method: MethodName = Field(
        description="as `fairnc list methods` names them, or base: nothing is trained"
    )
    regularizer: Any = Field(
        "none",
        description="none, corrected, repaired, as_released (NC3), swap, or a mapping of the options that differ",
    )
    lam: float | None = Field(None, ge=0, description=_LAM)
    dose: float | None = Field(
        None,
        gt=0,
        description="instead of λ: ‖∇(λR)‖ / ‖∇task‖ before training, as config/doses.csv has measured it",
    )
    nc3_words: TrainedWords | None = Field(
        None,
        description="words of NC3, a list or .csv file; by default released for as_released, else gender",
    )
    frozen: Literal["none", "embeddings"] = Field(
        "none", description="what is not trained, beside the method's own choice"
    )
    texts: PositiveInt | None = Field(None, description=_SOURCE_TEXTS)

    @model_validator(mode="after")
    def _one_weight(self) -> "Debiasing":
        if self.dose is not None and self.lam is not None:
            raise FairNCError(f"dose = {self.dose:g} and lam = {self.lam:g}: give one of them")
        return self


class Afterwards(BaseModel):
    """What is measured of a model that is trained, and where it is kept: no training depends on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    min_counts: tuple[PositiveInt, ...] = Field(
        (),
        description="further samples that a class needs, beside min_count, for the lists of collapse",
    )
    benchmarks: tuple[RequestedBenchmark, ...] = Field(
        (), description=f"scored after training: {_REQUESTED}"
    )
    collapse: tuple[MeasuredWords, ...] = Field(
        (), description=f"lists measured after training, on GAP test, {_LISTS}"
    )
    by_layer: bool = Field(False, description="those lists at each hidden layer as well")
    at_slots: tuple[Axis, ...] = Field(
        (),
        description=f"lists measured where their words are masked, {_LISTS}; no controls",
    )
    perplexity: bool = Field(False, description="perplexity on GAP test, after training")
    compression: CompressorText | None = Field(
        None, description=f"between training and measuring: {_COMPRESSED}"
    )
    checkpoint: Path | None = Field(
        None, description="folder; a run that was stopped goes on from there"
    )
    checkpoint_every: PositiveInt = Field(200, description="steps between checkpoints")
    output: Path | None = Field(None, description="folder for the trained model")


class TrainConfig(Afterwards, Debiasing, Config):
    """One method, with or without a regularizer, on one model, and what is measured of it."""

    log_every: PositiveInt = Field(10, description="steps between rows of the learning curve")
    evaluate_every: PositiveInt = Field(
        500, description="steps between measurements on GAP validation"
    )
    evaluation_texts: PositiveInt | None = Field(
        None, description="first texts of GAP validation; by default all"
    )
    min_count: PositiveInt = Field(10, description="samples that a class needs to be measured")


class CooccurrenceOptions(BaseModel):
    """How often a gender goes with a class in a task's training texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    how: Literal["swap", "placebo", "resample", "scrub"] = Field(
        description="texts are gender-swapped, swapped to no effect, drawn anew, or scrubbed of gender"
    )
    alpha: float = Field(
        1.0,
        allow_inf_nan=False,
        description="factor of each class's log-odds of a woman's text: 1 as is, 0 balanced, -1 inverted",
    )


class FinetuneConfig(Length, Config):
    """One task on one masked model, and the fairness benchmarks that take what comes of it."""

    task: TaskName = Field(description="as `fairnc list tasks` names them")
    debiasing: Debiasing | None = Field(
        None,
        description="what is done to the model before, e.g. {method: bec, regularizer: corrected}; by default nothing",
    )
    benchmarks: tuple[RequestedBenchmark, ...] = Field(
        (), description=f"scored afterwards: {_REQUESTED}"
    )
    items: PositiveInt | None = Field(
        None, description="about so many items of each benchmark, whole units; by default all"
    )
    lr: float | None = Field(None, gt=0, description="peak learning rate; by default as published")
    texts: PositiveInt | None = Field(
        None, description="training items, drawn by the seed; by default all"
    )
    log_every: PositiveInt = Field(10, description="steps between rows of the learning curve")
    evaluate_every: PositiveInt | None = Field(
        None, description="steps between evaluations; by default an epoch"
    )
    evaluation_texts: PositiveInt | None = Field(
        None, description="items of each evaluation split; by default all"
    )
    method: str = Field("base", description="how the model was trained before; goes into the rows")
    regularizer: str = Field("none", description="likewise")
    cooccurrence: CooccurrenceOptions | None = Field(
        None,
        description="of gender and class in the training texts, e.g. {how: swap, alpha: 0}; by default as is",
    )
    frozen: Literal["none", "encoder", "layers"] = Field(
        "none",
        description="what is not trained; encoder: the head alone learns; layers: the head and the embeddings",
    )
    kept: Literal["best", "last"] = Field(
        "best", description="checkpoint that is kept: best on the validation items, or the last"
    )
    before: tuple[RequestedBenchmark, ...] = Field(
        (), description=f"scored of the language model, before it is fine-tuned: {_REQUESTED}"
    )
    collapse: bool = Field(
        False,
        description="collapse of the task's classes before the classifier, and the benchmarks on the training texts",
    )


class TrajectoryConfig(Config):
    """One method, trained once with each regularizer, and where the words stand on the way."""

    method: MethodName = Field(description="as `fairnc list methods` names them")
    regularizers: tuple[Any, ...] = Field(
        ("none", "corrected"), min_length=1, description="each as in `fairnc train`"
    )
    lam: float | None = Field(None, ge=0, description=_LAM)
    dose: float | None = Field(None, gt=0, description="instead of λ, as in `fairnc train`")
    steps: PositiveInt = Field(description="how long")
    batch_size: PositiveInt | None = Field(
        None, description="examples a step; by default as published"
    )
    texts: PositiveInt | None = Field(None, description=_SOURCE_TEXTS)
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the forward pass")
    snapshots: PositiveInt = Field(
        10, description="about so many at equal distances, and the untrained model"
    )
    split: Literal["validation", "test"] = Field(
        "test", description="of GAP, where the class means are taken"
    )
    evaluation_texts: PositiveInt | None = Field(
        None, description="first texts of that split; by default all"
    )
    words: tuple[Axis, ...] = Field(
        ("gender",), min_length=1, description=f"word lists, {_LISTS}; no controls"
    )
    min_count: PositiveInt = Field(10, description="samples that a class needs")
    neighbors: int = Field(
        15, ge=2, description="UMAP's neighbourhood among the points of one snapshot"
    )


def configured(schema: type[Config], options: dict) -> Config:
    """Validated options, or one sentence that names the key and what it may be."""
    try:
        return schema(**options)
    except ValidationError as error:
        raise FairNCError(_explained(schema, error.errors())) from None


def _explained(schema: type[BaseModel], errors: list[dict]) -> str:
    """What is wrong first, in one sentence: a field that is missing, with the unknown names beside it,
    since one of them may be that field mistyped; else a name or a value.
    """
    first, *_ = errors
    key = ".".join(map(str, first["loc"]))
    # it names the value
    if isinstance(reason := first.get("ctx", {}).get("error"), FairNCError):
        return f"option {key}: {reason}"
    if first["type"] not in ("missing", "extra_forbidden"):
        said = first["msg"].removeprefix("Value error, ")
        return f"option {key} = {brief(first['input'])}: {said}" if key else said
    *inside, name = first["loc"]
    fields = _fields(schema, inside)
    unknown = [
        str(each["loc"][-1])
        for each in errors
        if each["type"] == "extra_forbidden" and list(each["loc"][:-1]) == inside
    ]
    said = ""
    if first["type"] == "missing":
        described = fields[name].description if name in fields else None
        said = f"option {key}: Field required" + (f" ({described})" if described else "")
    if unknown:
        noun = "no such options" if len(unknown) > 1 else "no such option"
        said += f"{'; ' * bool(said)}option {', '.join('.'.join([*map(str, inside), each]) for each in unknown)}: {noun}"
    if fields and unknown:
        said += f"; options are {', '.join(fields)}{near(unknown[0], fields)}"
    return said


def _fields(schema: type[BaseModel], place: list) -> dict[str, Any]:
    """The fields of a schema, or of the one that lies at a place in it; nothing where none does."""
    for part in place:
        field = schema.model_fields.get(part)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not nested:
            return {}
        schema = nested[0]
    return schema.model_fields
