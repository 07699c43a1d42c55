"""Decoders of which some layers, or small parts of a layer, are unlike LLaMA's."""

from __future__ import annotations

from collections.abc import Mapping

from llmcalc.huggingface.family import Family
from llmcalc.huggingface.variants import borrowing, language_parts, mixers, mixtures

VARIANTS: Mapping[str, Family] = {
    **language_parts.FAMILIES,
    **borrowing.FAMILIES,
    **mixtures.FAMILIES,
    **mixers.FAMILIES,
}
