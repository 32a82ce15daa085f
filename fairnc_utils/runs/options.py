"""What each run takes: the options of the ``study`` functions, validated."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from fairnc_utils import collapse, models, words
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.runs import checkout

#: Word lists that ``measure`` knows: the axes of ``words``, two kinds of controls, and every token seen often enough.
AXES = tuple(words.AXES)
WORDS = (*AXES, "random", "matched", "vocabulary")

#: Word lists that NC3 can be trained on.
NC3_WORDS = (*WORDS, "released")


class Config(BaseModel):
    """Options common to all runs; unknown names and bad values are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = "models/minilm-mlm"
    device: str = "auto"
    profile: str = "adhoc"
    seed: int = Field(0, ge=0)

    @field_validator("model")
    @classmethod
    def _portable(cls, model: str) -> str:
        """A folder of the project by its place there: rows and run ids are the same wherever the checkout lies."""
        root = checkout.find()
        return str(Path(model).relative_to(root)) if root and Path(model).is_relative_to(root) else model


class TextConfig(Config):
    corpus: str = "gap"
    split: str | None = Field(None, description="None: the corpus's last")
    texts: int | None = Field(None, ge=1, description="first texts of each split; None: all")


class MeasureConfig(TextConfig):
    """Collapse of word lists on a corpus."""

    heldout_split: str | None = Field("validation", description="for NC4, where the corpus has it; None: no NC4")
    words: tuple[Literal[WORDS], ...] = Field(("gender", "random", "matched", "vocabulary"), min_length=1)
    space: Literal[models.SPACES] = "head"
    labels: Literal["aligned", "shifted"] = "aligned"
    variants: tuple[Literal[collapse.VARIANTS], ...] = Field(collapse.VARIANTS, min_length=1)
    min_counts: tuple[PositiveInt, ...] = Field((10, 5, 20), min_length=1, description="first: the book's; others beside")
    draws: int = Field(200, ge=0, description="control lists drawn to place the gender words among")
    layers: tuple[PositiveInt, ...] | Literal["all"] = Field((), description="hidden layers, from 1, measured beside the last")


class GeometryConfig(TextConfig):
    """Maps of class means and word embeddings."""

    words: tuple[Literal[AXES], ...] = Field(("gender", "profession", "neutral"), min_length=1)
    min_count: PositiveInt = 10
    neighbors: int = Field(15, ge=2, description="UMAP's neighbourhood, and the one of trustworthiness")


class PerplexityConfig(Config):
    """Masked perplexity."""

    sample: int | None = Field(None, ge=1, description="first texts of each corpus; None: all")


class ScoreConfig(Config):
    """One benchmark on one model."""

    benchmark: str
    split: str | None = Field(None, description="None: the benchmark's last")
    axis: str = "all"
    gender_scale: float | None = Field(None, description="scale of the classifier's gender direction (positive control)")
    method: str = Field("base", description="how the model was trained; goes into the rows")
    regularizer: str = Field("none", description="likewise")


class Debiasing(BaseModel):
    """How a model is trained: a method, with or without NC3."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    method: str = Field(description="a debiasing method, or base: nothing is trained")
    regularizer: Any = Field("none", description="none, corrected, as_released or a mapping of NC3 options")
    lam: float | None = Field(None, ge=0, description="λ; None: the released one for as_released, else 10")
    nc3_words: Literal[NC3_WORDS] | None = Field(None, description="None: released for as_released, else gender")
    frozen: Literal["none", "embeddings"] = Field("none", description="what is not trained, beside the method's own choice")
    steps: PositiveInt | None = None
    epochs: PositiveInt | None = Field(None, description="where steps are not given; None: as published")
    batch_size: PositiveInt | None = Field(None, description="None: as published")
    texts: PositiveInt | None = Field(None, description="first source texts; None: all")
    precision: Literal["fp32", "bf16"] = "fp32"


class TrainConfig(Debiasing, Config):
    """One method, with or without NC3, on one masked model, and what is measured of it."""

    log_every: PositiveInt = 10
    evaluate_every: PositiveInt = 500
    evaluation_texts: PositiveInt | None = Field(None, description="first texts of GAP validation; None: all")
    min_count: PositiveInt = 10
    benchmarks: tuple[str, ...] = Field((), description="scored after training: name, name:split or name:split:axis")
    collapse: tuple[Literal[WORDS], ...] = Field((), description="lists measured after training, on GAP test")
    by_layer: bool = Field(False, description="at each hidden layer as well")
    perplexity: bool = Field(False, description="masked perplexity on GAP test, after training")
    checkpoint: Path | None = Field(None, description="folder; a run that was stopped goes on from there")
    checkpoint_every: PositiveInt = 200
    output: Path | None = Field(None, description="folder for the trained model")


class FinetuneConfig(Config):
    """One task on one masked model, and the fairness benchmarks that take what comes of it."""

    task: str
    debiasing: Debiasing | None = Field(None, description="what is done to the model before; None: nothing")
    benchmarks: tuple[str, ...] = Field((), description="name, name:split or name:split:axis; else its last split, all axes")
    items: PositiveInt | None = Field(None, description="about so many items of each benchmark, whole units; None: all")
    steps: PositiveInt | None = None
    epochs: PositiveInt | None = Field(None, description="where steps are not given; None: as published")
    batch_size: PositiveInt | None = Field(None, description="None: as published")
    lr: float | None = Field(None, gt=0, description="peak learning rate; None: as published")
    texts: PositiveInt | None = Field(None, description="training items, drawn by the seed; None: all")
    precision: Literal["fp32", "bf16"] = "fp32"
    log_every: PositiveInt = 10
    evaluate_every: PositiveInt | None = Field(None, description="steps; None: an epoch")
    evaluation_texts: PositiveInt | None = Field(None, description="items of each evaluation split; None: all")
    method: str = Field("base", description="how the model was trained before; goes into the rows")
    regularizer: str = Field("none", description="likewise")


class TrajectoryConfig(Config):
    """One method, trained once with each regularizer, and where the words stand on the way."""

    method: str
    regularizers: tuple[Any, ...] = Field(("none", "corrected"), min_length=1, description="each as in ``TrainConfig``")
    lam: float | None = Field(None, ge=0, description="λ; None: the released one for as_released, else 10")
    steps: PositiveInt
    batch_size: PositiveInt | None = Field(None, description="None: as published")
    texts: PositiveInt | None = Field(None, description="first source texts; None: all")
    precision: Literal["fp32", "bf16"] = "fp32"
    snapshots: PositiveInt = Field(10, description="about so many at equal distances, and the untrained model")
    split: Literal["validation", "test"] = Field("test", description="of GAP, where the class means are taken")
    evaluation_texts: PositiveInt | None = Field(None, description="first texts of that split; None: all")
    words: tuple[Literal[AXES], ...] = Field(("gender",), min_length=1)
    min_count: PositiveInt = 10
    neighbors: int = Field(15, ge=2, description="UMAP's neighbourhood among the points of one snapshot")


def configured(schema: type[Config], options: dict) -> Config:
    """Validated options, or one sentence that names the key and what it may be."""
    try:
        return schema(**options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        hint = f"; options are {', '.join(schema.model_fields)}" if first["type"] == "extra_forbidden" else ""
        value = f" = {brief(first['input'])}" if first["type"] != "missing" else ""
        given, said = f"option {key}{value}: " if key else "", first["msg"].removeprefix("Value error, ")
        raise FairNCError(f"{given}{said}{hint}") from None
