"""What a config says of how its file's weights are quantised, and how many bytes the file then has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from golden_files import csv_rows, jsonl_rows

from llmcalc.bases import base
from llmcalc.catalog.models import model
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.huggingface import read_config
from llmcalc.inputs import PASTED
from llmcalc.stored.weights import stored_weights

GPT_OSS = {
    **{"model_type": "gpt_oss", "num_experts_per_tok": 4, "hidden_size": 2880, "intermediate_size": 2880},
    **{"head_dim": 64, "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 201088},
    "tie_word_embeddings": False,
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            *("model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head")
        ],
    },
}
SIZES = {
    "gpt-oss 20B": {"num_hidden_layers": 24, "num_local_experts": 32},
    "gpt-oss 120B": {"num_hidden_layers": 36, "num_local_experts": 128},
}
DEEPSEEK_R1 = {
    **{"model_type": "deepseek_v3", "num_nextn_predict_layers": 1},
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}
KIMI_K2_THINKING = {
    **{"model_type": "kimi_k2", "n_routed_experts": 384, "num_attention_heads": 64, "first_k_dense_replace": 1},
    **{"num_experts_per_tok": 8, "vocab_size": 163840},
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True},
            }
        },
        "ignore": [
            *("lm_head", "re:.*self_attn.*", "re:.*shared_experts.*"),
            r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
        ],
    },
}


OF_GPT_OSS = [row for row in csv_rows("published_checkpoints.csv") if row["model"] in SIZES]


@pytest.mark.parametrize("row", OF_GPT_OSS, ids=lambda row: row["model"])
def test_a_published_file_of_gpt_oss_is_read_with_its_size_to_the_byte(row):
    reading = read_config({**GPT_OSS, **SIZES[row["model"]]})
    assert reading.quantization.format == row["format"]
    assert stored_weights(reading.model, row["format"]).value == int(row["total_bytes"])


@pytest.mark.parametrize("row", jsonl_rows("checkpoints.jsonl"), ids=lambda row: row["source"].split("/")[4])
def test_a_published_config_says_how_many_bytes_its_checkpoint_has(row):
    # AutoGPTQ's has zeros, scales and an index of groups for the rows of every matrix; all others agree to 0.003 %
    reading = read_config(row["config"])
    format = reading.quantization.format if reading.quantization else row["format"]
    assert format == row["format"]
    assert stored_weights(reading.model, format).value == pytest.approx(row["bytes"], rel=0.001)
    assert reading.warnings == ()


@pytest.mark.parametrize("id", ["kimi-k2.6", "kimi-k2.7-code"])
def test_kimis_later_models_are_stored_in_the_four_bits_that_they_are_published_in(id):
    # K2.6's model card: "the same native int4 quantization method as Kimi-K2-Thinking", that of K2.5's config too, and
    # about 594 GB on disk (shipboardai.com/blog/kimi-k2-6-native-int4-on-vessel). K2.7 Code's experts are int4 "like
    # Kimi-K2.6" and all else is BF16 (unsloth.ai/docs/models/kimi-k2.7-code). Their own config files were not at hand
    reading = read_config(model(id).config)
    assert reading.quantization.format == "int4 g32 scale"
    assert stored_weights(reading.model, "int4 g32 scale").value == pytest.approx(594e9, rel=0.005)


def test_mlx_lists_modules_in_another_format_and_single_layers_of_them():
    small = {"model_type": "qwen3", "num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 512}
    small |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 1000}
    named = {"lm_head": {"bits": 8, "group_size": 64}, "model.embed_tokens": {"bits": 6, "group_size": 64}}
    named |= {f"model.layers.{i}.mlp.down_proj": {"bits": 8, "group_size": 64} for i in (0, 3)}
    config = {**small, "quantization": {"bits": 4, "group_size": 64, **named, "model.layers.1.mlp.up_proj": False}}
    reading = read_config(config)
    attention, matrix, table = 4 * (2 * 256**2 + 2 * 256 * 128), 256 * 512, 1000 * 256
    bits = 4.5 * (attention + 9 * matrix) + 8.5 * (2 * matrix + table) + 6.5 * table + 16 * matrix
    norms = 4 * (2 * 256 + 2 * 64) + 256
    assert stored_weights(reading.model, "MLX int4 g64").value == bits / 8 + 2 * norms
    assert read_config(reading.used).model == reading.model


def test_deepseek_r1_in_fp8_has_the_size_of_its_repository():
    # the repository's files, with the layer that predicts one more token: 689 GB
    # (huggingface.co/deepseek-ai/DeepSeek-R1)
    reading = read_config(DEEPSEEK_R1)
    whole = replace(reading.model, beside=reading.left_out)
    assert stored_weights(whole, reading.quantization.format).value == pytest.approx(689e9, rel=0.001)


def test_only_the_routed_experts_of_kimi_k2_thinking_are_quantised():
    # 384 experts in each of 60 layers in 4 bits, with a scale of 16 bits for every 32; all else in 16 bits
    reading = read_config(KIMI_K2_THINKING)
    experts = 60 * 384 * 3 * 7168 * 2048
    size = experts * (4 + 16 / 32) / 8 + 2 * (reading.model.parameters().value - experts)
    assert reading.quantization.left == {"attention", "feed_forward", "shared_experts"}
    assert stored_weights(reading.model, reading.quantization.format).value == pytest.approx(size, rel=1e-5)


def mixed(layers: dict[str, str], ignored: tuple[str, ...] = ()) -> dict:
    listed = {name: {"quant_algo": algorithm} for name, algorithm in layers.items()}
    return {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": listed, "ignore": ignored}


def names(layers: Iterable[int], of: str, leaves: str, root: str = "model.language_model") -> Iterator[str]:
    return (f"{root}.layers.{i}.{of}.{leaf}" for i in layers for leaf in leaves.split())


def qwen36_27b() -> dict:
    # as NVIDIA publishes it: linear attention and attention in fp8, the rest of the layers and the head in NVFP4
    config = model("qwen3.6-27b-whole").config
    attends = [i for i in range(64) if i % 4 == 3]
    recurs = [i for i in range(64) if i % 4 < 3]
    listed = dict.fromkeys(names(recurs, "linear_attn", "in_proj_qkv in_proj_z out_proj"), "FP8")
    listed |= dict.fromkeys(names(attends, "self_attn", "q_proj k_proj v_proj o_proj"), "FP8")
    listed |= dict.fromkeys([*names(range(64), "mlp", "gate_proj up_proj down_proj"), "lm_head"], "W4A16_NVFP4")
    return {**config, "quantization_config": mixed(listed, ("mtp*", "mtp.layers.0*"))}


def qwen36_35b() -> dict:
    # as NVIDIA publishes it: attention of both kinds in fp8, all experts and the head in NVFP4
    listed = dict.fromkeys(
        names((i for i in range(40) if i % 4 < 3), "linear_attn", "in_proj_qkv in_proj_z out_proj"), "FP8"
    )
    listed |= dict.fromkeys(names(range(3, 40, 4), "self_attn", "q_proj k_proj v_proj o_proj"), "FP8")
    listed |= dict.fromkeys(names(range(40), "mlp.shared_expert", "gate_proj up_proj down_proj"), "W4A16_NVFP4")
    listed |= dict.fromkeys([*names(range(40), "mlp", "experts"), "lm_head"], "W4A16_NVFP4")
    config = model("qwen3.6-35b-a3b-whole").config
    return {**config, "quantization_config": mixed(listed, ("mtp*", "mtp.layers.0*"))}


def minimax_m3() -> dict:
    # as NVIDIA publishes it: experts in NVFP4, all other linear layers in MXFP8
    root = "language_model.model"
    listed = dict.fromkeys(names(range(60), "self_attn", "q_proj k_proj v_proj o_proj", root), "MXFP8")
    listed |= dict.fromkeys(names(range(3, 60), "self_attn", "index_q_proj index_k_proj", root), "MXFP8")
    listed |= dict.fromkeys(names(range(3), "mlp", "gate_proj up_proj down_proj", root), "MXFP8")
    of = "block_sparse_moe.shared_experts"
    listed |= dict.fromkeys(names(range(3, 60), of, "gate_proj up_proj down_proj", root), "MXFP8")
    listed |= dict.fromkeys(names(range(3, 60), "block_sparse_moe.experts.0", "w1 w2 w3", root), "NVFP4")
    return {**model("minimax-m3-whole").config, "quantization_config": mixed(listed, ("lm_head",))}


@pytest.mark.parametrize(
    ("config", "with_prediction", "size"),
    [
        # "21.9 GB, full VLM", its layer for multi-token prediction kept unquantized: noonghunna/club-3090, pull 603
        (qwen36_27b(), True, 21.9e9),
        # "NVFP4 expert FFNs + FP8 attention + unquantized MTP head, 23.4 GB": noonghunna/club-3090, pull 607
        (qwen36_35b(), True, 23.4e9),
        # "the mixed-precision checkpoint is 250.1 GB on disk", without such layers: vllm-project/recipes, pull 678
        (minimax_m3(), False, 250.1e9),
    ],
    ids=("Qwen3.6 27B NVFP4", "Qwen3.6 35B A3B NVFP4", "MiniMax-M3 NVFP4"),
)
def test_a_file_of_mixed_precision_has_the_size_that_is_published(config, with_prediction, size):
    reading = read_config(config)
    assert reading.quantization.format == "NVFP4"
    assert any(note.id == "quantized_mixed" for note in reading.notes)
    more = reading.left_out if with_prediction else ()
    whole = replace(reading.model, beside=(*reading.model.beside, *more))
    assert stored_weights(whole, "NVFP4").value == pytest.approx(size, rel=0.001)
    again = read_config(reading.used)
    assert (again.model, again.quantization.others) == (reading.model, reading.quantization.others)


def test_what_is_said_of_all_of_attention_is_said_of_the_indexer_within():
    # nvidia/GLM-5.2-NVFP4: "the pinned 464.8 GB NVIDIA checkpoint" (modal-projects/stitch, pull 81). Converted are only
    # the routed experts of all layers but three dense ones and the one that predicts ahead; indexers are in self_attn
    left = ["lm_head", "model.embed_tokens", "model.layers.0*", "model.layers.1.*", "model.layers.2.*"]
    left += [f"model.layers.{i}.{of}*" for i in range(3, 78) for of in ("self_attn", "mlp.shared_experts")]
    nvfp4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": [*left, "model.layers.78*"]}
    config = {**model("glm-5.2").config, "quantization_config": nvfp4}
    reading = read_config(config)
    whole = replace(reading.model, beside=reading.left_out)
    assert stored_weights(whole, "NVFP4").value == pytest.approx(464.8e9, rel=1e-4)
    assert read_config(reading.used).model == reading.model
    one = read_config({**config, "quantization_config": {**nvfp4, "ignore": ["model.layers.6.self_attn.q_a_proj"]}})
    assert one.quantization.left == {"attention/query_down.6"}


def test_the_experts_of_deepseek_v4_have_four_bits_where_its_file_says_so():
    # "FP4 for MoE expert weights and FP8 for everything else" (huggingface.co/blog/deepseekv4): 43 layers of 256
    # experts of 3 × 4,096 × 2,048, a scale of 8 bits for every 32
    config = model("deepseek-v4-flash").config
    fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    base = read_config({**config, "quantization_config": fp8}).model
    flash = read_config({**config, "quantization_config": fp8, "expert_dtype": "fp4"}).model
    experts = 43 * 256 * 3 * 4096 * 2048
    saved = experts * (8 + 32 / 128**2 - 4.25) / 8
    assert stored_weights(base, "fp8 128×128").value - stored_weights(flash, "fp8 128×128").value == saved


def test_what_is_listed_is_left_and_no_more():
    config, fp8 = {"model_type": "glm_moe_dsa"}, {"quant_method": "fp8", "weight_block_size": [128, 128]}
    layers = range(78)
    # GLM-5 in fp8 leaves one small projection of each indexer; DeepSeek-V3.1 in NVFP4 all of attention but its output
    small = [f"model.layers.{i}.self_attn.indexers_proj" for i in layers]
    read = read_config({**config, "quantization_config": {**fp8, "modules_to_not_convert": small}})
    assert read.quantization.left == {"indexer/index_weights"}
    four = [*names(range(61), "self_attn", "q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj"), "model.layers.61*"]
    nvfp4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": four}
    read = read_config({"model_type": "deepseek_v3", "num_nextn_predict_layers": 1, "quantization_config": nvfp4})
    left = {f"attention/{role}" for role in ("query_down", "query_up", "key_value_down", "key_value_up")}
    assert read.quantization.left == left | {"mtp"}
    # Qwen3.5: linear attention is no attention; a shared expert's gate is not the expert
    qwen = [f"model.language_model.layers.{i}.linear_attn*" for i in range(64) if i % 4 < 3]
    awq = {"quant_method": "awq", "modules_to_not_convert": [*qwen, "mlp.shared_expert_gate"]}
    read = read_config({**model("qwen3.5-27b").config, "quantization_config": awq})
    assert read.quantization.left == {"recurrent"}


def test_groups_of_compressed_tensors_each_have_their_format():
    def group(targets: list[str], bits: int) -> dict:
        return {
            "targets": targets,
            "weights": {"num_bits": bits, "type": "float", "group_size": 16 if bits == 4 else None},
        }

    groups = {"group_0": group(["re:.*self_attn.*"], 8), "group_1": group(["re:.*mlp.*"], 4)}
    config = {"quant_method": "compressed-tensors", "config_groups": groups}
    read = read_config({"model_type": "llama", "quantization_config": config})
    assert (read.quantization.format, read.quantization.others) == ("NVFP4", {("attention", "fp8")})
    layer = 4 * 4096**2 + 3 * 4096 * 11008 * 4.5 / 8  # 32 layers of LLaMA 7B; embedding, head and norms in 16 bits
    other = 2 * (2 * 32000 * 4096 + 65 * 4096)
    assert stored_weights(read.model, "NVFP4").value == 32 * layer + other


LISTED = [f"model.layers.{i}.self_attn" for i in range(32)]


@pytest.mark.parametrize(
    ("quantization", "format", "left"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "int4 g128 zero", ""),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "int4 g128 zero", ""),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "int8 g128 zero", ""),
        ({"quant_method": "gptq", "bits": 4, "group_size": 64}, "int4 g64 zero", ""),
        ({"quant_method": "gptq", "bits": 5, "group_size": 128}, "", ""),
        ({"quant_method": "fp8"}, "fp8", ""),
        ({"quant_method": "fp8", "weight_block_size": [128, 128], "ignored_layers": LISTED}, "fp8 128×128",
         "attention"),
        ({"quant_method": "fp8", "ignored_layers": LISTED[:3]}, "fp8", "attention.0 attention.1 attention.2"),
        ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["lm_head"]}, "fp8 rows", ""),
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "NF4", ""),
        ({"quant_method": "bitsandbytes", "_load_in_4bit": True, "load_in_4bit": True}, "NF4 fp32 scales", ""),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", ""),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["*self_attn*", "lm_head"]}, "NVFP4",
         "attention"),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}, "fp8",
         ""),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}},
         "int4 g64 zero", ""),
        ({"quant_method": "no_such_method"}, "", ""),
    ],
    ids=str,
)  # fmt: skip
def test_the_weight_format_is_read_and_so_is_what_was_not_converted(quantization, format, left):
    reading = read_config({"model_type": "llama", "quantization_config": quantization})
    assert (reading.quantization.format, set(reading.quantization.left)) == (format, set(left.split()))
    notes = [note.id for note in reading.notes]
    assert ("quantized" if format else "quantized_unknown") in notes
    again = read_config(reading.used)  # as it travels in a link
    assert (again.model, again.quantization.format) == (reading.model, reading.quantization.format)


@pytest.mark.parametrize(
    ("weights", "format"),
    [
        ({"num_bits": 8, "type": "float", "strategy": "channel"}, "fp8 rows"),
        ({"num_bits": 8, "type": "float", "strategy": "tensor"}, "fp8"),
        ({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}, "fp8 128×128"),
        ({"num_bits": 8, "type": "int", "strategy": "channel"}, "int8"),
        ({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}, "int4 g128"),
        ({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": False}, "int4 g128 zero"),
        ({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}, "NVFP4"),
    ],
    ids=str,
)
def test_a_scheme_of_compressed_tensors_is_read(weights, format):
    scheme = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}
    assert read_config({"model_type": "llama", "quantization_config": scheme}).quantization.format == format


def test_a_pasted_file_sets_the_format_of_inference():
    text = '{"model_type": "llama", "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}'
    assert base(PASTED, text).also == {"weight_format": "int4 g128 zero"}
    assert Configuration({"model": PASTED, "config": text}).values["weight_format"] == "int4 g128 zero"


def test_a_quantization_that_is_no_object_is_refused_by_its_name():
    with pytest.raises(InputError) as caught:
        read_config({"model_type": "llama", "quantization_config": "awq"})
    assert caught.value.input_id == "quantization_config"
