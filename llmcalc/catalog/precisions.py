"""How a training step stores its numbers: formats of weights, products, gradients and optimizer states."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import KORTHIKANTI_2022, MICIKEVICIUS_2018, MICIKEVICIUS_2022, PYTORCH, RAJBHANDARI_2020, Citation

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1, "bool": 1, "int64": 8, "int32": 4}


@dataclass(frozen=True)
class Precision:
    """``weights``, ``gradients`` and ``states`` are formats. ``autocast`` is the format that matrix products run in
    while the weights stay in theirs, None without autocast. ``master`` is the format of a second copy of the weights
    that the optimizer keeps, None without one. ``linear`` is the format that linear layers take and keep their operands
    in, where it is not autocast's."""

    id: str
    weights: str
    autocast: str | None
    gradients: str
    states: str
    master: str | None
    source: Citation
    linear: str | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight as the forward pass finds it."""
        return BYTES[self.weights]

    @property
    def gradient_bytes(self) -> int:
        """Bytes of a gradient as the optimizer finds it."""
        return BYTES[self.gradients]

    @property
    def state_bytes(self) -> int:
        """Bytes of one number of an optimizer's state."""
        return BYTES[self.states]

    @property
    def master_bytes(self) -> int:
        """Bytes of a weight's second copy."""
        return BYTES[self.master] if self.master else 0


PRECISIONS = {
    row.id: row
    for row in (
        Precision("fp32", "fp32", None, "fp32", "fp32", None, PYTORCH.at("torch.float32 throughout")),
        Precision("amp_bf16", "fp32", "bf16", "fp32", "fp32", None, PYTORCH.at("torch.autocast")),
        Precision("amp_fp16", "fp32", "fp16", "fp32", "fp32", None, MICIKEVICIUS_2018.at("sec. 3")),
        Precision("bf16", "bf16", None, "bf16", "bf16", None, PYTORCH.at("torch.bfloat16 throughout")),
        Precision("bf16_amp", "bf16", "bf16", "bf16", "bf16", None, PYTORCH.at("torch.autocast")),
        Precision(
            "amp_fp8",
            "fp32",
            "bf16",
            "fp32",
            "fp32",
            None,
            MICIKEVICIUS_2022.at("sec. 3"),
            linear="fp8",
        ),
        Precision("mixed_bf16", "bf16", None, "bf16", "fp32", "fp32", RAJBHANDARI_2020.at("sec. 3.1")),
        Precision("mixed_fp32", "bf16", None, "fp32", "fp32", "fp32", KORTHIKANTI_2022.at("fig. 1")),
    )
}
