"""Laws of a simulated training step, over every way to run it; its bytes a parameter; what makes it fit."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from golden_files import csv_rows
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import llmcalc
from llmcalc import Dimensions, InputError, TrainingRun, training_step
from llmcalc.article import article_step
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.quantity import Quantity
from llmcalc.step.course import MOMENTS, rounding
from llmcalc.step.overhead import Overhead
from llmcalc.step.run import ATTENTIONS, LORA_BASES, LORA_PRECISIONS, LORA_TARGETS, LOSSES, RECOMPUTATIONS
from llmcalc.step.simulation import trace
from llmcalc.step.step import peak_sweep
from llmcalc.step.timeline import timeline
from llmcalc.step.weights import weights_of
from llmcalc.units import GiB

SHAPES = st.builds(
    Dimensions,
    d_model=st.sampled_from([64, 768, 4096]),
    n_layers=st.integers(1, 12),
    n_heads=st.sampled_from([4, 16, 32]),
    n_kv_heads=st.sampled_from([None, 1, 2, 4]),
    gated=st.booleans(),
    norm=st.sampled_from(["LayerNorm", "RMSNorm"]),
    final_norm=st.booleans(),
    tied_head=st.booleans(),
    positions=st.sampled_from(["learned", "none"]),
)
FAMILIES = st.sampled_from(
    [
        {"model_type": "gpt2"},
        {"model_type": "llama", "num_hidden_layers": 5, "num_key_value_heads": 8},
        {"model_type": "qwen2", "num_hidden_layers": 4},
        {"model_type": "gemma3_text", "num_hidden_layers": 8},
        {"model_type": "mixtral", "num_hidden_layers": 3},
        {"model_type": "opt", "num_hidden_layers": 3},
    ]
).map(llmcalc.from_config)
MODELS = SHAPES.map(Dimensions.model) | FAMILIES
SWITCHES = ("padding", "use_cache", "fp32_outputs", "activation_offload", "optimizer_in_backward")
SWITCHES += ("kbit_prepared", "input_require_grads")
WAYS = {
    "precision": st.sampled_from(sorted(PRECISIONS)),
    "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
    "attention": st.sampled_from(ATTENTIONS),
    "recompute": st.sampled_from(RECOMPUTATIONS),
    "loss": st.sampled_from(LOSSES),
    "keep_logits": st.booleans(),
    "dropout": st.sampled_from([0.0, 0.1]),
    "gradient_accumulation": st.sampled_from([1, 4]),
    "set_to_none": st.booleans(),
    "lora_rank": st.sampled_from([0, 0, 8]),
    "lora_targets": st.sampled_from(LORA_TARGETS),
    "lora_base": st.sampled_from(LORA_BASES),
    "lora_precision": st.sampled_from(LORA_PRECISIONS),
    "lora_dropout": st.sampled_from([0.0, 0.05]),
    "modules_to_save": st.sampled_from([(), ("embed_tokens",), ("embed_tokens", "lm_head")]),
    "weight_decay": st.sampled_from([0.0, 0.01]),
} | {name: st.booleans() for name in SWITCHES}
SIZES = st.integers(1, 2**14)
RUNS = st.builds(TrainingRun, batch_size=SIZES, seq_len=SIZES, **WAYS)


@settings(max_examples=80)
@given(model=MODELS, run=RUNS)
def test_the_parts_of_every_moment_add_up_and_the_peak_is_the_greatest(model, run):
    step = training_step(model, run)
    for id, moment in step.moments.items():
        assert sum(part.value for part in moment.parts) == pytest.approx(moment.value, rel=1e-12), id
        assert len({part.id for part in moment.parts}) == len(moment.parts)
        assert all(part.value >= 0 for part in moment.parts), id
        if id in MOMENTS:
            assert moment.value == pytest.approx(step.peak_by_moment[id], rel=1e-12)
    assert step.peak.value == pytest.approx(max(float(q) for q in step.moments.values()), rel=1e-12)
    assert step.saved_bytes == step.saved_activations.value
    assert step.saved_activations.value == pytest.approx(sum(p.value for p in step.saved_activations.parts))


@settings(max_examples=40)
@given(model=MODELS, run=RUNS)
def test_every_byte_that_is_allocated_is_freed_but_gradients_and_what_was_there(model, run):
    left = {}
    for event in trace(model, run, model.layers()).events:
        left[event.kind.category] = left.get(event.kind.category, 0) + event.sign * event.kind.bytes
    assert {category for category, size in left.items() if size} <= {"gradients", "inputs"}


@settings(max_examples=40)
@given(model=MODELS, run=RUNS)
def test_a_step_put_together_from_one_layer_of_each_kind_is_the_step_of_all_layers(model, run):
    height = most = 0
    for event in trace(model, run, model.layers()).events:
        height += event.sign * event.kind.bytes
        most = max(most, height)
    assert timeline(model, run, 0, [], []).peak() == most


@settings(max_examples=30)
@given(model=MODELS, run=RUNS)
def test_the_timeline_and_the_profile_reach_the_peak(model, run):
    step = training_step(model, run)
    for frame in (step.timeline, step.profile):
        assert frame["live"].max() == pytest.approx(step.peak.value, rel=1e-9, abs=1)  # NF4 has half bytes
        categories = [column for column in frame.columns if column.startswith("live_")]
        assert (frame[categories].sum(axis=1) - frame["live"]).abs().max() <= 1e-6 * step.peak.value


@settings(max_examples=20)
@given(model=MODELS, run=RUNS, batches=st.lists(SIZES, min_size=1, max_size=3), lengths=st.lists(SIZES, max_size=3))
def test_a_sweep_over_batch_and_length_equals_its_points(model, run, batches, lengths):
    lengths = [128, *lengths]
    swept = peak_sweep(
        model, dataclasses.replace(run, batch_size=np.array(batches)[:, np.newaxis], seq_len=np.array(lengths))
    )
    for (i, batch), (j, length) in itertools.product(enumerate(batches), enumerate(lengths)):
        point = training_step(model, dataclasses.replace(run, batch_size=batch, seq_len=length))
        assert swept[i, j] == pytest.approx(float(point.peak), rel=1e-12)


@settings(max_examples=40)
@given(model=MODELS, run=RUNS, more=st.integers(1, 1000))
def test_more_tokens_never_need_less(model, run, more):
    def peak(**changes):
        return float(training_step(model, dataclasses.replace(run, **changes)).peak)

    assert peak(batch_size=run.batch_size + more) >= peak()
    windows = {part.window for block, _ in model.blocks for part in block.parts if getattr(part, "window", None)}
    assume(not any(run.seq_len < window <= run.seq_len + more for window in windows))
    assert peak(seq_len=run.seq_len + more) >= peak()


@settings(max_examples=40)
@given(model=MODELS, run=RUNS)
def test_what_saves_memory_saves_memory(model, run):
    kept = {
        (attention, recompute): training_step(
            model, dataclasses.replace(run, attention=attention, recompute=recompute)
        ).saved_activations.value
        for attention, recompute in itertools.product(ATTENTIONS, RECOMPUTATIONS)
    }
    for attention in ATTENTIONS:  # what offloading takes is what autograd keeps, not what a recomputed layer is given
        assert kept[attention, "full"] <= kept[attention, "none"] or run.activation_offload


def test_bytes_that_floats_lose_on_the_way_past_a_peak_are_not_missed_but_others_are():
    """8 bits and an eighth for a weight make bytes a fraction; past 10¹⁸ of them a float tells no two hundred apart."""
    parts = [Quantity("weights", 5_761_720_645_246.25, "bytes", "M", meaning="Weights.")]
    assert rounding(5_761_720_645_120.0, parts, 1.9e18) == ()
    for passed in (0, 5.8e12):
        with pytest.raises(ArithmeticError, match="more than"):
            rounding(5_761_720_645_120.0, parts, passed)
    with pytest.raises(ArithmeticError):
        rounding(parts[0].value - 10**8, parts, 1.9e18)


@settings(max_examples=30)
@given(model=MODELS)
def test_the_weights_that_run_are_the_weights_that_are_counted(model):
    found = weights_of(model, TrainingRun())
    assert found.trainable == found.everything == model.parameters().value


def test_adapters_are_two_thin_matrices_beside_each_product():
    # GPT-2 small: c_attn 768 → 2304 and c_proj 768 → 768 in each of 12 layers
    run = TrainingRun(lora_rank=8)
    step = training_step(Dimensions().model(), run)
    assert step.trainable.value == 12 * 8 * ((768 + 2304) + (768 + 768))
    everywhere = training_step(Dimensions().model(), dataclasses.replace(run, lora_targets="all"))
    assert everywhere.trainable.value == step.trainable.value + 12 * 8 * 2 * (768 + 3072)


def test_fp8_halves_what_linear_layers_keep_and_nothing_else():
    # GPT-2 small: in 16 bits a layer's linears keep 2 + 2 + 2 + 8 bytes for each of E, its matrices' copies 2 a weight
    run = TrainingRun(batch_size=2, seq_len=512)
    half = training_step(Dimensions().model(), run)
    narrow = training_step(Dimensions().model(), dataclasses.replace(run, precision="amp_fp8"))
    e, matrices = 2 * 512 * 768, 12 * 12 * 768**2
    assert half.weight_casts.value - narrow.weight_casts.value == matrices
    # the inputs of both norms' linears; attention's and the nonlinearity's outputs are kept in 16 bits no longer
    saved = half.saved_activations.value - narrow.saved_activations.value
    assert saved == pytest.approx(12 * (1 + 1 + 4) * e - 12 * e, rel=0.01)


# Bytes a parameter


@pytest.mark.parametrize("row", csv_rows("optimizer_state_bytes.csv"), ids=lambda row: row["setup"])
def test_a_precision_with_an_optimizer_has_its_bytes_for_each_parameter(row):
    shape = Dimensions()
    n = shape.model().parameters().value
    step = training_step(shape.model(), TrainingRun(precision=row["precision"], optimizer=row["optimizer"]))
    assert step.weights.value == n * float(row["weight_bytes"])
    assert step.gradients.value == n * float(row["gradient_bytes"])
    assert step.optimizer_state.value == n * float(row["optimizer_bytes"])


def test_only_what_roots_all_states_at_once_allocates_a_copy_of_everything_while_it_steps():
    # torch's AdamW takes the square roots of all second moments at once (foreach): 20 bytes a parameter, not 16
    model = Dimensions().model()
    n = model.parameters().value
    for name in OPTIMIZERS:
        temporary = training_step(model, TrainingRun(precision="fp32", optimizer=name)).optimizer_temporary.value
        at_once = ("adamw_foreach", "adamw_amsgrad", "rmsprop", "adamax", "nadam", "adafactor_torch_foreach")
        copies = {"adagrad": 2} | dict.fromkeys(at_once, 1)  # Adagrad: the gradients times a number too
        assert temporary == copies[name] * 4 * n if name in copies else temporary < 4 * n, name


# GPT-2 small, batch 12, length 1,024, vocabulary 50,304: the article's own example

LESSON = Dimensions(vocab_size=50_304)
TOKENS, HEADS, LENGTH = 12 * 1024, 12, 1024
E, LOGITS = TOKENS * 768, TOKENS * 50_304
SCORES = TOKENS * HEADS * LENGTH
N = LESSON.model().parameters().value
LESSON_RUN = TrainingRun(batch_size=12, seq_len=1024, loss="plain", keep_logits=True)


@pytest.mark.parametrize(("attention", "of_scores"), [("eager", 6 * SCORES + LENGTH**2), ("sdpa", 4 * TOKENS * HEADS)])
def test_a_layer_keeps_36_e_and_its_attention_matrix(attention, of_scores):
    # both norms' inputs, attention's input, q k v, attention's output, first linear's input, GELU's in- and output
    layer = (4 + 4 + 2 + 6 + 2 + 2 + 8 + 8) * E + of_scores
    # outside: final norm, head input, 8 bytes of statistics a token for each of 25 norms, cross-entropy, position ids
    by_hand = 12 * layer + (4 + 2) * E + 25 * 8 * TOKENS + 6 * LOGITS + 8 * LENGTH
    kept = training_step(LESSON.model(), dataclasses.replace(LESSON_RUN, attention=attention)).saved_activations.value
    assert 0 <= kept - by_hand <= 32 * 512  # scalars and random states take 512 bytes each


def test_the_peak_of_the_lesson_is_between_the_articles_and_what_it_forgot():
    # A derivation by hand of the same step prints 21.65 GiB: 16 N with the gradients, no weight casts, no held logits.
    step = training_step(LESSON.model(), dataclasses.replace(LESSON_RUN, attention="eager"))
    parts = {part.id: part.value for part in step.peak.parts}
    on_those_terms = step.peak.value + 4 * N - parts["weight_casts"] - parts["held_logits"]
    assert on_those_terms / GiB == pytest.approx(21.65, rel=0.003)
    # the matrices; the copies of biases, which no backward needs, are gone by then
    assert parts["weight_casts"] == 2 * (12 * 12 * 768**2 + 50_304 * 768)
    assert parts["held_logits"] == 2 * LOGITS


def test_the_articles_formula_gives_its_nine_and_a_half_gib():
    memory = article_step(LESSON.model(), LESSON, batch_size=12, seq_len=1024)
    by_hand = 16 * N + 8 * TOKENS + 12 * (14 * E + 4 * TOKENS * LENGTH) + 6 * LOGITS + 4 * LOGITS
    assert memory.peak.value == by_hand
    assert f"{memory.peak.value / GiB:.2f}" == "9.65"
    assert memory.peak_phase == "loss_backward"
    assert memory.peak.value == pytest.approx(memory.moments["loss_backward"].value)


def test_what_nvidia_smi_shows_and_the_budget_are_each_others_inverse():
    overhead = Overhead(context=500, workspaces=32, fragmentation=20)
    peak = training_step(Dimensions().model(), TrainingRun()).peak
    process = overhead.process(peak)
    assert overhead.reserved(peak).value == pytest.approx((peak.value + 32 * 2**20) * 1.2)
    assert process.value == pytest.approx(overhead.reserved(peak).value + 500 * 2**20)
    assert overhead.budget(process.value).value == pytest.approx(peak.value)


# What cannot be


def test_the_largest_model_in_the_largest_run_still_has_a_number():
    # 10²² bytes: beyond what a 64-bit integer holds
    shape = Dimensions(d_model=32_768, n_layers=256, n_heads=256, vocab_size=500_000, d_ff=1_000_000)
    step = training_step(shape.model(), TrainingRun(batch_size=65_536, seq_len=2**20, attention="eager"))
    assert step.peak.value > 2**63
    assert step.peak.value == pytest.approx(max(float(q) for q in step.moments.values()), rel=1e-15)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("precision", "fp7"),
        ("optimizer", "Adam?"),
        ("attention", "flash"),
        ("recompute", "some"),
        ("loss", "l2"),
        ("batch_size", 0),
        ("seq_len", -1),
        ("batch_size", np.array([1, 0])),
        ("dropout", 1.0),
        ("lora_rank", -1),
        ("loss_chunks", 0),
    ],
)
def test_a_run_that_cannot_be_is_refused_by_the_name_of_its_input(name, value):
    with pytest.raises(InputError) as caught:
        TrainingRun(**{name: value})
    assert caught.value.input_id == name
