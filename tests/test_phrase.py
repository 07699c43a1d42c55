"""A question that is typed sets the inputs that it names, and says which of its words it could not read."""

from __future__ import annotations

import math
import re

import pytest
from opened_app import opened

from llmcalc.bases import base
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS, MODELS, PASTED
from llmcalc.phrase import Phrase, read_phrase
from llmcalc.question import asking
from llmcalc.words import LANGUAGES

READ = {
    "4 × A100 80 GB, Llama 3 8B, 8k, full fine-tuning: fits?": {
        **{"ask": "full", "model": "Llama 3 8B", "device": "A100 80GB SXM", "devices": 4, "length": 8192},
    },
    "llama 3 8b qlora 2xRTX 4090 batch 2 2048 tokens": {
        **{"ask": "qlora", "model": "Llama 3 8B", "device": "RTX 4090", "devices": 2, "batch": 2, "length": 2048},
    },
    "Qwen3 235B for 32 users at 32k: how many H200, how fast?": {
        **{"ask": "serve", "model": "Qwen3 235B A22B", "device": "H200 SXM", "users": 32, "length": 32768},
    },
    "pre-train GPT-3 XL 1.3B on 64 H100 SXM, 16 sequences of 2,048 tokens": {
        **{"ask": "pretrain", "model": "GPT-3 XL 1.3B", "device": "H100 SXM", "devices": 64},
        **{"batch": 16, "length": 2048},
    },
    "LoRA": {"ask": "lora"},
    "how many users can one H100 serve with Llama 3.1 8B and a context of 8k?": {
        **{"ask": "serve", "model": "Llama 3.1 8B", "device": "H100 SXM", "devices": 1, "length": 8192},
    },
    "Can I run Llama 3.3 70B on two A100 80GB?": {
        **{"ask": "serve", "model": "Llama 3.3 70B", "device": "A100 80GB SXM", "devices": 2},
    },
    "gpt-2 1.5b on 2 x t4": {"model": "GPT-2 XL 1.5B", "device": "T4", "devices": 2},
    "mistral 12b, 8k context, H100 x 8": {
        **{"model": "Mistral NeMo 12B", "device": "H100 SXM", "devices": 8, "length": 8192},
    },
    "a single 4090, QLoRA, Qwen2.5 7B Instruct, context length 4096": {
        **{"ask": "qlora", "model": "Qwen2.5 7B", "device": "RTX 4090", "devices": 1, "length": 4096},
    },
    "8 x 80GB A100 SXM, Llama-3.1-70B-Instruct, 1M context": {
        **{"model": "Llama 3.1 70B", "device": "A100 80GB SXM", "devices": 8, "length": 2**20},
    },
    "what does it cost to pre-train a 1B model on 20B tokens at 2 $/h?": {
        **{"ask": "pretrain", "model": "Llama 3.2 1B", "train_tokens": 20, "price": 2, "asks_cost": True},
    },
    "at $2.5 per GPU-hour, how expensive is training GPT-3 175B on 300 billion tokens?": {
        **{"ask": "pretrain", "model": "GPT-3 175B", "train_tokens": 300, "price": 2.5, "asks_cost": True},
    },
    "price of training BLOOM 176B on 1.4T tokens, 2 dollars an hour, sixteen H100s": {
        **{"ask": "pretrain", "model": "BLOOM 176B", "train_tokens": 1400, "price": 2, "asks_cost": True},
        **{"device": "H100 SXM", "devices": 16},
    },
    "layani Qwen3 8B untuk 5 pengguna di L4": {"ask": "serve", "model": "Qwen3 8B", "device": "L4", "users": 5},
    "berapa pengguna bisa dilayani satu H100 dengan Llama 3 8B konteks 8k?": {
        **{"ask": "serve", "model": "Llama 3 8B", "device": "H100 SXM", "devices": 1, "length": 8192},
    },
    "muatkah Qwen2.5 7B di sebuah RTX 4090 dengan QLoRA?": {
        **{"ask": "qlora", "model": "Qwen2.5 7B", "device": "RTX 4090", "devices": 1},
    },
    "melatih GPT-2 XL dengan 2.048 token, batch 16, di empat A100 80GB": {
        **{"ask": "full", "model": "GPT-2 XL 1.5B", "device": "A100 80GB SXM", "devices": 4},
        **{"batch": 16, "length": 2048},
    },
    "Berapa biaya melatih model 1,5 miliar parameter dengan 300 miliar token seharga 2,5 dolar per jam?": {
        **{"ask": "pretrain", "model": "Qwen2.5 1.5B", "train_tokens": 300, "price": 2.5, "asks_cost": True},
    },
    "pra-latih Pythia 1B di enam belas H100, 1,4 triliun token, $2/jam": {
        **{"ask": "pretrain", "model": "Pythia 1B", "device": "H100 SXM", "devices": 16, "train_tokens": 1400},
        **{"price": 2, "asks_cost": True},
    },
    "fine-tuning penuh Llama 3.2 3B, panjang konteks 4096, 8 kartu A100 40GB": {
        **{"ask": "full", "model": "Llama 3.2 3B", "device": "A100 40GB SXM", "devices": 8, "length": 4096},
    },
    "apakah gpt-oss 120b bisa dijalankan di dua H100?": {
        **{"ask": "serve", "model": "gpt-oss 120B", "device": "H100 SXM", "devices": 2},
    },
    "berapa H200 yang dibutuhkan untuk melayani Llama 3.1 405B, 64 pengguna, konteks 32k": {
        **{"ask": "serve", "model": "Llama 3.1 405B", "device": "H200 SXM", "users": 64, "length": 32768},
    },
    "latih LoRA untuk Qwen3 14B pada 2 perangkat L40S, 4 sekuens": {
        **{"ask": "lora", "model": "Qwen3 14B", "device": "L40S", "devices": 2, "batch": 4},
    },
    "inferensi Gemma 3 27B di MI300X, 10 permintaan": {
        **{"ask": "serve", "model": "Gemma 3 27B", "device": "MI300X", "users": 10},
    },
    "harga melayani Qwen3 32B di delapan L40S dengan 1 dolar per jam": {
        **{"ask": "serve", "model": "Qwen3 32B", "device": "L40S", "devices": 8, "price": 1, "asks_cost": True},
    },
    "8 ribu pengguna, Llama 3.1 8B, 1.000 x H100 seharga Rp 30.000 per jam": {
        **{"ask": "serve", "model": "Llama 3.1 8B", "device": "H100 SXM", "devices": 1000, "users": 8000},
        **{"price": 30_000, "asks_cost": True},
    },
    "the KV cache of a 1.3B model": {"ask": "serve", "model": "GPT-Neo 1.3B"},
    "berapa cache KV GPT-3 XL 1.3B untuk 4 pengguna?": {"ask": "serve", "model": "GPT-3 XL 1.3B", "users": 4},
    "seberapa cepat Llama 3.1 8B di M4 Max, konteks 4k?": {
        **{"model": "Llama 3.1 8B", "device": "M4 Max", "length": 4096},
    },
}
SAID = ("ask", "model", "device", "devices", "users", "batch", "length", "train_tokens", "price", "asks_cost", "unread")
NAMES = [name for name in MODELS if name != PASTED]


