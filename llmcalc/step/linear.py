"""A linear layer, with LoRA's adapter beside it where the run asks for one."""

from __future__ import annotations

from functools import partial

from llmcalc.step import operations as op
from llmcalc.step.adapters import Adapter, packed_product
from llmcalc.step.names import NAMES
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dims, Tensor


class Linear:
    """``inputs`` to ``outputs``, with LoRA's adapter where the run asks for one. Its weights are named as its result's
    ``role``, unless they have a ``name`` of their own. One that is no ``module``, but a bare matrix in the code, is
    neither ``adapted`` nor quantised."""

    def __init__(
        self,
        s: Setting,
        inputs: Dims,
        outputs: Dims,
        bias: bool = False,
        role: str = "linear",
        adapted: bool = True,
        name: str = "",
        module: bool = True,
        trains: bool = True,
    ) -> None:
        self.s, self.outputs, self.role = s, outputs, role
        called, reads = name or role, len(inputs)
        kind = "matrix" if module else "weight"
        counted = called if called in NAMES else f"{called}_parameters"
        made = partial(s.weight, trains=trains, module=called)
        self.weight = made(*inputs, *outputs, name=counted, role=kind, reads=reads)
        self.bias = made(*outputs, name=f"{called}_bias", reads=len(outputs)) if bias else None
        self.is_quantized = module and s.run.quantizes and not self.weight.trains
        self.adapter = Adapter(s, self.weight, inputs, outputs) if module and adapted and s.adapts(called) else None

    def __call__(self, x: Tensor, dims: Dims) -> Tensor:
        """The product, with sides ``dims``, and what an adapter adds to it."""
        s = self.s
        if self.is_quantized:
            out = packed_product(s, x, self.weight, dims, self.bias, self.role)
        elif s.code.products_by_hand and self.adapter is None:  # its module is another then
            out = self._by_hand(x, dims)
        else:
            out = op.linear(x, self.weight, dims, self.bias, self.role, s.run.numbers.linear)
        return out if self.adapter is None else self.adapter.added_to(out, x, self.role)

    def _by_hand(self, x: Tensor, dims: Dims) -> Tensor:
        """The weight cast anew, and the bias in a step of its own."""
        tape = self.s.tape
        weight = tape.cast(self.weight, tape.autocast or self.weight.dtype, "weight_cast", "weight_casts")
        out = op.linear(x, weight, dims, None, self.role)
        return out if self.bias is None else op.add(out, self.bias, self.role)
