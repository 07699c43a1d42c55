"""The pieces of memory of a step as one rank holds them. In a table of plans each is worked out once for all plans that
cut it up alike, and then spread over the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.devices.layout import Layout, chosen, fields_that
from llmcalc.devices.shard import Shards
from llmcalc.devices.turns import Part, Place, Summary
from llmcalc.devices.work import Work
from llmcalc.step.run import TrainingRun
from llmcalc.step.tape import Event, Kind
from llmcalc.step.timeline import Change, Segment
from llmcalc.step.weights import Weight

Size = Any  # int, or a float64 array in a table of plans

_OF_A_MICRO_BATCH = ("activations", "held_logits", "inputs")
_ON_EVERY_STAGE = ("rotary", "attention_mask")


class Pieces:
    """What a rank holds of each weight, and each segment of the step."""

    def __init__(self, work: Work, run: TrainingRun, layout: Layout) -> None:
        self.work, self.run = work, run
        run, layout, self._rows = _told_apart(run, layout)
        self.shards = Shards((*work.model.parts, *work.counted.parts), run, layout)
        self._sums: dict[tuple[Weight, ...], Size] = {}

    def elements(self, weights: tuple[Weight, ...]) -> Size:
        """How many numbers a rank has of these weights."""
        if weights not in self._sums:
            self._sums[weights] = self.of_weights(weights, lambda kind: kind.elements)
        return self._sums[weights]

    def of_weights(self, weights: Iterable[Weight], size: Callable[[Kind], Size]) -> Size:
        """A size of all that a rank has of these weights together."""
        return self._spread(sum(size(self.shards.of(w.kind)) for w in weights))

    @cached_property
    def segments(self) -> dict[Place, Segment]:
        """What happens in each kind of layer, in front of them and behind them, where all of that is on the rank."""
        return self._segments(lambda event: not _is_cast_of_layer(event))

    @cached_property
    def summaries(self) -> dict[Place, Summary]:
        """The same in short."""
        return {place: self._summary(segment) for place, segment in self.segments.items()}

    @cached_property
    def apart_segments(self) -> dict[Place, Segment]:
        """What happens in front of the layers, or behind them, where the other is on another rank."""
        return self._segments(
            lambda e: isinstance(e.place.layer, str) and not (_is_cast_of_layer(e) or self._stays_apart(e))
        )

    @cached_property
    def apart_summaries(self) -> dict[Place, Summary]:
        """The same in short."""
        return {place: self._summary(segment) for place, segment in self.apart_segments.items()}

    @cached_property
    def shared_segments(self) -> dict[Place, Segment]:
        """What happens in front of the layers on ranks without the embedding too."""
        return self._segments(lambda e: e.place.layer == "front" and e.kind.role in _ON_EVERY_STAGE)

    @cached_property
    def shared_summaries(self) -> dict[Place, Summary]:
        """The same in short."""
        return {place: self._summary(segment) for place, segment in self.shared_segments.items()}

    @cached_property
    def let_go(self) -> dict[bool, Segment]:
        """What was made in front of the layers and is let go of behind them, where one of the two is on another rank:
        with (True) and without the embedding."""
        crossing = [e for e in self.work.events if self._stays_apart(e) and e.born.layer == "front"]
        of = {True: crossing, False: [e for e in crossing if e.kind.role in _ON_EVERY_STAGE]}
        return {first: Segment([Change(e.sign, self.shards.of(e.kind)) for e in es]) for first, es in of.items()}

    @cached_property
    def let_go_summaries(self) -> dict[bool, Summary]:
        """The same in short."""
        return {first: self._summary(segment) for first, segment in self.let_go.items()}

    @cached_property
    def let_go_behind(self) -> Segment:
        """What was made behind the layers and is let go of in front of them, on a rank that has the back alone: all but
        a tied table's gradient, which is that of its own copy."""
        crossing = [e for e in self.work.events if self._stays_apart(e) and e.born.layer == "back"]
        kept = ("gradients",)
        return Segment([Change(e.sign, self.shards.of(e.kind)) for e in crossing if e.kind.category not in kept])

    @cached_property
    def let_go_behind_summary(self) -> Summary:
        """The same in short."""
        return self._summary(self.let_go_behind)

    @cached_property
    def left_over(self) -> dict[int, Segment]:
        """Of each kind of layer, what every rank makes in front of its layers and that kind lets go of for all."""
        found: dict[int, list[Change]] = {}
        for e in self.work.events:
            shared = e.born.layer == "front" and e.kind.role in _ON_EVERY_STAGE
            if shared and e.sign < 0 and isinstance(e.place.layer, int):
                found.setdefault(e.place.layer, []).append(Change(e.sign, self.shards.of(e.kind)))
        return {place: Segment(changes) for place, changes in found.items()}

    @cached_property
    def left_over_summaries(self) -> dict[int, Summary]:
        """The same in short."""
        return {place: self._summary(segment) for place, segment in self.left_over.items()}

    def reduced(self, place: int) -> tuple[Part, ...]:
        """The parts in which a layer's whole gradients go, and a rank's share of them comes."""
        return self._reduced(None, self._gradients(lambda event: event.place.layer == place))

    def reduced_outside(self, place: str | None) -> tuple[Part, ...]:
        """The same in front of the layers, or behind them, where the other is on another rank; None: of both."""
        outside = (place,) if place else ("front", "back")
        apart = place is not None
        return self._reduced(
            "front", self._gradients(lambda e: e.place.layer in outside and not (apart and self._stays_apart(e)))
        )

    def _gradients(self, wanted: Callable[[Event], bool]) -> Counter[Kind]:
        """What is left of the gradients that come and go in the backward pass."""
        left: Counter[Kind] = Counter()
        for event in filter(wanted, self.work.events):
            if event.kind.category == "gradients" and event.place.phase in ("backward", "recompute"):
                left[event.kind] += event.sign
        return left

    def _reduced(self, place: str | None, left: Counter[Kind]) -> tuple[Part, ...]:
        gone = Segment([Change(-n, self.shards.of(kind)) for kind, n in left.items() if n])
        shares = [Change(n, self.shards.share_of(kind)) for kind, n in left.items() if n]
        stay = self.run.gradients_stay or self.run.steps_in_backward
        come = Segment([*shares, *(Change(-n, kind) for n, kind in shares if stay)])
        return tuple(Part("backward", place, part, self._summary(part)) for part in (gone, come))

    def _stays_apart(self, event: Event) -> bool:
        """Whether it lets go in front of the layers of something made behind them, or the other way round: a rank may
        have only one of both. What is handed back through the layers comes from the rank behind."""
        crosses = {event.place.layer, event.born.layer} == {"front", "back"}
        return crosses and event.kind not in self.work.handed_back

    @cached_property
    def handed_over(self) -> dict[str, Segment]:
        """What a rank's layers find that the layers of another made, by phase: the hidden state, or its gradient."""
        forward = [
            e.kind
            for e in self.work.events
            if e.sign < 0
            and e.place.layer == "back"
            and isinstance(e.born.layer, int)
            and e.born.phase == "forward"
            and not e.kind.outlives_its_layer
        ]
        over = {"forward": forward, "backward": self.work.handed_back}
        return {phase: Segment([Change(1, self.shards.of(kind)) for kind in kinds]) for phase, kinds in over.items()}

    @cached_property
    def handed_over_bytes(self) -> dict[str, Size]:
        """How many bytes those are."""
        return {phase: self._spread(segment.net) for phase, segment in self.handed_over.items()}

    @cached_property
    def casts(self) -> dict[int, list[Change]]:
        """Of each kind of layer, the copies of weights that go when the forward pass is through."""
        found: dict[int, list[Change]] = {}
        for event in filter(_is_cast_of_layer, self.work.events):
            assert isinstance(event.born.layer, int)
            found.setdefault(event.born.layer, []).append(Change(event.sign, self.shards.of(event.kind)))
        return found

    @cached_property
    def cast_bytes(self) -> dict[int, Size]:
        """How many bytes those are."""
        return {place: self._spread(Segment(changes).net) for place, changes in self.casts.items()}

    def _segments(self, wanted: Callable[[Event], bool]) -> dict[Place, Segment]:
        changes: dict[Place, list[Change]] = {}
        for event in filter(wanted, self.work.events):
            phase = "backward" if event.place.phase == "recompute" else event.place.phase
            change = Change(event.sign, self.shards.of(event.kind))
            changes.setdefault((phase, event.place.layer), []).append(change)
        return {place: Segment(found) for place, found in changes.items()}

    def _summary(self, segment: Segment) -> Summary:
        kept = Segment([change for change in segment.changes if change.kind.category in _OF_A_MICRO_BATCH]).net
        return Summary(self._spread(segment.net), self._spread(segment.most), self._spread(kept))

    def _spread(self, size: Size) -> Size:
        return size[self._rows] if self._rows is not None and isinstance(size, np.ndarray) else size


