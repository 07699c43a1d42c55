"""A number that shows its working.

A formula is an ordinary function whose body is a docstring and one ``return``. `formula` reads that expression, so
what is shown cannot differ from what is computed. Calling the formula gives a `Quantity`: the value, its unit and
source, the expression, and the quantities that went in.

>>> from llmcalc.transformer.embedding import token_embedding_parameters
>>> q = token_embedding_parameters(vocab_size=50_000, d_model=768)
>>> q.value
38400000
>>> q.working.values
'50{,}000 \\\\cdot 768'
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmcalc import tex
from llmcalc.cached import cached_property
from llmcalc.sources import Citation
from llmcalc.symbols import SYMBOLS
from llmcalc.units import exact

if TYPE_CHECKING:
    import pandas as pd

Value = Any  # int (exact, of any size), float, or a float64 array in a sweep


@dataclass(frozen=True)
class Working:
    """The three lines that show how a number came about, each as LaTeX."""

    symbols: str
    values: str
    result: str


@dataclass(frozen=True, eq=False, repr=False)
class Quantity:
    """A value with its unit, symbol, source, and the quantities it was computed from.

    ``value`` is a Python int (exact), a float, or a float64 array (a sweep). ``expression`` is None for what the reader
    gave. ``id`` is also the key of its name in ``words/``, and ``formula_id`` that of its meaning.
    """

    id: str
    value: Value
    unit: str
    symbol: str
    source: Citation | None = None
    expression: ast.expr | None = None
    inputs: Mapping[str, Quantity] = field(default_factory=dict)
    meaning: str = ""
    formula_id: str = ""

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        value = f"[{len(self.value)} values]" if isinstance(self.value, np.ndarray) else exact(self.value)
        return f"<{self.id} = {value} {self.unit}".strip() + ">"

    def _repr_markdown_(self) -> str:
        from llmcalc import notebook

        return notebook.quantity(self)

    @property
    def is_given(self) -> bool:
        """True for a number that the reader chose: it has no working of its own."""
        return self.expression is None

    @property
    def is_total(self) -> bool:
        """True for a sum made by `total`, whose inputs are its parts."""
        return self.expression is not None and self.source is None

    @property
    def parts(self) -> tuple[Quantity, ...]:
        """The parts of a `total`, in order; empty for anything else."""
        return tuple(self.inputs.values()) if self.is_total else ()

    @property
    def working(self) -> Working:
        """Formula in symbols, the same with values, the result."""
        result = tex.number(self.value)
        if self.expression is None:
            return Working(self.symbol, result, result)
        symbols = {name: q.symbol for name, q in self.inputs.items()}
        values = {name: tex.number(q.value) for name, q in self.inputs.items()}
        return Working(tex.render(self.expression, symbols), tex.render(self.expression, values), result)

    @property
    def steps(self) -> tuple[str, ...]:
        """The working line by line, as LaTeX: formula in symbols, with values, result; of a given number the result."""
        shown = self.working
        if self.is_given:
            return (f"= {shown.result}",)
        formula = shown.symbols if shown.symbols == self.symbol else f"{self.symbol} = {shown.symbols}"
        return (formula, *([f"= {shown.values}"] if shown.values != shown.result else []), f"= {shown.result}")

    def named(self, id: str, symbol: str | None = None) -> Quantity:
        """The same number in another role: the norm before the attention, say."""
        return replace(self, id=id, symbol=symbol or self.symbol)

    @cached_property
    def collapsed(self) -> Quantity:
        """This quantity as its working is told: a level that only repeats its one part is that part, under its name."""
        inputs = {name: part.collapsed for name, part in self.inputs.items()}
        only = next(iter(inputs.values()), None)
        if isinstance(self.expression, ast.Name) and only and not only.is_given:
            return only.named(self.id, self.symbol)
        return replace(self, inputs=inputs)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Quantity]]:
        """This quantity and all that went into it, parents first, with their depth."""
        yield depth, self
        for part in self.inputs.values():
            yield from part.walk(depth + 1)

    def to_row(self) -> dict[str, Any]:
        """What there is to tell of this quantity alone: id, symbol, value, unit, formula, substitution and source."""
        w, given = self.working, self.is_given
        return {
            "id": self.id,
            "symbol": self.symbol,
            "value": self.value,
            "unit": self.unit,
            "formula": "" if given else w.symbols,
            "substitution": "" if given else w.values,
            "source": str(self.source) if self.source else "",
        }

    def to_frame(self) -> pd.DataFrame:
        """The working as a table: a row of `to_row` for each quantity, with its depth. Integers stay exact."""
        import pandas as pd

        rows = [{"depth": depth, **q.to_row()} for depth, q in self.collapsed.walk()]
        return pd.DataFrame(rows).assign(value=pd.Series([row["value"] for row in rows], dtype=object))


@dataclass(frozen=True, eq=False)
class Formula:
    """A named expression: call it with keyword arguments (numbers, arrays or quantities) and get a `Quantity`."""

    id: str
    symbol: str
    unit: str
    source: Citation
    function: Callable[..., Value]
    expression: ast.expr

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of what goes in, in the order of the function's signature."""
        return tuple(inspect.signature(self.function).parameters)

    @property
    def meaning(self) -> str:
        """What is counted and by which convention: the first sentence of the docstring."""
        return inspect.cleandoc(self.function.__doc__ or "").split("\n\n")[0].replace("\n", " ")

    @property
    def tex(self) -> str:
        """The expression in the symbols of the nomenclature."""
        return tex.render(self.expression, {name: SYMBOLS[name].tex for name in self.arguments})

    def __call__(self, **arguments: Value | Quantity) -> Quantity:
        """Compute it; what is not a quantity yet becomes one, under its argument's name and symbol."""
        given = {
            name: value if isinstance(value, Quantity) else given_quantity(name, value)
            for name, value in arguments.items()
        }
        values = {name: _calculable(q.value) for name, q in given.items()}
        try:
            value = self.function(**values)
        except (OverflowError, TypeError):  # numpy's functions hold no integer beyond int64
            value = self.function(**{name: v if isinstance(v, np.ndarray) else float(v) for name, v in values.items()})
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            value = value.item()
        return Quantity(
            self.id, value, self.unit, self.symbol, self.source, self.expression, given, self.meaning, self.id
        )


