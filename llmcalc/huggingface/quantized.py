"""What a config's ``quantization_config`` says of the weights in its file: the format, and what was not converted.

Read from the quantizers of transformers 5.23 (AWQ, GPTQ, bitsandbytes, fp8, compressed-tensors, MXFP4, HQQ, …), from
files that NVIDIA's ModelOpt writes, and from those of MLX, which calls the key ``quantization``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.errors import InputError
from llmcalc.huggingface.keys import Notice, shown

KEYS = ("quantization_config", "compression_config", "quantization")  # where a config says it
# Keys under which quantizers list modules that they leave as they are
_LEFT = (
    *("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules"),
    *("not_convert_modules", "modules_to_not_quantize", "skip_modules"),
)
# What the name of a module says that it belongs to, the first that fits; None: nothing that a format would convert
_COMPONENTS: tuple[tuple[str, str | None], ...] = (
    (r"lm_head|embed|norm|visual|vision|audio|projector|patch|merger|conv1d", None),
    (r"router|gate\$?$|mlp\\?\.gate($|\W)|shared_expert_gate|\bmtp\b|eh_proj|shared_head", None),
    (r"shared_expert", "shared_experts"),
    (r"experts", "experts"),
    (r"indexer|index_[qk]", "indexer"),
    (r"linear_attn|mamba|mixer\\?\.(in|out)_proj", "recurrent"),
    (r"attn|attention|[qkvo]_proj|kv_[ab]_proj|q_[ab]_proj", "attention"),
    (r"mlp|feed_forward|ffn|(gate|up|down)_proj|fc[12]", "feed_forward"),
)
_CONVERTED = ("experts", "feed_forward", "shared_experts", "attention", "recurrent", "indexer")
# The end of a module's name, and which of its component's matrices that is
_PRODUCTS = (("gate_up_proj", ("gate", "up")), ("gate_proj", ("gate",)), ("up_proj", ("up",)), ("down_proj", ("down",)))
_LEAVES: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "experts": _PRODUCTS,
    "feed_forward": _PRODUCTS,
    "shared_experts": _PRODUCTS,
    "attention": (
        ("q_a_proj", ("query_down",)),
        ("q_b_proj", ("query_up",)),
        ("kv_a_proj_with_mqa", ("key_value_down",)),
        ("kv_b_proj", ("key_value_up",)),
        ("qkv_proj", ("query", "key", "value", "attention_gate")),
        ("q_proj", ("query", "attention_gate")),
        ("k_proj", ("key",)),
        ("v_proj", ("value",)),
        ("o_proj", ("output",)),
    ),
    "recurrent": (
        ("in_proj_qkv", ("query_key", "value")),
        ("in_proj_z", ("gate",)),
        ("in_proj_a", ("decay",)),
        ("in_proj_b", ("decay",)),
        ("in_proj", ("in",)),
        ("out_proj", ("output", "out")),
    ),
    "indexer": (
        ("weights_proj", ("index_weights",)),
        ("indexers_proj", ("index_weights",)),
        ("index_q_proj", ("index_query", "index_queries")),
        ("index_k_proj", ("index_key",)),
    ),
}


@dataclass(frozen=True)
class Quantization:
    """``format`` is that of the catalogue's weight formats in which linear layers are, empty where none is like it;
    ``left`` are the components that are not converted ("feed_forward.0": of that layer only, "attention/output": of
    their matrices that one, "mtp": layers that predict further tokens), ``used`` what was read, as short as it can be
    said. ``others`` are those that are converted to another format, with it."""

    method: str
    format: str
    left: frozenset[str]
    used: Mapping[str, Any]
    others: frozenset[tuple[str, str]] = frozenset()

    @property
    def notice(self) -> Notice:
        """What a reader is told."""
        if not self.format:
            text = f"the file's weights are quantised ({shown(self.method)}) in a format that is not known here"
            return Notice("quantized_unknown", text, {"method": self.method})
        text = f"the file's weights are quantised ({shown(self.method)}): the weight format is {self.format}"
        told = {"method": self.method, "format": self.format}
        if others := sorted({other for _, other in self.others} - {self.format}):
            return Notice(
                "quantized_mixed", f"{text}, of parts {', '.join(others)}", told | {"others": ", ".join(others)}
            )
        return Notice("quantized", text, told)


def quantization_of(config: Mapping[str, Any], n_layers: int) -> Quantization | None:
    """What the config says of how its file's weights are quantised; None where it says nothing.

    Raises InputError where ``quantization_config`` is no object.
    """
    given = next((config[key] for key in KEYS if key in config), None)
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping) or any(not isinstance(name, str) for name in given):
        message = f"'quantization_config' must be a JSON object, not {shown(given)}"
        code, key = "key_not_object", "quantization_config"
        raise InputError(key, message, code=code, key=key, found=shown(given))
    method = _method(given)
    if method == "mlx":
        given = _as_others_say(given)
    format, used = _FORMATS.get(method, _unknown)(given)
    listed, only = _listed(given, method, n_layers)
    if only:
        format = next((listed[key] for part in _CONVERTED for key in listed if _part(key) == part), "")
        used = {"quant_algo": format}
    elif config.get("expert_dtype") == "fp4":  # DeepSeek-V4: its experts have 4 bits and a scale for 32, all else 8
        listed = {"experts": "MXFP4 linear", **listed}
    others = frozenset((key, other) for key, other in listed.items() if other != format or key in _SELDOM)
    left = frozenset() if _is_requantized(given, method) else _left(given, n_layers, _indexer_within(config, listed))
    left |= _unlisted(listed) if only else _not_targeted(given)
    if others:
        used = {**used, "quantized_layers": {_word_of(key): {"quant_algo": other} for key, other in sorted(others)}}
    if left:
        used = {**used, "modules_to_not_convert": sorted({_word_of(key) for key in left})}
    known = format if format in WEIGHT_FORMATS else ""
    return Quantization(method, known, left, {"quant_method": method, **used}, others)


def _method(given: Mapping[str, Any]) -> str:
    method = given.get("quant_method")
    if isinstance(method, str) and method:
        return method.lower().replace("_", "-")
    if given.get("load_in_4bit") or given.get("load_in_8bit"):
        return "bitsandbytes"
    if "bits" in given and "group_size" in given:
        return "mlx"
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


def _mlx(given: Mapping[str, Any]) -> Found:
    bits, group = _number(given, "bits", default=4), _number(given, "group_size", default=64)
    mode = given.get("mode", "affine")
    if mode != "affine":
        return f"MLX {str(mode).upper()}", {"mode": mode, "bits": bits, "group_size": group}
    return f"MLX int{bits} g{group}", {"bits": bits, "group_size": group}


def _as_others_say(given: Mapping[str, Any]) -> dict[str, Any]:
    """What MLX says of single modules, each under its own name, as other files list it."""
    of_modules = {name: how for name, how in given.items() if isinstance(how, Mapping) and "bits" in how}
    listed = {name: {"quant_algo": _mlx({**given, **how})[0]} for name, how in of_modules.items()}
    left = [name for name, how in given.items() if how is False and "." in name]
    rest = {name: how for name, how in given.items() if name not in of_modules and name not in left}
    listed |= given.get("quantized_layers") or {}
    return {**rest, **({"quantized_layers": listed} if listed else {}), **({"ignore": left} if left else {})}


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
        return _of_algorithm(algorithm), {"quant_algo": algorithm if algorithm in WEIGHT_FORMATS else algorithm.upper()}
    return _compressed(given)


def _of_algorithm(name: Any) -> str:
    """The catalogue's format of what ModelOpt calls so; it may be called as in the catalogue, too."""
    found = {
        "FP8": "fp8",
        "FP8_PER_CHANNEL_PER_TOKEN": "fp8 rows",
        "FP8_PB_WO": "fp8 128×128",
        "NVFP4": "NVFP4",
        "NVFP4_AWQ": "NVFP4",
        "W4A16_NVFP4": "NVFP4",
        "MXFP8": "MXFP8",
        "MXFP4": "MXFP4 linear",
        "W4A16_AWQ": "int4 g128",
        "W4A8_AWQ": "int4 g128",
        "W8A16": "int8",
    }
    return name if name in WEIGHT_FORMATS else found.get(str(name).upper(), "")


