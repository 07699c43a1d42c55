"""Published models from their Hub configs: exactly what their own classes have, and laws over all of them."""

from __future__ import annotations

import json
import re

import pytest
from golden_files import csv_rows
from laws import for_each

from llmcalc import Dimensions, InputError, from_config, override, read_config
from llmcalc.accuracy.counted_models import counted_models
from llmcalc.bases import LIBRARY, base, compact
from llmcalc.catalog.models import groups, model, models
from llmcalc.configuration import Configuration
from llmcalc.huggingface.families import FAMILIES
from llmcalc.inputs import MODELS, PASTED
from llmcalc.quantity import Quantity
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import active_parameters

COUNTED = counted_models()
every_model = for_each("id", models())


def of(id: str, **dimensions: int) -> Model:
    return from_config(override(model(id).config, **dimensions))


def values(quantities: dict[str, Quantity]) -> dict[str, int]:
    return {name: quantity.value for name, quantity in quantities.items()}


# What the real classes have


@every_model
def test_a_published_model_has_as_many_parameters_as_its_own_class(id):
    assert from_config(model(id).config).parameters().value == COUNTED[id].total


@every_model
def test_each_component_has_as_many_parameters_as_in_its_own_class(id):
    assert values(from_config(model(id).config).components()) == COUNTED[id].components


@every_model
def test_as_many_parameters_are_active_as_in_its_own_class(id):
    assert from_config(model(id).config).active_parameters().value == COUNTED[id].active


def test_the_golden_file_has_every_model_of_the_library_and_says_what_counted_it():
    assert COUNTED.keys() == models().keys()
    assert all(
        re.fullmatch(r"\d+\.\d+\.\d+", version) for row in COUNTED.values() for version in (row.torch, row.transformers)
    )


def test_the_published_number_is_the_count_wherever_one_is_published():
    stated = {id: row.published for id, row in models().items() if row.published is not None}
    assert len(stated) > 80
    assert {id: from_config(model(id).config).parameters().value for id in stated} == stated


def test_deepseek_v3_leaves_out_its_router_biases_which_are_buffers():
    reading = read_config(model("deepseek-v3").config)
    assert reading.model.parameters().value == 671_026_404_352
    (note,) = (note for note in reading.notes if note.id == "router_buffers")
    assert note.details["buffers"] == 58 * 256 == 14_848


@pytest.mark.parametrize(
    ("id", "total", "active"),
    [
        # 32 layers of 8 experts of 3 × 4096 × 14336, of which a token uses 2: six idle ones a layer
        ("mixtral-8x7b", 46_702_792_704, 46_702_792_704 - 32 * 6 * 3 * 4096 * 14336),
        # 58 layers of 256 experts of 3 × 7168 × 2048, 8 used
        ("deepseek-v3", 671_026_404_352, 671_026_404_352 - 58 * 248 * 3 * 7168 * 2048),
    ],
)
def test_all_but_the_idle_experts_are_active(id, total, active):
    assert of(id).parameters().value == total
    assert of(id).active_parameters().value == active


# The cache of keys and values

CACHED = {
    "GPT-3 175B": "gpt-3-175b",
    "Llama-2-7B": "llama-2-7b",
    "Llama-2-13B": "llama-2-13b",
    "Llama-2-70B": "llama-2-70b",
    "Llama-3.1-8B": "llama-3.1-8b",
    "Llama-3.1-70B": "llama-3.1-70b",
    "Llama-3.1-405B": "llama-3.1-405b",
    "Mistral-7B": "mistral-7b-v0.1",
    "Falcon-7B (MQA)": "falcon-7b",
    "Qwen2.5-72B": "qwen2.5-72b",
}


@pytest.mark.parametrize("row", [r for r in csv_rows("kv_cache_per_token.csv") if r["model"] in CACHED], ids=str)
def test_keys_and_values_of_a_token_take_the_published_bytes(row):
    elements = of(CACHED[row["model"]]).kv_elements_per_token().value
    assert (2 * elements, elements) == (int(row["bytes_bf16"]), int(row["bytes_fp8"]))


