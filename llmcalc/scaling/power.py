"""How loss falls with size: Kaplan et al.'s law in parameters, and what "x % better" costs by it."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import ARTICLE, KAPLAN_2020

KAPLAN_ALPHA = 0.076
KAPLAN_CRITICAL_PARAMETERS = 8.8e13


@formula("L(N)", "nats/token", KAPLAN_2020.at("eq. 1.1"))
def loss_from_parameters(*, critical_parameters, parameters, alpha):
    """Test loss of a model of N non-embedding parameters, trained to convergence on unlimited data."""
    return (critical_parameters / parameters) ** alpha


@formula(r"L(nN) / L(N)", "", KAPLAN_2020.at("eq. 1.1, as a ratio"))
def loss_of_larger_model(*, count, alpha):
    """Loss of a model of n times the parameters, as a part of the smaller one's."""
    return count**-alpha


@formula("P(N)", "", ARTICLE.at("G"))
def performance_from_parameters(*, parameters, alpha):
    """The article's reading: performance proportional to a power of the parameters (in units of a model of one)."""
    return parameters**alpha


@formula("k_P", "", ARTICLE.at("G, with the base put right"))
def parameters_for_better_metric(*, improvement, alpha):
    """How many times the parameters raise a metric that grows as N to the alpha by x per cent."""
    return (1 + improvement / 100) ** (1 / alpha)


@formula("k_L", "", KAPLAN_2020.at("eq. 1.1, solved for N"))
def parameters_for_lower_loss(*, improvement, alpha):
    """How many times the parameters lower the loss by x per cent."""
    return (1 - improvement / 100) ** (-1 / alpha)
