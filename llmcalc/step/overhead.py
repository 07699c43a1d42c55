"""What a training process takes beside its tensors: named, adjustable, and never hidden in a factor.

Three figures are told apart: what is allocated (tensors; the part that is checked against PyTorch), what PyTorch's
allocator reserves from the device, and what the process takes of the device (what nvidia-smi shows).
"""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.quantity import Quantity, formula
from llmcalc.sources import PYTORCH

MiB = 2**20
# Per cent of what is allocated that lies in blocks too torn to be used, by what is recomputed; others are as "none".
# none: the median of twelve simulated allocation traces. full: the middle one of three runs of torchtune on one device
# (r122 to r124 in llmcalc/accuracy/reports.jsonl), what they print as reserved beside what is simulated as allocated
FRAGMENTATION = {"none": 14.0, "full": 6.0}


@formula(r"M_\text{reserved}", "bytes", PYTORCH.at("CUDA semantics: memory management; torch.cuda.memory_reserved"))
def reserved_memory(*, allocated_bytes, workspace_bytes, fragmentation):
    """What the allocator holds of the device: tensors, cuBLAS workspaces, and blocks too torn to be used."""
    return (allocated_bytes + workspace_bytes) * (1 + fragmentation / 100)


@formula(r"M_\text{process}", "bytes", PYTORCH.at("CUDA semantics: memory management"))
def process_memory(*, reserved_bytes, context_bytes):
    """What the process takes of the device: what is reserved, and the CUDA context with its loaded kernels."""
    return reserved_bytes + context_bytes


@formula(r"M_\text{budget}", "bytes", PYTORCH.at("CUDA semantics: memory management"))
def tensor_budget(*, device_bytes, context_bytes, workspace_bytes, fragmentation):
    """How much tensors may take of a device, so that the process still fits."""
    return (device_bytes - context_bytes) / (1 + fragmentation / 100) - workspace_bytes


def fragmentation_of(recompute: str) -> float:
    """How much fragmentation to reckon with, in per cent, where the reader does not say."""
    return FRAGMENTATION.get(recompute, FRAGMENTATION["none"])


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """``context`` and ``workspaces`` in MiB, ``fragmentation`` in per cent of what is allocated."""

    context: float = 450
    workspaces: float = 17
    fragmentation: float = 14

    def reserved(self, allocated: Quantity) -> Quantity:
        """What PyTorch's allocator reserves for ``allocated`` bytes of tensors."""
        return reserved_memory(
            allocated_bytes=allocated, workspace_bytes=self.workspaces * MiB, fragmentation=self.fragmentation
        )

    def process(self, allocated: Quantity) -> Quantity:
        """What the process then takes of the device."""
        return process_memory(reserved_bytes=self.reserved(allocated), context_bytes=self.context * MiB)

    def budget(self, device_bytes: float) -> Quantity:
        """What tensors may take of a device with ``device_bytes``."""
        return tensor_budget(
            device_bytes=device_bytes,
            context_bytes=self.context * MiB,
            workspace_bytes=self.workspaces * MiB,
            fragmentation=self.fragmentation,
        )
