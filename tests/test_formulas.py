"""Laws that every formula of llmcalc obeys, wherever it is defined, and what a formula may not be."""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import pkgutil
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from configurations import configured
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from latex_evaluator import evaluate, power
from laws import for_each

import llmcalc
from llmcalc import tex
from llmcalc.catalog.formats import STORED_FORMATS
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.quantity import Formula, formula
from llmcalc.sources import Citation, Work
from llmcalc.symbols import SYMBOLS

MODULES = [
    importlib.import_module(module.name) for module in pkgutil.walk_packages(llmcalc.__path__, prefix="llmcalc.")
]
DEFINED = [
    (module.__name__, value)
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, Formula) and value.function.__module__ == module.__name__
]
FORMULAS = [f for _, f in DEFINED]
ANYWHERE = Work("Nobody", 2000, "Nothing", "https://example.org").at("nowhere")
every_formula = for_each("a_formula", FORMULAS, ids=lambda f: f.id)
each_formula = pytest.mark.parametrize("a_formula", FORMULAS, ids=lambda f: f.id)  # where hypothesis draws
few = settings(max_examples=6)  # for each of many formulas


def short_decimals(low: int, high: int, places: int) -> st.SearchStrategy[float]:
    """Numbers whose six displayed digits are all they have."""
    return st.integers(low, high).map(lambda n: float(f"{n}e-{places}"))


WHOLE = st.one_of(st.integers(1, 10**6), st.integers(10**18, 10**25))
SIZES = st.one_of(
    WHOLE,
    short_decimals(1, 99_999, 3),
    st.builds(lambda digits, exponent: float(f"{digits}e{exponent}"), st.integers(1, 999), st.integers(13, 23)),
)
# where a size is no sensible value
VALUES = {"alpha": short_decimals(20, 1000, 3), "improvement": st.integers(1, 90), "pruned": st.integers(1, 99)}
VALUES |= {"missed_share": short_decimals(1, 999, 3), "routed_tokens": st.integers(1, 40)}
VALUES |= {"acceptance": short_decimals(1, 999, 3), "tokens_each": st.integers(1, 20)}

# of laws: exponents, what stands in one, and numbers between which a law holds
VALUES |= {name: short_decimals(200, 1000, 3) for name in ("exponent", "exponent_n", "exponent_d", "exponent_b")}
VALUES |= {"exponent_s": short_decimals(200, 1000, 3), "exponent_g": short_decimals(200, 1000, 3)}
VALUES |= {"loss": short_decimals(1000, 9000, 3), "worth": short_decimals(1, 999, 3)}
VALUES |= {"repeat_decay": short_decimals(1000, 50_000, 3), "epochs": st.integers(1, 500)}
VALUES |= {name: short_decimals(1, 99, 3) for name in ("slope_n", "slope_e", "slope_both", "intercept")}
VALUES |= {"first_experts": short_decimals(1100, 9000, 3), "most_experts": st.integers(100, 999)}
VALUES |= {"error_decay": short_decimals(1, 999, 3), "n_experts": st.integers(2, 512)}


def arguments_of(a_formula: Formula, numbers: st.SearchStrategy[float] = SIZES) -> st.SearchStrategy[dict[str, float]]:
    return st.fixed_dictionaries({name: VALUES.get(name, numbers) for name in a_formula.arguments})


def exactly(value: float) -> Fraction:
    return Fraction(str(value))


def floors(a_formula: Formula) -> bool:
    """True where what does not fill a whole one is dropped, which floats, that hold a thousandth or 2⁵³ + 1 inexactly,
    can do one off: 1 // 0.001 is 999."""
    return any(isinstance(node, ast.FloorDiv) for node in ast.walk(a_formula.expression))


def counts(a_formula: Formula) -> bool:
    """True where whole numbers must give a whole number: no division, no function of numpy's, no broken exponent."""
    inexact = any(isinstance(node, ast.Div | ast.Call) for node in ast.walk(a_formula.expression))
    return not inexact and not VALUES.keys() & set(a_formula.arguments)


# Every formula


def test_the_modules_are_found_and_each_formula_is_defined_once():
    assert len(MODULES) >= 20
    assert len(FORMULAS) >= 60
    ids = [f.id for f in FORMULAS]
    assert sorted(ids) == sorted(set(ids))


