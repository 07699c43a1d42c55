"""What a config's ``quantization_config`` says of the weights in its file: the format, and what was not converted.

Read from the quantizers of transformers 5.23 (AWQ, GPTQ, bitsandbytes, fp8, compressed-tensors, MXFP4, HQQ, …) and from
files that NVIDIA's ModelOpt writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.errors import InputError
from llmcalc.huggingface.keys import Notice, shown

# Keys under which quantizers list modules that they leave as they are
_LEFT = (
    *("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules"),
    *("not_convert_modules", "modules_to_not_quantize", "skip_modules"),
)
# What the name of a module says that it belongs to, the first that fits; None: nothing that a format would convert
_COMPONENTS: tuple[tuple[str, str | None], ...] = (
    (r"lm_head|embed|norm|visual|vision|audio|projector|patch|merger", None),
    (r"router|gate\$?$|mlp\\?\.gate($|\W)|\bmtp\b|eh_proj|shared_head", None),
    (r"shared_expert", "shared_experts"),
    (r"experts", "experts"),
    (r"attn|attention|[qkvo]_proj|kv_[ab]_proj|q_[ab]_proj", "attention"),
    (r"mlp|feed_forward|(gate|up|down)_proj|fc[12]", "feed_forward"),
)
_CONVERTED = ("attention", "feed_forward", "shared_experts", "experts")


@dataclass(frozen=True)
class Quantization:
    """``format`` is that of the catalogue's weight formats in which linear layers are, empty where none is like it;
    ``left`` are the components that are not converted ("feed_forward.0": of that layer only), ``used`` what was read,
    as short as it can be said."""

    method: str
    format: str
    left: frozenset[str]
    used: Mapping[str, Any]

    @property
    def notice(self) -> Notice:
        """What a reader is told."""
        if not self.format:
            text = f"the file's weights are quantised ({shown(self.method)}) in a format that is not known here"
            return Notice("quantized_unknown", text, {"method": self.method})
        text = f"the file's weights are quantised ({shown(self.method)}): the weight format is {self.format}"
        return Notice("quantized", text, {"method": self.method, "format": self.format})


def quantization_of(config: Mapping[str, Any], n_layers: int) -> Quantization | None:
    """What the config says of how its file's weights are quantised; None where it says nothing.

    Raises InputError where ``quantization_config`` is no object.
    """
    given = config.get("quantization_config", config.get("compression_config"))
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping) or any(not isinstance(name, str) for name in given):
        message = f"'quantization_config' must be a JSON object, not {shown(given)}"
        code, key = "key_not_object", "quantization_config"
        raise InputError(key, message, code=code, key=key, found=shown(given))
    method = _method(given)
    format, used = _FORMATS.get(method, _unknown)(given)
    left = _left(given, n_layers) | _not_targeted(given)
    if left:
        used = {
            **used,
            "modules_to_not_convert": [
                *(_WORD_OF[component] for component in _CONVERTED if component in left),
                *(f"layers.{i}.{_WORD_OF[component]}" for component, i in _by_layer(left)),
            ],
        }
    return Quantization(method, format if format in WEIGHT_FORMATS else "", left, {"quant_method": method, **used})


def _method(given: Mapping[str, Any]) -> str:
    method = given.get("quant_method")
    if isinstance(method, str) and method:
        return method.lower().replace("_", "-")
    if given.get("load_in_4bit") or given.get("load_in_8bit"):
        return "bitsandbytes"
    return "modelopt" if "quant_algo" in given or "quantization" in given else "?"


Found = tuple[str, dict[str, Any]]


def _number(given: Mapping[str, Any], *keys: str, default: int) -> int:
    value = next((given[key] for key in keys if isinstance(given.get(key), int)), default)
    return int(value)


def _grouped(bits: int, group: int, zeros: bool) -> str:
    """The name in the catalogue of whole numbers in groups with a scale each."""
    if group <= 0:
        return {8: "int8", 4: "int4 rows"}.get(bits, "")
    if (bits, group, zeros) == (4, 32, False):
        return "int4 g32 scale"  # "int4 g32" has zeros in 16 bits, as gpt-fast stores it
    return f"int{bits} g{group}" + (" zero" if zeros else "")


def _awq(given: Mapping[str, Any]) -> Found:
    bits, group = _number(given, "bits", "w_bit", default=4), _number(given, "group_size", "q_group_size", default=128)
    return _grouped(bits, group, True), {"bits": bits, "group_size": group}


def _gptq(given: Mapping[str, Any]) -> Found:
    """Files hold packed zero points whether or not they are used."""
    return _awq(given)


def _hqq(given: Mapping[str, Any]) -> Found:
    inner = given.get("quant_config")
    weights = inner.get("weight_quant_params") if isinstance(inner, Mapping) else None
    weights = weights if isinstance(weights, Mapping) else given
    bits, group = _number(weights, "nbits", "bits", default=4), _number(weights, "group_size", default=64)
    return _grouped(bits, group, True), {"nbits": bits, "group_size": group}


def _bitsandbytes(given: Mapping[str, Any]) -> Found:
    if given.get("load_in_8bit") or given.get("_load_in_8bit"):
        return "int8", {"load_in_8bit": True}
    double = bool(given.get("bnb_4bit_use_double_quant"))
    return "NF4" if double else "NF4 fp32 scales", {"load_in_4bit": True, "bnb_4bit_use_double_quant": double}


def _fp8(given: Mapping[str, Any]) -> Found:
    block = given.get("weight_block_size")
    if block is None:
        return "fp8", {}
    if not isinstance(block, list | tuple):
        return "", {}
    return ("fp8 128×128" if list(block) == [128, 128] else ""), {"weight_block_size": list(block)}


def _fp8_rows(given: Mapping[str, Any]) -> Found:
    return "fp8 rows", {}


def _int8(given: Mapping[str, Any]) -> Found:
    return "int8", {}


def _mxfp4(given: Mapping[str, Any]) -> Found:
    return "MXFP4", {}


def _compressed(given: Mapping[str, Any]) -> Found:
    """The first group of layers that has a scheme for weights."""
    groups = given.get("config_groups")
    schemes = list(groups.values()) if isinstance(groups, Mapping) else []
    for scheme in schemes:
        weights = scheme.get("weights") if isinstance(scheme, Mapping) else None
        if isinstance(weights, Mapping):
            kept = {key: weights[key] for key in _OF_A_SCHEME if _is_plain(weights.get(key))}
            short = {key: given[key] for key in ("format",) if isinstance(given.get(key), str)}
            return _of_scheme(weights, given.get("format")), {**short, "config_groups": {"group_0": {"weights": kept}}}
    return "", {}


_OF_A_SCHEME = ("num_bits", "type", "strategy", "group_size", "symmetric", "block_structure")


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | bool) or (
        isinstance(value, list) and len(value) <= 2 and all(isinstance(entry, int) for entry in value)
    )


def _of_scheme(weights: Mapping[str, Any], packed: Any) -> str:
    bits, kind = _number(weights, "num_bits", default=8), weights.get("type")
    strategy, group = weights.get("strategy"), _number(weights, "group_size", default=-1)
    if kind == "float" and bits == 4:
        return "NVFP4" if group == 16 else "MXFP4 linear" if group == 32 else ""
    if kind == "float" and bits == 8:
        if strategy == "block":
            return "fp8 128×128" if weights.get("block_structure") in ([128, 128], None) else ""
        if group == 32:
            return "MXFP8"
        return {"channel": "fp8 rows", "tensor": "fp8", None: "fp8"}.get(strategy, "")
    return _grouped(bits, group if strategy == "group" else -1, weights.get("symmetric") is False)


def _modelopt(given: Mapping[str, Any]) -> Found:
    inner = given.get("quantization")
    told = inner if isinstance(inner, Mapping) else given
    algorithm = told.get("quant_algo")
    if isinstance(algorithm, str):
        found = {
            "FP8": "fp8",
            "FP8_PER_CHANNEL_PER_TOKEN": "fp8 rows",
            "FP8_PB_WO": "fp8 128×128",
            "NVFP4": "NVFP4",
            "NVFP4_AWQ": "NVFP4",
            "MXFP8": "MXFP8",
            "W4A16_AWQ": "int4 g128",
            "W4A8_AWQ": "int4 g128",
            "W8A16": "int8",
        }.get(algorithm.upper(), "")
        return found, {"quant_algo": algorithm.upper()}
    return _compressed(given)


def _unknown(given: Mapping[str, Any]) -> Found:
    return "", {}


_FORMATS = {
    "awq": _awq,
    "gptq": _gptq,
    "auto-round": _awq,
    "intel/auto-round": _awq,
    "hqq": _hqq,
    "bitsandbytes": _bitsandbytes,
    "bitsandbytes-4bit": _bitsandbytes,
    "fp8": _fp8,
    "finegrained-fp8": _fp8,
    "fbgemm-fp8": _fp8_rows,
    "eetq": _int8,
    "mxfp4": _mxfp4,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
}


# What is not converted

_WORD_OF = {"attention": "self_attn", "feed_forward": "mlp", "shared_experts": "shared_experts", "experts": "experts"}
_LAYER = re.compile(r"layers?\\?\.(\d+)\\?\.|\bh\.(\d+)\.")


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list | tuple) else []


def _component(name: str) -> str | None:
    return next((component for pattern, component in _COMPONENTS if re.search(pattern, name)), None)


def _left(given: Mapping[str, Any], n_layers: int) -> frozenset[str]:
    """The components that are left as they are: named for all layers, listed for half of them at least, or of single
    layers."""
    inner = given.get("quantization")
    lists = [_names(told.get(key)) for told in (given, inner) if isinstance(told, Mapping) for key in _LEFT]
    names = [name for found in lists for name in found]
    whole = {component for name in names if not _LAYER.search(name) and (component := _component(name))}
    listed = _listed_layers(names)
    most = {component for component, layers in listed.items() if 2 * len(layers) >= n_layers}
    single = {
        f"{component}.{i}" for component, layers in listed.items() if component not in whole | most for i in layers
    }
    return frozenset(whole | most | single)


def _listed_layers(names: Iterable[str]) -> dict[str, set[str]]:
    """The layers of which a component is listed, by the component."""
    layers: dict[str, set[str]] = {}
    for name in names:
        if (place := _LAYER.search(name)) and (component := _component(name)):
            layers.setdefault(component, set()).add(place.group(1) or place.group(2))
    return layers


def _by_layer(left: Iterable[str]) -> list[tuple[str, int]]:
    """Those components that are left in some layers only, each with one of them."""
    return sorted((name.rpartition(".")[0], int(name.rpartition(".")[2])) for name in left if "." in name)


def _not_targeted(given: Mapping[str, Any]) -> frozenset[str]:
    """The components that no group of a compressed file names, where it names any."""
    groups = given.get("config_groups")
    schemes = [group for group in groups.values() if isinstance(group, Mapping)] if isinstance(groups, Mapping) else []
    targets = [name for scheme in schemes for name in _names(scheme.get("targets"))]
    named = {component for name in targets if (component := _component(name))}
    return frozenset(_CONVERTED) - named if named and "Linear" not in targets else frozenset()
