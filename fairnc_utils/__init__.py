"""Neural collapse and fairness of language models: measure, train, test. See ``fairnc_utils.runs``."""

__version__ = "0.1.0"
