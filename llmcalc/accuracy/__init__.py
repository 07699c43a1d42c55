"""How far what is computed lies from what was measured, and so what a number may be called."""

from llmcalc.accuracy.compare import (
    METHODS,
    Comparison,
    Errors,
    all_compared,
    compared,
    errors,
    korthikanti_activations,
    of_family,
    spread,
)
from llmcalc.accuracy.inference import MeasuredInference, error_of, measured_inference
from llmcalc.accuracy.rows import NANOGPT, MeasuredStep, every_step, measured_steps, without_prediction
from llmcalc.accuracy.standing import (
    ARTICLE,
    ESTIMATE,
    LABELS,
    LAW,
    MEASURED,
    RATE,
    SIMULATED,
    Standing,
    standing_of,
    standing_of_count,
    standing_of_inference,
)

__all__ = [
    "ARTICLE",
    "ESTIMATE",
    "LABELS",
    "LAW",
    "MEASURED",
    "METHODS",
    "NANOGPT",
    "RATE",
    "SIMULATED",
    "Comparison",
    "Errors",
    "MeasuredInference",
    "MeasuredStep",
    "Standing",
    "all_compared",
    "compared",
    "error_of",
    "errors",
    "every_step",
    "korthikanti_activations",
    "measured_inference",
    "measured_steps",
    "of_family",
    "spread",
    "standing_of",
    "standing_of_count",
    "standing_of_inference",
    "without_prediction",
]
