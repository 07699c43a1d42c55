"""A whole step from the events of one layer of each kind: what is alive when, and where the most is.

Layers of one kind do the same, so the step of a model of many layers is put together from a trace with one layer of
each kind, and a first one. The same code takes sweeps: then sizes, and the peak, are arrays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from llmcalc.cached import cached_property
from llmcalc.sizes import larger
from llmcalc.step.run import TrainingRun
from llmcalc.step.simulation import Trace, trace
from llmcalc.step.tape import Dim, Kind
from llmcalc.transformer.model import Block, Model

Size = Any  # int, or a float64 array in a sweep


class Change(NamedTuple):
    """``weight`` pieces of memory of ``kind`` allocated, or freed where it is negative."""

    weight: int
    kind: Kind


class Segment:
    """What happens in one place: its changes, what they leave, and the most that they hold on the way."""

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes

    @cached_property
    def heights(self) -> list[Size]:
        """Bytes above the beginning, after each change."""
        heights, height = [], 0
        for weight, kind in self.changes:
            height = height + weight * kind.bytes
            heights.append(height)
        return heights

    @cached_property
    def net(self) -> Size:
        """Bytes above the beginning, at the end."""
        return self.heights[-1] if self.heights else 0

    @cached_property
    def most(self) -> Size:
        """The largest of the heights, 0 at least."""
        most: Size = 0
        for height in self.heights:
            most = larger(most, height)
        return most

    @cached_property
    def left(self) -> Counter[Kind]:
        """How many of each kind it adds."""
        return _counted(self.changes)


class Stretch(NamedTuple):
    """A segment at its place in the step: its phase, and the layer's number, "front" or "back"."""

    phase: str
    layer: int | str
    segment: Segment


@dataclass(frozen=True)
class Moment:
    """A point in a step: so many changes into a stretch, the memory then, and how many of each kind are alive."""

    stretch: int
    change: int
    bytes: int
    alive: Mapping[Kind, int]


class Timeline:
    """The changes of memory of one step, in order, above what stays for the whole run (``base`` bytes)."""

    def __init__(self, base: Size, stretches: list[Stretch]) -> None:
        self.base, self.stretches = base, stretches

    @cached_property
    def starts(self) -> list[tuple[Stretch, Size]]:
        """Every stretch with the memory at its beginning."""
        height, starts = self.base, []
        for stretch in self.stretches:
            starts.append((stretch, height))
            height = height + stretch.segment.net
        return starts

    def most_by_phase(self) -> dict[tuple[str, str], Size]:
        """The most that is held in each phase and region: "front", "layers" or "back"."""
        found: dict[tuple[str, str], Size] = {}
        for stretch, start in self.starts:
            key = stretch.phase, _region(stretch.layer)
            found[key] = larger(found.get(key, 0), start + stretch.segment.most)
        return found

    def peak(self) -> Size:
        """The most that is held at all."""
        peak = self.base
        for most in self.most_by_phase().values():
            peak = larger(peak, most)
        return peak

    def moment_of_most(self, phase: str | None = None, region: str | None = None) -> Moment:
        """When most is held: in the whole step, or in a phase and region. Not for sweeps."""
        best = (-1, 0, -1)
        for i, (stretch, start) in enumerate(self.starts):
            if (phase or stretch.phase) != stretch.phase or (region or _region(stretch.layer)) != _region(
                stretch.layer
            ):
                continue
            height = start + stretch.segment.most
            if height > best[0]:
                at = [start, *(start + h for h in stretch.segment.heights)].index(height)
                best = (height, i, at)
        return self.moment(best[1], max(0, best[2]))

    def moment(self, stretch: int, change: int) -> Moment:
        """The point ``change`` changes into ``stretch``."""
        alive: Counter[Kind] = Counter()
        for before, times in Counter(before.segment for before in self.stretches[:stretch]).items():
            for kind, n in before.left.items():
                alive[kind] += times * n
        segment = self.stretches[stretch].segment
        alive.update(_counted(segment.changes[:change]))
        height = self.starts[stretch][1] + (segment.heights[change - 1] if change else 0)
        return Moment(stretch, change, height, {kind: n for kind, n in alive.items() if n})

    def end_of(self, *phases: str) -> Moment:
        """The end of a phase, or of the last of several."""
        last = max(i for i, stretch in enumerate(self.stretches) if stretch.phase in phases)
        return self.moment(last, len(self.stretches[last].segment.changes))


