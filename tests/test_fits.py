"""Whether a job fits, the largest that does, and what makes it fit: one answer, whatever the model, run and layout."""

from __future__ import annotations

import itertools
import re
from dataclasses import fields as fields_of
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from configurations import configured
from hypothesis import given, settings
from hypothesis import strategies as st

import llmcalc
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.fit.advice import CHANGES, MORE_DEVICES, changes_by_cost, single_changes, smallest_changes
from llmcalc.fit.job import Job
from llmcalc.fit.solve import MOST, largest_that_fits
from llmcalc.fit.take import FULL, LORA, QLORA, Take, int8_needs_more
from llmcalc.inputs import PURPOSES
from llmcalc.step.overhead import Overhead
from llmcalc.step.run import ATTENTIONS, LORA_BASES, LORA_TARGETS, LOSSES, RECOMPUTATIONS, TrainingRun
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.words import w

# Code of many kinds: windows, mixtures, multi-query, parallel blocks, Python's own activation
FAMILIES = {
    "gpt2": {},
    "llama": {"num_key_value_heads": 2, "num_attention_heads": 8},
    "mistral": {"sliding_window": 300, "num_hidden_layers": 4},
    "gemma3_text": {"sliding_window": 100, "num_hidden_layers": 7},
    "mixtral": {"num_hidden_layers": 3, "num_local_experts": 4},
    "qwen3_moe": {"num_hidden_layers": 2, "num_experts": 8},
    "gpt_neox": {"num_hidden_layers": 2},
    "phi": {"num_hidden_layers": 2},
    "opt": {"num_hidden_layers": 2},
    "olmo2": {"num_hidden_layers": 2},
}
plain = st.builds(
    lambda heads, width, **sizes: Dimensions(n_heads=heads, d_model=heads * width, **sizes).model(),
    heads=st.integers(1, 8),
    width=st.integers(1, 40).map(lambda n: 2 * n),
    n_layers=st.integers(1, 6),
    vocab_size=st.integers(1, 50_000),
    gated=st.booleans(),
    tied_head=st.booleans(),
    norm=st.sampled_from(["LayerNorm", "RMSNorm"]),
)
read = st.sampled_from([llmcalc.from_config({"model_type": family, **sizes}) for family, sizes in FAMILIES.items()])
runs = st.builds(
    TrainingRun,
    batch_size=st.integers(1, 64),
    seq_len=st.integers(1, 4096),
    precision=st.sampled_from(list(PRECISIONS)),
    optimizer=st.sampled_from(list(OPTIMIZERS)),
    attention=st.sampled_from(ATTENTIONS),
    recompute=st.sampled_from(RECOMPUTATIONS),
    loss=st.sampled_from(LOSSES),
    dropout=st.sampled_from([0.0, 0.1]),
    keep_logits=st.booleans(),
    gradient_accumulation=st.sampled_from([1, 2]),
    lora_rank=st.sampled_from([0, 8]),
    lora_targets=st.sampled_from(LORA_TARGETS),
    lora_base=st.sampled_from(LORA_BASES),
)
layouts = st.sampled_from(
    [Layout()] * 3
    + [Layout(data_parallel=4), Layout(data_parallel=8, zero_stage=1), Layout(data_parallel=2, zero_stage=3)]
    + [Layout(context_parallel=2), Layout(offload_optimizer=True)]
)
overheads = st.builds(
    Overhead, context=st.floats(0, 2000), workspaces=st.floats(0, 500), fragmentation=st.floats(0, 50)
)
knobs = pytest.mark.parametrize("knob", ["batch_size", "seq_len"])
GPU = ACCELERATORS["H100 SXM"]


@st.composite
def jobs(draw):
    """A job that can be."""
    model, layout, run = draw(plain | read), draw(layouts), draw(runs)
    run = replace(run, seq_len=run.seq_len * layout.divides_tokens_by)
    return Job(model, run, layout, model, GPU, draw(overheads))


def on(job, memory):
    """The same job where a device has so many bytes."""
    return replace(job, device=replace(GPU, id="unread", nominal_memory=memory))


def within(job, share):
    """The same job where a device has a share of what it needs."""
    return on(job, share * job.verdict.needed.value)


@settings(max_examples=30, deadline=None)
@given(job=jobs(), sizes=st.lists(st.integers(1, 5000), min_size=12, max_size=24, unique=True))
@knobs
def test_more_sequences_or_longer_ones_never_need_less(knob, job, sizes):
    held = {"batch_size": job.run.batch_size, "seq_len": job.run.seq_len}
    every = job.layout.divides_tokens_by if knob == "seq_len" else 1
    rising = every * np.array(sorted({*sizes, *(n + 1 for n in sizes)}), float)
    assert np.all(np.diff(job.needed(**held | {knob: rising})) >= 0)


