"""What a step of a rank is put together from: parts that follow each other, as often as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llmcalc.sizes import larger
from llmcalc.step.timeline import Change, Segment

Size = Any  # int, or a float64 array in a table of plans
Place = tuple[str, int | str]  # a phase, and a traced layer or what is outside of the layers


class Summary(NamedTuple):
    """Of a segment: what it leaves, the most that it holds on the way, and what a micro-batch keeps of it."""

    net: Size
    most: Size
    kept: Size


class Part(NamedTuple):
    """Some of what happens, at a place of the step; None: in the layer whose turn it is."""

    phase: str
    place: str | None
    segment: Segment
    summary: Summary


class Turn(NamedTuple):
    """Parts that follow each other, as often as they come here one after the other."""

    parts: tuple[Part, ...]
    times: Size

    @property
    def summary(self) -> Summary:
        """All parts in short."""
        net: Size = 0
        most: Size = 0
        kept: Size = 0
        for part in self.parts:
            most = larger(most, net + part.summary.most)
            net, kept = net + part.summary.net, kept + part.summary.kept
        return Summary(net, most, kept)


def of_changes(phase: str, place: str | None, changes: Sequence[Change]) -> Part:
    """A part of changes whose sizes are those of each row, in a table."""
    segment = Segment(list(changes))
    return Part(phase, place, segment, Summary(segment.net, segment.most, 0))


def at(
    segments: Mapping[Place, Segment], summaries: Mapping[Place, Summary], phase: str, place: str, times: Size
) -> Iterator[Turn]:
    """The turn of what happens in a place, if anything does."""
    if segment := segments.get((phase, place)):
        yield Turn((Part(phase, place, segment, summaries[phase, place]),), times)