@pytest.mark.parametrize(("id", "layers"), [("deepseek-v3", 61), ("deepseek-v2", 60)])
def test_latent_attention_keeps_512_channels_and_a_rotary_key_of_64_in_each_layer(id, layers):
    assert of(id).kv_elements_per_token().value == layers * (512 + 64)


def test_a_window_bounds_the_cache():
    mistral = of("mistral-7b-v0.1")
    assert mistral.kv_cache_elements(seq_len=4096).value == mistral.kv_cache_elements(seq_len=10**6).value
    # Gemma 3 1B: 22 of 26 layers see 512 tokens, each with one key and one value of 256
    assert of("gemma-3-1b").kv_cache_elements(seq_len=10_000).value == 2 * 256 * (22 * 512 + 4 * 10_000)


def test_an_encoder_caches_nothing_and_cross_attention_keeps_the_source():
    assert of("bert-base").kv_cache_elements(seq_len=512).value == 0
    # T5 small: 6 decoder layers, 8 heads of 64, keys and values, 10 tokens so far and 100 of source
    assert of("t5-small").kv_cache_elements(seq_len=10, source_len=100).value == 2 * 8 * 64 * 6 * (10 + 100)


# Laws


def parts_add_up(quantity: Quantity) -> None:
    for _, q in quantity.walk():
        if q.is_total:
            assert q.value == sum(part.value for part in q.parts)


@every_model
def test_parts_add_up_and_everything_is_a_python_int(id):
    found = from_config(model(id).config)
    for quantity in (found.parameters(), found.active_parameters(), found.kv_elements_per_token()):
        parts_add_up(quantity)
        # a cache that keeps one entry of several tokens has a share of it for each
        shared = any(getattr(part, "compress_rate", None) for part in found.parts)
        assert type(quantity.value) is int or (shared and quantity.id == found.kv_elements_per_token().id)
    assert sum(values(found.components()).values()) == found.parameters().value


@every_model
def test_layers_and_what_is_around_them_add_up_to_the_model(id):
    found = from_config(model(id).config)
    layers = sum(block.parameters().value for block in found.layers())
    around = sum(part.parameters().value for part in (*found.front, *found.back, *found.beside))
    assert len(found.layers()) == found.n_layers
    assert layers + around == found.parameters().value
    beside = sum(part.parameters().value for part in found.beside)
    tables, others = found.embedding_parameters().value, found.non_embedding_parameters().value
    assert tables + others + beside == found.parameters().value


@every_model
def test_no_more_is_active_than_there_is_and_less_only_with_experts(id):
    found = from_config(model(id).config)
    total, active = found.parameters().value, found.active_parameters().value
    assert 0 < active <= total
    total -= sum(part.parameters().value for part in found.beside)  # no token of text goes through a tower
    assert (active < total) == ("experts" in found.components())
    for block, _ in found.blocks:
        for part in block.parts:
            assert active_parameters(part).value <= part.parameters().value


@every_model
def test_one_more_layer_or_a_larger_vocabulary_never_needs_less(id):
    found = of(id)
    sizes = read_config(model(id).config).dimensions
    for name in ("n_layers", "vocab_size", "d_ff"):
        if name in sizes:
            larger = of(id, **{name: sizes[name] + 1})
            assert larger.parameters().value >= found.parameters().value
    if "n_layers" in sizes:
        larger = of(id, n_layers=sizes["n_layers"] + 1)
        assert larger.kv_elements_per_token().value >= found.kv_elements_per_token().value


# Reading


@every_model
def test_the_keys_that_were_used_read_the_same_again(id):
    reading = read_config(model(id).config)
    assert read_config(reading.used).model == reading.model
    assert not reading.warnings