def said(found: Phrase) -> dict[str, object]:
    """All that was understood, and what was not."""
    return {name: value for name in SAID if (value := getattr(found, name)) not in (None, False, ())}


@pytest.mark.parametrize("text", READ)
def test_what_is_typed_is_read(text):
    assert said(read_phrase(text)) == READ[text]


@pytest.mark.parametrize("name", NAMES)
def test_whoever_types_a_models_whole_name_gets_that_model(name):
    found = read_phrase(f"LoRA {name} on 4 x H100 SXM with batch 3 at 8k")
    assert said(found) == {"ask": "lora", "model": name, "device": "H100 SXM", "devices": 4, "batch": 3, "length": 8192}
    assert found.named_model.how == found.named_device.how == "named"


@pytest.mark.parametrize("device", ACCELERATORS)
def test_whoever_types_a_devices_whole_name_gets_that_device(device):
    found = read_phrase(f"4 x {device}")
    assert (said(found), found.named_device.how) == ({"device": device, "devices": 4}, "named")


@pytest.mark.parametrize("size", ["0.2B", "1.5B", "8B", "13B", "70B", "999B"])
@pytest.mark.parametrize("family", ["Llama", "Llama 2", "Llama 3", "Llama 3.1", "Qwen3", "GPT-2", "Mistral", "OPT"])
def test_no_model_is_taken_whose_size_is_another_than_was_typed(family, size):
    named = read_phrase(f"{family} {size}").named_model
    typed = float(size[:-1]) * 1e9
    if named.id:
        is_so_big = abs(math.log(base(named.id).parameters / typed)) < math.log(1.1)
        assert is_so_big or size.lower() in named.id.lower().split()
        assert named.id.lower().startswith(family.lower())
    else:
        assert named.how == "none"
        assert named.others
        assert all(other.lower().startswith(family.lower().split()[0].split("-")[0][:4]) for other in named.others)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("serve Llama 3 70B on 4 x A100 80GB", ["Llama 3.1 70B", "Llama 3.3 70B"]),
        ("Llama 3.1 13B", ["Llama 2 13B", "Llama 3.1 8B"]),
        ("Qwen4 8B on H100", ["Qwen3.5 9B", "Qwen3 8B"]),
        ("GPT-4 on 8 x H100", ["GPT-3 Small 125M"]),
        ("deepseek v9 on 8 h100", ["DeepSeek-V4 Flash 284B"]),
        ("llama 5 8b", ["Llama 3.1 8B"]),
        ("pythia 5", []),
        ("Zephyr 7B on L4", ["Qwen2.5 7B", "Llama 2 7B"]),
    ],
)
def test_where_there_is_no_such_model_the_nearest_are_offered(text, nearest):
    found = read_phrase(text)
    assert (found.model, found.named_model.how, found.unread) == (None, "none", ())
    assert list(found.named_model.others[: len(nearest)]) == nearest


