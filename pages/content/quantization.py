"""Quantization of weights, and the cache of keys and values: bytes in every number format."""

from __future__ import annotations

from collections.abc import Iterator

from llmcalc.catalog.formats import CACHE_FORMATS, STORED_FORMATS, WEIGHT_FORMATS
from llmcalc.configuration import Configuration
from llmcalc.serving.held import cache_per_token, full_cache
from llmcalc.stored.weights import GROUPS, stored, stored_weights
from llmcalc.techniques.cache import kinds_of_cache
from llmcalc.transformer.model import Model
from llmcalc.words import value_of, w
from pages.content.pieces import memory_chart, published, table, workings
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, bold, cite, code, heading, note, paragraph, said, said_once
from pages.ui.figures.palette import by_component
from pages.ui.figures.techniques import plain_bars
from pages.ui.words.numbers import change, exact, human, marked

DRAWN = (
    *("bf16", "fp8", "int8", "GGUF Q8_0", "GGUF Q6_K", "GGUF Q5_K_M", "GGUF Q4_K_M", "NF4", "NVFP4", "MXFP4"),
    *("int4 g128", "int3 g128", "GGUF Q3_K_M", "GGUF Q2_K", "GGUF IQ2_XXS"),
)


@said_once
def quantization(config: Configuration) -> Iterator[Block]:
    """Weights in every number format with the cache beside them, and what of the model stays as it is."""
    values, model = config.values, config.model
    name = values["weight_format"]
    yield paragraph(w("techniques.quantization"))
    yield say.Controls(["weight_format", "cache_format"], 2)
    plain, memory = stored_weights(model, "bf16"), config.inference
    standing = config.inference_standing
    quantities = [(w("techniques.weights_in", format="bf16"), plain, config.inference_standing_in("bf16"))]
    if name != "bf16":
        quantities.append((w("techniques.weights_in", format=name), memory.inputs["weights"], standing))
    served = config.verdict_of_inference
    quantities.append((_served_label(config), served.needed, config.serving.served_standing))
    yield say.Headlines(lambda: quantities)
    yield _format_chart(config)
    yield from _unquantised(model, name)
    yield say.Folded(said(w("techniques.all_formats")), "all_formats", lambda: _all_formats(model))
    yield workings("quantization_working", memory, depth=2)
    yield from published("quantization")


def _served_label(config: Configuration) -> str:
    requests = config.requests
    engine = value_of("engine", requests.engine)
    return w("techniques.served_needs", engine=engine, requests=requests.number, length=requests.length)


@said_once
def _format_chart(config: Configuration) -> say.Chart:
    values, cache = config.values, config.inference.inputs["kv_cache"]
    chosen = values["weight_format"]
    drawn = DRAWN if chosen in DRAWN else (chosen, *DRAWN)
    names = {component: w(f"components.{component}") for component in ("embedding", "head", "kv_cache")}
    names |= {"weights": w("techniques.group_layers"), "norm": w("techniques.group_rest")}
    rows = {}
    for name in drawn:
        label = w("techniques.chosen", name=name) if name == chosen else name
        rows[label] = by_component((*stored_weights(config.model, name).parts, cache))
    length, batch = exact(values["seq_len"]), exact(values["batch_size"])
    title = w("techniques.format_chart", cache=values["cache_format"], batch=batch, length=length)
    return memory_chart(config, "weights_by_format", title, rows, 120 + 27 * len(rows), names)


def _unquantised(model: Model, name: str) -> Iterator[Block]:
    """What of the model is in which format."""
    format = WEIGHT_FORMATS.get(name)
    recipe = format.stored if format else "gguf"
    yield heading(w("techniques.unquantised_header", format=name))
    yield paragraph(w(f"techniques.recipe_{recipe}"))
    kept, memory = stored(model, name), stored_weights(model, name)
    rows: list[list[str | Line]] = []
    for group in GROUPS:
        n, bits = kept.of_group(group)
        if n:
            formats = ", ".join(f"`{id}`" for id in kept.formats_of(group))
            share = (
                human(n, "parameters"),
                marked(f"{bits:.4g}"),
                human(memory.inputs[f"stored_{group}"].value, "bytes"),
            )
            rows.append([w(f"techniques.group_{group}"), formats, *share])
    average = (exact(round(kept.bits_per_weight, 4)), human(memory.value, "bytes"))
    total = human(model.parameters().value, "parameters")
    rows.append([bold(w("working.total")), "", total, *average])
    heads = ("working.component", "explore.format", "explore.parameters", "explore.bits", "working.amount")
    yield table([w(head) for head in heads], rows, "llrrr", "quantised")


