"""How long a training step takes, as an estimate: operations over a device's rate, bytes over a link's bandwidth.

Messages are counted as if none hid behind the work. What is bound by memory and not by products (norms, softmax, the
optimizer's pass, unpacking of quantised weights) is in the utilisation, and the host's optimizer step is left out.
"""

from __future__ import annotations

from llmcalc.devices.layout import Layout, sequences_of
from llmcalc.devices.passes import WEIGHTS, work_of_step
from llmcalc.devices.rank import RankMemory
from llmcalc.quantity import Quantity, total
from llmcalc.rates.times import Hardware, compute_time, host_time, idle_time, message_time
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model


def missing_rate(run: TrainingRun, hardware: Hardware) -> str | None:
    """The number format that the run multiplies in and whose rate on this device is not known, if there is one."""
    return next((name for name in _formats(run) if hardware.device.peak_flops(name) is None), None)


def step_time(
    model: Model, run: TrainingRun, layout: Layout, hardware: Hardware, *, adapters: float, rank: RankMemory | None
) -> Quantity | None:
    """Time of one step on all devices together; None where operations or the device's rate are not known.

    ``adapters`` are the parameters that LoRA trains, 0 without it; ``rank`` is what one of several devices holds, None
    for a device alone, which sends nothing.
    """
    work = work_of_step(model, run, adapters=adapters)
    if work is None or missing_rate(run, hardware):
        return None
    linear, other = _formats(run)
    tokens = sequences_of(run, layout) * run.seq_len
    common = {"tokens": tokens, "devices": layout.devices, "utilization": hardware.utilization}
    parts = []
    for id, flops in work.items():
        peak = hardware.device.peak_flops(linear if id == WEIGHTS else other)
        parts.append(compute_time(flops=flops, peak_flops=peak, **common).named(f"time_{id}"))
    if layout.pipeline_parallel > 1:
        pipeline = {"pipeline_parallel": layout.pipeline_parallel, "interleave": layout.interleave}
        computing = sum(part.value for part in parts)
        parts.append(idle_time(compute_seconds=computing, **pipeline, micro_batches=run.gradient_accumulation))
    if rank and rank.traffic.value:
        parts.append(message_time(sent_bytes=rank.traffic.value, link_bandwidth=hardware.link_bandwidth))
    if rank and layout.offload_optimizer:
        sizes = {"gradient_bytes": run.trained.gradient_bytes, "weight_bytes": run.trained.weight_bytes}
        n, shards = sum(rank.neediest.holds.parameters.values()), layout.sharing(1)
        parts.append(host_time(rank_parameters=n, **sizes, shards=shards, host_bandwidth=hardware.host_bandwidth))
    return total("step_time", r"t_\text{step}", *parts)


def _formats(run: TrainingRun) -> tuple[str, str]:
    """The number formats of the layers' products with weights, and of all other products."""
    numbers = run.numbers
    other = numbers.autocast or numbers.weights
    return (other if run.lora_rank else numbers.linear or other), other