# Families that are called by a word that such a question could have besides, and names that nobody would say otherwise
WORDS = ("article", "command", "opt", "seed", "switch", "transformer")
COINED = {
    *("albert", "aya", "bart", "bert", "bloom", "deberta", "deepseek", "devstral", "distilbert", "distilgpt"),
    *("distilroberta", "electra", "ernie", "exaone", "falcon", "flan", "gemma", "glm", "gpt", "granite", "hunyuan"),
    *("jamba", "kimi", "lfm"),
    *("llama", "mimo", "minimax", "mistral", "mixtral", "modernbert", "moonlight", "mpnet", "mpt", "mt", "nemotron"),
    *("nllb", "olmo", "olmoe", "opus", "pegasus", "phi", "pythia", "qwen", "qwq", "roberta", "santacoder", "smollm"),
    *("stablelm", "starcoder", "starcoderbase", "t", "tinyllama", "voxtral", "xlm", "yi"),
}


def test_of_every_family_it_is_known_whether_its_name_is_a_word():
    """A new one is to be put among the coined names, or among `_ORDINARY` of typed_names.py too."""
    assert {re.findall("[a-z]+", name.lower())[0] for name in NAMES} == COINED | set(WORDS)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "text", ["{} to LoRA", "{} for QLoRA on 2 x H100", "LoRA for a {}, 8k", "{}s on L4", "{}, LoRA"]
)
def test_a_family_whose_name_is_a_word_is_not_taken_for_it_alone(word, text):
    found = read_phrase(text.format(word))
    assert found.named_model is None
    assert found.ask or found.device


def test_with_the_rest_of_its_name_or_a_size_it_is_the_model():
    names = [name for name in NAMES if name.lower().startswith(WORDS)]
    assert {read_phrase(f"switch to {name}, LoRA").model for name in names} == set(names)
    assert read_phrase("OPT 13B").model == "OPT 13B"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("2 x A6000", "RTX 6000 Ada"),
        ("RTX A6000", "RTX 6000 Ada"),
        ("A6000 48 GB", "RTX 6000 Ada"),
        ("4 x H20", "H100 SXM"),
        ("H800", "H200 SXM"),
        ("a single L20", "L40S"),
        ("A800 x 8", "A100 40GB SXM"),
        ("A30", "A10"),
        ("4080", "RTX 4090"),
        ("RTX 4070 Ti Super", "RTX 4090"),
        ("GTX 1080 Ti", "RTX 3090"),
        ("MI210", "MI250X per GCD"),
        ("M2 Ultra", "M3 Ultra"),
        ("TPU v4", "TPU v5e"),
        ("Gaudi 2", "Gaudi 3"),
        ("RX 7900 XTX 24GB", "A10"),
        ("7900 XTX", None),
        ("Trainium2", None),
    ],
)
def test_of_a_device_that_is_not_there_the_nearest_are_offered(text, nearest):
    found = read_phrase(f"QLoRA for Llama 3 8B on {text}, 8k")
    named = found.named_device
    assert (named.id, named.how, next(iter(named.others), None), found.unread) == (None, "none", nearest, ())
    assert (found.ask, found.model, found.length) == ("qlora", "Llama 3 8B", 8192)


