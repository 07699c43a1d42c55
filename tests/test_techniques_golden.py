"""What techniques save and cost, worked out by hand from the sizes of published models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from configurations import configured as configured_with
from golden_files import csv_rows

from llmcalc import from_config
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.rates.flops import adapter_flops, work_of_passes
from llmcalc.stored.gguf import Place, embedding_format, head_format, matrix_format
from llmcalc.stored.weights import stored, stored_weights
from llmcalc.techniques.cache import kinds_of_cache
from llmcalc.techniques.mix import SWITCHES
from llmcalc.techniques.pruning import linear_numbers, pruned_weights, structurally_pruned
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.units import GiB

GPT2 = 124_439_808
MATRICES = 12 * 12 * 768**2  # of its layers: four d² and two 4d² each
VOCABULARY, TABLE = 50_257, 50_257 * 768
B, S = 8, 1024  # of the configuration that the dashboard starts with: bf16 autocast, H100 at 40 %


def configured(model: str = "GPT-2 124M", **changes):
    return configured_with(model, **changes)


# Distillation: GPT-2 teaches DistilGPT2


def added(**changes) -> dict[str, float]:
    """What the teacher adds to each moment of the student's step."""
    config = configured(student="DistilGPT2 82M", **changes)
    found = config.distillation
    return {
        name: q.value - config.student.step.moments[name].value
        for name, q in found.moments.items()
        if name != "teacher_pass"
    }


@pytest.mark.parametrize(("precision", "each"), [("amp_bf16", 2), ("bf16", 2), ("fp32", 4), ("amp_fp16", 2)])
def test_a_teachers_logits_wait_for_the_students_and_distributions_stand_at_the_loss(precision, each):
    weights, logits, soft = 2 * GPT2, B * S * VOCABULARY * each, 2 * B * S * VOCABULARY * 4
    assert added(precision=precision) == {
        "forward": pytest.approx(weights + logits),  # made before the student's forward pass
        "loss_forward": pytest.approx(weights + logits + soft),
        "loss_backward": pytest.approx(weights + logits + soft),
        "layers_backward": pytest.approx(weights),  # gone
        "backward_end": pytest.approx(weights),
        "optimizer_step": pytest.approx(weights),
    }


@pytest.mark.parametrize(("loss", "length", "piece"), [("chunked", 1001, 126), ("fused", 1000, 63), ("fused", 64, 4)])
def test_a_loss_in_pieces_asks_the_teacher_piece_by_piece(loss, length, piece):
    # 8 pieces of 1,001 tokens and 16 of 1,000, rounded up
    found = added(loss=loss, seq_len=length)
    rows = B * piece * VOCABULARY
    assert found["loss_backward"] == pytest.approx(2 * GPT2 + rows * (2 + 2 * 4))
    assert found["forward"] == pytest.approx(2 * GPT2 + rows * 2)


@pytest.mark.parametrize(
    ("teacher", "layer"),
    [
        ("GPT-2 124M", 4 * 768 + 2 * 4 * 768),  # four hidden states; the feed-forward before and after its activation
        ("Llama 3 8B", 4 * 4096 + 3 * 14336),  # gate and up, and their product
    ],
)
def test_a_teacher_reads_the_batch_one_layer_at_a_time(teacher, layer):
    config = configured(
        teacher, student="DistilGPT2 82M", precision="bf16", weight_format="bf16", batch_size=2, seq_len=512
    )
    found = {part.id: part.value for part in config.distillation.teacher_pass.parts}
    vocabulary = {"GPT-2 124M": 50_257, "Llama 3 8B": 128_256}[teacher]
    assert found["teacher_layer"] == 2 * 2 * 512 * layer
    assert found["teacher_logits"] == 2 * 512 * vocabulary * 2
    assert found["teacher_weights"] == 2 * config.model.parameters().value
    student = 81_912_576  # of DistilGPT2, weights and two states of AdamW, all in bf16
    assert found["weights"] + found["optimizer_state"] == (2 + 4) * student
    assert config.distillation.same_vocabulary == (teacher == "GPT-2 124M")


