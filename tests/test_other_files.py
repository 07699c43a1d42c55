"""Files of a model's repository that are not its config.json: what a reader is told of them."""

from __future__ import annotations

import pytest

from llmcalc.errors import InputError
from llmcalc.huggingface import read_config

FILES = {
    "model.safetensors.index.json": {"metadata": {"total_size": 1}, "weight_map": {}},
    "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "chat_template": ""},
    "tokenizer.json": {"version": "1.0", "added_tokens": [], "model": {}},
    "preprocessor_config.json": {"image_processor_type": "Qwen2VLImageProcessor"},
    "generation_config.json": {"_from_model_config": True, "eos_token_id": 2},
    "params.json": {"dim": 4096, "n_layers": 32, "n_heads": 32},
}


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_no_config_is_called_by_its_name(file):
    with pytest.raises(InputError, match="and the shape is in the config") as raised:
        read_config(FILES[file])
    assert raised.value.details["file"] == file


def test_modelopts_file_says_in_which_format_the_weights_are():
    # nvidia/DeepSeek-V3.1-NVFP4, hf_quant_config.json
    stored = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head"]}
    file = {"producer": {"name": "modelopt", "version": "0.33.0"}, "quantization": stored}
    with pytest.raises(InputError, match="stored in NVFP4") as raised:
        read_config(file)
    assert raised.value.details["format"] == "NVFP4"


def test_what_modelopts_file_says_counts_where_the_config_has_it():
    # NVIDIA's first files have it in hf_quant_config.json alone
    config = {"model_type": "llama", "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    reading = read_config(config)
    assert reading.quantization.format == "fp8"
    assert read_config(reading.used).model == reading.model


DRAFTS = (
    {"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": 32000},
    {"model_type": "qwen3", "architectures": ["DFlashDraftModel"], "dflash_config": {"target_layer_ids": [1, 16]}},
    {"model_type": "qwen3_5_mtp", "hidden_size": 5120},
    {"model_type": "eagle", "model": {"model_type": "llama"}},
    {"speculators_model_type": "eagle3", "transformer_layer_config": {"model_type": "llama"}},
    {"medusa_num_heads": 5, "medusa_num_layers": 1, "base_model_name_or_path": "lmsys/vicuna-7b-v1.3"},
)


@pytest.mark.parametrize("config", DRAFTS, ids=lambda config: next(iter(config.values())))
def test_a_draft_is_refused_since_its_layers_read_another_models_states(config):
    # SpecForge's configs of EAGLE-3 and DFlash, and others as their libraries write them
    with pytest.raises(InputError, match="draft for speculative decoding") as raised:
        read_config(config)
    assert raised.value.code == "draft"