@pytest.mark.parametrize(
    ("text", "device", "devices"),
    [
        ("1 H100 80GB PCIe", "H100 PCIe", 1),
        ("A100-SXM4-80GB x 4", "A100 80GB SXM", 4),
        ("4 x A100 80GB PCIe", "A100 80GB PCIe", 4),
        ("4 x H100-SXM5-80GB", "H100 SXM", 4),
        ("2x4090", "RTX 4090", 2),
        ("4xA100-80GB", "A100 80GB SXM", 4),
    ],
)
def test_a_device_is_read_as_programs_print_it_and_its_count_beside(text, device, devices):
    found = read_phrase(f"LoRA on {text}")
    assert (found.device, found.devices, found.unread) == (device, devices, ())


@pytest.mark.parametrize(
    ("text", "devices", "node_size"),
    [
        ("2 nodes of 8 H100", 16, 8),
        ("4 nodes with 4 x A100 80GB each", 16, 4),
        ("2 simpul berisi 8 H100", 16, 8),
        ("8 H100 per node, 2 nodes", 16, 8),
        ("8 x H100 x 2 nodes", 16, 8),
        ("16 H100 in 4 nodes", 16, 4),
        ("5 H100 in 0 nodes", 5, None),
    ],
)
def test_devices_that_are_counted_by_nodes_are_all_of_them(text, devices, node_size):
    found = read_phrase(f"training, {text}")
    assert (found.devices, found.node_size, found.unread) == (devices, node_size, ())
    told = found.inputs(DEFAULTS)
    assert (told["n_devices"], told.get("node_size")) == (devices, node_size)


def test_a_device_that_is_not_there_is_told_as_it_was_typed():
    found = read_phrase("QLoRA on RTX 3060 12GB")
    assert (found.named_device.said, found.unread) == ("rtx 3060 12gb", ())


def test_mi250_is_read_as_the_one_that_is_called_so():
    named = read_phrase("MI250").named_device
    assert (named.id, named.how) == ("MI250X per GCD", "first")


FORMATS = {
    "Llama 3 8B in 4-bit": {"lora_rank": 16, "lora_base": "NF4-double"},
    "fine-tune Llama 3 8B with int4": {"lora_rank": 16, "lora_base": "NF4-double"},
    "LoRA, 8-bit": {"lora_rank": 16, "lora_base": "int8"},
    "full fine-tuning, 8-bit Adam": {"lora_rank": 0, "optimizer": "adamw_8bit"},
    "fp8": {"precision": "amp_fp8"},
    "bf16": {"precision": "bf16"},
    "latih dengan fp32": {"precision": "fp32"},
    "mixed precision": {"precision": "amp_bf16"},
    "serve Llama 3 8B in 4-bit": {"weight_format": "int4 g128", "lora_rank": 0},
    "serve in 8 bits": {"weight_format": "int8"},
    "layani Llama 3 8B dengan fp8 dan kv cache fp8": {"weight_format": "fp8", "cache_format": "fp8"},
    "8 users, bf16, 8-bit KV cache": {"weight_format": "bf16", "cache_format": "fp8"},
    "serve Q4_K_M": {"weight_format": "GGUF Q4_K_M"},
    "serve AWQ": {"weight_format": "int4 g128 zero"},
}


