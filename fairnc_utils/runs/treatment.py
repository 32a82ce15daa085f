"""What a configuration does to a model: a debiasing method with its regularizer, an edit, or nothing."""

from dataclasses import asdict, dataclass

import pandas as pd

from fairnc_utils import words
from fairnc_utils.catalog import EDITS
from fairnc_utils.debias import Method, regularizers
from fairnc_utils.debias import get as get_method
from fairnc_utils.debias import train as debiasing
from fairnc_utils.debias.edits import Edit
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs import doses
from fairnc_utils.runs.options import Debiasing


@dataclass(frozen=True)
class Treatment:
    """``method`` None: nothing is trained; ``regularizer`` None: the method alone; ``lam``: its
    weight; ``label``: what rows call it; ``measured``: where the weight comes from if a dose was
    given; ``edit``: what is done instead of training.
    """

    method: Method | None
    options: Debiasing
    label: RegularizerLabel
    regularizer: regularizers.Options | None
    lam: float
    measured: doses.Measured | None = None
    edit: Edit | None = None

    @classmethod
    def of(cls, options: Debiasing, *, model: str) -> "Treatment":
        """Raises ``FairNCError`` for an unknown method or regularizer, two that do not go together,
        a dose that was not measured.

        ``model``: the name of the one that is treated, which a dose depends on.
        """
        method, label, regularizer = check(options)
        if method is None:
            return cls(None, options, label, None, 0.0, edit=EDITS.get(options.method))
        if regularizer and options.dose is not None:
            measured = doses.find(model, method.name, label)
            return cls(method, options, label, regularizer, measured.weight(options.dose), measured)
        given = options.lam if regularizer else None
        lam = regularizers.weight(label, method) if given is None else given
        return cls(method, options, label, regularizer, lam)

    @property
    def nc3_words(self) -> str | None:
        """The list that NC3 is trained on."""
        return self.label.words or self.label.usual_words

    @property
    def word_lists(self) -> list[str]:
        """The same as a list, empty without NC3."""
        return [self.nc3_words] if self.nc3_words else []

    @property
    def columns(self) -> dict:
        """What result rows call it."""
        return {"method": self.options.method, "regularizer": str(self.label), "lam": self.lam}

    @property
    def evidence(self) -> dict:
        """What provenance tells of it."""
        if self.method is None:
            return {"edit": self.edit.source} if self.edit else {}
        recipe = {"text": self.method.corpus, "recipe": asdict(self.method.recipe)}
        dosed = {"lam": self.lam} if self.measured else {}
        return recipe | dosed | words.evidence(self.word_lists)

    def require(self, lm: LanguageModel) -> None:
        """Raise ``FairNCError`` for a model that the method does not take, or that the dose was not
        measured on.
        """
        if self.edit:
            self.edit.require(lm)
        if self.method:
            self.method.require(lm)
        if self.measured:
            self.measured.require(lm)

    def apply(self, lm: LanguageModel, *, seed: int, **options) -> pd.DataFrame:
        """Train or edit the model in place; the learning curve, empty where nothing is trained.
        ``options``: further ones of ``training.fit``.
        """
        if self.edit:
            self.edit.require(lm)
            self.edit.apply(lm, seed)
        if self.method is None:
            return pd.DataFrame()
        length = {"steps", "epochs", "batch_size", "texts", "frozen", "precision"}
        return debiasing.train(
            lm,
            self.method,
            regularizer=self.regularizer,
            lam=self.lam,
            nc3_words=self.nc3_words,
            seed=seed,
            **self.options.model_dump(include=length),
            **options,
        )


def check(
    options: Debiasing,
) -> tuple[Method | None, RegularizerLabel, regularizers.Options | None]:
    """Method, label and regularizer of a configuration. Raises ``FairNCError`` if they do not go
    together.
    """
    if options.method in EDITS and str(label := label_of(options)) != "none":
        raise FairNCError(
            f"{options.method} trains nothing, so it takes no regularizer; not {label}"
        )
    if options.method in ("base", *EDITS):
        return None, RegularizerLabel("none"), None
    method, label = get_method(options.method), label_of(options)
    return method, label, regularizers.options(label, method)


def label_of(options: Debiasing) -> RegularizerLabel:
    """What rows call the regularizer of a configuration."""
    frozen = options.frozen if options.frozen != "none" else None
    return regularizers.label(
        options.regularizer, nc3_words=options.nc3_words, frozen=frozen, dose=options.dose
    )
