"""Language models of models that see and hear, where they have a name of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface import layers
from llmcalc.huggingface.decoders import DECODERS, GEMMA, LLAMA
from llmcalc.huggingface.family import Family, expert_names, stack, unread
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.sparse import indexer
from llmcalc.huggingface.stack import SANDWICH, Mixture, QKNorm, Recipe
from llmcalc.huggingface.variants.pieces import sparse_words
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.piece import Numbers, Projection


def _voxtral(kit: Kit) -> Sequence[Layer]:
    """Mistral's layers, with a norm that the audio's delay moves."""
    d = kit.d_model
    moved = (Projection(d, 32, "adaptive_norm_down", "norm"), Projection(32, d, "adaptive_norm_up", "norm"))
    mixer = kit.attention(window=kit.keys.optional("sliding_window"))
    return [(("dense",), (*kit.pre(mixer, kit.network()), *moved))] * kit.n_layers


def _mistral_large4(kit: Kit) -> Sequence[Layer]:
    """DeepSeek-V3.2's layers; those without rotary positions have wider keys, and no rotary one."""
    keys, d, n = kit.keys, kit.d_model, kit.n_layers
    listed = keys.list_of("no_rope_layers", int, n) or [int((i + 1) % 4 != 0) for i in range(n)]
    attention = kit.latent(selected=keys.size("index_topk"), q_lora_rank=None)
    n_index = keys.size("index_n_heads")
    beside: Parts = (
        indexer(kit, d),
        LayerNorm(d, "index_input_norm", component="indexer"),
        Numbers(2 * n_index, "index_softmax_scales", "indexer"),
        Numbers(2 * attention.n_heads, "softmax_scales", "attention"),
    )
    mixers: dict[bool, Parts] = {
        True: (*kit.with_norms(attention), *beside),
        False: (*kit.with_norms(replace(attention, d_nope=attention.d_nope + attention.d_rope, d_rope=0)), *beside),
    }
    networks = {sparse: kit.network(sparse) for sparse in set(kit.sparse())}
    return [
        (("local" if has_rope else "global", sparse_words(sparse)), kit.pre(mixers[bool(has_rope)], networks[sparse]))
        for has_rope, sparse in zip(listed, kit.sparse(), strict=True)
    ]


def _molmo2_front(kit: Kit) -> Parts:
    return (Numbers(kit.keys.size("additional_vocab_size", 0) * kit.d_model, "image_token_rows", "embedding"),)


_GLIMMER = replace(GEMMA, code=None, layout=SANDWICH, gate=True, windows=layers.last_global)
FAMILIES: Mapping[str, Family] = {
    "cosmos3_edge_text": stack(replace(LLAMA, code=None, gated=False)),
    "glm_ocr_text": stack(Recipe(layout=SANDWICH)),
    "granite_docling_text": stack(replace(LLAMA, code=None)),
    "hunyuan_vl_text": unread(DECODERS["hunyuan_v1_dense"]),
    "mistral4": stack(
        Recipe(
            latent=True,
            experts=Mixture(
                sparse=layers.after_dense("first_k_dense_replace"), shared="n_shared_experts", buffers=True
            ),
        ),
        expert_names("n_routed_experts"),
    ),
    "mistral_large4_text": planned(
        Recipe(latent=True, experts=Mixture(sparse=layers.listed_sparse(1), shared="n_shared_experts", buffers=True)),
        _mistral_large4,
        expert_names("n_routed_experts"),
    ),
    "molmo2_text": planned(
        Recipe(qkv_bias="attention_bias", qk_norm=QKNorm()),
        lambda kit: [(("dense",), kit.pre(kit.attention(), kit.network()))] * kit.n_layers,
        before=_molmo2_front,
    ),
    "muse_glimmer_text": stack(_GLIMMER),
    "paddleocr_vl_text": stack(
        replace(GEMMA, code=None, qkv_bias="use_bias", output_bias="use_bias", ffn_bias="use_bias")
    ),
    "qwen2_5_omni_text": unread(DECODERS["qwen2"]),
    "qwen3_omni_moe_text": stack(
        Recipe(
            qkv_bias="attention_bias",
            output_bias="attention_bias",
            qk_norm=QKNorm(),
            windows=layers.everywhere,
            experts=Mixture(sparse=layers.qwen_sparse),
        ),
        expert_names("num_experts"),
    ),
    "unlimited_ocr_text": stack(
        replace(
            GEMMA,
            code=None,
            windows=layers.everywhere,
            experts=Mixture(sparse=layers.kimi_sparse, shared="n_shared_experts"),
        ),
        expert_names("n_routed_experts"),
    ),
    "voxtral_realtime_text": planned(Recipe(), _voxtral),
}
