"""A formula's expression as LaTeX, with symbols or with values in the place of its names."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from llmcalc.units import Locale

_COMPARISON, _SUM, _PRODUCT, _UNARY, _POWER, _ATOM = range(6)
_OPERATORS = {ast.Add: (" + ", _SUM), ast.Sub: (" - ", _SUM), ast.Mult: (r" \cdot ", _PRODUCT)}
_COMPARISONS = {ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge", ast.Eq: "="}
_FUNCTIONS = {
    "minimum": r"\min\left({}, {}\right)",
    "maximum": r"\max\left({}, {}\right)",
    "ceil": r"\left\lceil {} \right\rceil",
    "floor": r"\left\lfloor {} \right\rfloor",
    "sqrt": r"\sqrt{{{}}}",
    "exp": r"e^{{{}}}",
    "log": r"\ln\left({}\right)",
    "log2": r"\log_2\left({}\right)",
    "log10": r"\log_{{10}}\left({}\right)",
}


def render(expression: ast.expr, names: Mapping[str, str]) -> str:
    """LaTeX of ``expression`` with each name replaced by ``names[name]`` (a symbol, or a value).

    Raises TypeError for syntax that a formula may not contain.
    """
    return _render(expression, names)[0]


def number(value: Any) -> str:
    """A number as LaTeX: exact integers with thousands separators, others to eight digits, arrays by their ends.

    >>> number(124_439_808), number(3.14e23), number(0.076)
    ('124{,}439{,}808', '3.14 \\\\times 10^{23}', '0.076')
    """
    if isinstance(value, np.ndarray):
        return rf"\left[{number(value.flat[0].item())} \ldots {number(value.flat[-1].item())}\right]"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", "{,}")
    if not math.isfinite(value):
        return r"\infty" if value > 0 else (r"-\infty" if value < 0 else r"\text{undefined}")
    if 1e-4 <= abs(value) < 1e15:
        digits = 7 - math.floor(math.log10(abs(value)))
        return f"{value:,.{max(digits, 2)}f}".rstrip("0").rstrip(".").replace(",", "{,}")
    mantissa, exponent = f"{value:.7e}".split("e")
    return rf"{mantissa.rstrip('0').rstrip('.')} \times 10^{{{int(exponent)}}}"


def localized(latex: str, locale: Locale) -> str:
    r"""What `render` or `number` made, with the marks of another language in its numbers.

    >>> localized(r"50{,}000 \cdot 0.5", Locale(decimal=",", thousands="."))
    '50.000 \\cdot 0{,}5'
    """
    return re.sub(r"\d(?:\d|\{,\}|\.)*", lambda n: locale.marked(n[0].replace("{,}", ",")).replace(",", "{,}"), latex)


def _render(node: ast.expr, names: Mapping[str, str]) -> tuple[str, int]:
    """LaTeX and how tightly it binds, so that the caller knows whether it needs brackets."""
    match node:
        case ast.Name(name) if name in names:
            return names[name], _binding(names[name])
        case ast.Constant(int() | float() as value):
            return number(value), _binding(number(value))
        case ast.BinOp(left, ast.Div(), right):
            return rf"\frac{{{_render(left, names)[0]}}}{{{_render(right, names)[0]}}}", _PRODUCT
        case ast.BinOp(left, ast.FloorDiv(), ast.Constant(1)):
            return rf"\left\lfloor {_render(left, names)[0]} \right\rfloor", _ATOM
        case ast.BinOp(left, ast.FloorDiv(), right):
            return (
                rf"\left\lfloor \frac{{{_render(left, names)[0]}}}{{{_render(right, names)[0]}}} \right\rfloor",
                _ATOM,
            )
        case ast.BinOp(left, ast.Pow(), right):
            return f"{_bracketed(left, names, _ATOM)}^{{{_render(right, names)[0]}}}", _POWER
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            sign, binding = _OPERATORS[type(operator)]
            right_binding = binding + 1 if isinstance(operator, ast.Sub) else binding
            right_text = _bracketed(right, names, right_binding)
            if right_text.startswith("-"):
                right_text = rf"\left({right_text}\right)"
            return f"{_bracketed(left, names, binding)}{sign}{right_text}", binding
        case ast.UnaryOp(ast.USub(), operand):
            return f"-{_bracketed(operand, names, _POWER)}", _UNARY
        case ast.Compare(left, [operator], [right]) if type(operator) in _COMPARISONS:
            sides = (_bracketed(side, names, _SUM) for side in (left, right))
            return f" {_COMPARISONS[type(operator)]} ".join(sides), _COMPARISON
        case ast.Call(ast.Attribute(ast.Name("np"), "where"), [condition, then, otherwise], []):
            cases = [_render(part, names)[0] for part in (then, condition, otherwise)]
            return r"\begin{{cases}} {} & {} \\ {} & \text{{otherwise}} \end{{cases}}".format(*cases), _SUM
        case ast.Call(ast.Attribute(ast.Name("np"), function), arguments, []) if function in _FUNCTIONS:
            text = _FUNCTIONS[function].format(*(_render(a, names)[0] for a in arguments))
            return text, _POWER if function == "exp" else _ATOM
    raise TypeError(f"a formula may not contain {ast.unparse(node)!r}")


def _bracketed(node: ast.expr, names: Mapping[str, str], needed: int) -> str:
    text, binding = _render(node, names)
    return text if binding >= needed else rf"\left({text}\right)"


def _binding(text: str) -> int:
    """A symbol or a plain number is an atom; -3, 3.1 × 10²³ and the symbol n · N are not."""
    if text.startswith("-"):
        return _UNARY
    if " + " in text:
        return _SUM
    return _PRODUCT if r"\times" in text or r"\cdot" in text else _ATOM
