"""What a configuration does to a model: a debiasing method with its regularizer, or nothing."""

from dataclasses import asdict, dataclass

import pandas as pd

from fairnc_utils import words
from fairnc_utils.debias import Method, nc3
from fairnc_utils.debias import get as get_method
from fairnc_utils.debias import train as debiasing
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer import NC3Options
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs.options import Debiasing


@dataclass(frozen=True)
class Treatment:
    """``method`` None: nothing is done; ``nc3`` None: without NC3; ``lam``: its weight λ; ``label``: what rows call it."""

    method: Method | None
    options: Debiasing
    label: RegularizerLabel
    nc3: NC3Options | None
    lam: float

    @classmethod
    def of(cls, options: Debiasing) -> "Treatment":
        """Raises ``FairNCError`` for an unknown method or regularizer, and for two that do not go together."""
        if options.method == "base":
            return cls(None, options, RegularizerLabel("none"), None, 0.0)
        method = get_method(options.method)
        frozen = options.frozen if options.frozen != "none" else None
        label = nc3.label(options.regularizer, nc3_words=options.nc3_words, frozen=frozen)
        nc3_options = nc3.options(label, method)
        given = options.lam if nc3_options else None
        lam = nc3.weight(label, method) if given is None else given
        return cls(method, options, label, nc3_options, lam)

    @property
    def nc3_words(self) -> str:
        """The list that NC3 is trained on."""
        return self.label.words or self.label.usual_words

    @property
    def columns(self) -> dict:
        """What result rows call it."""
        method = self.method.name if self.method else "base"
        return {"method": method, "regularizer": str(self.label), "lam": self.lam}

    @property
    def evidence(self) -> dict:
        """What provenance tells of it."""
        if self.method is None:
            return {}
        recipe = {"text": self.method.corpus, "recipe": asdict(self.method.recipe)}
        return recipe | words.evidence([self.nc3_words])

    def require(self, lm: LanguageModel) -> None:
        """Raise ``FairNCError`` for a model that no method takes."""
        debiasing.require_masked(lm, self.options.method)

    def apply(self, lm: LanguageModel, *, seed: int, **options) -> pd.DataFrame:
        """Train the model in place; the learning curve, empty for ``base``. ``options``: further ones of ``training.fit``."""
        if self.method is None:
            return pd.DataFrame()
        length = {"steps", "epochs", "batch_size", "texts", "frozen", "precision"}
        return debiasing.train(
            lm,
            self.method,
            nc3=self.nc3,
            lam=self.lam,
            nc3_words=self.nc3_words,
            seed=seed,
            **self.options.model_dump(include=length),
            **options,
        )
