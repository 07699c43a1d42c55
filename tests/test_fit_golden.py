"""What would make a step fit, change by change, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.devices.layout import Layout
from llmcalc.errors import InputError
from llmcalc.fit.advice import CHANGES, MORE_DEVICES, single_changes, smallest_changes
from llmcalc.fit.job import Job
from llmcalc.fit.solve import largest_that_fits
from llmcalc.step.overhead import Overhead
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.dimensions import Dimensions

GPU = ACCELERATORS["H100 SXM"]
BY_ID = {change.id: change for change in CHANGES}
SMALL = Dimensions(d_model=256, n_layers=2, n_heads=4, vocab_size=5_000).model()
# Everything as costly as can be, so that each change has something to change; 8 sequences, 3 times
LAVISH = TrainingRun(
    batch_size=8, gradient_accumulation=3, seq_len=256, precision="fp32", attention="eager", keep_logits=True
)
ALONE, COPIES = Layout(), Layout(data_parallel=4)


def job(run=LAVISH, layout=ALONE, memory=80e9, model=SMALL, overhead=None) -> Job:
    device = replace(GPU, id="unread", nominal_memory=int(memory))
    return Job(model, run, layout, model, device, overhead or Overhead(context=0, workspaces=0, fragmentation=0))


# change, layout, what it sets, what it costs: 0 nothing, 1 time, 2 another training, 3 more devices
SETS = [
    ("fused_attention", ALONE, {"attention": "sdpa"}, 0),
    ("drop_logits", ALONE, {"keep_logits": False}, 0),
    ("fused_optimizer", ALONE, {"optimizer": "adamw_fused"}, 0),
    ("fused_loss", ALONE, {"loss": "fused"}, 0),
    ("autocast", ALONE, {"precision": "amp_bf16"}, 1),
    ("selective_recomputation", ALONE, {"recompute": "selective"}, 1),
    ("full_recomputation", ALONE, {"recompute": "full"}, 1),
    ("half_batch", ALONE, {"batch_size": 4, "gradient_accumulation": 6}, 1),  # 8 x 3 = 4 x 6
    ("zero_1", COPIES, {"zero_stage": 1}, 1),
    ("zero_2", COPIES, {"zero_stage": 2}, 1),
    ("zero_3", COPIES, {"zero_stage": 3}, 1),
    (
        "tensor_parallel",
        COPIES,
        # 4 copies x 8 x 3 = 8 x 12 on all four together
        {
            "tensor_parallel": 4, "sequence_parallel": True, "data_parallel": 1, "zero_stage": 0, "expert_parallel": 1,
            "gradient_accumulation": 12,
        },
        1,
    ),
    ("offload_optimizer", ALONE, {"offload_optimizer": True}, 1),
    ("eight_bit_optimizer", ALONE, {"optimizer": "adamw_8bit"}, 2),
    ("pure_bf16", ALONE, {"precision": "bf16"}, 2),
    ("lora", ALONE, {"lora_rank": 16}, 2),
    ("eight_devices", ALONE, {"data_parallel": 8, "zero_stage": 3}, 3),
]  # fmt: skip


@pytest.mark.parametrize(("id", "layout", "fields", "cost"), SETS, ids=[row[0] for row in SETS])
def test_a_change_sets_what_its_name_says(id, layout, fields, cost):
    assert BY_ID[id].fields(job(layout=layout)) == fields
    assert BY_ID[id].cost == cost


def test_every_change_is_told_here():
    assert [row[0] for row in SETS] == list(BY_ID)


NOTHING = [
    ("fused_attention", {"attention": "sdpa"}, ALONE),
    ("drop_logits", {"keep_logits": False}, ALONE),
    ("fused_loss", {"loss": "fused"}, ALONE),
    ("autocast", {"precision": "mixed_bf16"}, ALONE),
    ("selective_recomputation", {"attention": "sdpa"}, ALONE),  # a fused kernel stores no matrix
    ("selective_recomputation", {"recompute": "full"}, ALONE),
    ("selective_recomputation", {"recompute": "selective"}, ALONE),
    ("full_recomputation", {"recompute": "full"}, ALONE),
    ("half_batch", {"batch_size": 1}, ALONE),
    ("half_batch", {"batch_size": 3}, ALONE),  # one sequence and a half
    *((id, {}, ALONE) for id in ("zero_1", "zero_2", "zero_3", "tensor_parallel")),  # nobody to share with
    ("zero_1", {}, Layout(data_parallel=4, zero_stage=1)),
    ("zero_2", {}, Layout(data_parallel=4, zero_stage=2)),
    ("zero_2", {}, Layout(data_parallel=4, zero_stage=3)),
    ("zero_3", {}, Layout(data_parallel=4, zero_stage=3)),
    ("tensor_parallel", {}, Layout(data_parallel=16)),  # more than a fast link joins
    ("tensor_parallel", {}, Layout(data_parallel=4, tensor_parallel=2)),
    ("tensor_parallel", {}, Layout(data_parallel=4, pipeline_parallel=2)),
    ("offload_optimizer", {}, Layout(offload_optimizer=True)),
    *((id, {"optimizer": o}, ALONE) for id in ("fused_optimizer", "eight_bit_optimizer") for o in ("sgd", "adafactor")),
    ("fused_optimizer", {"optimizer": "adamw_fused"}, ALONE),
    ("eight_bit_optimizer", {"optimizer": "adamw_8bit"}, ALONE),
    ("pure_bf16", {"precision": "bf16"}, ALONE),
    ("lora", {"lora_rank": 1}, ALONE),
    ("eight_devices", {}, Layout(data_parallel=2)),
    ("eight_devices", {}, Layout(tensor_parallel=2)),
]  # fmt: skip


@pytest.mark.parametrize(("id", "run", "layout"), NOTHING, ids=lambda x: str(x))
def test_a_change_that_is_made_already_or_cannot_be_is_none(id, run, layout):
    assert BY_ID[id].fields(job(replace(LAVISH, **run), layout)) is None


@pytest.mark.parametrize(
    ("id", "run", "layout"),
    [
        ("half_batch", {"batch_size": 2}, ALONE),
        ("zero_1", {}, Layout(data_parallel=2)),
        ("zero_3", {}, Layout(context_parallel=2)),
        ("zero_3", {}, Layout(data_parallel=2, zero_stage=2)),
        ("tensor_parallel", {}, Layout(data_parallel=8)),
        ("tensor_parallel", {}, Layout(data_parallel=2)),
        ("fused_optimizer", {"optimizer": "adamw_for_loop"}, ALONE),
        ("eight_bit_optimizer", {"optimizer": "adamw_for_loop"}, ALONE),
    ],
    ids=lambda x: str(x),
)
def test_a_change_is_offered_as_far_as_it_can_be(id, run, layout):
    assert BY_ID[id].fields(job(replace(LAVISH, **run), layout))


@pytest.mark.parametrize("layout", [ALONE, COPIES, Layout(data_parallel=8, zero_stage=1)], ids=str)
@pytest.mark.parametrize("change", [c for c in CHANGES if c.cost < MORE_DEVICES], ids=lambda c: c.id)
def test_a_step_goes_through_as_many_sequences_on_as_many_devices_as_before(change, layout):
    before = job(layout=layout)
    if (fields := change.fields(before)) is None:
        return
    after = before.changed(fields)
    sequences = [j.run.batch_size * j.run.gradient_accumulation * j.layout.data_parallel for j in (before, after)]
    assert sequences[0] == sequences[1]
    assert before.layout.devices == after.layout.devices


def test_the_changes_that_save_are_listed_by_what_they_save():
    found = single_changes(job())
    saved = {a.changes[0].id: a.saved for a in found}
    assert list(saved.values()) == sorted(saved.values(), reverse=True)
    assert min(saved.values()) > 0
    for a in found:
        assert len(a.changes) == 1
        assert a.saved == pytest.approx(job().peak - job().changed(a.fields).peak, abs=1e-6)
        assert a.peak == job().changed(a.fields).peak
    # alone nothing is shared, and LoRA with 16 of 256 trains far less
    assert not {"zero_1", "zero_2", "zero_3", "tensor_parallel"} & set(saved)
    assert {"lora", "half_batch", "full_recomputation", "fused_attention"} <= set(saved)


def every_set(of: Job, number: int) -> list[tuple[tuple[int, int, float], tuple[str, ...]]]:
    """All sets of so many changes, none of which undoes another, after which it fits; by hand: the highest cost, all
    costs, the peak, and which they are."""
    found = []
    useful = [a.changes[0] for a in single_changes(of) if a.cost < MORE_DEVICES]
    for together in combinations(useful, number):
        changed, fields, possible = of, {}, True
        for change in together:
            more = change.fields(changed)
            possible = possible and more is not None and not set(more) & set(fields)
            if possible:
                fields |= more
                changed = changed.changed(more)
        try:
            fits = possible and changed.peak <= of.device.memory
        except InputError:
            continue
        if fits:
            costs = [change.cost for change in together]
            found.append(((max(costs), sum(costs), changed.peak), tuple(change.id for change in together)))
    return sorted(found)


FRUGAL = TrainingRun(batch_size=1, seq_len=512, precision="fp32", attention="eager", optimizer="sgd", loss="fused")


@pytest.mark.parametrize(("run", "number"), [(LAVISH, 1), (LAVISH, 2), (FRUGAL, 2), (FRUGAL, 3)])
def test_the_smallest_changes_are_the_first_four_of_all_sets_by_cost_and_peak(run, number):
    before = job(run)
    least = {0: before.peak} | {n: min(key[2] for key, _ in every_set(before, n)) for n in range(1, number)}
    within = job(run, memory=0.9 * least[number - 1])
    assert all(not every_set(within, fewer) for fewer in range(1, number))
    expected = every_set(within, number)
    assert len(expected) > 1
    found = smallest_changes(within)
    assert [(a.cost, sum(c.cost for c in a.changes), a.peak) for a in found] == [key for key, _ in expected[:4]]
    assert {tuple(c.id for c in a.changes) for a in found} <= {ids for _, ids in expected}
    assert all(a.fits for a in found)
    assert len(smallest_changes(within, most=2)) == min(2, len(expected))


def test_more_devices_are_advised_only_where_nothing_on_these_helps_and_then_one_way():
    # one short sequence, no states, everything recomputed: the model itself is what is large
    bare = replace(FRUGAL, seq_len=16, precision="bf16", attention="sdpa", recompute="full")
    alone = job(bare, model=Dimensions(d_model=512, n_layers=8, n_heads=4, vocab_size=1_000).model())
    here = {a.changes[0].id: a.peak for a in single_changes(alone) if a.cost < MORE_DEVICES}
    spread = alone.changed({"data_parallel": 8, "zero_stage": 3})
    both = spread.changed({"lora_rank": 16})
    assert list(here) == ["lora"]
    assert both.peak < 0.9 * spread.peak < spread.peak < here["lora"]

    def advised(memory: float) -> list[list[str]]:
        within = replace(alone, device=replace(alone.device, nominal_memory=int(memory)))
        return [[change.id for change in a.changes] for a in smallest_changes(within)]

    assert advised(here["lora"] + 1) == [["lora"]]
    assert advised((here["lora"] + spread.peak) / 2) == [["eight_devices"]]
    assert advised((spread.peak + both.peak) / 2) == [["eight_devices", "lora"]]
    assert advised(0.5 * both.peak) == []


def test_nothing_is_advised_where_it_fits_or_where_nothing_helps():
    assert smallest_changes(job(memory=job().peak)) == []
    assert smallest_changes(job(memory=1_000)) == []


# Whether it fits


def test_a_job_fits_to_the_byte():
    peak = int(job().peak)
    for overhead, needed in (
        (Overhead(context=0, workspaces=0, fragmentation=0), peak),
        (Overhead(context=1, workspaces=2, fragmentation=50), (peak + 2 * 2**20) * 1.5 + 2**20),
    ):
        for memory, fits in ((needed, True), (needed - 1, False), (needed + 1, True)):
            asked = job(memory=memory, overhead=overhead)
            assert asked.fits == asked.verdict.fits == fits
            assert asked.verdict.left == int(memory) - needed
            assert asked.verdict.needed.value == needed
        reserved = needed - (2**20 if overhead.context else 0)
        assert asked.verdict.reserved.value == reserved
        assert asked.verdict.available.value == int(needed + 1)


def test_a_peak_is_that_of_the_device_that_needs_most():
    for layout in (ALONE, COPIES):
        asked = job(layout=layout)
        assert asked.peak == max(asked.step.peak_by_moment.values()) == asked.verdict.allocated.value
        assert asked.verdict.devices == layout.devices


@pytest.mark.parametrize(
    "layout", [ALONE, Layout(context_parallel=2), Layout(tensor_parallel=2, sequence_parallel=True)]
)
def test_the_largest_length_is_one_that_the_layout_divides(layout):
    asked = job(replace(LAVISH, batch_size=1, gradient_accumulation=1), layout, memory=2e8)
    every = 1 if layout is ALONE else 2
    n = int(asked.largest("seq_len", 2e8, 2**20))
    assert n % every == 0
    assert asked.needed(batch_size=np.array([1.0]), seq_len=np.array([float(n)]))[0] <= 2e8
    assert asked.needed(batch_size=np.array([1.0]), seq_len=np.array([float(n + every)]))[0] > 2e8
    assert asked.largest("batch_size", 2e8, 3) in (0, 1, 2, 3)
    assert asked.largest("batch_size", 1e15, 17) == 17


@pytest.mark.parametrize("every", [1, 2, 7])
@pytest.mark.parametrize("most", [1, 2, 30, 1000])
def test_the_search_ends_at_the_last_that_is_small_enough(every, most):
    for limit in (-1.0, 0.0, 0.5, 1.0, 6.9, 7.0, 13.0, 26.0, 500.0, 1e9):
        expected = max((n for n in range(every, most + 1, every) if n <= limit), default=0)
        assert largest_that_fits(lambda n: n, np.array([limit]), most=most, every=every).tolist() == [expected]
    assert largest_that_fits(lambda n: n, 5.0, most=most, every=every) == max(
        (n for n in range(every, most + 1, every) if n <= 5), default=0
    )


def test_what_does_not_grow_may_be_one_number():
    assert largest_that_fits(lambda n: 7.0, np.array([6, 7]), most=9).tolist() == [0, 9]


def test_no_more_than_three_changes_are_advised_together_on_more_devices_too():
    alone = job(FRUGAL, model=Dimensions(d_model=256, n_layers=8, n_heads=4, vocab_size=1_000).model())
    eight = alone.changed({"data_parallel": 8, "zero_stage": 3})
    useful = [a.changes[0] for a in single_changes(alone) if a.cost < MORE_DEVICES]

    def least(number: int) -> float:
        peaks = []
        for together in combinations(useful, number):
            changed, fields = eight, {}
            for change in together:
                more = change.fields(changed) or {}
                if not more or set(more) & {*fields, "data_parallel", "zero_stage"}:
                    break
                fields |= more
                changed = changed.changed(more)
            else:
                peaks.append(changed.peak)
        return min(peaks)

    two, three = least(2), least(3)
    assert three < 0.99 * two
    within = replace(alone, device=replace(alone.device, nominal_memory=int((two + three) / 2)))
    assert all(len(advice.changes) <= 3 for advice in smallest_changes(within))
    assert smallest_changes(replace(alone, device=replace(alone.device, nominal_memory=int(two))))