def _unknown(given: Mapping[str, Any]) -> Found:
    return "", {}


_FORMATS = {
    "awq": _awq,
    "gptq": _gptq,
    "auto-round": _awq,
    "intel/auto-round": _awq,
    "mlx": _mlx,
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


# What is not converted, or to another format

_WORD_OF = {
    **{"attention": "self_attn", "feed_forward": "mlp", "shared_experts": "shared_experts", "experts": "experts"},
    **{"recurrent": "linear_attn", "indexer": "indexer", "head": "lm_head", "mtp": "mtp"},
    **{"embedding": "embed_tokens", "router": "mlp.gate"},
}
# What most formats leave as it is, and is converted only where a file lists it
_SELDOM = {"head": r"lm_head$", "embedding": r"embed_tokens$", "router": r"(mlp|moe)\.(gate|router)$"}
_LAYER = re.compile(r"layers?\\?\.(\d+)\\?\.|\bh\.(\d+)\.")
_ALL_OF_ATTENTION = re.compile(r"attn(\\?\.?\*)?$")
_WHOLE_LAYER = re.compile(r"layers?\.(\d+)(\.?\*)?$")


def _part(key: str) -> str:
    return re.split(r"[/.]", key)[0]


def _word_of(key: str) -> str:
    """A name of a module that is read as the key: of a component, one of its matrices, or one layer's."""
    path, _, layer = key.partition(".")
    component, _, role = path.partition("/")
    leaves = [leaf for leaf, roles in _LEAVES.get(component, ()) if role in roles]
    word = ".".join([_WORD_OF[component], *([min(leaves, key=len)] if leaves else [])])
    return f"layers.{layer}.{word}" if layer else word


def _keys(name: str) -> list[str]:
    """What the name of a module names, by our own names: a component, or matrices of it."""
    if table := next((key for key, pattern in _SELDOM.items() if re.search(pattern, name)), None):
        return [table]
    component = _component(name)
    if component is None:
        return []
    leaves = [roles for leaf, roles in _LEAVES.get(component, ()) if re.search(rf"\b{leaf}\*?$", name)]
    return [f"{component}/{role}" for role in leaves[0]] if leaves else [component]


def _listed(given: Mapping[str, Any], method: str, n_layers: int) -> tuple[dict[str, str], bool]:
    """Formats that are given to modules by name, by our own names of these; and whether all that is converted is."""
    inner = given.get("quantization")
    told = {**given, **inner} if isinstance(inner, Mapping) else given
    layers = told.get("quantized_layers")
    named = [
        (name, _of_algorithm(how.get("quant_algo")))
        for name, how in (layers.items() if isinstance(layers, Mapping) else ())
        if isinstance(name, str) and isinstance(how, Mapping)
    ]
    groups = _groups(given)
    if not named and len(groups) > 1:
        named = [
            (name, _of_scheme(weights, group.get("format", given.get("format"))))
            for group in groups
            if isinstance(weights := group.get("weights"), Mapping)
            for name in _names(group.get("targets"))
            if name != "Linear"
        ]
    found: dict[str, str] = {}
    for name, format in named:
        for key in _keys(name):
            if format in WEIGHT_FORMATS:
                found.setdefault(key, format)
    if method == "mlx":  # which has another format for what it does not list
        found = _layer_by_layer(named, n_layers)
    mixed = told.get("quant_algo") == "MIXED_PRECISION" and method not in ("fp8", "finegrained-fp8")
    return found, bool(found) and (mixed or (bool(groups) and not layers and not _has_general(groups)))


def _layer_by_layer(named: Iterable[tuple[str, str]], n_layers: int) -> dict[str, str]:
    """The same, of single layers, and of all where each is listed with one format."""
    layers: dict[str, dict[int, str]] = {}
    found: dict[str, str] = {}
    for name, format in named:
        place = _LAYER.search(name)
        for key in _keys(name) if format in WEIGHT_FORMATS else ():
            if place is None:
                found[key] = format
            else:
                layers.setdefault(key, {})[int(place[1] or place[2])] = format
    for key, of in layers.items():
        formats = set(of.values())
        if len(formats) == 1 and len(of) >= n_layers:
            found[key] = formats.pop()
        else:
            found |= {f"{key}.{i}": format for i, format in of.items() if i < n_layers}
    return found


def _groups(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The groups of a file of compressed-tensors."""
    groups = given.get("config_groups")
    return [group for group in groups.values() if isinstance(group, Mapping)] if isinstance(groups, Mapping) else []


def _has_general(groups: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of them is of all linear layers."""
    return any("Linear" in _names(group.get("targets")) or not group.get("targets") for group in groups)


def _is_requantized(given: Mapping[str, Any], method: str) -> bool:
    """Whether a file that was in 8 bits has had parts converted again: what is not is as it was."""
    return method == "fp8" and given.get("quant_algo") == "MIXED_PRECISION"


def _unlisted(listed: Mapping[str, str]) -> frozenset[str]:
    """The components of which nothing is listed, and layers that predict further tokens."""
    return frozenset((*_CONVERTED, "mtp")) - {_part(key) for key in listed}


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list | tuple) else []


def _component(name: str) -> str | None:
    return next((component for pattern, component in _COMPONENTS if re.search(pattern, name)), None)


def _indexer_within(config: Mapping[str, Any], listed: Mapping[str, str]) -> bool:
    """Whether what a file says of all of attention is said of an indexer in it, too."""
    text = config.get("text_config")
    has = any(key.startswith("index_") for told in (config, text) if isinstance(told, Mapping) for key in told)
    return has and all(_part(key) != "indexer" for key in listed)


def _left(given: Mapping[str, Any], n_layers: int, indexer_within: bool) -> frozenset[str]:
    """The components that are left as they are: named for all layers, listed for half of them at least, or of single
    layers."""
    inner = given.get("quantization")
    lists = [_names(told.get(key)) for told in (given, inner) if isinstance(told, Mapping) for key in _LEFT]
    whole: set[str] = set()
    layers: dict[str, set[int]] = {}
    for name in (name for found in lists for name in found):
        place, all_of = _LAYER.search(name), _WHOLE_LAYER.search(name)
        if re.search(r"\bmtp\b", name) or (all_of and int(all_of[1]) >= n_layers):
            whole.add("mtp")
            continue
        inside = ("indexer",) if indexer_within and _ALL_OF_ATTENTION.search(name) else ()
        for key in _CONVERTED if all_of else (*(key for key in _keys(name) if key not in _SELDOM), *inside):
            if all_of:
                layers.setdefault(key, set()).add(int(all_of[1]))
            elif place is None:
                whole.add(key)
            elif (layer := int(place.group(1) or place.group(2))) < n_layers:
                layers.setdefault(key, set()).add(layer)
    most = {key for key, listed in layers.items() if 2 * len(listed) >= n_layers}
    single = {f"{key}.{i}" for key, listed in layers.items() if key not in whole | most for i in listed}
    return frozenset(whole | most | single)


def _not_targeted(given: Mapping[str, Any]) -> frozenset[str]:
    """The components that no group of a compressed file names, where it names any."""
    targets = [name for group in _groups(given) for name in _names(group.get("targets"))]
    named = {component for name in targets if (component := _component(name))}
    return frozenset(_CONVERTED) - named if named and "Linear" not in targets else frozenset()
