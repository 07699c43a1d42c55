"""Every family with random small dimensions and flags: the real transformers model against ours, difference 0."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from count import count
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmcalc.huggingface import read_config
from llmcalc.huggingface.families import FAMILIES

ROWS = json.loads(resources.files("llmcalc.huggingface").joinpath("defaults.json").read_text())["families"]
TESTED = sorted(set(FAMILIES) & set(CONFIG_MAPPING))
# Settings that we refuse, or that say nothing of the shape
LEFT_ALONE = {"deberta-v2": {"legacy"}}
NEED_HEAD_DIM = {"hunyuan_v1_dense", "hunyuan_v1_moe", "ministral", "nemotron", "dbrx"}
SIZES = st.integers(1, 40)
SPECIAL = {
    "first_k_dense_replace": st.integers(0, 3),
    "num_dense_layers": st.integers(0, 3),
    "n_shared_experts": st.integers(1, 3),
    "num_shared_experts": st.integers(1, 3),
    "moe_num_shared_experts": st.integers(0, 2),
    "decoder_sparse_step": st.integers(1, 3),
    "encoder_sparse_step": st.integers(1, 3),
    "interleave_moe_layer_step": st.integers(1, 3),
    "moe_layer_interval": st.integers(1, 2),
    "num_sparse_encoder_layers": st.integers(0, 1),
    "num_sparse_decoder_layers": st.integers(0, 1),
    "shared_intermediate_size": st.integers(0, 20),
    "shared_expert_intermediate_size": SIZES,
    "type_vocab_size": st.integers(1, 4),
    "relative_attention_num_buckets": st.sampled_from([4, 8, 32]),
    "kv_lora_rank": SIZES,
    "q_lora_rank": st.none() | SIZES,
    "qk_nope_head_dim": st.sampled_from([4, 8, 16]),
    "qk_rope_head_dim": st.sampled_from([4, 8]),
    "v_head_dim": st.sampled_from([4, 8, 16]),
    "feed_forward_proj": st.sampled_from(["relu", "gated-gelu", "gated-silu"]),
    "encoder_attention_type": st.sampled_from(["local", "transient-global"]),
    "word_embed_proj_dim": st.none() | st.sampled_from([8, 16, 24]),
    "embedding_size": st.sampled_from([8, 16, 24]),
    "input_embedding_size": SIZES,
    "output_embedding_size": SIZES,
    "intermediate_multiple_size": st.integers(1, 5),
    "num_hidden_groups": st.integers(1, 2),
    "inner_group_num": st.integers(1, 2),
    "num_ln_in_parallel_attn": st.none() | st.integers(1, 2),
    "position_buckets": st.integers(4, 16),
    "pos_att_type": st.sampled_from([None, ["p2c", "c2p"], ["c2p"]]),
    "mlp_only_layers": st.sampled_from([None, [0], [1, 2]]),
}


@st.composite
def configs(draw, model_type):
    family, row = FAMILIES[model_type], ROWS[FAMILIES[model_type].defaults_of or model_type]
    defaults, names = row["defaults"], family.names
    config = {"model_type": model_type}
    d_head = draw(st.sampled_from([4, 8, 16]))
    n_kv_heads, group = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 2, 3]))
    n_heads = n_kv_heads * group
    free_head = "d_head" in names and names["d_head"] in defaults and draw(st.booleans())
    sizes = {
        "d_model": draw(st.sampled_from([8, 24, 48])) * n_heads if free_head else n_heads * d_head,
        "n_heads": n_heads, "n_decoder_heads": n_heads, "n_kv_heads": n_kv_heads, "d_head": d_head,
        "n_layers": draw(st.integers(1, 6)), "n_decoder_layers": draw(st.integers(1, 4)),
        "d_ff": draw(SIZES), "d_decoder_ff": draw(SIZES), "d_expert": draw(SIZES),
        "vocab_size": draw(st.integers(110, 200)), "n_positions": draw(st.integers(8, 64)),
        "n_experts": draw(st.integers(2, 6)), "top_k": draw(st.integers(1, 2)),
    }  # fmt: skip
    for name, key in names.items():
        if (
            name == "d_head"
            and not free_head
            and model_type not in ("t5", "mt5", "umt5", "longt5", "switch_transformers")
        ):
            continue
        if key in defaults or name in ("d_head",):
            config[key] = sizes[name]
    for key, strategy in SPECIAL.items():
        if key in defaults:
            config[key] = draw(strategy)
    for key, value in defaults.items():
        if isinstance(value, bool) and key not in LEFT_ALONE.get(model_type, ()) and draw(st.booleans()):
            config[key] = not value
    return config


def make_buildable(config):
    """Settings that the real class needs and that do not change what is counted, and those it cannot have."""
    kind = config["model_type"]
    config["pad_token_id"] = 0
    if config.get("add_cross_attention") and "is_decoder" in ROWS[kind]["defaults"]:
        config["is_decoder"] = True
    if kind == "internlm3":
        config["mlp_bias"] = config.get("attention_bias", False)
    if config.get("add_cross_attention") and kind == "gpt_bigcode":
        config["multi_query"] = False
    if "attention_types" in ROWS[kind]["defaults"]:
        config["attention_types"] = [[["global", "local"], config["num_layers"]]]
        config["num_layers"] *= 2
    if kind == "albert":
        config["num_hidden_layers"] = config["num_hidden_groups"] * config["num_hidden_layers"]
    if "max_window_layers" in ROWS[kind]["defaults"]:
        config["max_window_layers"] = 2
    if kind == "deberta-v2" and not config.get("relative_attention"):
        config.pop("position_buckets", None)
    if kind == "helium" or (kind in NEED_HEAD_DIM and "head_dim" not in config):
        config["head_dim"] = config["hidden_size"] // config["num_attention_heads"]
    return config


@pytest.mark.parametrize("task", ["language model", "base", "pretraining"])
@pytest.mark.parametrize("model_type", TESTED)
def test_a_random_model_of_each_family_has_as_many_parameters_as_the_real_one(model_type, task):
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(configs(model_type))
    def compare(config):
        config = make_buildable(config)
        try:
            real = count(config, task)
        except LookupError as error:
            pytest.skip(str(error))
        except (ValueError, TypeError, AttributeError, NotImplementedError, ZeroDivisionError, AssertionError):
            reject()  # transformers itself refuses this combination
        config["architectures"] = [real["class_name"]]
        ours = read_config(config)
        assume(not any(notice.id == "other_head" for notice in ours.warnings))
        got = {name: q.value for name, q in ours.model.components().items()}
        assert (got, config) == (real["components"], config)
        assert ours.model.parameters().value == real["total"]
        assert ours.model.active_parameters().value == real["active"]

    compare()
