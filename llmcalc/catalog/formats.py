"""Number formats of stored weights and of a KV cache: bits per value, scales included."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmcalc.sources import (
    AGARWAL_2025,
    AUTO_GPTQ,
    COMPRESSED,
    DEEPSEEK_V3,
    DETTMERS_2023,
    DETTMERS_LLM_INT8,
    FBGEMM,
    FRANTAR_2023,
    GGUF,
    GPT_FAST,
    IEEE_754,
    LIN_2023,
    MLX,
    PYTORCH,
    ROUHANI_2023,
    Citation,
)

USUAL_WIDTH = 4096  # of a row, where a format has a scale for each and the matrix is not known


@dataclass(frozen=True)
class NumberFormat:
    """``block_bits`` per stored value, with its share of the scales and zero points of its block; ``row_bits`` are kept
    for every row of a matrix on top. ``stored`` says what of a model is kept in it: "all" of it, only the "linear"
    weights of its layers, of these only the "experts" where it has any, embedding, head and routers too ("tables"), or
    what llama.cpp's files ("gguf") quantise.
    There rows that blocks of ``block`` values do not divide are kept in the format ``instead``.
    """

    id: str
    block_bits: float
    source: Citation
    row_bits: int = 0
    stored: str = "linear"
    block: int = 1
    instead: str = ""

    @property
    def bits(self) -> float:
        """Bits per value in rows of the usual width."""
        return self.bits_in_rows_of(USUAL_WIDTH)

    @property
    def group(self) -> int:
        """How many values of a row share a scale, as its name says; 1 where rows are not cut up, or are filled up."""
        found = re.search(r" g(\d+)| (\d+)×", self.id)
        named = {"NVFP4": 16, "MXFP4 linear": 32, "MXFP8": 32, "MXFP6": 32}
        named |= {"MLX NVFP4": 16, "MLX MXFP4": 32, "MLX MXFP8": 32}
        return int(found[1] or found[2]) if found else named.get(self.id, 1)

    def bits_in_rows_of(self, width: int) -> float:
        """Bits per value of a matrix whose rows are so wide."""
        return self.block_bits + self.row_bits / width


def _gguf(type: str, weights: int, size: int, instead: str = "") -> NumberFormat:
    place = GGUF.at(f"gguf constants: {size} bytes for {weights} weights")
    fallback = f"GGUF {instead}" if instead else ""
    return NumberFormat(f"GGUF {type}", size * 8 / weights, place, stored="gguf", block=weights, instead=fallback)


def _mlx(bits: int, group: int) -> NumberFormat:
    place = MLX.at(f"mlx.core.quantize: {bits} bits, a scale and a bias of 16 for groups of {group}")
    return NumberFormat(f"MLX int{bits} g{group}", bits + 32 / group, place, stored="tables")


def _mlx_scaled(id: str, bits: int, group: int) -> NumberFormat:
    place = MLX.at(f"mlx.core.quantize: mode {id.lower()}, a scale of 8 bits for groups of {group}")
    return NumberFormat(f"MLX {id}", bits + 8 / group, place, stored="tables")


WEIGHT_FORMATS = {
    row.id: row
    for row in (
        NumberFormat("fp32", 32, IEEE_754.at("binary32"), stored="all"),
        NumberFormat("bf16", 16, PYTORCH.at("Tensor attributes: torch.dtype, bfloat16"), stored="all"),
        NumberFormat("fp8", 8, ROUHANI_2023.at("table 1")),
        NumberFormat("fp8 rows", 8, FBGEMM.at("fp8 rowwise: quantize_fp8_row, one fp32 scale a row"), row_bits=32),
        NumberFormat("fp8 128×128", 8 + 32 / 128**2, DEEPSEEK_V3.at("sec. 3.3.2, fine-grained quantization")),
        NumberFormat("int8", 8, DETTMERS_LLM_INT8.at("sec. 3, row-wise scales"), row_bits=16),
        NumberFormat("int8 g128 zero", 8 + 16 / 128 + 8 / 128, AUTO_GPTQ.at("qlinear_cuda.py: scales, qzeros")),
        NumberFormat("int8 g32 zero", 8 + 16 / 32 + 8 / 32, AUTO_GPTQ.at("qlinear_cuda.py: scales, qzeros")),
        NumberFormat("MXFP8", 8 + 8 / 32, ROUHANI_2023.at("table 1")),
        _mlx_scaled("MXFP8", 8, 32),
        _mlx(8, 32),
        _mlx(8, 64),
        _gguf("Q8_0", 32, 34),
        _gguf("Q6_K", 256, 210, "Q8_0"),
        _mlx(6, 64),
        NumberFormat("MXFP6", 6 + 8 / 32, ROUHANI_2023.at("table 1")),
        _gguf("Q5_1", 32, 24),
        _mlx(5, 64),
        _gguf("Q5_K", 256, 176, "Q5_1"),
        _gguf("Q5_0", 32, 22),
        _mlx(4, 32),
        NumberFormat("int4 g32", 4 + 32 / 32, GPT_FAST.at("quantize.py, int4 with scale and zero for groups of 32")),
        NumberFormat("int4 g32 zero", 4 + 16 / 32 + 4 / 32, AUTO_GPTQ.at("qlinear_cuda.py: scales, qzeros")),
        NumberFormat("int4 g32 scale", 4 + 16 / 32, COMPRESSED.at("pack_quantized: a scale for groups of 32")),
        _gguf("Q4_1", 32, 20),
        _mlx(4, 64),
        _mlx_scaled("NVFP4", 4, 16),
        _gguf("Q4_K", 256, 144, "Q5_0"),
        _gguf("Q4_0", 32, 18),
        _gguf("IQ4_NL", 32, 18),
        NumberFormat("NF4 fp32 scales", 4 + 32 / 64, DETTMERS_2023.at("sec. 3, blocks of 64")),
        NumberFormat("NVFP4", 4 + 8 / 16, GGUF.at("gguf constants: 36 bytes for 64 weights")),
        NumberFormat("NF4", 4 + 8 / 64 + 32 / (64 * 256), DETTMERS_2023.at("sec. 3, double quantization")),
        NumberFormat("MXFP4", 4 + 8 / 32, AGARWAL_2025.at("sec. 2.1, MXFP4 for the MoE weights"), stored="experts"),
        NumberFormat("MXFP4 linear", 4 + 8 / 32, ROUHANI_2023.at("table 1")),
        NumberFormat("int4 g64 zero", 4 + 16 / 64 + 4 / 64, AUTO_GPTQ.at("qlinear_cuda.py: scales, qzeros")),
        NumberFormat("int4 g64", 4 + 16 / 64, COMPRESSED.at("pack_quantized: a scale for groups of 64")),
        _gguf("IQ4_XS", 256, 136, "IQ4_NL"),
        NumberFormat("int4 g128 zero", 4 + 16 / 128 + 4 / 128, LIN_2023.at("sec. 5.1, INT4, group size 128")),
        NumberFormat("int4 rows", 4, FRANTAR_2023.at("sec. 5, one grid a row"), row_bits=16),
        NumberFormat("int4 g128", 4 + 16 / 128, FRANTAR_2023.at("sec. 5, group size 128")),
        _mlx_scaled("MXFP4", 4, 32),
        _mlx(4, 128),
        _mlx(3, 64),
        _gguf("Q3_K", 256, 110, "IQ4_NL"),
        _gguf("IQ3_S", 256, 110, "IQ4_NL"),
        NumberFormat("int3 g128", 3 + 16 / 128 + 3 / 128, LIN_2023.at("sec. 5.1, INT3, group size 128")),
        _gguf("IQ3_XXS", 256, 98, "IQ4_NL"),
        _gguf("Q2_K", 256, 84, "IQ4_NL"),
        _mlx(2, 64),
        _gguf("IQ2_S", 256, 82, "IQ4_NL"),
        _gguf("IQ2_XS", 256, 74, "IQ4_NL"),
        _gguf("IQ2_XXS", 256, 66, "IQ4_NL"),
        _gguf("TQ2_0", 256, 66, "Q4_0"),
        _gguf("IQ1_M", 256, 56, "IQ4_NL"),
        _gguf("TQ1_0", 256, 54, "Q4_0"),
        _gguf("IQ1_S", 256, 50, "IQ4_NL"),
        _gguf("Q1_0", 128, 18),
    )
}

# What llama.cpp's quantizer names after a mixture of its types, and not after one of them
GGUF_MIXTURES = (
    *("GGUF Q5_K_M", "GGUF Q5_K_S", "GGUF Q4_K_M", "GGUF Q4_K_S", "GGUF Q3_K_L", "GGUF Q3_K_M", "GGUF Q3_K_S"),
    *("GGUF Q2_K_S", "GGUF IQ3_M", "GGUF IQ3_XS", "GGUF IQ2_M"),
)
STORED_FORMATS = (*WEIGHT_FORMATS, *GGUF_MIXTURES)  # all that a model's weights can be stored in

_CACHES = ("fp32", "bf16", "fp8", *(f"GGUF {type}" for type in ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")))
CACHE_FORMATS = {id: WEIGHT_FORMATS[id] for id in _CACHES}
