"""Method: every formula, symbol, unit and source, generated from the code."""

import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.inputs import shortened
from llmcalc.quantity import Formula
from llmcalc.reference import formulas
from llmcalc.symbols import SYMBOLS
from llmcalc.words import w
from llmcalc.words.names import name, unit_name
from pages.ui.words.devices import table_of_devices
from pages.ui.words.problems import as_text
from pages.ui.words.working import citation

inside_app()


def entry(f: Formula) -> str:
    """One formula: its name, the formula, what it counts, its arguments and its source."""
    arguments = ", ".join(f"${SYMBOLS[a].tex}$ `{a}` {unit_name(SYMBOLS[a].unit)}".strip() for a in f.arguments)
    unit = f" ({unit_name(f.unit)})" if f.unit else ""
    return (
        f"**{name(f.id)}**{unit} :small[`{f.id}`]\n\n${f.symbol} = {f.tex}$\n\n"
        f"{w(f'formulas.{f.id}')} :small[{w('method.where')} {arguments}. {w('working.source')}: {citation(f.source)}]"
    )


def says(f: Formula, wanted: str) -> bool:
    """Whether the reader's words stand in a formula's name, arguments, meaning or source."""
    return wanted in " ".join((f.id, name(f.id), w(f"formulas.{f.id}"), str(f.source), *f.arguments)).lower()


st.header(w("method.header"), anchor=False)
st.markdown(w("method.sentence", count=sum(len(found) for found in formulas().values())))
wanted = st.text_input(w("method.search"), key="method_search", placeholder=w("method.search_example")).lower().strip()

matching = {module: [f for f in found if says(f, wanted)] for module, found in formulas().items()}
for module, found in matching.items():
    if found:
        title = w(f"modules.{module.removeprefix('llmcalc.').replace('.', '_')}")
        with st.expander(f"{title} · {len(found)}", expanded=bool(wanted)):
            st.markdown("\n\n---\n\n".join(entry(f) for f in found))
if not any(matching.values()):
    st.info(w("method.nothing", wanted=as_text(shortened(wanted))))

with st.expander(f"{w('method.nomenclature')} · {len(SYMBOLS)}"):
    lines = [f"| {w('method.symbol')} | {w('method.argument')} | {w('method.unit')} |", "|:--|:--|:--|"]
    lines += [f"| ${s.tex}$ | `{argument}` | {unit_name(s.unit)} |" for argument, s in SYMBOLS.items()]
    st.markdown("\n".join(lines))

with st.expander(f"{w('reported.header')} · {len(ACCELERATORS)}"):
    st.markdown(w("reported.explained"))
    st.markdown(table_of_devices())