def test_distillation_peaks_at_its_largest_moment_and_costs_the_teachers_forward_pass():
    found = configured(student="DistilGPT2 82M").distillation
    assert found.peak_phase == "loss_backward"
    assert found.peak.value == found.moments["loss_backward"].value

    def forward(layers: int) -> float:  # Kaplan et al. 2020: 2N, the head, attention over half of the tokens
        return 2 * (layers * 12 * 768**2) + 2 * TABLE + 4 * layers * 768 * S / 2

    ratio = (3 * forward(6) + forward(12)) / (3 * forward(6))
    assert found.work.value == pytest.approx(ratio, rel=2e-3)  # biases and norms are left out here


# Time: GPT-2 on H100s that reach 40 % of 989 TFLOPS


def times(**changes) -> dict[str, float]:
    return {part.id: part.value for part in configured(**changes).mix.result.time.parts}


RATE = 0.4 * 989e12
PASSES = {
    # what runs: how often the operations of the forward pass are gone through
    "plain": ({}, {"weights": 3, "attention": 3, "logits": 3}),
    "full": ({"recompute": "full"}, {"weights": 4, "attention": 4, "logits": 3}),
    "selective": ({"recompute": "selective", "attention": "eager"}, {"weights": 3, "attention": 4, "logits": 3}),
    "chunked": ({"loss": "chunked"}, {"weights": 3, "attention": 3, "logits": 4}),
    "fused": ({"loss": "fused"}, {"weights": 3, "attention": 3, "logits": 3}),
    "LoRA": ({"lora_rank": 8}, {"weights": 2, "attention": 3, "logits": 2}),
    "LoRA, full": ({"lora_rank": 8, "recompute": "full"}, {"weights": 3, "attention": 4, "logits": 2}),
}


@pytest.mark.parametrize("run", PASSES)
def test_a_step_goes_through_its_operations_so_often(run):
    changes, passes = PASSES[run]
    found = times(**changes)
    n = GPT2 - TABLE - 1024 * 768  # layers and the last norm
    once = {"weights": 2 * n, "attention": 4 * S / 2 * 768 * 12, "logits": 2 * TABLE}
    for what, flops in once.items():
        assert found[f"time_{what}"] == pytest.approx(passes[what] * flops * B * S / RATE, rel=1e-9), what
    # query, key and value of GPT-2 are one product of width 2,304, and the projection back: r (768 + 2304 + 2 · 768)
    adapters = 12 * 8 * (768 + 2304 + 2 * 768)
    again = 4 if "full" in run else 3
    expected = again * 2 * adapters * B * S / RATE if "LoRA" in run else None
    assert found.get("time_adapters") == (expected and pytest.approx(expected))


def test_devices_share_the_work_and_send_and_wait():
    layout = {"pipeline_parallel": 2, "gradient_accumulation": 4, "data_parallel": 2}
    found, alone = times(**layout), times()
    # four times the tokens for each of two copies, over 2 x 2 devices
    assert found["time_weights"] == pytest.approx(alone["time_weights"] * 4 * 2 / 4)
    computing = sum(value for id, value in found.items() if id.startswith("time_"))
    assert found["idle_time"] == pytest.approx(computing * (2 - 1) / 4)
    interleaved = times(**layout, interleave=2)
    assert interleaved["idle_time"] == pytest.approx(computing * (2 - 1) / (2 * 4))
    assert times(data_parallel=2)["message_time"] == pytest.approx(2 * GPT2 * 4 / 2 / 450e9)
    # gradients there and weights back, 4 bytes each, 50 GB/s; shared out by ZeRO among the copies
    assert times(offload_optimizer=True)["host_time"] == pytest.approx(GPT2 * 8 / 50e9)
    of_two = times(offload_optimizer=True, data_parallel=2, zero_stage=1)
    assert of_two["host_time"] == pytest.approx(GPT2 * 8 / 2 / 50e9)
    assert "message_time" not in alone
    assert "idle_time" not in times(data_parallel=2)
    assert "host_time" not in times(data_parallel=2)


