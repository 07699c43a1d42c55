"""Formulas of scaling laws: loss of parameters and tokens, the best use of a budget, what repeats are worth."""

from __future__ import annotations

import numpy as np

from llmcalc.quantity import formula
from llmcalc.sources import (
    CLARK_2022,
    DEEPSEEK_LLM,
    GADRE_2024,
    HOFFMANN_2022,
    KAPLAN_2020,
    KRAJEWSKI_2024,
    KUMAR_2024,
    MUENNIGHOFF_2023,
    SARDANA_2023,
)

# Budgets


@formula("C", "FLOP", KAPLAN_2020.at("sec. 2.1"))
def training_flops(*, parameters, tokens):
    """Six operations for each parameter and token: a product and a sum, forward once and backward twice."""
    return 6 * parameters * tokens


@formula(r"C_\text{served}", "FLOP", SARDANA_2023.at("sec. 2, eq. 2"))
def served_flops(*, parameters, served_tokens):
    """Two operations for each parameter and token that is served."""
    return 2 * parameters * served_tokens


@formula("D", "tokens", KAPLAN_2020.at("sec. 2.1, C = 6ND solved for D"))
def tokens_of_budget(*, compute, parameters):
    """The tokens that a budget pays for with a model of N parameters."""
    return compute / (6 * parameters)


@formula("N", "parameters", KAPLAN_2020.at("sec. 2.1, C = 6ND solved for N"))
def parameters_of_budget(*, compute, tokens):
    """The parameters that a budget pays for with D tokens."""
    return compute / (6 * tokens)


@formula("D", "tokens", SARDANA_2023.at("sec. 2, eq. 2, solved for the tokens of training"))
def tokens_beside_serving(*, compute, parameters, served_tokens):
    """The tokens of training that are left of a budget when the tokens to be served are paid for."""
    return compute / (6 * parameters) - served_tokens / 3


@formula("D/N", "tokens", HOFFMANN_2022.at("sec. 3.4, table 3"))
def tokens_per_parameter(*, tokens, parameters):
    """Tokens of training for each parameter."""
    return tokens / parameters


# Kaplan et al. 2020


@formula("L(D)", "nats/token", KAPLAN_2020.at("eq. 1.2"))
def loss_from_tokens(*, critical_tokens, tokens, alpha):
    """Test loss of a large model, trained on D tokens and stopped in time."""
    return (critical_tokens / tokens) ** alpha


@formula("L(C)", "nats/token", KAPLAN_2020.at("eq. 1.3; table 5"))
def loss_from_compute(*, critical_compute, compute, alpha):
    """Test loss at the best model size for a budget."""
    return (critical_compute / compute) ** alpha


@formula("L(N, D)", "nats/token", KAPLAN_2020.at("eq. 1.5; constants of table 2"))
def loss_of_limited_data(*, critical_parameters, parameters, critical_tokens, tokens, exponent_n, exponent_d):
    """Test loss of N non-embedding parameters trained on D tokens, stopped in time."""
    return ((critical_parameters / parameters) ** (exponent_n / exponent_d) + critical_tokens / tokens) ** exponent_d


@formula("L(N, S)", "nats/token", KAPLAN_2020.at("eq. 1.6; constants of table 3"))
def loss_of_limited_steps(*, critical_parameters, parameters, exponent_n, critical_steps, steps, exponent_s):
    """Test loss of N non-embedding parameters after S steps at a batch much larger than the critical one."""
    return (critical_parameters / parameters) ** exponent_n + (critical_steps / steps) ** exponent_s


@formula(r"B_\text{crit}", "tokens", KAPLAN_2020.at("eq. 1.4"))
def critical_batch(*, batch_scale, loss, exponent_b):
    """The batch at which twice the steps of the least, and twice the tokens, are needed to reach a loss."""
    return batch_scale / loss ** (1 / exponent_b)


@formula(r"C_\text{min}", "FLOP", KAPLAN_2020.at("eq. 5.5, at the critical batch"))
def least_compute(*, compute):
    """Of a budget that is spent at the critical batch, half would do at a batch far below it."""
    return compute / 2


@formula(r"S_\text{min}", "", KAPLAN_2020.at("sec. 6.1, table 6"))
def steps_of_compute(*, scale, compute, exponent):
    """The fewest steps of training as a power of the budget."""
    return scale * compute**exponent


@formula("D", "tokens", KAPLAN_2020.at("sec. 4.2, eq. 4.4"))
def tokens_without_overfitting(*, scale, parameters, exponent):
    """Tokens at which a model of N non-embedding parameters loses no more to overfitting than runs differ."""
    return scale * parameters**exponent


# Powers of the budget


@formula("N", "parameters", HOFFMANN_2022.at("sec. 3, table 2: N is a power of C"))
def parameters_of_compute(*, scale, compute, exponent):
    """The best number of parameters as a power of the budget."""
    return scale * compute**exponent


@formula("D", "tokens", HOFFMANN_2022.at("sec. 3, table 2: D is a power of C"))
def tokens_of_compute(*, scale, compute, exponent):
    """The best number of tokens as a power of the budget."""
    return scale * compute**exponent


