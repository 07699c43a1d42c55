"""Decoders some of whose layers keep a state: Mamba, delta nets, linear attention, convolutions, recurrences."""

from __future__ import annotations

from collections.abc import Mapping

from llmcalc.huggingface.family import Family
from llmcalc.huggingface.hybrids import delta, mamba, qwen4, recurrences, zamba

HYBRIDS: Mapping[str, Family] = {
    **delta.FAMILIES,
    **qwen4.FAMILIES,
    **mamba.FAMILIES,
    **zamba.FAMILIES,
    **recurrences.FAMILIES,
}
