"""Decoders whose attention sees a selection of tokens: DeepSeek-V3.2 and V4, GLM-5 and their kin.

One entry a model_type, read from its model class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.code import DSA_CODE, GLM_DSA_CODE
from llmcalc.huggingface.family import Family, expert_names
from llmcalc.huggingface.keys import shown, whole
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import Mixture, QKNorm, Recipe
from llmcalc.transformer.grouped_output import GroupedOutputAttention
from llmcalc.transformer.indexer import Compressor, Indexer
from llmcalc.transformer.norm import RMSNorm
from llmcalc.transformer.piece import Numbers, Projection

INDEXED, FULL, SLIDING = "indexed_attention", "full_attention", "sliding_attention"


def indexer(kit: Kit, d_query: int | None = None) -> Indexer:
    """DeepSeek's indexer: its queries come from the narrow ones of the attention."""
    keys = kit.keys
    return Indexer(
        kit.d_model, d_query or keys.size("q_lora_rank"), keys.size("index_n_heads"), keys.size("index_head_dim")
    )


def _indexer_types(kit: Kit) -> list[str]:
    """Which layers have an indexer of their own, and which see what the one before picked."""
    keys = kit.keys
    listed = keys.list_of("indexer_types", str, kit.n_layers) if keys.has("indexer_types") else None
    pattern = keys.value("index_topk_pattern") if keys.has("index_topk_pattern") else None
    if listed is None and isinstance(pattern, str) and len(pattern) == kit.n_layers:
        listed = [{"F": "full", "S": "shared"}.get(letter, letter) for letter in pattern]
    if listed is None and isinstance(pattern, list):
        listed = keys.list_of("index_topk_pattern", str, kit.n_layers)
    if listed is None:
        if keys.model_type == "hy_v4":
            return ["full" if i == 0 or (i - 1) % 4 == 0 else "shared" for i in range(kit.n_layers)]
        every = max(1, (keys.optional("index_topk_freq", 0) if keys.has("index_topk_freq") else 1) or 1)
        offset = (keys.optional("index_skip_topk_offset", 0) if keys.has("index_skip_topk_offset") else 2) or 0
        return ["full" if max(i - offset + 1, 0) % every == 0 else "shared" for i in range(kit.n_layers)]
    if unknown := [kind for kind in listed if kind not in ("full", "shared")]:
        message = f"layers of kind {shown(unknown[0])} are not modelled"
        raise InputError("indexer_types", message, ("full", "shared"), code="layer_types", found=shown(unknown[0]))
    return listed