@pytest.mark.parametrize("text", FORMATS)
def test_a_number_format_sets_what_fits_what_is_asked(text):
    found = read_phrase(text)
    set_to = {**DEFAULTS, **found.inputs(DEFAULTS)}
    assert {id: set_to[id] for id in FORMATS[text]} == FORMATS[text]
    Configuration(set_to).verdict  # noqa: B018
    assert not found.unread
    told = found.read_formats(DEFAULTS)
    assert told
    assert all(inputs and inputs.items() <= set_to.items() for _, inputs in told)


SETTINGS = {
    "Llama 3 8B fp8 kv cache int8 weights vllm": {
        **{"purpose": "inference", "engine": "vllm", "cache_format": "fp8", "weight_format": "int8"},
    },
    "SGLang": {"purpose": "inference", "engine": "sglang"},
    "Llama 3 8B on TensorRT-LLM": {"purpose": "inference", "engine": "tensorrt-llm"},
    "ollama, Q4_K_M": {"purpose": "inference", "engine": "ollama", "weight_format": "GGUF Q4_K_M"},
    "llama.cpp Qwen3 8B": {"purpose": "inference", "engine": "llama.cpp"},
    "cache fp8": {"purpose": "inference", "cache_format": "fp8"},
    "vllm, tp 2, pp 3, dp 8": {"serve_tensor": 2, "serve_pipeline": 3, "serve_data": 8},
    "8 x H100, vllm, tp 4": {"serve_tensor": 4, "serve_pipeline": 1, "serve_data": 2},
    "8 x H100, vllm, pp 2": {"serve_tensor": 4, "serve_pipeline": 2, "serve_data": 1},
    "serve on an H100, tp=2": {"accelerator": "H100 SXM", "serve_tensor": 2},
    # optimizers, as their libraries call them and as people do
    "full, adafactor": {"optimizer": "adafactor", "purpose": "training"},
    "LoRA with Lion": {"optimizer": "lion", "lora_rank": 8},
    "full, 8-bit lion": {"optimizer": "lion_8bit"},
    "pre-train with Muon": {"optimizer": "muon", "recipe": "torchtitan full"},
    "QLoRA with paged 8-bit AdamW": {"optimizer": "paged_adamw_8bit"},
    "QLoRA, paged_adamw_8bit": {"optimizer": "paged_adamw_8bit"},
    "LoRA dengan optimizer Adam 8-bit": {"optimizer": "adamw_8bit"},
    "latih penuh dengan pengoptimal adafactor": {"optimizer": "adafactor", "purpose": "training"},
    "full, fused AdamW": {"optimizer": "adamw_fused"},
    "full, AdamW": {"optimizer": "adamw_foreach"},
    "full, SGD": {"optimizer": "sgd"},
    "full, SGD dengan momentum": {"optimizer": "sgd_momentum"},
    "Unsloth QLoRA, rank 64": {"recipe": "Unsloth QLoRA", "lora_rank": 64, "optimizer": "adamw_8bit"},
    "LoRA r=64": {"recipe": "PEFT LoRA", "lora_rank": 64},
    "rank 32, Llama 3 8B": {"recipe": "PEFT LoRA", "lora_rank": 32},
    "TRL full": {"recipe": "TRL full", "loss": "chunked"},
    "torchtune": {"recipe": "torchtune full"},
    "torchtitan, Llama 3 8B": {"recipe": "torchtitan full"},
    "DPO": {"recipe": "TRL DPO", "objective": "dpo", "batch_size": 8},
    "KTO, batch 2": {"recipe": "TRL KTO", "objective": "kto", "batch_size": 2},
    "GRPO with LoRA": {"recipe": "PEFT LoRA", "objective": "grpo", "beta": 0.0, "lora_rank": 8},
    "PPO": {"objective": "ppo", "beta": 0.05},
    "train on 8 x H100, tensor parallel 2, pp 2": {"n_devices": 8, "tensor_parallel": 2, "pipeline_parallel": 2},
    "2-way tensor parallel": {"tensor_parallel": 2},
    "train, dp 8, ZeRO 3": {"data_parallel": 8, "zero_stage": 3, "n_devices": None},
    "zero-2": {"zero_stage": 2},
    "FSDP": {"zero_stage": 3},
    "gradient checkpointing": {"recompute": "full"},
    "full recomputation, TRL": {"recompute": "full", "recipe": "TRL full"},
    "TRL without gradient checkpointing": {"recompute": "none", "recipe": "TRL full"},
    "gradient accumulation 4, global batch 64": {"gradient_accumulation": 4, "global_batch": 64},
}


