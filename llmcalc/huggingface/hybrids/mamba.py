"""Decoders some or all of whose layers are Mamba or Mamba-2. One entry a model_type, read from its model class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface.code import BAMBA_CODE, FALCON_H1_CODE, GRANITE_MOE_CODE, JAMBA_CODE, NEMOTRON_H_CODE
from llmcalc.huggingface.decoders import GEMMA, LLAMA
from llmcalc.huggingface.family import COMMON, Family, expert_names
from llmcalc.huggingface.hybrids.pieces import FULL, LINEAR, MAMBA_NAMES, PLAIN, WITHOUT_HEAD, expanded, told
from llmcalc.huggingface.keys import Keys, shown, whole
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import Mixture
from llmcalc.transformer.code import Code
from llmcalc.transformer.experts import Experts, Router
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.mamba import Mamba
from llmcalc.transformer.mamba2 import Mamba2
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection


def _rank(keys: Keys, key: str, d_model: int) -> int:
    value = keys.value(key) if keys.has(key) else "auto"
    return -(-d_model // 16) if value in ("auto", None) else whole(key, value)


def _mamba2(kit: Kit) -> Mamba2:
    """Mamba-2 under the names that Bamba gave it."""
    keys = kit.keys
    inner = (keys.optional("mamba_d_ssm") if keys.has("mamba_d_ssm") else None) or expanded(
        keys, "mamba_expand", kit.d_model
    )
    return Mamba2(
        kit.d_model,
        inner,
        keys.size("mamba_n_heads"),
        keys.size("mamba_d_state"),
        keys.size("mamba_n_groups"),
        keys.size("mamba_d_conv"),
        keys.flag("mamba_proj_bias"),
        keys.flag("mamba_conv_bias"),
        chunk_size=keys.size("mamba_chunk_size") if keys.has("mamba_chunk_size") else 256,
    )


def _bamba(kit: Kit) -> Sequence[Layer]:
    listed = kit.keys.list_of("attn_layer_indices", int) or ()
    mixers: dict[bool, Parts] = {True: kit.attention(), False: (_mamba2(kit),)}
    network = kit.network()
    return [
        (told(FULL if i in listed else LINEAR, False), kit.pre(mixers[i in listed], network))
        for i in range(kit.n_layers)
    ]


def _granite_hybrid(kit: Kit) -> Sequence[Layer]:
    kinds = kit.kinds(lambda i: LINEAR, (LINEAR, FULL))
    mixers: dict[str, Parts] = {FULL: kit.attention(), LINEAR: (_mamba2(kit),) if LINEAR in kinds else ()}
    n_experts = kit.keys.optional("num_local_experts", 0) or 0
    width = kit.keys.size("shared_intermediate_size", 0)
    network: Parts = kit.network(True) if n_experts else (kit.dense(d_ff=width),)
    return [(told(kind, n_experts > 0), kit.pre(mixers[kind], network)) for kind in kinds]


def _granite_code(keys: Keys) -> Code:
    """Granite 4 turns queries and keys only where its config says so."""
    key = "position_embedding_type"
    return replace(GRANITE_MOE_CODE, rotary=keys.has(key) and keys.value(key) == "rope")


def _falcon_h1(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    mamba = replace(_mamba2(kit), norm=keys.flag("mamba_rms_norm"))
    in_bias = keys.flag("mamba_proj_bias")
    extra: list[Part] = []
    if in_bias != keys.flag("projectors_bias"):  # the class takes the output projection's bias from another key
        mamba = replace(mamba, bias=False)
        width = mamba.d_inner + mamba.channels + mamba.n_heads if in_bias else kit.d_model
        extra.append(Numbers(width, "in_bias" if in_bias else "out_bias", "recurrent"))
    layer = kit.pre((mamba, *extra, *kit.attention()), kit.network())
    return [(told("hybrid", False), layer)] * kit.n_layers


def _falcon_h1_code(keys: Keys) -> Code:
    """Falcon-H1 norms what its states give before or after their gate."""
    return replace(FALCON_H1_CODE, norm_before_gate=keys.flag("mamba_norm_before_gate"))


def mamba1(kit: Kit, inner_norms: bool = False) -> Mamba:
    """Mamba under the names that Jamba gave it."""
    keys, d = kit.keys, kit.d_model
    sizes = expanded(keys, "mamba_expand", d), keys.size("mamba_d_state"), keys.size("mamba_d_conv")
    flags = keys.flag("mamba_proj_bias"), keys.flag("mamba_conv_bias")
    return Mamba(d, *sizes, _rank(keys, "mamba_dt_rank", d), *flags, inner_norms)


def _every(keys: Keys, period_key: str, offset_key: str) -> tuple[int, int]:
    """Every so many layers, and from which on: transformers 5.23's JambaConfig.validate_architecture refuses one not
    below the period. One below 0, which it takes and no layer has, is refused too."""
    period = keys.size(period_key)
    return period, keys.size(offset_key, 0, period - 1)


def _jamba(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    period, offset = _every(keys, "attn_layer_period", "attn_layer_offset")
    experts = _every(keys, "expert_layer_period", "expert_layer_offset")
    several = (keys.optional("num_experts", 0) or 0) > 1
    mixers: dict[str, Parts] = {FULL: kit.attention(), LINEAR: (mamba1(kit, True),)}
    networks = {False: kit.network(), True: kit.network(True) if several else ()}
    found = []
    for i in range(kit.n_layers):
        kind, sparse = FULL if i % period == offset else LINEAR, several and i % experts[0] == experts[1]
        found.append((told(kind, sparse), kit.pre(mixers[kind], networks[sparse])))
    return found


def _pure_mamba(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    sizes = expanded(keys, "expand", d), keys.size("state_size"), keys.size("conv_kernel")
    flags = keys.flag("use_bias"), keys.flag("use_conv_bias")
    layer = (*kit.norm("attention_norm"), Mamba(d, *sizes, _rank(keys, "time_step_rank", d), *flags))
    return [(told(LINEAR, False), layer)] * kit.n_layers


def _pure_mamba2(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    sizes = keys.size("num_heads"), keys.size("state_size"), keys.size("n_groups"), keys.size("conv_kernel")
    mamba = Mamba2(d, expanded(keys, "expand", d), *sizes, keys.flag("use_bias"), keys.flag("use_conv_bias"))
    return [(told(LINEAR, False), (*kit.norm("attention_norm"), mamba))] * kit.n_layers


# One layer's kind in Nemotron-H: the letter of `hybrid_override_pattern`
_PATTERN = {"M": LINEAR, "E": "moe", "*": FULL, "-": "mlp"}


def _nemotron_kinds(keys: Keys) -> list[str]:
    listed = keys.list_of("layers_block_type", str) if keys.has("layers_block_type") else None
    pattern = keys.value("hybrid_override_pattern") if keys.has("hybrid_override_pattern") else None
    if listed is None and pattern is not None:
        if not isinstance(pattern, str) or any(letter not in _PATTERN for letter in pattern) or len(pattern) > 10_000:
            message = f"'hybrid_override_pattern' = {shown(pattern)} is not modelled"
            raise InputError(
                "hybrid_override_pattern",
                message,
                code="key_not_modelled",
                key="hybrid_override_pattern",
                found=shown(pattern),
            )
        listed = [_PATTERN[letter] for letter in pattern]
    if not listed:
        listed = [LINEAR, "moe", FULL, "mlp"]
    old = {"mamba": LINEAR, "attention": FULL}
    listed = [old.get(kind, kind) for kind in listed]
    if unknown := [kind for kind in listed if kind not in (*_PATTERN.values(),)]:
        message = f"layers of kind {shown(unknown[0])} are not modelled"
        raise InputError("layers_block_type", message, code="layer_types", found=shown(unknown[0]))
    return listed


def _nemotron_h(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    kinds = _nemotron_kinds(keys)
    n_heads = keys.size("mamba_num_heads")
    groups = keys.size("mamba_n_groups") if keys.given("mamba_n_groups") else keys.size("n_groups")
    kernel = keys.size("mamba_d_conv") if keys.given("mamba_d_conv") else keys.size("conv_kernel")
    inner = n_heads * keys.size("mamba_head_dim")
    conv_bias = keys.flag("mamba_conv_bias") if keys.given("mamba_conv_bias") else keys.flag("use_conv_bias")
    size = "mamba_chunk_size" if keys.given("mamba_chunk_size") else "chunk_size"
    mamba = Mamba2(
        *(d, inner, n_heads, keys.size("ssm_state_size"), groups, kernel),
        *(keys.flag("use_bias"), conv_bias),
        chunk_size=keys.size(size) if keys.has(size) else 128,
    )
    parts: dict[str, Callable[[], Parts]] = {
        LINEAR: lambda: (mamba,),
        FULL: lambda: kit.attention(),
        "mlp": lambda: (kit.dense(),),
        "moe": lambda: _latent_mixture(kit),
    }
    names = {LINEAR: ("recurrent",), FULL: ("global",), "mlp": ("dense",), "moe": ("sparse",)}
    made = {kind: (*kit.norm("attention_norm"), *parts[kind]()) for kind in set(kinds)}
    return [(names[kind], made[kind]) for kind in kinds]


def _latent_mixture(kit: Kit) -> Parts:
    """Experts that work on a narrower vector, where ``moe_latent_size`` says so (Nemotron-3)."""
    keys, d = kit.keys, kit.d_model
    latent = keys.optional("moe_latent_size") if keys.has("moe_latent_size") else None
    n_experts = keys.dimension("n_experts")
    top_k = keys.chosen(n_experts)
    bias = keys.flag("mlp_bias")
    expert = FeedForward(latent or d, keys.dimension("d_expert"), id="expert")
    parts: list[Part] = [Router(d, n_experts)]
    if latent:
        parts.append(Projection(d, latent, "latent_down", "experts", bias))
    parts.append(Experts(n_experts, top_k, expert))
    if latent:
        parts.append(Projection(latent, d, "latent_up", "experts", bias))
    shared = keys.size("moe_shared_expert_intermediate_size", 0)
    if shared:
        parts.append(FeedForward(d, shared, bias=bias, id="shared_experts", component="shared_experts"))
    return tuple(parts)


_GRANITE = replace(GEMMA, experts=Mixture(shared_width="shared_intermediate_size"))
FAMILIES: Mapping[str, Family] = {
    "bamba": planned(LLAMA, _bamba, WITHOUT_HEAD, code=BAMBA_CODE),
    "granitemoehybrid": planned(
        _GRANITE,
        _granite_hybrid,
        {**WITHOUT_HEAD, "n_experts": "num_local_experts", "top_k": "num_experts_per_tok"},
        code=_granite_code,
    ),
    "falcon_h1": planned(LLAMA, _falcon_h1, COMMON, code=_falcon_h1_code),
    "jamba": planned(
        replace(PLAIN, experts=Mixture()),
        _jamba,
        {**WITHOUT_HEAD, "n_experts": "num_experts", "top_k": "num_experts_per_tok"},
        code=JAMBA_CODE,
    ),
    "mamba": planned(PLAIN, _pure_mamba, MAMBA_NAMES),
    "falcon_mamba": planned(PLAIN, _pure_mamba, MAMBA_NAMES),
    "mamba2": planned(PLAIN, _pure_mamba2, {**MAMBA_NAMES, "n_heads": "num_heads"}),
    "nemotron_h": planned(
        replace(PLAIN, tied=False, gated=False, ffn_bias="mlp_bias"),
        _nemotron_h,
        {**{k: v for k, v in expert_names("n_routed_experts").items() if k != "n_layers"}},
        code=NEMOTRON_H_CODE,
    ),
}
