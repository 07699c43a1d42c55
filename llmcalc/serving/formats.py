"""The names that engines give to number formats, and the catalogue's."""

from __future__ import annotations

from llmcalc.catalog.formats import CACHE_FORMATS, STORED_FORMATS, NumberFormat
from llmcalc.errors import InputError

# What engines and files say, where the catalogue says something else
_SAME = {
    "fp16": "bf16",
    "float16": "bf16",
    "bfloat16": "bf16",
    "half": "bf16",
    "f16": "bf16",
    "bf16": "bf16",
    "f32": "fp32",
    "float32": "fp32",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "awq": "int4 g128 zero",
    "gptq": "int4 g128",
}
_GGUF = "GGUF "


def _known(name: str, known: tuple[str, ...]) -> str | None:
    """The catalogue's id of a format, None where it has none. File types of llama.cpp go without their prefix."""
    tried = (name, _SAME.get(name.lower(), name), f"{_GGUF}{name}", f"{_GGUF}{name.upper()}")
    return next((id for id in tried if id in known), None)


def weight_format(name: str) -> str:
    """The catalogue's id of a format of weights. Raises InputError, naming ``weights``, for another."""
    found = _known(name, STORED_FORMATS)
    if found is None:
        raise InputError("weights", f"unknown weights {name!r}; known: {', '.join(STORED_FORMATS)}", STORED_FORMATS)
    return found


def cache_formats(name: str) -> tuple[NumberFormat, NumberFormat]:
    """The formats of keys and of values: one for both, or two with a slash. Raises InputError for another."""
    found = [_known("bf16" if part == "auto" else part, tuple(CACHE_FORMATS)) for part in name.split("/")]
    if not 1 <= len(found) <= 2 or None in found:
        known = ("auto", *CACHE_FORMATS)
        raise InputError("kv_cache", f"unknown kv_cache {name!r}; known: {', '.join(known)}", known)
    keys, values = CACHE_FORMATS[str(found[0])], CACHE_FORMATS[str(found[-1])]
    return keys, values
