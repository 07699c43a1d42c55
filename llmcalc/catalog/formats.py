"""Number formats of stored weights and of a KV cache: bits per value, scales included."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import (
    DETTMERS_2023,
    DETTMERS_LLM_INT8,
    FRANTAR_2023,
    GGUF,
    IEEE_754,
    MICIKEVICIUS_2018,
    ROUHANI_2023,
    Citation,
)


@dataclass(frozen=True)
class NumberFormat:
    """``bits`` per stored value, with its share of the scales and zero points of its block."""

    id: str
    bits: float
    source: Citation


WEIGHT_FORMATS = {
    row.id: row
    for row in (
        NumberFormat("fp32", 32, IEEE_754.at("binary32")),
        NumberFormat("bf16", 16, MICIKEVICIUS_2018.at("sec. 3")),
        NumberFormat("fp8", 8, ROUHANI_2023.at("table 1")),
        NumberFormat("int8", 8 + 16 / 4096, DETTMERS_LLM_INT8.at("sec. 3, row-wise scales, 4,096 wide")),
        NumberFormat("MXFP8", 8 + 8 / 32, ROUHANI_2023.at("table 1")),
        NumberFormat("GGUF Q8_0", 34 * 8 / 32, GGUF.at("gguf constants: 34 bytes for 32 weights")),
        NumberFormat("GGUF Q6_K", 210 * 8 / 256, GGUF.at("gguf constants: 210 bytes for 256 weights")),
        NumberFormat("GGUF Q4_K", 144 * 8 / 256, GGUF.at("gguf constants: 144 bytes for 256 weights")),
        NumberFormat("NF4", 4 + 8 / 64 + 32 / (64 * 256), DETTMERS_2023.at("sec. 3, double quantization")),
        NumberFormat("int4 g128", 4 + 16 / 128, FRANTAR_2023.at("sec. 5, group size 128")),
        NumberFormat("MXFP4", 4 + 8 / 32, ROUHANI_2023.at("table 1")),
        NumberFormat("GGUF Q2_K", 84 * 8 / 256, GGUF.at("gguf constants: 84 bytes for 256 weights")),
    )
}

CACHE_FORMATS = {id: WEIGHT_FORMATS[id] for id in ("fp32", "bf16", "fp8")}
