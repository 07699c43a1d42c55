"""Method: every formula, symbol, unit and source, generated from the code."""

from collections.abc import Sequence

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.errors import shortened
from llmcalc.quantity import Formula
from llmcalc.reference import formulas
from llmcalc.symbols import SYMBOLS
from llmcalc.words import w
from pages.content import method
from pages.ui.app.screen import draw
from pages.ui.document.screen_text import text
from pages.ui.words.problems import as_text


def page() -> None:
    """The page."""
    st.header(w("method.header"), anchor=False)
    st.markdown(w("method.sentence", count=sum(map(len, formulas().values()))))
    example = w("method.search_example")
    wanted = st.text_input(w("method.search"), key="method_search", placeholder=example).lower().strip()
    matching = method.matching(wanted)
    if not wanted:
        with st.expander(f"{w('method.nomenclature')} · {len(SYMBOLS)}"):
            draw(method.nomenclature())
        with st.expander(f"{w('reported.header')} · {len(ACCELERATORS)}"):
            draw(method.devices())
    for section, modules in method.in_sections(matching).items():
        st.subheader(w(f"method.section_{section}"), anchor=False)
        with st.container(key=f"method_{section}", gap="small"):
            for module, found in modules.items():
                formulas_of(module, found, is_open=bool(wanted))
    if not any(matching.values()):
        st.info(w("method.nothing", wanted=as_text(shortened(wanted))))


def formulas_of(module: str, found: Sequence[Formula], *, is_open: bool) -> None:
    """Those of one module, folded."""
    title = w(f"modules.{module.removeprefix('llmcalc.').replace('.', '_')}")
    with st.expander(f"{title} · {len(found)}", expanded=is_open):
        # in one piece: an element each would be more than the browser draws at once
        entries = ("\n\n".join(text(part.line) for part in method.entry(formula)) for formula in found)
        st.markdown("\n\n---\n\n".join(entries))


if __name__ == "__main__":
    alone()