def _is_cast_of_layer(event: Event) -> bool:
    """A layer's copy of a weight, or its keys and values, that a cache lets go behind the layers."""
    return event.kind.outlives_its_layer and isinstance(event.place.layer, str) and isinstance(event.born.layer, int)


def _told_apart(run: TrainingRun, layout: Layout) -> tuple[TrainingRun, Layout, np.ndarray | None]:
    """The rows of a table that differ in what cuts up a piece, and which of them each row is."""
    if not isinstance(layout.tensor_parallel, np.ndarray):
        return run, layout, None
    # before stage 2, ZeRO and with it the number of replicas cuts up nothing
    zero = np.maximum(layout.zero_stage, 1)
    columns = {
        "batch_size": run.batch_size,
        **{name: getattr(layout, name) for name in fields_that("cuts_up")},
        "zero_stage": zero,
        "data_parallel": chosen(zero > 1, layout.data_parallel, layout.expert_parallel),
    }
    first, rows = _distinct(columns.values())
    cut = {name: column[first] for name, column in columns.items()}
    return replace(run, batch_size=cut.pop("batch_size")), Layout(**cut), rows


def _distinct(columns: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where each distinct row of whole numbers comes first, and which of these every row is."""
    code: Any = 0
    for column in columns:
        code = code * (int(column.max()) + 1) + column.astype(np.int64)
    _, first, rows = np.unique(code, return_index=True, return_inverse=True)
    return first, rows