@every_formula
def test_a_formula_has_a_source_with_a_work_and_a_place(a_formula):
    assert isinstance(a_formula.source, Citation)
    assert a_formula.source.work.authors
    assert a_formula.source.work.title
    assert 1900 < a_formula.source.work.year < 2100
    assert a_formula.source.place.strip()


@every_formula
def test_a_formula_says_in_words_what_it_counts(a_formula):
    assert a_formula.meaning.strip()
    assert a_formula.meaning.rstrip().endswith(".")
    assert len(a_formula.meaning.split()) >= 2


@every_formula
def test_no_two_arguments_of_a_formula_share_a_symbol(a_formula):
    symbols = [SYMBOLS[name].tex for name in a_formula.arguments]
    assert len(symbols) == len(set(symbols))


@every_formula
def test_every_argument_is_in_the_displayed_formula(a_formula):
    used = {node.id for node in ast.walk(a_formula.expression) if isinstance(node, ast.Name)} - {"np"}
    assert used == set(a_formula.arguments)


@each_formula
@few
@given(data=st.data())
def test_what_a_formula_shows_is_what_it_computes(a_formula, data):
    arguments = data.draw(arguments_of(a_formula, WHOLE if floors(a_formula) else SIZES))
    quantity = a_formula(**arguments)
    working = quantity.working
    by_symbols = evaluate(working.symbols, {SYMBOLS[name].tex: exactly(value) for name, value in arguments.items()})
    by_values = evaluate(working.values)
    if isinstance(quantity.value, int):
        assert by_symbols == by_values == evaluate(working.result) == quantity.value
    else:
        near = {"rel": 1e-9, "abs": 1e-15 * max(map(abs, arguments.values()), default=0)}  # large ones may cancel out
        assert by_symbols == pytest.approx(quantity.value, **near)
        assert by_values == pytest.approx(quantity.value, **near)
        assert evaluate(working.result) == pytest.approx(quantity.value, rel=5.1e-8)


@pytest.mark.parametrize("a_formula", list(filter(counts, FORMULAS)), ids=lambda f: f.id)
@few
@given(data=st.data())
def test_whole_numbers_in_give_an_exact_whole_number_out(a_formula, data):
    whole = st.one_of(st.integers(1, 10**6), st.integers(2**62, 10**25))
    value = a_formula(**data.draw(arguments_of(a_formula, whole))).value
    assert type(value) is int


def test_most_formulas_count_in_whole_numbers():
    assert sum(map(counts, FORMULAS)) > len(FORMULAS) / 2


@each_formula
@few
@given(data=st.data())
def test_a_sweep_equals_the_same_numbers_one_by_one(a_formula, data):
    name = data.draw(st.sampled_from(a_formula.arguments))
    whole = (
        st.integers(1, 10**6) if floors(a_formula) else st.one_of(st.integers(1, 10**6), st.integers(2**61, 2**63 - 1))
    )
    arguments = data.draw(arguments_of(a_formula, whole))
    swept = data.draw(st.lists(VALUES.get(name, whole), min_size=2, max_size=4))
    sweep = a_formula(**arguments | {name: np.array(swept)}).value
    assert isinstance(sweep, np.ndarray)
    one_by_one = [float(a_formula(**arguments | {name: value}).value) for value in swept]
    # a difference of two numbers is as exact as they are
    size = max(map(float, (*swept, *arguments.values()))) if _subtracts(a_formula) else 0
    assert sweep.tolist() == pytest.approx(one_by_one, rel=1e-12, abs=1e-12 * size)


def _subtracts(a_formula: Formula) -> bool:
    return any(isinstance(node, ast.Sub) for node in ast.walk(a_formula.expression))


@formula("C", "FLOP", ANYWHERE)
def six_products(*, parameters, seq_len):
    """Six operations for each parameter and token."""
    return 6 * parameters * seq_len


def test_a_sweep_of_integers_does_not_overflow_where_int64_would():
    parameters, tokens = 10**12, [10**6, 10**7, 10**13]
    assert 6 * parameters * tokens[-1] > 2**63
    sweep = six_products(parameters=parameters, seq_len=np.array(tokens)).value
    assert sweep.tolist() == [6e18, 6e19, 6e25]
    assert six_products(parameters=np.int64(parameters), seq_len=np.int64(tokens[-1])).value == 6 * 10**25


@formula("x", "", ANYWHERE)
def the_smaller(*, width, count):
    """The smaller of two."""
    return np.where(width < count, width, np.minimum(count, width))


