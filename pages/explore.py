"""Explore: one model, where its parameters are, what fills its memory, and how that grows."""

from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.article import article_components, article_parameters
from llmcalc.catalog.formats import STORED_FORMATS
from llmcalc.inputs import integer
from llmcalc.stored.weights import stored, stored_weights
from llmcalc.words import w
from pages.ui.app.sections import after_charts, charts_first
from pages.ui.app.show import headlines, model_header, one_of, standing_note, working
from pages.ui.app.state import configuration
from pages.ui.app.verdict import draw_counted, draw_verdict, verdict_place
from pages.ui.chart.component import chart
from pages.ui.figures.memory import Panel, memory_bars, memory_curves, share_bars
from pages.ui.figures.palette import COLOURS, by_component
from pages.ui.words.numbers import exact, human, marked, signed
from pages.ui.words.standing import Headline
from pages.ui.words.titles import title_of
from pages.ui.words.verdict import as_counted, for_tensors, whole_model

MOMENTS_SHOWN = ("between_steps", "loss_backward", "backward_end", "optimizer_step")

inside_app()
config = configuration()
values, dimensions, model = config.values, config.dimensions, config.model
parameters = model.parameters()
device = for_tensors(config)
names = {component: w(f"components.{component}") for component in COLOURS}


def parameters_chart() -> dict[str, Any]:
    """The parameters by component."""
    components = {component: q.value for component, q in model.components().items()}
    shares = ", ".join(f"{names[c]} {human(v, 'parameters')}" for c, v in components.items())
    title = w("explore.parameters_chart", total=human(parameters.value, "parameters"))
    figure = share_bars(title, components, names, "parameters", w("axes.parameters"))
    return {"figure": figure, "key": "parameters_by_component", "alt": f"{title}: {shares}", "height": 340}


def memory_chart() -> dict[str, Any]:
    """What fills the memory at the moments of a training step, and in inference."""
    moments = training.moments
    rows = {w(f"phases.{m}"): by_component(moments[m].parts) for m in moments if m in MOMENTS_SHOWN}
    rows[w("phases.inference")] = by_component(inference.parts)
    totals = ", ".join(f"{row} {human(sum(parts.values()), 'bytes')}" for row, parts in rows.items())
    title = w("explore.memory_chart", batch=exact(values["batch_size"]), length=exact(values["seq_len"]))
    figure = memory_bars(title, rows, names, device, w("axes.memory"))
    return {"figure": figure, "key": "memory_by_component", "alt": f"{title}: {totals}", "height": 340}


def whether_it_fits() -> None:
    """The verdict; then whose memory the charts show, and what stands behind that."""
    draw_verdict(config, place_of_verdict)
    draw_counted(config, whole_model(config))
    standing_note(config.standing)


def growth_chart() -> dict[str, Any]:
    """Memory against batch and against length, the other held: training peak and inference."""
    held = {knob: values[knob] for knob in ("batch_size", "seq_len")}
    batches, lengths = (np.array(sorted({*integer(knob).scale, now}), dtype=float) for knob, now in held.items())
    batch = np.concatenate([batches, np.full(len(lengths), held["batch_size"])])
    length = np.concatenate([np.full(len(batches), held["seq_len"]), lengths])
    memory = [config.training_peak_of(batch, length), config.inference_of(batch, length).value]  # one sweep for both
    peaks, serving = (np.split(np.broadcast_to(m, batch.shape), [len(batches)]) for m in memory)
    panels, ranges = [], []
    for knob, stops, peak, served in zip(held, (batches, lengths), peaks, serving, strict=True):
        curves = [
            (w("explore.training_peak"), peak.tolist(), COLOURS["weights"]),
            (w("phases.inference"), served.tolist(), COLOURS["kv_cache"]),
        ]
        panels.append(Panel(stops.tolist(), curves, held[knob], w(f"axes.{knob}")))
        ends = {"low": human(peak[0], "bytes"), "high": human(peak[-1], "bytes")}
        ranges.append(w("explore.growth_alt", axis=w(f"axes.{knob}"), **ends))
    title = w("explore.growth")
    figure = memory_curves(title, panels, device, w("axes.memory"))
    return {"figure": figure, "key": "memory_growth", "alt": f"{title}. {'; '.join(ranges)}", "height": 360}


def beside_the_article() -> None:
    """The article's count and the exact one, by component."""
    printed = article_components(dimensions)
    heads = ("working.component", "explore.article", "explore.exact", "explore.difference")
    lines = ["| " + " | ".join(map(w, heads)) + " |", "|:--|--:|--:|--:|"]
    for component, q in model.components().items():
        theirs = printed.get(component, 0)
        lines.append(f"| {names[component]} | {exact(theirs)} | {exact(q.value)} | {signed(q.value - theirs)} |")
    whole, ours = sum(printed.values()), parameters.value
    lines.append(f"| **{w('working.total')}** | **{exact(whole)}** | **{exact(ours)}** | **{signed(ours - whole)}** |")
    st.markdown("\n".join(lines))
    st.caption(w("explore.article_difference_why"))
    shape = {key: values[key] for key in ("d_model", "n_layers", "vocab_size")}
    working(article_parameters(d_ff=dimensions.ffn_width(), **shape), depth=3)


def in_every_format() -> None:
    """The weights' memory in each number format."""
    lines = [f"| {w('explore.format')} | {w('techniques.average')} | {w('explore.bytes')} | |", "|:--|--:|--:|:--|"]
    for name in STORED_FORMATS:
        memory, bits = round(stored_weights(model, name).value), stored(model, name).bits_per_weight
        lines.append(f"| {name} | {marked(f'{bits:.4g}')} | {exact(memory)} | {human(memory, 'bytes')} |")
    st.markdown("\n".join(lines))


def numbers() -> list[Headline]:
    """The numbers at the top."""
    serving = config.inference_standing
    return [
        (w("explore.parameters"), parameters, config.count_standing),
        (w("explore.weights", format=values["weight_format"]), config.inference.inputs["weights"], serving),
        (as_counted(config, w("explore.training_peak")), config.training.peak, config.standing),
        (w("explore.inference"), config.inference, serving),
    ]


first = parameters_chart()  # before anything is sent, so that all that comes before the chart is sent with it
model_header(w("explore.header", name=title_of(config)), config.base)
headlines(numbers)
with st.container(key="charts"):
    said = st.container()  # shown below what it is about, and drawn after the charts
    with said:
        place_of_verdict = verdict_place()
    chart(**first)
    training, inference = config.training, config.inference
    chart(**memory_chart())
    chart(**growth_chart())
after_charts(said, whether_it_fits)
charts_first()
one_of(
    {
        "explore.article_difference": beside_the_article,
        "explore.formats": in_every_format,
        "explore.all_working": partial(working, parameters, depth=3),
    },
    "more_of_explore",
)
