"""Kaplan et al.'s law in parameters, against values computed elsewhere."""

from __future__ import annotations

import pytest
from golden_files import csv_rows
from hypothesis import given
from hypothesis import strategies as st

from llmcalc.scaling import (
    KAPLAN_ALPHA,
    KAPLAN_CRITICAL_PARAMETERS,
    loss_from_parameters,
    parameters_for_better_metric,
    parameters_for_lower_loss,
    performance_from_parameters,
)


def loss(parameters: float, alpha: float = KAPLAN_ALPHA) -> float:
    return loss_from_parameters(
        critical_parameters=KAPLAN_CRITICAL_PARAMETERS, parameters=parameters, alpha=alpha
    ).value


@pytest.mark.parametrize("row", csv_rows("kaplan_loss.csv"), ids=lambda row: row["parameters"])
def test_the_loss_of_a_model_is_kaplans(row):
    assert loss(int(row["parameters"])) == pytest.approx(float(row["loss"]), rel=1e-12)


@given(st.floats(1e5, 1e13), st.floats(0.02, 1), st.floats(1, 90))
def test_so_many_times_the_parameters_lower_the_loss_by_so_many_per_cent(parameters, alpha, improvement):
    times = parameters_for_lower_loss(improvement=improvement, alpha=alpha).value
    ratio = loss(parameters * times, alpha) / loss(parameters, alpha)
    assert ratio == pytest.approx(1 - improvement / 100, rel=1e-9)


@given(st.floats(1e5, 1e13), st.floats(0.02, 1), st.floats(1, 90))
def test_so_many_times_the_parameters_raise_a_metric_by_so_many_per_cent(parameters, alpha, improvement):
    times = parameters_for_better_metric(improvement=improvement, alpha=alpha).value
    better = performance_from_parameters(parameters=parameters * times, alpha=alpha).value
    now = performance_from_parameters(parameters=parameters, alpha=alpha).value
    assert better / now == pytest.approx(1 + improvement / 100, rel=1e-9)


def test_a_model_of_the_critical_size_has_a_loss_of_one_nat():
    assert loss(KAPLAN_CRITICAL_PARAMETERS) == 1
