"""The closed forms of optima, derived once more by sympy from what is minimised."""

from __future__ import annotations

import pytest
import sympy as sp

from llmcalc import LAWS
from llmcalc.scaling.forms import Parametric

N, D, C, E, A, B, M = sp.symbols("N D C E A B M", positive=True)
ALPHA, BETA, ETA = sp.symbols("alpha beta eta", positive=True)
RULED = [id for id, law in LAWS.items() if isinstance(law.form, Parametric)]


def test_the_best_parameters_of_a_budget_are_where_the_loss_is_flat():
    loss = E + A * N**-ALPHA + B * (C / (6 * N)) ** -BETA
    best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (C / 6) ** (BETA / (ALPHA + BETA))
    slope = sp.diff(loss, N).subs(N, best)
    assert sp.simplify(sp.powsimp(sp.expand_power_base(slope, force=True), force=True)) == 0


def test_the_shares_of_the_reducible_loss_at_the_optimum_are_those_of_the_exponents():
    # at the optimum αA/N^α = βB/D^β; so A/N^α is β/(α + β) of their sum
    model, data = sp.symbols("r_N r_D", positive=True)
    found = sp.solve([ALPHA * model - BETA * data, model + data - E], [model, data], dict=True)[0]
    assert sp.simplify(found[model] - E * BETA / (ALPHA + BETA)) == 0
    assert sp.simplify(found[data] - E * ALPHA / (ALPHA + BETA)) == 0


def test_the_condition_with_served_tokens_is_that_of_the_cost():
    # minimise 6ND + 2N·served at a loss that stays: the ratio of both slopes is that of both costs
    served = sp.Symbol("served", positive=True)
    loss, cost = A * N**-ALPHA + B * D**-BETA, 6 * N * D + 2 * N * served
    condition = sp.diff(loss, N) * sp.diff(cost, D) - sp.diff(loss, D) * sp.diff(cost, N)
    said = ALPHA * A * N**-ALPHA - BETA * B * D**-BETA * (1 + served / (3 * D))
    assert sp.simplify(condition + 6 * said) == 0


def test_the_best_ratio_of_tokens_to_parameters_is_where_gadres_valley_is_flat():
    valley = A * M**ETA + B * M**-ETA
    assert sp.simplify(sp.diff(valley, M).subs(M, (B / A) ** (1 / (2 * ETA)))) == 0


@pytest.mark.parametrize("id", RULED)
@pytest.mark.parametrize("budget", [10**19, 10**22, 10**26])
def test_the_optimum_is_the_root_of_the_slope(id, budget):
    form = LAWS[id].form
    start = LAWS[id].optimal(compute=budget).parameters.value
    slope = form.exponent_d * form.coefficient_d * (budget / (6 * N)) ** -form.exponent_d
    slope -= form.exponent_n * form.coefficient_n * N**-form.exponent_n
    assert float(sp.nsolve(slope, N, start * 1.5)) == pytest.approx(start, rel=1e-9)
