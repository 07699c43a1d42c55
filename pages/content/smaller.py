"""Smaller models: pruning, said honestly where it saves nothing, and distillation, with the teacher in memory too."""

from __future__ import annotations

from collections.abc import Iterator

from llmcalc.accuracy import SHAPES
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.rates.flops import forward_flops
from llmcalc.serving.held import cache_per_token
from llmcalc.stored.weights import stored_weights
from llmcalc.techniques.pruning import (
    break_even,
    memory_by_share,
    memory_by_share_taken_out,
    pruned_weights,
    stays_whole,
    structurally_pruned,
)
from llmcalc.words import w
from llmcalc.words.names import name as name_of
from pages.content.pieces import memory_chart, published, table, workings
from pages.ui.document.blocks import Block, Chart, Controls, Headlines, Notice, heading, paragraph, said, said_once
from pages.ui.figures.palette import by_component
from pages.ui.figures.techniques import sparsity_curves
from pages.ui.words.numbers import change, human, marked
from pages.ui.words.titles import title_of

SHARES = tuple(range(0, 100, 5))
TAKEN_OUT = tuple(range(0, 100, 10))  # each is a model of its own, counted anew


@said_once
def pruning(config: Configuration) -> Iterator[Block]:
    """What zeros save as they are stored, or what is left when heads and channels are taken out."""
    structure = config.values["pruning"]
    yield Controls(["pruning", *(["pruned"] if structure != "semi_structured" else [])], 2)
    yield paragraph(w(f"techniques.pruning_{structure}"))
    yield from _structured(config) if structure == "structured" else _zeros(config)
    yield _curves(config)
    yield from published("pruning")


def _zeros(config: Configuration) -> Iterator[Block]:
    values = config.values
    structure, pruned, name = values["pruning"], values["pruned"], values["weight_format"]
    found = pruned_weights(config.model, name, structure, pruned)
    before = stored_weights(config.model, name)
    told = {id: f"{w(f'techniques.storage_{id}')}: {_change(q.value, before.value)}" for id, q in found.items()}
    yield Headlines(lambda: [(told[id], q, SHAPES) for id, q in found.items()])
    even = break_even(config.model, name) if structure == "unstructured" else {}
    if even:
        percents = {id: marked(f"{q.value:.3g}") for id, q in even.items()}
        yield paragraph(w("techniques.break_even", **percents))
    yield workings("pruning_working", *found.values(), *even.values(), depth=1)


def _change(now: float, before: float) -> str:
    return change(now - before, "bytes") if abs(now - before) >= 1 else w("techniques.nothing_saved")


def _structured(config: Configuration) -> Iterator[Block]:
    values, name = config.values, config.values["weight_format"]
    if whole := stays_whole(config.model):
        yield Notice(said(w("techniques.stays_whole", parts=", ".join(map(name_of, whole)))), "info")
    models = {"before": config.model, "after": structurally_pruned(config.model, values["pruned"])}
    counted: dict[str, dict[str, Quantity | None]] = {
        when: {
            "parameters": model.parameters(),
            "weights": stored_weights(model, name),
            "cache": cache_per_token(model, cache_format=values["cache_format"]),
            "flops": forward_flops(model, seq_len=values["seq_len"]),
        }
        for when, model in models.items()
    }
    after = counted["after"]
    yield Headlines(lambda: [(w(f"techniques.left_{id}"), q, SHAPES) for id, q in after.items() if q])
    rows = [
        (w(f"techniques.left_{id}"), human(q.value, q.unit), human(now.value, q.unit),
         change(now.value - q.value, q.unit))
        for id, q in counted["before"].items()
        if q and (now := after[id])
    ]  # fmt: skip
    yield table(["", w("techniques.before"), w("techniques.after"), w("techniques.change")], rows, key="before_after")
    yield workings("pruning_working", *(q for q in after.values() if q), depth=2)


@said_once
def _curves(config: Configuration) -> Chart:
    """Bytes against the share of zeros, all ways to store them in one chart."""
    model, name = config.model, config.values["weight_format"]
    curves = memory_by_share(model, name, SHARES)
    half = pruned_weights(model, name, "semi_structured", 50)["semi_structured"].value
    shares = {id: SHARES for id in curves} | {"structured": TAKEN_OUT}
    smaller = memory_by_share_taken_out(model, name, TAKEN_OUT)
    title = w("techniques.pruning_chart", format=name)
    here = 50 if config.values["pruning"] == "semi_structured" else config.values["pruned"]
    alt = w("techniques.pruning_alt", title=title, dense=human(curves["dense"][0], "bytes"), half=human(half, "bytes"))
    figure = sparsity_curves(title, shares, curves | {"semi_structured": [half], "structured": smaller}, here)
    return Chart(figure, "memory_by_sparsity", alt, 380)


@said_once
def distillation(config: Configuration) -> Iterator[Block]:
    """The student's step with its teacher in memory, beside the student's alone; and what serving it saves."""
    yield Controls(["student"])
    both, student = config.distillation, config.student
    teacher = title_of(config)
    yield paragraph(w("techniques.distillation", teacher=teacher, student=student.base.id))
    if not both.same_vocabulary:
        yield Notice(said(w("techniques.other_vocabulary", teacher=teacher, student=student.base.id)), "warning")
    alone = student.step.peak
    quantities = [
        (w("techniques.student_alone"), alone, student.standing_of(student.run)),
        (w("techniques.with_teacher"), both.peak, SHAPES),
    ]
    if both.work:
        quantities.append((w("techniques.work"), both.work, SHAPES))
    yield Headlines(lambda: quantities)
    rows = {w("techniques.student_alone"): by_component(alone.parts)}
    rows[w("techniques.with_teacher")] = by_component(both.peak.parts)
    rows[w("techniques.teacher_pass")] = by_component(both.teacher_pass.parts)
    yield memory_chart(config, "distillation_memory", w("techniques.distillation_chart"), rows, 290)
    yield from _served(config, student)
    yield workings("distillation_working", both.peak, *([both.work] if both.work else []), depth=1)
    yield from published("distillation")


def _served(config: Configuration, student: Configuration) -> Iterator[Block]:
    """What is saved afterwards, when the student is served in the teacher's place."""
    yield heading(w("techniques.served"))
    length = config.values["seq_len"]
    pairs = {
        "parameters": (config.model.parameters(), student.model.parameters()),
        "inference": (config.verdict_of_inference.needed, student.verdict_of_inference.needed),
        "flops": (forward_flops(config.model, seq_len=length), forward_flops(student.model, seq_len=length)),
    }
    rows = [
        (w(f"techniques.left_{id}"), human(theirs.value, theirs.unit), human(own.value, own.unit),
         w("techniques.times", times=human(theirs.value / own.value)))
        for id, (theirs, own) in pairs.items()
        if theirs and own
    ]  # fmt: skip
    yield table(["", w("techniques.teacher"), w("techniques.student"), w("techniques.less")], rows)