@pytest.mark.parametrize("text", SETTINGS)
def test_a_setting_that_is_named_is_set_and_told(text):
    found = read_phrase(text)
    set_to = {**DEFAULTS, **found.inputs(DEFAULTS)}
    assert {id: set_to[id] for id in SETTINGS[text]} == SETTINGS[text]
    Configuration(set_to).verdict  # noqa: B018
    assert (found.unread, found.also, found.cut(DEFAULTS)) == ((), (), ())
    told = found.read_formats(DEFAULTS)
    assert told
    assert all(inputs and inputs.items() <= set_to.items() for _, inputs in told)


def test_an_engine_serves_whatever_was_asked_before():
    found = read_phrase("Llama 3 8B fp8 kv cache int8 weights vllm").inputs({**DEFAULTS, **asking("qlora", DEFAULTS)})
    assert (found["purpose"], found["cache_format"], found["weight_format"]) == ("inference", "fp8", "int8")
    assert "precision" not in found


def test_of_what_excludes_each_other_the_first_is_set_and_the_other_told():
    found = read_phrase("TensorRT-LLM or SGLang")
    assert (found.inputs(DEFAULTS)["engine"], "sglang" in found.unread) == ("tensorrt-llm", True)
    assert dict(read_phrase("Unsloth DPO").read_formats(DEFAULTS)) == {"unsloth": {}, "dpo": {"objective": "dpo"}}
    assert dict(read_phrase("serve, zero 3").read_formats(DEFAULTS)) == {"zero 3": {}}


def test_devices_that_cannot_be_dealt_out_so_are_told():
    assert read_phrase("8 x H100 vllm tp 3").cut(DEFAULTS) == (("n_devices", 8, 3),)
    assert read_phrase("training on 4 H100, dp 8").cut(DEFAULTS) == (("data_parallel", 8, 4),)


NOT = {
    "without LoRA, full": ("full", ()),
    "not LoRA": ("full", ()),
    "tanpa LoRA, Llama 3 8B": ("full", ()),
    "not QLoRA, LoRA": ("lora", ()),
    "not QLoRA": (None, ("not qlora",)),
    "don't train": (None, ("don't train",)),
    "serve, not fp8": ("serve", ("not fp8",)),
    "serve, bukan vllm": ("serve", ("bukan vllm",)),
    "LoRA, not Llama 2 but Qwen3 8B": ("lora", ("not llama 2",)),
    "QLoRA, bukan H100, 4 x L4": ("qlora", ("bukan h100",)),
}


@pytest.mark.parametrize("text", NOT)
def test_what_is_negated_is_not_set(text):
    found = read_phrase(text)
    assert (found.ask, found.unread) == NOT[text]
    assert found.read_formats(DEFAULTS) == ()
    assert found.model in (None, "Llama 3 8B", "Qwen3 8B")
    assert found.device in (None, "L4")


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("Llama 3 8B for -5 users", ("-5",)),
        ("LoRA, batch -2", ("batch", "-2")),
        ("-4 x H100", ("-4",)),
        ("batch 3.5", ("batch", "3.5")),
        ("2.5 x H100", ("2.5",)),
        ("LoRA, rank 8.5", ("rank", "8.5")),
        ("train with tp -3", ("tp", "-3")),
        ("LoRA with -8k tokens", ("-8k",)),
    ],
)
def test_a_number_that_counts_nothing_is_told_and_not_cut(text, unread):
    found = read_phrase(text)
    assert found.unread == unread
    assert (found.users, found.batch, found.devices, found.length) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "ask", "also"),
    [
        ("serve Llama 3 8B and train it", "serve", ("train",)),
        ("LoRA for Llama 3 8B and deploy it", "lora", ("deploy",)),
        ("LoRA for 8 users", "lora", ("8 users",)),
        ("serve my fine-tuned Llama 3 8B", "serve", ()),
        ("fine-tune a pretrained Llama 3 8B", "full", ()),
    ],
)
def test_what_is_asked_besides_is_told(text, ask, also):
    found = read_phrase(text)
    assert (found.ask, found.also) == (ask, also)


