"""A cuda:0 that only fake tensors can live on, for a machine without a GPU: real dispatch, no memory, no arithmetic.

Import before torch. The real device is left alone where torch is built for CUDA; then ``REAL`` is true.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

SOURCE = Path(__file__).with_suffix(".cpp")
_TORCH = Path(importlib.util.find_spec("torch").submodule_search_locations[0])
REAL = any((_TORCH / "lib").glob("libc10_cuda*"))


def _library() -> Path:
    """``fake_cuda.cpp``, compiled once for each version of it and of torch."""
    version = importlib.metadata.version("torch")
    name = hashlib.sha256(SOURCE.read_bytes() + version.encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"fake_cuda_{name}.so"
    if not library.exists():
        unfinished = library.with_suffix(f".{id(library)}")
        flags = ["-shared", "-fPIC", "-std=c++20", "-w", f"-I{_TORCH}/include", f"-L{_TORCH}/lib"]
        command = ["g++", *flags, str(SOURCE), "-lc10", "-ltorch_cpu", "-o", str(unfinished)]
        subprocess.run(command, check=True)
        unfinished.rename(library)
    return library


if not REAL:
    if "torch" in sys.modules:
        raise ImportError("fake_cuda must be imported before torch: torch looks for CUDA once, as it is imported")
    ctypes.CDLL(str(_TORCH / "lib" / "libtorch_cpu.so"))
    ctypes.CDLL(str(_library()))

import torch  # noqa: E402
from torch._subclasses import FakeTensorMode  # noqa: E402
from transformers.initialization import TORCH_INIT_FUNCTIONS  # noqa: E402


def _grouped_mm(a: torch.Tensor, b: torch.Tensor, *_: object, offs: torch.Tensor, **__: object) -> torch.Tensor:
    """Torch's own meta kernel without its refusal of fp32, which CUDA computes group by group."""
    return torch._meta_registrations._create_grouped_mm_output_tensor(a, b, offs, a.dtype)


is_padded: list[bool] = []  # whether a mask is one of padding: fakes have nothing to see


@contextlib.contextmanager
def device() -> Iterator[FakeTensorMode]:
    """Inside, tensors are fakes, and torch and transformers believe in one Hopper GPU."""
    cuda = {
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_: True,
        "is_current_stream_capturing": lambda: False,
        "current_device": lambda: 0,
        "device_count": lambda: 1,
        "get_device_capability": lambda *_: (9, 0),
    }
    with (
        # transformers leaves a mask out where it sees that nothing is padded or packed; fakes have nothing to see
        mock.patch.multiple(
            "transformers.masking_utils",
            is_tracing=lambda *_: False,
            fast_all=lambda mask: not is_padded,
            find_packed_sequence_indices=lambda positions: None,
        ),
        # what torch.tensor() copies to the GPU is a fake too
        mock.patch.object(FakeTensorMode, "avoid_device_init", True),
        mock.patch.multiple(torch.cuda, **cuda),
        mock.patch.object(torch._meta_registrations, "_meta_grouped_mm_common", _grouped_mm),
        # Adam's step count, a fake on the CPU, has no value
        mock.patch("torch.optim.adam._get_value", lambda x: 1.0 if isinstance(x, torch.Tensor) else x),
        # it looks at what it draws
        mock.patch.dict(TORCH_INIT_FUNCTIONS, trunc_normal_=lambda tensor, *_, **__: tensor),
        torch.autograd.set_multithreading_enabled(False),  # fake tensors do not bear two threads
        FakeTensorMode() as mode,
    ):
        yield mode
