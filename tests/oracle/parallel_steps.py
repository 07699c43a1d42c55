"""What one rank of a data-parallel step allocates: real DDP and FSDP2 on a process group that sends nothing.

Fake tensors on a fake cuda:0, as `step_memory.py` counts them, so that it needs neither GPUs nor other processes.

    PYTHONPATH=. python tests/oracle/parallel_steps.py >> measured.jsonl
"""

from __future__ import annotations

import fake_cuda  # isort: skip  # before torch

import contextlib
import gc
import json
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import step_memory
import torch
import torch.distributed as dist
from allocations import Allocations, granules
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp._fully_shard import _fsdp_collectives, _fsdp_param, _fsdp_param_group, _fsdp_state
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

PHASES = ("fwd", "bwd", "opt")
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class _Stream:
    """A stream that has nothing to wait for."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *_: False if name == "is_capturing" else self


class _Handle:
    """What FSDP2 asks of torch.cuda."""

    Stream = Event = _Stream
    current_stream = staticmethod(_Stream)
    stream = staticmethod(lambda _: contextlib.nullcontext())
    current_device = staticmethod(lambda: 0)


class _Reducer:
    """DDP's reducer, whose buckets stay in the order they were made in: to sort them anew it compares ranks."""

    def __init__(self, reducer: Any) -> None:
        self._reducer = reducer

    def __getattr__(self, name: str) -> Any:
        return (lambda: False) if name == "_rebuild_buckets" else getattr(self._reducer, name)


class RankAllocations(Allocations):
    """Counts the shards of a DTensor, and storages that FSDP2 empties and fills again."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(t, DTensor) for t in types):
            return NotImplemented  # its own operators come here one by one
        return super().__torch_dispatch__(func, types, args, kwargs)

    def add(self, tensor: torch.Tensor, op: str = "", of_parameter: bool = False) -> None:
        super().add(tensor.to_local() if isinstance(tensor, DTensor) else tensor, op, of_parameter)

    def resized(self, tensor: torch.Tensor, size: int) -> None:
        """Count a storage that now has so many bytes."""
        storage = tensor.untyped_storage()
        if (found := self.live.get(storage._cdata)) is None:
            storage.resize_(size)
            return self.add(tensor, "alloc_storage")
        self.current += granules(size) - found.size
        found.size = granules(size)
        storage.resize_(size)
        if self.current > self.peak:
            self.peak, self.peak_op, self.peak_module = self.current, "alloc_storage", self._modules[-1]
        return None


@contextlib.contextmanager
def _streamless(meters: list[RankAllocations]) -> Iterator[None]:
    """Inside, FSDP2 does without streams, and the meter, once there is one, sees what it empties and fills."""

    def alloc(tensor: torch.Tensor) -> None:
        meters[0].resized(tensor, tensor.numel() * tensor.itemsize)

    def free(tensor: torch.Tensor) -> None:
        meters[0].resized(tensor, 0)

    modules = (_fsdp_param_group, _fsdp_state, _fsdp_collectives)
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "_get_device_handle", return_value=_Handle))
        stack.enter_context(mock.patch.object(_fsdp_param_group, "alloc_storage", alloc))
        stack.enter_context(mock.patch.multiple(_fsdp_param, alloc_storage=alloc, free_storage=free))
        stack.enter_context(mock.patch("torch.accelerator.current_stream", _Stream))
        yield


def measure(
    config: Mapping[str, Any],
    *,
    how: str = "fsdp2",
    world: int = 4,
    reshard: bool = True,
    param_dtype: str | None = None,
    bucket_view: bool = False,
    recipe: str = "fp32",
    ckpt: bool = False,
    batch_size: int = 2,
    seq_len: int = 128,
    lora: Mapping[str, Any] | None = None,
    accumulate: int = 1,
    optimizer: str = "adamw_foreach",
) -> dict[str, Any]:
    """Peaks of the second step's phases on one rank of ``world``, in bytes: ``how`` is "ddp" or "fsdp2" with
    ``reshard`` after the forward pass, and weights gathered in ``param_dtype`` (and gradients reduced in fp32)."""
    gc.collect()
    if dist.is_initialized():
        dist.destroy_process_group()
    dist.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
    mesh = DeviceMesh("cpu", torch.arange(world))
    mesh._device_type = "cuda"
    meters: list[RankAllocations] = []
    with fake_cuda.device(), _streamless(meters):
        model = step_memory.build(config, attn="sdpa", recipe=recipe, ckpt=ckpt, dropout=0.0)
        if lora:
            model = step_memory.adapted(model, lora)
        whole = sum(p.nbytes for p in model.parameters())
        trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
        called: Any = model
        if how == "fsdp2":
            told: dict[str, Any] = {"mesh": mesh, "reshard_after_forward": reshard}
            if param_dtype:
                told["mp_policy"] = MixedPrecisionPolicy(param_dtype=DTYPES[param_dtype], reduce_dtype=torch.float32)
            for layer in layers_of(model):
                fully_shard(layer, **told)
            told.pop("reshard_after_forward")
            fully_shard(model, **told, **({} if reshard else {"reshard_after_forward": False}))
        ids = torch.randint(0, model.config.vocab_size, (batch_size, seq_len), device="cuda")
        meter = RankAllocations(model)
        meter.add(ids)
        meters.append(meter)
        if how == "ddp":
            with meter:
                called = DistributedDataParallel(model, gradient_as_bucket_view=bucket_view, init_sync=False)
            called.register_comm_hook(None, _reduced)
            called.logger = mock.Mock()  # it times a GPU
            called.reducer = _Reducer(called.reducer)
        opt = step_memory.OPTIMIZERS[optimizer]([p for p in model.parameters() if p.requires_grad])
        peaks: dict[str, tuple[int, str]] = {}
        for _ in range(2):
            peaks = {}
            opt.zero_grad(set_to_none=True)
            for micro in range(accumulate):
                step = _Micro(called, ids, recipe)
                waits = how == "ddp" and micro < accumulate - 1
                with called.no_sync() if waits else contextlib.nullcontext():
                    for phase in ("fwd", "bwd"):
                        peaks[phase] = max(peaks.get(phase, (0, "")), _read(meter, getattr(step, phase)))
            peaks["opt"] = _read(meter, opt.step)
    told = {"how": how, "world": world, "reshard": reshard, "param_dtype": param_dtype, "bucket_view": bucket_view}
    told |= {"recipe": recipe, "ckpt": ckpt, "B": batch_size, "S": seq_len, "accumulate": accumulate}
    told |= {"lora": dict(lora) if lora else None, "optimizer": optimizer}
    return {
        **{"config": dict(config), **told, "weight_bytes": whole, "trained_bytes": trained},
        **{"peaks": {phase: peaks[phase][0] for phase in PHASES}, "at": {phase: peaks[phase][1] for phase in PHASES}},
        **{"torch": torch.__version__, "instrument": "fake"},
    }


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The model's layers, each a group of its own."""
    return next(list(m) for m in model.modules() if isinstance(m, nn.ModuleList))


