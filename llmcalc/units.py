"""Numbers for people, and back: 8.03 B, 14.9 GiB. GB is 10⁹ bytes, GiB is 2³⁰. Nothing else in llmcalc formats."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

KiB, MiB, GiB, TiB, PiB, EiB = (2 ** (10 * power) for power in range(1, 7))
GB = 10**9

_COUNTS = (10**12, 10**9, 10**6, 10**3)
_FLOP = [(10**15, " PFLOP"), (10**12, " TFLOP"), (10**9, " GFLOP"), (10**6, " MFLOP"), (10**3, " kFLOP")]
_TIMES = (86_400, 3_600, 60)
_SECONDS = [(1, " s"), (1e-3, " ms"), (1e-6, " µs"), (1e-9, " ns")]
_ENERGY = [(3.6e15, " TWh"), (3.6e12, " GWh"), (3.6e9, " MWh"), (3.6e6, " kWh")]
_MASS = [(1e9, " Mt"), (1e6, " kt"), (1e3, " t"), (1, " kg"), (1e-3, " g")]
_BINARY = [(EiB, " EiB"), (PiB, " PiB"), (TiB, " TiB"), (GiB, " GiB"), (MiB, " MiB"), (KiB, " KiB")]
_DECIMAL_BYTES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BINARY_BYTES = {"kib": KiB, "mib": MiB, "gib": GiB, "tib": TiB, "pib": PiB, "eib": EiB}


@dataclass(frozen=True)
class Locale:
    """How a language writes numbers: decimal mark, mark between thousands, and what follows counts of 10¹² to 10³, and
    days, hours and minutes."""

    decimal: str = "."
    thousands: str = ","
    counts: tuple[str, ...] = ("T", "B", "M", "k")
    times: tuple[str, ...] = ("d", "h", "min")

    def marked(self, number: str) -> str:
        """A number that Python wrote, with this language's marks."""
        return number.translate(str.maketrans(".,", self.decimal + self.thousands))

    def number(self, text: str) -> float:
        """The number that somebody wrote with this language's marks or without any: 1,024, 1024 and 1.024e3 are one.

        Raises ValueError for anything else.
        """
        decimal, thousands = re.escape(self.decimal), re.escape(self.thousands)
        text = "".join(text.split())
        grouped = re.fullmatch(rf"([+-]?\d{{1,3}}(?:{thousands}\d{{3}})+)(?:{decimal}(\d*))?", text)
        if grouped:
            return float(f"{grouped[1].replace(self.thousands, '')}.{grouped[2] or 0}")
        if not re.fullmatch(rf"[+-]?(?:\d+(?:[.{decimal}]\d*)?|[.{decimal}]\d+)(?:[eE][+-]?\d+)?", text):
            raise ValueError(f"not a number: {text!r}")
        return float(text.replace(self.decimal, "."))

    @property
    def scale(self) -> list[tuple[int, str]]:
        """Factors and what they are called, the largest first."""
        return list(zip(_COUNTS, self.counts, strict=True))

    @property
    def clock(self) -> list[tuple[float, str]]:
        """Seconds and what so many are called, from days to nanoseconds."""
        return [*((factor, f" {name}") for factor, name in zip(_TIMES, self.times, strict=True)), *_SECONDS]


ENGLISH = Locale()
_CONTEXTS = 1e8  # tokens: so many a context, a pool or a batch has at most, and is told by all digits


def human(value: float, unit: str = "", locale: Locale = ENGLISH) -> str:
    """``value`` with three significant digits and the prefix that suits its unit.

    >>> human(124_439_808, "parameters"), human(16 * 2**30, "bytes"), human(0.076), human(8192, "tokens")
    ('124 M', '16.0 GiB', '0.076', '8,192')
    """
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    return locale.marked(_human(value, unit, locale))


def _human(value: float, unit: str, locale: Locale) -> str:
    if unit == "bytes":
        return _scaled(value, _BINARY, " B")
    if unit == "tokens" and abs(value) < _CONTEXTS:
        return f"{round(value):,}"
    if unit in ("parameters", "tokens"):
        return _scaled(value, [(factor, f" {name}") for factor, name in locale.scale], "")
    if unit == "FLOP" and abs(value) < 1e18:
        return _scaled(value, _FLOP, " FLOP")
    if unit == "s" and 1e-9 <= abs(value) < 1e9:
        return _scaled(value, locale.clock, " s")
    if unit == "J" and abs(value) >= 3.6e6:
        return _scaled(value, _ENERGY, " J")
    if unit == "share":
        return f"{significant(100 * value)}%"
    if unit == "J" and abs(value) >= 1e-3:
        return f"{significant(value)} J"
    if unit == "kg" and 1e-3 <= abs(value) < 1e15:
        return _scaled(value, _MASS, " kg")
    if unit == "h" and abs(value) < 1e7:
        return f"{significant(value)} {locale.times[1]}"
    if abs(value) >= 1e7 or 0 < abs(value) < 1e-4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa} × 10{_superscript(int(exponent))}"
    return significant(value)


def exact(value: float, unit: str = "", locale: Locale = ENGLISH) -> str:
    """Every digit of an integer with separators, other numbers to six digits, followed by the unit."""
    if math.isfinite(value) and abs(value) < 1e15 and value == int(value):
        text = f"{int(value):,}"
    elif isinstance(value, int):
        text = f"{value:,}"
    else:
        text = f"{value:,.6g}"
    return f"{locale.marked(text)} {'' if unit == 'share' else unit}".strip()


def whole(value: float, locale: Locale = ENGLISH) -> str:
    """Every digit of a number, as `Locale.number` reads them back.

    >>> whole(33_000.125), whole(2.0), whole(1_024)
    ('33,000.125', '2', '1,024')
    """
    return locale.marked(f"{value:,}".removesuffix(".0"))


def significant(value: float, digits: int = 3) -> str:
    """Three significant digits without an exponent: 1,230 · 12.3 · 0.0123."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    if isinstance(value, int) or abs(rounded) >= 10**digits:
        return f"{round(value):,}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{rounded:.{places}f}"
    return text.rstrip("0").rstrip(".") if places and (value == int(value) or abs(value) < 1) else text


def parse_bytes(text: str) -> float:
    """Bytes from "80 GB", "16GiB" or "4096".

    Raises ValueError for anything else.
    """
    match = re.fullmatch(r"\s*((?:\d{1,3}(?:,\d{3})+|\d[\d_]*)(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    factors = {"": 1, "b": 1} | _DECIMAL_BYTES | _BINARY_BYTES
    if not match or match[2].lower() not in factors:
        raise ValueError(f"not a size in bytes: {text!r} (write 80 GB, 16 GiB or a number of bytes)")
    return float(match[1].replace(",", "").replace("_", "")) * factors[match[2].lower()]


def _scaled(value: float, scale: Sequence[tuple[float, str]], bare: str) -> str:
    for factor, suffix in scale:
        if abs(value) >= factor * 0.9995:
            return f"{_three(value / factor)}{suffix}"
    return f"{significant(value)}{bare}"


def _three(value: float) -> str:
    places = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:,.{places}f}"


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
