"""What devices send and hold, against what papers print and what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from golden_files import csv_rows

from llmcalc import from_config
from llmcalc.bases import base
from llmcalc.devices.layout import Layout, contradictions
from llmcalc.devices.passes import recomputed_share
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.plans import Cluster, plans
from llmcalc.devices.rank import rank_memory
from llmcalc.devices.stage import Stage
from llmcalc.devices.work import Work
from llmcalc.errors import InputError
from llmcalc.step.overhead import Overhead
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.dimensions import Dimensions

GPT2 = Dimensions().model()  # 12 layers of width 768, a tied table of 50,257 rows
PARAMETERS = 124_439_808  # of GPT-2, as published
B, S, H, LAYERS, VOCABULARY = 2, 1024, 768, 12, 50_257
M = 4  # micro-batches
MIXED = TrainingRun(
    batch_size=B, seq_len=S, gradient_accumulation=M, precision="mixed_bf16"
)  # 2 bytes in all that moves


def library(name: str):
    start = base(name)
    return start.model(start.values)


def rank(layout: Layout, run: TrainingRun = MIXED, model=GPT2):
    return rank_memory(model, run, layout)


def sent(layout: Layout, run: TrainingRun = MIXED, model=GPT2) -> dict[str, float]:
    """Bytes that a rank sends in a step, by what for."""
    return {part.id: part.value for part in rank(layout, run, model).traffic.parts if part.value}


def buffers(layout: Layout, run: TrainingRun = MIXED, model=GPT2) -> dict[str, float]:
    """Bytes of the buffers of its messages."""
    found = rank(layout, run, model).communication
    return {part.id: part.value for part in found.parts or [found] if part.value}


# What is held


@pytest.mark.parametrize("t", [2, 4, 8])
def test_one_head_of_keys_and_values_is_on_every_rank_and_query_heads_are_dealt_out(t):
    shape = {"hidden_size": 512, "num_attention_heads": 8, "num_hidden_layers": 3, "intermediate_size": 1024}
    config = {"model_type": "llama", "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 1024, **shape}
    held = rank(Layout(tensor_parallel=t), replace(MIXED, precision="bf16"), from_config(config)).weights.value / 2
    # a rank has its query heads and their rows of the output, the whole key and value, its part of the network's three
    # matrices and of the two tables, and all norms
    layer = 2 * 512 * 512 / t + 2 * 512 * 64 + 3 * 512 * 1024 / t + 2 * 512
    assert held == 3 * layer + 2 * 1024 * 512 / t + 512


# What is sent


@pytest.mark.parametrize(("stage", "volume"), [(0, 2), (1, 2), (2, 2), (3, 3)])
@pytest.mark.parametrize("n", [2, 64])
def test_zero_sends_what_its_paper_says_in_units_of_the_parameters(stage, volume, n):
    """Rajbhandari et al. 2020, sec. 7.1: 2Ψ for data parallelism and for stages 1 and 2; sec. 7.2: 3Ψ for stage 3. It
    leaves out that of n ranks in a ring each keeps its own n-th part: (n − 1)/n."""
    once = replace(MIXED, gradient_accumulation=1)
    layout = Layout(data_parallel=n, zero_stage=stage)
    assert sum(sent(layout, once).values()) * n / (n - 1) == pytest.approx(volume * PARAMETERS * 2, rel=1e-12)


def test_gradients_are_sent_once_a_step_and_weights_of_stage_3_twice_for_every_micro_batch():
    # gradients reduced, 1Ψ, and weights gathered before forward and again before backward, 2Ψ for each of 4
    assert sum(sent(Layout(data_parallel=8, zero_stage=0)).values()) == 2 * PARAMETERS * 2 * 7 / 8
    assert sum(sent(Layout(data_parallel=8, zero_stage=3)).values()) == (1 + 2 * 4) * PARAMETERS * 2 * 7 / 8


def test_what_is_sent_has_the_format_that_it_is_in():
    # fp32 weights under autocast: gradients of 4 bytes; what FSDP gathers is gathered in 16 bits, as it is multiplied
    amp = TrainingRun(batch_size=B, seq_len=S)
    assert sum(sent(Layout(data_parallel=2), amp).values()) == 2 * PARAMETERS * 4 / 2
    assert sum(sent(Layout(data_parallel=2, zero_stage=3), amp).values()) == PARAMETERS * (4 + 2 * 2) / 2


@pytest.mark.parametrize("t", [2, 4])
@pytest.mark.parametrize(
    ("recompute", "all_reduces"),
    [("none", 4), ("selective", 4), ("full", 6)],  # full: the two of the forward pass once more
)
def test_tensor_parallelism_sends_what_megatron_lm_says(t, recompute, all_reduces):
    """Shoeybi et al. 2019, fig. 4: two all-reduces forward and two backward in a layer. Narayanan et al. 2021, sec.
    3.2: 8bsh(t − 1)/t numbers a layer, device and micro-batch, that is four, each of bsh numbers there and back."""
    expected = all_reduces * 2 * B * S * H * (t - 1) / t * LAYERS * M * 2
    assert sent(Layout(tensor_parallel=t), replace(MIXED, recompute=recompute)) == {"tensor_messages": expected}
    if recompute == "none":
        assert expected == 8 * B * S * H * (t - 1) / t * LAYERS * M * 2


@pytest.mark.parametrize(
    ("layout", "times"),
    [
        ({"pipeline_parallel": 2}, 1),  # the first of two sends hidden states alone, the last gradients alone
        ({"pipeline_parallel": 3}, 2),  # one between sends both
        ({"pipeline_parallel": 2, "interleave": 2}, 3),  # of four stretches each has one end of three boundaries or two
        ({"pipeline_parallel": 3, "interleave": 2}, 4),
        ({"pipeline_parallel": 2, "tensor_parallel": 4, "sequence_parallel": True}, 1 / 4),
    ],
    ids=["two", "three", "interleaved", "interleaved between", "scattered"],
)
def test_a_pipeline_sends_what_megatron_lm_says(layout, times):
    """Narayanan et al. 2021, sec. 3.2: bsh numbers between two devices for a micro-batch and a pass; sec. 4.1: bsh/t
    where ranks of tensor parallelism send a part each; sec. 2.2.2: v times as much with v stretches of layers."""
    run = replace(MIXED, gradient_accumulation=M * 3) if layout["pipeline_parallel"] == 3 else MIXED
    found = sent(Layout(**layout), run)
    assert found["pipeline_messages"] == B * S * H * run.gradient_accumulation * 2 * times


@pytest.mark.parametrize(("p", "v"), [(2, 1), (4, 1), (12, 1), (2, 3), (3, 2)])
def test_all_ranks_of_a_pipeline_send_once_each_way_over_each_boundary(p, v):
    """Narayanan et al. 2021, sec. 3.2: bsh numbers for a micro-batch between two consecutive stretches, forward, and as
    many backward; of pv stretches there are pv − 1 boundaries."""
    run = replace(MIXED, gradient_accumulation=12)
    work, layout = Work(GPT2, MIXED, GPT2), Layout(pipeline_parallel=p, interleave=v)
    pieces = Pieces(work, run, layout)
    parts = [Stage(work, run, layout, i, pieces).traffic.inputs["pipeline_messages"].value for i in range(p)]
    assert sum(parts) == 2 * (p * v - 1) * B * S * H * 12 * 2
    assert max(parts) == sent(layout, run)["pipeline_messages"]


def test_a_ring_passes_keys_and_values_on_and_their_gradients_back():
    # Liu et al. 2023, sec. 3: to c − 1 neighbours; forward keys and values, backward these and their gradients
    keys_and_values = 2 * B * S / 4 * H * 2
    assert sent(Layout(context_parallel=4)) == {
        "ring_messages": (4 - 1) * (1 + 2) * keys_and_values * LAYERS * M,
        "gradient_messages": 2 * PARAMETERS * 2 * 3 / 4,  # ranks with the same weights
    }


def test_tokens_go_to_their_experts_and_back_in_both_passes():
    # Mixtral: 2 of 8 experts, 32 layers, width 4,096; 7 of 8 tokens are for another rank
    mixtral = library("Mixtral 8x7B")
    found = sent(Layout(data_parallel=8, expert_parallel=8), model=mixtral)
    assert found["dispatch_messages"] == 4 * (B * S * 2 * 4096 * 2) * 7 / 8 * 32 * M


# Buffers of messages, in bytes


def test_a_pipeline_holds_what_comes_from_both_sides():
    # hidden states from before, their gradients from behind, bsh each
    assert buffers(Layout(pipeline_parallel=2)) == {"pipeline_buffers": 2 * B * S * H * 2}
    split = Layout(pipeline_parallel=2, tensor_parallel=4, sequence_parallel=True)
    assert buffers(split) == {"pipeline_buffers": 2 * B * S * H * 2 / 4, "sequence_gather_buffer": B * S * H * 2}


def test_a_hidden_state_goes_between_stages_as_it_is_and_to_a_product_as_that_takes_it():
    # fp32 weights under autocast: the residual stream is fp32, operands of products are bf16
    amp = TrainingRun(batch_size=B, seq_len=S, gradient_accumulation=M)
    found = buffers(Layout(pipeline_parallel=2, tensor_parallel=2, sequence_parallel=True), amp)
    assert found == {"pipeline_buffers": 2 * B * S * H * 4 / 2, "sequence_gather_buffer": B * S * H * 2}
    assert sent(Layout(pipeline_parallel=2), amp) == {"pipeline_messages": B * S * H * M * 4}


def test_a_ring_holds_the_block_at_hand_and_the_next():
    # keys and values of both, of a quarter of the tokens
    assert buffers(Layout(context_parallel=4, zero_stage=1)) == {"ring_buffers": 2 * 2 * B * S / 4 * H * 2}
    # Llama 3 8B: 8 key/value heads of 128; over 16 ranks each has one, a copy
    llama = library("Llama 3 8B")
    for t, heads in ((1, 8), (4, 2), (16, 1)):
        layout = Layout(context_parallel=4, tensor_parallel=t)
        assert buffers(layout, model=llama)["ring_buffers"] == 2 * 2 * B * S / 4 * heads * 128 * 2


def test_latent_attention_passes_on_what_it_expands_to():
    # DeepSeek-V3: 128 heads, keys and values of up to 192 = 128 + 64
    found = buffers(Layout(context_parallel=2), model=library("DeepSeek-V3 671B"))["ring_buffers"]
    assert 2 * 2 * B * S / 2 * 128 * 128 * 2 <= found <= 2 * 2 * B * S / 2 * 128 * 192 * 2


def test_experts_receive_as_many_tokens_as_they_send():
    mixtral = library("Mixtral 8x7B")
    assert buffers(Layout(data_parallel=8, expert_parallel=8, zero_stage=1), model=mixtral) == {
        "dispatch_buffers": 2 * B * S * 2 * 4096 * 2
    }


GPT2_LAYER = 12 * H**2 + 13 * H  # matrices, their biases, two norms
GPT2_ROOT = VOCABULARY * H + 1024 * H + 2 * H  # token and position tables, the last norm


def test_fsdp_holds_what_is_outside_the_layers_a_layer_and_the_next_and_a_layers_gradients():
    assert buffers(Layout(data_parallel=8, zero_stage=2)) == {"reduce_buffer": GPT2_LAYER * 2}
    assert buffers(Layout(data_parallel=8, zero_stage=3)) == {
        "gathered_weights": (GPT2_ROOT + 2 * GPT2_LAYER) * 2,
        "gradients_to_reduce": GPT2_LAYER * 2,
    }
    assert buffers(Layout(data_parallel=8, zero_stage=1)) == {}


def test_fsdp_gathers_the_largest_of_the_layers():
    # DeepSeek-V3: three dense layers, 58 with 256 experts and a shared one
    model = library("DeepSeek-V3 671B")
    dense, mixture = (block.parameters().value for block, _ in model.blocks)
    assert mixture > 10 * dense
    # what does not train is not reduced: the router's corrections, one for each expert
    assert buffers(Layout(data_parallel=8, zero_stage=2), model=model)["reduce_buffer"] == pytest.approx(2 * mixture)


# What is held


@pytest.mark.parametrize(("stage", "copies"), [(0, 1), (1, 1), (2, 1), (3, 0)])
def test_autocast_keeps_16_bit_copies_of_all_that_is_multiplied_as_long_as_the_weights_are_whole(stage, copies):
    # four d², four times d² twice, and the head; FSDP gathers in 16 bits what it lets go of with the layer
    multiplied = LAYERS * 12 * H**2 + VOCABULARY * H
    amp = TrainingRun(batch_size=B, seq_len=S)
    assert rank(Layout(data_parallel=8, zero_stage=stage), amp).weight_casts.value == 2 * multiplied * copies


@pytest.mark.parametrize(
    ("layout", "bytes_each"),
    [
        # Rajbhandari et al. 2020, fig. 1: 2 + 2 + K with K = 12, of 64 ranks
        ({"data_parallel": 64, "zero_stage": 0}, 16),
        ({"data_parallel": 64, "zero_stage": 1}, 4 + 12 / 64),
        ({"data_parallel": 64, "zero_stage": 2}, 2 + (2 + 12) / 64),
        ({"data_parallel": 64, "zero_stage": 3}, 16 / 64),
        ({"data_parallel": 8, "context_parallel": 8, "zero_stage": 3}, 16 / 64),  # replicas of both kinds
        ({"data_parallel": 64, "zero_stage": 0, "offload_optimizer": True}, 16),  # wherever the states are
    ],
)
def test_model_states_are_those_of_zeros_figure_1(layout, bytes_each):
    found = rank(Layout(**layout))
    held = found.weights.value + found.gradients.value + found.optimizer_state.value
    assert held == pytest.approx(bytes_each * PARAMETERS, rel=1e-12)


@pytest.mark.parametrize("row", csv_rows("parallel_units.csv"), ids=lambda row: row["setting"])
def test_ddp_and_fsdp2_hold_what_was_measured_in_units_of_the_weights(row):
    """What no activations are in: the optimizer's step, and DDP's end of the backward pass of a small batch."""
    run = TrainingRun(batch_size=1, seq_len=8, precision=row["precision"])
    sharded = row["framework"] == "FSDP2"
    layout = Layout(
        data_parallel=int(row["world"]),
        zero_stage=3 if sharded else 0,
        ddp_bucket_view=row["bucket_view"] == "yes",
        keep_gathered=row["reshard"] == "no",
    )
    found = rank(layout, run).peak_by_moment
    assert found["optimizer_step"] / (4 * PARAMETERS) == pytest.approx(float(row["opt"]), rel=1e-3)
    if not sharded and row["bucket_view"] == "no":
        assert found["backward_end"] / (4 * PARAMETERS) >= float(row["bwd"])


TABLE, POSITIONS, LAST_NORM = VOCABULARY * H, 1024 * H, 2 * H


@pytest.mark.parametrize(
    ("layout", "layers"),
    [
        (Layout(pipeline_parallel=4), (3, 3, 3, 3)),
        (Layout(pipeline_parallel=5), (3, 3, 2, 2, 2)),  # earlier ones have one more
        (Layout(pipeline_parallel=8), (2, 2, 2, 2, 1, 1, 1, 1)),
        (Layout(pipeline_parallel=2, interleave=3), (6, 6)),
        (Layout(pipeline_parallel=1), (12,)),
    ],
)
def test_stages_have_their_layers_and_what_is_before_and_behind_them(layout, layers):
    work, last = Work(GPT2, MIXED, GPT2), len(layers) - 1
    pieces = Pieces(work, MIXED, layout)
    for i, n in enumerate(layers):
        stage = Stage(work, MIXED, layout, i, pieces)
        outside = (TABLE + POSITIONS if i == 0 else 0) + (LAST_NORM if i == last else 0)
        outside += TABLE if i == last > 0 else 0  # tied: the last stage has a copy for its head
        assert stage.layers.n_layers == n
        assert sum(stage.holds.parameters.values()) == n * GPT2_LAYER + outside


def test_interleaved_stages_have_every_other_stretch():
    work, layout = Work(GPT2, MIXED, GPT2), Layout(pipeline_parallel=2, interleave=3)
    found = [Stage(work, MIXED, layout, i, Pieces(work, MIXED, layout)).layers.stretches for i in (0, 1)]
    assert found == [[(0, 2), (4, 6), (8, 10)], [(2, 4), (6, 8), (10, 12)]]


def test_layers_of_other_kinds_are_where_they_are():
    # DeepSeek-V3: three dense layers and 58 mixtures, over 4 stages of 16, 15, 15, 15
    model = library("DeepSeek-V3 671B")
    run = replace(MIXED, batch_size=1)
    work, layout = Work(model, run, model), Layout(pipeline_parallel=4)
    (dense, _), (mixture, _) = model.blocks
    pieces = Pieces(work, run, layout)
    held = [Stage(work, run, layout, i, pieces).holds.weights.value for i in range(4)]
    d, m = dense.parameters().value, mixture.parameters().value
    table = 129_280 * 7_168  # of the embedding, and of the head
    assert held == [2 * (3 * d + 13 * m + table), 2 * 15 * m, 2 * 15 * m, 2 * (15 * m + table + 7_168)]


@pytest.mark.parametrize(
    ("p", "v", "m", "waiting"),
    [
        # Narayanan et al. 2021, sec. 2.2.1: as many micro-batches in flight as there are stages, all but one wait
        (4, 1, 12, 3),
        (4, 1, 2, 1),
        (2, 1, 12, 1),
        # sec. 2.2.2 and Megatron-LM's warm-up, 2(p − 1) + (v − 1)p stretches and the one at hand, of v to a stage
        (4, 3, 12, (2 * 3 + 2 * 4 + 1) / 3 - 1),
        (2, 3, 12, (2 * 1 + 2 * 2 + 1) / 3 - 1),
    ],
)
def test_micro_batches_wait_in_the_first_stage(p, v, m, waiting):
    run = replace(MIXED, batch_size=1, gradient_accumulation=m, attention="eager", loss="fused")
    found = rank(Layout(pipeline_parallel=p, interleave=v), run)
    stage = found.neediest
    assert stage.stage == 0
    assert found.in_flight.value == pytest.approx(waiting * stage.passage.kept)
    # eager attention of 12 heads keeps 12·S² scores of 2 bytes and more for each of its 12/p layers
    assert stage.passage.kept > 12 // p * 2 * 12 * S**2


def test_a_stage_keeps_its_layers_share_of_the_activations():
    # twelve layers on one device, three of them on the first of four: what a layer keeps is the same
    run = replace(MIXED, attention="eager", loss="fused")
    kept = {
        n: rank(Layout(pipeline_parallel=p), run).neediest.passage.kept for p, n in ((2, 6), (4, 3), (6, 2), (12, 1))
    }
    each = kept[2] - kept[1]
    assert kept[3] - kept[2] == each
    assert kept[6] - kept[3] == 3 * each


# Cut up


def test_chunks_of_the_loss_are_rounded_up():
    """As torch.chunk does: 1,001 tokens in 8 pieces are 126 each, the last with what is left."""
    for layout in (Layout(), Layout(data_parallel=2), Layout(tensor_parallel=1, pipeline_parallel=2)):
        run = TrainingRun(batch_size=1, seq_len=1001, loss="chunked", gradient_accumulation=2)
        found = rank(layout, run)
        largest = max(
            kind.bytes
            for stretch in found.course.stretches
            for _, kind in stretch.segment.changes
            if kind.category == "logits" or kind.role == "logits"
        )
        assert largest == -(-126 * VOCABULARY * 4 // 512) * 512


def test_a_vocabulary_that_does_not_divide_is_padded():
    # 50,257 rows over 2 ranks: 25,129 each
    held = {t: sum(rank(Layout(tensor_parallel=t)).neediest.holds.parameters.values()) for t in (1, 2)}
    assert held[1] == PARAMETERS
    halved = LAYERS * (12 * H**2 // 2 + (3 * H + 4 * H) // 2)  # matrices; biases of what is dealt out: qkv and d_ff
    whole = LAYERS * (2 * H + 4 * H) + POSITIONS + LAST_NORM  # biases of what is added up; norms, positions
    assert held[2] == halved + whole + 25_129 * H


# Layouts


def test_a_layout_says_how_many_devices_it_takes_and_who_shares():
    layout = Layout(
        data_parallel=6, tensor_parallel=4, pipeline_parallel=3, context_parallel=2, expert_parallel=4, zero_stage=2
    )
    assert (layout.devices, layout.replicas) == (6 * 4 * 3 * 2, 6 * 2)
    assert [layout.sharing(stage) for stage in (1, 2, 3)] == [12, 12, 1]  # of ZeRO-2
    assert [layout.sharing(stage, experts=True) for stage in (1, 2, 3)] == [3, 3, 1]  # 12 ranks by 4
    assert layout.divides_tokens_by == 2
    assert replace(layout, sequence_parallel=True).divides_tokens_by == 2 * 4


MIXTURE = "Mixtral 8x7B"  # 32 layers, 32 heads, 8 key/value heads, 8 experts, d_ff 14,336


@pytest.mark.parametrize(
    ("layout", "codes"),
    [
        ({}, []),
        ({"tensor_parallel": 8}, []),
        ({"tensor_parallel": 16}, []),  # 8 key/value heads over 16: each twice
        ({"tensor_parallel": 3}, ["not_over_devices"] * 3),  # heads, key/value heads, channels
        ({"tensor_parallel": 64}, ["not_over_devices"]),  # 32 heads; 14,336 is 64 x 224
        ({"pipeline_parallel": 32}, []),
        ({"pipeline_parallel": 33}, ["more_stages_than_layers"]),
        ({"pipeline_parallel": 4, "interleave": 8}, []),
        ({"pipeline_parallel": 4, "interleave": 3}, ["uneven_interleave"]),
        ({"pipeline_parallel": 8, "interleave": 8}, ["more_stages_than_layers", "uneven_interleave"]),
        ({"pipeline_parallel": 1, "interleave": 2}, ["uneven_micro_batches"]),  # one stage has nothing to interleave
        ({"pipeline_parallel": 16, "interleave": 2}, ["uneven_micro_batches"]),  # 8 micro-batches
        ({"pipeline_parallel": 3}, []),  # without stretches layers and micro-batches need not divide
        ({"context_parallel": 2}, []),
        ({"context_parallel": 3}, ["not_over_devices"]),  # of 2,000 tokens
        ({"tensor_parallel": 8, "sequence_parallel": True, "context_parallel": 2}, []),  # 1,000 by 8
        ({"tensor_parallel": 8, "sequence_parallel": True, "context_parallel": 4}, ["uneven_tokens"]),  # 500 by 8
        ({"tensor_parallel": 8, "context_parallel": 4}, []),
        ({"expert_parallel": 4, "data_parallel": 4}, []),
        ({"expert_parallel": 4, "data_parallel": 2, "context_parallel": 2}, []),
        ({"expert_parallel": 4, "data_parallel": 2}, ["not_among_replicas"]),
        ({"expert_parallel": 3, "data_parallel": 3}, ["not_over_devices"]),
    ],
    ids=str,
)
def test_what_can_be_laid_out_and_what_cannot(layout, codes):
    run = TrainingRun(batch_size=1, seq_len=2000, gradient_accumulation=8)
    found = contradictions(library(MIXTURE), run, Layout(**layout))
    assert sorted(each.code for each in found if each.broken) == sorted(codes)


def test_a_decoder_that_attends_to_an_encoder_is_on_one_stage():
    pair, run = library("T5 11B"), TrainingRun(batch_size=1, seq_len=64)
    for devices, codes in ({"pipeline_parallel": 2}, ["attends_to_encoder"]), ({"data_parallel": 2}, []):
        assert [found.code for found in contradictions(pair, run, Layout(**devices)) if found.broken] == codes


def test_layers_that_borrow_keys_and_values_are_on_one_stage():
    # Gemma 4 E4B: its last 18 layers attend to what two earlier ones keep; all layers of 31B keep their own
    run = TrainingRun(batch_size=1, seq_len=64)
    for name, codes in ("Gemma 4 E4B (text and images)", ["borrows_across_stages"]), ("Gemma 4 31B", []):
        found = contradictions(library(name), run, Layout(pipeline_parallel=2))
        assert [each.code for each in found if each.broken] == codes


def test_a_model_without_experts_has_none_to_deal_out():
    found = contradictions(GPT2, MIXED, Layout(data_parallel=4, expert_parallel=2))
    assert [each.code for each in found if each.broken] == ["not_over_devices"]


@pytest.mark.parametrize(
    "layout", [{name: 0} for name in ("data_parallel", "tensor_parallel", "interleave")] + [{"zero_stage": 4}], ids=str
)
def test_sizes_out_of_range_are_refused(layout):
    with pytest.raises(InputError):
        Layout(**layout)


def test_the_least_and_the_largest_are_not_refused():
    assert Layout(data_parallel=1, zero_stage=3).zero_stage == 3
    assert Layout(zero_stage=0) == Layout()


# Plans, by counting through

TINY = Dimensions(d_model=64, n_layers=4, n_heads=4, n_kv_heads=2, vocab_size=1_000)


@pytest.mark.parametrize(
    ("devices", "batch", "node", "length"), [(4, 8, 8, 4096), (4, 8, 2, 512), (6, 12, 8, 2048), (8, 128, 8, 3072)]
)
def test_all_plans_that_can_be_are_listed_once(devices, batch, node, length):
    table = plans(
        TINY.model(), TrainingRun(seq_len=length), Cluster(devices=devices, memory=80e9, global_batch=batch, node=node)
    )
    expected = set()
    sizes = range(1, devices + 1)
    for t, p, c, d in product(sizes, sizes, sizes, sizes):
        if t * p * c * d != devices or t > node or p > 4 or batch % d:
            continue
        if 4 % t or (t > 2 and t % 2) or 256 % t:  # heads; key/value heads, dealt out or repeated; channels
            continue
        if c > 1 and (length % c or length // c < 1024):
            continue
        for b in (1, 2, 4, 8, 16, 32, 64):
            if batch // d % b:
                continue
            m = batch // d // b
            for sequence, v, zero in product((False, True), (1, 2, 4), (0, 1, 2, 3)):
                if sequence and (t == 1 or length // c % t):
                    continue
                if v > 1 and (p == 1 or 4 % (p * v) or m % p):
                    continue
                if zero and c * d == 1:
                    continue
                for again in ("none", "selective", "full"):
                    expected.add((d, zero, t, sequence, p, v, c, 1, b, m, again))
    columns = [
        "data_parallel", "zero_stage", "tensor_parallel", "sequence_parallel", "pipeline_parallel", "interleave",
        "context_parallel", "expert_parallel", "micro_batch", "micro_batches", "recompute",
    ]  # fmt: skip
    found = list(table[columns].itertuples(index=False, name=None))
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_experts_are_whole_or_shared_out_among_as_many_as_divide_them():
    config = {"model_type": "mixtral", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 500, "num_local_experts": 6}
    mixtral = from_config(config)
    table = plans(mixtral, TrainingRun(seq_len=64), Cluster(devices=4, memory=80e9, global_batch=4))
    # 6 experts: among 4 replicas two ways each, among 2 replicas each way
    assert {n: set(rows["expert_parallel"]) for n, rows in table.groupby("data_parallel")} == {
        1: {1}, 2: {1, 2}, 4: {1, 2},
    }  # fmt: skip


def test_plans_say_what_they_cost_and_are_ordered():
    cluster = Cluster(
        devices=4, memory=30e6, global_batch=8, overhead=Overhead(context=0, workspaces=0, fragmentation=0)
    )
    table = plans(TINY.model(), TrainingRun(seq_len=1024), cluster)
    idle = (table["pipeline_parallel"] - 1) / (table["micro_batches"] * table["interleave"])
    assert np.allclose(table["bubble"], idle)
    assert np.allclose(table["time"], (1 + table["again"]) * (1 + idle))
    # operations of a token forward, Kaplan et al. 2020: matrices twice, the head, attention over half of the tokens
    layers = 2 * 4 * (2 * 64 * 64 + 2 * 64 * 32 + 2 * 64 * 256)
    attention = 4 * 4 * 64 * 1024 / 2
    again = table.groupby("recompute")["again"].first()
    forward = layers + attention + 2 * 64 * 1000
    assert again["none"] == 0
    assert again["selective"] == pytest.approx(attention / (3 * forward), rel=0.01)  # biases and norms left out
    assert again["full"] == pytest.approx((layers + attention) / (3 * forward), rel=0.01)
    assert (table["needed"] == table["peak"]).all()
    assert (table["fits"] == (table["peak"] <= 30e6)).all()
    assert table["fits"].any()
    assert not table["fits"].all()
    key = [
        (not row.fits, round(row.time, 2) if row.fits else 0, row.traffic if row.fits else 0, row.peak)
        for row in table.itertuples()
    ]
    assert key == sorted(key)


def test_a_share_of_the_plans_is_told_as_they_are_counted():
    told: list[float] = []
    cluster = Cluster(devices=2, memory=80e9, global_batch=4)
    plans(TINY.model(), TrainingRun(seq_len=128), cluster, progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == 1


def test_every_plan_of_a_step_with_its_states_away_needs_less():
    cluster = Cluster(devices=2, memory=80e9, global_batch=4)
    here, away = (
        plans(TINY.model(), TrainingRun(seq_len=128, precision="fp32"), cluster, layout=Layout(offload_optimizer=off))
        for off in (False, True)
    )
    by = ["data_parallel", "zero_stage", "tensor_parallel", "sequence_parallel", "pipeline_parallel", "interleave",
          "context_parallel", "micro_batch", "recompute"]  # fmt: skip
    both = here.merge(away, on=by, suffixes=("", "_away"))
    assert len(both) == len(here) == len(away)
    assert (both["peak_away"] < both["peak"]).all()


# What an optimizer holds and allocates on a rank


def test_an_optimizers_scratch_is_shared_out_with_its_states():
    # of the largest weight, the table, two copies in fp32; or one copy of all
    for stage, ranks in ((0, 1), (1, 8), (3, 8)):
        by_weight = rank(Layout(data_parallel=8, zero_stage=stage), replace(MIXED, optimizer="adamw_for_loop"))
        assert by_weight.optimizer_temporary.value == 2 * 4 * TABLE / ranks
        at_once = rank(Layout(data_parallel=8, zero_stage=stage), replace(MIXED, optimizer="adamw_foreach"))
        assert at_once.optimizer_temporary.value == 4 * PARAMETERS / ranks
    away = rank(Layout(offload_optimizer=True), replace(MIXED, optimizer="adamw_foreach"))
    assert away.optimizer_temporary.value == 0


@pytest.mark.parametrize(
    ("optimizer", "each"),
    [
        # mixed precision: an fp32 copy of the weights beside the states
        ("adamw_foreach", 4 + 4 + 4),
        ("sgd", 4),
        ("sgd_momentum", 4 + 4),
        ("adamw_8bit", 2 * (1 + 4 / 256) + 4),
        # a row and a column of each matrix, all of each vector, a number for each of 148 weights (test_optimizers.py)
        ("adafactor", 4 + 4 * (200_273 + 121_344 + 148) / PARAMETERS),
    ],
)
def test_states_of_an_optimizer_on_a_rank(optimizer, each):
    found = rank(Layout(data_parallel=2), replace(MIXED, optimizer=optimizer))
    assert found.optimizer_state.value == pytest.approx(each * PARAMETERS)


def test_experts_are_told_apart_from_what_every_rank_has():
    # Mixtral: 32 layers of 8 experts of three 4,096 x 14,336
    experts = 32 * 8 * 3 * 4096 * 14336
    mixtral = library("Mixtral 8x7B")
    others = mixtral.parameters().value - experts
    found = rank(Layout(data_parallel=8, expert_parallel=4, zero_stage=1), model=mixtral)
    assert {q.id: q.value for q in found.weights.parts} == {"weights": 2 * others, "expert_weights": 2 * experts / 4}
    assert {q.id: q.value for q in found.gradients.parts} == {
        "gradients": 2 * others, "expert_gradients": 2 * experts / 4,
    }  # fmt: skip
    assert {q.id: q.value for q in found.optimizer_state.parts} == {
        "optimizer_state": 12 * others / 8, "expert_optimizer_state": 12 * experts / 4 / 2,  # two have the same
    }  # fmt: skip


def test_lora_freezes_what_it_does_not_train_in_the_format_of_its_base():
    as_weights = {"precision": "bf16", "lora_precision": "same"}
    run = TrainingRun(batch_size=1, seq_len=64, lora_rank=8, lora_base="NF4-double", **as_weights)
    found = rank(Layout(data_parallel=2), run)
    adapters = 12 * 8 * (768 + 768) * 4  # query, key, value and the projection back of the plain decoder
    held = {q.id: q.value for q in found.weights.parts}
    (bits,) = [float(row["bits_per_weight"]) for row in csv_rows("quant_formats_bits.csv") if row["id"] == "NF4"]
    assert held["weights"] in (2 * adapters, 2 * 12 * 8 * (768 + 2304 + 768 + 768))
    assert held["frozen_weights"] == pytest.approx(12 * 12 * 768**2 * bits / 8, rel=1e-3)
    assert held["other_weights"] == pytest.approx(2 * (PARAMETERS - 12 * 12 * 768**2))
    assert found.gradients.value == held["weights"]
    assert found.optimizer_state.value == 2 * held["weights"]


def test_nothing_is_gathered_where_nothing_is_split():
    assert buffers(Layout(tensor_parallel=4)) == {}
    assert buffers(Layout(data_parallel=4)) == {"gradient_buckets": PARAMETERS * 2}  # but gradients are sent
    assert buffers(Layout(data_parallel=4, ddp_bucket_view=True), replace(MIXED, gradient_accumulation=1)) == {}
    assert sent(Layout()) == {}


def test_recomputation_of_a_model_whose_operations_are_not_counted_is_a_third():
    # forward is one part, backward two: running forward again adds one of three
    bert, kinds = library("BERT base (encoder)"), ("none", "selective", "full")
    found = [recomputed_share(bert, TrainingRun(seq_len=64, recompute=recompute)) for recompute in kinds]
    assert found == [0, 0, 1 / 3]


def test_recomputation_adds_more_to_a_step_that_trains_adapters_alone():
    # 85,056,000 parameters in the layers and 768 x 50,257 in the head, each once forward and once back for what went
    # in: the layers again are one part of two, and of one sequence of one token attention is next to nothing
    head = 768 * 50_257
    run = TrainingRun(seq_len=1, recompute="full", lora_rank=8)
    assert recomputed_share(GPT2, run) == pytest.approx(85_056_000 / (2 * (85_056_000 + head)), rel=1e-3)
