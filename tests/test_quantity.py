"""A quantity knows what went into it; a total cannot disagree with its parts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcalc.quantity import Quantity, formula, given_quantity, total
from llmcalc.sources import VASWANI_2017
from llmcalc.transformer.embedding import token_embedding_parameters


def quantity(id: str, value: float, unit: str = "bytes") -> Quantity:
    return Quantity(id, value, unit, f"M_{id}")


@formula("N", "parameters", VASWANI_2017.at("sec. 3.1"))
def table(*, vocab_size, d_model):
    """A table: rows by columns."""
    return vocab_size * d_model


TABLE = table(vocab_size=50_000, d_model=768)


def test_a_total_refuses_unlike_units():
    with pytest.raises(ValueError, match="bytes and parameters"):
        total("t", "T", quantity("a", 1, "bytes"), quantity("b", 2, "parameters"))


def test_a_total_refuses_two_parts_of_one_id():
    with pytest.raises(ValueError, match="two parts of one id"):
        total("t", "T", quantity("norm", 1), quantity("norm", 2))


def test_a_total_refuses_to_be_empty():
    with pytest.raises(ValueError, match="nothing to add up"):
        total("t", "T")


@given(st.lists(st.integers(-(10**30), 10**30), min_size=1, max_size=8))
def test_a_total_is_the_exact_sum_of_its_parts_in_their_order(values):
    t = total("t", "T", *(quantity(f"p{i}", value) for i, value in enumerate(values)))
    assert t.value == sum(values)
    assert type(t.value) is int
    assert [part.value for part in t.parts] == values
    assert t.is_total
    assert not t.is_given


def test_a_total_of_numbers_and_sweeps_is_a_sweep():
    t = total("t", "T", quantity("a", 1), quantity("b", np.array([[1], [2]])), quantity("c", np.array([10, 20])))
    assert t.value.tolist() == [[12, 22], [13, 23]]


def test_a_total_of_integer_sweeps_does_not_overflow():
    big = np.array([2**62, 2**62])
    t = total("t", "T", quantity("a", big), quantity("b", big), quantity("c", big))
    assert t.value.tolist() == [3 * 2.0**62] * 2


def test_the_working_of_a_total_names_each_part():
    t = total("t", "T", quantity("a", 1000), quantity("b", -5))
    assert t.working.symbols == "M_a + M_b"
    assert t.working.values == r"1{,}000 + \left(-5\right)"
    assert t.working.result == "995"


def test_only_a_total_has_parts():
    assert TABLE.parts == ()
    assert not TABLE.is_total
    assert not TABLE.is_given
    assert given_quantity("d_model", 768).parts == ()
    assert given_quantity("d_model", 768).is_given


def test_a_named_quantity_keeps_its_number_and_its_working():
    named = TABLE.named("embedding")
    assert (named.id, named.symbol) == ("embedding", "N")
    assert (named.value, named.unit, named.source, named.working) == (
        38_400_000,
        "parameters",
        TABLE.source,
        TABLE.working,
    )
    assert TABLE.named("embedding", "E").symbol == "E"
    assert TABLE.id == "table"


def test_a_quantity_that_goes_in_is_what_is_found_inside():
    width = given_quantity("d_model", 768)
    assert table(vocab_size=2, d_model=width).inputs["d_model"] is width


def test_walking_visits_parents_before_what_went_into_them():
    t = total("t", "T", TABLE, quantity("b", 1, "parameters"))
    assert [(depth, q.id) for depth, q in t.walk()] == [
        (0, "t"),
        (1, "table"),
        (2, "vocab_size"),
        (2, "d_model"),
        (1, "b"),
    ]


def test_the_table_of_a_quantity_has_a_row_for_each_number_in_it():
    frame = total("t", "T", TABLE, quantity("b", 5, "parameters")).to_frame()
    assert list(frame.columns) == ["depth", "id", "symbol", "value", "unit", "formula", "substitution", "source"]
    assert frame.id.tolist() == ["t", "table", "vocab_size", "d_model", "b"]
    assert frame.depth.tolist() == [0, 1, 2, 2, 1]
    assert frame.value.tolist() == [38_400_005, 38_400_000, 50_000, 768, 5]
    assert frame.unit.tolist() == ["parameters", "parameters", "", "", "parameters"]
    assert frame.formula.tolist() == ["N + M_b", r"V \cdot d", "", "", ""]
    assert frame.substitution.tolist() == ["38{,}400{,}000 + 5", r"50{,}000 \cdot 768", "", "", ""]
    assert frame.source.tolist() == ["", "Vaswani et al. 2017, sec. 3.1", "", "", ""]


def test_a_level_that_repeats_its_only_part_is_that_part_under_its_own_name():
    one = total("whole", "W", total("half", "H", TABLE)).collapsed
    assert (one.id, one.symbol, one.formula_id, one.source) == ("whole", "W", "table", TABLE.source)
    assert one.working.symbols == r"V \cdot d"
    assert [q.id for _, q in one.walk()] == ["whole", "vocab_size", "d_model"]
    given = total("whole", "W", quantity("a", 7)).collapsed  # what the reader gave stays
    assert [q.id for _, q in given.walk()] == ["whole", "a"]


def test_a_quantity_is_a_float_where_one_is_wanted():
    assert float(TABLE) == 38.4e6


def test_yes_and_no_count_as_one_and_nothing():
    assert table(vocab_size=True, d_model=7).value == 7
    assert type(table(vocab_size=True, d_model=True).value) is int


def test_a_formula_carries_its_unit_symbol_source_and_meaning():
    q = token_embedding_parameters(vocab_size=2, d_model=3)
    assert (q.id, q.unit, q.value) == ("token_embedding_parameters", "parameters", 6)
    assert q.meaning.startswith("Token embedding")
    assert q.source is token_embedding_parameters.source


def test_only_a_table_needs_pandas():
    code = "import sys, llmcalc; llmcalc.Dimensions().model().parameters().working; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
