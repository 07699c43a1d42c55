"""The question line, and what answers it at a glance: the sentence, one bar of the device, what would change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmcalc.accuracy import ESTIMATE, held_back
from llmcalc.accuracy.reports import off_of_judged
from llmcalc.configuration import Configuration
from llmcalc.errors import shortened
from llmcalc.phrase import Phrase
from llmcalc.question import SERVE, Cheaper, asked, blanks, other_devices
from llmcalc.serving.served import Served
from llmcalc.words import label_of, value_of, w
from pages.content import serving
from pages.content.pieces import changes_named, component_names
from pages.ui.document.blocks import Block, Offer, Paragraph, badge, plain, said, said_once
from pages.ui.figures.palette import COLOURS, by_component
from pages.ui.words.numbers import error_share, exact, human
from pages.ui.words.problems import verbatim
from pages.ui.words.verdict import served_words

SEEN = 0.005  # of the bar: what is narrower has no name of its own


@dataclass(frozen=True)
class Stretch:
    """A part of the bar: what it is, its bytes, its colour."""

    name: str
    value: float
    colour: str


@dataclass(frozen=True)
class Bar:
    """What is needed of a device, part by part, and what the device has."""

    stretches: tuple[Stretch, ...]
    limit: float
    limit_name: str

    @property
    def needed(self) -> float:
        """All parts together."""
        return sum(stretch.value for stretch in self.stretches)


@dataclass(frozen=True)
class Typed:
    """A question that was typed: what was understood of it, the numbers in it that no input can be (`Phrase.cut`), what
    its number formats set (`Phrase.read_formats`), and the model and the device that were set then."""

    phrase: Phrase
    cut: tuple[tuple[str, float, float], ...]
    formats: tuple[tuple[str, dict[str, Any]], ...]
    model: str
    device: str


def typed_notes(typed: Typed, values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Phrase]]]:
    """What is to be said of a question that was typed, with what could be meant instead: a name, and the question with
    that. Of a name nothing, once another is chosen."""
    phrase = typed.phrase
    for id, part, now in (("model", "named_model", typed.model), ("accelerator", "named_device", typed.device)):
        named = getattr(phrase, part)
        if named and named.how != "named" and values[id] == now:
            key = f"question.{id}_none" if named.how == "none" else f"question.{named.how}"
            told = [w(key, said=verbatim(named.said), taken=now)]
            others = {o: replace(phrase, **{part: replace(named, id=o, how="named", others=())}) for o in named.others}
            told += [w("question.or" if named.id else "question.nearest_are")] if others else []
            yield " ".join(told), others
    for said_of_format, inputs in typed.formats:
        for id, value in inputs.items():
            taken = value_of(id, value)
            yield w("question.format", said=verbatim(said_of_format), label=label_of(id), taken=taken), {}
        if not inputs:
            yield w("question.format_idle", said=verbatim(said_of_format)), {}
    for id, number, used in typed.cut:
        typed_number = verbatim(shortened(exact(number)))
        yield w("question.cut", label=label_of(id), said=typed_number, used=exact(used)), {}
    for also in phrase.also:
        yield w("question.also", said=verbatim(also)), {}
    if phrase.unread:
        yield w("question.unread", words=verbatim(", ".join(phrase.unread))), {}


def sentence(config: Configuration) -> Iterator[tuple[str, str]]:
    """The question in the reader's language: what is written, or which blank is there."""
    values = config.values
    names = ("asked", "model", *blanks(values))
    others = other_devices(values)
    also = w("question.times", others=exact(others)) if others > 1 else ""
    key = "question.serve_line" if asked(values) == SERVE else "question.train_line"
    long = config.serving.context if asked(values) == SERVE else values["seq_len"]
    told = {"count": values[blanks(values)["many"]], "long": long, "also": also, "each": _each(config)} | {
        name: f"|{name}|" for name in names
    }
    for piece in w(key, **told).split("|"):
        if piece.strip():
            yield ("", piece) if piece in names else (piece.strip(), "")


def _each(config: Configuration) -> str:
    """Of what the sequences of a training step are, where there are several such: of each device, or of each group of
    them that holds the model once."""
    layout = config.layout
    if asked(config.values) == SERVE or layout.data_parallel == 1:
        return ""
    return w("question.per_device" if layout.data_parallel == layout.devices else "question.per_copy")


