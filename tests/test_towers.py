"""What is beside a language model: how much it is, what becomes of it in a step and in a server, and what is said."""

from __future__ import annotations

import contextlib
import json

import pytest

from llmcalc.adapters import inputs_of_adapter
from llmcalc.bases import base, compact
from llmcalc.catalog.models import model
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.huggingface import override, read_config
from llmcalc.huggingface.beside import TOWERS
from llmcalc.inputs import PASTED, TOWERS_ARE
from pages.ui.words.problems import notes_of

# Qwen2.5-VL 7B as its file was first published, sizes of the language model beside those of the tower
QWEN = {
    **{"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "hidden_size": 3584},
    **{"intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4},
    **{"vocab_size": 152064, "tie_word_embeddings": False},
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
}
# Gemma 3 4B as published
GEMMA = {
    "model_type": "gemma3",
    "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {
        **{"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34},
        "vocab_size": 262208,
    },
    "vision_config": {
        **{"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "image_size": 896},
        **{"num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": False},
    },
}
GLM_4_5 = {
    **{"model_type": "glm4_moe", "architectures": ["Glm4MoeForCausalLM"], "hidden_size": 5120, "head_dim": 128},
    **{"intermediate_size": 12288, "moe_intermediate_size": 1536, "n_routed_experts": 160, "n_shared_experts": 1},
    **{"num_attention_heads": 96, "num_key_value_heads": 8, "num_hidden_layers": 92, "first_k_dense_replace": 3},
    **{"num_experts_per_tok": 8, "attention_bias": True, "use_qk_norm": True, "vocab_size": 151552},
    **{"tie_word_embeddings": False, "num_nextn_predict_layers": 1},
}


def configuration(config, **changes):
    return Configuration({"model": PASTED, "config": compact(config), "batch_size": 2, "seq_len": 256, **changes})


@pytest.mark.parametrize(("config", "total"), [(QWEN, 8_292_166_656), (GEMMA, 4_300_079_472)])
def test_a_published_model_with_a_tower_has_as_many_parameters_as_its_hub_page_says(config, total):
    reading = read_config(config)
    assert reading.model.parameters().value == total
    assert sum(q.value for q in reading.model.components().values()) == total
    assert {"vision_tower", "projector"} <= reading.model.components().keys()


def test_a_tower_that_only_some_sizes_of_a_model_have_is_counted_where_the_file_has_it():
    # transformers' Gemma4ForConditionalGeneration and Gemma4UnifiedForConditionalGeneration with both towers' defaults
    for model_type, total, beside in (
        ("gemma4", 5_554_675_488, 477_497_632),
        ("gemma4_unified", 3_056_257_024, 45_498_624),
    ):
        both = read_config({"model_type": model_type, "vision_config": {}, "audio_config": {}}).model
        assert (both.parameters().value, sum(t.parameters().value for t in both.beside)) == (total, beside)
        without = read_config({"model_type": model_type, "vision_config": None, "audio_config": None})
        assert (without.model.parameters().value, without.notes[1:]) == (total - beside, ())
        sees = read_config({"model_type": model_type, "vision_config": {}}).model.parameters().value
        hears = read_config({"model_type": model_type, "audio_config": {}}).model.parameters().value
        assert sees + hears == total + total - beside


def test_a_tower_for_sound_by_the_name_that_published_files_have_for_it():
    # transformers' NemotronH_Omni_Reasoning_V3 of this config, whose files say sound_config
    config = {
        "model_type": "nemotron_h_omni",
        "architectures": ["NemotronH_Omni_Reasoning_V3"],
        "projector_hidden_size": 512,
        "vision_config": {
            **{"num_hidden_layers": 2, "qkv_bias": False, "num_registers": 3, "video_temporal_patch_size": 2},
        },
        "sound_config": {
            **{"model_type": "parakeet_encoder", "hidden_size": 256, "num_hidden_layers": 2, "intermediate_size": 96},
            **{"projection_hidden_size": 4096, "projection_bias": False},
        },
    }
    reading = read_config(config)
    assert reading.model.parameters().value == 2_056_240_000
    assert "audio_tower" in reading.model.components()
    assert read_config(reading.used).model == reading.model


def test_hunyuan_ocrs_tower_whose_class_has_no_default_language_model():
    # transformers' HunYuanVLForConditionalGeneration of this config
    config = {
        "model_type": "hunyuan_vl",
        "text_config": {
            **{"hidden_size": 448, "intermediate_size": 300, "num_hidden_layers": 2, "num_attention_heads": 4},
            **{"num_key_value_heads": 2, "head_dim": 64, "vocab_size": 999},
        },
        "vision_config": {
            **{"hidden_size": 320, "num_attention_heads": 4, "num_hidden_layers": 1, "patch_size": 16},
            **{"spatial_merge_size": 3, "intermediate_size": 500, "max_image_size": 2048},
        },
    }
    assert read_config(config).model.parameters().value == 11_408_436


def test_of_a_model_that_also_speaks_the_thinker_is_counted_and_that_is_said():
    # transformers' thinker classes at their defaults
    for model_type, total in (("qwen2_5_omni", 11_338_288_896), ("qwen3_omni_moe", 18_418_329_704)):
        config = {"model_type": model_type}
        reading = read_config(config)
        assert reading.model.parameters().value == total
        assert reading.notes[0].id == "thinker"
        assert read_config(reading.used).model == reading.model
        assert read_config(override(config, n_layers=2)).model.n_layers == 2
        with pytest.raises(InputError, match="thinker_config"):
            read_config({**config, "thinker_config": []})


def test_a_tower_is_there_frozen_trained_or_left_out():
    by_choice = {choice: configuration(QWEN, towers=choice) for choice in TOWERS_ARE}
    tower = by_choice["frozen"].model.parameters().value - by_choice["left_out"].model.parameters().value
    assert tower == 8_292_166_656 - 7_615_616_512
    peaks = {choice: config.step.peak.value for choice, config in by_choice.items()}
    # frozen: its weights in fp32; trained: besides a gradient, AdamW's two states, and a root of one as it steps
    assert peaks["frozen"] - peaks["left_out"] == pytest.approx(4 * tower, rel=1e-6)
    assert peaks["trained"] - peaks["left_out"] == pytest.approx(20 * tower, rel=1e-6)
    each = {choice: config.on_each.peak.value for choice, config in by_choice.items()}
    assert each == peaks
    for choice in TOWERS_ARE:  # and laid out over devices, where what is held adds up to what is allocated
        rank = configuration(QWEN, towers=choice, data_parallel=2, zero_stage=3, tensor_parallel=2).rank
        assert sum(part.value for part in rank.moments["optimizer_step"].parts) == rank.moments["optimizer_step"].value
    inference = {choice: config.inference.value for choice, config in by_choice.items()}
    assert inference["frozen"] - inference["left_out"] == 2 * tower


def test_a_token_of_text_does_not_go_through_a_tower():
    model = read_config(QWEN).model
    assert model.active_parameters().value == model.language.parameters().value
    assert model.non_embedding_parameters().value == model.language.non_embedding_parameters().value


def test_a_step_with_a_tower_is_an_estimate_and_without_it_is_what_the_language_model_is():
    assert (configuration(QWEN).standing.label, configuration(QWEN).standing.reason) == ("estimate", "beside")
    text = configuration({k: v for k, v in QWEN.items() if k != "vision_config"} | {"model_type": "qwen2_5_vl_text"})
    assert configuration(QWEN, towers="left_out").standing == text.standing


@pytest.mark.parametrize("config", [QWEN, GEMMA])
def test_a_pasted_model_keeps_its_towers_and_says_so(config):
    start = base(PASTED, compact(config))
    assert "towers" in [notice.id for notice in start.notices]
    assert any("beside the language model" in note for note in notes_of(start))
    assert start.parameters == read_config(config).model.parameters().value
    assert configuration(config, n_layers=2).model.n_layers == 2


def test_what_predicts_further_tokens_is_said_and_counted_only_where_it_is_switched_on():
    reading = read_config(GLM_4_5)
    # the class of transformers, which leaves out layer 92; the Hub counts 358 B in the files
    assert reading.model.parameters().value == 352_797_814_784
    assert "mtp" in [note.id for note in reading.notes]
    config = configuration(GLM_4_5, mtp=True)
    assert config.model.parameters().value == pytest.approx(358e9, rel=0.002)
    assert config.model.components()["mtp"].value == config.model.parameters().value - 352_797_814_784
    assert not read_config({**GLM_4_5, "num_nextn_predict_layers": 0}).left_out


# What the Hub counts in the files (api/models/…, safetensors.total), and how many of these are biases that a router
# adds to its scores, which no class counts as parameters: one for each expert of each sparse layer
@pytest.mark.parametrize(
    ("id", "total", "biases"),
    [
        ("glm-4.7-flash", 31_221_488_576, 47 * 64),  # its last layer holds the table and the head again
        ("glm-5", 753_864_139_008, 76 * 256),
        ("glm-5.2", 753_329_940_480, 76 * 256),  # with an indexer of its own, which the model's last layer has not
        ("glm-5.3", 753_329_940_480, 76 * 256),
    ],
)
def test_a_model_with_the_layer_that_predicts_ahead_has_as_many_parameters_as_its_files(id, total, biases):
    reading = read_config(model(id).config)
    ahead = sum(part.parameters().value for part in reading.left_out)
    assert reading.model.parameters().value + ahead == total - biases


def test_nemotron_predicts_ahead_with_a_layer_of_attention_and_one_of_experts():
    # vllm/model_executor/models/nemotron_h_mtp.py; 561 B in Ultra's files
    config = model("nemotron-3-ultra").config
    reading = read_config(config)
    (ahead,) = (part.parameters().value for part in reading.left_out)
    d, heads, kv, expert = 8192, 64 * 128, 2 * 128, 2 * 2048 * 5120
    experts = 512 * (expert + d) + 2 * d * 2048 + 2 * d * 10240
    assert ahead == 2 * d * d + 2 * d * (heads + kv) + experts + 5 * d
    same = {**config, "mtp_hybrid_override_pattern": "*E"}
    assert read_config(same).left_out == reading.left_out
    assert read_config(read_config(same).used).left_out == reading.left_out
    other = read_config({**config, "mtp_layers_block_type": ["attention", "mamba"]}).left_out
    assert other != reading.left_out


def test_deepseek_v4_predicts_ahead_from_a_window_and_joins_its_streams():
    # its inference/model.py, class MTPBlock, and the 1,575 tensors of mtp.0: no compressor and no indexer
    reading = read_config(model("deepseek-v4-flash").config)
    (layer, _), *_ = reading.left_out[0].blocks
    components = {part.component for part in layer.parts}
    assert "indexer" not in components
    assert {"final_streams", "final_stream_scales"} <= {part.id for part in layer.parts}
    sliding = reading.model.layers()[0].parameters().value
    d = 4096
    # like the model's first layer, which sees a window too, with projections, three norms and what joins 4 streams
    assert layer.parameters().value == sliding + 2 * d * d + 3 * d + 4 * 4 * d + 5


def test_kimi_vl_which_is_published_with_code_of_its_own_has_a_moonvit_beside_deepseeks_layers():
    config = {
        "model_type": "kimi_vl",
        "text_config": {
            **{"model_type": "deepseek_v3", "hidden_size": 2048, "intermediate_size": 11264, "q_lora_rank": None},
            **{"moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2, "num_attention_heads": 16},
            **{"num_experts_per_tok": 6, "num_hidden_layers": 27, "first_k_dense_replace": 1, "vocab_size": 163840},
            "tie_word_embeddings": False,
        },
        "vision_config": {
            **{"model_type": "moonvit", "hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16},
            **{"num_hidden_layers": 27, "patch_size": 14, "init_pos_emb_height": 64, "init_pos_emb_width": 64},
        },
    }
    # "Kimi-VL-A3B: 16B total" (arXiv 2504.07491): 16.4 B on its page
    assert read_config(config).model.parameters().value == pytest.approx(16.4e9, rel=0.005)


def test_beside_a_tower_that_is_not_known_only_the_language_model_is_counted_and_that_is_said():
    reading = read_config({"model_type": "llava", "vision_config": {"model_type": "no_such_tower", "hidden_size": 8}})
    assert reading.model == reading.model.language
    assert "language_part" in [note.id for note in reading.notes]


def test_a_tower_that_bears_the_models_own_name_is_its_own():
    # as HuggingFaceM4/idefics2-8b has it
    named = {"model_type": "idefics2", "vision_config": {"model_type": "idefics2", "num_hidden_layers": 2}}
    own = {"model_type": "idefics2", "vision_config": {"model_type": "idefics2_vision", "num_hidden_layers": 2}}
    assert read_config(named).model == read_config(own).model


MESSES = ([], "x", {"hidden_size": None}, {"num_hidden_layers": 10**8}, {"patch_size": [1, 2]}, {"depth": {}})


@pytest.mark.parametrize("model_type", sorted(TOWERS))
def test_any_tower_in_a_mess_is_refused_and_never_breaks(model_type):
    for key in ("vision_config", "audio_config", "encoder_config", "adapter_config", "sound_config"):
        for mess in MESSES:
            with contextlib.suppress(InputError):
                read_config({"model_type": model_type, key: mess})


LORA = {"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.1-8B", "r": 16}


def test_an_adapters_file_starts_from_its_base_model_with_its_rank_and_targets():
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    found = inputs_of_adapter(json.loads(json.dumps({**LORA, "target_modules": targets})))
    assert found == {"model": "Llama 3.1 8B", "lora_rank": 16, "lora_targets": "attention"}
    assert inputs_of_adapter({**LORA, "target_modules": "all-linear"})["lora_targets"] == "all"


@pytest.mark.parametrize("change", [{"base_model_name_or_path": "some/model"}, {"r": 10**6}, {"target_modules": ["x"]}])
def test_an_adapter_that_cannot_be_set_up_here_says_what_to_set(change):
    adapter = {**LORA, "target_modules": "all-linear", **change}
    with pytest.raises(InputError) as caught:
        inputs_of_adapter(adapter)
    assert adapter["base_model_name_or_path"] in str(caught.value)
    assert str(adapter["r"]) in str(caught.value)
