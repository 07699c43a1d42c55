"""Reads displayed LaTeX as a person with a pocket calculator would, knowing nothing of how it was made.

Exact (`Fraction`) as far as + − · / and whole powers go. Stricter than TeX: a minus sign only at the start of an
expression or between two terms, no power of a power without brackets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

_TOKEN = re.compile(
    r"\\begin\{cases\}|\\end\{cases\}|\\text\{otherwise\}|\\left\\lfloor|\\right\\rfloor|\\left\\lceil|\\right\\rceil"
    r"|\\left\(|\\right\)|\\log_\{10\}|\\log_2|\\\\|\\[a-z]+|\d+(?:\{,\}\d{3})*(?:\.\d+)?|[-+^{}&<>=,e]"
)
_CALLS = {r"\ln": math.log, r"\log_2": math.log2, r"\log_{10}": math.log10}
_COMPARISONS = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    r"\le": lambda a, b: a <= b,
    r"\ge": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}


def evaluate(latex: str, symbols: Mapping[str, Any] | None = None) -> Any:
    """The number that the LaTeX says, with ``symbols`` for the letters in it. ValueError for anything unclear."""
    reader = _Reader(latex, symbols or {})
    value = reader.comparison()
    if reader.tokens:
        raise ValueError(f"cannot read {reader.tokens[:5]} at the end of {latex!r}")
    return value


def power(base: Any, exponent: Any) -> Any:
    """Exact for a whole exponent, a float otherwise."""
    if exponent == int(exponent):
        return Fraction(base) ** int(exponent)
    return float(base) ** float(exponent)


class _Reader:
    def __init__(self, latex: str, symbols: Mapping[str, Any]) -> None:
        self.symbols = symbols
        self.tokens: list[str] = []
        longest_first = sorted(symbols, key=len, reverse=True)
        rest = latex.strip()
        while rest:
            token = next((s for s in longest_first if rest.startswith(s)), None)
            if token is None:
                match = _TOKEN.match(rest)
                if not match:
                    raise ValueError(f"cannot read {rest!r} in {latex!r}")
                token = match[0]
            self.tokens.append(token)
            rest = rest[len(token) :].lstrip()

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, *expected: str) -> str:
        if not self.tokens or (expected and self.tokens[0] not in expected):
            raise ValueError(f"expected {expected} before {self.tokens[:5]}")
        return self.tokens.pop(0)

    def comparison(self) -> Any:
        left = self.sum()
        if self.peek() in _COMPARISONS:
            return int(_COMPARISONS[self.take()](left, self.sum()))
        return left

    def sum(self) -> Any:
        negative = self.peek() == "-" and bool(self.take())
        value = -self.product() if negative else self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self) -> Any:
        value = self.power()
        while self.peek() in (r"\cdot", r"\times"):
            self.take()
            value = value * self.power()
        return value

    def power(self) -> Any:
        base = self.atom()
        if self.peek() != "^":
            return base
        self.take()
        value = power(base, self.group())
        if self.peek() == "^":
            raise ValueError("double superscript")
        return value

    def group(self) -> Any:
        self.take("{")
        value = self.comparison()
        self.take("}")
        return value

    def brackets(self, *, pair: bool = False) -> Any:
        self.take(r"\left(")
        values = [self.comparison()]
        if pair:
            self.take(",")
            values.append(self.comparison())
        self.take(r"\right)")
        return values if pair else values[0]

    def atom(self) -> Any:
        token = self.peek()
        if token == r"\left(":
            return self.brackets()
        self.take()
        if token in self.symbols:
            return self.symbols[token]
        if token[0].isdigit():
            return Fraction(token.replace("{,}", ""))
        if token == "e":
            self.take("^")
            if self.peek() != "{":
                raise ValueError("e to the what?")
            value = math.exp(self.group())
            if self.peek() == "^":
                raise ValueError("double superscript")
            return value
        if token == r"\frac":
            numerator = self.group()
            return Fraction(numerator) / Fraction(self.group())
        if token == r"\sqrt":
            return math.sqrt(self.group())
        if token in (r"\min", r"\max"):
            return (min if token == r"\min" else max)(self.brackets(pair=True))
        if token in _CALLS:
            return _CALLS[token](self.brackets())
        if token in (r"\left\lfloor", r"\left\lceil"):
            value = self.comparison()
            self.take(token.replace("left", "right").replace("lfloor", "rfloor").replace("lceil", "rceil"))
            return math.floor(value) if "floor" in token else math.ceil(value)
        if token == r"\infty":
            return math.inf
        if token == r"\begin{cases}":
            return self.cases()
        raise ValueError(f"cannot read {token!r}")

    def cases(self) -> Any:
        then = self.comparison()
        self.take("&")
        condition = self.comparison()
        self.take("\\\\")
        otherwise = self.comparison()
        for expected in ("&", r"\text{otherwise}", r"\end{cases}"):
            self.take(expected)
        return then if condition else otherwise
