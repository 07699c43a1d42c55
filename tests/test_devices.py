"""A training step on several devices: the laws that it obeys, the figures of papers, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import korthikanti
import numpy as np
import pytest
from configurations import configured
from golden_files import csv_rows

from llmcalc.accuracy import korthikanti_activations
from llmcalc.bases import base
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout, check_layout
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.plans import Cluster, divisors, plans, settings
from llmcalc.devices.rank import candidates, rank_memory
from llmcalc.devices.stage import Stage
from llmcalc.devices.work import Work
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS
from llmcalc.step.run import LOSSES, RECOMPUTATIONS, TrainingRun
from llmcalc.step.step import training_step
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.units import GiB
from llmcalc.words import w


def library(name: str):
    start = base(name)
    return start.model(start.values)


LLAMA, MIXTRAL, GEMMA = library("Llama 3 8B"), library("Mixtral 8x7B"), library("Gemma 2 2B")
GPT2 = Dimensions().model()
SEVERAL = TrainingRun(batch_size=2, seq_len=2048, gradient_accumulation=8, precision="mixed_bf16", recompute="none")
every_model = pytest.mark.parametrize(
    "model", [GPT2, LLAMA, MIXTRAL, GEMMA], ids=["GPT-2", "Llama", "Mixtral", "Gemma"]
)


def peak(model, run=SEVERAL, **layout) -> float:
    return rank_memory(model, run, Layout(**layout)).peak.value


# Korthikanti et al.

KORTHIKANTI = csv_rows("korthikanti2022.csv")
SEQUENCE = 2048


@pytest.mark.parametrize("row", KORTHIKANTI, ids=lambda row: row["model"])
def test_korthikantis_figures_come_out_to_the_byte(row):
    d_model, n_heads, n_layers, batch, t, p, v = (
        int(row[key]) for key in ("hidden", "heads", "layers", "microbatch", "tp", "pp", "interleave")
    )
    tokens = {"batch_size": batch, "seq_len": SEQUENCE, "d_model": d_model, "tensor_parallel": t}
    layers = n_layers
    if v > 1:
        layers = korthikanti.first_stage_layers(n_layers=n_layers, pipeline_parallel=p, interleave=v)
    of = {
        "none": korthikanti.tensor_parallel_activations(n_heads=n_heads, **tokens),
        "sequence": korthikanti.sequence_parallel_activations(n_heads=n_heads, **tokens),
        "selective": korthikanti.selective_activations(**tokens),
        "both": korthikanti.both_activations(**tokens),
    }
    state = korthikanti.parameters_and_optimizer(
        n_layers=n_layers, d_model=d_model, tensor_parallel=t, pipeline_parallel=p
    )
    assert state == float(row["paramopt_GiB_fig1"]) * GiB
    assert of["none"] * layers == pytest.approx(float(row["act_none_GiB_fig1"]) * GiB, abs=1)
    assert of["both"] * layers == pytest.approx(float(row["act_seqsel_GiB_fig1"]) * GiB, abs=1)
    for which, printed in (("sequence", "fig7_seq_pct"), ("selective", "fig7_sel_pct"), ("both", "fig7_seqsel_pct")):
        assert f"{100 * of[which] / of['none']:.2f}" == row[printed]


def test_what_one_device_keeps_is_one_equation_of_korthikanti_wherever_it_is_cited():
    sizes = {"batch_size": 4, "seq_len": SEQUENCE, "d_model": 6144, "n_heads": 64}
    layer, layers = korthikanti.korthikanti_layer(**sizes), korthikanti_activations(n_layers=48, **sizes)
    assert layers.value == 48 * layer == 48 * 4 * SEQUENCE * (34 * 6144 + 5 * 64 * SEQUENCE)
    assert str(layers.source) == "Korthikanti et al. 2022, sec. 4.1, eq. 1"


@pytest.mark.parametrize("row", KORTHIKANTI[:2], ids=lambda row: row["model"])
@pytest.mark.parametrize("t", [1, 8])
@pytest.mark.parametrize("sequence_parallel", [False, True])
@pytest.mark.parametrize("recompute", ["none", "selective"])
def test_a_simulated_layer_keeps_what_korthikanti_says_and_a_named_rest(row, t, sequence_parallel, recompute):
    d_model, n_heads, batch = int(row["hidden"]), int(row["heads"]), int(row["microbatch"])
    shape = Dimensions(d_model=d_model, n_heads=n_heads, n_layers=2, attention_bias=True)
    run = TrainingRun(
        batch_size=batch, seq_len=SEQUENCE, precision="bf16", attention="eager", dropout=0.1, recompute=recompute
    )

    def kept(n_layers: int) -> float:
        model = replace(shape, n_layers=n_layers).model()
        layout = Layout(tensor_parallel=t, sequence_parallel=sequence_parallel)
        return rank_memory(model, run, layout).neediest.passage.kept

    hidden, by_tokens = batch * SEQUENCE * d_model, t if sequence_parallel else 1
    scores = batch * n_heads * SEQUENCE**2 // t
    theirs = (10 * hidden // by_tokens + 24 * hidden // t) + (5 * scores if recompute == "none" else 0)
    # mean and deviation of two norms, fp32; the causal mask, a byte for each pair of positions
    rest = 2 * 2 * 4 * batch * SEQUENCE // by_tokens + (SEQUENCE**2 if recompute == "none" else 0)
    assert kept(3) - kept(2) == theirs + rest
    if sequence_parallel or t == 1:
        sizes = {"batch_size": batch, "seq_len": SEQUENCE, "d_model": d_model, "tensor_parallel": t}
        formula = korthikanti.sequence_parallel_activations(n_heads=n_heads, **sizes)
        if recompute == "selective":
            formula = korthikanti.both_activations(**sizes)
        assert theirs == formula


# Laws


@every_model
@pytest.mark.parametrize("recompute", RECOMPUTATIONS)
@pytest.mark.parametrize("precision", ["amp_bf16", "bf16", "mixed_fp32"])
@pytest.mark.parametrize("changes", [{}, {"gradient_accumulation": 4, "attention": "eager", "dropout": 0.1}])
def test_one_device_is_the_simulated_step_to_the_byte(model, recompute, precision, changes):
    run = TrainingRun(batch_size=2, seq_len=1024, recompute=recompute, precision=precision, **changes)
    assert peak(model, run) == training_step(model, run).peak.value


@every_model
@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("recompute", RECOMPUTATIONS)
def test_one_device_is_the_simulated_step_where_a_layer_of_attention_is_its_peak(model, batch_size, recompute):
    run = TrainingRun(batch_size=batch_size, seq_len=16_384, recompute=recompute, attention="eager")
    assert peak(model, run) == pytest.approx(training_step(model, run).peak.value, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "changes",
    [
        {"lora_rank": 8, "lora_targets": "all", "lora_base": "NF4", "precision": "bf16"},
        {"optimizer": "adafactor"},
        {"optimizer": "adamw_8bit"},
        {"keep_logits": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_one_device_is_the_simulated_step_however_it_is_run(loss, changes):
    run = TrainingRun(batch_size=2, seq_len=1024, loss=loss, **changes)
    assert peak(LLAMA, run) == pytest.approx(training_step(LLAMA, run).peak.value, rel=1e-12)


@every_model
@pytest.mark.parametrize("precision", ["mixed_bf16", "amp_bf16"])
def test_a_higher_zero_stage_never_needs_more(model, precision):
    run = replace(SEVERAL, precision=precision)
    for n in (2, 8, 64):
        peaks = [peak(model, run, data_parallel=n, zero_stage=stage) for stage in range(4)]
        assert peaks == sorted(peaks, reverse=True)


@every_model
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_more_copies_never_need_more_each(model, stage):
    copies = [peak(model, data_parallel=n, zero_stage=stage) for n in (2, 4, 16, 256)]
    assert copies == sorted(copies, reverse=True)
    if stage == 1:  # else one device has no buffers
        assert copies[0] <= peak(model)


@every_model
def test_tensor_parallelism_with_sequence_parallelism_divides_what_a_layer_keeps(model):
    run = replace(SEVERAL, attention="sdpa")

    def a_layer_keeps(t: int) -> float:
        layout = Layout(tensor_parallel=t, sequence_parallel=True)
        stage = rank_memory(model, run, layout).neediest
        return stage.pieces.summaries["forward", len(model.blocks)].kept

    for t in (2, 4):
        assert a_layer_keeps(t) == pytest.approx(a_layer_keeps(1) / t, rel=2e-3)  # steps of 512 bytes; window masks


@every_model
def test_weights_of_all_stages_add_up_to_the_model(model):
    for p in (2, 3):
        layout, work = Layout(pipeline_parallel=p), Work(model, SEVERAL, model)
        pieces = Pieces(work, SEVERAL, layout)
        held = [sum(Stage(work, SEVERAL, layout, i, pieces).holds.parameters.values()) for i in range(p)]
        copied = model.front[0].parameters().value if work.tied else 0
        assert sum(held) == model.parameters().value + copied


def test_the_first_stage_holds_as_many_micro_batches_as_there_are_stages():
    for p, m, held in ((4, 8, 4), (4, 2, 2), (8, 8, 8)):
        stage = rank_memory(LLAMA, replace(SEVERAL, gradient_accumulation=m), Layout(pipeline_parallel=p)).neediest
        if stage.stage == 0:
            assert stage.passage.in_flight.value == held
    # interleaved: Korthikanti's factor 1 + (p − 1)/pv of the layers of a whole model, p times those of a stage
    layout = Layout(pipeline_parallel=4, interleave=4)
    stage = next(iter(stages(LLAMA, replace(SEVERAL, gradient_accumulation=64), layout)))
    assert stage.passage.in_flight.value / 4 == 1 + 3 / 16


def stages(model, run, layout):
    return candidates(Work(model, run, model), run, layout)


def test_expert_parallelism_deals_out_the_experts_alone():
    whole = rank_memory(MIXTRAL, SEVERAL, Layout(data_parallel=8)).neediest
    dealt = rank_memory(MIXTRAL, SEVERAL, Layout(data_parallel=8, expert_parallel=8)).neediest
    assert dealt.holds.parameters[True] * 8 == whole.holds.parameters[True]
    assert dealt.holds.parameters[False] == whole.holds.parameters[False]
    # ZeRO shares the rest out: with all of it a rank has an eighth of everything either way
    thirds = [
        rank_memory(MIXTRAL, SEVERAL, Layout(data_parallel=8, expert_parallel=e, zero_stage=3)).optimizer_state.value
        for e in (1, 8)
    ]
    assert thirds[0] == thirds[1]


def test_an_offloaded_optimizer_leaves_the_device():
    here, away = (rank_memory(LLAMA, SEVERAL, Layout(offload_optimizer=off)) for off in (False, True))
    assert away.optimizer_state.value == here.optimizer_state.value > 0
    assert all(part.id not in ("optimizer_state", "optimizer_temporary") for part in away.peak.parts)
    assert away.peak.value <= here.peak.value - here.optimizer_state.value


# Tables of plans


@every_model
def test_a_table_of_plans_says_what_each_plan_says_alone(model):
    run = TrainingRun(seq_len=2048, precision="amp_bf16")
    table = plans(model, run, Cluster(devices=16, memory=80e9, global_batch=32))
    assert len(table) > 100
    for row in table.sample(25, random_state=0).to_dict("records"):
        values = settings(row)
        layout = Layout(**{k: v for k, v in values.items() if k in Layout.__dataclass_fields__})
        alone = replace(run, **{k: v for k, v in values.items() if k not in Layout.__dataclass_fields__})
        assert layout.devices == 16
        assert alone.batch_size * alone.gradient_accumulation * layout.data_parallel == 32
        assert rank_memory(model, alone, layout).peak.value == pytest.approx(row["peak"], rel=1e-12), row
        assert row["fits"] == (row["needed"] <= 80e9)


def test_plans_are_sorted_and_told_apart():
    table = plans(LLAMA, SEVERAL, Cluster(devices=64, memory=80e9, global_batch=256))
    assert not table.drop(columns=["peak", "fits", "bubble", "again", "time", "traffic"]).duplicated().any()
    assert table["fits"].is_monotonic_decreasing
    best = table[table["fits"]]["time"].round(2)
    assert best.is_monotonic_increasing
    assert (table["bubble"] == (table.pipeline_parallel - 1) / (table.micro_batches * table.interleave)).all()


def test_full_recomputation_adds_a_third_of_the_layers_work():
    table = plans(GPT2, TrainingRun(seq_len=1024), Cluster(devices=2, memory=80e9, global_batch=2))
    again = table.groupby("recompute")["again"].first()
    assert again["none"] == 0 < again["selective"] < again["full"] < 1 / 3


def test_a_number_of_devices_that_divides_nothing_is_refused_by_name():
    with pytest.raises(InputError) as caught:
        plans(GPT2, TrainingRun(), Cluster(devices=10_007, memory=80e9, global_batch=8))
    assert caught.value.input_id == "n_devices"


def test_divisors_are_all_that_divide():
    assert divisors(12, 12) == divisors(12, 100) == [1, 2, 3, 4, 6, 12]
    assert divisors(12, 4) == [1, 2, 3, 4]
    assert divisors(1, 8) == [1]


def test_no_number_of_devices_is_too_large_to_look_for_plans():
    sizes = {"data_parallel": 99_991, "tensor_parallel": 8, "pipeline_parallel": 32, "context_parallel": 1024}
    config = configured("Llama 3 8B", **sizes, global_batch=7)
    assert config.n_devices == math.prod(sizes.values())  # more than anybody could count through
    with pytest.raises(InputError, match="no layout of so many devices"):
        config.plans  # noqa: B018


# What cannot be


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        (GPT2, {"tensor_parallel": 5}),
        (LLAMA, {"tensor_parallel": 64}),
        (GPT2, {"pipeline_parallel": 13}),
        (GPT2, {"interleave": 2}),
        (GPT2, {"pipeline_parallel": 2, "interleave": 5}),
        (GPT2, {"context_parallel": 3}),
        (GPT2, {"tensor_parallel": 3, "sequence_parallel": True}),
        (MIXTRAL, {"expert_parallel": 3, "data_parallel": 3}),
        (MIXTRAL, {"expert_parallel": 8, "data_parallel": 4}),
        (GPT2, {"zero_stage": 4}),
        (GPT2, {"data_parallel": 0}),
    ],
)
def test_a_layout_that_cannot_be_is_refused_by_the_name_of_its_input(model, layout):
    with pytest.raises(InputError) as caught:
        check_layout(model, SEVERAL, Layout(**layout))
    assert caught.value.input_id in layout
    if caught.value.code:
        w(f"problems.{caught.value.code}", **caught.value.details)


def test_key_value_heads_fewer_than_the_devices_are_repeated():
    check_layout(LLAMA, SEVERAL, Layout(tensor_parallel=32))
    by_8, by_16 = (rank_memory(LLAMA, SEVERAL, Layout(tensor_parallel=t)).neediest for t in (8, 16))
    assert sum(by_8.holds.parameters.values()) < 2 * sum(by_16.holds.parameters.values())


def test_a_configuration_counts_the_nearest_layout_that_can_be_and_says_what_is_wrong():
    config = Configuration(DEFAULTS | {"tensor_parallel": 5, "data_parallel": 2, "context_parallel": 3})
    assert config.layout == Layout(data_parallel=2)
    assert {problem.input_id for problem in config.problems} == {"tensor_parallel", "context_parallel"}
    assert np.isfinite(config.rank.peak.value)


def test_a_plan_put_to_use_is_the_configuration():
    config = Configuration(DEFAULTS | {"n_devices": 8})
    plan = config.plans.iloc[0]
    used = Configuration(DEFAULTS | {"n_devices": 8} | settings(plan))
    assert not used.problems
    assert used.uses(plan)
    assert used.rank.peak.value == pytest.approx(plan["peak"], rel=1e-12)
    assert used.cluster.global_batch == config.cluster.global_batch


@pytest.mark.parametrize(
    "change", [{}, {"lora_rank": 8}, {"lora_rank": 8, "lora_base": "NF4"}, {"optimizer": "adafactor"}]
)
def test_a_rank_alone_holds_what_a_device_does_where_a_plain_decoder_stands_in(change):
    config = configured("BERT base (encoder)", **change)
    job = config.job
    assert job.model is not job.counted
    alone = rank_memory(job.model, job.run, Layout(), counted=job.counted)
    for part in ("weights", "gradients", "optimizer_state", "optimizer_temporary", "peak"):
        assert getattr(alone, part).value == pytest.approx(getattr(config.step, part).value, rel=1e-9), part
