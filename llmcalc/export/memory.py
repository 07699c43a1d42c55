"""Tables of memory: of a training step through time and term by term, of inference, and of what fits."""

from __future__ import annotations

import numpy as np

from llmcalc import sweeps
from llmcalc.accuracy import ARTICLE, PROCESS
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.configuration import Configuration
from llmcalc.export.rows import Rows, Table, records, term
from llmcalc.inputs import integer
from llmcalc.sweeps import KNOBS

_OF_A_PLAN = {
    "peak": "peak_bytes",
    "needed": "needed_bytes",
    "traffic": "sent_bytes",
    "time": "relative_time",
    "bubble": "idle_ratio",
    "again": "recomputed_ratio",
}


def moments(config: Configuration) -> Rows:
    """Every moment of a training step, term by term: as PyTorch allocates it, and as the article counts it."""
    accounts = {"corrected": (config.on_each, config.verdict_standing), "article": (config.article, ARTICLE)}
    for account, (memory, standing) in accounts.items():
        for moment, sum_of_terms in memory.moments.items():
            for part in sum_of_terms.parts:
                yield {"account": account, "moment": moment, **term(part, "memory_bytes"), "standing": standing.label}


def inference(config: Configuration) -> Rows:
    """Inference with a full cache, term by term."""
    for part in config.inference.parts:
        yield {**term(part, "memory_bytes"), "standing": config.inference_standing.label}


def timeline(config: Configuration) -> Rows:
    """Every allocation and release of a training step in order, and what is alive after it."""
    events = config.on_each.timeline.rename(columns={"change": "change_bytes", "live": "live_bytes"})
    columns = [name for name in events.columns if not name.startswith("live_") or name == "live_bytes"]
    return records(events[columns])


def profile(config: Configuration) -> Rows:
    """The points of the step that are drawn, with what is alive by component."""
    points = config.on_each.profile
    return records(points.rename(columns=lambda c: f"{c}_bytes" if c.startswith("live") else c))


def process(config: Configuration) -> Rows:
    """What the device that needs most has allocated at its peak, what PyTorch reserves, what the process takes."""
    verdict = config.verdict
    standings = (config.verdict_standing, PROCESS, PROCESS)
    for q, standing in zip((verdict.allocated, verdict.reserved, verdict.needed), standings, strict=True):
        yield {**term(q, "memory_bytes"), "standing": standing.label}


def savings(config: Configuration) -> Rows:
    """Every change of the run that saves memory, alone. What one costs: 0 nothing, 1 time, 2 what is trained."""
    for advice in config.savings():
        changes = {"changes": "+".join(change.id for change in advice.changes), "cost": advice.cost}
        yield {**changes, "saved_bytes": advice.saved, "peak_bytes": advice.peak}


def takes(config: Configuration) -> Rows:
    """What it would take to train the model whole, with LoRA and with QLoRA, and to serve it, format by format."""
    for take in config.takes:
        if take.verdict is not None:
            allocated, needed = take.verdict.allocated.value, take.verdict.needed.value
            bytes = {"allocated_bytes": allocated, "needed_bytes": needed}
            yield {"way": take.way, "weights": take.format, **bytes, "fits": take.verdict.fits}


def device(config: Configuration) -> Rows:
    """The peak of the device that needs most, term by term, in the layout that is set."""
    for part in config.rank.peak.parts:
        yield {**term(part, "memory_bytes"), "standing": config.verdict_standing.label}


def growth(config: Configuration) -> Rows:
    """Memory against the batch and against the length, the other as it is."""
    sizes = {knob: config.values[knob] for knob in KNOBS}
    for knob, found in sweeps.growth(config).items():
        for stop, peak, memory in zip(found.stops, found.training, found.inference, strict=True):
            both = {"training_peak_bytes": peak, "inference_bytes": memory}
            yield {"varied": knob, **sizes, knob: int(stop), **both}


def memory_map(config: Configuration) -> Rows:
    """What a process needs over batch and length, or users and context, for what has to fit."""
    purpose = config.values["purpose"]
    batches, lengths = (np.array(integer(knob).scale, float) for knob in KNOBS)
    many, long = config.knobs_of(purpose)
    memory = config.needed_for(purpose, batches[:, None], lengths[None, :])
    for (i, j), needed in np.ndenumerate(memory):
        sizes = {many: int(batches[i]), long: int(lengths[j])}
        yield {"purpose": purpose, **sizes, "needed_bytes": needed}


def devices(config: Configuration) -> Rows:
    """The largest batch, and the longest sequence, on every device, for what has to fit, or most users and the longest
    context, those that its engine runs on; 0 where there is none."""
    purpose = config.values["purpose"]
    many, long = config.knobs_of(purpose)
    batches, lengths = sweeps.largest(config, purpose).values()
    for memory, names in sweeps.devices_for(config, purpose).items():
        for name in names:
            largest = {f"largest_{many}": batches[memory], f"longest_{long}": lengths[memory]}
            source = ACCELERATORS[name].memory_source
            has = {"memory_bytes": memory, "memory_source": str(source) if source else "nominal"}
            yield {"device": name, **has, "purpose": purpose, **largest}


def plans(config: Configuration) -> Rows:
    """Every plan for the cluster, the best first. Raises InputError where there is none."""
    return records(config.plans.rename(columns=_OF_A_PLAN))


TABLES: tuple[Table, ...] = (
    *(moments, inference, timeline, profile, process, savings, takes, device, growth, memory_map, devices, plans),
)