@formula(r"C_\text{token}", "FLOP", DEEPSEEK_LLM.at("sec. 3.2, eq. 4"))
def flops_of_compute(*, scale, compute, exponent):
    """The best operations a token, attention included, as a power of the budget."""
    return scale * compute**exponent


@formula("N", "parameters", KAPLAN_2020.at("sec. 2.1: 2N forward, 4N backward"))
def parameters_of_work(*, token_flops):
    """Parameters of a model whose training takes so many operations a token."""
    return token_flops / 6


# A floor and two powers


@formula("L(N, D)", "nats/token", HOFFMANN_2022.at("sec. 3.3, eq. 2"))
def parametric_loss(*, floor, coefficient_n, parameters, exponent_n, coefficient_d, tokens, exponent_d):
    """Test loss: the entropy of the text, what a finite model lacks, and what finite data leaves out."""
    return floor + coefficient_n / parameters**exponent_n + coefficient_d / tokens**exponent_d


@formula(r"N_\text{opt}", "parameters", HOFFMANN_2022.at("sec. 3.3, eq. 4"))
def best_parameters(*, coefficient_n, exponent_n, coefficient_d, exponent_d, compute):
    """The parameters that give the least loss for a budget of C = 6ND."""
    return (exponent_n * coefficient_n / (exponent_d * coefficient_d)) ** (1 / (exponent_n + exponent_d)) * (
        compute / 6
    ) ** (exponent_d / (exponent_n + exponent_d))


@formula(r"N_\text{opt}(D)", "parameters", MUENNIGHOFF_2023.at("app. A"))
def balanced_parameters(*, coefficient_n, exponent_n, coefficient_d, tokens, exponent_d):
    """The parameters that are best for D tokens, none of them repeated."""
    return (exponent_n * coefficient_n / (exponent_d * coefficient_d)) ** (1 / exponent_n) * tokens ** (
        exponent_d / exponent_n
    )


@formula(r"D_\text{opt}(N)", "tokens", HOFFMANN_2022.at("sec. 3.3, eq. 4, solved for the tokens"))
def balanced_tokens(*, coefficient_n, parameters, exponent_n, coefficient_d, exponent_d):
    """The tokens for which N parameters are best."""
    return (exponent_d * coefficient_d / (exponent_n * coefficient_n)) ** (1 / exponent_d) * parameters ** (
        exponent_n / exponent_d
    )


@formula("r", "nats/token", HOFFMANN_2022.at("sec. 3.3, eq. 2"))
def reducible_loss(*, loss, floor):
    """What a loss is above the floor that no model of the law goes below."""
    return loss - floor


@formula("r_N", "nats/token", HOFFMANN_2022.at("sec. 3.3, at the optimum"))
def parameters_share(*, reducible, exponent_n, exponent_d):
    """What the finite model has in the reducible loss where parameters and tokens are at their best."""
    return reducible * exponent_d / (exponent_n + exponent_d)


@formula("r_D", "nats/token", HOFFMANN_2022.at("sec. 3.3, at the optimum"))
def tokens_share(*, reducible, exponent_n, exponent_d):
    """What the finite data have in the reducible loss where parameters and tokens are at their best."""
    return reducible * exponent_n / (exponent_n + exponent_d)


@formula("r_N", "nats/token", HOFFMANN_2022.at("sec. 3.3, eq. 2"))
def lack_of_parameters(*, coefficient_n, parameters, exponent_n):
    """What a model of N parameters lacks beside an endless one."""
    return coefficient_n / parameters**exponent_n


@formula("N", "parameters", HOFFMANN_2022.at("sec. 3.3, eq. 2, solved for N"))
def parameters_for_remainder(*, coefficient_n, reducible, exponent_n):
    """The parameters that lack so much."""
    return (coefficient_n / reducible) ** (1 / exponent_n)


@formula("D", "tokens", HOFFMANN_2022.at("sec. 3.3, eq. 2, solved for D"))
def tokens_for_remainder(*, coefficient_d, reducible, exponent_d):
    """The tokens that leave out so much."""
    return (coefficient_d / reducible) ** (1 / exponent_d)


@formula("L'", "nats/token", KAPLAN_2020.at("sec. 1.2, of any law"))
def lowered_loss(*, loss, improvement):
    """A loss that is x per cent lower."""
    return loss * (1 - improvement / 100)


@formula("k", "", HOFFMANN_2022.at("sec. 3.3, as a ratio"))
def times_as_many(*, before, after):
    """How many times as many."""
    return after / before


# Repeated data


@formula("D'", "tokens", MUENNIGHOFF_2023.at("sec. 3.1, eq. 5"))
def effective_tokens(*, unique_tokens, tokens, repeat_decay):
    """Tokens that are worth as much, all of them new: a repetition is worth less the more there were."""
    return unique_tokens + unique_tokens * repeat_decay * (1 - np.exp((1 - tokens / unique_tokens) / repeat_decay))


