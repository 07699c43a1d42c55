"""What the sections on techniques share: results published elsewhere, a table, a number that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from llmcalc.accuracy.published_results import PUBLISHED_RESULTS
from llmcalc.quantity import Quantity
from llmcalc.words import w
from pages.ui.app.show import working
from pages.ui.words.working import citation


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1, key: str = "") -> None:
    """A table whose first ``left`` columns are words and whose others are numbers; with a key, a style of its own."""
    aligned = [":--"] * left + ["--:"] * (len(heads) - left)
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(aligned)}|", *(f"| {' | '.join(row)} |" for row in rows)]
    with st.container(key=key or None):
        st.markdown("\n".join(lines))


def published(technique: str) -> None:
    """What was measured of a technique elsewhere, each with its source."""
    st.subheader(w("techniques.published"), anchor=False)
    rows = [row for row in PUBLISHED_RESULTS.values() if row.technique == technique]
    st.markdown("\n".join(f"- {w(f'published.{row.id}')} :small[{citation(row.source)}]" for row in rows))


def workings(key: str, *quantities: Quantity, depth: int = 1) -> None:
    """The working of some numbers, on demand."""
    with st.expander(w("working.open"), key=key, on_change="rerun") as opened:
        if opened.open:
            for quantity in quantities:
                working(quantity, depth)