def _deepseek_v32(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    if keys.given("layer_types"):
        kit.kinds(lambda i: INDEXED, (INDEXED,))
    kinds = _indexer_types(kit)
    attention = kit.attention(selected=keys.size("index_topk"))
    own: Parts = (indexer(kit),)
    networks = {sparse: kit.network(sparse) for sparse in set(kit.sparse())}
    streams: Parts = ()
    if keys.model_type == "hy_v4":
        n_heads, width = keys.dimension("n_heads"), keys.size("v_head_dim")
        attention = (
            *attention,
            Projection(kit.d_model, n_heads * width, "attention_gate", "attention"),
            Numbers(n_heads, "attention_sinks", "attention"),
        )
        streams = hyper_connections(kit, 2 * keys.size("hc_mult"), 2)
    return [
        (
            (("indexed" if kind == "full" else "shared"), ("sparse" if sparse else "dense")),
            (*kit.pre((*attention, *(own if kind == "full" else ())), networks[sparse]), *streams),
        )
        for kind, sparse in zip(kinds, kit.sparse(), strict=True)
    ]


def hyper_connections(kit: Kit, mixes: int, scales: int) -> Parts:
    """What mixes the streams of a layer, before its attention and before its network."""
    n = kit.keys.size("hc_mult")
    return tuple(
        part
        for of in ("attention", "feed_forward")
        for part in (
            Projection(n * kit.d_model, mixes, f"{of}_streams", "connections"),
            Numbers(mixes + scales, f"{of}_stream_scales", "connections"),
        )
    )


def joining_streams(kit: Kit) -> Parts:
    """What makes one stream of several after the last layer."""
    n = kit.keys.size("hc_mult")
    return (
        Projection(n * kit.d_model, n, "final_streams", "connections"),
        Numbers(n + 1, "final_stream_scales", "connections"),
    )


def _axk2(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    attention = kit.latent(selected=keys.size("index_topk"), joint_gate=True)
    mixer = (*kit.with_norms(attention), indexer(kit))
    rank = keys.size("gated_norm_rank")
    gates: dict[str, Parts] = {
        of: (
            Projection(d, rank, f"{of}_norm_gate_down", "norm"),
            Projection(rank, d, f"{of}_norm_gate_up", "norm"),
        )
        for of in ("attention", "feed_forward")
    }
    found = []
    for sparse in kit.sparse():
        second = gates["feed_forward"] if sparse else ()
        parts = (
            *(*kit.norm("attention_norm"), *gates["attention"], *mixer),
            *(*kit.norm("feed_forward_norm"), *second, *kit.network(sparse)),
        )
        found.append((("sparse" if sparse else "dense",), parts))
    return found


def per_layer(kit: Kit, unlike: list[bool], own: dict[str, Any]) -> list[dict[str, Any]]:
    """What each layer has of its own: ``per_layer_config`` where the config has one, else ``own`` where it is
    ``unlike`` the others."""
    given = kit.nested("per_layer_config") if kit.keys.given("per_layer_config") else None
    if given is None:
        return [own if is_unlike else {} for is_unlike in unlike]
    found: list[dict[str, Any]] = [{} for _ in unlike]
    for name, row in given.items():
        if not name.isdigit() or int(name) >= len(unlike) or not isinstance(row, dict):
            message = f"'per_layer_config' = {shown(name)} is not modelled"
            raise InputError(
                "per_layer_config", message, code="key_not_modelled", key="per_layer_config", found=shown(name)
            )
        found[int(name)] = {key: whole(key, value) for key, value in row.items() if value is not None}
    return found


def _dots3_note(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    dsa = not keys.has("use_dsa") or keys.flag("use_dsa")
    slides = not keys.has("use_sliding_window") or keys.flag("use_sliding_window")
    kinds = kit.kinds(
        lambda i: SLIDING if slides and i >= 2 and i % 4 != 1 else (INDEXED if dsa else FULL), (INDEXED, FULL, SLIDING)
    )
    width = keys.optional("swa_head_dim") if keys.has("swa_head_dim") else None
    nope = (keys.optional("swa_qk_nope_head_dim") if keys.has("swa_qk_nope_head_dim") else None) or 192
    own: dict[str, Any] = {"qk_nope_head_dim": nope, "qk_rope_head_dim": (width or 256) - nope}
    for key, default in (
        ("num_attention_heads", 64),
        ("q_lora_rank", 1024),
        ("kv_lora_rank", 1024),
        ("v_head_dim", 128),
    ):
        own[key] = (keys.optional(f"swa_{key}") if keys.has(f"swa_{key}") else None) or default
    names = {
        "num_attention_heads": "n_heads",
        "q_lora_rank": "q_lora_rank",
        "kv_lora_rank": "kv_lora_rank",
        "qk_nope_head_dim": "d_nope",
        "qk_rope_head_dim": "d_rope",
        "v_head_dim": "d_value",
    }
    mine = per_layer(kit, [kind == SLIDING for kind in kinds], own)
    window = keys.optional("sliding_window")
    networks = {sparse: kit.network(sparse) for sparse in set(kit.sparse())}
    found = []
    for kind, row, sparse in zip(kinds, mine, kit.sparse(), strict=True):
        changes: dict[str, Any] = {names[key]: value for key, value in row.items() if key in names}
        if kind == SLIDING:
            changes["window"] = window
        if kind == INDEXED:
            changes["selected"] = keys.size("index_topk")
        attention = kit.latent(**changes)
        mixer = (
            *kit.with_norms(attention),
            RMSNorm(attention.d_rope, "rotary_key_norm", "qk_norm"),
            Projection(d, attention.n_heads, "head_gate", "attention"),
            *((indexer(kit, attention.q_lora_rank),) if kind == INDEXED else ()),
        )
        told = {INDEXED: "indexed", FULL: "global", SLIDING: "local"}[kind]
        found.append(((told, "sparse" if sparse else "dense"), kit.pre(mixer, networks[sparse])))
    return found


def _minimax_m3(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    own = kit.nested("sparse_attention_config")
    listed = own.get("sparse_attention_freq")
    if listed is not None and (not isinstance(listed, list) or len(listed) != kit.n_layers):
        message = f"'sparse_attention_freq' must have one entry for each of {kit.n_layers} layers"
        number = len(listed) if isinstance(listed, list) else 0
        key = "sparse_attention_freq"
        raise InputError(key, message, code="key_length", key=key, number=number, layers=kit.n_layers)
    kinds = kit.kinds(lambda i: "minimax_m3_sparse" if listed and listed[i] else FULL, (FULL, "minimax_m3_sparse"))

    def size(key: str, legacy: str) -> int:
        return whole(legacy, own[legacy]) if legacy in own else keys.size(key)

    block, blocks = size("index_block_size", "sparse_block_size"), size("index_topk_blocks", "sparse_topk_blocks")
    n_heads, width = size("index_n_heads", "sparse_num_index_heads"), size("index_head_dim", "sparse_index_dim")
    pick = Indexer(kit.d_model, kit.d_model, n_heads, width, norm="rms", weights=False)
    dense_width = keys.size("dense_intermediate_size")
    networks: dict[bool, Parts] = {True: kit.network(True), False: (kit.dense(d_ff=dense_width),)}
    found = []
    for kind, sparse in zip(kinds, kit.sparse(), strict=True):
        mixer = kit.attention() if kind == FULL else (*kit.attention(selected=block * blocks), pick)
        told = "global" if kind == FULL else "indexed"
        found.append(((told, "sparse" if sparse else "dense"), kit.pre(mixer, networks[sparse])))
    return found


_CSA, _HCA = "compressed_sparse_attention", "heavily_compressed_attention"
_RATIOS = {0: SLIDING, 4: _CSA, 128: _HCA}


def _deepseek_v4(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    ratios = keys.list_of("compress_ratios", int) if keys.has("compress_ratios") else None
    default = (
        (lambda i: _RATIOS.get(ratios[i], str(ratios[i])))
        if ratios and len(ratios) >= kit.n_layers
        else (lambda i: _CSA if i >= 2 and i % 2 else _HCA)
    )
    kinds = kit.kinds(default, (SLIDING, _CSA, _HCA))
    rates = {_CSA: 4, _HCA: 128} | {k: whole("compress_rates", v) for k, v in kit.nested("compress_rates").items()}
    for kind, key in ((_CSA, "compress_rate_csa"), (_HCA, "compress_rate_hca")):
        if keys.given(key):
            rates[kind] = keys.size(key)
    rank, width = keys.size("q_lora_rank"), kit.d_head()
    n_heads, d_index = keys.size("index_n_heads"), keys.size("index_head_dim")
    plain = GroupedOutputAttention(
        *(d, keys.dimension("n_heads"), width, rank, keys.size("o_groups"), keys.size("o_lora_rank")),
        window=keys.optional("sliding_window"),
    )
    picks = keys.size("index_topk")
    beside: dict[str, Parts] = {
        SLIDING: (),
        _HCA: (Compressor(d, width, rates[_HCA]),),
        _CSA: (
            Compressor(d, width, rates[_CSA], overlaps=True),
            Compressor(d, d_index, rates[_CSA], overlaps=True, id="index_compressor"),
            Projection(rank, n_heads * d_index, "index_queries", "indexer"),
            Projection(d, n_heads, "index_weights", "indexer"),
        ),
    }
    attention = {
        SLIDING: plain,
        _HCA: replace(plain, compress_rate=rates[_HCA]),
        _CSA: replace(plain, compress_rate=rates[_CSA], selected=picks),
    }
    norms: Parts = (RMSNorm(rank, "query_norm", "qk_norm"), RMSNorm(width, "key_norm", "qk_norm"))
    n = keys.size("hc_mult")
    streams = hyper_connections(kit, (2 + n) * n, 3)
    network = kit.network(True)
    told = {SLIDING: "local", _HCA: "compressed", _CSA: "indexed"}
    return [((told[kind],), (*kit.pre((*norms, attention[kind], *beside[kind]), network), *streams)) for kind in kinds]


_DSA = Recipe(
    latent=True,
    experts=Mixture(sparse=layers.listed_sparse("first_k_dense_replace"), shared="n_shared_experts", buffers=True),
)
_FIRST = replace(_DSA, experts=Mixture(sparse=layers.listed_sparse(1), shared="n_shared_experts", buffers=True))
_ROUTED = expert_names("n_routed_experts")

SPARSE: Mapping[str, Family] = {
    "deepseek_v32": planned(_DSA, _deepseek_v32, _ROUTED, code=DSA_CODE),
    "glm_moe_dsa": planned(_DSA, _deepseek_v32, _ROUTED, code=GLM_DSA_CODE),
    "hy_v4": planned(_FIRST, _deepseek_v32, _ROUTED, after=joining_streams),
    "axk2": planned(_FIRST, _axk2, _ROUTED),
    "dots3_note_text": planned(
        replace(
            _DSA,
            ffn_bias="mlp_bias",
            experts=Mixture(
                sparse=layers.listed_sparse(1), shared_width="shared_experts_intermediate_size", buffers=True
            ),
        ),
        _dots3_note,
        _ROUTED,
    ),
    "minimax_m3_vl_text": planned(
        Recipe(
            qk_norm=QKNorm(),
            experts=Mixture(sparse=layers.listed_or_all_sparse, shared_width="shared_intermediate_size", buffers=True),
        ),
        _minimax_m3,
        expert_names("num_local_experts", d_expert=None),
    ),
    "deepseek_v4": planned(
        Recipe(ffn_bias="mlp_bias", experts=Mixture(shared_width="moe_intermediate_size", buffers=True)),
        _deepseek_v4,
        {**{k: v for k, v in _ROUTED.items() if k != "n_kv_heads"}, "d_ff": "moe_intermediate_size"},
        after=joining_streams,
    ),
}
