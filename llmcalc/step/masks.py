"""Which kernel PyTorch takes for `scaled_dot_product_attention`, and what a mask becomes on the way there."""

from __future__ import annotations

from typing import Literal

import numpy as np

from llmcalc.catalog.precisions import BYTES
from llmcalc.step import operations as op
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Grads, Tape, Tensor, given

FLASH_WIDEST_HEAD = 256
FLASH_STEP = 8  # channels of a head, which flash pads to a multiple of it
_EFFICIENT_ROW = 16  # bytes that a row of a head must be a multiple of
MASK_STEP = 16  # keys that a mask is padded to a multiple of

Kernel = Literal["flash", "efficient", "math"]


def sdpa_kernel(*, dtype: str, head: int, value_head: int, masked: bool, grouped: bool) -> Kernel:
    """The kernel that CUDA takes, as `sdp_utils.cpp` of PyTorch 2.13 chooses between those that every device has.

    Flash wants 16 bits, no mask, and queries, keys and values of one width up to 256, which need not be a multiple of
    8: they are padded; it takes fewer key heads than query heads (``grouped``) where it is told of them. The
    memory-efficient kernel takes masks and fp32, but as many key heads as query heads, and rows of a multiple of 16
    bytes. What neither takes is computed step by step in fp32, the matrix stored.
    """
    if dtype in ("bf16", "fp16") and not masked and head == value_head and head <= FLASH_WIDEST_HEAD:
        return "flash"
    aligned = all(width * BYTES[dtype] % _EFFICIENT_ROW == 0 for width in (head, value_head))
    return "efficient" if aligned and not grouped else "math"


def added_mask(s: Setting, mask: Tensor, dtype: str) -> Tensor:
    """A mask as the memory-efficient kernel keeps it: as numbers to add, its rows filled up to a multiple of 16
    keys."""
    numbers = added_numbers(s, mask, dtype)
    dims = numbers.dims if s.batch in numbers.dims else (s.batch, *numbers.dims)
    *others, keys = dims
    if np.all(np.asarray(keys.value) % MASK_STEP == 0):
        return numbers
    wide = Dim(keys.name, -(-keys.value // MASK_STEP) * MASK_STEP)
    return s.constant((*others, wide), dtype, "attention_mask")


def added_numbers(s: Setting, mask: Tensor, dtype: str) -> Tensor:
    """A mask as numbers to add to scores, for each sequence."""
    dims = mask.dims if s.batch in mask.dims else (s.batch, *mask.dims)
    return s.constant(dims, dtype, "attention_mask") if mask.dtype != dtype else mask


def biased_mask(s: Setting, bias: Tensor, mask: Tensor | None, dtype: str, *, causal: bool) -> Tensor:
    """A learned position bias as sdpa takes it: what may not be seen is left out of it, in a copy laid out by heads,
    in the format of the queries (transformers' `create_position_bias_mask`)."""
    if bias.node is not None and (mask is not None or causal):
        heads, tokens, keys = bias.dims
        seen = s.constant((tokens, keys), "bool", "attention_mask") if mask is None else mask
        rows = (heads, tokens, keys) if mask is None else (s.batch, heads, tokens, keys)
        bias = op.chosen_by(bias, seen, rows)
    if bias.node is not None:
        bias = op.copied(bias, "position_bias")
    return s.tape.cast(bias, dtype, "position_bias")


def padded(s: Setting, x: Tensor) -> Tensor:
    """Heads as flash takes them, their width a multiple of 8: a copy where they are not."""
    *others, head = x.dims
    if head.value % FLASH_STEP == 0:
        return x
    wide = s.dim(head.name, -(-head.value // FLASH_STEP) * FLASH_STEP)
    out = x.tape.new((*others, wide), x.dtype, "padded")
    before = x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)
