"""Numbers as the reader's language writes them; `llmcalc.units` says how, in any language."""

from __future__ import annotations

from llmcalc import units
from llmcalc.accuracy import Errors
from llmcalc.words import locale


def human(value: float, unit: str = "") -> str:
    """Three significant digits and the prefix that suits the unit: 8.03 B, 14.9 GiB."""
    return units.human(value, unit, locale())


def exact(value: float) -> str:
    """Every digit of an integer, other numbers to six digits."""
    return units.exact(value, locale=locale())


def signed(difference: float) -> str:
    """Every digit of a difference, with its sign where there is one."""
    return marked(f"{difference:+,}".replace("-", "−") if difference else "0")


def change(difference: float, unit: str) -> str:
    """A difference for people, with its sign: +1.2 GiB, −30 ms; 0 where there is none."""
    return f"{'+' if difference > 0 else '−'}{human(abs(difference), unit)}" if difference else "0"


def percent(share: float) -> str:
    """A share in per cent, to a tenth; what is there but would be rounded away is said to be less."""
    return marked("<0.1%" if 0 < share < 0.0005 else f"{share:.1%}")


def error_share(share: float) -> str:
    """The size of an error in per cent, to two digits; what is far below any use is said to be less."""
    return marked("0%" if share == 0 else "<\u00a00.001%" if share < 1e-5 else f"{units.significant(100 * share, 2)}%")


def spread_told(off: Errors) -> str:
    """Median, 95th percentile and largest error, for a table."""
    return " / ".join(map(error_share, (off.median, off.p95, off.largest)))


def marked(number: str) -> str:
    """A number that Python wrote, with the decimal mark and the mark between thousands of the reader's language."""
    return locale().marked(number)
