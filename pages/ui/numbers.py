"""Numbers as the reader's language writes them; `llmcalc.units` says how, in any language."""

from __future__ import annotations

from llmcalc import units
from pages.ui.words import locale


def human(value: float, unit: str = "") -> str:
    """Three significant digits and the prefix that suits the unit: 8.03 B, 14.9 GiB."""
    return units.human(value, unit, locale())


def exact(value: float) -> str:
    """Every digit of an integer, other numbers to six digits."""
    return units.exact(value, locale=locale())


def signed(difference: float) -> str:
    """Every digit of a difference, with its sign."""
    return marked(f"{difference:+,}")


def percent(share: float) -> str:
    """A share in per cent, to a tenth."""
    return marked(f"{share:.1%}")


def marked(number: str) -> str:
    """A number that Python wrote, with the decimal mark and the mark between thousands of the reader's language."""
    return locale().marked(number)
