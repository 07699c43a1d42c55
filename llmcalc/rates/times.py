"""How long work takes: operations over a device's rate, bytes over a link's bandwidth."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.catalog.accelerators import Accelerator
from llmcalc.quantity import formula
from llmcalc.sources import CHOWDHERY_2022, NARAYANAN_2021, RAJBHANDARI_2020, REN_2021


@formula(r"t_\text{compute}", "s", CHOWDHERY_2022.at("sec. 4.1"))
def compute_time(*, flops, tokens, devices, peak_flops, utilization):
    """Operations of all tokens, shared out evenly, at a part of the devices' dense peak."""
    return flops * tokens / (devices * peak_flops * utilization / 100)


@formula(r"t_\text{idle}", "s", NARAYANAN_2021.at("sec. 2.2.2"))
def idle_time(*, compute_seconds, pipeline_parallel, interleave, micro_batches):
    """Time that a pipeline stands idle while it fills and empties."""
    return compute_seconds * (pipeline_parallel - 1) / (interleave * micro_batches)


@formula("t_b / t", "", NARAYANAN_2021.at("sec. 2.2.2"))
def bubble(*, pipeline_parallel, interleave, micro_batches):
    """Time that a pipeline stands idle, in terms of the time that it works: (p − 1)/vm."""
    return (pipeline_parallel - 1) / (interleave * micro_batches)


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