@every_model
def test_dimensions_written_back_change_nothing(id):
    config = model(id).config
    reading = read_config(config)
    assert from_config(override(config, **reading.dimensions)) == reading.model
    # a Nemotron-H config names its layers one by one, and has no number of them
    listed = {"n_layers"} if config["model_type"] == "nemotron_h" else set()
    assert {"d_model", "n_layers", "n_heads", "vocab_size"} - listed <= reading.dimensions.keys()


def test_an_overridden_dimension_is_the_dimension_of_the_model():
    config = override(model("llama-3.1-8b").config, n_layers=2, d_ff=100)
    assert config["num_hidden_layers"] == 2
    # 2 × (4096·128·(2·32 + 2·8) + 3·4096·100 + 2·4096) in the layers
    layer = 4096 * 128 * (2 * 32 + 2 * 8) + 3 * 4096 * 100 + 2 * 4096
    assert sum(block.parameters().value for block in from_config(config).layers()) == 2 * layer


def test_lists_of_one_entry_a_layer_follow_the_number_of_layers():
    config = {
        "model_type": "gemma3_text",
        "num_hidden_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    assert override(config, n_layers=3)["layer_types"] == ["sliding_attention", "full_attention", "sliding_attention"]


def test_a_list_that_says_the_same_of_every_layer_is_a_number_and_one_that_does_not_is_refused():
    # published so: Hunyuan A13B, 80 B of which a token goes through 13 B
    config = model("hunyuan-a13b").config
    assert config["moe_topk"] == [8] * 32
    alike = {**config, "moe_topk": 8, "num_experts": [64] * 32, "moe_intermediate_size": [3072] * 32}
    assert from_config(alike).active_parameters().value == from_config(config).active_parameters().value
    with pytest.raises(InputError) as caught:
        from_config({**config, "moe_topk": [8] * 31 + [4]})
    assert caught.value.input_id == "moe_topk"


def test_a_dimension_that_a_family_does_not_have_is_refused_by_its_name():
    with pytest.raises(InputError) as caught:
        override({"model_type": "gpt2"}, n_kv_heads=1)
    assert caught.value.input_id == "n_kv_heads"


def test_the_default_sliders_are_gpt2_as_its_config_says():
    assert Dimensions().model().parameters().value == from_config({"model_type": "gpt2"}).parameters().value


def test_what_a_file_omits_is_filled_in_as_the_config_class_does():
    assert from_config({"model_type": "llama"}).parameters().value == 6_738_415_616
    assert from_config({"model_type": "deepseek_v3"}).parameters().value == 671_026_404_352


def test_other_names_of_a_key_are_read_and_must_agree():
    assert from_config({"model_type": "gpt2", "num_hidden_layers": 24}) == from_config(
        {"model_type": "gpt2", "n_layer": 24}
    )
    with pytest.raises(InputError, match="must be equal"):
        from_config({"model_type": "gpt2", "num_hidden_layers": 24, "n_layer": 12})


def test_bloom_and_falcon_are_read_as_they_were_first_published():
    # bigscience/bloom of 2022, and tiiuae/falcon-7b and falcon-40b of May 2023
    bloom = {"model_type": "bloom", "n_embed": 14336, "n_layer": 70, "num_attention_heads": 112, "vocab_size": 250880}
    assert from_config(bloom).parameters().value == 176_247_271_424
    falcon = {"vocab_size": 65024, "bias": False, "alibi": False, "multi_query": True, "parallel_attn": True}
    small = {"model_type": "RefinedWebModel", "hidden_size": 4544, "n_layer": 32, "n_head": 71}
    large = {"model_type": "RefinedWeb", "hidden_size": 8192, "n_layer": 60, "n_head": 128, "n_head_kv": 8}
    assert from_config({**falcon, **small}).parameters().value == 6_921_720_704
    assert from_config({**falcon, **large}).parameters().value == 41_303_293_952


def test_the_class_decides_about_head_and_pooler():
    def bert(*architectures: str) -> dict[str, int]:
        config = {"model_type": "bert", "architectures": list(architectures)}
        return values(from_config(config).components())

    # a transform of 768² + 768, a norm of 2·768 and a bias for each of 30522 words
    assert bert("BertForMaskedLM")["head"] == 768 * 768 + 768 + 2 * 768 + 30522
    assert bert("BertModel")["pooler"] == 768 * 768 + 768
    assert "head" not in bert("BertModel")
    assert bert("BertForPreTraining").keys() >= {"head", "pooler"}


def test_a_class_with_another_head_is_counted_with_a_language_model_head_and_a_warning():
    reading = read_config({"model_type": "llama", "architectures": ["LlamaForImageGeneration"]})
    assert [warning.id for warning in reading.warnings] == ["other_head"]


def test_the_language_model_of_a_multimodal_one_is_counted_and_its_towers_beside_it():
    text = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "vocab_size": 262208}
    reading = read_config({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}})
    assert reading.model_type == "gemma3_text"
    assert reading.model.language.parameters().value == 3_880_263_168
    assert "towers" in [note.id for note in reading.notes]
    assert from_config(reading.used) == reading.model