def test_products_run_in_their_formats():
    h100 = ACCELERATORS["H100 SXM"]
    assert (h100.peak_flops("fp8"), h100.peak_flops("bf16")) == (1979e12, 989e12)  # dense, of NVIDIA's data sheet
    plain, fp8 = times(), times(precision="amp_fp8")
    assert fp8["time_weights"] == pytest.approx(plain["time_weights"] * 989 / 1979)
    assert fp8["time_logits"] == plain["time_logits"]  # the head stays in 16 bits
    lora = times(precision="amp_fp8", lora_rank=8)
    assert lora["time_weights"] == pytest.approx(times(lora_rank=8)["time_weights"])


def test_formulas_of_time_by_hand():
    assert work_of_passes(flops=5, passes=3).value == 15
    assert adapter_flops(parameters=7).value == 14


# The way from the plain step: what each switch takes over

CHOSEN = {
    "precision": "bf16", "recompute": "full", "loss": "fused", "optimizer": "sgd", "lora_rank": 8, "batch_size": 4,
    "gradient_accumulation": 2, "data_parallel": 2, "zero_stage": 1, "tensor_parallel": 2, "sequence_parallel": True,
    "pipeline_parallel": 2, "context_parallel": 2, "offload_optimizer": True,
}  # fmt: skip


def test_every_switch_moves_its_inputs_and_no_other():
    way = configured(**CHOSEN).mix
    moved = {bar.id: {name: (was, now) for name, was, now in bar.settings} for bar in way.bars}
    assert moved == {
        "precision": {"precision": ("fp32", "bf16")},
        "attention": {"attention": ("eager", "sdpa")},
        "recompute": {"recompute": ("none", "full")},
        "loss": {"loss": ("plain", "fused")},
        "optimizer": {"optimizer": ("adamw_foreach", "sgd")},
        "lora": {"lora_rank": (0, 8)},
        "micro_batches": {"gradient_accumulation": (1, 2)},
        "data_parallel": {"data_parallel": (1, 2)},
        "zero": {"zero_stage": (0, 1)},
        "tensor_parallel": {"tensor_parallel": (1, 2), "sequence_parallel": (False, True)},
        "pipeline_parallel": {"pipeline_parallel": (1, 2)},
        "context_parallel": {"context_parallel": (1, 2)},
        "offload": {"offload_optimizer": (False, True)},
    }
    assert way.plain_setup.run.batch_size == 4 * 2 * 2
    setup, sizes = way.plain_setup, []
    for throw in SWITCHES.values():
        setup = throw(setup, way.chosen)
        sizes.append(setup.run.batch_size * setup.run.gradient_accumulation * setup.layout.data_parallel)
    assert set(sizes) == {16}, "the same sequences all the way"
    assert setup == way.chosen


def test_bars_are_differences_and_tell_no_time_where_none_is_modelled():
    way = configured(**CHOSEN).mix
    for bar in way.bars:
        assert bar.memory.value == bar.after.peak.value - bar.before.peak.value
        if bar.time:
            assert bar.time.value == bar.after.time.value - bar.before.time.value
    assert way.time.value == pytest.approx(way.result.time.value)
    told = {bar.id for bar in way.bars if bar.time}
    # a kernel's, an optimizer's and a launch's own time is in the utilisation
    assert not {"attention", "optimizer", "micro_batches"} & told
    assert {"precision", "recompute", "lora", "data_parallel", "pipeline_parallel"} <= told
    chunked = configured(loss="chunked").mix
    assert "loss" in {bar.id for bar in chunked.bars if bar.time}  # its head runs once more


# Pruning


