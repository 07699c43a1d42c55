"""Explore: one model, where its parameters are, what fills its memory, and how that grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from llmcalc.article import article_components, article_parameters
from llmcalc.configuration import Configuration
from llmcalc.export.models import formats
from llmcalc.sweeps import growth
from llmcalc.words import w
from llmcalc.words.names import name
from pages.content.pieces import component_names, memory_chart, shares, table, whose_memory
from pages.ui.document.blocks import (
    Block,
    Chart,
    Headlines,
    Line,
    Rests,
    Worked,
    bold,
    note,
    paragraph,
    plain,
    said_once,
)
from pages.ui.figures.memory import Panel, memory_curves, share_bars
from pages.ui.figures.palette import COLOURS, by_component, component_of
from pages.ui.words.numbers import exact, human, marked, signed
from pages.ui.words.standing import Headline
from pages.ui.words.verdict import as_counted, for_tensors, whole_model

# With that of the peak, whichever it is
MOMENTS_SHOWN = ("between_steps", "loss_backward", "backward_end", "optimizer_step")


@said_once
def numbers(config: Configuration) -> list[Headline]:
    """The numbers at the top."""
    serving, format = config.inference_standing, config.values["weight_format"]
    return [
        (w("explore.parameters"), config.model.parameters(), config.count_standing),
        (w("explore.weights", format=format), config.inference.inputs["weights"], serving),
        (as_counted(config, w("explore.training_peak")), config.training.peak, config.standing),
        (w("explore.inference", **_sizes(config)), config.inference, serving),
    ]


def _sizes(config: Configuration) -> dict[str, str]:
    """The batch and the length that the charts are of."""
    return {"batch": exact(config.values["batch_size"]), "length": exact(config.values["seq_len"])}


def headlines(config: Configuration) -> Headlines:
    """The same, once the charts are drawn."""
    return Headlines(partial(numbers, config))


@said_once
def parameters_chart(config: Configuration) -> Chart:
    """The parameters by component."""
    names, components = component_names(), {id: q.value for id, q in config.model.components().items()}
    told = ", ".join(f"{names[c]} {human(v, 'parameters')}" for c, v in components.items())
    title = w("explore.parameters_chart", total=human(config.model.parameters().value, "parameters"))
    figure = share_bars(title, components, names, "parameters", w("axes.parameters"))
    return Chart(figure, "parameters_by_component", f"{title}: {told}", 340)


@said_once
def moments_chart(config: Configuration) -> Chart:
    """What fills the memory at the moments of a training step, and in inference."""
    moments = config.training.moments
    shown = {*MOMENTS_SHOWN, config.training.peak_phase}
    rows = {w(f"phases.{m}"): by_component(moments[m].parts) for m in moments if m in shown}
    rows[w("phases.inference")] = by_component(config.inference.parts)
    title = w("explore.memory_chart", **_sizes(config))
    return memory_chart(config, "memory_by_component", title, rows, 340)


@said_once
def growth_chart(config: Configuration) -> Chart:
    """Memory against batch and against length, the other held: training peak and inference."""
    panels, ranges = [], []
    for knob, found in growth(config).items():
        curves = [
            (w("explore.training_peak"), found.training.tolist(), COLOURS["weights"]),
            (w("phases.inference"), found.inference.tolist(), COLOURS["kv_cache"]),
        ]
        panels.append(Panel(found.stops.tolist(), curves, config.values[knob], w(f"axes.{knob}")))
        ends = {"low": human(found.training[0], "bytes"), "high": human(found.training[-1], "bytes")}
        ranges.append(w("explore.growth_alt", axis=w(f"axes.{knob}"), **ends))
    title = w("explore.growth")
    figure = memory_curves(title, panels, for_tensors(config), w("axes.memory"))
    return Chart(figure, "memory_growth", f"{title}. {'; '.join(ranges)}", 360)


@said_once
def what_is_shown(config: Configuration) -> Iterator[Block]:
    """Whose memory the charts show, and what stands behind that."""
    yield from whose_memory(config, whole_model(config))
    yield Rests(config.standing)


@said_once
def beside_the_article(config: Configuration) -> Iterator[Block]:
    """The article's count and the exact one, by component."""
    names, dimensions = component_names(), config.dimensions
    printed, ours = article_components(dimensions), {id: q.value for id, q in config.model.components().items()}
    rows = [
        [names[id], exact(printed.get(id, 0)), exact(count), signed(count - printed.get(id, 0))]
        for id, count in ours.items()
    ]
    theirs, whole = sum(printed.values()), config.model.parameters().value
    last = (w("working.total"), exact(theirs), exact(whole), signed(whole - theirs))
    heads = ("working.component", "explore.article", "explore.exact", "explore.difference")
    yield table([*map(w, heads)], [*rows, map(bold, last)])
    yield note(w("explore.article_difference_why"))
    shape = {key: config.values[key] for key in ("d_model", "n_layers", "vocab_size")}
    yield Worked([article_parameters(d_ff=dimensions.ffn_width(), **shape)], 3)


@said_once
def in_every_format(config: Configuration) -> Iterator[Block]:
    """The weights' memory in each number format."""
    rows: list[list[str | Line]] = []
    for row in formats(config):
        bits, memory = row["bits_per_weight"], round(row["weights_bytes"])
        rows.append([plain(row["format"]), marked(f"{bits:.4g}"), exact(memory), human(memory, "bytes")])
    yield table([w("explore.format"), w("techniques.average"), w("explore.bytes"), ""], rows, "lrrl")


@said_once
def all_working(config: Configuration) -> Iterator[Block]:
    """How the number of parameters came about."""
    yield Worked([config.model.parameters()], 3)


@said_once
def inference(config: Configuration) -> Iterator[Block]:
    """What inference holds, with its working; in a file, for the page opens it from the number."""
    parts = sorted((q for q in config.inference.parts if q.value), key=lambda q: -q.value)
    yield shares([(name(q.id), q.value, component_of(q.id)) for q in parts], "bytes", "working.term")
    yield Worked([config.inference], 9)
    yield from of_pass(config)


def of_pass(config: Configuration) -> Iterator[Block]:
    """What inference holds, and what a pass of it peaks at: while prompts are read, and while a token is written."""
    found, held = config.serving.of_pass, config.inference.value
    if found is None:
        yield paragraph(w("explore.pass_unread", held=held))
        return
    prefill, decode = found.prefill_peak, found.decode_peak
    writes = w("explore.pass_writes", decode=decode.value) if found.kv_cache.value or config.model.keeps_states else ""
    yield paragraph(f"{w('explore.pass_peaks', held=held, prefill=prefill.value)} {writes}")
    yield Rests(config.serving.pass_standing)
    yield Worked([prefill, *([decode] if writes else [])], 1)


# What the page has below its charts, under the name by which it is opened
MORE: Mapping[str, Callable[[Configuration], Iterator[Block]]] = {
    "explore.article_difference": beside_the_article,
    "explore.formats": in_every_format,
    "explore.all_working": all_working,
    "explore.pass": of_pass,
}
