"""A linear layer, with LoRA's adapter beside it where the run asks for one."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Tensor


class Linear:
    """``inputs`` to ``outputs``; ``adapted`` says whether LoRA trains it. Its weights are named as its result's
    ``role``, unless they have a ``name`` of their own."""

    def __init__(
        self,
        s: Setting,
        inputs: Dims,
        outputs: Dims,
        bias: bool = False,
        role: str = "linear",
        adapted: bool = False,
        name: str = "",
    ) -> None:
        self.s, self.outputs, self.role = s, outputs, role
        self.weight = s.weight(*inputs, *outputs, name=f"{name or role}_parameters", role="matrix", reads=len(inputs))
        self.bias = s.weight(*outputs, name=f"{name or role}_bias", reads=len(outputs)) if bias else None
        self.adapter = None
        if adapted and s.run.lora_rank:
            rank = s.dim("lora_rank", s.run.lora_rank)
            assert self.weight.weight is not None
            a, b = self.weight.weight.adapters
            self.adapter = rank, s.adapter(*inputs, rank, name=a, reads=len(inputs)), s.adapter(rank, *outputs, name=b)

    def __call__(self, x: Tensor, dims: Dims) -> Tensor:
        """The product, with sides ``dims``, and what an adapter adds to it."""
        s = self.s
        weight, unpacked = s.dequantized(self.weight), s.is_quantized
        out = (
            self._by_hand(x, weight, dims)
            if s.code.products_by_hand and not unpacked  # its module is another then
            else op.linear(x, weight, dims, self.bias, self.role, s.run.numbers.linear, unpacked)
        )
        del weight
        if self.adapter is None:
            return out
        rank, down, up = self.adapter
        x = s.tape.cast(x, down.dtype)
        low = op.linear(op.dropout(x, s.run.dropout), down, (*_rows(x, s), rank), None, "lora")
        added = op.scale(op.linear(low, up, dims, None, "lora"), "lora")
        return op.add(out, added, self.role)

    def _by_hand(self, x: Tensor, weight: Tensor, dims: Dims) -> Tensor:
        """The weight cast anew, and the bias in a step of its own."""
        tape = self.s.tape
        weight = tape.cast(weight, tape.autocast or weight.dtype, "weight_cast", "weight_casts")
        out = op.linear(x, weight, dims, None, self.role)
        return out if self.bias is None else op.add(out, self.bias, self.role)


def _rows(x: Tensor, s: Setting) -> tuple[Dim, ...]:
    return tuple(dim for dim in x.dims if dim is s.batch or dim is s.tokens)