def test_zeros_of_gpt_2_are_stored_by_hand():
    rows = 12 * (3 * 768 + 768 + 3072 + 768)  # query, key, value; the projection back; up; down
    model = configured().model
    assert linear_numbers(model) == (MATRICES, rows)
    rest = 2 * (GPT2 - MATRICES)
    for share in (0, 30, 90):
        found = {id: q.value for id, q in pruned_weights(model, "bf16", "unstructured", share).items()}
        left = MATRICES * (100 - share) / 100
        assert found == {
            "dense": pytest.approx(2 * MATRICES + rest),
            "bitmask": pytest.approx(MATRICES / 8 + 2 * left + rest),
            "csr": pytest.approx(left * (2 + 4) + 4 * rows + rest),
        }
    found = pruned_weights(model, "bf16", "semi_structured", 50)
    assert {id: q.value for id, q in found.items()} == {
        "dense": 2 * GPT2,
        "semi_structured": pytest.approx(MATRICES * 9 / 8 + rest),  # two of four in 16 bits, and two bits each
    }


def test_what_is_not_pruned_is_stored_as_the_format_says():
    # NF4: 4 bits and a scale of 32 for 64 weights, itself in 8 bits with fp32 for 256: 4.127; the rest in bf16
    model = configured().model
    (row,) = [row for row in csv_rows("quant_formats_bits.csv") if row["id"] == "NF4"]
    bits = float(row["bits_per_weight"])
    rest = 2 * (GPT2 - MATRICES)
    found = pruned_weights(model, "NF4", "unstructured", 50)
    assert found["dense"].value == pytest.approx(MATRICES * bits / 8 + rest, rel=1e-3)
    assert found["bitmask"].value == pytest.approx(MATRICES * (1 + bits / 2) / 8 + rest, rel=1e-3)


def kept(pruned: float, **sizes) -> dict[str, list[tuple[str, int]]]:
    """Parameters of each part of a layer after pruning."""
    model = structurally_pruned(Dimensions(**sizes).model(), pruned)
    (block, _), *_ = model.blocks
    return {part.component: part.parameters().value for part in block.parts}


@pytest.mark.parametrize(
    ("pruned", "heads", "kv_heads", "width"),
    [(0, 12, 12, 3072), (25, 9, 9, 2304), (50, 6, 6, 1536), (95, 1, 1, 154), (99, 1, 1, 31)],
)
def test_heads_and_channels_of_gpt_2_go_as_wholes(pruned, heads, kv_heads, width):
    assert width == round(3072 * (1 - pruned / 100))
    found = kept(pruned)
    inner = heads * 64
    assert found["attention"] == 4 * 768 * inner + 3 * inner + 768
    assert found["feed_forward"] == 2 * 768 * width + width + 768


@pytest.mark.parametrize(("pruned", "heads", "kv_heads"), [(50, 6, 2), (25, 9, 3), (75, 3, 1), (90, 3, 1)])
def test_query_heads_go_with_the_key_head_that_they_share(pruned, heads, kv_heads):
    # 12 query heads, 4 key heads: three to one; the last group stays
    found = kept(pruned, n_kv_heads=4, attention_bias=False)
    assert found["attention"] == 2 * 768 * heads * 64 + 2 * 768 * kv_heads * 64


def test_multi_query_attention_loses_query_heads_and_keeps_its_key_head():
    found = kept(50, n_kv_heads=1, attention_bias=False)
    assert found["attention"] == 2 * 768 * 6 * 64 + 2 * 768 * 64