class _Micro:
    """One micro-batch forward and backward."""

    def __init__(self, model: nn.Module, ids: torch.Tensor, recipe: str) -> None:
        self.model, self.ids, self.autocast = model, ids, "amp" in recipe
        self.loss: torch.Tensor | None = None

    def fwd(self) -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=self.autocast):
            self.loss = self.model(input_ids=self.ids, labels=self.ids).loss

    def bwd(self) -> None:
        assert self.loss is not None
        self.loss.backward()
        self.loss = None


def _reduced(_: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """A bucket as it is, in place of one that was sent."""
    done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


_reduced.__annotations__ = {"bucket": dist.GradBucket, "return": torch.futures.Future[torch.Tensor]}  # DDP looks


def _read(meter: RankAllocations, does: Any) -> tuple[int, str]:
    meter.reset_peak()
    with meter:
        does()
    return meter.peak, f"{meter.peak_op} {meter.peak_module}"


LLAMA = {
    "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 4,
    "num_key_value_heads": 4, "intermediate_size": 768, "vocab_size": 4000, "tie_word_embeddings": False,
}  # fmt: skip
CASES: list[dict[str, Any]] = [
    {"how": "ddp"},
    {"how": "ddp", "bucket_view": True},
    {"how": "ddp", "accumulate": 2},
    {"how": "ddp", "accumulate": 2, "bucket_view": True},
    {"how": "ddp", "recipe": "amp_bf16"},
    {"how": "fsdp2"},
    {"how": "fsdp2", "reshard": False},
    {"how": "fsdp2", "param_dtype": "bf16"},
    {"how": "fsdp2", "ckpt": True},
    {"how": "fsdp2", "param_dtype": "bf16", "ckpt": True},
    {"how": "fsdp2", "accumulate": 2},
    {"how": "fsdp2", "recipe": "bf16"},
    {"how": "fsdp2", "world": 8},
]


def main() -> None:
    for case in CASES:
        print(json.dumps(measure(LLAMA, **case)), flush=True)


if __name__ == "__main__":
    main()
