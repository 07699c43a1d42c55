"""Every model_type that we can count, one entry each: what its layers are made of, and what its config calls things.

Each entry was read from the model class of that name in Hugging Face transformers. What a config class fills in when
a file omits a key is in ``defaults.json``, written from those classes by ``tests/oracle/defaults.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import resources
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.layers import from_layer, periodic
from llmcalc.huggingface.pairs import BartRecipe, T5Recipe, build_bart, build_t5, build_vanilla
from llmcalc.huggingface.stack import (
    INNER,
    LAYER_NORM_NO_BIAS,
    PARALLEL,
    PARALLEL_TWO_NORMS,
    POST,
    PRE,
    SANDWICH,
    MaskedHead,
    Mixture,
    QKNorm,
    Recipe,
    build,
)
from llmcalc.transformer.head import Classifier
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm

Names = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """How to read one model_type: a function from its keys and a task to a model, and its names for our dimensions.

    ``defaults_of`` names the model_type whose config class fills in what is omitted, where that is another one;
    ``defaults`` are those of a family that has no such class.
    """

    build: Callable[[Keys, str], Model]
    names: Names
    defaults_of: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


COMMON: Names = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "d_head": "head_dim",
    "d_ff": "intermediate_size",
    "vocab_size": "vocab_size",
    "n_positions": "max_position_embeddings",
}
SAME_KV = {name: key for name, key in COMMON.items() if name not in ("n_kv_heads", "d_head")}
GPT: Names = {
    "d_model": "n_embd",
    "n_layers": "n_layer",
    "n_heads": "n_head",
    "d_ff": "n_inner",
    "vocab_size": "vocab_size",
    "n_positions": "n_positions",
}
T5_NAMES: Names = {
    "d_model": "d_model",
    "n_layers": "num_layers",
    "n_decoder_layers": "num_decoder_layers",
    "n_heads": "num_heads",
    "d_head": "d_kv",
    "d_ff": "d_ff",
    "vocab_size": "vocab_size",
}
BART_NAMES: Names = {
    "d_model": "d_model",
    "n_layers": "encoder_layers",
    "n_decoder_layers": "decoder_layers",
    "n_heads": "encoder_attention_heads",
    "n_decoder_heads": "decoder_attention_heads",
    "d_ff": "encoder_ffn_dim",
    "d_decoder_ff": "decoder_ffn_dim",
    "vocab_size": "vocab_size",
    "n_positions": "max_position_embeddings",
}


def _experts(
    n_experts: str, top_k: str = "num_experts_per_tok", d_expert: str | None = "moe_intermediate_size"
) -> Names:
    names = {**COMMON, "n_experts": n_experts, "top_k": top_k}
    return {**names, "d_expert": d_expert} if d_expert else names


def _stack(recipe: Recipe | Callable[[Keys], Recipe], names: Names = COMMON, defaults_of: str | None = None) -> Family:
    def read(keys: Keys, task: str) -> Model:
        return build(keys, recipe if isinstance(recipe, Recipe) else recipe(keys), task)

    return Family(read, names, defaults_of)


def _t5(recipe: T5Recipe, names: Names = T5_NAMES, defaults_of: str | None = None) -> Family:
    return Family(partial(_with_task, build_t5, recipe), names, defaults_of)


def _bart(recipe: BartRecipe, names: Names = BART_NAMES) -> Family:
    return Family(partial(_with_task, build_bart, recipe), names)


def _with_task(builder: Callable[[Keys, Any, str], Model], recipe: Any, keys: Keys, task: str) -> Model:
    return builder(keys, recipe, task)


# Recipes that several families share, and those whose shape depends on flags

_GPT2 = Recipe(
    norm=LayerNorm,
    positions=0,
    qkv_bias=True,
    output_bias=True,
    gated=False,
    ffn_bias=True,
    d_ff=4,
    cross="add_cross_attention",
)
_GPTJ = replace(_GPT2, layout=PARALLEL, positions=None, qkv_bias=False, output_bias=False, head_bias=True, cross=False)
_NEOX = Recipe(
    norm=LayerNorm,
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    gated=False,
    ffn_bias=True,
)
_LLAMA = Recipe(qkv_bias="attention_bias", output_bias="attention_bias", ffn_bias="mlp_bias")
_MISTRAL = Recipe(windows=layers.everywhere)
_QWEN3 = Recipe(
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    qk_norm=QKNorm(),
    windows=from_layer("max_window_layers"),
)
_GEMMA = Recipe(qkv_bias="attention_bias", output_bias="attention_bias")
_OLMO2 = replace(_GEMMA, layout=POST, qk_norm=QKNorm(width="all"))
_DEEPSEEK = Recipe(
    latent=True,
    experts=Mixture(sparse=layers.after_dense("first_k_dense_replace"), shared="n_shared_experts", buffers=True),
)
_BERT = Recipe(
    norm=LayerNorm,
    layout=POST,
    embedding_norm=True,
    final_norm=False,
    positions=0,
    types="type_vocab_size",
    qkv_bias=True,
    output_bias=True,
    gated=False,
    ffn_bias=True,
    head=MaskedHead(),
    pooler=True,
    cross="add_cross_attention",
    cross_needs="is_decoder",
    pretraining=partial(Classifier, n_labels=2),
    causal=False,
)
_ROBERTA = replace(_BERT, pretraining=None)
_MODERNBERT = Recipe(
    norm=LAYER_NORM_NO_BIAS,
    embedding_norm=True,
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    ffn_bias="mlp_bias",
    first_attention_norm=False,
    causal=False,
    head=MaskedHead(dense_bias="classifier_bias", norm_bias="norm_bias", bias="decoder_bias", second_bias=False),
)


def _opt(keys: Keys) -> Recipe:
    affine = keys.flag("layer_norm_elementwise_affine")
    return Recipe(
        norm=LayerNorm if affine else None,
        final_norm=keys.flag("do_layer_norm_before") and not keys.flag("_remove_final_layer_norm"),
        positions=2,
        embedding_width="word_embed_proj_dim",
        embedding_projection_bias=False,
        project_out=True,
        qkv_bias="enable_bias",
        output_bias="enable_bias",
        gated=False,
        ffn_bias="enable_bias",
    )


def _falcon(keys: Keys) -> Recipe:
    new = keys.flag("new_decoder_architecture")
    n_norms = keys.optional("num_ln_in_parallel_attn") or (2 if new else 1)
    parallel = PARALLEL_TWO_NORMS if n_norms == 2 else PARALLEL
    return Recipe(
        norm=LayerNorm,
        layout=parallel if keys.flag("parallel_attn") else PRE,
        multi_query=not new and keys.flag("multi_query"),
        grouped=new,
        qkv_bias="bias",
        output_bias="bias",
        gated=False,
        ffn_bias="bias",
        d_ff=4,
    )


def _mpt(keys: Keys) -> Recipe:
    if keys.optional("expansion_ratio") not in (None, 4):
        keys.note("expansion_ratio", "transformers ignores expansion_ratio: d_ff is always 4 × d_model")
    return Recipe(norm=LAYER_NORM_NO_BIAS, gated=False, d_ff=4)


def _stablelm(keys: Keys) -> Recipe:
    return Recipe(
        norm=LayerNorm,
        layout=PARALLEL if keys.flag("use_parallel_residual") else PRE,
        qkv_bias="use_qkv_bias",
        qk_norm=QKNorm(width="all", norm=LAYER_NORM_NO_BIAS, when="qk_layernorm"),
    )


def _helium(keys: Keys) -> Recipe:
    width = keys.optional("head_dim")
    if width is not None and width * keys.dimension("n_heads") != keys.dimension("d_model"):
        raise InputError("head_dim", "Helium's heads must be as wide as the model together")
    return Recipe(qkv_bias="attention_bias", ffn_bias="mlp_bias")


def _modernbert(keys: Keys) -> Recipe:
    norm = LayerNorm if keys.flag("norm_bias") else LAYER_NORM_NO_BIAS
    every = keys.optional("global_attn_every_n_layers") or 3
    return replace(_MODERNBERT, norm=norm, windows=periodic(every, first_global=True, window="local_attention"))


def _modernbert_decoder(keys: Keys) -> Recipe:
    return replace(_modernbert(keys), causal=True)


def _gemma3(keys: Keys) -> Recipe:
    every = keys.optional("sliding_window_pattern") or keys.optional("_sliding_window_pattern") or 6
    return replace(_GEMMA, layout=SANDWICH, qk_norm=QKNorm(), windows=periodic(every))


def _cohere2(keys: Keys) -> Recipe:
    every = keys.optional("sliding_window_pattern") or 4
    return replace(_GEMMA, norm=LAYER_NORM_NO_BIAS, layout=PARALLEL, windows=periodic(every))


def _deberta(keys: Keys) -> Recipe:
    relative = keys.flag("relative_attention")
    kinds = keys.value("pos_att_type") if relative else None
    if isinstance(kinds, str):
        kinds = kinds.split("|")
    else:
        kinds = keys.list_of("pos_att_type", str) if relative else None
    own = relative and not keys.flag("share_att_key")
    farthest = keys.size("max_relative_positions", -1) if relative else 0
    buckets = (keys.optional("position_buckets", -1) or -1) if relative else 0
    if relative:
        farthest = buckets if buckets > 0 else farthest if farthest > 0 else keys.dimension("n_positions")
    normed = "layer_norm" in (keys.text("norm_rel_ebd") if keys.has("norm_rel_ebd") else "").lower().split("|")
    keys.refuse_other_than("conv_kernel_size", (0,))
    keys.refuse_other_than("legacy", (True,))
    return replace(
        _BERT,
        positions=0 if keys.flag("position_biased_input") else None,
        relative_embedding=farthest,
        relative_norm=normed,
        position_keys=bool(own and "c2p" in (kinds or ())),
        position_queries=bool(own and "p2c" in (kinds or ())),
        pooler=False,
        pretraining=None,
    )


_ENCODER_NAMES = SAME_KV
_PRE_BERT = replace(_BERT, layout=PRE, final_norm=True)
_LOCAL_GLOBAL = periodic(2)

FAMILIES: Mapping[str, Family] = {
    # decoders with learned positions, or of that age
    "gpt2": _stack(_GPT2, GPT),
    "gpt_bigcode": _stack(replace(_GPT2, multi_query="multi_query"), GPT),
    "openai-gpt": _stack(
        replace(_GPT2, layout=POST, final_norm=False, cross=False), {k: v for k, v in GPT.items() if k != "d_ff"}
    ),
    "gpt_neo": _stack(
        replace(_GPT2, qkv_bias=False, cross=False, windows=layers.gpt_neo_windows),
        {**SAME_KV, "n_layers": "num_layers", "n_heads": "num_heads"},
    ),
    "gptj": _stack(_GPTJ, GPT),
    "codegen": _stack(_GPTJ, GPT),
    "gpt_neox": _stack(_NEOX, SAME_KV),
    "opt": _stack(_opt, {**SAME_KV, "d_ff": "ffn_dim"}),
    "ctrl": _stack(replace(_GPT2, positions=None, head_bias=True, cross=False), {**GPT, "d_ff": "dff"}),
    "xglm": _stack(
        replace(_GPT2, positions=None, cross="add_cross_attention"),
        {**SAME_KV, "d_model": "d_model", "n_layers": "num_layers", "n_heads": "attention_heads", "d_ff": "ffn_dim"},
    ),
    "biogpt": _stack(replace(_GPT2, positions=2, cross=False), SAME_KV),
    "bloom": _stack(
        replace(_GPT2, positions=None, embedding_norm=True, cross=False),
        {"d_model": "hidden_size", "n_layers": "n_layer", "n_heads": "n_head", "vocab_size": "vocab_size"},
    ),
    "falcon": _stack(_falcon, {**SAME_KV, "n_kv_heads": "num_kv_heads", "d_ff": "ffn_hidden_size"}),
    "mpt": _stack(
        _mpt,
        {
            "d_model": "d_model",
            "n_layers": "n_layers",
            "n_heads": "n_heads",
            "vocab_size": "vocab_size",
            "n_positions": "max_seq_len",
        },
    ),
    "persimmon": _stack(
        Recipe(
            norm=LayerNorm,
            qkv_bias=True,
            output_bias=True,
            gated=False,
            ffn_bias=True,
            qk_norm=QKNorm(norm=LayerNorm, when="qk_layernorm"),
        ),
        SAME_KV,
    ),
    # LLaMA and its kin
    "llama": _stack(_LLAMA),
    "mistral": _stack(_MISTRAL),
    "ministral": _stack(replace(_MISTRAL, windows=periodic(0))),
    "ministral3": _stack(_MISTRAL),
    "mixtral": _stack(replace(_MISTRAL, experts=Mixture()), _experts("num_local_experts", d_expert=None)),
    "qwen2": _stack(Recipe(qkv_bias=True, windows=from_layer("max_window_layers"))),
    "qwen3": _stack(_QWEN3),
    "qwen2_moe": _stack(
        Recipe(
            qkv_bias="qkv_bias",
            windows=layers.qwen2_moe_windows,
            experts=Mixture(
                sparse=layers.qwen_sparse, shared_width="shared_expert_intermediate_size", shared_gate=True
            ),
        ),
        _experts("num_experts"),
    ),
    "qwen3_moe": _stack(
        replace(_QWEN3, windows=layers.if_used, experts=Mixture(sparse=layers.qwen_sparse)), _experts("num_experts")
    ),
    "gemma": _stack(_GEMMA),
    "gemma2": _stack(replace(_GEMMA, layout=SANDWICH, windows=_LOCAL_GLOBAL)),
    "gemma3_text": _stack(_gemma3),
    "vaultgemma": _stack(replace(_GEMMA, windows=_LOCAL_GLOBAL)),
    "phi": _stack(
        Recipe(
            norm=LayerNorm,
            layout=PARALLEL,
            qkv_bias=True,
            output_bias=True,
            gated=False,
            ffn_bias=True,
            qk_norm=QKNorm(norm=LayerNorm, when="qk_layernorm"),
            head_bias=True,
        )
    ),
    "phi3": _stack(_MISTRAL),
    "phimoe": _stack(
        replace(_GEMMA, norm=LayerNorm, windows=layers.everywhere, head_bias="lm_head_bias", experts=Mixture()),
        _experts("num_local_experts", d_expert=None),
    ),
    "stablelm": _stack(_stablelm),
    "olmo": _stack(replace(_GEMMA, norm=None)),
    "olmo2": _stack(_OLMO2),
    "olmo3": _stack(replace(_OLMO2, windows=periodic(4))),
    "olmoe": _stack(
        replace(_GEMMA, qk_norm=QKNorm(width="all"), experts=Mixture()), _experts("num_experts", d_expert=None)
    ),
    "flex_olmo": _stack(replace(_OLMO2, experts=Mixture()), _experts("num_experts", d_expert=None)),
    "starcoder2": _stack(
        Recipe(
            norm=LayerNorm,
            qkv_bias="use_bias",
            output_bias="use_bias",
            gated=False,
            ffn_bias="use_bias",
            windows=layers.everywhere,
        )
    ),
    "cohere": _stack(
        replace(
            _GEMMA,
            norm=LAYER_NORM_NO_BIAS,
            layout=PARALLEL,
            qk_norm=QKNorm(width="all", norm=LAYER_NORM_NO_BIAS, when="use_qk_norm"),
        )
    ),
    "cohere2": _stack(_cohere2),
    "granite": _stack(_LLAMA),
    "granitemoe": _stack(replace(_GEMMA, experts=Mixture()), _experts("num_local_experts", d_expert=None)),
    "granitemoeshared": _stack(
        replace(_GEMMA, experts=Mixture(shared_width="shared_intermediate_size")),
        _experts("num_local_experts", d_expert=None),
    ),
    "nemotron": _stack(replace(_LLAMA, norm=LayerNorm, gated=False)),
    "smollm3": _stack(replace(_LLAMA, windows=layers.smollm3_windows)),
    "helium": _stack(_helium),
    "arcee": _stack(replace(_LLAMA, gated=False)),
    "apertus": _stack(replace(_GEMMA, gated=False, qk_norm=QKNorm(), learned_activation=2)),
    "seed_oss": _stack(Recipe(qkv_bias="attention_bias", output_bias="attention_out_bias", ffn_bias="mlp_bias")),
    "internlm3": _stack(_LLAMA),
    "cwm": _stack(Recipe(ffn_bias="mlp_bias", windows=periodic(4, first_global=True))),
    "jais2": _stack(replace(_LLAMA, norm=LayerNorm, gated=False)),
    "nanochat": _stack(replace(_GEMMA, norm=None, gated=False)),
    "bitnet": _stack(replace(_GEMMA, layout=INNER)),
    "glm": _stack(Recipe(qkv_bias="attention_bias")),
    "glm4": _stack(Recipe(qkv_bias="attention_bias", layout=SANDWICH)),
    "exaone4": _stack(Recipe(layout=POST, qk_norm=QKNorm(), windows=periodic("sliding_window_pattern"))),
    "ernie4_5": _stack(Recipe(qkv_bias="use_bias", output_bias="use_bias", ffn_bias="use_bias")),
    "hunyuan_v1_dense": _stack(replace(_GEMMA, qk_norm=QKNorm())),
    # mixtures of experts, and latent attention
    "deepseek_v2": _stack(
        replace(
            _DEEPSEEK,
            ffn_bias="mlp_bias",
            experts=Mixture(sparse=layers.after_dense("first_k_dense_replace"), shared="n_shared_experts"),
        ),
        _experts("n_routed_experts"),
    ),
    "deepseek_v3": _stack(_DEEPSEEK, _experts("n_routed_experts")),
    "kimi_k2": _stack(_DEEPSEEK, _experts("n_routed_experts"), "deepseek_v3"),
    "minicpm3": _stack(Recipe(latent=True, ffn_bias="mlp_bias")),
    "youtu": _stack(Recipe(latent=True)),
    "glm4_moe": _stack(
        Recipe(
            qkv_bias="attention_bias",
            qk_norm=QKNorm(when="use_qk_norm"),
            experts=_DEEPSEEK.experts,
        ),
        _experts("n_routed_experts"),
    ),
    "glm4_moe_lite": _stack(
        Recipe(latent=True, experts=Mixture(sparse=layers.listed_sparse(1), shared="n_shared_experts", buffers=True)),
        _experts("n_routed_experts"),
    ),
    "dots1": _stack(
        replace(_GEMMA, qk_norm=QKNorm(), windows=layers.from_layer_always, experts=_DEEPSEEK.experts),
        _experts("n_routed_experts"),
    ),
    "gpt_oss": _stack(
        replace(_GEMMA, sinks=True, windows=_LOCAL_GLOBAL, experts=Mixture(router_bias=True, expert_bias=True)),
        _experts("num_local_experts", d_expert=None),
    ),
    "llama4_text": _stack(
        replace(
            _GEMMA,
            windows=layers.llama4_windows,
            experts=Mixture(sparse=layers.llama4_sparse, shared_width="intermediate_size"),
        ),
        {**_experts("num_local_experts", d_expert="intermediate_size"), "d_ff": "intermediate_size_mlp"},
    ),
    "ernie4_5_moe": _stack(
        Recipe(
            qkv_bias="use_bias",
            output_bias="use_bias",
            ffn_bias="use_bias",
            head_bias="use_bias",
            experts=Mixture(sparse=layers.ernie_sparse, selection=True, shared="moe_num_shared_experts"),
        ),
        _experts("moe_num_experts", "moe_k"),
    ),
    "hunyuan_v1_moe": _stack(
        replace(_GEMMA, qk_norm=QKNorm(), experts=Mixture(shared_width="intermediate_size")),
        _experts("num_experts", "moe_topk", d_expert=None),
    ),
    "minimax_m2": _stack(
        Recipe(qk_norm=QKNorm(width="all"), experts=Mixture(buffers=True)),
        _experts("num_local_experts", d_expert=None),
    ),
    "exaone_moe": _stack(
        Recipe(
            qk_norm=QKNorm(),
            windows=periodic("sliding_window_pattern"),
            experts=Mixture(
                sparse=layers.listed_sparse("first_k_dense_replace"), shared="num_shared_experts", buffers=True
            ),
        ),
        _experts("num_experts"),
    ),
    "solar_open": _stack(
        replace(Recipe(qkv_bias="attention_bias"), experts=Mixture(shared="n_shared_experts", buffers=True)),
        {**_experts("n_routed_experts", d_expert=None), "d_ff": "moe_intermediate_size"},
    ),
    "afmoe": _stack(
        replace(
            _GEMMA,
            layout=SANDWICH,
            gate=True,
            qk_norm=QKNorm(),
            windows=periodic("global_attn_every_n_layers"),
            experts=Mixture(sparse=layers.after_dense("num_dense_layers"), selection=True, shared="num_shared_experts"),
        ),
        _experts("num_experts"),
    ),
    # encoders
    "bert": _stack(_BERT, _ENCODER_NAMES),
    "roberta": _stack(_ROBERTA, _ENCODER_NAMES),
    "xlm-roberta": _stack(_ROBERTA, _ENCODER_NAMES),
    "camembert": _stack(_ROBERTA, _ENCODER_NAMES),
    "data2vec-text": _stack(_ROBERTA, _ENCODER_NAMES),
    "ibert": _stack(_ROBERTA, _ENCODER_NAMES),
    "ernie": _stack(replace(_BERT, task_types=("use_task_id", "task_type_vocab_size")), _ENCODER_NAMES),
    "distilbert": _stack(
        replace(_BERT, types=None, head=MaskedHead(second_bias=False), pooler=False, pretraining=None),
        {**SAME_KV, "d_model": "dim", "n_layers": "n_layers", "n_heads": "n_heads", "d_ff": "hidden_dim"},
    ),
    "electra": _stack(
        replace(
            _BERT,
            embedding_width="embedding_size",
            head=MaskedHead(width="embedding_size", second_bias=False),
            pooler=False,
            pretraining=partial(Classifier, n_labels=1, dense=True),
        ),
        _ENCODER_NAMES,
    ),
    "albert": _stack(
        replace(
            _BERT,
            embedding_width="embedding_size",
            always_project=True,
            head=MaskedHead(width="embedding_size"),
            shared_layers=True,
        ),
        _ENCODER_NAMES,
    ),
    "rembert": _stack(
        replace(
            _BERT,
            embedding_width="input_embedding_size",
            always_project=True,
            head=MaskedHead(width="output_embedding_size", second_bias=False),
            pretraining=None,
            tied=False,
        ),
        _ENCODER_NAMES,
    ),
    "mpnet": _stack(replace(_ROBERTA, types=None, relative_buckets="relative_attention_num_buckets"), _ENCODER_NAMES),
    "megatron-bert": _stack(replace(_PRE_BERT, embedding_norm=False), _ENCODER_NAMES),
    "roberta-prelayernorm": _stack(replace(_PRE_BERT, pretraining=None), _ENCODER_NAMES),
    "xlm-roberta-xl": _stack(replace(_PRE_BERT, embedding_norm=False, pretraining=None), _ENCODER_NAMES),
    "deberta-v2": _stack(_deberta, _ENCODER_NAMES),
    "nomic_bert": _stack(
        replace(
            _BERT,
            positions=None,
            gated=True,
            qkv_bias=False,
            output_bias=False,
            ffn_bias=False,
            pooler=False,
            pretraining=None,
        ),
        {k: v for k, v in COMMON.items() if k != "n_kv_heads"},
    ),
    "eurobert": _stack(replace(_LLAMA, head_bias="mlp_bias", causal=False)),
    "modernbert": _stack(_modernbert, _ENCODER_NAMES),
    "modernbert-decoder": _stack(_modernbert_decoder, _ENCODER_NAMES),
    # an encoder and a decoder
    "t5": _t5(T5Recipe()),
    "mt5": _t5(T5Recipe()),
    "umt5": _t5(T5Recipe(bias_in_every_layer=True)),
    "longt5": _t5(T5Recipe(long=True)),
    "switch_transformers": _t5(T5Recipe(experts=True), {**T5_NAMES, "n_experts": "num_experts"}),
    "bart": _bart(BartRecipe(final_norm=False)),
    "mbart": _bart(BartRecipe()),
    "plbart": _bart(BartRecipe(final_norm=False)),
    "mvp": _bart(BartRecipe(final_norm=False)),
    "pegasus": _bart(BartRecipe(positions=0, embedding_norm=False)),
    "marian": _bart(BartRecipe(positions=0, embedding_norm=False, final_norm=False)),
    "m2m_100": _bart(BartRecipe(positions=None, embedding_norm=False)),
    "nllb-moe": _bart(
        BartRecipe(positions=None, embedding_norm=False, experts=True), {**BART_NAMES, "n_experts": "num_experts"}
    ),
    "blenderbot": _bart(BartRecipe(positions=0, embedding_norm=False)),
    "blenderbot-small": _bart(BartRecipe(positions=0, final_norm=False)),
    "vanilla_transformer": Family(
        partial(_with_task, build_vanilla, None),
        {
            "d_model": "d_model",
            "n_layers": "encoder_layers",
            "n_decoder_layers": "decoder_layers",
            "n_heads": "n_heads",
            "d_ff": "d_ff",
            "vocab_size": "vocab_size",
        },
        defaults={"bias": True, "tie_word_embeddings": True},
    ),
}


@cache
def _read_defaults() -> Mapping[str, Any]:
    return json.loads(resources.files("llmcalc.huggingface").joinpath("defaults.json").read_text("utf-8"))["families"]


def keys_of(model_type: str, config: Mapping[str, Any]) -> Keys:
    """``config`` with its family's names, what the config class fills in, and the other names that it accepts."""
    family = FAMILIES[model_type]
    row = _read_defaults().get(family.defaults_of or model_type, {})
    aliases = {key: tuple(names) for key, names in row.get("aliases", {}).items()}
    filled_in = {**row.get("defaults", {}), **family.defaults}
    return Keys(model_type, config, family.names, filled_in, aliases, row.get("rounds_heads", False))