@settings(max_examples=15, deadline=None)
@given(job=jobs(), memories=st.lists(st.floats(1e5, 1e12), min_size=1, max_size=5))
@knobs
def test_what_is_found_fits_and_one_more_does_not(knob, job, memories):
    every = job.layout.divides_tokens_by if knob == "seq_len" else 1
    for memory, n in zip(memories, job.largest(knob, np.array(memories), MOST), strict=True):
        if n > 0:
            assert on(job.changed({knob: int(n)}), memory).verdict.fits
        if n < MOST:
            assert not on(job.changed({knob: int(n) + every}), memory).verdict.fits


@settings(max_examples=30, deadline=None)
@given(job=jobs())
def test_a_job_needs_the_same_alone_and_in_a_sweep(job):
    alone = job.verdict.needed.value
    swept = job.needed(batch_size=np.array([float(job.run.batch_size)]), seq_len=np.array([float(job.run.seq_len)]))
    assert swept[0] == pytest.approx(alone, rel=1e-12)
    assert on(job, int(alone)).fits == on(job, int(alone)).verdict.fits


@settings(max_examples=60, deadline=None)
@given(job=jobs(), share=st.floats(0.2, 5))
def test_the_room_for_tensors_is_what_decides(job, share):
    verdict = within(job, share).verdict
    if verdict.needed.value != pytest.approx(verdict.available.value, rel=1e-9):
        assert verdict.fits == (verdict.allocated.value <= verdict.for_tensors.value)
    assert verdict.left == verdict.available.value - verdict.needed.value


def test_what_a_process_needs_is_the_sum_that_the_settings_say():
    run, overhead = TrainingRun(batch_size=8), Overhead(context=450, workspaces=17, fragmentation=14)
    job = Job(Dimensions().model(), run, Layout(), Dimensions().model(), GPU, overhead)
    peak = llmcalc.training_step(job.model, run).peak.value
    assert job.verdict.needed.value == pytest.approx((peak + 17 * 2**20) * 1.14 + 450 * 2**20, rel=1e-12)


@knobs
def test_one_step_at_a_time_finds_the_same(knob):
    model, run = Dimensions(d_model=64, n_layers=2, n_heads=4, vocab_size=500).model(), TrainingRun(seq_len=64)
    job = Job(model, run, Layout(), model, GPU, Overhead(context=0, workspaces=0, fragmentation=0))
    for memory in (1e6, 2**24, 30_000_001.0):
        n = 0
        while llmcalc.training_step(model, replace(run, **{knob: n + 1})).peak.value <= memory:
            n += 1
        assert job.largest(knob, memory, MOST) == n


@knobs
def test_nothing_fits_where_the_weights_alone_do_not(knob):
    model = Dimensions().model()
    job = Job(model, TrainingRun(), Layout(), model, GPU, Overhead())
    assert job.largest(knob, [1.0, 12 * 124_439_808], MOST).tolist() == [0, 0]


def test_the_search_finds_the_last_of_any_rising_steps_and_ends_where_nothing_rises():
    jumps = np.cumsum([3, 1, 1, 50, 1, 1, 1, 400])  # what 1, 2, … 8 need
    found = largest_that_fits(lambda n: jumps[n.astype(int) - 1], np.arange(0, 500), most=8)
    assert found.tolist() == [sum(jumps <= memory) for memory in range(500)]
    assert largest_that_fits(lambda n: np.full(n.shape, 7.0), np.array([6, 7]), most=1000).tolist() == [0, 1000]
    assert largest_that_fits(lambda n: n, np.array([3, 17, 999]), most=50, every=4).tolist() == [0, 16, 48]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("model", ["GPT-2 124M", "Llama 3 8B", "Gemma 3 1B", "DeepSeek-V3 671B", "BERT base (encoder)"])
@pytest.mark.parametrize(
    "changes", [{}, {"account": "article"}, {"n_devices": 4}, {"data_parallel": 8, "zero_stage": 3}]
)
def test_a_configuration_answers_for_training_and_inference(model, purpose, changes):
    config = configured(model, **changes)
    memory = config.accelerator.memory
    n = int(config.largest_that_fits(purpose, "batch_size", [memory])[0])
    for size, fits in ((n, True), (n + 1, False)):
        if 1 <= size <= 65_536:
            found = Configuration({**config.values, "batch_size": size}).verdict_of(purpose)
            waits = purpose == "inference" and found.job.running < size  # as the engine runs no more at once
            assert (found.fits and not waits) == fits


