"""How long a training step takes, as an estimate: operations over a device's rate, bytes over a link's bandwidth.

Messages are counted as if none hid behind the work. What is bound by memory and not by products (norms, softmax, the
optimizer's pass, unpacking of quantised weights) is in the utilisation, and the host's optimizer step is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.catalog.accelerators import Accelerator
from llmcalc.compute import forward_flops
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import RankMemory
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import (
    CHEN_2016,
    CHOWDHERY_2022,
    KAPLAN_2020,
    NARAYANAN_2021,
    RAJBHANDARI_2020,
    REN_2021,
)
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model


@formula(r"k \cdot C", "FLOP", CHEN_2016.at("sec. 3; and Kaplan et al. 2020, sec. 2.1"))
def work_of_passes(*, flops, passes):
    """Operations for a token in a step: one pass forward, two backward, one fewer where weights are frozen, one more
    where the backward pass runs it again."""
    return flops * passes


@formula(r"C_\text{adapters}", "FLOP", KAPLAN_2020.at("sec. 2.1, of the adapters"))
def adapter_flops(*, parameters):
    """Each parameter of LoRA's adapters multiplies once and adds once for a token."""
    return 2 * parameters


@formula(r"t_\text{compute}", "s", CHOWDHERY_2022.at("sec. 4.1"))
def compute_time(*, flops, tokens, devices, peak_flops, utilization):
    """Operations of all tokens, shared out evenly, at a part of the devices' dense peak."""
    return flops * tokens / (devices * peak_flops * utilization / 100)


@formula(r"t_\text{idle}", "s", NARAYANAN_2021.at("sec. 2.2.2"))
def idle_time(*, compute_seconds, pipeline_parallel, interleave, micro_batches):
    """Time that a pipeline stands idle while it fills and empties."""
    return compute_seconds * (pipeline_parallel - 1) / (interleave * micro_batches)


@formula(r"t_\text{messages}", "s", RAJBHANDARI_2020.at("sec. 7"))
def message_time(*, sent_bytes, link_bandwidth):
    """Bytes that a device sends in a step, over the bandwidth of its link (GB are 10⁹ bytes)."""
    return sent_bytes / (link_bandwidth * 10**9)


@formula(r"t_\text{host}", "s", REN_2021.at("sec. 4.1"))
def host_time(*, rank_parameters, gradient_bytes, weight_bytes, shards, host_bandwidth):
    """Gradients to the host, whose optimizer steps, and weights back."""
    return rank_parameters * (gradient_bytes + weight_bytes) / (shards * host_bandwidth * 10**9)


@dataclass(frozen=True)
class Hardware:
    """A device, what part of its peak is reached (in per cent), and the bandwidth of its links in GB/s."""

    device: Accelerator
    utilization: float
    link_bandwidth: float
    host_bandwidth: float


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
    forward = forward_flops(model, seq_len=run.seq_len)
    if forward is None or missing_rate(run, hardware):
        return None
    linear, other = _formats(run)
    tokens = run.batch_size * run.gradient_accumulation * layout.data_parallel * run.seq_len
    common = {"tokens": tokens, "devices": layout.devices, "utilization": hardware.utilization}
    parts = []
    for id, flops in _flops(forward, adapters).items():
        peak = hardware.device.peak_flops(linear if id == "weights" else other)
        work = work_of_passes(flops=flops, passes=_passes(id, run))
        parts.append(compute_time(flops=work, peak_flops=peak, **common).named(f"time_{id}"))
    if layout.pipeline_parallel > 1:
        pipeline = {"pipeline_parallel": layout.pipeline_parallel, "interleave": layout.interleave}
        computing = sum(part.value for part in parts)
        parts.append(idle_time(compute_seconds=computing, **pipeline, micro_batches=run.gradient_accumulation))
    if rank and rank.traffic.value:
        parts.append(message_time(sent_bytes=rank.traffic.value, link_bandwidth=hardware.link_bandwidth))
    if rank and layout.offload_optimizer:
        sizes = {"gradient_bytes": run.numbers.gradient_bytes, "weight_bytes": run.numbers.weight_bytes}
        n, shards = sum(rank.neediest.parameters.values()), layout.sharing(1)
        parts.append(host_time(rank_parameters=n, **sizes, shards=shards, host_bandwidth=hardware.host_bandwidth))
    return total("step_time", r"t_\text{step}", *parts)


def _formats(run: TrainingRun) -> tuple[str, str]:
    """The number formats of the layers' products with weights, and of all other products."""
    numbers = run.numbers
    other = numbers.autocast or numbers.weights
    return (other if run.lora_rank else numbers.linear or other), other


def _flops(forward: Quantity, adapters: float) -> dict[str, Quantity]:
    """Operations of one token forward, by what they are for."""
    found = {"weights": forward.inputs["weight_flops"]}
    if attention := forward.inputs.get("all_attention_flops"):
        found["attention"] = attention
    found["logits"] = forward.inputs["logits_flops"]
    if adapters:
        found["adapters"] = adapter_flops(parameters=adapters)
    return found


def _passes(id: str, run: TrainingRun) -> int:
    """How many times its operations of the forward pass a step goes through it."""
    frozen = run.lora_rank > 0 and id in ("weights", "logits")
    again = {
        "weights": run.recompute == "full",
        "adapters": run.recompute == "full",
        "attention": run.recompute in ("full", "selective"),
        "logits": run.loss == "chunked",
    }[id]
    return (2 if frozen else 3) + int(again)
