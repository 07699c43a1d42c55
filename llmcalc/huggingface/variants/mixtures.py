"""Mixtures whose layers differ one by one, or whose router and experts are like no other's.

One entry a model_type, read from its model class; those that are published with code of their own, from that code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.decoders import GEMMA, LLAMA
from llmcalc.huggingface.family import COMMON, Family, expert_names, stack
from llmcalc.huggingface.keys import whole
from llmcalc.huggingface.layers import periodic
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import LAYER_NORM_NO_BIAS, SANDWICH, Mixture, QKNorm, Recipe
from llmcalc.huggingface.variants.pieces import FULL, SLIDING, head_gate, sparse_words
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.experts import Experts, Router, ZeroExperts
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.norm import RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection
from llmcalc.transformer.state_convolution import Convolution


def _longcat(kit: Kit) -> Sequence[Layer]:
    """Two attentions and two networks in a layer, and a mixture beside them, some of whose experts do nothing."""
    keys, d = kit.keys, kit.d_model
    n_experts, zero = keys.dimension("n_experts"), keys.size("zero_expert_num", 0)
    width = keys.dimension("d_expert")
    expert = FeedForward(d, width, True, id="expert")
    router = Router(d, n_experts + zero, keys.has("router_bias") and keys.flag("router_bias"))
    mixture: list[Part] = [router, Experts(n_experts, keys.chosen(n_experts + zero), expert)]
    if zero:
        mixture.append(ZeroExperts(zero, d, width))
        text = f"{zero} experts do nothing; transformers allocates input weights for them, which published files lack"
        keys.note("zero_experts", text, number=zero)

    def half(number: str) -> Parts:
        latent = replace(kit.latent(), id=f"{number}_attention")
        ranks = {"query": latent.q_lora_rank, "key": latent.kv_lora_rank}
        norms = tuple(RMSNorm(rank, f"{number}_{of}_norm", "qk_norm") for of, rank in ranks.items() if rank)
        dense = replace(kit.dense(), id=f"{number}_feed_forward")
        before, between = (kit.norm(f"{number}_{of}_norm") for of in ("attention", "feed_forward"))
        return (*before, *norms, latent, *between, dense)

    layer = (*half("first"), *mixture, *half("second"))
    return [(("sparse",), layer)] * kit.n_layers


def _mimo_flash(kit: Kit) -> Sequence[Layer]:
    keys, n = kit.keys, kit.n_layers
    pattern = keys.list_of("hybrid_layer_pattern", int, n) if keys.has("hybrid_layer_pattern") else None
    default = (
        (lambda i: SLIDING if pattern[i] else FULL)
        if pattern
        else (lambda i: FULL if i == 0 or (i + 1) % 6 == 0 else SLIDING)
    )
    kinds = kit.kinds(default, (FULL, SLIDING))
    if keys.given("sliding_window_size"):
        window: int | None = keys.size("sliding_window_size") + 1
    else:
        window = keys.optional("sliding_window")
    value = keys.size("v_head_dim")
    plain = kit.plain(d_value=value)
    own = keys.optional("swa_num_key_value_heads") if keys.has("swa_num_key_value_heads") else None
    mixers = {
        FULL: plain,
        SLIDING: replace(plain, n_kv_heads=own or 2 * plain.n_kv_heads, sinks=True, window=window),
    }
    freq = keys.list_of("moe_layer_freq", int, n) if keys.has("moe_layer_freq") else None
    sparse = tuple(bool(entry) for entry in freq) if freq and not keys.given("mlp_layer_types") else kit.sparse()
    return [
        (
            ("local" if kind == SLIDING else "global", sparse_words(is_sparse)),
            kit.pre((mixers[kind],), kit.network(is_sparse)),
        )
        for kind, is_sparse in zip(kinds, sparse, strict=True)
    ]


def _step3p5(kit: Kit) -> Sequence[Layer]:
    keys, n = kit.keys, kit.n_layers
    extra = (keys.optional("num_nextn_predict_layers", 0) if keys.has("num_nextn_predict_layers") else 0) or 0

    def cut(key: str) -> list[str] | None:
        listed = keys.list_of(key, str) if keys.has(key) else None
        return listed[:n] if listed and len(listed) == n + extra else listed

    kinds = cut("layer_types") or [FULL] * n
    if len(kinds) != n or any(kind not in (FULL, SLIDING) for kind in kinds):
        message = f"'layer_types' must name {n} layers, each full_attention or sliding_attention"
        raise InputError("layer_types", message, code="attention_types", layers=n)
    listed = cut("mlp_layer_types")
    if listed is None:
        named = keys.value("moe_layers_enum") if keys.has("moe_layers_enum") else None
        parts = named.split(",") if isinstance(named, str) else named
        try:
            sparse = {int(i) for i in parts if str(i).strip()} if parts is not None else set(range(3, n))
        except (TypeError, ValueError):
            message = "'moe_layers_enum' must hold numbers of layers"
            raise InputError("moe_layers_enum", message, code="key_holds_no_numbers", key="moe_layers_enum") from None
        listed = ["sparse" if i in sparse else "dense" for i in range(n)]
    other = kit.nested("attention_other_setting") if keys.has("attention_other_setting") else {}
    n_heads = keys.dimension("n_heads")
    local = (keys.optional("num_sliding_attention_heads") if keys.has("num_sliding_attention_heads") else None) or (
        whole("num_attention_heads", other["num_attention_heads"]) if "num_attention_heads" in other else n_heads
    )
    found = []
    for kind, of in zip(kinds, listed, strict=True):
        heads = local if kind == SLIDING else n_heads
        window = keys.optional("sliding_window") if kind == SLIDING else None
        mixer = (*kit.attention(n_heads=heads, window=window), head_gate(kit, heads))
        told = ("local" if kind == SLIDING else "global", sparse_words(of == "sparse"))
        found.append((told, kit.pre(mixer, kit.network(of == "sparse"))))
    return found


def _laguna(kit: Kit) -> Sequence[Layer]:
    keys, n = kit.keys, kit.n_layers
    kinds = kit.kinds(lambda i: FULL, (FULL, SLIDING))
    heads = keys.list_of("num_attention_heads_per_layer", int, n) or [keys.dimension("n_heads")] * n
    gating = keys.value("gating")
    per_head = gating is True or gating == "per-head"
    found = []
    for kind, n_heads, sparse in zip(kinds, heads, kit.sparse(), strict=True):
        window = keys.optional("sliding_window") if kind == SLIDING else None
        mixer = kit.attention(n_heads=n_heads, window=window, gate=not per_head)
        told = ("local" if kind == SLIDING else "global", sparse_words(sparse))
        gate = (head_gate(kit, n_heads),) if per_head else ()
        found.append((told, kit.pre((*mixer, *gate), kit.network(sparse))))
    return found


def _beam(kit: Kit) -> Sequence[Layer]:
    n = kit.n_layers
    kinds = kit.kinds(lambda i: SLIDING if (i + 1) % 6 and i != n - 1 else FULL, (FULL, SLIDING))
    bias = Numbers(kit.keys.dimension("n_heads"), "attention_gate_bias", "attention")
    window = kit.keys.optional("sliding_window")
    return [
        (
            ("local" if kind == SLIDING else "global", sparse_words(sparse)),
            kit.sandwich((*kit.attention(window=window if kind == SLIDING else None), bias), kit.network(sparse)),
        )
        for kind, sparse in zip(kinds, kit.sparse(), strict=True)
    ]


def _cohere2_moe(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    dense = (keys.optional("first_k_dense_replace", 0) if keys.has("first_k_dense_replace") else 0) or 0
    prefix = keys.optional("prefix_dense_sliding_window_pattern") or 1
    period = keys.optional("sliding_window_pattern") or 4

    def default(i: int) -> str:
        every, at = (prefix, i) if i < dense else (period, i - dense)
        return SLIDING if (at + 1) % every else FULL

    kinds = kit.kinds(default, (FULL, SLIDING))
    width = keys.optional("prefix_dense_intermediate_size") or keys.dimension("d_ff")
    networks = {True: kit.network(True), False: (kit.dense(d_ff=width),)}
    window = keys.optional("sliding_window")
    listed = keys.list_of("mlp_layer_types", str, kit.n_layers)
    sparse = [kind == "sparse" for kind in listed] if listed else [i >= dense for i in range(kit.n_layers)]
    return [
        (
            ("local" if kind == SLIDING else "global", sparse_words(is_sparse)),
            (
                *kit.norm("attention_norm"),
                *kit.attention(window=window if kind == SLIDING else None),
                *networks[is_sparse],
            ),
        )
        for kind, is_sparse in zip(kinds, sparse, strict=True)
    ]


def _axk1(kit: Kit) -> Sequence[Layer]:
    dense, sparse = kit.network(False), (*kit.network(True), *kit.norm("feed_forward_post_norm"))
    return [
        ((sparse_words(is_sparse),), kit.pre(kit.attention(), sparse if is_sparse else dense))
        for is_sparse in kit.sparse()
    ]


def _dbrx_sizes(kit: Kit) -> dict[str, int]:
    attention, network = kit.nested("attn_config"), kit.nested("ffn_config")
    # the class cannot be built from its own defaults: these are DBRX's, as published
    defaults = {"ffn_hidden_size": 10_752, "moe_num_experts": 16, "moe_top_k": 4}
    found = {key: whole(key, network.get(key, value)) for key, value in defaults.items()}
    return {**found, "kv_n_heads": whole("kv_n_heads", attention.get("kv_n_heads", 8))}


def _dbrx(kit: Kit) -> Sequence[Layer]:
    sizes = _dbrx_sizes(kit)
    n_experts, top_k = sizes["moe_num_experts"], sizes["moe_top_k"]
    if top_k > n_experts:
        message = f"'moe_top_k' = {top_k} experts of 'moe_num_experts' = {n_experts}"
        raise InputError(
            "moe_top_k",
            message,
            code="too_few_experts",
            key="moe_top_k",
            top_k=top_k,
            whole_key="moe_num_experts",
            n_experts=n_experts,
        )
    expert = FeedForward(kit.d_model, sizes["ffn_hidden_size"], True, id="expert")
    network = (Router(kit.d_model, n_experts), Experts(n_experts, top_k, expert))
    attention = kit.plain(n_kv_heads=sizes["kv_n_heads"])
    return [(("sparse",), kit.pre((attention,), network))] * kit.n_layers


def _jetmoe(kit: Kit) -> Sequence[Layer]:
    """Experts of attention, each with query and output projections of its own; keys and values are common."""
    keys, d = kit.keys, kit.d_model
    n_experts = keys.dimension("n_experts")
    top_k = keys.chosen(n_experts)
    kv, width = keys.dimension("n_kv_heads"), keys.size("kv_channels")
    expert = FeedForward(d, kv * width, id="attention_expert")
    attention = Attention(d, kv * top_k, kv, width, common_queries=False)
    mixer = (
        Router(d, n_experts, id="attention_router"),
        Experts(n_experts, top_k, expert, id="attention_experts"),
        attention,
        Numbers(d, "attention_experts_bias", "attention"),
    )
    network = (*kit.network(True), Numbers(d, "experts_bias", "experts"))
    return [(("sparse",), kit.pre(mixer, network))] * kit.n_layers


def _inkling(kit: Kit) -> Sequence[Layer]:
    keys, d, n = kit.keys, kit.d_model, kit.n_layers
    local = keys.list_of("local_layer_ids", int)
    is_local = (lambda i: i in local) if local is not None else (lambda i: (i + 1) % 6 != 0)
    kinds = kit.kinds(lambda i: "hybrid_sliding" if is_local(i) else "hybrid", ("hybrid", "hybrid_sliding"))
    dense = (keys.optional("dense_mlp_idx", 0) if keys.has("dense_mlp_idx") else 0) or 0
    listed = keys.list_of("mlp_layer_types", str, n)
    sparse = [of == "sparse" for of in listed] if listed is not None else [i >= dense for i in range(n)]
    kernel, rel = keys.size("conv_kernel_size"), keys.size("d_rel")
    d_expert, d_ff = keys.size("moe_intermediate_size"), keys.dimension("d_ff")
    if keys.given("dense_intermediate_size"):
        d_expert, d_ff = d_ff, keys.size("dense_intermediate_size")
    n_experts, shared = keys.dimension("n_experts"), keys.size("n_shared_experts", 0)
    scored = n_experts + shared
    mixture: list[Part] = [
        Router(d, scored),
        Numbers(1, "router_scale", "router"),
        Experts(n_experts, keys.chosen(n_experts), FeedForward(d, d_expert, True, id="expert")),
    ]
    if shared:
        mixture.append(FeedForward(d, shared * d_expert, True, id="shared_experts", component="shared_experts"))
    networks: dict[bool, Parts] = {
        True: tuple(mixture),
        False: (FeedForward(d, d_ff, True), Numbers(1, "feed_forward_scale", "feed_forward")),
    }
    after = partial(Convolution, d, kernel, fp32=True)
    found = []
    for kind, is_sparse in zip(kinds, sparse, strict=True):
        slides = kind == "hybrid_sliding"
        names = ("num_attention_heads", "num_key_value_heads", "head_dim")
        if slides:
            names = ("swa_num_attention_heads", "swa_num_key_value_heads", "swa_head_dim")
        heads, kv, width = (keys.size(key) for key in names)
        window = keys.optional("sliding_window_size") if slides else None
        extent = keys.size("rel_extent")
        mixer: Parts = (
            *(RMSNorm(width, f"{of}_norm", "qk_norm") for of in ("query", "key")),
            Attention(d, heads, kv, width, window=window),
            Projection(d, heads * rel, "relative_projection", "attention"),
            Numbers(rel * (window or extent), "relative_logits", "attention"),
            Convolution(kv * width, kernel, "key_convolution", fp32=True),
            Convolution(kv * width, kernel, "value_convolution", fp32=True),
        )
        layer = (
            *(*kit.norm("attention_norm"), *mixer, after("attention_convolution")),
            *(*kit.norm("feed_forward_norm"), *networks[is_sparse], after("feed_forward_convolution")),
        )
        found.append((("local" if slides else "global", sparse_words(is_sparse)), layer))
    return found


def _zaya(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    kinds = kit.kinds(lambda i: "hybrid", ("hybrid", "hybrid_sliding"))
    heads, kv, width = keys.dimension("n_heads"), keys.dimension("n_kv_heads"), kit.d_head()
    inner, first, second = (heads + kv) * width, keys.size("cca_time0"), keys.size("cca_time1")
    rank, n_experts = keys.size("router_hidden_size"), keys.dimension("n_experts")
    bias = keys.flag("attention_bias")
    found = []
    for i, kind in enumerate(kinds):
        window = keys.optional("sliding_window") if kind == "hybrid_sliding" else None
        mixer: Parts = (
            Attention(d, heads, kv, width, qkv_bias=bias, output_bias=bias, window=window),
            Convolution(inner, first, "query_key_convolution", "attention", bias=True),
            Numbers(inner * width * second + inner, "grouped_convolution", "attention"),
            Numbers(kv, "key_temperature", "qk_norm"),
        )
        router: list[Part] = [
            Projection(d, rank, "router_down", "router", True),
            RMSNorm(rank, "router_norm", "router"),
        ]
        router.append(Projection(rank, 2 * rank, "router_hidden", "router", True))
        router.append(Projection(rank, n_experts + 1, "router_out", "router"))
        if i:
            router.append(Numbers(rank, "router_state_scale", "router"))
        expert = FeedForward(d, keys.dimension("d_expert"), True, id="expert")
        scales = (
            Numbers(4 * d, "attention_residual", "connections"),
            Numbers(4 * d, "feed_forward_residual", "connections"),
        )
        network = (*router, Experts(n_experts, keys.chosen(n_experts), expert))
        found.append((("first" if i == 0 else "later", "sparse"), (*kit.pre(mixer, network), *scales)))
    return found


def _muse_spark(kit: Kit) -> Sequence[Layer]:
    keys, d, n = kit.keys, kit.d_model, kit.n_layers
    kinds = kit.kinds(lambda i: FULL if (n - 1 - i) % 4 == 0 else SLIDING, (FULL, SLIDING))
    inner, n_experts = keys.size("moe_hidden_size"), keys.dimension("n_experts")
    mixture: Parts = (
        Router(d, n_experts),
        Projection(d, inner, "latent_down", "experts"),
        RMSNorm(inner, "latent_norm"),
        Experts(n_experts, keys.chosen(n_experts), FeedForward(inner, keys.dimension("d_expert"), True, id="expert")),
        RMSNorm(inner, "experts_post_norm"),
        Projection(inner, d, "latent_up", "experts"),
    )
    window = keys.optional("sliding_window")
    gates = (Numbers(d, "attention_residual", "connections"), Numbers(d, "feed_forward_residual", "connections"))
    found = []
    for kind, sparse in zip(kinds, kit.sparse(), strict=True):
        network = mixture if sparse else kit.network()
        mixer = kit.attention(window=window if kind == SLIDING else None)
        parts = (
            *(*kit.norm("attention_norm"), *mixer, *kit.norm("feed_forward_norm"), *network),
            *(*kit.norm("feed_forward_post_norm"), *gates),
        )
        found.append((("local" if kind == SLIDING else "global", sparse_words(sparse)), parts))
    return found


_DBRX_NAMES = {"d_model": "d_model", "n_layers": "n_layers", "n_heads": "n_heads", "vocab_size": "vocab_size"}
FAMILIES: Mapping[str, Family] = {
    "longcat_flash": planned(
        Recipe(latent=True),
        _longcat,
        {
            **{name: key for name, key in COMMON.items() if name != "d_head"},
            "n_layers": "num_layers",
            "d_ff": "ffn_hidden_size",
            "n_experts": "n_routed_experts",
            "top_k": "moe_topk",
            "d_expert": "expert_ffn_hidden_size",
        },
    ),
    "mimo_v2_flash": planned(
        Recipe(qkv_bias="attention_bias", experts=Mixture(sparse=layers.listed_sparse(1), buffers=True)),
        _mimo_flash,
        expert_names("n_routed_experts"),
    ),
    "step3p5": planned(
        Recipe(
            qkv_bias="attention_bias",
            output_bias="attention_bias",
            ffn_bias="mlp_bias",
            qk_norm=QKNorm(),
            experts=Mixture(shared_width="share_expert_dim", buffers=True),
        ),
        _step3p5,
        expert_names("n_routed_experts"),
    ),
    "laguna": planned(
        replace(
            GEMMA,
            qk_norm=QKNorm(),
            experts=Mixture(
                sparse=layers.listed_sparse(1), selection=True, shared_width="shared_expert_intermediate_size"
            ),
        ),
        _laguna,
        expert_names("num_experts"),
    ),
    "beam": planned(
        replace(GEMMA, gate=True, qk_norm=QKNorm(), experts=Mixture(sparse=layers.listed_sparse(3), buffers=True)),
        _beam,
        expert_names("num_experts"),
    ),
    "cohere2_moe": planned(
        replace(GEMMA, norm=LAYER_NORM_NO_BIAS, experts=Mixture(shared="num_shared_experts")),
        _cohere2_moe,
        expert_names("num_experts", d_expert=None),
    ),
    "axk1": planned(
        Recipe(latent=True, experts=Mixture(sparse=layers.axk1_sparse, shared="n_shared_experts", buffers=True)),
        _axk1,
        expert_names("n_routed_experts"),
    ),
    "flint": stack(
        replace(
            GEMMA,
            code=None,
            sinks=True,
            qk_norm=QKNorm(),
            windows=layers.flint_windows,
            experts=Mixture(sparse=layers.flint_sparse, shared_width="shared_expert_intermediate_size", buffers=True),
        ),
        expert_names("num_experts"),
    ),
    "kolibri1": stack(
        Recipe(
            layout=SANDWICH,
            qk_norm=QKNorm(),
            windows=periodic(5),
            experts=Mixture(shared_width="shared_expert_intermediate_size"),
        ),
        {**expert_names("num_experts"), "d_ff": "moe_intermediate_size"},
    ),
    "mellum": stack(
        replace(
            GEMMA, code=None, qk_norm=QKNorm(), windows=periodic(0), experts=Mixture(sparse=layers.listed_sparse(0))
        ),
        expert_names("num_experts"),
    ),
    "granitemoe_swa": stack(
        replace(
            GEMMA,
            code=None,
            sinks=True,
            windows=periodic(4, first_global=True),
            experts=Mixture(shared_width="shared_intermediate_size"),
        ),
        expert_names("num_local_experts", d_expert=None),
    ),
    "aria_text": stack(
        replace(LLAMA, code=None, experts=Mixture(shared="moe_num_shared_experts")),
        expert_names("moe_num_experts", "moe_topk", d_expert=None),
    ),
    "dbrx": planned(Recipe(norm=LAYER_NORM_NO_BIAS, d_ff=4), _dbrx, _DBRX_NAMES),
    "jetmoe": planned(
        Recipe(experts=Mixture()),
        _jetmoe,
        {
            **{k: v for k, v in COMMON.items() if k not in ("n_heads", "d_head")},
            "n_experts": "num_local_experts",
            "top_k": "num_experts_per_tok",
        },
    ),
    "inkling_text": planned(
        Recipe(embedding_norm=True, tied=False),
        _inkling,
        expert_names("n_routed_experts"),
    ),
    "zaya": planned(
        Recipe(head_bias="lm_head_bias"),
        _zaya,
        {k: v for k, v in expert_names("num_experts").items() if k != "d_ff"},
        before=lambda kit: (Numbers(2 * kit.d_model, "input_scale", "embedding"),),
    ),
    "muse_spark_text": planned(
        replace(GEMMA, gate=True, experts=Mixture(sparse=layers.listed_sparse(0))),
        _muse_spark,
        expert_names("num_local_experts"),
    ),
}
