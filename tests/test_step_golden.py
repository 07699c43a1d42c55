"""A training step where a rule of it turns, against PyTorch's own: sizes that divide nothing, the widest head of a
kernel, every weight's gradient, the scratch of optimizers."""

from __future__ import annotations

from functools import cache

import pytest
from golden_files import jsonl_rows

import llmcalc
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import is_simulated
from llmcalc.transformer.dimensions import Dimensions

EDGES = jsonl_rows("edge_steps.jsonl")
FAMILIES = {row["config"]["model_type"]: row for row in jsonl_rows("weight_sizes.jsonl")}
PHASES = {
    "forward": ("forward", "loss_forward"),
    "backward": ("loss_backward", "layers_backward", "backward_end"),
    "optimizer": ("optimizer_step",),
}


@cache
def measured_and_simulated(place: int):
    row = EDGES[place]
    return row, llmcalc.training_step(llmcalc.from_config(row["config"]), TrainingRun(**row["run"]))


def edges(wanted):
    """The places of measured steps that are wanted, told by their settings."""
    found = [i for i, row in enumerate(EDGES) if wanted(row)]
    ids = [" ".join(map(str, (r["model"], r["config"].get("head_dim", ""), *r["run"].values()))) for r in EDGES]
    return pytest.mark.parametrize("place", found, ids=lambda i: ids[i])


@edges(lambda row: row["model"] != "gpt_oss")
def test_a_step_is_what_pytorch_allocates(place):
    row, step = measured_and_simulated(place)
    assert step.saved_activations.value == pytest.approx(row["saved"], rel=2e-3)
    for phase, moments in PHASES.items():
        peak = max(step.peak_by_moment[moment] for moment in moments if moment in step.peak_by_moment)
        assert peak == pytest.approx(row["peaks"][phase], rel=1.5e-3), phase


@edges(lambda row: row["model"] == "gpt_oss")
def test_experts_with_biases_keep_what_pytorch_keeps(place):
    row, step = measured_and_simulated(place)
    assert step.saved_activations.value == pytest.approx(row["saved"], rel=1.5e-3)


def test_the_widest_head_that_a_flash_kernel_takes_has_256_numbers():
    """Beyond it keys and values are repeated for each query head: measured, 5.9 MB more at 264 than at 256, where 8
    more numbers a head would be 0.5 MB, as they are from 248 to 256."""
    kept = {}
    for place, row in enumerate(EDGES):
        if row["model"] == "llama" and row["run"]["batch_size"] == 2 and row["run"]["precision"] == "bf16":
            kept[row["config"]["head_dim"]] = (row["saved"], measured_and_simulated(place)[1].saved_activations.value)
    for of in (0, 1):
        assert kept[264][of] - kept[256][of] > 10 * (kept[256][of] - kept[248][of])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_has_a_gradient_of_its_size(family):
    """Sizes as the family's own class has them, each rounded up to the 512 bytes that the allocator hands out."""
    row = FAMILIES[family]
    model = llmcalc.from_config(row["config"])
    step = llmcalc.training_step(model, TrainingRun(batch_size=1, seq_len=16, precision="fp32"))
    if not is_simulated(step):
        pytest.skip("counted, not simulated")
    alive = step.course.end_of("backward").alive
    found = sum(number * kind.bytes for kind, number in alive.items() if kind.category == "gradients")
    expected = sum(number * -(-4 * size // 512) * 512 for size, number in row["sizes"])
    assert found == pytest.approx(expected, rel=1e-4)


# The optimizer's scratch, by hand, of a table of 50,257 x 768 in fp32


@pytest.mark.parametrize(
    ("optimizer", "of_all", "of_the_largest"),
    [
        ("adamw_foreach", 1, 0),  # the root of the second state, of all weights at once
        ("adamw_for_loop", 0, 2),  # that root, and it with epsilon
        ("adamw_fused", 0, 0),
        ("adamw_8bit", 0, 0),
        ("sgd", 0, 0),
        ("sgd_momentum", 0, 0),
        ("adafactor", 0, 2),  # the squared gradient, and the update
        ("lion", 0, 1),  # the signs
        ("muon", 0, 3 + 2 * 768 / 50_257),  # X and two updates as large; A = X Xᵀ and B = b A + c A A of 768 x 768
    ],
)
def test_an_optimizer_allocates_so_many_copies_while_it_steps(optimizer, of_all, of_the_largest):
    step = llmcalc.training_step(Dimensions().model(), TrainingRun(optimizer=optimizer))
    assert step.optimizer_temporary.value == pytest.approx(4 * (of_all * 124_439_808 + of_the_largest * 50_257 * 768))


# The loss in pieces


@pytest.mark.parametrize("loss", ["chunked", "fused"])
@pytest.mark.parametrize(("tokens", "chunks", "piece"), [(1001, 8, 126), (1000, 8, 125), (999, 16, 63), (7, 4, 2)])
def test_pieces_of_the_loss_are_as_large_as_those_of_torch_chunk(loss, tokens, chunks, piece):
    """torch.chunk: as many tokens in each as the quotient rounded up, and what is left in the last."""
    run = TrainingRun(batch_size=1, seq_len=tokens, loss=loss, loss_chunks=chunks)
    step = llmcalc.training_step(Dimensions().model(), run)
    logits = [
        kind.elements
        for stretch in step.course.stretches
        for _, kind in stretch.segment.changes
        if kind.role == "logits" and kind.dtype == "fp32"
    ]
    assert set(logits) == {piece * 50_257}