def test_a_number_in_is_a_number_out_even_through_numpy():
    value = the_smaller(width=3, count=5).value
    assert (type(value), value) == (int, 3)


def test_numbers_beyond_int64_go_through_numpy_as_floats():
    assert the_smaller(width=2**70, count=2**71).value == 2.0**70


# LaTeX

_SMALL = st.integers(-30, 30)
_NAMES = ("a", "b", "c")
_LEAVES = st.one_of(st.sampled_from(_NAMES), st.integers(1, 12).map(str))


def _combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.builds("({} {} {})".format, parts, st.sampled_from(["+", "-", "*", "/", "//"]), parts)
    powers = st.builds("({} ** {})".format, parts, st.integers(0, 3))
    negated = st.builds("(-{})".format, parts)
    compared = st.builds("({} {} {})".format, parts, st.sampled_from(["<", "<=", ">", ">=", "=="]), parts)
    chosen = st.builds("np.where({}, {}, {})".format, compared, parts, parts)
    extremes = st.builds("np.{}({}, {})".format, st.sampled_from(["minimum", "maximum"]), parts, parts)
    rounded = st.builds("np.{}({})".format, st.sampled_from(["ceil", "floor"]), parts)
    return st.one_of(binary, binary, powers, negated, compared, chosen, extremes, rounded)


EXPRESSIONS = st.recursive(_LEAVES, _combined, max_leaves=6)
EXACT_NUMPY = SimpleNamespace(
    where=lambda condition, then, otherwise: then if condition else otherwise,
    minimum=min,
    maximum=max,
    ceil=lambda number: Fraction(math.ceil(number)),
    floor=lambda number: Fraction(math.floor(number)),
)
NUMBERS = st.one_of(
    _SMALL,
    short_decimals(-99_999, 99_999, 4),
    st.sampled_from([3.14e23, -2.5e18, 6.02e-7, -1.6e-19, 123_456_789, 10**25, 0.000125]),
)


@settings(max_examples=300)
@given(expression=EXPRESSIONS, numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS))
@example("a - (b - c)", (7, 5, 3))
@example("a - (b + c)", (7, 5, 3))
@example("a - b", (7, -5, 0))
@example("a + b * c", (7, -5, 2))
@example("a ** 2", (-3, 0, 0))
@example("-(a ** 2)", (-3, 0, 0))
@example("a ** 2", (3.14e23, 0, 0))
@example("(a ** 2) ** 3", (2, 0, 0))
@example("(a / b) ** 2", (2, 3, 0))
@example("a / (b / c)", (7, 5, 3))
@example("(a < b) + c", (1, 2, 5))
@example("(a + b) * c", (123_456, 1, 1000))
def test_displayed_expressions_mean_what_python_computes(expression, numbers):
    values = dict(zip(_NAMES, numbers, strict=True))
    # a comparison, a constant or a name in Python's hands must be exact as well
    exact = {name: exactly(value) for name, value in values.items()}
    tree = ast.parse(expression, mode="eval")
    try:
        expected = _python(tree.body, exact)
    except ZeroDivisionError:
        assume(False)
    shown_values = tex.render(tree.body, {name: tex.number(value) for name, value in values.items()})
    shown_symbols = tex.render(tree.body, {name: name for name in _NAMES})
    assert evaluate(shown_values) == expected
    assert evaluate(shown_symbols, exact) == expected


