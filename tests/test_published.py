"""Models that are published with code of their own: as many parameters as their files have."""

from __future__ import annotations

import pytest

from llmcalc.catalog.models import model
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config, override, read_config

_OPENELM_HEADS = [16] * 3 + [20] * 7 + [24] * 8 + [28] * 6 + [32] * 4
_OPENELM_WIDTHS = [0.5, 0.63, 0.76, 0.89, 1.02, 1.15, 1.28, 1.41, 1.54, 1.67, 1.8, 1.93, 2.06, 2.19, 2.31, 2.44]
_OPENELM_WIDTHS += [2.57, 2.7, 2.83, 2.96, 3.09, 3.22, 3.35, 3.48, 3.61, 3.74, 3.87, 4.0]
# Molmo: Qwen2 7B's layers, 128 rows more for tokens of images; 23 layers of a ViT-L, attention that pools, a projector
_MOLMO = 28 * (3584 * 4608 + 4608 + 3584**2 + 3 * 3584 * 18944 + 2 * 3584) + 3584 + (2 * 152064 + 128) * 3584
_MOLMO += 23 * (4 * (1024**2 + 1024) + 2 * 1024 * 4096 + 4096 + 1024 + 4 * 1024)
_MOLMO += 14**2 * 3 * 1024 + 577 * 1024 + 1024 + 2 * 1024
_MOLMO += 3 * (2048 * 1024 + 1024) + 1024**2 + 1024 + 2 * 1024 * 18944 + 18944 * 3584 + 2 * 2048
# Phi-3 Small: layers with biases and LayerNorms, an up projection of twice the width, a tied table
_PHI3_SMALL = 4096 * 6144 + 6144 + 4096**2 + 4096 + 4096 * 28672 + 28672 + 14336 * 4096 + 4096 + 4 * 4096
_PHI3_SMALL = 32 * _PHI3_SMALL + 100352 * 4096 + 2 * 4096
# Jina's BERT: no table of positions, networks of two wide layers without biases and one back with its bias
_JINA_BERT = 30528 * 768 + 2 * 768 + 2 * 768 + 768**2 + 768
_JINA_BERT += 12 * (4 * (768**2 + 768) + 2 * 768 * 3072 + 3072 * 768 + 768 + 4 * 768)
_DEEPSEEK_OCR = {
    "model_type": "deepseek_vl_v2",
    "language_config": {
        **{"first_k_dense_replace": 1, "hidden_size": 1280, "intermediate_size": 6848, "moe_intermediate_size": 896},
        **{"n_routed_experts": 64, "n_shared_experts": 2, "num_attention_heads": 10, "num_experts_per_tok": 6},
        **{"num_hidden_layers": 12, "num_key_value_heads": 10, "use_mla": False, "vocab_size": 129280},
    },
}
# What of each published config.json says its sizes, and its total. MiniCPM-V, InternVL2 (as InternVL2.5, of the same
# sizes) and Phi-3 Vision (as 3.5): the metadata of their safetensors files, as the package gimmick lists it; ChatGLM:
# the table of parameters that calflops prints; LLaDA, EXAONE, dots.ocr and OpenELM: printed to the digit in reports of
# public repositories that loaded them; Molmo, Phi-3 Small, Jina's BERT and Yi: the arithmetic here. DeepSeek-OCR, GTE
# and MiniCPM-o: what the Hub counts in their files, of MiniCPM-o in that of its language model alone; openPangu (whose
# file has 64 angles a layer, in 32 bits), MiniCPM-V 2 and oasst-rm: the total_size of their files' index
PUBLISHED = {
    "MiniCPM-V 2.6": (
        {
            **{"architectures": ["MiniCPMV"], "model_type": "minicpmv", "version": 2.6, "hidden_size": 3584},
            **{"intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
            **{"num_key_value_heads": 4, "vocab_size": 151666, "query_num": 64, "drop_vision_last_layer": False},
            "vision_config": {
                **{"model_type": "siglip", "hidden_size": 1152, "image_size": 980, "intermediate_size": 4304},
                **{"num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14},
            },
        },
        8_099_175_152,
    ),
    "Molmo 7B-D": (
        {
            **{"architectures": ["MolmoForCausalLM"], "model_type": "molmo", "hidden_size": 3584},
            **{"intermediate_size": 37888, "num_hidden_layers": 28, "num_attention_heads": 28, "norm_after": False},
            **{"num_key_value_heads": 4, "embedding_size": 152064, "vocab_size": 152064, "layer_norm_type": "rms"},
            **{"qkv_bias": True, "attention_layer_norm": False, "weight_tying": False},
        },
        _MOLMO,
    ),
    "InternVL2 2B": (
        {
            **{"architectures": ["InternVLChatModel"], "model_type": "internvl_chat", "downsample_ratio": 0.5},
            "llm_config": {
                **{"architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2", "hidden_size": 2048},
                **{"intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 16, "bias": False},
                **{"num_key_value_heads": 8, "vocab_size": 92553},
            },
            "vision_config": {
                **{"model_type": "intern_vit_6b", "hidden_size": 1024, "intermediate_size": 4096, "image_size": 448},
                **{"num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "norm_type": "layer_norm"},
                **{"qkv_bias": True, "qk_normalization": False},
            },
        },
        2_205_754_368,
    ),
    "Phi-3 Vision": (
        {
            **{"architectures": ["Phi3VForCausalLM"], "model_type": "phi3_v", "hidden_size": 3072},
            **{"intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32},
            **{"num_key_value_heads": 32, "vocab_size": 32064, "tie_word_embeddings": False},
        },
        4_146_621_440,
    ),
    "Phi-3 Small": (
        {
            **{"architectures": ["Phi3SmallForCausalLM"], "model_type": "phi3small", "hidden_size": 4096},
            **{"ff_intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
            **{"num_key_value_heads": 8, "vocab_size": 100352},
        },
        _PHI3_SMALL,
    ),
    "ChatGLM 6B": (
        {
            **{"architectures": ["ChatGLMModel"], "model_type": "chatglm", "hidden_size": 4096, "num_layers": 28},
            **{"inner_hidden_size": 16384, "num_attention_heads": 32, "vocab_size": 130528},
        },
        6_173_286_400,
    ),
    "ChatGLM2 6B": (
        {
            **{"architectures": ["ChatGLMModel"], "model_type": "chatglm", "hidden_size": 4096, "num_layers": 28},
            **{"ffn_hidden_size": 13696, "num_attention_heads": 32, "padded_vocab_size": 65024, "kv_channels": 128},
            **{"multi_query_attention": True, "multi_query_group_num": 2, "add_qkv_bias": True, "rmsnorm": True},
            **{"add_bias_linear": False, "tie_word_embeddings": False},
        },
        6_243_584_000,
    ),
    "EXAONE 3.0 7.8B": (
        {
            **{"architectures": ["ExaoneForCausalLM"], "model_type": "exaone", "hidden_size": 4096},
            **{"intermediate_size": 14336, "num_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8},
            **{"vocab_size": 102400, "tie_word_embeddings": False},
        },
        7_818_448_896,
    ),
    "LLaDA 8B": (
        {
            **{"architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": 4096, "n_layers": 32},
            **{"mlp_hidden_size": 12288, "n_heads": 32, "n_kv_heads": 32, "embedding_size": 126464},
            **{"vocab_size": 126464, "weight_tying": False},
        },
        8_015_581_184,
    ),
    "dots.ocr": (
        {
            **{"architectures": ["DotsOCRForCausalLM"], "model_type": "dots_ocr", "hidden_size": 1536},
            **{"intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
            **{"num_key_value_heads": 2, "vocab_size": 151936, "attention_bias": True, "tie_word_embeddings": False},
            "vision_config": {"embed_dim": 1536, "num_hidden_layers": 42, "post_norm": True, "use_bias": False},
        },
        3_039_179_264,
    ),
    "DeepSeek-OCR": ({**_DEEPSEEK_OCR, "architectures": ["DeepseekOCRForCausalLM"]}, 3_336_106_240),
    "DeepSeek-OCR 2": ({**_DEEPSEEK_OCR, "architectures": ["DeepseekOCR2ForCausalLM"]}, 3_389_119_360),
    "openPangu Embedded 8B": (
        {
            **{"architectures": ["PanguEmbeddedForCausalLM"], "model_type": "PanguEmbedded", "hidden_size": 4096},
            **{"intermediate_size": 12800, "num_hidden_layers": 34, "num_attention_heads": 32, "bias": True},
            **{"num_key_value_heads": 8, "vocab_size": 153376, "tie_word_embeddings": False},
        },
        16_061_784_576 // 2 - 34 * 128,
    ),
    "MiniCPM-V 2": (
        {
            **{"architectures": ["MiniCPMV"], "model_type": "minicpmv", "hidden_size": 2304, "attention_bias": False},
            **{"intermediate_size": 5760, "num_hidden_layers": 40, "num_attention_heads": 36, "query_num": 64},
            **{"num_key_value_heads": 36, "vocab_size": 122753, "tie_word_embeddings": False},
            **{"drop_vision_last_layer": True, "vision_encoder": "vit_so400m_patch14_siglip_384.webli"},
        },
        6_869_931_584 // 2,
    ),
    "MiniCPM-o 2.6 (language model)": (
        {
            **{"architectures": ["MiniCPMO"], "model_type": "minicpmo", "version": "2.6", "hidden_size": 3584},
            **{"intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
            **{"num_key_value_heads": 4, "vocab_size": 151700, "vision_config": {"model_type": "siglip_vision_model"}},
        },
        7_613_007_360,
    ),
    "oasst-rm-2.1 Pythia 1.4B": (
        {
            **{"architectures": ["GPTNeoXRewardModel"], "model_type": "gpt_neox_reward_model", "hidden_size": 2048},
            **{"intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 50288},
            **{"attention_bias": True, "use_parallel_residual": True, "tie_word_embeddings": False},
        },
        5_246_377_988 // 4,
    ),
    "Yi 34B": (
        {
            **{"architectures": ["YiForCausalLM"], "model_type": "Yi", "hidden_size": 7168, "vocab_size": 64000},
            **{"intermediate_size": 20480, "num_hidden_layers": 60, "num_attention_heads": 56},
            **{"num_key_value_heads": 8, "tie_word_embeddings": False},
        },
        60 * (2 * 7168**2 + 2 * 7168 * 1024 + 3 * 7168 * 20480 + 2 * 7168) + 7168 + 2 * 64000 * 7168,
    ),
    "Jina embeddings v2 base en": (
        {
            **{"architectures": ["JinaBertModel"], "model_type": "bert", "hidden_size": 768, "intermediate_size": 3072},
            **{"num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30528, "type_vocab_size": 2},
            **{"max_position_embeddings": 8192, "position_embedding_type": "alibi", "feed_forward_type": "geglu"},
        },
        _JINA_BERT,
    ),
    "GTE large en v1.5": (
        {
            **{"architectures": ["NewModel"], "model_type": "new", "hidden_size": 1024, "intermediate_size": 4096},
            **{"num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 30528, "type_vocab_size": 2},
            **{"max_position_embeddings": 8192, "position_embedding_type": "rope"},
        },
        434_139_136,
    ),
    "OpenELM 1.1B": (
        {
            **{"architectures": ["OpenELMForCausalLM"], "model_type": "openelm", "model_dim": 2048, "head_dim": 64},
            **{"num_transformer_layers": 28, "num_query_heads": _OPENELM_HEADS, "vocab_size": 32000},
            **{"num_kv_heads": [n // 4 for n in _OPENELM_HEADS], "ffn_multipliers": _OPENELM_WIDTHS},
        },
        1_079_891_456,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_with_code_of_its_own_has_as_many_parameters_as_its_files(name):
    config, total = PUBLISHED[name]
    reading = read_config(config)
    assert reading.model.parameters().value == total
    assert reading.warnings == ()
    assert read_config(reading.used).model == reading.model


def test_the_selection_of_ling_minis_experts_is_a_buffer_that_its_file_counts():
    # the Hub counts 16,255,643,392 in the file: with a number for each of 256 experts in 19 layers
    config = {
        **{"architectures": ["BailingMoeV2ForCausalLM"], "model_type": "bailing_moe_v2", "hidden_size": 2048},
        **{"intermediate_size": 5120, "moe_intermediate_size": 512, "num_hidden_layers": 20, "head_dim": 128},
        **{"num_attention_heads": 16, "num_key_value_heads": 4, "num_experts": 256, "num_shared_experts": 1},
        **{"num_experts_per_tok": 8, "first_k_dense_replace": 1, "vocab_size": 157184},
    }
    assert read_config(config).model.parameters().value == 16_255_643_392 - 19 * 256


def test_glm_45v_has_as_many_parameters_as_its_files():
    # a public report of its 46 files lists 107,710,933,120 numbers, 128 of each of 45 routers a buffer
    assert from_config(model("glm-4.5v").config).parameters().value == 107_710_933_120 - 45 * 128


@pytest.mark.parametrize(
    ("model_type", "key"), [("rwkv7", "decay_low_rank_dim"), ("gated_deltanet", "expand_v"), ("ouro", "total_ut_steps")]
)
def test_a_recurrent_or_looping_model_is_not_like_llama(model_type, key):
    text = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 9}
    with pytest.raises(InputError, match=f"'{key}' is not LLaMA's"):
        read_config({"model_type": model_type, **text, "intermediate_size": 9, key: 96})


def test_a_name_of_its_own_for_a_class_that_is_known_is_said():
    config = {"model_type": "my_own", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "vocab_size": 151936}
    reading = read_config(config)
    assert reading.model == read_config({**config, "model_type": "qwen3"}).model
    assert [warning.id for warning in reading.warnings] == ["by_class"]


@pytest.mark.parametrize("model_type", ["vit", "clip", "wav2vec2", "dinov2"])
def test_a_model_of_pictures_or_sound_alone_is_refused_as_such(model_type):
    with pytest.raises(InputError, match="of pictures or sound alone") as raised:
        read_config({"model_type": model_type, "hidden_size": 768, "layer_norm_eps": 1e-12})
    assert raised.value.code == "without_text"


def test_the_first_qwen_is_read_under_the_names_of_gpt2_too():
    # CodeFuse-DevOps-Model-7B, made from Qwen-7B
    names = {"n_embd": 4096, "n_head": 32, "n_layer": 32, "ffn_hidden_size": 22016, "vocab_size": 151936}
    config = {"model_type": "qwen", "architectures": ["QWenLMHeadModel"], **names}
    assert read_config(config).model.parameters().value == 7_721_324_544


def test_towers_of_kimi_under_the_names_of_its_files():
    # NVIDIA's files of Kimi K2.5 leave the tower's model_type empty; its projector has two layers of 4,608 channels
    vision = {
        **{"model_type": "", "vt_hidden_size": 1152, "vt_intermediate_size": 4304, "vt_num_attention_heads": 16},
        **{"vt_num_hidden_layers": 27, "init_pos_emb_height": 64, "init_pos_emb_width": 64},
    }
    whole = {"model_type": "kimi_k25", "text_config": {"model_type": "deepseek_v3", "num_nextn_predict_layers": 0}}
    named = read_config({**whole, "vision_config": {"model_type": "kimi_k25_vision"}}).model
    assert read_config({**whole, "vision_config": vision}).model == named
    fewer = read_config({**whole, "vision_config": {**vision, "vt_num_hidden_layers": 26}}).model
    layer = 4 * (1152**2 + 1152) + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152
    assert named.parameters().value - fewer.parameters().value == layer


def test_kimi_k3s_tower_has_wide_heads_and_no_biases():
    vision = {
        **{"vt_hidden_size": 1024, "vt_intermediate_size": 4096, "vt_num_attention_heads": 12},
        **{"vt_num_hidden_layers": 27, "qkv_hidden_size": 1536, "merge_kernel_size": [2, 2], "patch_size": 14},
        **{"init_pos_emb_height": 64, "init_pos_emb_width": 64, "norm_type": "rmsnorm"},
    }
    text = {"model_type": "kimi_linear", "hidden_size": 7168}
    reading = read_config({"model_type": "kimi_k3", "text_config": text, "vision_config": vision})
    layer = 4 * 1024 * 1536 + 2 * 1024 * 4096 + 2 * 1024
    tower = 27 * layer + 3 * 14**2 * 1024 + 64**2 * 1024 + 1024
    projector = 4096**2 + 4096 * 7168 + 7168
    assert sum(part.parameters().value for part in reading.model.beside) == tower + projector


def test_a_config_with_another_norm_is_not_like_llama():
    text = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 9}
    text["intermediate_size"] = 9
    assert read_config({"model_type": "no_such_model", **text, "rms_norm_eps": 1e-6}).warnings[0].id == "like_llama"
    with pytest.raises(InputError, match="'layer_norm_eps' is not LLaMA's"):
        read_config({"model_type": "no_such_model", **text, "layer_norm_eps": 1e-5})


def test_a_t5gemmas_stacks_are_read_from_inside_its_config():
    # transformers 5.23's T5GemmaForConditionalGeneration of T5Gemma B-B's file
    one = {
        **{"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"num_key_value_heads": 12, "head_dim": 64, "vocab_size": 256000},
    }
    config = {"model_type": "t5gemma", "encoder": one, "decoder": one}
    reading = read_config(config)
    assert reading.model.parameters().value == 591_490_560
    assert (reading.dimensions["n_layers"], reading.dimensions["n_decoder_layers"]) == (12, 12)
    assert read_config(reading.used).model == reading.model
    assert read_config(override(config, n_layers=4)).dimensions["n_layers"] == 4
    with pytest.raises(InputError, match="the decoder's 'hidden_size' is 64, not the encoder's"):
        read_config({**config, "decoder": {**one, "hidden_size": 64}})


def test_qwen38_is_read_under_the_name_of_its_files_too():
    config = model("qwen3.8-flash-next").config
    own = {**config, "model_type": "qwen3_8_flash_next_text"}
    # transformers 5.23's Qwen4ExpForConditionalGeneration of the published file
    assert from_config(own).parameters().value == from_config(config).parameters().value == 176_943_899_520
