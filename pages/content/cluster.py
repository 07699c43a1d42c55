"""Plan for a cluster: what the best plan is, the plans in a chart, and what one of them holds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from llmcalc.accuracy import PROCESS, SHAPES, Standing
from llmcalc.cached import once
from llmcalc.configuration import Configuration
from llmcalc.words import w
from pages.content.pieces import component_names, term_table, workings
from pages.ui.document.blocks import Block, Chart, Headlines, Notice, note, paragraph, said, said_once
from pages.ui.figures.memory import memory_bars
from pages.ui.figures.palette import by_component
from pages.ui.figures.plans import plan_points, plans_of
from pages.ui.words.devices import process_name
from pages.ui.words.numbers import human
from pages.ui.words.plans import plan_name, plan_sentence
from pages.ui.words.standing import Headline
from pages.ui.words.verdict import for_tensors, of_next_token

if TYPE_CHECKING:
    import pandas as pd

# The columns that plans are chosen by, each with the values that are wanted; of any other all are
Wanted = tuple[tuple[str, tuple[Any, ...]], ...]


@once
def wanted_plans(config: Configuration, wanted: Wanted = ()) -> pd.DataFrame:
    """Of the plans those that the reader wants to see, the best first. Raises InputError where there is none at all."""
    plans = config.plans
    for column, values in wanted:
        plans = plans[plans[column].isin(values)]
    return plans


@said_once
def answer(config: Configuration) -> Iterator[Block]:
    """What is the best plan, or what is nearest where none fits."""
    plans, device = config.plans, config.accelerator
    fitting = int(plans["fits"].sum())
    if only := of_next_token(config):
        yield note(only)
    plan = plans_of(plans.head(1))[0]
    needed, memory = plan["needed"], human(device.memory, "bytes")
    told = {
        "plan": f"{plan_sentence(plan)} ({plan_name(plan)})",
        "all": len(plans),
        "needed": human(needed, "bytes"),
        "memory": memory,
    }
    if fitting:
        headroom = human(device.memory - needed, "bytes")
        yield paragraph(w("cluster.best", fitting=fitting, headroom=headroom, **told))
    else:
        over = human(needed - device.memory, "bytes")
        yield paragraph(w("cluster.none", over=over, device=device.id, **told))
        yield Notice(said(w("cluster.change")))


@said_once
def points(config: Configuration, wanted: Wanted = (), row: int = 0) -> Chart:
    """The plans by what they need and how long they take, the one in a row of theirs marked."""
    plans = wanted_plans(config, wanted)
    plan = plans_of(plans.iloc[[row]])[0]
    title = w("cluster.chart", count=len(plans))
    ends = {"low": human(plans["needed"].min(), "bytes"), "high": human(plans["needed"].max(), "bytes")}
    figure = plan_points(title, plans, plan, (config.accelerator.id, config.accelerator.memory))
    return Chart(figure, "plan_points", w("cluster.chart_alt", title=title, **ends), 380)


def numbers(used: Configuration, standing: Standing) -> list[Headline]:
    """What the device that needs most holds."""
    rank = used.rank
    found: list[Headline] = [
        (process_name(used.accelerator), used.verdict.needed, PROCESS),
        (w("cluster.peak"), rank.peak, standing),
        (w("components.weights"), rank.weights, standing),
        (w("components.optimizer_state"), rank.optimizer_state, standing),
    ]
    if used.layout.devices > 1:
        found.append((w("components.communication"), rank.communication, standing))
        found.append((w("cluster.sends"), rank.traffic, SHAPES))
    return found


@said_once
def held(used: Configuration, standing: Standing) -> Iterator[Block]:
    """The same, and the peak of that device in components and term by term."""
    peak = used.rank.peak
    yield Headlines(partial(numbers, used, standing))
    names, parts = component_names(), by_component(peak.parts)
    title = w("cluster.peak_chart")
    told = ", ".join(f"{names[component]} {human(value, 'bytes')}" for component, value in parts.items())
    figure = memory_bars(title, {w("cluster.peak"): parts}, names, for_tensors(used), w("axes.memory"))
    terms = partial(term_table, [q for q in peak.parts if q.value], peak)
    yield Chart(figure, "plan_memory", f"{title}: {told}", 200, terms)
    yield workings("plan_working", peak, title="cluster.working")
