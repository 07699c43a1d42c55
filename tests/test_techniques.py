"""What techniques save and cost: laws over all of them, and figures that were printed elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from golden_files import csv_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import for_each

from llmcalc import Dimensions, from_config
from llmcalc.accuracy.published_results import PUBLISHED_RESULTS
from llmcalc.bases import base
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.formats import CACHE_FORMATS, STORED_FORMATS, WEIGHT_FORMATS
from llmcalc.catalog.models import models
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS, INPUTS, STUDENTS, TECHNIQUES
from llmcalc.rates.times import compute_time, host_time, idle_time, message_time
from llmcalc.serving.held import cache_per_token
from llmcalc.step.run import ATTENTIONS, LORA_BASES, LOSSES, RECOMPUTATIONS
from llmcalc.stored.weights import GROUPS, stored, stored_weights
from llmcalc.techniques.cache import kinds_of_cache
from llmcalc.techniques.mix import SWITCHES
from llmcalc.techniques.pruning import (
    PRUNINGS,
    bitmask_break_even,
    csr_break_even,
    linear_numbers,
    pruned_weights,
    semi_structured_memory,
    stays_whole,
    structurally_pruned,
)
from llmcalc.units import GiB, human

NAMES = ("GPT-2 124M", "Llama 3 8B", "Mixtral 8x7B", "Gemma 2 2B", "DeepSeek-V2 Lite 16B", "T5 small", "Qwen3 0.6B")
COMPRESSION = {row["what"]: row for row in csv_rows("compression.csv")}


def configured(model: str = "GPT-2 124M", **changes) -> Configuration:
    return Configuration(DEFAULTS | {"model": model} | dict(base(model).values) | changes)


KNOWN = [name for name in NAMES if name in INPUTS["model"].options]
some_models = pytest.mark.parametrize("name", KNOWN)


def test_the_models_of_these_tests_are_in_the_library():
    assert len(KNOWN) >= 5


# The mix

MIXES = st.fixed_dictionaries({
    "model": st.sampled_from(["GPT-2 124M", "Mixtral 8x7B", "Qwen2.5 0.5B"]),
    "precision": st.sampled_from(sorted(PRECISIONS)),
    "attention": st.sampled_from(ATTENTIONS),
    "recompute": st.sampled_from(RECOMPUTATIONS),
    "loss": st.sampled_from(LOSSES),
    "keep_logits": st.booleans(),
    "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
    "set_to_none": st.booleans(),
    "lora_rank": st.sampled_from([0, 8]),
    "lora_base": st.sampled_from(LORA_BASES),
    "batch_size": st.sampled_from([1, 2, 8]),
    "gradient_accumulation": st.sampled_from([1, 2, 4]),
    "data_parallel": st.sampled_from([1, 2, 6]),
    "zero_stage": st.sampled_from([0, 1, 2, 3]),
    "tensor_parallel": st.sampled_from([1, 2]),
    "sequence_parallel": st.booleans(),
    "pipeline_parallel": st.sampled_from([1, 2, 3]),
    "interleave": st.sampled_from([1, 2]),
    "context_parallel": st.sampled_from([1, 2]),
    "expert_parallel": st.sampled_from([1, 2]),
    "offload_optimizer": st.booleans(),
})  # fmt: skip


@settings(max_examples=25)
@given(mix=MIXES)
def test_the_bars_of_any_mix_add_up_from_the_plain_step_to_the_chosen_one(mix):
    config = configured(**mix)
    way = config.mix
    assert [bar.id for bar in way.bars] == [id for id in SWITCHES if id in {bar.id for bar in way.bars}]
    for before, after in zip(way.bars, way.bars[1:], strict=False):
        assert before.after is after.before
    chosen = config.verdict.allocated  # what is arrived at is the very step that the other pages count
    assert way.result.peak.value == chosen.value
    assert way.memory.value == pytest.approx(chosen.value, abs=0.01)
    assert way.time is not None
    assert way.time.value == pytest.approx(way.result.time.value, rel=1e-9)
    assert all(math.isfinite(part.value) for part in (*way.memory.parts, *way.time.parts))
    for bar in way.bars:
        assert bar.settings
        assert sum(part.value for part in bar.after.peak.parts) == pytest.approx(bar.after.peak.value)


def test_every_switch_has_a_bar_where_it_is_thrown_and_none_where_it_is_not():
    everything = {"precision": "bf16", "recompute": "full", "loss": "fused", "optimizer": "sgd", "lora_rank": 8}
    everything |= {"gradient_accumulation": 2, "data_parallel": 2, "zero_stage": 1, "tensor_parallel": 2}
    everything |= {"pipeline_parallel": 2, "context_parallel": 2, "expert_parallel": 2, "offload_optimizer": True}
    assert [bar.id for bar in configured("Mixtral 8x7B", **everything).mix.bars] == list(SWITCHES)
    plain = configured(precision="fp32", attention="eager", loss="plain", lora_base="NF4", sequence_parallel=True)
    assert plain.mix.bars == ()
    assert plain.mix.memory.value == plain.mix.plain.peak.value == plain.step.peak.value


@pytest.mark.parametrize(
    ("layout", "bars"),
    [
        ({"data_parallel": 1, "tensor_parallel": 2}, {"tensor_parallel"}),  # no copies: no buckets, nothing to gather
        ({"data_parallel": 2}, {"data_parallel"}),  # every copy holds its weights whole
        ({"data_parallel": 2, "zero_stage": 1}, {"data_parallel", "zero"}),
        ({"data_parallel": 2, "zero_stage": 2}, {"data_parallel", "zero"}),
        ({"data_parallel": 1, "zero_stage": 3}, {"zero"}),
    ],
)
def test_what_copies_that_are_not_there_would_keep_is_no_change(layout, bars):
    plain = {"precision": "fp32", "attention": "eager", "loss": "plain", "optimizer": "adamw_foreach"}
    found = configured(**plain, **layout, ddp_bucket_view=True, keep_gathered=True).mix.bars
    moved = {name for bar in found for name, _, _ in bar.settings}
    assert {bar.id for bar in found} <= bars
    assert ("ddp_bucket_view" in moved) == (layout == {"data_parallel": 2})
    assert "keep_gathered" not in moved


def test_weights_that_stay_gathered_are_a_change_where_copies_share_them():
    found = configured(data_parallel=2, zero_stage=3, keep_gathered=True).mix.bars
    assert ("keep_gathered", False, True) in {setting for bar in found for setting in bar.settings}


def test_the_plain_step_goes_through_all_sequences_at_once():
    way = configured(batch_size=2, gradient_accumulation=3, data_parallel=4).mix
    assert way.plain_setup.run.batch_size == 2 * 3 * 4
    assert way.plain_setup.layout.devices == 1


def test_a_step_without_tensor_cores_and_one_with_them_differ_by_their_rates():
    # H100 SXM: 67 TFLOPS in fp32, 989 in bf16, on the same operations
    plain, mixed = (configured(precision=id).mix.result.time.value for id in ("fp32", "bf16"))
    assert plain / mixed == pytest.approx(989 / 67, rel=1e-9)


def test_a_gpt_2_step_takes_its_operations_over_the_rate():
    # 6 (N - N_emb) + 6 V d + 3 * 4 * S/2 * h * d_h * L for each of B * S tokens, 40 % of 989 TFLOPS
    n = 124_439_808 - 50_257 * 768 - 1024 * 768
    flops = 6 * n + 6 * 50_257 * 768 + 12 * 512 * 768 * 12
    expected = 8 * 1024 * flops / (0.4 * 989e12)
    assert configured().mix.result.time.value == pytest.approx(expected, rel=1e-9)


def test_full_recomputation_adds_a_forward_pass_of_the_layers():
    times = {
        id: configured(recompute=id, attention="eager", vocab_size=100).mix.result.time.value for id in RECOMPUTATIONS
    }
    assert times["none"] < times["selective"] < times["full"] < 4 / 3 * times["none"]
    assert times["full"] == pytest.approx(4 / 3 * times["none"], rel=1e-3)  # hardly any logits


def test_frozen_weights_need_no_gradient_of_their_own():
    full, lora = (configured("Llama 3 8B", precision="bf16", lora_rank=rank).mix.result.time.value for rank in (0, 8))
    assert 2 / 3 < lora / full < 0.7


def test_idle_time_and_messages_are_what_the_layout_says():
    config = configured("Llama 3 8B", pipeline_parallel=4, gradient_accumulation=8, batch_size=1, data_parallel=2)
    parts = {part.id: part.value for part in config.mix.result.time.parts}
    computing = sum(value for id, value in parts.items() if id.startswith("time_"))
    assert parts["idle_time"] == pytest.approx(computing * 3 / 8)
    assert parts["message_time"] == pytest.approx(config.rank.traffic.value / 450e9)
    alone = configured("Llama 3 8B", gradient_accumulation=16, batch_size=1)
    assert computing == pytest.approx(sum(part.value for part in alone.mix.result.time.parts) / 8)


def test_time_formulas_by_hand():
    assert compute_time(flops=6, tokens=100, devices=2, peak_flops=1000, utilization=50).value == 0.6
    assert idle_time(compute_seconds=10, pipeline_parallel=3, interleave=2, micro_batches=5).value == 2
    assert message_time(sent_bytes=2 * 10**9, link_bandwidth=4).value == 0.5
    sizes = {"gradient_bytes": 2, "weight_bytes": 2, "shards": 2, "host_bandwidth": 1}
    assert host_time(rank_parameters=10**9, **sizes).value == 2
    assert human(0.0165, "s") == "16.5 ms"
    assert human(7_200, "s") == "2.00 h"


def test_an_encoder_and_a_device_without_a_known_rate_have_no_time():
    assert configured("BERT base (encoder)").mix.time is None
    way = configured(accelerator="TPU v5e").mix
    assert (way.time, way.without_rate) == (None, "fp32")
    assert configured(accelerator="V100 32GB SXM2").mix.without_rate == "bf16"
    assert configured(accelerator="V100 32GB SXM2", precision="amp_fp16").mix.time is not None


def test_a_rate_falls_with_the_width_of_its_numbers():
    for device in ACCELERATORS.values():
        rates = [device.peak_flops(format) for format in ("fp32", "bf16", "fp8")]
        known = [rate for rate in rates if rate]
        assert known == sorted(known)


# Quantization


@pytest.mark.parametrize("row", csv_rows("llamacpp_llama31_8b.csv"), ids=lambda row: row["file"])
def test_a_file_of_llama_3_1_has_the_size_that_is_printed(row):
    model = configured("Llama 3.1 8B").model
    name = "bf16" if row["file"] == "F16" else f"GGUF {row['file']}"
    # F16 keeps its norms in fp32: 0.0005 bits
    tolerance = 0.0006 if row["file"] == "F16" else 0.00006
    assert stored(model, name).bits_per_weight == pytest.approx(float(row["bits_per_weight"]), abs=tolerance)
    assert stored_weights(model, name).value / GiB == pytest.approx(float(row["size_GiB"]), abs=0.0051)


@some_models
@for_each("name_of_format", STORED_FORMATS)
def test_every_number_is_stored_once(name, name_of_format):
    model = configured(name).model
    kept = stored(model, name_of_format)
    assert sum(kept.numbers.values()) == model.parameters().value
    assert {group for group, _ in kept.numbers} <= set(GROUPS)
    assert stored_weights(model, name_of_format).value == pytest.approx(sum(kept.bits.values()) / 8)


@some_models
@pytest.mark.parametrize("stored_as", ["all", "linear", "tables"])
def test_a_format_with_more_bits_never_needs_less(name, stored_as):
    model = configured(name).model
    alike = sorted((f for f in WEIGHT_FORMATS.values() if f.stored == stored_as), key=lambda f: f.bits)
    sizes = [stored_weights(model, format.id).value for format in alike]
    assert sizes == sorted(sizes)


@some_models
def test_larger_files_of_llama_cpp_are_larger_in_every_model(name):
    model = configured(name).model
    order = ("IQ1_S", "IQ2_XXS", "IQ2_M", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")
    sizes = [stored_weights(model, f"GGUF {file}").value for file in order]
    # rows that no block of 256 divides all fall back to the same types
    assert sizes == sorted(sizes)
    assert sizes[-1] < stored_weights(model, "bf16").value


def test_formats_for_linear_layers_leave_embeddings_head_and_norms_in_16_bits():
    # Llama 3.1 8B: 32 layers of q, o (4096 x 4096), k, v (4096 x 1024) and three of 4096 x 14336; the rest in bf16
    linear = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    expected = linear * (4 + 16 / 128) / 8 + 2 * (8_030_261_248 - linear)
    assert stored_weights(configured("Llama 3.1 8B").model, "int4 g128").value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "row", csv_rows("published_checkpoints.csv"), ids=lambda row: f"{row['model']}, {row['format']}"
)
def test_a_checkpoint_takes_the_bytes_that_its_index_states(row):
    # MLX quantises some families' routers, and keeps others' in 16 bits: less than a thousandth
    size = stored_weights(configured(row["model"]).model, row["format"]).value
    assert size == pytest.approx(int(row["total_bytes"]), rel=0.001)


def test_what_is_for_experts_only_takes_all_linear_layers_where_there_are_none():
    model = configured("Llama 3 8B").model
    assert stored(model, "MXFP4").bits["layers", "MXFP4"] == 4.25 * stored(model, "fp8").numbers["layers", "fp8"]


def test_a_scale_for_each_row_weighs_by_the_width_of_the_row():
    # one 16-bit scale for a row: 4096 wide for q, k, v, o, gate and up, 14336 wide for down
    rows = 32 * (2 * 4096 + 2 * 1024 + 2 * 14336 + 4096)
    linear = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    expected = linear + 2 * rows + 2 * (8_030_261_248 - linear)
    assert stored_weights(configured("Llama 3.1 8B").model, "int8").value == pytest.approx(expected, rel=1e-12)


def test_rows_that_blocks_do_not_divide_fall_back():
    # GPT-2 XL is 1,600 wide: not in blocks of 256, but of 32
    formats = stored(configured("GPT-2 XL 1.5B").model, "GGUF Q6_K").formats_of("layers")
    assert set(formats) == {"GGUF Q6_K", "GGUF Q8_0"}  # the 6,400 wide rows of the second linear layer do fit


def test_two_of_four_takes_nine_bits_in_sixteen():
    for bits in (16, 8, 4):
        (row,) = [r for r in csv_rows("quant_formats_bits.csv") if r["id"] == f"2:4 of {bits} bits"]
        assert semi_structured_memory(parameters=8, bits_per_weight=bits).value == float(row["bits_per_weight"])


# The cache


@pytest.mark.parametrize("row", csv_rows("kv_cache_of_kinds.csv"), ids=lambda row: f"{row['model']}, {row['kind']}")
def test_kinds_of_attention_cache_so_many_numbers(row):
    kinds = kinds_of_cache(configured(row["model"]).model)
    assert kinds[row["kind"]].kv_elements_per_token().value == int(row["elements_per_token"])


@for_each("name", models())
def test_no_kind_of_attention_caches_more_than_full_multi_head(name):
    kinds = kinds_of_cache(from_config(models()[name].config))
    sizes = {id: kind.kv_cache_elements(seq_len=100_000).value for id, kind in kinds.items()}
    if sizes:
        assert sizes["multi_query"] <= sizes["grouped"] <= sizes["multi_head"]
        assert sizes["this"] <= sizes.get("no_window", sizes["this"])
        assert kinds["this"].parameters().value == from_config(models()[name].config).parameters().value


def test_a_window_saves_what_is_beyond_it():
    # Mistral 7B v0.1: every layer sees 4,096 tokens
    kinds = kinds_of_cache(configured("Mistral 7B v0.1").model)
    full, windowed = (kinds[id].kv_cache_elements(seq_len=32_768).value for id in ("no_window", "this"))
    assert full == 8 * windowed


def test_a_cache_takes_the_bits_of_its_format():
    model = configured("Llama 3 8B").model
    for id, format in CACHE_FORMATS.items():
        assert cache_per_token(model, cache_format=id).value == 65_536 * format.bits / 8


# Pruning


@some_models
@given(share=st.integers(0, 95))
@settings(max_examples=10)
def test_zeros_stored_as_usual_save_nothing_and_an_index_pays_beyond_its_break_even(name, share):
    model = configured(name).model
    found = pruned_weights(model, "bf16", "unstructured", share)
    dense = stored_weights(model, "bf16").value
    assert found["dense"].value == pytest.approx(dense, rel=1e-12)
    assert (found["bitmask"].value <= dense) == (share >= 100 / 16)
    n, rows = linear_numbers(model)
    enough = (1 - share / 100) * 48 * n + 32 * rows <= 16 * n
    assert (found["csr"].value <= dense * (1 + 1e-12)) == enough


@some_models
def test_more_sparsity_never_needs_more(name):
    model = configured(name).model
    shares = range(0, 100, 5)
    for weight_format in ("bf16", "NF4", "GGUF Q4_K_M"):
        found = [pruned_weights(model, weight_format, "unstructured", share) for share in shares]
        for storage in ("bitmask", "csr"):
            sizes = [at[storage].value for at in found]
            assert sizes == sorted(sizes, reverse=True)
    left = [structurally_pruned(model, share) for share in shares]
    for sizes in (
        [m.parameters().value for m in left],
        [m.kv_elements_per_token().value for m in left],
        [stored_weights(m, "NF4").value for m in left],
    ):
        assert sizes == sorted(sizes, reverse=True)


def test_break_evens_by_hand():
    assert bitmask_break_even(bits_per_weight=16).value == 6.25
    assert csr_break_even(bits_per_weight=16, index_bits=32).value == pytest.approx(200 / 3)


def test_structured_pruning_takes_whole_heads_and_channels_out():
    # half of Llama 3.1 8B's heads (16 of 32, 4 of 8) and channels: 7168 of 14336
    after = structurally_pruned(configured("Llama 3.1 8B").model, 50)
    layer = 2 * 4096 * 2048 + 2 * 4096 * 512 + 3 * 4096 * 7168 + 2 * 4096
    assert after.parameters().value == 32 * layer + 2 * 128_256 * 4096 + 4096
    assert structurally_pruned(after, 0) == after


def test_what_pruning_leaves_whole_is_named_and_all_else_shrinks():
    # Jamba: of each eight layers seven are Mamba, whose inner channels share B and C, and one is attention
    assert stays_whole(from_config({"model_type": "jamba"})) == ("mamba",)
    assert stays_whole(configured("Llama 3.1 8B").model) == ()
    for row in models().values():
        model = from_config(row.config)
        for mixer in model.mixers:
            sizes = [part.parameters().value for part in (mixer, mixer.pruned(0.2))]
            assert (sizes[0] == sizes[1]) == (mixer.id in stays_whole(model)), (row.name, mixer.id)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("Llama 3.1 8B parameters", {}),
        ("Minitron 4B width parameters", {"d_model": 3072, "d_ff": 9216, "d_head": 128}),
        ("Minitron 4B depth parameters", {"n_layers": 16}),
    ],
)
def test_pruned_llamas_have_the_parameters_that_were_counted(what, changes):
    shape = {"d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "d_head": 128, "d_ff": 14336}
    llama = {"vocab_size": 128_256, "gated": True, "attention_bias": False, "ffn_bias": False, "norm": "RMSNorm"}
    model = Dimensions(**shape | llama | {"positions": "none", "tied_head": False} | changes).model()
    assert model.parameters().value == int(COMPRESSION[what]["value"])


# Distillation


def test_distilbert_is_as_much_smaller_as_its_paper_says():
    bert = from_config({"model_type": "bert", "architectures": ["BertModel"]}).parameters().value
    distilled = from_config({"model_type": "distilbert", "architectures": ["DistilBertModel"]}).parameters().value
    assert bert == int(COMPRESSION["BERT base parameters"]["value"])
    assert distilled == int(COMPRESSION["DistilBERT base parameters"]["value"])
    assert distilled / bert == pytest.approx(float(COMPRESSION["DistilBERT / BERT"]["value"]), abs=5e-5)


TEACHERS = st.sampled_from(["GPT-2 124M", "GPT-2 XL 1.5B", "Llama 3 8B", "Mixtral 8x7B", "BERT base (encoder)"])


@settings(max_examples=25)
@given(
    teacher=TEACHERS,
    student=st.sampled_from(["DistilGPT2 82M", "GPT-2 124M", "Llama 3.2 1B"]),
    run=st.fixed_dictionaries({
        "precision": st.sampled_from(["fp32", "amp_bf16", "bf16"]),
        "loss": st.sampled_from(LOSSES),
        "recompute": st.sampled_from(RECOMPUTATIONS),
        "weight_format": st.sampled_from(["bf16", "NF4", "GGUF Q4_K_M"]),
        "batch_size": st.sampled_from([1, 8]),
    }),
)  # fmt: skip
def test_a_teacher_and_its_student_need_more_than_the_student_and_the_teachers_weights(teacher, student, run):
    config = configured(teacher, student=student, **run)
    both, weights = config.distillation, stored_weights(config.model, run["weight_format"]).value
    assert both.peak.value >= config.student.step.peak.value + weights - 1
    assert both.peak.value == max(moment.value for moment in both.moments.values())
    assert {part.id for part in both.peak.parts} >= {"teacher_weights"}
    if both.work:
        assert both.work.value > 1


def test_both_logits_stand_side_by_side_at_the_loss():
    # 8 x 1,024 tokens, 50,257 entries: the teacher's logits in 16 bits, two distributions in 32
    both = configured(student="DistilGPT2 82M").distillation
    added = both.moments["loss_backward"].value - both.student.moments["loss_backward"].value
    assert added == pytest.approx(2 * 124_439_808 + 8 * 1024 * 50_257 * (2 + 2 * 4))


def test_a_teacher_as_large_as_its_student_adds_a_third_of_the_operations():
    assert configured(student="GPT-2 124M").distillation.work.value == pytest.approx(4 / 3)


@for_each("student", STUDENTS)
def test_every_model_of_the_library_can_be_a_student(student):
    config = configured(student=student)
    assert config.student.base.id == student
    assert config.student.model.parameters().value > 0


def test_every_published_result_belongs_to_a_section():
    assert {row.technique for row in PUBLISHED_RESULTS.values()} <= set(TECHNIQUES)


def test_settings_that_do_nothing_alone_are_no_switch_of_the_plain_step():
    way = configured().mix
    plain = way.plain_setup
    assert replace(plain.run, precision="amp_bf16", attention="sdpa", loss="hf") == way.chosen.run
    assert INPUTS["pruning"].options == PRUNINGS