def formula(symbol: str, unit: str, source: Citation) -> Callable[[Callable[..., Value]], Formula]:
    """Turn a function of keyword-only arguments, with one returned expression, into a `Formula`.

    Raises TypeError where the function is not that: has positional arguments, an argument without a symbol, no
    docstring, more than one statement, or an expression that cannot be shown.
    """

    def wrap(function: Callable[..., Value]) -> Formula:
        parameters = inspect.signature(function).parameters.values()
        name = function.__name__
        if any(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in parameters):
            raise TypeError(f"formula {name}: every argument must be keyword-only")
        if unknown := [p.name for p in parameters if p.name not in SYMBOLS]:
            raise TypeError(f"formula {name}: no symbol for {', '.join(unknown)} in symbols.py")
        made = Formula(name, symbol, unit, source, function, _returned_expression(function))
        try:
            made.tex  # noqa: B018
        except TypeError as error:
            raise TypeError(f"formula {name}: {error}") from error
        return made

    return wrap


def total(id: str, symbol: str, *parts: Quantity) -> Quantity:
    """A sum that cannot disagree with its own breakdown: its value is the sum of ``parts``, its inputs are they.

    Raises ValueError for no parts, for unlike units, and for two parts of one id (one of them would be lost).
    """
    if not parts:
        raise ValueError(f"total {id}: nothing to add up")
    units = {p.unit for p in parts}
    if len(units) > 1:
        raise ValueError(f"total {id}: cannot add {' and '.join(sorted(units))}")
    inputs = {p.id: p for p in parts}
    if len(inputs) < len(parts):
        raise ValueError(f"total {id}: two parts of one id among {[p.id for p in parts]}")
    names: list[ast.expr] = [ast.Name(p.id) for p in parts]
    expression = functools.reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), names)
    value = sum((_calculable(p.value) for p in parts[1:]), start=_calculable(parts[0].value))
    return Quantity(id, value, parts[0].unit, symbol, None, expression, inputs, "The sum of its parts.")


def product(id: str, symbol: str, unit: str, source: Citation, *factors: Quantity, meaning: str = "") -> Quantity:
    """A product of ``factors``, under their own symbols. Two factors of one id are told apart by a number.

    Raises ValueError for no factors.
    """
    if not factors:
        raise ValueError(f"product {id}: nothing to multiply")
    inputs: dict[str, Quantity] = {}
    for factor in factors:
        inputs[factor.id if factor.id not in inputs else f"{factor.id}_{len(inputs)}"] = factor
    names: list[ast.expr] = [ast.Name(name) for name in inputs]
    expression = functools.reduce(lambda a, b: ast.BinOp(a, ast.Mult(), b), names)
    value = math.prod(_calculable(factor.value) for factor in factors)
    return Quantity(id, value, unit, symbol, source, expression, inputs, meaning)


def given_quantity(name: str, value: Value) -> Quantity:
    """A number the reader chose, under its name in the nomenclature."""
    symbol = SYMBOLS[name]
    return Quantity(name, value, symbol.unit, symbol.tex)


def _calculable(value: Value) -> Value:
    """Bools as 0 or 1, numpy scalars as Python numbers; integer arrays as float64, since int64 overflows silently."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    if isinstance(value, np.generic):
        return value.item()
    return int(value) if isinstance(value, bool) else value


def _returned_expression(function: Callable[..., Value]) -> ast.expr:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    match tree.body:
        case [ast.Expr(ast.Constant(str())), ast.Return(ast.expr() as expression)]:
            return expression
    raise TypeError(f"formula {function.__name__}: its body must be a docstring and one return")