@formula("N'", "parameters", MUENNIGHOFF_2023.at("sec. 3.1, eq. 6"))
def effective_parameters(*, unique_parameters, parameters, repeat_decay):
    """Parameters that are worth as much: those beyond what the unique tokens can use are worth less."""
    return unique_parameters + unique_parameters * repeat_decay * (
        1 - np.exp((1 - parameters / unique_parameters) / repeat_decay)
    )


@formula("n_e", "", MUENNIGHOFF_2023.at("sec. 3.1"))
def epochs_of(*, tokens, unique_tokens):
    """How many times the training goes through the unique tokens."""
    return tokens / unique_tokens


@formula("v", "", MUENNIGHOFF_2023.at("sec. 3.1, eq. 5, its slope"))
def worth_of_repeat(*, epochs, repeat_decay):
    """What one more token is worth after so many epochs, beside a new one."""
    return np.exp((1 - epochs) / repeat_decay)


@formula("n_e", "", MUENNIGHOFF_2023.at("sec. 3.1, eq. 5, its slope solved for the epochs"))
def epochs_worth(*, worth, repeat_decay):
    """After how many epochs a token is worth only so much of a new one."""
    return 1 - repeat_decay * np.log(worth)


# Over-training


@formula("L(C, M)", "nats/token", GADRE_2024.at("sec. 3, eq. 4"))
def overtrained_loss(*, floor, coefficient_m, coefficient_d, multiplier, exponent, compute):
    """Test loss of a budget C spent at M tokens for each parameter."""
    return floor + (coefficient_m * multiplier**exponent + coefficient_d / multiplier**exponent) / compute**exponent


@formula(r"M_\text{opt}", "tokens", GADRE_2024.at("sec. 3, eq. 4, at its minimum"))
def best_multiplier(*, coefficient_m, coefficient_d, exponent):
    """Tokens for each parameter that give the least loss, whatever the budget."""
    return (coefficient_d / coefficient_m) ** (1 / (2 * exponent))


@formula("N", "parameters", GADRE_2024.at("sec. 3: C = 6ND, D = MN"))
def parameters_at_multiplier(*, compute, multiplier):
    """The parameters of a budget that is spent at M tokens for each."""
    return np.sqrt(compute / (6 * multiplier))


@formula(r"\text{Err}", "", GADRE_2024.at("sec. 3, eq. 5"))
def downstream_error(*, guessing_error, error_scale, error_decay, loss):
    """Top-1 error on average over 17 tasks, of a model with such a loss on C4."""
    return guessing_error - error_scale * np.exp(-error_decay * loss)


# Bits


@formula(r"N_\text{eff}", "parameters", KUMAR_2024.at("sec. 4.2, eq. 4"))
def parameters_of_bits(
    *, parameters, weight_bits, activation_bits, cache_bits, weight_decay_bits, activation_decay_bits, cache_decay_bits
):
    """Parameters in full precision that are worth as much as N trained in so few bits."""
    return (
        parameters
        * (1 - np.exp(-weight_bits / weight_decay_bits))
        * (1 - np.exp(-activation_bits / activation_decay_bits))
        * (1 - np.exp(-cache_bits / cache_decay_bits))
    )


# Experts


@formula(r"E_\text{eff}", "", CLARK_2022.at("sec. 4.3, eq. 6"))
def saturated_experts(*, n_experts, first_experts, most_experts):
    """The number of experts, flattened where there are few and where there are very many."""
    return 1 / (1 / (n_experts - 1 + 1 / (1 / first_experts - 1 / most_experts)) + 1 / most_experts)


@formula("L(N, E)", "nats/token", CLARK_2022.at("sec. 4.3, eq. 7; logarithms to base 10"))
def routed_loss(*, slope_n, parameters, slope_e, experts_hat, slope_both, intercept):
    """Validation loss of a model of N parameters in all but its experts, of which a token goes to one of E."""
    return 10 ** (
        slope_n * np.log10(parameters)
        + slope_e * np.log10(experts_hat)
        + slope_both * np.log10(parameters) * np.log10(experts_hat)
        + intercept
    )


@formula("A", "", KRAJEWSKI_2024.at("sec. 5.1, eq. 7"))
def coefficient_of_granularity(*, granular_scale, granularity, exponent_g, coefficient_n):
    """What the parameters of a mixture lack: less where its experts are finer."""
    return granular_scale / granularity**exponent_g + coefficient_n


@formula(r"N_\text{active}", "parameters", KRAJEWSKI_2024.at("sec. 3; a layer has 12 d², (8E + 4) d² of a mixture"))
def active_of_mixture(*, parameters, n_experts):
    """Of a mixture of E networks a layer, each as large as a dense one, the parameters that a token goes through."""
    return parameters * 12 / (8 * n_experts + 4)


@formula("N", "parameters", KRAJEWSKI_2024.at("sec. 3; a layer has 12 d², (8E + 4) d² of a mixture"))
def parameters_of_mixture(*, active_parameters, n_experts):
    """All parameters of a mixture of E networks a layer, of which a token goes through as much as of a dense model."""
    return active_parameters * (8 * n_experts + 4) / 12
