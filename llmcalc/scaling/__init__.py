"""Scaling laws, one protocol and a row each; what a run of training takes, in time, energy and money."""

from llmcalc.scaling.laws import DEFAULT_LAW, LAWS, Law
from llmcalc.scaling.optimum import Optimum
from llmcalc.scaling.power import (
    KAPLAN_ALPHA,
    KAPLAN_CRITICAL_PARAMETERS,
    loss_from_parameters,
    loss_of_larger_model,
    parameters_for_better_metric,
    parameters_for_lower_loss,
    performance_from_parameters,
)

__all__ = [
    "DEFAULT_LAW",
    "KAPLAN_ALPHA",
    "KAPLAN_CRITICAL_PARAMETERS",
    "LAWS",
    "Law",
    "Optimum",
    "loss_from_parameters",
    "loss_of_larger_model",
    "parameters_for_better_metric",
    "parameters_for_lower_loss",
    "performance_from_parameters",
]
