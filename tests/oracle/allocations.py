"""Every allocation of a device while it is watched: who made it, how large it is, and when it is freed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
GRANULE = 512  # bytes; the CUDA caching allocator hands out multiples of it
# References to a tensor, and to its storage, seen from inside an operator when the autograd engine has the last one
LAST_REFERENCE, LAST_STORAGE_REFERENCE = 4, 2


def granules(size: int) -> int:
    """``size`` bytes rounded up to what the allocator hands out."""
    return -(-size // GRANULE) * GRANULE


@dataclass(eq=False)
class Allocation:
    """One storage on the device; ``size`` in bytes, as allocated."""

    size: int
    op: str
    module: str
    shape: list[int]
    dtype: str
    of_parameter: bool = False  # a copy of a parameter in another type
    kept_for: set[str] = field(default_factory=set)  # modules that saved it for their backward


class Allocations(TorchDispatchMode):
    """Counts the bytes that tensors on the GPU hold, now and at most, and remembers the operator of the peak."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.current = self.peak = 0
        self.peak_op = self.peak_module = ""
        self.live: dict[int, Allocation] = {}  # by the address of the storage
        self._references: dict[int, weakref.ref] = {}
        self._modules = [""]
        self._parameters: set[int] = set()
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self._modules.append(name))
            module.register_forward_hook(lambda *_: self._leave(), always_call=True)
        for tensor in [*model.parameters(), *model.buffers()]:
            self.add(tensor)
        self._parameters = {p.untyped_storage()._cdata for p in model.parameters()}

    def reset_peak(self) -> None:
        """Forget the peak; what is held now is the new one."""
        self.peak, self.peak_op, self.peak_module = self.current, "", ""

    @contextmanager
    def noting_what_is_saved(self) -> Iterator[None]:
        """Inside, tensors saved for backward are marked with the module that saves them."""

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if found := self.live.get(tensor.untyped_storage()._cdata):
                found.kept_for.add(self._modules[-1])
            return tensor.detach()

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.add.Tensor and self._is_accumulated_in_place(args[0]):
            # With a dispatch mode on, the engine adds gradients into a new tensor instead of the old one
            self._free(args[0].untyped_storage()._cdata)
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                of_parameter = func is aten._to_copy.default and args[0].untyped_storage()._cdata in self._parameters
                self.add(tensor, str(func), of_parameter)
        return out

    def _is_accumulated_in_place(self, old: Any) -> bool:
        """Whether autograd's engine, left alone, would add into ``old``: can_accumulate_inplace in input_buffer.cpp."""
        return (
            not torch.is_grad_enabled()
            and isinstance(old, torch.Tensor)
            and old.untyped_storage()._cdata in self.live
            and old._use_count() <= LAST_REFERENCE
            and torch._C._storage_Use_Count(old.untyped_storage()._cdata) <= LAST_STORAGE_REFERENCE
            and torch._prims_common.is_non_overlapping_and_dense_or_false(old)
        )

    def add(self, tensor: torch.Tensor, op: str = "", of_parameter: bool = False) -> None:
        """Count what ``op`` returned, if it is new and on the GPU."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, granules(storage.nbytes())
        if tensor.device.type != "cuda" or key in self.live or not size:
            return
        dtype = str(tensor.dtype).removeprefix("torch.")
        self.live[key] = Allocation(size, op, self._modules[-1], list(tensor.shape), dtype, of_parameter)
        self._references[key] = weakref.ref(storage, lambda _: self._free(key))
        self.current += size
        if self.current > self.peak:
            self.peak, self.peak_op, self.peak_module = self.current, op, self._modules[-1]

    def _free(self, key: int) -> None:
        del self._references[key]
        self.current -= self.live.pop(key).size

    def _leave(self) -> None:
        self._modules.pop()
