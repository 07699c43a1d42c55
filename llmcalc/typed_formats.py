"""Number formats as somebody would type them, "4-bit", "fp8 cache": which inputs that sets, as fits what is asked.

>>> typed, rest = read_formats("llama 3 8b in 4-bit")
>>> typed[0].inputs("serve", "vllm"), typed[0].inputs("qlora", "vllm"), typed[0].inputs("full", "vllm")
({'weight_format': 'int4 g128'}, {'lora_base': None}, {})
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmcalc.catalog.formats import CACHE_FORMATS, STORED_FORMATS
from llmcalc.question import LORA, QLORA, SERVE
from llmcalc.serving.job import OF_LLAMA_CPP
from llmcalc.typed_names import PLACE

OF_RECIPE = None  # for a value that the recipe decides


@dataclass(frozen=True)
class _Row:
    """What is typed, as an expression; the format of stored weights that it means, to llama.cpp in its own files; that
    of a cache; and the inputs of training, of frozen weights those of the weights under adapters."""

    typed: str
    weights: str = ""
    in_files: str = ""
    cache: str = ""
    cache_in_files: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)


_FROZEN = {"lora_base": OF_RECIPE}
_ROWS = (
    _Row(r"mixed[- ]precision|amp|presisi campuran", training={"precision": "amp_bf16"}),
    _Row(r"awq", "int4 g128 zero", "GGUF Q4_K_M", training={"lora_base": "GPTQ-4"}),
    _Row(r"gptq", "int4 g128", "GGUF Q4_K_M", training={"lora_base": "GPTQ-4"}),
    _Row(r"nf4", "NF4", "GGUF Q4_K_M", training=_FROZEN),
    _Row(r"nvfp4", "NVFP4"),
    _Row(r"mxfp4", "MXFP4"),
    _Row(r"(?:4|four)[- ]?bits?|int[- ]?4", "int4 g128", "GGUF Q4_K_M", "", "GGUF Q4_0", _FROZEN),
    _Row(r"(?:8|eight)[- ]?bits?|int[- ]?8", "int8", "GGUF Q8_0", "fp8", "GGUF Q8_0", {"lora_base": "int8"}),
    _Row(r"fp[- ]?8", "fp8", "GGUF Q8_0", "fp8", "GGUF Q8_0", {"precision": "amp_fp8"}),
    _Row(r"bf[- ]?16|bfloat16|16[- ]?bits?", "bf16", "bf16", "bf16", "bf16", {"precision": "bf16"}),
    _Row(r"fp[- ]?16|float16", "bf16", "bf16", "bf16", "bf16", {"precision": "amp_fp16"}),
    _Row(r"fp[- ]?32|float32|32[- ]?bits?", "fp32", "fp32", "fp32", "fp32", {"precision": "fp32"}),
    *(
        _Row(re.escape(id.removeprefix("GGUF ").lower()), id, id, cache_in_files=id if id in CACHE_FORMATS else "")
        for id in sorted(STORED_FORMATS, key=len, reverse=True)
        if id.startswith("GGUF ")
    ),
)
_OF_CACHE = r"(?:kv[- ]?)?cache"
# Whether what is said beside a format makes it that of a cache, first what says so most plainly
_PLACES = (
    (False, r"§[- ](?:weights|bobot)"),
    (True, rf"§[- ]{_OF_CACHE}"),
    (True, rf"{_OF_CACHE}(?: in| at| of| dalam|:)? §"),
    (False, r"(?:weights|bobot)(?: in| at| of| dalam|:)? §"),
    (False, "§"),
)


@dataclass(frozen=True)
class TypedFormat:
    """A format that was typed, and whether it is that of a cache."""

    said: str
    row: _Row
    of_cache: bool = False

    @property
    def freezes(self) -> bool:
        """Whether in training it is that of weights which are not trained."""
        return not self.of_cache and "lora_base" in self.row.training

    def inputs(self, ask: str, engine: str) -> dict[str, Any]:
        """The inputs that it sets, `OF_RECIPE` where that of the recipe is meant; none where it says nothing of what is
        asked."""
        in_files = engine in OF_LLAMA_CPP
        if self.of_cache:
            cache = self.row.cache_in_files if in_files else self.row.cache
            return {"cache_format": cache} if cache and ask == SERVE else {}
        if ask == SERVE:
            weights = (self.row.in_files if in_files else "") or self.row.weights
            return {"weight_format": weights} if weights else {}
        return dict(self.row.training) if not self.freezes or ask in (LORA, QLORA) else {}


def expressions() -> tuple[str, ...]:
    """What is typed for each, alone and as a cache's."""
    return tuple(rf"(?:{row.typed})(?:[- ]{_OF_CACHE}|[- ]weights)?" for row in _ROWS)


def read_formats(text: str) -> tuple[tuple[TypedFormat, ...], str]:
    """The formats that a text in small letters names, one of weights and one of a cache at most, and the text without
    them."""
    found: dict[bool, TypedFormat] = {}
    for of_cache, beside in _PLACES:
        for row in _ROWS:
            typed = re.search(rf"(?<![a-z0-9.$]){beside.replace('§', f'(?:{row.typed})')}(?![a-z0-9])", text)
            if typed and of_cache not in found:
                found[of_cache] = TypedFormat(typed[0], row, of_cache)
                text = text.replace(typed[0], PLACE, 1)
    return tuple(found.values()), text
