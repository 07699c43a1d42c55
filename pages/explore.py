"""Explore: one model, where its parameters are, what fills its memory, and how that grows."""

import numpy as np
import streamlit as st

from llmcalc.article import article_components, article_parameters
from llmcalc.catalog.formats import STORED_FORMATS
from llmcalc.inputs import INPUTS
from llmcalc.techniques.quantization import stored, stored_weights
from pages.ui.chart import chart
from pages.ui.figures import memory_bars, memory_curves, share_bars
from pages.ui.numbers import exact, human, marked, signed
from pages.ui.palette import COLOURS, by_component
from pages.ui.shell import inside_app
from pages.ui.show import headlines, title_of, working
from pages.ui.state import configuration
from pages.ui.words import w

MOMENTS_SHOWN = ("between_steps", "loss_backward", "backward_end", "optimizer_step")

inside_app()
config = configuration()
values, dimensions, model = config.values, config.dimensions, config.model
parameters, training, inference = model.parameters(), config.training, config.inference
device = (config.accelerator.id, config.accelerator.memory)
names = {component: w(f"components.{component}") for component in COLOURS}

st.header(w("explore.header", name=title_of(config)), anchor=False)
headlines(
    [
        (w("explore.parameters"), parameters),
        (w("explore.weights", format=values["weight_format"]), inference.inputs["weights"]),
        (w("explore.training_peak"), training.peak),
        (w("explore.inference"), inference),
    ]
)

by_parameters, by_memory = st.columns(2, gap="medium")
with by_parameters:
    components = {component: q.value for component, q in model.components().items()}
    shares = ", ".join(f"{names[c]} {human(v, 'parameters')}" for c, v in components.items())
    title = w("explore.parameters_chart", total=human(parameters.value, "parameters"))
    chart(
        share_bars(title, components, names, "parameters", w("axes.parameters")),
        key="parameters_by_component",
        alt=f"{title}: {shares}",
        height=340,
    )
with by_memory:
    rows = {w(f"phases.{m}"): by_component(q.parts) for m, q in training.moments.items() if m in MOMENTS_SHOWN}
    rows[w("phases.inference")] = by_component(inference.parts)
    totals = ", ".join(f"{row} {human(sum(parts.values()), 'bytes')}" for row, parts in rows.items())
    title = w("explore.memory_chart", batch=exact(values["batch_size"]), length=exact(values["seq_len"]))
    chart(
        memory_bars(title, rows, names, device, w("axes.memory")),
        key="memory_by_component",
        alt=f"{title}: {totals}",
        height=340,
    )

fits = training.peak.value <= device[1]
st.markdown(
    w(
        "explore.fits" if fits else "explore.does_not_fit",
        peak=human(training.peak.value, "bytes"),
        phase=w(f"phases.{training.peak_phase}"),
        device=device[0],
        memory=human(device[1], "bytes"),
        times=human(training.peak.value / device[1]),
    )
)

if config.is_estimate:
    st.caption(w("training.estimate"))


def growth(knob: str) -> None:
    """Memory against one knob, the other held: training peak and inference."""
    stops = np.array(sorted({*INPUTS[knob].scale, values[knob]}), dtype=float)
    sizes = {"batch_size": values["batch_size"], "seq_len": values["seq_len"]} | {knob: stops}
    peak = config.training_peak_of(**sizes)
    serving = np.broadcast_to(config.inference_of(**sizes).value, stops.shape)  # an encoder caches nothing: one number
    curves = {
        "training": (w("explore.training_peak"), peak.tolist(), COLOURS["weights"]),
        "inference": (w("phases.inference"), serving.tolist(), COLOURS["kv_cache"]),
    }
    grown = w(f"explore.growth_{knob}")
    chart(
        memory_curves(grown, stops.tolist(), curves, values[knob], device, w(f"axes.{knob}"), w("axes.memory")),
        key=f"growth_{knob}",
        alt=w("explore.growth_alt", title=grown, low=human(peak[0], "bytes"), high=human(peak[-1], "bytes")),
        height=360,
    )


left, right = st.columns(2, gap="medium")
with left:
    growth("batch_size")
with right:
    growth("seq_len")

with st.expander(w("explore.article_difference"), key="article_difference", on_change="rerun") as difference:
    if difference.open:
        printed = article_components(dimensions)
        heads = ("working.component", "explore.article", "explore.exact", "explore.difference")
        lines = ["| " + " | ".join(map(w, heads)) + " |", "|:--|--:|--:|--:|"]
        for component, q in model.components().items():
            theirs = printed.get(component, 0)
            lines.append(f"| {names[component]} | {exact(theirs)} | {exact(q.value)} | {signed(q.value - theirs)} |")
        whole, ours = sum(printed.values()), parameters.value
        lines.append(
            f"| **{w('working.total')}** | **{exact(whole)}** | **{exact(ours)}** | **{signed(ours - whole)}** |"
        )
        st.markdown("\n".join(lines))
        st.caption(w("explore.article_difference_why"))
        shape = {key: values[key] for key in ("d_model", "n_layers", "vocab_size")}
        working(article_parameters(d_ff=dimensions.ffn_width(), **shape), depth=3)

with st.expander(w("explore.formats"), key="formats", on_change="rerun") as formats:
    if formats.open:
        lines = [f"| {w('explore.format')} | {w('techniques.average')} | {w('explore.bytes')} | |", "|:--|--:|--:|:--|"]
        for name in STORED_FORMATS:
            memory, bits = round(stored_weights(model, name).value), stored(model, name).bits_per_weight
            lines.append(f"| {name} | {marked(f'{bits:.4g}')} | {exact(memory)} | {human(memory, 'bytes')} |")
        st.markdown("\n".join(lines))

with st.expander(w("explore.all_working"), key="all_working", on_change="rerun") as opened:
    if opened.open:
        working(parameters, depth=3)
