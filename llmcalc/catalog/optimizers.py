"""Optimizers: how many states they keep for each parameter, and what they allocate while they step."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import CHEN_2023, DETTMERS_2022, LOSHCHILOV_2019, PYTORCH, Citation


@dataclass(frozen=True)
class Optimizer:
    """``n_states`` tensors of the weights' shape. ``quantized_state_bytes`` replaces the precision's state bytes where
    states are quantised (scales included). ``temporary_states`` is how many weight-sized tensors the step allocates."""

    id: str
    n_states: int
    source: Citation
    quantized_state_bytes: float | None = None
    temporary_states: int = 0


_BLOCKWISE_8_BIT = 1 + 4 / 256  # one byte, and an fp32 scale for each block of 256

OPTIMIZERS = {
    row.id: row
    for row in (
        Optimizer("AdamW", 2, LOSHCHILOV_2019.at("algorithm 2"), temporary_states=1),
        Optimizer("AdamW fused", 2, PYTORCH.at("torch.optim.AdamW, fused=True")),
        Optimizer("AdamW 8-bit", 2, DETTMERS_2022.at("sec. 2"), quantized_state_bytes=_BLOCKWISE_8_BIT),
        Optimizer("Lion", 1, CHEN_2023.at("algorithm 2")),
        Optimizer("SGD momentum", 1, PYTORCH.at("torch.optim.SGD, momentum")),
        Optimizer("SGD", 0, PYTORCH.at("torch.optim.SGD")),
    )
}
