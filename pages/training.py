"""Training memory: what stays, what the peak adds, term by term, and where the peak arises."""

import streamlit as st

from llmcalc.article import training_rule_of_thumb
from llmcalc.inference import model_memory
from llmcalc.training import ACCOUNTS
from pages.ui.chart import chart
from pages.ui.figures import memory_bars
from pages.ui.numbers import exact, human, marked
from pages.ui.palette import COLOURS, by_component
from pages.ui.shell import configuration, inside_app
from pages.ui.show import headlines, term_table, working
from pages.ui.words import w

inside_app()
config = configuration()
training, dimensions = config.training, config.dimensions
device = (config.accelerator.id, config.accelerator.memory)
names = {component: w(f"components.{component}") for component in COLOURS}

st.header(w("training.header"), anchor=False)
st.markdown(
    w(
        "training.sentence",
        batch=exact(config.values["batch_size"]),
        length=exact(config.values["seq_len"]),
        steady=human(training.steady_state.value, "bytes"),
        peak=human(training.peak.value, "bytes"),
        phase=w(f"phases.{training.peak_phase}"),
        account=w(f"counted.{config.values['account']}"),
    )
)
headlines(
    [
        (w("training.steady_state"), training.steady_state),
        (w("training.activations"), training.activations),
        (w("training.peak"), training.peak),
    ]
)

rows = {w(f"phases.{phase}"): by_component(q.parts) for phase, q in training.phases.items()}
title = w("training.chart")
totals = ", ".join(f"{row} {human(sum(parts.values()), 'bytes')}" for row, parts in rows.items())
figure = memory_bars(title, rows, names, device, w("axes.memory"))
chart(figure, key="memory_by_phase", alt=f"{title}: {totals}", height=320)

if config.is_estimate:
    st.caption(w("training.estimate"))

st.subheader(w("training.terms", phase=w(f"phases.{training.peak_phase}")), anchor=False)
at_peak = training.phases[training.peak_phase]
st.markdown(term_table([q for q in at_peak.parts if q.value], at_peak))
with st.expander(w("working.open"), key="peak_working", on_change="rerun") as opened:
    if opened.open:
        working(at_peak)

st.subheader(w("training.article_header"), anchor=False)
st.markdown(w("training.article_text"))
both = {account: count(dimensions, config.run) for account, count in ACCOUNTS.items()}
heads = (w("accounts.article"), w("accounts.corrected"), w("training.ratio"))
lines = [f"| | {' | '.join(heads)} |", "|:--|--:|--:|--:|"]
ours = both["corrected"]
fp32 = model_memory(parameters=config.model.parameters(), bits_per_weight=32)
terms = ("steady_state", "activations", "peak")
compared = [(w(f"training.{term}"), getattr(both["article"], term), getattr(ours, term)) for term in terms]
compared.append((w("quantities.training_rule_of_thumb"), training_rule_of_thumb(model_bytes=fp32), ours.peak))
for label, theirs, right in compared:
    ratio = marked(f"{theirs.value / right.value:.2f}")
    amounts = f"{human(theirs.value, 'bytes')} | {human(right.value, 'bytes')} | {ratio}"
    lines.append(f"| {label} | {amounts} |")
st.markdown("\n".join(lines))
