"""Serving: whether a model fits an engine's devices, for how many, how fast, at what price, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from llmcalc.accuracy import SERVED_SPEED
from llmcalc.accuracy.logs import likely_memory
from llmcalc.accuracy.speed import TIMES
from llmcalc.cached import once
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.serving.batches import quantity_of_turn
from llmcalc.serving.served import Served
from llmcalc.serving.speed import computed_in, machine_of
from llmcalc.words import label_of, value_of, w
from llmcalc.words.names import name as named
from pages.content.pieces import table, term_table, workings
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, badge, heading, note, plain, said, said_once
from pages.ui.figures.memory import Panel, memory_bars, memory_curves
from pages.ui.figures.palette import COLOURS, by_component
from pages.ui.figures.serving import batch_curve, roofline
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.problems import problem_words
from pages.ui.words.standing import Headline
from pages.ui.words.verdict import served_words

if TYPE_CHECKING:
    import pandas as pd

CONTROLS = ("engine", "serve_tensor", "weight_format", "cache_format", "concurrency", "context")
COMPONENTS = ("weights", "layer_activations", "kv_cache", "states", "rest")
IN_TIME = (0.01, 0.02, 0.05, 0.1, 0.2)  # seconds between tokens: faster than speech, than reading, and slower
LINES = (1, 4, 16, 64)  # users, each a line
SHORTEST, LONGEST, POINTS = 512, 131_072, 12  # of the lines
ALIKE = {"combination": "combination", "engine and device": "device", "engine": "engine", "": "none"}
MOST_DRAWN = 4096  # users on the curve
_LINE_COLOURS = (COLOURS["embedding"], COLOURS["feed_forward"], COLOURS["attention"], COLOURS["kv_cache"])


@said_once
def in_files(config: Configuration) -> Iterator[Block]:
    """All of it, with what the engine refuses: on the screen there is a button for each value that it would take."""
    for problem in config.serving.refused:
        yield say.Notice(said(problem_words(problem)), "warning")
    yield from serving(config)


@said_once
def serving(config: Configuration) -> Iterator[Block]:
    """All that the page says, but for what the engine refuses, and the table of offers, of which the screen has
    filters."""
    served = config.served
    if served is None:
        yield say.Controls(CONTROLS, 3)
        return
    standing = config.serving.served_standing
    yield say.Paragraph(said(served_words(config, served)) + plain(" ") + badge(standing), why=standing)
    yield say.Controls(CONTROLS, 3)
    if computed := computed_in(served.device, served.job.weight_format):
        told = {"device": served.job.device, "format": served.job.weight_format, "computed": computed}
        yield say.Notice(said(w("serving.not_computed", **told)), "warning")
    yield say.Headlines(partial(headlines, config, served))
    if config.serving.writes and config.values["price_per_hour"] is None:
        yield note(w("serving.no_price", price=label_of("price_per_hour")))
    yield memory_chart(config, served)
    yield from speed_charts(config, served)
    yield from context_chart(config, served)
    yield from answers(config, served)
    yield say.Folded(said(w("serving.additions")), "additions", partial(_additions, served))
    yield say.Rests(standing)
    if ranges := _memory_ranges(served):
        yield note(w("serving.how_sure_memory", ranges=ranges))
    if served.speed and config.serving.writes:
        yield say.Rests(SERVED_SPEED)
        yield note(_how_sure(config, served))
    yield workings("serving_working", *_worked(config, served), depth=3)


def _how_sure(config: Configuration, served: Served) -> str:
    """Between what eight of ten runs lie of those that are most like it, for the times that are told."""
    told = []
    for name in TIMES:
        if (time := getattr(served, name)) is not None:
            like = config.serving.likely(name)
            ends = {"low": human(like.low * time.value, "s"), "high": human(like.high * time.value, "s")}
            runs = w(f"serving.alike_{ALIKE[like.alike]}", runs=like.runs)
            told.append(w("serving.between", what=w(f"quantities.{name}"), runs=runs, **ends))
    return w("serving.how_sure", ranges="; ".join(told))


def _memory_ranges(served: Served) -> str:
    """Between what eight of ten figures lie that logs of such engines print."""
    told = []
    for figure in ("weights", "kv_available", "kv_cache", "compute_buffer"):
        quantity, like = getattr(served, figure), likely_memory(figure, served.job.engine)
        if like and quantity.value > 0:
            ends = {
                "low": human(like.low * quantity.value, "bytes"),
                "high": human(like.high * quantity.value, "bytes"),
            }
            logs = w("serving.of_logs", logs=like.runs)
            told.append(w("serving.between", what=w(f"printed.{figure}"), runs=logs, **ends))
    return "; ".join(told)


def headlines(config: Configuration, served: Served) -> list[Headline]:
    """The numbers in frames."""
    of_memory, longest, price = config.serving.served_standing, config.serving.longest, config.serving.price
    found: list[Headline] = [(w("serving.needed"), served.needed, of_memory)]
    if config.serving.at_once is not None:
        found.append((w("serving.users"), config.serving.at_once, of_memory))
    if longest is not None:
        found.append((w("serving.longest"), longest, of_memory))
    speeds = {
        w("quantities.tokens_per_second"): served.tokens_per_second,
        w("quantities.time_between_tokens"): served.time_between_tokens,
        w("quantities.time_to_first_token"): served.time_to_first_token,
        w("serving.energy"): served.energy_per_token,
        w("quantities.million_token_price"): price,
    }
    if config.serving.writes and served.fits:
        found += [(label, q, SERVED_SPEED) for label, q in speeds.items() if q is not None]
    return found


def _worked(config: Configuration, served: Served) -> list[Quantity]:
    """The numbers whose working the page opens."""
    batches = config.serving.batches
    turn = quantity_of_turn(batches) if batches else None
    cached = [served.kv_available] if served.kv_available.value > 0 else []
    cached += [config.serving.at_once] if config.serving.at_once is not None else []
    wanted = (served.needed, served.limit, *cached, served.kv_bytes_per_token)
    fast = (served.time_between_tokens, served.time_to_first_token, config.serving.price, turn)
    return [*wanted, *(q for q in fast if q is not None and config.serving.writes)]


# Memory

ADDED = ("adapter_slots", "vocabulary_slots", "draft_layer", "draft_fusion")


def _additions(served: Served) -> Iterator[Block]:
    """Buffers for adapters and a drafting layer: as the engine counts, and what one adapter takes of it."""
    found = [part for part in served.weights.parts if part.id in ADDED]
    if not found:
        yield note(w("serving.additions_none"))
        return
    yield say.Paragraph(said(w("serving.additions_text")))
    rows = [(named(part.id), human(part.value, "bytes"), _each(part, served)) for part in found]
    heads = [w("working.term"), w("serving.additions_engine"), w("serving.additions_each")]
    yield table(heads, rows, key="additions")
    yield workings("additions_working", *found)


def _each(part: Quantity, served: Served) -> str:
    return human(part.value / served.job.lora_slots, "bytes") if part.id.endswith("_slots") else "–"


def names() -> dict[str, str]:
    """What the parts of a bar are called."""
    return {component: w(f"serving.{component}") for component in COMPONENTS}


def parts_of(served: Served) -> tuple[Quantity, ...]:
    """What the bar of what is needed is made of."""
    if served.job.engine == "transformers":
        return (served.weights, served.activation_peak, served.kv_cache, served.outside)
    return served.needed.parts


def memory_chart(config: Configuration, served: Served) -> say.Chart:
    """What the requests need, and what the engine takes when it starts, beside the device."""
    needed = parts_of(served)
    rows = {w("serving.of_requests", users=exact(served.job.running)): by_component(needed)}
    if served.job.engine in ("vllm", "sglang", "tensorrt-llm") and served.kv_available.value > 0:
        reserved = (served.weights, served.activation_peak, served.outside, served.kv_cache)
        rows[w("serving.of_engine")] = by_component(reserved)
    title, device = w("serving.memory"), config.accelerator
    told = ", ".join(f"{row} {human(sum(parts.values()), 'bytes')}" for row, parts in rows.items())
    limit = w("serving.limit", device=device.id)
    figure = memory_bars(title, rows, names(), (limit, served.limit.value), w("axes.memory"))
    terms = partial(term_table, [q for q in needed if q.value], served.needed)
    return say.Chart(figure, "served_memory", f"{title}: {told}", 240, terms)


def context_chart(config: Configuration, served: Served) -> Iterator[Block]:
    """Memory against the context, a line for each number of users; a simulated pass would take too long."""
    if served.job.engine == "transformers":
        return
    here, most = config.serving.context, served.most_tokens
    last = max(min(LONGEST, most), here)
    contexts = sorted({*_stops(min(SHORTEST, here), last), here})
    users = sorted({*LINES, served.job.concurrency})
    found = config.serving.needed_over(contexts, users)
    curves = []
    for n, needed in found.items():
        known = [value for value in needed if value is not None]
        if len(known) == len(contexts):
            at = LINES.index(n) if n in LINES else -1
            colour = _LINE_COLOURS[at] if at >= 0 else COLOURS["residual"]
            curves.append((w("serving.line", users=exact(n)), known, colour))
    if not curves or len(contexts) < 2:
        return
    title = w("serving.over_context")
    panel = Panel(contexts, curves, here, w("serving.context_axis"))
    limit = (w("serving.limit", device=config.accelerator.id), float(served.limit.value))
    told = ", ".join(f"{name} {human(values[-1], 'bytes')}" for name, values, _ in curves)
    alt = w("serving.over_context_alt", title=title, context=contexts[-1], lines=told)
    yield say.Chart(memory_curves(title, [panel], limit, w("axes.memory")), "served_context", alt, 360)


def _stops(low: int, high: int) -> list[int]:
    ratio = (high / low) ** (1 / (POINTS - 1))
    return [round(low * ratio**i) for i in range(POINTS)]


# Speed


def speed_charts(config: Configuration, served: Served) -> Iterator[Block]:
    """The roofline, and the curve of users, side by side."""
    charts = [*_roofline(config, served), *_curve(config, served)]
    if len(charts) == 2:
        yield say.Beside([[chart] for chart in charts])
    else:
        yield from charts
    if not charts:
        yield note(w("serving.no_speed" if config.serving.writes else "serving.encoder"))


def _roofline(config: Configuration, served: Served) -> Iterator[say.Chart]:
    passes = config.serving.passes
    if not passes:
        return
    device, title = config.accelerator, w("serving.roofline")
    machine = machine_of(device, served.job.weight_format)
    points = {
        p.id: (
            w(f"serving.{p.id}"), p.intensity, p.rate,
            w(f"serving.{p.id}_hover", rate=human(p.rate, "FLOP"), intensity=marked(f"{p.intensity:,.3g}"),
              time=human(p.seconds, "s")),
        )
        for p in passes
    }  # fmt: skip
    axes = (w("serving.intensity"), w("serving.rate"))
    figure = roofline(title, (device.id, machine.bandwidth, machine.product_flops), points, axes)
    alt = f"{title}: {'; '.join(told for *_, told in points.values())}"
    yield say.Chart(figure, "served_roofline", alt.replace("<br>", ", "), 360)


def _curve(config: Configuration, served: Served) -> Iterator[say.Chart]:
    batches, between, rate = config.serving.batches, served.time_between_tokens, served.tokens_per_second
    if batches is None or between is None or rate is None:
        return
    most = min(served.job.seats or MOST_DRAWN, MOST_DRAWN)  # beyond its seats the same: the others wait
    users = [2**n for n in range(most.bit_length())]
    times = [1000 * float(batches.between[n - 1]) for n in users]
    rates = [float(batches.rate[n - 1]) for n in users]
    told = [
        w("serving.curve_hover", users=n, time=human(time / 1000, "s"), rate=human(all_of, "tokens/s"))
        for n, time, all_of in zip(users, times, rates, strict=True)
    ]
    title, here = w("serving.curve"), w("serving.here", users=exact(served.job.concurrency))
    figure = batch_curve(
        title, (users, times, rates, told), (here, 1000 * between.value, rate.value), config.serving.users,
        (w("serving.held"), w("serving.not_held")), (w("serving.time_axis"), w("serving.rate_axis")),
    )  # fmt: skip
    ends = {"low": told[0].replace("<br>", ", "), "high": told[-1].replace("<br>", ", ")}
    yield say.Chart(figure, "served_curve", w("serving.curve_alt", title=title, **ends), 360)


# Questions


def answers(config: Configuration, served: Served) -> Iterator[Block]:
    """What is asked of serving, and the answers."""
    yield heading(w("serving.questions"))
    yield from _what_would_fit(config, served)
    lines = [w("serving.largest", users=config.serving.users, context=config.serving.context)]
    if (fewest := config.serving.fewest_devices) is not None:
        lines.append(w("serving.fewest", devices=fewest, device=config.accelerator.id))
    batches = config.serving.batches
    if batches is not None and served.time_to_first_token is not None:
        turn, most = batches.turn, served.job.seats or len(batches.users)
        lines.append(w("serving.turns", users=turn) if turn else w("serving.never_turns", most=most))
    yield say.Bullets([said(line) for line in lines])
    if batches is not None and (held := config.serving.users):
        rows = []
        for seconds in IN_TIME:
            users = min(batches.within(seconds), held)
            rate = human(float(batches.rate[users - 1]), "tokens/s") if users else "–"
            each = marked(f"{1 / seconds:g}")
            rows.append([human(seconds, "s"), each, exact(users) if users else "–", rate])
        heads = [w(f"serving.in_time_{column}") for column in ("time", "each", "users", "rate")]
        yield table(heads, rows, "rrrr", "in_time")
        yield note(w("serving.in_time_note"))


def _what_would_fit(config: Configuration, served: Served) -> Iterator[Block]:
    """The smallest changes after which it fits, each a button."""
    if served.fits:
        return
    ways = config.serving.ways()
    if not ways:
        yield say.Notice(said(w("serving.nothing_fits")), "warning")
        return
    yield note(w("serving.would_fit"))
    for i, way in enumerate(ways):
        changed = ", ".join(f"{label_of(id)} → {value_of(id, value)}" for id, value in way.values.items())
        told = w("serving.way", changes=changed, needed=human(way.served.needed.value, "bytes"))
        yield say.Offer(said(told), dict(way.values), f"served_way_{i}")


# The table of offers

SORTED_BY: Mapping[str, bool] = {
    "price": True, "tokens_per_second": False, "time_between_tokens": True, "energy_per_token": True, "free": False,
    "devices": True,
}  # fmt: skip
OFFERED = ("device", "devices", "format", "fits", "free", "users", "tokens_per_second", "time_between_tokens",
           "energy_per_token", "price")  # fmt: skip


def offered(config: Configuration) -> list[str]:
    """The columns that the table shows: a price only where the reader gave one of an hour."""
    is_priced = config.values["price_per_hour"] is not None
    return [column for column in OFFERED if is_priced or column != "price"]


@dataclass(frozen=True)
class Wanted:
    """The offers that the reader wants to see: of some formats, devices and numbers of them, or of all where there are
    none; those that fit or all; and the column that sorts them."""

    formats: tuple[str, ...]
    devices: tuple[str, ...]
    counts: tuple[int, ...]
    only_fitting: bool
    sorted_by: str


@once
def wanted_offers(config: Configuration, wanted: Wanted) -> pd.DataFrame:
    """Those offers, in order."""
    table = config.serving.offers
    for column, values in (("format", wanted.formats), ("device", wanted.devices), ("devices", wanted.counts)):
        if values:
            table = table[table[column].isin(values)]
    if wanted.only_fitting:
        table = table[table["fits"]]
    return table.sort_values(wanted.sorted_by, ascending=SORTED_BY[wanted.sorted_by], kind="stable")


def written_offer(column: str) -> Any:
    """How a column of the table writes what is in it."""
    units = {"free": "bytes", "tokens_per_second": "tokens/s", "time_between_tokens": "s", "energy_per_token": "J"}
    if column in units:
        return lambda value: human(value, units[column]) if value == value else "–"
    if column == "users":
        return lambda value: exact(int(value))
    if column == "price":
        return lambda value: human(value) if value == value else "–"
    return None
