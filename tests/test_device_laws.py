"""What holds of every training step on several devices, over configurations drawn at random and those that broke it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from configurations import configured
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from llmcalc.devices.layout import Layout
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.rank import RankMemory, rank_memory
from llmcalc.devices.stage import Stage
from llmcalc.step.run import LOSSES, RECOMPUTATIONS
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
    there = 0 if stage.run.gradients_stay else stage.gradients.value
    rest = sum(n * kind.bytes for kind, n in gradients.items()) - there
    assert -1 < rest <= sum(gradients.values()) * ALLOCATION_STEP, (stage.stage, rest)


def every_part_is_there(rank: RankMemory, stage: Stage) -> None:
    """Each moment is a sum of parts that are there, and of what rounding adds to them."""
    rank = RankMemory(rank.work, rank.run, rank.layout)
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