def test_norms_of_all_heads_and_experts_and_latent_heads_are_narrowed():
    olmo = {"model_type": "olmo2", "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 4}
    olmo |= {"num_hidden_layers": 1, "intermediate_size": 1000, "vocab_size": 100}
    (block, _), *_ = structurally_pruned(from_config(olmo), 50).blocks
    norms = sorted(part.parameters().value for part in block.parts if part.component == "qk_norm")
    assert norms == [2 * 64, 4 * 64]  # over all of the 4 query heads and of the 2 key heads that are left
    qwen = {"model_type": "qwen3", "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 4}
    qwen |= {"num_hidden_layers": 1, "intermediate_size": 1000, "vocab_size": 100, "head_dim": 64}
    (block, _), *_ = structurally_pruned(from_config(qwen), 50).blocks
    assert [p.parameters().value for p in block.parts if p.component == "qk_norm"] == [64, 64]  # of one head each
    mixtral = configured("Mixtral 8x7B").model
    (block, _), *_ = structurally_pruned(mixtral, 50).blocks
    experts = next(part for part in block.parts if part.component == "experts")
    assert experts.parameters().value == 8 * 3 * 4096 * 14336 / 2
    latent = configured("DeepSeek-V2 Lite 16B").model
    before, after = (m.blocks[0][0].parts for m in (latent, structurally_pruned(latent, 50)))
    heads = [next(p for p in parts if p.component == "attention").n_heads for parts in (before, after)]
    assert heads == [16, 8]


# Kinds of cache, numbers for a token


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 12 layers, 2 x 64 for each key head; eight do not divide twelve, six do
        ("GPT-2 124M", {"multi_head": 12 * 12, "grouped": 12 * 6, "multi_query": 12, "this": 12 * 12}),
        # 32 layers, 32 heads of 128
        ("Llama 3 8B", {"multi_head": 64 * 32, "grouped": 64 * 8, "multi_query": 64, "this": 64 * 8}),
    ],
)
def test_kinds_of_attention_cache_so_many_heads(name, expected):
    found = {id: kind.kv_elements_per_token().value for id, kind in kinds_of_cache(configured(name).model).items()}
    assert found == {id: 2 * 64 * n for id, n in expected.items()}


def test_latent_attention_would_cache_a_value_for_every_head():
    # DeepSeek-V2 Lite: 27 layers of 16 heads of 128; what it caches is 512 + 64 a layer
    found = {
        id: kind.kv_elements_per_token().value
        for id, kind in kinds_of_cache(configured("DeepSeek-V2 Lite 16B").model).items()
    }
    assert found == {
        "multi_head": 27 * 2 * 16 * 128, "grouped": 27 * 2 * 8 * 128, "multi_query": 27 * 2 * 128, "this": 27 * 576,
    }  # fmt: skip


def test_only_a_model_with_windows_is_shown_without_and_an_encoder_caches_nothing():
    # Gemma 3 1B: 26 layers, every sixth sees all, the others 512; one key head of 256
    model = configured("Gemma 3 1B").model
    found = {id: kind.kv_cache_elements(seq_len=4096).value for id, kind in kinds_of_cache(model).items()}
    assert found["no_window"] == 26 * 2 * 256 * 4096
    assert found["this"] == 2 * 256 * (4 * 4096 + 22 * 512)
    assert found["multi_head"] == 4 * found["no_window"]
    assert kinds_of_cache(configured("BERT base (encoder)").model) == {}
    # T5: the encoder caches nothing, the decoder its own tokens; what it sees of the encoder stays as it is
    t5 = kinds_of_cache(configured("T5 small").model)
    assert t5["multi_query"].kv_elements_per_token().value < t5["multi_head"].kv_elements_per_token().value


# Stored weights


@pytest.mark.parametrize("row", csv_rows("llamacpp_files.csv"), ids=lambda row: f"{row['model']}, {row['file']}")
def test_a_file_has_the_size_that_llama_cpp_prints(row):
    size = stored_weights(configured(row["model"]).model, f"GGUF {row['file']}").value / GiB
    digits = len(row["size_GiB"].partition(".")[2])
    assert size == pytest.approx(float(row["size_GiB"]), abs=0.51 * 10**-digits)