def _all_formats(model: Model) -> Iterator[Block]:
    whole = stored_weights(model, "bf16").value
    rows: list[list[str | Line]] = []
    for name in STORED_FORMATS:
        format, memory = WEIGHT_FORMATS.get(name), stored_weights(model, name).value
        bits = marked(f"{format.bits:.4g}") if format else w("techniques.mixture")
        source = cite(format.source) if format else w("techniques.mixture_source")
        average = marked(f"{stored(model, name).bits_per_weight:.4g}")
        rows.append([code(name), source, bits, average, human(memory, "bytes"), change(memory - whole, "bytes")])
    heads = ("explore.format", "working.source", "explore.bits", "techniques.average", "working.amount")
    yield table([*(w(head) for head in heads), w("techniques.beside_16")], rows, "llrrrr")
    yield note(w("techniques.formats_checked"))


@said_once
def cache(config: Configuration) -> Iterator[Block]:
    """The cache of this model, in each format, beside what other kinds of attention would keep."""
    values, model = config.values, config.model
    kinds = kinds_of_cache(model)
    if not kinds:
        yield say.Notice(said(w("techniques.no_cache")))
        return
    yield paragraph(w("techniques.cache"))
    yield say.Controls(["cache_format"])
    name = values["cache_format"]
    per_token, whole = cache_per_token(model, cache_format=name), config.inference.inputs["kv_cache"]
    standing = config.inference_standing_in("bf16", name)
    yield say.Headlines(
        lambda: [(w("techniques.cache_token"), per_token, standing), (w("techniques.cache_full"), whole, standing)]
    )
    full = {id: _full(kind, config, name) for id, kind in kinds.items()}
    labels = {id: w(f"techniques.kind_{id}") for id in kinds}
    title = w(
        "techniques.cache_chart",
        format=name,
        batch=exact(values["batch_size"]),
        length=exact(values["seq_len"]),
    )
    bars = {labels[id]: value for id, value in full.items()}
    told = ", ".join(f"{label} {human(value, 'bytes')}" for label, value in bars.items())
    figure = plain_bars(title, bars, "bytes", w("axes.memory"), labels["this"])
    yield say.Chart(figure, "cache_by_kind", f"{title}: {told}", 120 + 45 * len(bars))
    rows = [
        (
            labels[id],
            human(cache_per_token(kind, cache_format=name).value, "bytes"),
            human(full[id], "bytes"),
            w("techniques.times", times=human(full["multi_head"] / full[id])) if full[id] else "–",
        )
        for id, kind in kinds.items()
    ]
    heads = ("techniques.column_kind", "techniques.cache_token", "techniques.cache_full", "techniques.less")
    yield table([w(head) for head in heads], rows)
    yield note(w("techniques.cache_note"))
    yield heading(w("techniques.cache_formats"))
    rows = [
        (f"`{id}`", marked(f"{format.bits:.4g}"), human(cache_per_token(model, cache_format=id).value, "bytes"),
         human(_full(model, config, id), "bytes"))
        for id, format in CACHE_FORMATS.items()
    ]  # fmt: skip
    heads = ("explore.format", "explore.bits", "techniques.cache_token", "techniques.cache_full")
    yield table([w(head) for head in heads], rows)
    yield workings("cache_working", per_token, whole, depth=3)


def _full(model: Model, config: Configuration, cache_format: str) -> float:
    """Bytes of a full cache."""
    tokens = {knob: config.values[knob] for knob in ("batch_size", "seq_len")}
    return float(full_cache(model, **tokens, cache_format=cache_format).value)
