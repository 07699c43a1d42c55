"""Method: every formula, symbol, unit and source, generated from the code."""

import inspect

import streamlit as st

from llmcalc.reference import formulas, modules
from llmcalc.symbols import SYMBOLS
from pages.ui.shell import inside_app
from pages.ui.show import citation, name
from pages.ui.words import w

inside_app()

st.header(w("method.header"), anchor=False)
count = sum(len(found) for found in formulas().values())
st.markdown(w("method.sentence", count=count))
wanted = st.text_input(w("method.search"), key="method_search", placeholder=w("method.search_example")).lower().strip()

about = {module.__name__: inspect.getdoc(module) or "" for module in modules()}
shown = 0
for module, found in formulas().items():
    matching = [
        f for f in found if wanted in " ".join((f.id, name(f.id), f.meaning, str(f.source), *f.arguments)).lower()
    ]
    if not matching:
        continue
    shown += len(matching)
    st.subheader(about[module].split("\n")[0], anchor=module.replace(".", "-"))
    blocks = []
    for f in matching:
        arguments = ", ".join(f"${SYMBOLS[a].tex}$ `{a}` {SYMBOLS[a].unit}".strip() for a in f.arguments)
        unit = f" [{f.unit}]" if f.unit else ""
        blocks.append(
            f"**{name(f.id)}** `{f.id}`{unit}\n\n${f.symbol} = {f.tex}$\n\n{f.meaning}\n\n"
            f":small[{w('method.where')} {arguments}]\n\n:small[{w('working.source')}: {citation(f.source)}]"
        )
    st.markdown("\n\n---\n\n".join(blocks))
if not shown:
    st.info(w("method.nothing", wanted=wanted))

st.subheader(w("method.nomenclature"), anchor="nomenclature")
lines = [f"| {w('method.symbol')} | {w('method.argument')} | {w('method.unit')} |", "|:--|:--|:--|"]
lines += [f"| ${s.tex}$ | `{argument}` | {s.unit} |" for argument, s in SYMBOLS.items()]
st.markdown("\n".join(lines))
