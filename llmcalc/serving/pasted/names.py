"""Models of the library, and devices of the catalogue, by what programs call them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from llmcalc.catalog.models import models

# What a name says of training, format or file, and not of shape
_TUNED = re.compile(r"[-_](?:instruct|chat|it|hf|base)(?=[-_.]|$)")
_SAID = re.compile(
    r"[-_.](?:awq|gptq|int4|int8|fp8|fp4|nvfp4|mxfp4|bf16|fp16|f16|gguf|dynamic|quantized|quant|w\d+a\d+|bnb|\d+bit|"
    r"i?q\d\w*|marlin|block|ud|\d{4})$"
)
# Others of a shape that the library has under another name
_SAME: Mapping[str, str] = {
    "llama-3.3-70b": "llama-3.1-70b",
    "deepseek-r1": "deepseek-v3",
    "deepseek-r1-distill-llama-8b": "llama-3.1-8b",
    "deepseek-r1-distill-llama-70b": "llama-3.1-70b",
    "deepseek-r1-distill-qwen-7b": "qwen2.5-7b",
    "deepseek-r1-distill-qwen-14b": "qwen2.5-14b",
    "deepseek-r1-distill-qwen-32b": "qwen2.5-32b",
}
# By the name that the driver prints; the first that is found
_DEVICES: tuple[tuple[str, str], ...] = (
    (r"GB300", "GB300 per GPU"),
    (r"GB200", "GB200 per GPU"),
    (r"\bB300", "B300"),
    (r"\bB200", "B200"),
    (r"H200", "H200 SXM"),
    (r"H100.*PCIe", "H100 PCIe"),
    (r"H100(?!.*NVL)", "H100 SXM"),
    (r"A100.*PCI?e?.*80|A100 80GB PCIe", "A100 80GB PCIe"),
    (r"A100.*80", "A100 80GB SXM"),
    (r"A100.*40", "A100 40GB SXM"),
    (r"\bA10\b", "A10"),
    (r"\bL40S", "L40S"),
    (r"\bL4\b", "L4"),
    (r"V100.*32", "V100 32GB SXM2"),
    (r"\bT4\b", "T4"),
    (r"RTX 6000 Ada", "RTX 6000 Ada"),
    (r"RTX 3090(?! Ti)", "RTX 3090"),
    (r"RTX 4090(?! (?:D\b|Laptop))", "RTX 4090"),
    (r"RTX 5090(?! (?:D\b|Laptop))", "RTX 5090"),
    (r"MI250X", "MI250X per GCD"),
    (r"MI300X", "MI300X"),
    (r"MI325X", "MI325X"),
    (r"MI355X", "MI355X"),
    (r"M3 Ultra", "M3 Ultra"),
    (r"M4 Max", "M4 Max"),
)


def device_called(name: str) -> str:
    """The catalogue's id of a device; "" for one that it has not."""
    return next((id for sign, id in _DEVICES if re.search(sign, name)), "")


def model_called(name: str) -> str:
    """The library's id of a model, by its repository, path or file; "" for one that it has not."""
    shape = _shape(name)
    return _library().get(_SAME.get(shape, shape), "")


@cache
def _library() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for row in models().values():
        repository = re.match(r"https://huggingface\.co/([^/]+/[^/]+)", row.source)
        for name in (*([repository[1]] if repository else []), row.id):
            found.setdefault(_shape(name), row.id)
    return found


def _shape(name: str) -> str:
    """What a name says of a shape: "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic" and "Llama 3.3 70B" are one."""
    last = re.split(r"[/\\]", name[:300].strip().rstrip("/\\"))[-1].lower().removesuffix(".gguf").replace(" ", "-")
    last = _TUNED.sub("", last.removeprefix("meta-"))
    while (shorter := _SAID.sub("", last)) != last:
        last = shorter
    return last.replace("_", "-")