def _python(node: ast.expr, names: dict[str, Fraction]) -> Fraction:
    """Python's own value of the expression, in fractions instead of floats."""

    class Exact(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            return ast.Call(ast.Name("Fraction", ast.Load()), [node], [])

    body = ast.fix_missing_locations(Exact().visit(ast.parse(ast.unparse(node), mode="eval")))
    return Fraction(eval(compile(body, "", "eval"), {"Fraction": Fraction, "np": EXACT_NUMPY, **names}))


def rendered(expression: str, **values: float) -> str:
    tree = ast.parse(expression, mode="eval").body
    return tex.render(tree, {name: tex.number(value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("np.exp(a) ** 2", math.exp(3)),
        ("np.exp(a + b) * b", math.exp(3.5) * 2),
        ("np.sqrt(a * b) ** 2", 3),
        ("np.log(a) ** b", math.log(1.5) ** 2),
        ("np.log2(a) - np.log10(b - a)", math.log2(1.5) - math.log10(0.5)),
        ("a ** (1 / b)", math.sqrt(1.5)),
        ("a ** (-1 / b)", 1 / math.sqrt(1.5)),
    ],
)
def test_displayed_roots_and_logarithms_mean_what_they_say(expression, value):
    assert evaluate(rendered(expression, a=1.5, b=2)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("symbol", [r"n \cdot N", r"n + N"])
def test_a_symbol_that_is_itself_a_product_or_a_sum_gets_brackets(symbol):
    shown = tex.render(ast.parse("a ** 2", mode="eval").body, {"a": symbol})
    assert shown == rf"\left({symbol}\right)^{{2}}"


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300).filter(bool))
@example(0.000123456)
@example(0.0728486)
@example(999_999.5)
@example(0.99999951)
@example(1e15)
@example(-1e-4)
def test_a_displayed_number_is_right_to_eight_digits(value):
    assume(abs(value) > 1e-300)
    assert float(evaluate(tex.number(value))) == pytest.approx(value, rel=5.1e-8)


@given(st.integers(-(10**40), 10**40))
def test_a_displayed_integer_is_exact_and_grouped_in_thousands(value):
    assert evaluate(tex.number(value)) == value
    assert tex.number(value).replace("{,}", ",") == f"{value:,}"


@pytest.mark.parametrize(
    ("format", "optimizer"), list(itertools.zip_longest(STORED_FORMATS, OPTIMIZERS, fillvalue="adamw_8bit"))
)
def test_a_working_as_it_is_printed_comes_to_the_result_as_it_is_printed(format, optimizer):
    # bits for each weight are broken numbers: 8 + 16/1,024 of int8, 8 + 32/256 of AdamW's states in 8 bits
    config = configured("GPT-2 124M", weight_format=format, optimizer=optimizer)
    for whole in (config.inference, config.training.peak):
        for _, q in whole.collapsed.walk():
            assert evaluate(q.working.values) == pytest.approx(evaluate(q.working.result), rel=1e-6), q.id


def test_what_is_no_finite_number_is_shown_as_such():
    assert tex.number(math.inf) == r"\infty"
    assert tex.number(-math.inf) == r"-\infty"
    assert tex.number(math.nan) == r"\text{undefined}"


def test_a_sweep_is_shown_by_its_ends():
    assert tex.number(np.array([[1.0, 2.0], [3.0, 4096.0]])) == r"\left[1 \ldots 4{,}096\right]"


def test_the_evaluator_refuses_what_a_reader_could_misread():
    for unclear in ("2^{3}^{2}", "3 - -5", r"3 \cdot -5", "3 5", r"\frac{1}{2", r"\sin\left(1\right)"):
        with pytest.raises((ValueError, IndexError)):
            evaluate(unclear)
    assert power(2, Fraction(3)) == 8


# What is no formula


def defined(function):
    return formula("x", "", ANYWHERE)(function)


def with_an_if(*, width):
    """Something."""
    if width > 1:
        return width
    return 1


def with_two_statements(*, width):
    """Something."""
    double = 2 * width
    return double


def without_docstring(*, width):
    return 2 * width


def with_a_conditional_expression(*, width):
    """Something."""
    return width if width > 1 else 1


def with_python_min(*, width, count):
    """Something."""
    return min(width, count)


def with_a_remainder(*, width, count):
    """Something."""
    return width % count


def with_a_positional_argument(width):
    """Something."""
    return 2 * width


def with_any_arguments(**width):
    """Something."""
    return 2


def with_an_unknown_symbol(*, no_such_name):
    """Something."""
    return 2 * no_such_name


def with_a_hidden_constant(*, width):
    """Something."""
    return HIDDEN * width


def with_a_list(*, width):
    """Something."""
    return [width]


HIDDEN = 2


@pytest.mark.parametrize(
    "function",
    [
        with_an_if,
        with_two_statements,
        without_docstring,
        with_a_conditional_expression,
        with_python_min,
        with_a_remainder,
        with_a_positional_argument,
        with_any_arguments,
        with_an_unknown_symbol,
        with_a_hidden_constant,
        with_a_list,
    ],
    ids=lambda f: f.__name__,
)
def test_what_cannot_be_shown_is_refused_when_it_is_defined(function):
    with pytest.raises(TypeError, match=function.__name__):
        defined(function)


def test_a_formula_refuses_missing_and_unknown_arguments():
    with pytest.raises(TypeError):
        six_products(parameters=1)
    with pytest.raises((TypeError, KeyError)):
        six_products(parameters=1, seq_len=1, no_such_name=1)
