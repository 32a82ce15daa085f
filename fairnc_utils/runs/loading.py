"""The model that a run's options name, where and as precise as they say."""

import torch

from fairnc_utils import models
from fairnc_utils.models import LanguageModel
from fairnc_utils.runs import checkout
from fairnc_utils.runs.options import MeasureConfig, ScoreConfig

#: Option ``precision`` → type of weights and activations.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def loaded(config: MeasureConfig | ScoreConfig) -> LanguageModel:
    """The model, loaded. Raises ``FairNCError`` if it cannot be found, or not be placed so."""
    return models.load(
        checkout.located(config.model),
        device=config.device,
        dtype=DTYPES[config.precision],
        device_map=config.device_map,
    )
