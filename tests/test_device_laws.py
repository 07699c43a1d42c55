"""What holds of every training step on several devices, over configurations drawn at random and those that broke it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from configurations import configured
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.rank import RankMemory, rank_memory
from llmcalc.devices.stage import Stage
from llmcalc.quantity import Quantity
from llmcalc.step.run import BASE_FORMATS, LOSSES, RECOMPUTATIONS
from llmcalc.step.tape import ALLOCATION_STEP

# A model of each way to be laid out: absolute positions and a tied table, grouped heads, parallel attention, norms with
# biases, layers of two kinds, experts, experts behind dense layers
MODELS = ("GPT-2 124M", "Llama 3 8B", "Falcon 7B", "OPT 13B", "Gemma 2 2B", "Mixtral 8x7B", "DeepSeek-V3 671B")
LAYERS = 5
RUNS = {
    "lora_rank": st.sampled_from((0, 0, 1, 16)),
    "lora_base": st.sampled_from(("same", "same", "NF4")),
    "precision": st.sampled_from(("fp32", "bf16", "amp_bf16", "mixed_bf16")),
    "loss": st.sampled_from(LOSSES),
    "recompute": st.sampled_from(RECOMPUTATIONS),
    "optimizer": st.sampled_from(("adamw_foreach", "sgd")),
    "gradient_accumulation": st.sampled_from((1, 1, 2, 8)),
    "batch_size": st.sampled_from((1, 2)),
    "attention": st.sampled_from(("sdpa", "eager")),
}
LAYOUTS = {
    "pipeline_parallel": st.sampled_from((1, 2, 3)),
    "tensor_parallel": st.sampled_from((1, 2)),
    "sequence_parallel": st.booleans(),
    "context_parallel": st.sampled_from((1, 2)),
    "data_parallel": st.sampled_from((1, 2, 8)),
    "zero_stage": st.sampled_from((0, 1, 2, 3)),
}
drawn = given(model=st.sampled_from(MODELS), run=st.fixed_dictionaries(RUNS), layout=st.fixed_dictionaries(LAYOUTS))
few = settings(max_examples=25, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))


def laid_out(model: str, layout: dict[str, Any] | None = None, **values: Any) -> RankMemory:
    """A step of a few layers of a model of the library."""
    config = configured(model, **{"n_layers": LAYERS, "seq_len": 128} | values)
    layout = dict(layout or {})
    if model == "Falcon 7B":  # its 71 heads cannot be dealt out
        layout.pop("tensor_parallel", None)
    return rank_memory(config.model, config.run, Layout(**layout))


def every_stage(rank: RankMemory) -> list[Stage]:
    pieces = Pieces(rank.work, rank.run, rank.layout)
    return [Stage(rank.work, rank.run, rank.layout, i, pieces) for i in range(rank.layout.pipeline_parallel)]


def frees_what_it_has(stage: Stage) -> None:
    """Nothing goes that is not there, and when the step is through its gradients and its batch alone are."""
    alive: Counter[Any] = Counter()
    for phase, layer, segment in stage.timeline.stretches:
        for sign, kind in segment.changes:
            alive[kind] += sign
            assert alive[kind] >= 0, (stage.stage, phase, layer, kind)
    left = {(kind.category, kind.role) for kind, n in alive.items() if n and kind.bytes}
    assert {category for category, _ in left} <= {"gradients", "inputs"}, (stage.stage, left)
    gradients = {kind: n for kind, n in alive.items() if kind.category == "gradients" and n}
    there = 0 if stage.run.gradients_stay else stage.holds.gradients.value
    rest = sum(n * kind.bytes for kind, n in gradients.items()) - there
    assert -1 < rest <= sum(gradients.values()) * ALLOCATION_STEP, (stage.stage, rest)


def every_part_is_there(rank: RankMemory, stage: Stage) -> None:
    """Each moment is a sum of parts that are there, and of what rounding adds to them."""
    rank = RankMemory(rank.model, rank.run, rank.layout, rank.work)
    rank.__dict__["neediest"] = stage
    for name, moment in rank.moments.items():
        for _, part in moment.walk():
            assert part.value >= 0, (stage.stage, name, part.id, part.value)
            assert part.id != "rounding" or part.value < ALLOCATION_STEP * 500, (stage.stage, name, part.value)


@few
@drawn
def test_a_rank_frees_what_it_has_and_no_part_of_a_moment_is_less_than_nothing(model, run, layout):
    rank = laid_out(model, layout, **run)
    for stage in every_stage(rank):
        frees_what_it_has(stage)
        every_part_is_there(rank, stage)
        assert stage.peak == pytest.approx(stage.timeline.peak(), rel=1e-12)


@pytest.mark.parametrize(
    ("model", "p", "values"),
    [
        ("Llama 3 8B", 2, {"precision": "bf16", "lora_rank": 16, "gradient_accumulation": 2}),
        ("Falcon 7B", 2, {"lora_rank": 1, "gradient_accumulation": 4}),
        ("OPT 13B", 3, {"precision": "mixed_bf16", "loss": "chunked", "lora_rank": 16}),
        ("GPT-2 XL 1.5B", 2, {"precision": "bf16", "lora_rank": 16, "gradient_accumulation": 2}),
        ("Gemma 2 2B", 3, {"precision": "mixed_bf16", "recompute": "full"}),  # a tied table's gradient, counted twice
    ],
)
def test_each_stage_of_a_pipeline_lets_go_of_its_own(model, p, values):
    rank = laid_out(model, {"pipeline_parallel": p}, **values)
    for stage in every_stage(rank):
        frees_what_it_has(stage)
        every_part_is_there(rank, stage)


# Sharing out


@few
@drawn
def test_sharing_more_out_never_needs_more_but_for_the_buffers_that_it_takes(model, run, layout):
    assume(layout["data_parallel"] > 1 and layout["zero_stage"] < 3)
    less, more = (
        [
            (stage.peak, exchanged(stage), sum(count * len(weights) for weights, count in stage.layers.held))
            for stage in every_stage(laid_out(model, layout | {"zero_stage": layout["zero_stage"] + i}, **run))
        ]
        for i in (0, 1)
    )
    for (peak, buffers, weights), (after, more_buffers, _) in zip(less, more, strict=True):
        assert after <= peak + more_buffers - buffers + weights * ALLOCATION_STEP


def exchanged(stage: Stage) -> float:
    """Buffers of messages; in stage 3 also the whole gradients of what is outside the layers and of a layer, and the
    buffers that they are reduced from."""
    size = stage.exchange.buffers.value
    if not stage.exchange.gathering.is_used:
        return size
    gathering = stage.exchange.gathering
    return size + 2 * gathering.root.reduced + gathering.largest.reduced


def test_gradients_on_their_way_are_those_of_what_trains():
    # Llama 3 8B, rank 16 on all seven products of a layer: q and o 4,096 × 4,096, k and v 4,096 × 1,024, and three of
    # 4,096 × 14,336, each 16 · (in + out) numbers
    adapters = 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    rank = laid_out(
        "Llama 3 8B", {"data_parallel": 8, "zero_stage": 2}, precision="bf16", lora_rank=16, lora_targets="all"
    )
    assert rank.communication.value == adapters * 4  # PEFT keeps them in fp32


# Messages


@few
@drawn
def test_weights_shared_out_are_gathered_forward_and_backward_for_every_micro_batch(model, run, layout):
    assume(layout["data_parallel"] > 1)
    rank = laid_out(model, layout | {"zero_stage": 3}, **run)
    share = (rank.layout.replicas - 1) / rank.layout.replicas
    for stage in every_stage(rank):
        numbers = sum(count * stage.pieces.elements(weights) for weights, count in stage.layers.held if weights)
        each = rank.run.numbers.weight_bytes
        if base := BASE_FORMATS[rank.run.lora_base]:
            each = WEIGHT_FORMATS[base].bits / 8
        each = min(each, stage.exchange.sizes["products"])
        assert stage.traffic.value >= 2 * numbers * each * share * rank.run.gradient_accumulation * (1 - 1e-12)


def test_what_llama_sends_with_lora_by_hand():
    # 32 layers of two norms, q and o, k and v, three of the feed-forward; an embedding, a head and a norm; its adapters
    products = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336
    frozen = 32 * (products + 2 * 4096) + 2 * 128_256 * 4096 + 4096
    adapters = 32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    values = {"n_layers": 32, "precision": "bf16", "lora_rank": 16, "lora_targets": "all", "batch_size": 1}
    values |= {"lora_precision": "same"}

    def sent(zero_stage: int, micro_batches: int) -> float:
        layout = {"data_parallel": 8, "zero_stage": zero_stage}
        return laid_out("Llama 3 8B", layout, gradient_accumulation=micro_batches, **values).traffic.value

    for micro_batches in (1, 4):
        for stage in (0, 1, 2):  # gradients reduced, results gathered; as rings
            assert sent(stage, micro_batches) == pytest.approx(2 * adapters * 2 * 7 / 8, rel=1e-12)
        gathered = 2 * (frozen + adapters) * 2 * micro_batches
        assert sent(3, micro_batches) == pytest.approx((adapters * 2 + gathered) * 7 / 8, rel=1e-12)


@pytest.mark.parametrize("expert_parallel", [1, 4, 8])
def test_experts_that_are_dealt_out_are_reduced_among_the_ranks_that_have_the_same(expert_parallel):
    dealt = laid_out("Mixtral 8x7B", {"data_parallel": 8, "expert_parallel": expert_parallel}).neediest
    each, copies = dealt.run.numbers.gradient_bytes, 8 // expert_parallel
    sent = dealt.traffic.inputs
    assert sent["gradient_messages"].value == 2 * dealt.holds.parameters[False] * each * 7 / 8
    assert sent["expert_gradient_messages"].value == 2 * dealt.holds.parameters[True] * each * (copies - 1) / copies


def test_what_a_rank_sends_is_what_the_one_that_sends_most_does_and_the_table_of_plans_says_the_same():
    config = configured("Llama 3 8B", data_parallel=2, pipeline_parallel=2, zero_stage=3, lora_rank=16)
    plans = config.plans
    used = plans[[config.uses(plan) for plan in plans.to_dict("records")]].iloc[0]
    assert config.rank.traffic.value == pytest.approx(used["traffic"], rel=1e-12)


# The working


def workings(rank: RankMemory) -> list[Quantity]:
    return [q for whole in (rank.weights, rank.gradients, rank.optimizer_state) for _, q in whole.walk()]


@few
@drawn
def test_a_working_tells_of_sharing_where_something_is_shared(model, run, layout):
    rank = laid_out(model, layout, **run)
    for q in workings(rank):
        if "shards" in q.inputs:
            assert q.inputs["shards"].value > 1
        # the numbers of one device are not the model's N
        assert q.symbol != "N"
    of = {"weights": 3, "gradients": 2, "optimizer_state": 1}
    for name, stage in of.items():
        shared = rank.layout.replicas > 1 and rank.layout.zero_stage >= stage
        assert shared == any("shards" in q.inputs for _, q in getattr(rank, name).walk())


def test_the_symbol_of_one_devices_numbers_is_its_own():
    rank = laid_out("Llama 3 8B", {"tensor_parallel": 4})
    assert rank.weights.working.symbols == "N_r \\cdot w"
    shared = replace(rank, layout=Layout(tensor_parallel=4, data_parallel=2, zero_stage=3))
    assert "n" in shared.weights.working.symbols


def test_a_stage_that_does_nothing_where_the_forward_pass_ends_keeps_what_its_layers_keep():
    """Neither autocast's copies go there nor the loss is taken, and it needs most, for the vocabulary is small."""
    sizes = {"d_model": 64, "n_heads": 4, "n_layers": 3, "vocab_size": 1, "precision": "bf16"}
    first = Configuration({**sizes, "pipeline_parallel": 3}).shown.step
    assert not {"loss", "forward_end"} & {stretch.phase for stretch in first.course.stretches}
    alone = Configuration({**sizes, "n_layers": 1}).step
    # of 8 × 1,024 tokens the last norm and the head keep what goes in, of each token 64 numbers of two bytes, and of
    # each a mean, a deviation, a label and what the loss keeps
    behind = alone.saved_activations.value - first.saved_activations.value - 2 * 8 * 1024 * 64 * 2
    assert 0 < behind < 8 * 1024 * 32
