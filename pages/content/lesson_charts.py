"""The one chart of each chapter of the lesson, drawn from the reader's configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.catalog.presets import PRESETS
from llmcalc.configuration import Configuration
from llmcalc.lessons.accounts import accounts_of, accounts_of_job, job
from llmcalc.lessons.facts import cache_of_one, rule_of_four, rule_of_two
from llmcalc.lessons.passage import Passage
from llmcalc.lessons.savings import DEVICES, peaks
from llmcalc.serving.held import model_memory
from llmcalc.sweeps import growth_of_batch, law_loss, times_parameters, with_each_optimizer
from llmcalc.words import w
from pages.content.pieces import component_names, sums_told
from pages.ui.document.blocks import Block, Chart
from pages.ui.figures.axes import Figure, byte_unit, from_zero, layout, log_ticks, values_at_ends, wrapped
from pages.ui.figures.memory import Panel, memory_bars, memory_curves, share_bars, stacked_bars, stacked_shares
from pages.ui.figures.palette import COLOURS, MARK, by_component, paler
from pages.ui.words.numbers import exact, human, marked, percent
from pages.ui.words.titles import title_of
from pages.ui.words.verdict import for_tensors

FORMATS = ("fp32", "bf16", "int8", "GGUF Q6_K", "GGUF Q4_K", "NF4", "GGUF Q2_K")
GPT3_SIZES = tuple(name for name, preset in PRESETS.items() if preset.group == "GPT-3")


def lesson_chart(chapter_id: str, config: Configuration) -> Iterator[Block]:
    """The chart of a chapter; the first has only its drawing."""
    if chapter_id in _CHARTS:
        figure, said = _CHARTS[chapter_id](config)
        title = figure["layout"]["title"]["text"]
        rows = max((len(trace["y"]) for trace in figure["data"] if trace["type"] == "bar"), default=0)
        yield Chart(figure, f"lesson_{chapter_id}", f"{title}: {said}", max(330, 110 + 34 * rows))


def _parameters(config: Configuration) -> tuple[Figure, str]:
    counts, names = {id: q.value for id, q in config.model.components().items()}, component_names()
    title = w("learn.charts.parameters", total=human(sum(counts.values()), "parameters"))
    said = ", ".join(f"{names[id]} {human(count, 'parameters')}" for id, count in counts.items())
    return share_bars(title, counts, names, "parameters", w("axes.parameters")), said


def _weights(config: Configuration) -> tuple[Figure, str]:
    n, chosen = config.model.parameters(), config.values["weight_format"]
    rows = {
        format: {"weights": model_memory(parameters=n, bits_per_weight=row.bits).value}
        for format, row in WEIGHT_FORMATS.items()
        if format in FORMATS or format == chosen
    }
    shown = {f"<b>▸ {format}</b>" if format == chosen else format: parts for format, parts in rows.items()}
    title = w("learn.charts.weights", total=human(n.value, "parameters"))
    return memory_bars(title, shown, component_names(), for_tensors(config), w("axes.memory")), sums_told(rows, "bytes")


def _rules(config: Configuration) -> tuple[Figure, str]:
    here, length = config.values["batch_size"], config.values["seq_len"]
    found = growth_of_batch(config, last=max(1024, 8 * here))
    four, two = rule_of_four(config).value, rule_of_two(config).value
    curves = [
        (w("learn.charts.training"), found.training.tolist(), COLOURS["weights"]),
        (w("learn.charts.rule_of_four"), [four for _ in found.stops], paler(COLOURS["weights"], 0.45)),
        (w("learn.charts.inference"), found.inference.tolist(), COLOURS["kv_cache"]),
        (w("learn.charts.rule_of_two"), [two for _ in found.stops], paler(COLOURS["kv_cache"], 0.45)),
    ]
    panel = Panel(found.stops.tolist(), curves, here, w("axes.batch_size"))
    title = w("learn.charts.rules", length=exact(length))
    figure = memory_curves(title, [panel], for_tensors(config), w("axes.memory"))
    for trace in figure["data"][1::2]:
        trace["line"] = {**trace["line"], "dash": "dot"}
    return figure, f"{human(config.training.peak.value, 'bytes')} / {human(four, 'bytes')}"


def _steady(config: Configuration) -> tuple[Figure, str]:
    chosen, rows = config.values["optimizer"], {}
    for optimizer, step in with_each_optimizer(config).items():
        rows[optimizer] = by_component((step.weights, step.gradients, step.optimizer_state))
    shown = {f"<b>▸ {id}</b>" if id == chosen else id: parts for id, parts in rows.items()}
    title = w("learn.charts.steady", precision=config.values["precision"])
    return memory_bars(title, shown, component_names(), for_tensors(config), w("axes.memory")), sums_told(rows, "bytes")


def _peak(config: Configuration) -> tuple[Figure, str]:
    rows = {w(f"phases.{moment}"): by_component(q.parts) for moment, q in config.training.moments.items()}
    values = config.values
    title = w("learn.charts.peak", batch=exact(values["batch_size"]), length=exact(values["seq_len"]))
    return memory_bars(title, rows, component_names(), for_tensors(config), w("axes.memory")), sums_told(rows, "bytes")


def _calculators(config: Configuration) -> tuple[Figure, str]:
    rows: dict[str, dict[str, float]] = {}
    for id, account in accounts_of_job().items():
        saved = account.saved or 0
        rows[w(f"learn.accounts.{id}")] = {"layer_activations": saved, "weights": (account.peak or saved) - saved}
    names = {"layer_activations": w("learn.charts.saved"), "weights": w("learn.charts.rest")}
    yours = {
        w(f"learn.accounts.{id}"): float(account.peak or account.saved or 0)
        for id, account in accounts_of(config).items()
    }
    run = job().training_run
    title = w("learn.charts.calculators", batch=exact(run.batch_size), length=exact(run.seq_len))
    marks, axis = (w("learn.charts.yours"), yours), w("axes.memory")
    largest = max(sum(parts.values()) for parts in rows.values())
    near = max(yours.values()) < 6 * largest  # else the marks would squeeze the bars into a corner
    figure = stacked_bars(
        title, rows, names, "bytes", axis, reach=max(yours.values()) if near else 0, marks=marks if near else ("", {})
    )
    return figure, sums_told(rows, "bytes")


def _scaling(config: Configuration) -> tuple[Figure, str]:
    here = config.model.non_embedding_parameters().value
    times = times_parameters(config)["loss"].value
    there = np.log10(here * times)
    sizes = np.logspace(min(6, np.log10(here), there - 3), max(12, there + 2.7), 100)  # room for labels

    def loss(n: float | np.ndarray) -> np.ndarray:
        return np.asarray(law_loss(config, n).value)

    points = [
        (title_of(config), here, "circle", "top right"),
        (w("learn.charts.times", times=human(times)), here * times, "circle-open", "bottom left"),
    ]
    hover = "%{customdata}<br>%{y:.3f}<extra></extra>"
    data = [{
        "type": "scatter", "mode": "lines", "x": sizes.tolist(), "y": loss(sizes).tolist(),
        "line": {"color": COLOURS["embedding"], "width": 2.5}, "hovertemplate": hover,
        "customdata": [human(size, "parameters") for size in sizes],
    }] + [{
        "type": "scatter", "mode": "markers+text", "x": [n], "y": [float(loss(n))],
        "marker": {"color": MARK, "size": 13, "symbol": symbol},
        "text": [f"{label}<br>{human(float(loss(n)))}"], "textposition": where, "hovertemplate": hover,
        "customdata": [human(n, "parameters")],
    } for label, n, symbol, where in points]  # fmt: skip
    figure = {
        "data": data,
        "layout": layout(
            w("learn.charts.scaling", percent=marked(f"{config.values['improvement']:g}")), showlegend=False,
            xaxis={"type": "log", "title": {"text": w("axes.non_embedding")},
                   **log_ticks(sizes[0], sizes[-1], most=4)},
            yaxis={"type": "log", "title": {"text": w("axes.loss")}, "tickformat": ".3~g", "nticks": 6},
        ),
    }  # fmt: skip
    return figure, f"{human(float(loss(here)))}, {points[1][0]}"


def _techniques(config: Configuration) -> tuple[Figure, str]:
    now, after = config.step.peak.value, peaks(config)
    names = {id: w(f"learn.zero.{id}", devices=DEVICES) if id.startswith("zero") else w(f"advice.{id}") for id in after}
    rows = {w("learn.charts.as_it_is"): now} | {names[id]: peak for id, peak in after.items()}
    factor, unit = byte_unit(now)
    order = list(reversed(rows))
    bars = {"y": [wrapped(row) for row in order], "x": [rows[row] / factor for row in order]}
    text = [
        human(now, "bytes") if rows[row] == now else f"{human(rows[row], 'bytes')} · −{percent(1 - rows[row] / now)}"
        for row in order
    ]
    colours = [COLOURS["weights" if rows[row] == now else "embedding"] for row in order]
    figure = {
        "data": [{
            "type": "bar", "orientation": "h", "marker": {"color": colours}, **bars,
            "customdata": text, "hovertemplate": "%{y}: %{customdata}<extra></extra>",
        }, values_at_ends(**bars, text=text)],
        "layout": layout(
            w("learn.charts.techniques"), showlegend=False, bargap=0.3,
            xaxis={"title": {"text": w("axes.memory").format(unit=unit)}, **from_zero(1.75 * now / factor)},
            yaxis={"automargin": True, "ticksuffix": " "},
        ),
    }  # fmt: skip
    return figure, ", ".join(f"{row} {human(peak, 'bytes')}" for row, peak in rows.items())


def _gpt3(config: Configuration) -> tuple[Figure, str]:
    models = {f"<b>▸ {title_of(config)}</b>": config.model}
    models |= {name: PRESETS[name].dimensions.model() for name in GPT3_SIZES}
    rows = {name: {id: float(q.value) for id, q in model.components().items()} for name, model in models.items()}
    figure = stacked_shares(w("learn.charts.gpt3"), rows, component_names(), "parameters", w("axes.share"))
    figure["layout"]["showlegend"] = True
    plain = {title_of(config) if n.startswith("<b>") else n: parts for n, parts in rows.items()}
    return figure, sums_told(plain, "parameters")


USERS = (1, 4, 16, 64, 256)


def _serving(config: Configuration) -> tuple[Figure, str]:
    """What is read to write one token for one user, where so many are served at once."""
    weights, cache = config.inference.inputs["weights"].value, cache_of_one(config).value
    rows = {
        w("serving.line", users=exact(users)): {"weights": weights / users, "kv_cache": float(cache)} for users in USERS
    }
    title = w("learn.charts.serving", length=config.run.seq_len)
    return stacked_bars(title, rows, component_names(), "bytes", w("axes.read")), sums_told(rows, "bytes")


def _time(config: Configuration) -> tuple[Figure, str]:
    """Seconds of reading and of arithmetic over the tokens that go through at once; where both take as long."""
    passage = Passage(config)
    here, turning = passage.tokens, passage.turning.value
    sizes = np.logspace(0, np.log10(max(4096, 4 * here, 8 * turning)), 60)
    each = passage.arithmetic_of(1).value
    lines = {"reading": np.full_like(sizes, passage.reading.value), "arithmetic": each * sizes}
    colours = {"reading": COLOURS["weights"], "arithmetic": COLOURS["feed_forward"]}
    data: list[dict[str, object]] = [{
        "type": "scatter", "mode": "lines", "name": w(f"learn.charts.{id}"), "x": sizes.tolist(),
        "y": (1000 * seconds).tolist(), "line": {"color": colours[id], "width": 2.5},
        "customdata": [[exact(round(size)), human(time, "s")] for size, time in zip(sizes, seconds, strict=True)],
        "hovertemplate": "%{customdata[0]}: %{customdata[1]}<extra></extra>",
    } for id, seconds in lines.items()]  # fmt: skip
    slower = max(passage.reading.value, passage.arithmetic.value)
    marks = (
        (here, slower, "circle", f"{exact(here)}<br>{human(slower, 's')}", "top center"),
        (turning, passage.reading.value, "circle-open", exact(round(turning)), "bottom right"),
    )
    data += [{
        "type": "scatter", "mode": "markers+text", "x": [x], "y": [1000 * y], "text": [label], "textposition": where,
        "marker": {"color": MARK, "size": 12, "symbol": symbol}, "showlegend": False, "hoverinfo": "skip",
    } for x, y, symbol, label, where in marks]  # fmt: skip
    figure = {
        "data": data,
        "layout": layout(
            w("learn.charts.time", device=passage.device.id), showlegend=True,
            xaxis={"type": "log", "title": {"text": w("axes.tokens_at_once")},
                   **log_ticks(sizes[0], sizes[-1], most=5)},
            yaxis={"type": "log", "title": {"text": w("axes.milliseconds")},
                   **log_ticks(1000 * each, 1000 * each * sizes[-1], most=5)},
        ),
    }  # fmt: skip
    return figure, f"{exact(here)}: {human(slower, 's')}"


_CHARTS: dict[str, Callable[[Configuration], tuple[Figure, str]]] = {
    "parameters": _parameters,
    "weights": _weights,
    "rules": _rules,
    "steady": _steady,
    "peak": _peak,
    "calculators": _calculators,
    "scaling": _scaling,
    "techniques": _techniques,
    "gpt3": _gpt3,
    "serving": _serving,
    "time": _time,
}
