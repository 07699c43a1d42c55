"""How a training step stores its tensors: bytes per element of each kind."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import KORTHIKANTI_2022, MICIKEVICIUS_2018, PYTORCH, RAJBHANDARI_2020, Citation


@dataclass(frozen=True)
class TrainingPrecision:
    """Bytes per element of each kind of tensor.

    ``master_bytes`` is an fp32 copy of the weights that the optimizer keeps. ``cast_bytes`` is autocast's copy of each
    matrix that is multiplied, alive until its backward. ``activation_bytes`` is a matrix product's output,
    ``residual_bytes`` the residual stream, ``score_bytes`` what an unfused attention keeps for each score.
    For each logit the cross-entropy keeps ``saved_loss_bytes``, the training loop holds ``logit_bytes`` (its outputs),
    and the backward pass starts by allocating ``loss_gradient_bytes``. Where the head is tied, the backward pass ends
    with ``tied_gradient_copies`` more gradients of the token table, which are then added up.
    """

    id: str
    weight_bytes: int
    gradient_bytes: int
    master_bytes: int
    state_bytes: int
    cast_bytes: int
    activation_bytes: int
    residual_bytes: int
    score_bytes: int
    saved_loss_bytes: int
    logit_bytes: int
    loss_gradient_bytes: int
    tied_gradient_copies: int
    source: Citation


PRECISIONS = {
    row.id: row
    for row in (
        TrainingPrecision("fp32", 4, 4, 0, 4, 0, 4, 4, 4, 4, 4, 8, 2, PYTORCH.at("torch.float32 throughout")),
        TrainingPrecision("bf16 autocast", 4, 4, 0, 4, 2, 2, 4, 6, 6, 2, 4, 1, PYTORCH.at("torch.autocast")),
        TrainingPrecision("fp16 autocast", 4, 4, 0, 4, 2, 2, 4, 6, 6, 2, 4, 1, MICIKEVICIUS_2018.at("sec. 3")),
        TrainingPrecision("bf16 pure", 2, 2, 0, 2, 0, 2, 2, 2, 2, 2, 4, 2, PYTORCH.at("torch.bfloat16 throughout")),
        TrainingPrecision(
            "mixed, 16-bit gradients", 2, 2, 4, 4, 0, 2, 2, 2, 2, 2, 4, 2, RAJBHANDARI_2020.at("sec. 3.1")
        ),
        TrainingPrecision("mixed, fp32 gradients", 2, 4, 4, 4, 0, 2, 2, 2, 2, 2, 4, 2, KORTHIKANTI_2022.at("fig. 1")),
    )
}