@said_once
def bar(config: Configuration) -> Bar | None:
    """The bar of what was asked; nothing where an engine refuses it."""
    if asked(config.values) == SERVE:
        return None if config.served is None else _of_serving(config, config.served)
    verdict = config.verdict
    parts: Mapping[str, float] = by_component(verdict.allocated.parts)
    beside = verdict.needed.value - sum(parts.values())
    found = [*_stretches(parts, component_names()), Stretch(w("question.beside"), beside, COLOURS["rest"])]
    return _bar(found, float(verdict.available.value), config.accelerator.id)


def _of_serving(config: Configuration, served: Served) -> Bar:
    parts = by_component(serving.parts_of(served))
    limit = w("serving.limit", device=config.accelerator.id)
    return _bar(_stretches(parts, serving.names()), float(served.limit.value), limit)


def _bar(stretches: list[Stretch], limit: float, limit_name: str) -> Bar:
    """The bar, in which what is too narrow to be seen is one."""
    least = SEEN * max(limit, sum(stretch.value for stretch in stretches))
    found = [stretch for stretch in stretches if stretch.value >= least]
    rest = sum(stretch.value for stretch in stretches if stretch.value < least)
    others = [Stretch(w("question.others"), rest, COLOURS["inputs"])] if rest else []
    return Bar((*found, *others), limit, limit_name)


def _stretches(parts: Mapping[str, float], names: Mapping[str, str]) -> list[Stretch]:
    return [Stretch(names[id], value, COLOURS[id]) for id, value in parts.items() if value]


def bar_told(found: Bar) -> str:
    """The bar in words."""
    parts = ", ".join(f"{stretch.name} {human(stretch.value, 'bytes')}" for stretch in found.stretches)
    ends = {"needed": human(found.needed, "bytes"), "limit": human(found.limit, "bytes")}
    return w("question.bar_alt", parts=parts, device=found.limit_name, **ends)


def served_verdict(config: Configuration) -> Iterator[Block]:
    """Whether an engine holds it, in the words of Serving; nothing where it refuses it."""
    if config.served is not None:
        standing = config.serving.served_standing
        yield Paragraph(said(served_words(config, config.served)) + plain(" ") + badge(standing), why=standing)


def cheaper(config: Configuration, found: list[Cheaper]) -> Iterator[Block]:
    """The changes, each a button with what it saves and what it costs."""
    serves = asked(config.values) == SERVE
    fits = config.served.fits if serves and config.served else config.verdict.fits
    for place, change in enumerate(found):
        told = [_named(change, serves), w("question.saves", saved=human(change.saved, "bytes"))]
        told.append(w(f"question.cost_{change.cost}_serving" if serves else f"question.cost_{change.cost}"))
        if change.fits and not fits:
            told.append(w("question.then_fits"))
        cost = w(f"question.cost_{change.cost}_serving_help" if serves else f"advice.cost_{change.cost}")
        yield Offer(said(" · ".join(told)), dict(change.values), f"cheaper_{place}", cost)


def _named(change: Cheaper, serves: bool) -> str:
    if serves:
        return "**" + ", ".join(f"{label_of(id)} → {value_of(id, value)}" for id, value in change.values.items()) + "**"
    return f"**{changes_named(change.changes, change.values)}**"


def numbers(config: Configuration) -> list[tuple[str, str]]:
    """Of serving: for how many it has room, and how fast it is."""
    served = config.served
    if asked(config.values) != SERVE or served is None:
        return []
    found = [(w("question.users"), exact(config.serving.users))]
    if config.serving.writes and served.fits and served.tokens_per_second is not None:
        found.append((w("quantities.tokens_per_second"), human(served.tokens_per_second.value, "tokens/s")))
    if config.serving.writes and served.fits and served.time_between_tokens is not None:
        found.append((w("quantities.time_between_tokens"), human(served.time_between_tokens.value, "s")))
    if (fewest := config.serving.fewest_devices) is not None:
        found.append((w("question.fewest"), f"{exact(fewest)} × {config.accelerator.id}"))
    return found


def how_sure(config: Configuration) -> str:
    """How far off what is predicted was: of all steps that were measured and held back; of an estimate, which they do
    not speak for, of what people printed of their own devices."""
    if config.verdict_standing.label == ESTIMATE:
        off = off_of_judged()
        sizes = {"median": error_share(off.median), "p95": error_share(off.p95)}
        return w("question.how_sure_estimate", count=exact(off.count), **sizes)
    off = held_back()
    return w("question.how_sure", count=exact(off.count), p95=error_share(off.p95), largest=error_share(off.largest))