def test_what_is_beside_a_language_model_and_not_modelled_is_said_to_be_left_out():
    text = {"model_type": "llama", "num_hidden_layers": 2}
    reading = read_config({"model_type": "no_such_model", "text_config": text, "vision_config": {"hidden_size": 1152}})
    assert "language_part" in [note.id for note in reading.notes]
    assert reading.model == from_config(text)


def test_a_dimension_of_the_language_model_inside_a_multimodal_one_can_be_overridden():
    config = {
        "model_type": "llava",
        "text_config": {"model_type": "llama", "num_hidden_layers": 2},
        "vision_config": {},
    }
    changed = override(config, n_layers=3)
    assert changed["text_config"]["num_hidden_layers"] == 3
    assert config["text_config"] == {"model_type": "llama", "num_hidden_layers": 2}
    assert from_config(changed).n_layers == 3


def test_whether_the_head_is_tied_is_for_the_multimodal_config_to_say():
    text = {"model_type": "qwen2", "num_hidden_layers": 1, "tie_word_embeddings": False}
    tied = from_config({"model_type": "internvl", "tie_word_embeddings": True, "text_config": text})
    assert "head" not in tied.components()
    assert "head" in from_config({"model_type": "internvl", "text_config": text}).components()


def test_a_config_without_a_class_is_counted_with_a_language_model_head_and_says_so():
    reading = read_config({"model_type": "bert"})
    assert "head" in reading.model.components()
    assert "assumed_head" in [note.id for note in reading.notes]


LLAMA_LIKE = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}


def test_an_unknown_model_type_with_the_keys_of_llama_is_counted_like_llama_with_a_warning():
    reading = read_config({"model_type": "no_such_model", **LLAMA_LIKE})
    assert reading.model.parameters().value == 6_738_415_616
    assert [warning.id for warning in reading.warnings] == ["like_llama"]


