"""Compare: the present model beside up to four pinned ones, in charts and in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from llmcalc.accuracy import SHAPES, Standing
from llmcalc.comparison import Pinned
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.rates.flops import forward_flops
from llmcalc.serving.held import cache_per_token
from llmcalc.stored.weights import stored_weights
from llmcalc.sweeps import side_by_side as run_alike
from llmcalc.transformer.part import traits
from llmcalc.words import value_of, w
from pages.content.pieces import as_lines, component_names, sums_told
from pages.content.serving import names as served_names
from pages.ui.document.blocks import Block, Chart, Line, Table, badge, note, plain, said
from pages.ui.figures.axes import Figure
from pages.ui.figures.memory import memory_bars, stacked_bars, stacked_shares
from pages.ui.figures.palette import by_component
from pages.ui.words.numbers import exact, human
from pages.ui.words.titles import title_of

FORMATS = ("bf16", "fp8", "int4 g128")
Models = Mapping[str, Configuration]  # under names of their own, the present one first


def named(present: Configuration, pinned: Iterable[Pinned]) -> Models:
    """The models under names of their own, the present one first; all are run as that one is."""
    found = {w("compare.present", name=title_of(present)): present}
    count = Counter[str]()
    _, *others = run_alike(present, pinned)
    for config in others:
        title = title_of(config)
        count[title] += 1
        found[title if count[title] == 1 else w("compare.twice", name=title, number=count[title])] = config
    return found


def charts(models: Models) -> Iterator[Block]:
    """Parameters and their shares, memory of inference, cache for each token."""
    for chart in (_parameters, _shares, _memory, _cache):
        yield chart(models)


def _chart(key: str, figure: Figure, told: str, models: Models) -> Chart:
    """With a row for each model."""
    return Chart(figure, key, f"{figure['layout']['title']['text']}: {told}", _height(models))


def _height(models: Models) -> int:
    return 120 + 52 * len(models)


def _counts(models: Models) -> dict[str, dict[str, float]]:
    return {name: {id: q.value for id, q in c.model.components().items()} for name, c in models.items()}


def _parameters(models: Models) -> Chart:
    counts = _counts(models)
    active = {name: c.model.active_parameters().value for name, c in models.items()}
    active = {name: value for name, value in active.items() if value < sum(counts[name].values())}
    title, marks = w("compare.parameters_chart"), (w("compare.active_mark"), active)
    names, axis = component_names(), w("axes.parameters_in")
    figure = stacked_bars(title, counts, names, "parameters", axis, marks=marks, with_shares=True)
    return _chart("compare_parameters", figure, sums_told(counts, "parameters"), models)


def _shares(models: Models) -> Chart:
    counts, names = _counts(models), component_names()
    figure = stacked_shares(w("compare.shares_chart"), counts, names, "parameters", w("axes.share"))
    largest = (f"{name} {names[max(parts, key=parts.__getitem__)]}" for name, parts in counts.items())
    return _chart("compare_shares", figure, ", ".join(largest), models)


def _memory(models: Models) -> Chart:
    present = next(iter(models.values()))
    number, length = present.requests.number, present.requests.length
    rows = {name: by_component(c.verdict_of_inference.needed.parts) for name, c in models.items()}
    engine = value_of("engine", present.values["engine"])
    title = w("compare.memory_chart", number=number, length=length, engine=engine)
    served = present.verdict_of_inference
    limit = (w("serving.limit", device=present.accelerator.id), served.limit.value)
    figure = memory_bars(title, rows, served_names(), limit, w("axes.memory"))
    return _chart("compare_memory", figure, sums_told(rows, "bytes"), models)


def _cache(models: Models) -> Chart:
    rows = {name: {"kv_cache": _cache_of(c).value} for name, c in models.items()}
    format = next(iter(models.values())).values["cache_format"]
    title, axis = w("compare.cache_chart", format=format), w("axes.cache_per_token")
    figure = stacked_bars(title, rows, component_names(), "bytes", axis)
    return _chart("compare_cache", figure, sums_told(rows, "bytes"), models)


def _cache_of(config: Configuration) -> Quantity:
    return cache_per_token(config.model, cache_format=config.values["cache_format"])


@dataclass(frozen=True)
class Counted:
    """A number that has a working, and what it may be called; of some models there is none."""

    quantity: Quantity | None
    standing: Standing

    @property
    def line(self) -> Line:
        """The number and what it may be called."""
        if self.quantity is None:
            return plain(w("compare.none"))
        return plain(f"{human(self.quantity.value, self.quantity.unit)} ") + badge(self.standing)


def counted(config: Configuration) -> dict[str, Counted]:
    """The numbers of a model, by the name of their row."""
    model, count = config.model, config.count_standing
    weights = {
        w("compare.weights", format=id): Counted(stored_weights(model, id), config.inference_standing_in(id))
        for id in FORMATS
    }
    return {
        w("compare.parameters"): Counted(model.parameters(), count),
        w("compare.active"): Counted(model.active_parameters(), count),
        **weights,
        **per_token(config),
    }


def per_token(config: Configuration) -> dict[str, Counted]:
    """What a token takes in inference: cache and operations."""
    length, cache_format = config.values["seq_len"], config.values["cache_format"]
    cache = Counted(_cache_of(config), config.inference_standing_in("bf16", cache_format))
    return {
        w("compare.cache", format=cache_format): cache,
        w("compare.flops", length=exact(length)): Counted(forward_flops(config.model, seq_len=length), SHAPES),
    }


def shape(config: Configuration) -> dict[str, str]:
    """The sizes of a model that are told, not counted."""
    asked, is_plain = config.values, config.base.config is None
    latent = "latent" in traits(config.model.parts)
    layers = [asked[id] for id in ("n_layers", "n_decoder_layers") if asked[id] is not None]
    kv_heads = config.dimensions.kv_heads() if is_plain else asked["n_kv_heads"] or asked["n_heads"]
    unlimited = is_plain and asked["positions"] == "none"
    return {
        "layers": " + ".join(map(exact, layers)),
        "width": exact(asked["d_model"]),
        "heads": f"{exact(asked['n_heads'])} / {w('compare.latent') if latent else exact(kv_heads)}",
        "context": w("compare.none") if unlimited or asked["n_positions"] is None else exact(asked["n_positions"]),
    }


def side_by_side(models: Models) -> Iterator[Block]:
    """A column for each model."""
    shapes, quantities = [shape(c) for c in models.values()], [counted(c) for c in models.values()]
    rows: list[list[Line]] = [as_lines([w(f"compare.{row}"), *(told[row] for told in shapes)]) for row in shapes[0]]
    rows += [[said(row), *(of[row].line for of in quantities)] for row in quantities[0]]
    yield Table([(), *map(plain, models)], rows, "l" + "r" * len(models), key="comparison_table")
    length = next(iter(models.values())).values["seq_len"]
    yield note(w("compare.notes", length=exact(length)))