def timeline(model: Model, run: TrainingRun, base: Size, optimizer: list[Change], gradients: list[Change]) -> Timeline:
    """The timeline of a whole step; ``optimizer`` is what the optimizer's step allocates, ``gradients`` what it finds
    beside those that were simulated."""
    order = model.layers()
    shown, stands_for = representatives(order)
    stretches = _composed(trace(model, run, shown), order, stands_for)
    end = [Stretch("backward", "front", Segment(gradients)), Stretch("optimizer", "back", Segment(optimizer))]
    return Timeline(base, [*stretches, *end])


def representatives(order: tuple[Block, ...]) -> tuple[list[Block], list[list[int]]]:
    """The first layer of each kind, one of each of those between, the last layer; and the layers each stands for.

    What layers of a kind share, such as angles of their own, is let go of in the first of them. Those between differ by
    the kinds that come before: where adapters stand in one kind alone, nothing goes back through what is before it.
    """
    stands_for: dict[tuple[str | int, int], list[int]] = {}
    before: set[int] = set()
    for i, block in enumerate(order):
        between = len(before) if id(block) in before else "first"
        before.add(id(block))
        stands_for.setdefault(("last" if i and _is_end(order, i) else between, id(block)), []).append(i)
    return [order[layers[0]] for layers in stands_for.values()], list(stands_for.values())


def _is_end(order: tuple[Block, ...], i: int) -> bool:
    """Whether layer ``i`` is the last, the last of an encoder before its decoder, or the last of its kind to borrow an
    earlier one's keys and values, whose gradient comes from it first."""
    if i == len(order) - 1 or (order[i + 1].attends_to_source and not order[i].attends_to_source):
        return True
    return order[i].borrows and all(block is not order[i] for block in order[i + 1 :])


def _composed(traced: Trace, order: tuple[Block, ...], stands_for: list[list[int]]) -> list[Stretch]:
    """The stretches of all layers from those of the traced ones."""
    place_of = {layer: place for place, layers in enumerate(stands_for) for layer in layers}
    outside: dict[tuple[str, str], list[Change]] = {}
    inside: dict[tuple[str, int], list[Change]] = {}
    for place, sign, kind, born in traced.events:
        phase = "backward" if place.phase == "recompute" else place.phase
        if isinstance(place.layer, int):
            inside.setdefault((phase, place.layer), []).append(Change(sign, kind))
        else:
            # what leaves autocast's cache leaves it for all layers; else it is the last layer's output
            times = len(stands_for[born.layer]) if kind.outlives_its_layer and isinstance(born.layer, int) else 1
            outside.setdefault((phase, place.layer), []).append(Change(sign * times, kind))
    segments = {key: Segment(changes) for key, changes in inside.items()}
    layers = range(len(order))

    def in_layers(phase: str, numbers: Any) -> list[Stretch]:
        return [Stretch(phase, i, segments[phase, place_of[i]]) for i in numbers if (phase, place_of[i]) in segments]

    def at(phase: str, place: str) -> list[Stretch]:
        changes = outside.get((phase, place))
        return [Stretch(phase, place, Segment(changes))] if changes else []

    return [
        *at("forward", "front"),
        *in_layers("forward", layers),
        *at("loss", "back"),
        *at("forward_end", "back"),
        *at("backward", "back"),
        *in_layers("backward", reversed(layers)),
        *at("backward", "front"),
    ]


def _counted(changes: list[Change]) -> Counter[Kind]:
    counts: Counter[Kind] = Counter()
    for weight, kind in changes:
        counts[kind] += weight
    return counts


def _region(layer: int | str) -> str:
    return "layers" if isinstance(layer, int) else layer


def piece(category: str, role: str, elements: Size, dtype: str) -> Kind:
    """A piece of memory that is told by its number of elements alone."""
    return Kind(category, category, role, (Dim("parameters", elements),), dtype)