@pytest.mark.parametrize("key", LLAMA_LIKE)
def test_an_unknown_model_type_without_one_of_them_is_refused_by_the_name_of_the_key(key):
    config = {name: value for name, value in LLAMA_LIKE.items() if name != key}
    with pytest.raises(InputError) as caught:
        from_config({"model_type": "no_such_model", **config})
    assert caught.value.input_id == key


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({}, "model_type"),
        ({"model_type": "no_such_model", **LLAMA_LIKE, "num_experts": 8}, "num_experts"),
        ({"model_type": "no_such_model", **LLAMA_LIKE, "type_vocab_size": 2}, "type_vocab_size"),
        ({"model_type": "no_such_model", **LLAMA_LIKE, "layer_types": ["conv"] * 32}, "layer_types"),
        ({"model_type": "llama", "hidden_size": "4096"}, "hidden_size"),
        ({"model_type": "llama", "hidden_size": True}, "hidden_size"),
        ({"model_type": "llama", "hidden_size": -1}, "hidden_size"),
        ({"model_type": "llama", "hidden_size": 4096.0}, "hidden_size"),
        ({"model_type": "llama", "num_attention_heads": 31}, "num_attention_heads"),
        ({"model_type": "llama", "num_key_value_heads": 5}, "num_key_value_heads"),
        ({"model_type": "llama", "attention_bias": "no"}, "attention_bias"),
        ({"model_type": "llama", "num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"model_type": "gemma2", "layer_types": ["full_attention"]}, "layer_types"),
        ({"model_type": "gemma2", "num_hidden_layers": 1, "layer_types": ["mamba"]}, "layer_types"),
        ({"model_type": "mixtral", "num_experts_per_tok": 9}, "num_experts_per_tok"),
        ({"model_type": "deepseek_v3", "n_group": 3, "topk_group": 4}, "topk_group"),  # a token chooses 4 groups of 3
        ({"model_type": "jamba", "attn_layer_period": 4, "attn_layer_offset": 9}, "attn_layer_offset"),
        ({"model_type": "jamba", "expert_layer_period": 2, "expert_layer_offset": 2}, "expert_layer_offset"),
        ({"model_type": "gemma3", "text_config": "junk"}, "text_config"),
        ({"model_type": ["llama"]}, "model_type"),
        ({"model_type": "llama", "architectures": "LlamaForCausalLM"}, "architectures"),
    ],
)
def test_a_wrong_config_is_refused_by_the_name_of_the_key(config, key):
    with pytest.raises(InputError) as caught:
        from_config(config)
    assert caught.value.input_id == key


@pytest.mark.parametrize("config", [None, [], "gpt2", 3, {1: 2}])
def test_what_is_no_json_object_is_refused(config):
    with pytest.raises(InputError):
        read_config(config)


# The library


def test_the_library_has_more_than_a_hundred_models_each_with_source_and_year():
    assert len(models()) >= 160
    assert len(groups()) >= 20
    assert sum(map(len, groups().values())) == len(models())
    names = [row.name for row in models().values()]
    assert sorted(set(names)) == sorted(names)
    for row in models().values():
        assert row.source.startswith("arXiv:") or re.fullmatch(r"https://huggingface\.co/\S+[^\s,.]", row.source)
        assert 2017 <= row.year <= 2026


def test_a_model_that_the_library_does_not_have_is_refused_with_what_is_alike():
    with pytest.raises(InputError) as caught:
        model("gpt2-huge")
    assert "gpt2-xl" in caught.value.suggestions


WITHOUT_DEFAULTS = {
    "vanilla_transformer": "d_model",
    "deepseek_v2": "num_experts_per_tok",
    "RefinedWeb": "n_layer",
    "RefinedWebModel": "n_layer",
    "baichuan": "hidden_size",
    "chatglm": "hidden_size",
    "deepseek": "hidden_size",
    "internlm": "hidden_size",
    "internlm2": "hidden_size",
    "nemotron-nas": "hidden_size",
    "qwen": "hidden_size",
    **dict.fromkeys(("aquila", "xverse", "orion", "yuan", "minicpm", "minicpmv", "molmo"), "hidden_size"),
    **dict.fromkeys(("exaone", "bailing_moe", "bailing_moe_v2", "dots_ocr", "phi3small"), "hidden_size"),
    **{"llada": "d_model", "openelm": "model_dim"},
    "PanguEmbedded": "hidden_size",
    "qwen4_exp_text": "indexer_budget",  # its class cannot be built of its defaults
}


@pytest.mark.parametrize(("model_type", "key"), WITHOUT_DEFAULTS.items())
def test_a_family_whose_class_fills_in_no_size_names_the_key(model_type, key):
    with pytest.raises(InputError) as caught:
        from_config({"model_type": model_type})
    assert caught.value.input_id == key


@for_each("model_type", sorted(FAMILIES.keys() - WITHOUT_DEFAULTS.keys()))
def test_a_family_can_be_counted_from_its_defaults_alone(model_type):
    assert from_config({"model_type": model_type}).parameters().value > 10**6


