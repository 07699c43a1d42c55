"""Cross-entropies that do not hold the logits of all tokens at once, as training code writes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def chunked_cross_entropy(hidden: torch.Tensor, head: nn.Module, labels: torch.Tensor, chunks: int) -> torch.Tensor:
    """Mean cross-entropy whose logits, of one chunk of tokens at a time, are computed again in the backward pass."""

    def of_chunk(states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(head(states).float(), targets, reduction="sum")

    hidden, labels = hidden.flatten(0, 1), labels.flatten()
    pieces = zip(hidden.chunk(chunks), labels.chunk(chunks), strict=True)
    return sum(checkpoint(of_chunk, *piece, use_reentrant=False) for piece in pieces) / len(labels)


class _Fused(torch.autograd.Function):
    """Head and cross-entropy whose gradients are computed in the forward pass, a chunk of tokens at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        chunks: int,
    ) -> torch.Tensor:
        grad_hidden, grad_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)

        def of_chunk(states: torch.Tensor, targets: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
            logits = nn.functional.linear(states, weight, bias)
            error = logits.float().softmax(-1)
            loss = -error.gather(1, targets[:, None]).log().sum()
            error.scatter_add_(1, targets[:, None], error.new_full((len(targets), 1), -1.0))
            error = error.to(states.dtype)
            torch.mm(error, weight, out=grad)
            grad_weight.addmm_(error.t(), states)
            if grad_bias is not None:
                grad_bias.add_(error.sum(0))
            return loss

        pieces = zip(hidden.chunk(chunks), labels.chunk(chunks), grad_hidden.chunk(chunks), strict=True)
        losses = [of_chunk(*piece) for piece in pieces]
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        return *(None if saved is None else saved.mul_(grad) for saved in ctx.saved_tensors), None, None


def fused_cross_entropy(hidden: torch.Tensor, head: nn.Module, labels: torch.Tensor, chunks: int) -> torch.Tensor:
    """Mean cross-entropy in the manner of Liger's fused kernel (Hsu et al. 2024), in PyTorch's operators."""
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cuda") else hidden.dtype
    weight, bias = head.weight.to(dtype), None if head.bias is None else head.bias.to(dtype)
    return _Fused.apply(hidden.flatten(0, 1).to(dtype), weight, bias, labels.flatten(), chunks) / labels.numel()
