"""A step as a rank goes through it: every change of its memory in order, and the most that it holds at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.devices import formulas as f
from llmcalc.devices.exchange import Exchange
from llmcalc.devices.gathering import Gathering
from llmcalc.devices.holdings import Holdings
from llmcalc.devices.layers import Layers
from llmcalc.devices.layout import chosen
from llmcalc.devices.turns import Part, Summary, Turn, at
from llmcalc.quantity import Quantity
from llmcalc.sizes import larger
from llmcalc.step.run import TrainingRun
from llmcalc.step.timeline import Change, Segment, Stretch, Timeline, piece

Size = Any  # int, or a float64 array in a table of plans
_NOTHING, _NOTHING_HELD = Segment([]), Summary(0, 0, 0)


@dataclass(frozen=True, eq=False)
class Passage:
    """The step of a rank with these layers, holdings and messages."""

    layers: Layers
    run: TrainingRun
    holds: Holdings
    exchange: Exchange

    @property
    def gathering(self) -> Gathering:
        """What fully sharded data parallel gathers and reduces."""
        return self.exchange.gathering

    @cached_property
    def turns(self) -> list[Turn]:
        """What happens between the beginning of the step and the optimizer's."""
        gathers = self.gathering.is_used
        return [
            *([self.gathering.begin()] if gathers else []),
            *self._in_front("forward"),
            *self._handed_over("forward", "front", 1, 1 - self.layers.is_first),
            *self._in_layers("forward"),
            *self._handed_over("forward", "front", -1, 1 - self.layers.is_last),
            *self._let_go(),
            *self._behind("loss"),
            *self._casts_gone(),
            *self._behind("forward_end"),
            *(self.gathering.turn_round() if gathers else []),
            *self._behind("backward"),
            *self._handed_over("backward", "back", 1, 1 - self.layers.is_last),
            *self._in_layers("backward"),
            *self._handed_over("backward", "front", -1, 1 - self.layers.is_first),
            *self._in_front("backward"),
            *self._left_over(),
            *(self._reduced_outside() if gathers else []),
        ]

    def _in_front(self, phase: str) -> Iterator[Turn]:
        layers, pieces = self.layers, self.layers.pieces
        yield from at(pieces.segments, pieces.summaries, phase, "front", layers.is_whole)
        alone = layers.is_first - layers.is_whole
        yield from at(pieces.apart_segments, pieces.apart_summaries, phase, "front", alone)
        yield from at(pieces.shared_segments, pieces.shared_summaries, phase, "front", 1 - layers.is_first)

    def _behind(self, phase: str) -> Iterator[Turn]:
        layers, pieces = self.layers, self.layers.pieces
        yield from at(pieces.segments, pieces.summaries, phase, "back", layers.is_whole)
        alone = layers.is_last - layers.is_whole
        yield from at(pieces.apart_segments, pieces.apart_summaries, phase, "back", alone)

    def _in_layers(self, phase: str) -> Iterator[Turn]:
        pieces, alike = self.layers.pieces, self.layers.work.alike
        keys = [(phase, each.place) for each in alike]
        # through layers before the first adapter nothing goes back
        parts = [
            Part(phase, None, pieces.segments.get(key, _NOTHING), pieces.summaries.get(key, _NOTHING_HELD))
            for key in keys
        ]
        if self.gathering.is_used and phase == "forward":
            yield from self.gathering.forward(parts)
        elif self.gathering.is_used:
            yield from self.gathering.backward(parts, [pieces.reduced(each.place) for each in alike])
        else:
            turns = [Turn((part,), count) for part, count in zip(parts, self.layers.counts, strict=True)]
            yield from turns if phase == "forward" else reversed(turns)

    def _reduced_outside(self) -> Iterator[Turn]:
        """The whole gradients of what is outside the layers go, and the rank's share of them comes."""
        layers, pieces = self.layers, self.layers.pieces
        yield self.gathering.end()
        yield Turn(pieces.reduced_outside(None), layers.is_whole)
        yield Turn(pieces.reduced_outside("front"), layers.is_first - layers.is_whole)
        yield Turn(pieces.reduced_outside("back"), layers.is_last - layers.is_whole)
        yield self.gathering.close()

    def _handed_over(self, phase: str, place: str, sign: int, times: Size) -> Iterator[Turn]:
        """The hidden state from the layers of another rank or to them, or its gradient."""
        pieces = self.layers.pieces
        changes = [Change(sign, kind) for _, kind in pieces.handed_over[phase].changes]
        size = sign * pieces.handed_over_bytes[phase]
        summary = Summary(size, larger(size, 0), size if phase == "forward" else 0)
        yield Turn((Part(phase, place, Segment(changes), summary),), times)

    def _let_go(self) -> Iterator[Turn]:
        """What was made in front of the layers, and goes behind them."""
        layers, pieces = self.layers, self.layers.pieces
        for first, times in ((True, layers.is_first - layers.is_whole), (False, 1 - layers.is_first)):
            yield Turn((Part("forward", "front", pieces.let_go[first], pieces.let_go_summaries[first]),), times)

    def _casts_gone(self) -> Iterator[Turn]:
        """Autocast's copies of weights, which go when the forward pass is through."""
        casts, sizes = self.layers.pieces.casts, self.layers.pieces.cast_bytes
        for alike, count in zip(self.layers.work.alike, self.layers.counts, strict=True):
            if changes := casts.get(alike.place):
                summary = Summary(sizes[alike.place], 0, 0)
                yield Turn((Part("forward_end", "back", Segment(changes), summary),), count)

    def _left_over(self) -> Iterator[Turn]:
        layers, pieces = self.layers, self.layers.pieces
        behind = Part("backward", "front", pieces.let_go_behind, pieces.let_go_behind_summary)
        yield Turn((behind,), layers.is_last - layers.is_whole)
        for place, summary in pieces.left_over_summaries.items():
            there = sum(n for alike, n in zip(layers.work.alike, layers.counts, strict=True) if alike.place == place)
            yield Turn((Part("backward", "front", pieces.left_over[place], summary),), 1 * (there == 0))

    # What waits, and what stays

    @cached_property
    def kept(self) -> Size:
        """Bytes of activations that one micro-batch leaves when its forward pass is through."""
        return sum(turn.times * turn.summary.kept for turn in self.turns if turn.parts[0].phase != "backward")

    @cached_property
    def in_flight(self) -> Quantity:
        """Micro-batches whose activations are there at once."""
        layout = self.layers.layout
        v = layout.interleave
        sizes = {"pipeline_parallel": layout.pipeline_parallel, "stage": self.layers.stage}
        sizes["micro_batches"] = self.run.gradient_accumulation
        plain = f.micro_batches_in_flight(**sizes)
        if not np.any(v > 1):
            return plain
        interleaved = f.interleaved_in_flight(**sizes, interleave=v)
        return replace(interleaved, value=chosen(v > 1, interleaved.value, plain.value))

    @cached_property
    def waiting(self) -> Quantity:
        """Activations of all micro-batches in flight but the one in its backward pass."""
        return f.other_micro_batches(in_flight=self.in_flight, kept_bytes=self.kept).named("in_flight")

    @cached_property
    def base(self) -> Size:
        """Bytes that stay for the whole run."""
        holds = self.holds
        stays = holds.weights.value + holds.on_device(holds.optimizer_state.value)
        stays += holds.model_buffers.value if holds.model_buffers else 0
        return stays + holds.gradients.value if self.run.gradients_stay else stays

    @cached_property
    def _during(self) -> tuple[Segment, Segment, Segment]:
        """What is there for as long as micro-batches go through, before and after: those that wait, and buffers; and
        the optimizer's step."""
        exchange, buckets = (
            self.exchange,
            piece("communication", "gradient_buckets", self.exchange.buckets.value, "fp8"),
        )
        held = [
            piece("in_flight", "in_flight", self.waiting.value, "fp8"),
            piece("communication", "communication", exchange.passing.value, "fp8"),
        ]
        gone = []
        if self.gathering.is_used:
            held.append(piece("communication", "added_up", self.gathering.added_up(self.holds.gradients.value), "fp8"))
            last = piece("communication", "reduce_buffer", self.gathering.reduced_at_last, "fp8")
            gone += [Change(1, last), Change(-1, last)]
        gone += [Change(-1, kind) for kind in held]
        gone += [Change(1, piece("gradients", "gradients", size, "fp8")) for size in self._more_gradients]
        scratch = piece("optimizer_temporary", "optimizer", self.holds.optimizer_temporary, "fp8")
        steps = [Change(1, scratch), Change(-1, scratch)]
        (gone if exchange.buckets_go else steps).append(Change(-1, buckets))
        return Segment([Change(1, kind) for kind in (*held, buckets)]), Segment(gone), Segment(steps)

    @property
    def _more_gradients(self) -> Iterator[Size]:
        """Gradients that the optimizer finds beside those that were simulated."""
        if np.any(table := self._table_gradient):
            yield table
        work = self.layers.work
        given_back = self.run.gradients_stay or self.run.steps_in_backward
        if (work.counted is not work.model or work.counted.beside) and not given_back:
            simulated = replace(self.holds, layers=replace(self.layers, work=work.simulated)).gradients.value
            yield self.holds.gradients.value - simulated

    @property
    def _table_gradient(self) -> Size:
        """Bytes of a tied table's gradient on a first stage that is not the last, where a whole model adds it to the
        head's, which is not there."""
        work, run, layers = self.layers.work, self.run, self.layers
        work = work if work.counted is work.model else work.simulated
        if (
            not work.tied
            or run.gradients_stay
            or run.steps_in_backward
            or not work.front[0].trains
            or work.makes_table_gradient
        ):
            return 0
        each = run.numbers.gradient_bytes / layers.layout.sharing(2, experts=False)
        return (layers.is_first - layers.is_whole) * layers.pieces.elements(work.front[:1]) * each

    # The whole of it

    @cached_property
    def peak(self) -> Size:
        """The most that it holds at once, in bytes."""
        before, after, steps = self._during
        height = peak = self.base + before.net
        for turn in self.turns:  # of turns alike the first or the last has the most
            summary, times = turn.summary, turn.times
            there = times > 0
            first = height + there * summary.most
            peak = larger(peak, larger(first, first + there * (times - 1) * summary.net))
            height = height + times * summary.net
        peak = larger(peak, height + after.most)
        return larger(peak, height + after.net + steps.most)

    @cached_property
    def timeline(self) -> Timeline:
        """All changes of memory of one step. Not for a table."""
        before, after, steps = self._during
        numbers = [i for begin, end in self.layers.stretches for i in range(int(begin), int(end))]
        turn_of = {"forward": iter(numbers), "backward": reversed(numbers)}
        stretches = [Stretch("forward", "front", before)]
        for turn in self.turns:
            in_layer = any(part.place is None for part in turn.parts)
            for _ in range(int(turn.times)):
                number = next(turn_of[turn.parts[0].phase]) if in_layer else ""
                for phase, place, segment, _ in turn.parts:
                    if segment.changes:
                        stretches.append(Stretch(phase, number if place is None else place, segment))
        end = [Stretch("backward", "front", after), Stretch("optimizer", "back", steps)]
        return Timeline(self.base, [*stretches, *end])