# What is published of how far they see

PUBLISHED = {row["model"]: row for row in csv_rows("published_contexts.csv")}
SILENT = {"context": "", "window": ""}


@every_model
def test_a_context_or_a_window_is_the_published_one_or_none_is_told(id):
    row = model(id)
    reading, printed = read_config(row.config), PUBLISHED.get(row.name, SILENT)
    tables = {part.n_positions for part in reading.model.front if isinstance(part, LearnedPositions)}
    shown = base(row.name).values["n_positions"] if row.name in LIBRARY else reading.dimensions.get("n_positions")
    if not tables:  # a table of learned positions is as long as its parameters say
        assert shown == (int(printed["context"]) if printed["context"] else None)
    windows = {part.window for block in reading.model.layers() for part in block.parts if getattr(part, "window", None)}
    assert windows == ({int(printed["window"])} if printed["window"] else set())


@for_each("row", csv_rows("published_shapes.csv"), ids=lambda row: row["model"])
def test_the_sizes_of_a_row_are_those_that_others_read_in_the_published_config(row):
    given = next(each.config for each in models().values() if each.name == row["model"])
    sizes = read_config(given).dimensions
    read = {name: int(row[name]) for name in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "vocab_size")
            if row[name]}  # fmt: skip
    assert {name: sizes.get(name, size) for name, size in read.items()} == read


@for_each("row", PUBLISHED.values(), ids=lambda row: row["model"])
def test_what_is_published_says_where(row):
    for what in ("context", "window"):
        assert bool(row[what]) == row[f"{what}_source"].startswith("https://")


@pytest.mark.parametrize(
    ("id", "layers"), [("mistral-7b-v0.3", 32), ("mistral-nemo-12b", 40), ("mistral-small-24b", 40)]
)
def test_a_mistral_published_without_a_window_caches_every_token(id, layers):
    # a key and a value of 128 for each of 8 heads
    assert of(id).kv_cache_elements(seq_len=32_768).value == 32_768 * layers * 2 * 8 * 128


def test_a_mistral_7b_caches_for_every_token_what_an_engine_prints():
    # vLLM's log: 66.87 GiB of cache are 547,776 tokens of a Mistral 7B, in 16 bits (vllm-project/vllm issue 19964)
    cached = of("mistral-7b-v0.3").kv_cache_elements(seq_len=547_776).value
    assert cached * 2 / 2**30 == pytest.approx(66.87, abs=0.005)


def test_a_config_that_does_not_say_its_context_has_none():
    assert "n_positions" not in read_config({"model_type": "llama"}).dimensions
    assert read_config({"model_type": "llama", "max_position_embeddings": 77}).dimensions["n_positions"] == 77


# Published configs under names of their own, against arithmetic on the classes that serve them

KIMI_K3 = {
    "model_type": "kimi_linear",
    "hidden_size": 7168,
    "intermediate_size": 33792,
    "num_hidden_layers": 93,
    "num_attention_heads": 96,
    "num_key_value_heads": 96,
    "vocab_size": 163840,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "mla_use_output_gate": True,
    "num_experts": 896,
    "num_experts_per_token": 16,
    "num_shared_experts": 2,
    "moe_intermediate_size": 3072,
    "routed_expert_hidden_size": 3584,
    "latent_moe_use_norm": True,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "attn_res_block_size": 12,
    "linear_attn_config": {
        "full_attn_layers": [*range(4, 93, 4), 93],
        "kda_layers": [i for i in range(1, 93) if i % 4],
        "head_dim": 128,
        "num_heads": 96,
        "short_conv_kernel_size": 4,
        "use_full_rank_gate": True,
    },
}