def test_a_plain_format_stores_every_weight_alike_and_others_leave_what_they_leave():
    model = configured().model
    assert stored_weights(model, "fp32").value == 4 * GPT2
    assert stored_weights(model, "bf16").value == 2 * GPT2
    found = stored(model, "NF4")
    assert found.of_group("layers")[0] == MATRICES
    assert found.of_group("embedding") == (TABLE, 16)
    assert found.of_group("head") == (0, 0)  # tied
    assert found.of_group("rest") == (GPT2 - MATRICES - TABLE, 16)
    assert found.formats_of("layers") == ("NF4",)
    llama = stored(configured("Llama 3 8B").model, "NF4")
    assert llama.of_group("head") == llama.of_group("embedding") == (128_256 * 4096, 16)


def test_experts_alone_are_stored_in_their_format_where_there_are_some():
    # Mixtral: of each layer 8 experts of three 4096 x 14336; attention and router in 16 bits
    found = stored(configured("Mixtral 8x7B").model, "MXFP4")
    experts, attention = 32 * 8 * 3 * 4096 * 14336, 32 * (2 * 4096**2 + 2 * 4096 * 1024)
    assert found.numbers["layers", "MXFP4"] == experts
    assert found.numbers["layers", "bf16"] == attention
    assert found.formats_of("layers") == ("MXFP4", "bf16")  # most used first


# llama.cpp's rules, src/llama-quant.cpp: llama_tensor_get_type; more bits where
# i < n/8 || i >= 7n/8 || (i − n/8) % 3 == 2

MORE_BITS_OF_32 = (0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31)


@pytest.mark.parametrize("role", ["value", "down"])
def test_layers_with_more_bits_are_the_first_and_last_eighth_and_every_third(role):
    found = [matrix_format("GGUF Q4_K_M", Place(role, i, 32), 4096).id for i in range(32)]
    assert [i for i, id in enumerate(found) if id == "GGUF Q6_K"] == list(MORE_BITS_OF_32)
    assert {id for i, id in enumerate(found) if i not in MORE_BITS_OF_32} == {"GGUF Q4_K"}


@pytest.mark.parametrize(
    ("file", "place", "type"),
    [
        # Q3_K_M: attn_v two of Q5_K; ffn_down n/16 of Q5_K; attn_output Q4_K
        *(("Q3_K_M", Place("value", i, 32), "Q5_K" if i < 2 else "Q4_K") for i in (0, 1, 2, 31)),
        *(("Q3_K_M", Place("down", i, 32), "Q5_K" if i < 2 else "Q4_K") for i in (0, 1, 2)),
        ("Q3_K_M", Place("output", 5, 32), "Q4_K"),
        ("Q3_K_M", Place("query", 0, 32), "Q3_K"),
        # Q4_K_S: attn_v four of Q5_K; ffn_down n/8
        *(("Q4_K_S", Place("value", i, 32), "Q5_K" if i < 4 else "Q4_K") for i in (0, 3, 4)),
        *(("Q4_K_S", Place("down", i, 32), "Q5_K" if i < 4 else "Q4_K") for i in (0, 3, 4)),
        # n_gqa >= 4
        *(("Q2_K", Place("value", 9, 32, sharing), "Q4_K" if sharing >= 4 else "Q3_K") for sharing in (1, 3, 4, 8)),
        *(("IQ4_XS", Place("value", 9, 32, sharing), "Q5_K" if sharing >= 4 else "IQ4_XS") for sharing in (1, 3, 4)),
        # below three bits: n_gqa >= 4 || n_expert >= 4 gives attn_v Q4_K
        *(("IQ2_XS", Place("value", 9, 32, s, e), t)
          for s, e, t in ((1, 1, "Q2_K"), (4, 1, "Q4_K"), (3, 3, "Q2_K"), (1, 4, "Q4_K"))),
        # use_more_bits's middle for IQ3_XS's ffn_gate and ffn_up
        *(("IQ3_XS", Place("gate", i, 32), "IQ3_XXS" if 4 <= i < 28 else "IQ3_S") for i in (0, 3, 4, 27, 28, 31)),
        # LLAMA 2 70B, 80 layers: attn_v of Q3_K and Q4_K is Q5_K
        ("Q4_K_S", Place("value", 40, 80, 8), "Q5_K"),
        ("Q4_K_S", Place("value", 40, 79, 8), "Q4_K"),
        # eight experts: attn_v and attn_k Q8_0, attn_output Q5_K, except in files of more
        ("Q4_K_M", Place("value", 5, 32, 4, 8), "Q8_0"),
        ("Q4_K_M", Place("key", 5, 32, 4, 8), "Q8_0"),
        ("Q4_K_M", Place("output", 5, 32, 4, 8), "Q5_K"),
        ("Q5_K_M", Place("output", 5, 32, 4, 8), "Q5_K"),
        ("Q6_K", Place("output", 5, 32, 4, 8), "Q6_K"),
        ("Q4_K_M", Place("key", 5, 32, 4, 7), "Q4_K"),
        ("IQ2_XS", Place("key", 5, 32, 4, 8), "Q4_K"),
        ("IQ2_XS", Place("output", 5, 32, 4, 8), "Q5_K"),
        ("IQ2_XS", Place("output", 5, 32, 4, 1), "IQ2_XS"),
    ],
    ids=str,
)  # fmt: skip
def test_a_matrix_has_the_type_that_llama_cpp_gives_it(file, place, type):
    assert matrix_format(f"GGUF {file}", place, 4096).id == f"GGUF {type}"