def test_to_llama_cpp_a_format_is_that_of_its_own_files():
    found = read_phrase("serve Llama 3 8B in 4-bit, 8-bit kv cache")
    told = found.inputs({**DEFAULTS, "engine": "llama.cpp"})
    assert (told["weight_format"], told["cache_format"]) == ("GGUF Q4_K_M", "GGUF Q8_0")


@pytest.mark.parametrize(
    "text", ["full fine-tuning in 4-bit", "pre-train, Q4_K_M", "serve, mixed precision", "LoRA, fp8 cache"]
)
def test_a_number_format_that_says_nothing_of_what_is_asked_is_told(text):
    assert [inputs for _, inputs in read_phrase(text).read_formats(DEFAULTS)] == [{}]


def test_a_device_with_another_memory_is_none_of_ours():
    found = read_phrase("2 x V100 16GB")
    named = found.named_device
    assert (named.id, named.how, named.others, found.devices) == (None, "none", ("V100 32GB SXM2",), 2)
    assert read_phrase("2 x RTX 5080").named_device.how == "none"
    # NVIDIA sold an A100 of 40 GB for PCIe too: that of SXM is another
    found = read_phrase("2 x A100 40GB PCIe")
    assert (found.named_device.id, found.named_device.others[0]) == (None, "A100 40GB SXM")
    assert (found.devices, found.unread) == (2, ())
    assert read_phrase("2 x A100 80GB PCIe").device == "A100 80GB PCIe"


@pytest.mark.parametrize("text", ["llama 3.1", "mistral", "qwen 3", "a 1B model", "H100", "A100", "A100 80 GB", "L40"])
def test_what_was_not_named_wholly_is_told(text):
    found = read_phrase(text)
    named = found.named_model or found.named_device
    assert named.id
    assert named.how in ("first", "stands_for", "nearest")
    assert not found.unread


@pytest.mark.parametrize(
    ("size", "models"),
    [
        ("1.3B", ["GPT-Neo 1.3B", "OPT 1.3B"]),
        ("7b", ["Qwen2.5 7B", "Llama 2 7B"]),
        ("8B", ["Qwen3 8B", "Llama 3.1 8B", "Granite 3.0 8B"]),
        ("1 billion", ["Llama 3.2 1B"]),
        ("70B", ["Llama 3.3 70B"]),
        ("30B", ["OPT 30B", "MPT 30B"]),
        ("7.1B", ["BLOOM 7.1B"]),
    ],
)
def test_by_a_size_alone_a_model_is_taken_that_is_called_by_it(size, models):
    named = read_phrase(f"QLoRA for a {size} model").named_model
    assert named.how == "stands_for"
    assert [named.id, *named.others][: len(models)] == models


@pytest.mark.parametrize("size", ["5.3B", "47B"])
def test_to_a_size_that_no_model_is_called_by_one_is_nearest(size):
    assert read_phrase(f"QLoRA for a {size} model").named_model.how == "nearest"


@pytest.mark.parametrize("device", ACCELERATORS)
def test_of_several_devices_the_apps_own_is_taken_then_an_sxm(device):
    typed = device.split()[0]
    found = read_phrase(f"2 x {typed} 8k").named_device
    alike = [id for id in ACCELERATORS if id.split()[0] == typed]
    if found is None or found.id is None:  # "M3", "Gaudi": too little to go by
        return
    if DEFAULTS["accelerator"] in alike:
        assert found.id == DEFAULTS["accelerator"]
    elif any("SXM" in id for id in alike):
        assert "SXM" in found.id


def test_a_question_of_another_kind_leaves_no_devices_of_the_former_one():
    values = Configuration({"model": "Llama 3 8B"}).values
    for text, trained_on, served_on in (
        ("serve for 32 users on 8 H200", 8, 8),
        ("full fine-tuning on 4 x A100 80GB", 4, 1),
        ("serve on 2 x H100", 2, 2),
    ):
        config = Configuration({**values, **read_phrase(text).inputs(values)})
        values = config.values
        assert (config.n_devices, config.served.job.devices) == (trained_on, served_on)


def test_what_is_not_understood_is_told():
    assert read_phrase("LoRA on my toaster with Llama 3 8B").unread == ("toaster",)
    assert read_phrase("for $2").unread == ("$2",)
    assert read_phrase("").unread == ()