# What makes it fit


@settings(max_examples=20, deadline=None)
@given(job=jobs())
def test_changes_by_cost_are_the_single_ones_in_another_order(job):
    by_cost = sorted(single_changes(job), key=lambda advice: (advice.cost, -advice.saved))
    assert list(changes_by_cost(job)) == by_cost


@settings(max_examples=15, deadline=None)
@given(job=jobs(), share=st.floats(0.05, 0.99))
def test_advice_keeps_its_word_and_is_the_shortest_there_is(job, share):
    job = within(job, share)
    advice = smallest_changes(job)
    for found in advice:
        changed = job.changed(found.fields)
        assert changed.verdict.fits
        assert changed.verdict.allocated.value == pytest.approx(found.peak, abs=1)
        assert found.saved == job.peak - found.peak
    alone = [a for a in single_changes(job) if a.fits]
    assert len(alone) <= len(CHANGES)
    here = [a for a in alone if a.cost < MORE_DEVICES]
    if here:
        assert {len(a.changes) for a in advice} == {1}
        assert all(a.cost < MORE_DEVICES for a in advice)
    assert len({len(a.changes) for a in advice}) <= 1 or not here
    assert smallest_changes(on(job, job.verdict.needed.value)) == []


@settings(max_examples=5, deadline=None)
@given(job=jobs(), share=st.floats(0.02, 0.6))
def test_what_no_three_changes_fit_is_not_fitted_by_the_sharpest_of_them(job, share):
    job = within(job, share)
    changes = [a.changes[0] for a in single_changes(job)]
    assert bool(smallest_changes(job)) == any(fits(job.changed(fields)) for fields in every_three(job, changes))


def fits(job):
    try:
        return job.fits
    except llmcalc.InputError:
        return False


def every_three(job, changes):
    """The fields of up to three changes, one after the other, that do not touch the same."""
    for chosen in itertools.combinations(changes, min(3, len(changes))):
        changed, fields = job, {}
        for change in chosen:
            more = change.fields(changed) or {}
            if not set(more) & set(fields):
                fields |= more
                changed = changed.changed(more)
        yield fields


@pytest.mark.parametrize("layout", [Layout(data_parallel=4), Layout(data_parallel=2, zero_stage=2)])
def test_advice_for_several_devices_takes_those_that_there_are(layout):
    model = llmcalc.from_config({"model_type": "llama"})
    job = Job(model, TrainingRun(batch_size=4, seq_len=2048), layout, model, GPU, Overhead())
    found = smallest_changes(on(job, 0.6 * job.verdict.needed.value))
    assert found
    assert all(job.changed(advice.fields).layout.devices == layout.devices for advice in found)


def test_every_change_names_fields_that_a_run_or_a_layout_has():
    known = {field.name for kind in (TrainingRun, Layout) for field in fields_of(kind)}
    run = TrainingRun(precision="fp32", attention="eager", keep_logits=True, batch_size=2)
    for change in CHANGES:
        jobs = [Job(None, run, layout, None, GPU, Overhead()) for layout in (Layout(), Layout(data_parallel=2))]
        found = [change.fields(job) for job in jobs]
        assert any(found)
        assert all(fields is None or set(fields) <= known for fields in found)


def test_int8_is_said_to_need_more_only_where_it_does():
    def takes(lora, int8):
        needed = {(LORA, "bf16"): lora, (QLORA, "int8"): int8, (FULL, "bf16"): 1}
        cells = {cell: value and SimpleNamespace(needed=SimpleNamespace(value=value)) for cell, value in needed.items()}
        return [Take(way, format, {}, verdict) for (way, format), verdict in cells.items()]

    assert int8_needs_more(takes(10, 11))
    for lora, int8 in ((10, 10), (10, 9), (None, 9), (10, None)):
        assert not int8_needs_more(takes(lora, int8)), (lora, int8)


def test_what_it_would_take_has_the_readers_adapters_or_the_ones_that_the_pages_name():
    named = re.search(r"rank (\d+)", w("advice.lora"))
    for rank, expected in ((0, int(named[1])), (64, 64)):
        adapted = [take for take in configured("Llama 3.2 1B", lora_rank=rank).takes if "lora" in take.way]
        assert {take.fields["lora_rank"] for take in adapted} == {expected}