def test_kimi_k3_has_narrow_experts_gates_and_attention_residuals():
    # as the class has them that SGLang serves it with
    d, inner = 7168, 96 * 128
    delta = 5 * d * inner + 3 * 4 * inner + 128 * (d + inner) + 96 * d + 96 + inner + 128
    latent = d * (1536 + 576 + 2 * inner) + 1536 * 96 * 192 + 512 * 96 * 256 + 1536 + 512
    mixture = 896 * 3 * 3584 * 3072 + 2 * d * 3584 + 3584 + 896 * d + 3 * d * 6144
    around = 93 * 6 * d + 3 * d + 2 * 163840 * d  # two norms, and a norm and a query for each of two residuals a layer
    total = 69 * delta + 24 * latent + 92 * mixture + 3 * d * 33792 + around
    assert from_config(KIMI_K3).parameters().value == total
    assert from_config(KIMI_K3).active_parameters().value == total - 92 * (896 - 16) * 3 * 3584 * 3072


def test_mimo_7b_is_qwen2_and_a_layer_that_predicts_one_more_token():
    sizes = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 36, "vocab_size": 151680}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "attention_bias": True}
    reading = read_config(
        {"model_type": "mimo", **sizes, **heads, "num_nextn_predict_layers": 1, "tie_word_embeddings": False}
    )
    layer = 4096 * 128 * (2 * 32 + 2 * 8) + 128 * (32 + 2 * 8) + 3 * 4096 * 11008 + 2 * 4096
    assert reading.model.parameters().value == 2 * 151680 * 4096 + 36 * layer + 4096
    # a norm of the token, one of the hidden state, one at the end, and a projection of both
    (ahead,) = reading.left_out
    assert ahead.parameters().value == layer + 3 * 4096 + 2 * 4096 * 4096
    assert not reading.warnings


@pytest.mark.parametrize(("name", "id"), [("deepseek_ref", "deepseek-v4-flash"), ("minimax_m3", "minimax-m3")])
def test_a_family_is_read_under_the_other_name_that_it_is_published_under(name, id):
    assert from_config({**model(id).config, "model_type": name}) == from_config(model(id).config)


def test_a_config_that_lists_its_layers_one_by_one_fits_a_link():
    # Llama-3.3-Nemotron-Super-49B-v1: 80 layers, each with 12 keys, most of them null or false
    unused = {"num_sink_tokens": None, "replace_with_linear": False, "sparsify": None, "unshifted_sink": False}
    attention = {"n_heads_in_group": 8, "no_op": False, "window_length": None, **unused}
    attention |= {"use_prefill_window_in_sink_attention": False}
    network = {"ffn_mult": 2.625, "no_op": False, "replace_with_linear": False, "sparsify": None}
    sizes = {"hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "vocab_size": 128256}
    layers = [
        {"attention": attention, "ffn": network},
        {"attention": {**attention, "no_op": True}, "ffn": network},
    ] * 40
    config = {"model_type": "nemotron-nas", **sizes, "intermediate_size": None, "block_configs": layers}
    assert len(json.dumps(config)) > 20_000
    assert from_config(json.loads(compact(config))) == from_config(config)


def test_where_kernels_of_their_own_would_keep_less_the_step_says_which_code_it_is_of():
    for model_type, said in (
        ("qwen3_next", True),
        ("granitemoehybrid", True),
        ("gemma4_text", False),
        ("llama", False),
    ):
        notes = [note.id for note in read_config({"model_type": model_type}).notes]
        assert ("without_kernels" in notes) is said


def test_a_token_never_chooses_more_experts_than_there_are():
    families = {}
    for name in MODELS:
        if name != PASTED and base(name).model(base(name).values).mixtures and "top_k" not in base(name).fixed:
            families.setdefault(base(name).family, name)
    assert len(families) > 20
    for name in families.values():
        start = base(name)
        values = {**start.values, "top_k": 20_000}
        with pytest.raises(InputError) as refused:
            start.model(values)
        told = Configuration({"model": name, "top_k": 20_000})
        assert [problem.input_id for problem in told.contradictions] == ["top_k"], name
        assert told.model == start.model(start.values), refused
