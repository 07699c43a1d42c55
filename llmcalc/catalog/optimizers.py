"""Optimizers: the states they keep for each parameter, and what they allocate while they step."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import (
    CHEN_2023,
    DETTMERS_2022,
    JORDAN_2024,
    LOSHCHILOV_2019,
    PYTORCH,
    SHAZEER_2018,
    Citation,
)


@dataclass(frozen=True)
class Optimizer:
    """``n_states`` tensors of the weights' shape, ``quantized_state_bytes`` an element where they are quantised (scales
    included). ``factored``: a matrix keeps a row and a column in place of the second state (Adafactor).

    While it steps it allocates ``temporary_states`` copies of all that trains, and ``temporary_largest`` copies of the
    largest single weight.
    """

    id: str
    n_states: int
    source: Citation
    quantized_state_bytes: float | None = None
    temporary_states: int = 0
    temporary_largest: int = 0
    factored: bool = False


_BLOCKWISE_8_BIT = 1 + 4 / 256  # one byte, and an fp32 scale for each block of 256

OPTIMIZERS = {
    row.id: row
    for row in (
        Optimizer("adamw_foreach", 2, PYTORCH.at("torch.optim.AdamW, foreach (the default)"), temporary_states=1),
        Optimizer("adamw_for_loop", 2, LOSHCHILOV_2019.at("algorithm 2"), temporary_largest=2),
        Optimizer("adamw_fused", 2, PYTORCH.at("torch.optim.AdamW, fused=True")),
        Optimizer("adamw_8bit", 2, DETTMERS_2022.at("sec. 2"), quantized_state_bytes=_BLOCKWISE_8_BIT),
        Optimizer("sgd", 0, PYTORCH.at("torch.optim.SGD")),
        Optimizer("sgd_momentum", 1, PYTORCH.at("torch.optim.SGD, momentum")),
        Optimizer("adafactor", 0, SHAZEER_2018.at("algorithm 4"), factored=True, temporary_largest=2),
        Optimizer("lion", 1, CHEN_2023.at("algorithm 2"), temporary_largest=1),
        Optimizer("muon", 1, JORDAN_2024.at("algorithm 2"), temporary_largest=3),
    )
}