def test_a_number_is_no_part_of_a_name_that_it_does_not_end():
    for text in ("llama 3 8k", "llama 3 8 users", "llama 3, 8 sequences"):
        assert read_phrase(text).named_model.said == "llama 3"
    found = read_phrase("Llama 2 x A100")
    assert (found.named_model.said, found.devices) == ("llama", 2)


def test_as_few_devices_as_hold_it_where_they_are_asked_for():
    found = read_phrase("Qwen3 235B for 32 users at 32k: how many H200, how fast?")
    values = Configuration({"model": found.model}).values
    served = Configuration({**values, **found.inputs(values)})
    assert served.served.fits
    assert served.served.tokens_per_second.value > 0
    fewer = Configuration({**served.values, "serve_tensor": served.values["serve_tensor"] // 2})
    assert not fewer.served.fits


HOSTILE = [
    *("0 users", "9999999999999 users of 99999999k tokens on 99999999 x H100", "k k k ||", "×" * 400, "9" * 300, "0b"),
    *("9" * 290 + "t tokens", "9" * 290 + ".5t tokens", "A100 " + "9" * 280 + " gb", "9" * 280 + "t", "0 x L40 0 gb"),
    *("Llama 0b", "$" + "9" * 250 + "/h", "§ 4 x § |", "0.5B tokens"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_typed_sets_inputs_that_there_can_be(text):
    found = read_phrase(text)
    numbers = found.inputs(DEFAULTS)
    for id, value in numbers.items():
        Configuration({id: value})
    for id, number, used in found.cut(DEFAULTS):
        assert numbers[id] == used != number


def test_a_number_that_no_input_can_be_is_told():
    assert read_phrase("99999999999999 x H100").cut(DEFAULTS) == (("n_devices", 99999999999999, 100_000),)
    assert read_phrase("5 x H100").cut(DEFAULTS) == ()


def test_the_field_sets_the_inputs_and_empties_itself():
    app = opened()
    app.text_input(key="question_typed").set_value("4 x A100 80 GB, Llama 3 8B, 8k, LoRA, please").run()
    assert not app.exception
    told = ("model", "d_model", "accelerator", "n_devices", "seq_len", "recipe")
    assert [app.session_state[id] for id in told] == ["Llama 3 8B", 4096, "A100 80GB SXM", 4, 8192, "PEFT LoRA"]
    assert app.text_input(key="question_typed").value == ""
    assert any("please" in caption.value for caption in app.main.caption)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_format_set_is_said_and_a_device_that_is_not_there_can_be_another(language):
    app = opened(link={"lang": language})
    app.text_input(key="question_typed").set_value("Llama 3 8B, 4-bit, on 2 x A6000").run()
    assert not app.exception
    captions = [caption.value for caption in app.main.caption]
    assert any("`4-bit`" in caption and "NF4" in caption for caption in captions)
    assert any("`a6000`" in caption and DEFAULTS["accelerator"] in caption for caption in captions)
    next(button for button in app.main.button if button.label == "RTX 6000 Ada").click().run()
    assert not app.exception
    told = ("accelerator", "n_devices", "lora_base")
    assert [app.session_state[id] for id in told] == ["RTX 6000 Ada", 2, "NF4-double"]
    assert not any("`a6000`" in caption.value for caption in app.main.caption)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_that_is_not_there_is_said_and_the_nearest_can_be_pressed(language):
    app = opened(link={"lang": language})
    app.text_input(key="question_typed").set_value("serve Llama 3 70B on 99999999999 x H100, price?").run()
    assert not app.exception
    captions = [caption.value for caption in app.main.caption]
    assert any("`llama 3 70b`" in caption and DEFAULTS["model"] in caption for caption in captions)
    assert any("99" in caption and "`99" in caption for caption in captions)
    assert app.session_state["model"] == DEFAULTS["model"]
    next(button for button in app.main.button if button.label == "Llama 3.1 70B").click().run()
    assert not app.exception
    assert (app.session_state["model"], app.session_state["d_model"]) == ("Llama 3.1 70B", 8192)
    assert not any("llama 3 70b" in caption.value for caption in app.main.caption)
