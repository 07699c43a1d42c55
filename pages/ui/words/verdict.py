"""The verdict, said once: whether the training step fits the devices that there are. Every page says it like this."""

from __future__ import annotations

from llmcalc.cached import once_for_each
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.fit.verdict import Verdict
from llmcalc.serving.served import Served
from llmcalc.words import language, value_of, w
from pages.ui.words.devices import beside_tensors
from pages.ui.words.numbers import human
from pages.ui.words.plans import layout_name
from pages.ui.words.standing import badge

ON_ONE = Layout()


@once_for_each(language)
def verdict_words(config: Configuration) -> str:
    """Whether a training step fits, what it needs of what there is, what that is made of, and what it may be called."""
    verdict, step = config.verdict, config.on_each
    tensors = f"{_bytes(verdict.allocated.value)} {badge(config.verdict_standing)}"
    phase = w(f"phases.{step.peak_phase}")
    made_of = beside_tensors(
        verdict.device, "verdict.tensors", "verdict.tensors_elsewhere", tensors=tensors, phase=phase
    )
    return f"{said(verdict, w('verdict.training_step'))} {made_of}"


def said(verdict: Verdict, what: str) -> str:
    """Whether ``what`` fits, and by how much."""
    return w(
        "verdict.fits" if verdict.fits else "verdict.does_not_fit",
        what=what,
        where=where(verdict.devices, verdict.device.id),
        needed=_bytes(verdict.needed.value),
        available=_bytes(verdict.available.value),
        difference=_bytes(abs(verdict.left)),
    )


def of_next_token(config: Configuration) -> str:
    """Where preferences or rewards are learnt: that what is told here is of a step that learns the next token."""
    learnt = config.objective
    return "" if learnt.is_next_token else w("verdict.of_next_token", way=value_of("objective", learnt.objective))


def served_words(config: Configuration, served: Served) -> str:
    """Whether an engine holds the requests that are asked of it, and by how much."""
    return _served(config, served, config.serving.context)


def held_words(config: Configuration) -> str:
    """Whether an engine holds the requests at once, and by how much."""
    return _served(config, config.verdict_of_inference, config.requests.length)


def _served(config: Configuration, served: Served, context: int) -> str:
    values, job = config.values, served.job
    asked = {"engine": value_of("engine", job.engine), "users": job.running, "context": context}
    told = w(
        "verdict.served_fits" if served.fits else "verdict.served_does_not_fit",
        what=w("verdict.serving", weights=values["weight_format"], **asked),
        where=where(job.devices, job.device),
        needed=_bytes(served.needed.value),
        available=_bytes(served.limit.value),
        difference=_bytes(abs(served.limit.value - served.needed.value)),
    )
    waiting = job.concurrency - job.running
    return f"{told} {w('verdict.others_wait', users=job.running, waiting=waiting)}" if waiting else told


def where(devices: int, device: str) -> str:
    """On one device, or on each of several."""
    return w("verdict.on_one" if devices == 1 else "verdict.on_each", devices=devices, device=device)


def for_tensors(config: Configuration) -> tuple[str, float]:
    """The line in charts of tensors: what a process leaves of the device for them. What is beyond it does not fit."""
    return w("verdict.for_tensors", device=config.accelerator.id), config.verdict.for_tensors.value


def counted_where(config: Configuration) -> str:
    """Whose memory is drawn as that of training, in words; nothing where there is one device and all of it there."""
    if config.layout == ON_ONE:
        return ""
    if config.counts_each:
        key = "verdict.shown_on_each" if config.layout.devices > 1 else "verdict.shown_with"
        return w(key, devices=config.layout.devices, layout=layout_name(config.layout))
    key = "verdict.shown_article" if config.values["account"] == "article" else "verdict.shown_as_on_one"
    return f"{w(key, scope=_on_one(config))} {w('verdict.said_on_each', scope=_on_each(config))}"


def whole_model(config: Configuration) -> str:
    """Of what parameters, weights and inference are, in words; nothing where training is of the same."""
    return w("verdict.whole_model") if config.layout.devices > 1 else ""


def on_each(config: Configuration, label: str) -> str:
    """The label of what is counted on the device that needs most, of several, as the verdict is."""
    return _labelled(config, label, _on_each(config))


def as_on_one(config: Configuration, label: str) -> str:
    """The label of what is counted as on one device, where there are several."""
    return _labelled(config, label, _on_one(config))


def as_counted(config: Configuration, label: str) -> str:
    """The label of what is counted as the reader chose, as `Configuration.training` is."""
    return on_each(config, label) if config.counts_each else as_on_one(config, label)


def _labelled(config: Configuration, label: str, scope: str) -> str:
    return label if config.layout == ON_ONE else w("verdict.label", label=label, scope=scope)


def _on_each(config: Configuration) -> str:
    key = "verdict.each" if config.layout.devices > 1 else "verdict.with"
    return w(key, devices=config.layout.devices, layout=layout_name(config.layout))


def _on_one(config: Configuration) -> str:
    return w("verdict.one" if config.layout.devices > 1 else "verdict.without", layout=layout_name(config.layout))


def _bytes(value: float) -> str:
    return human(value, "bytes")