def test_rows_that_blocks_do_not_divide_take_other_types():
    # 256 in a block of K-quants, 32 of the types that stand in: Q4_K → Q5_0, Q5_K → Q5_1, Q6_K → Q8_0; else F16
    place = Place("query", 0, 32)
    assert [matrix_format("GGUF Q4_K_M", place, width).id for width in (512, 1600, 100)] == [
        "GGUF Q4_K",
        "GGUF Q5_0",
        "bf16",
    ]
    assert [embedding_format("GGUF Q6_K", width).id for width in (512, 1600, 100)] == ["GGUF Q6_K", "GGUF Q8_0", "bf16"]
    assert [head_format("GGUF Q4_K_M", width).id for width in (512, 1600)] == ["GGUF Q6_K", "GGUF Q8_0"]
    assert head_format("GGUF Q8_0", 512).id == "GGUF Q8_0"


def test_a_joined_projection_has_a_type_of_its_own():
    # Q4_K_M: attn_qkv Q5_K; GPT-2's is joined, Llama's is not
    gpt2 = stored(from_config({"model_type": "gpt2", "n_embd": 1024, "n_head": 16}), "GGUF Q4_K_M").numbers
    assert gpt2["layers", "GGUF Q5_K"] == 12 * 3 * 1024**2
    assert ("layers", "GGUF Q5_K") not in stored(configured("Llama 3 8B").model, "GGUF Q4_K_M").numbers
    assert replace(Place("query", 0, 1), role="joined").role == "joined"


def test_stored_weights_say_by_which_rule_and_whose():
    def told(name: str) -> dict[str, tuple[str, bool]]:
        parts = stored_weights(configured().model, name).parts
        return {part.id: (part.formula_id, "ggml-org" in str(part.source)) for part in parts}

    quantized, left = ("quantized_memory", False), ("unquantized_memory", False)
    assert told("NF4") == {"stored_layers": quantized, "stored_embedding": left, "stored_rest": left}
    quantized, left = ("quantized_memory", True), ("unquantized_memory", True)
    assert told("GGUF Q4_K_M") == {"stored_layers": quantized, "stored_embedding": quantized, "stored_rest": left}
    assert told("bf16") == {"stored_whole": ("plain_memory", False)}


def test_settings_that_have_no_effect_make_no_bar():
    plain = {"precision": "fp32", "attention": "eager", "loss": "plain"}
    assert configured(**plain, lora_targets="all", lora_base="NF4", sequence_parallel=True).mix.bars == ()
    (bar,) = configured(**plain, lora_rank=4, lora_targets="all", lora_base="NF4").mix.bars
    assert {name: now for name, _, now in bar.settings} == {"lora_rank": 4, "lora_targets": "all", "lora_base": "NF4"}
