"""Laws of a training step for every model of the library, on one device and laid out over several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from kinds import is_run
from laws import for_each

from llmcalc import TrainingRun, from_config, training_step
from llmcalc.catalog.models import models
from llmcalc.devices.layout import Layout, check_layout
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.rank import candidates, rank_memory
from llmcalc.devices.stage import Stage
from llmcalc.devices.work import Work
from llmcalc.errors import InputError
from llmcalc.step.course import MOMENTS
from llmcalc.step.run import LORA_BASES
from llmcalc.step.step import peak_sweep
from llmcalc.step.tape import ALLOCATION_STEP
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.dimensions import Dimensions, plain_sizes
from llmcalc.transformer.model import Block

MODELS = {id: from_config(row.config) for id, row in models().items()}
every_model = for_each("id", models())


def kind(model):
    """What tells models apart but for their sizes: their code, and which parts they have where."""
    parts = [tuple(sorted({(type(p).__name__, p.id) for p in ps})) for ps in (model.front, model.back)]
    layers = {
        tuple((type(p).__name__, p.id, getattr(p, "window", None) is None) for p in b.parts) for b, _ in model.blocks
    }
    return replace(model.code, n_positions=0), *parts, frozenset(layers), len(model.blocks) > 1, model.tied


# One model of each kind, and those of them that are simulated
OF_EACH_KIND = {kind(model): id for id, model in MODELS.items() if model.code is not None}.values()
SIMULATED = [id for id in OF_EACH_KIND if is_run(MODELS[id])]
every_kind = pytest.mark.parametrize("id", SIMULATED)
# Each kind with one run, one layout and one format, each of which meets its share of the kinds; slowly each with all
every_pair = pytest.mark.parametrize("every", [pytest.param(True, marks=pytest.mark.slow), False])
PACKED = [base for base in LORA_BASES if base != "same"]
RUNS = (
    TrainingRun(batch_size=2, seq_len=64),
    TrainingRun(batch_size=1, seq_len=256, loss="fused", attention="eager", precision="bf16", optimizer="sgd"),
    TrainingRun(batch_size=2, seq_len=64, loss="chunked", recompute="full", gradient_accumulation=8),
    TrainingRun(batch_size=2, seq_len=64, loss="fused", precision="fp32", recompute="selective", dropout=0.1),
)
LAYOUTS = (
    {"pipeline_parallel": 2},
    {"tensor_parallel": 2, "sequence_parallel": True},
    {"data_parallel": 2, "zero_stage": 3, "pipeline_parallel": 3},
)


def assert_no_two_terms_are_told_alike(memory):
    for whole in memory:
        symbols = [part.symbol for part in whole.parts]
        assert len(symbols) == len(set(symbols)), (whole.id, symbols)


def is_possible(model, run, layout) -> bool:
    try:
        check_layout(model, run, layout)
    except InputError:
        return False
    return True


def at_most_rounded(total, pieces: int) -> None:
    """Every part of a sum is something, and what is not named is less than one step of the allocator for a piece."""
    assert all(part.value >= 0 for part in total.parts), [(part.id, part.value) for part in total.parts]
    rounding = sum(part.value for part in total.parts if part.id == "rounding")
    assert rounding < ALLOCATION_STEP * max(1, pieces)


def runs_of(id: str, every: bool, also: int = 0) -> Sequence[TrainingRun]:
    """All runs, or the one whose turn it is with this model."""
    return RUNS if every else [RUNS[(SIMULATED.index(id) + also) % len(RUNS)]]


@every_kind
@every_pair
def test_a_moment_is_what_is_named_and_less_than_a_step_of_the_allocator_a_piece(id, every):
    model = MODELS[id]
    for run in runs_of(id, every):
        step = training_step(model, run)
        for name, size in step.peak_by_moment.items():
            moment = step.moments[name]
            assert moment.value == pytest.approx(size, rel=1e-12), (name, run)
            alive = step.course.moment_of_most(*MOMENTS[name]).alive
            at_most_rounded(moment, sum(alive.values()))


@every_kind
@every_pair
def test_quantised_under_lora_a_model_never_needs_more_than_in_16_bits(id, every):
    """A packed weight is kept for the way back, and what it is unpacked to lives for one product only. Activations may
    be more: a packed product under autocast returns what came in, in its format."""
    turn = SIMULATED.index(id)
    packed = PACKED if every else [PACKED[turn // len(RUNS) % len(PACKED)]]
    for at, base in enumerate(packed):  # with a run each, which in turn is any
        run = replace(RUNS[(turn + at) % len(RUNS)], lora_rank=8, lora_targets="all", optimizer="adamw_fused")
        step = training_step(MODELS[id], replace(run, lora_base=base))
        assert step.peak.value <= training_step(MODELS[id], run).peak.value, (run, base, step.peak_phase)


@every_kind
@every_pair
def test_one_device_is_the_simulated_step(id, every):
    model = MODELS[id]
    for run in runs_of(id, every, also=1):
        alone = rank_memory(model, run, Layout())
        simulated = training_step(model, run).peak.value
        assert alone.peak.value == pytest.approx(simulated, rel=1e-12)
        assert alone.neediest.peak == pytest.approx(simulated, rel=1e-12)


@pytest.mark.parametrize(
    "id", [id for id, m in MODELS.items() if m.code is None or (id in OF_EACH_KIND and id not in SIMULATED)]
)
def test_where_a_plain_decoder_stands_in_the_parameters_and_gradients_are_the_models_own(id):
    model, run = MODELS[id], RUNS[0]
    plain = plain_sizes(model).model()
    step = training_step(plain, run, counted=model)
    assert step.gradients.value == run.numbers.gradient_bytes * model.trainable_parameters().value
    for name, size in step.peak_by_moment.items():
        assert step.moments[name].value == pytest.approx(size, rel=1e-12)
        at_most_rounded(step.moments[name], sum(step.course.moment_of_most(*MOMENTS[name]).alive.values()))
    assert rank_memory(plain, run, Layout(), counted=model).peak.value == pytest.approx(step.peak.value, rel=1e-12)
    for layout in filter(lambda layout: is_possible(plain, run, layout), (Layout(**layout) for layout in LAYOUTS)):
        memory = rank_memory(plain, run, layout, counted=model)
        assert memory.peak.value == pytest.approx(memory.neediest.peak, rel=1e-12)


@every_kind
@every_pair
def test_the_peak_of_a_rank_is_what_is_named_and_what_a_table_says(id, every):
    model, turn = MODELS[id], SIMULATED.index(id) // len(RUNS) % len(LAYOUTS)
    layouts = [Layout(**layout) for layout in (LAYOUTS if every else LAYOUTS[turn : turn + 1])]
    pairs = [(run, layout) for run in runs_of(id, every) for layout in layouts if is_possible(model, run, layout)]
    for run, layout in pairs:
        memory = rank_memory(model, run, layout)
        assert memory.peak.value == pytest.approx(memory.neediest.peak, rel=1e-12)
        assert_no_two_terms_are_told_alike([q for _, q in memory.peak.walk() if q.unit == "bytes"])
        for stage in candidates(memory.work, run, layout):
            alive = stage.timeline.moment_of_most().alive
            assert not {kind: n for kind, n in alive.items() if n < 0}
            assert stage.timeline.peak() == pytest.approx(stage.peak, rel=1e-12)
        at_most_rounded(memory.peak, sum(memory.neediest.timeline.moment_of_most().alive.values()))


@every_kind
@pytest.mark.parametrize("p", [1, 2, 3])
def test_every_parameter_is_on_one_stage_and_what_trains_has_a_gradient_there(id, p):
    model = MODELS[id]
    run = TrainingRun(batch_size=1, seq_len=1)
    layout, work = Layout(pipeline_parallel=p), Work(model, run, model)
    if not is_possible(model, run, layout):
        assert p > 1
        return
    pieces = Pieces(work, run, layout)
    stages = [Stage(work, run, layout, i, pieces) for i in range(p)]
    held = [stage.holds.weights.value / run.numbers.weight_bytes for stage in stages]
    trains = [sum(stage.holds.parameters.values()) for stage in stages]
    # a tied table is on the last stage too, where that is not the first
    copied = model.front[0].parameters().value if model.tied and p > 1 else 0
    assert sum(held) == model.parameters().value + copied
    assert sum(trains) == model.trainable_parameters().value + copied
    # what is in front of the layers is on the first, towers too; what is behind them on the last
    layers = [block.parameters().value for block in model.layers()]
    begins = [stage.layers.stretches[0] for stage in stages]
    of_layers = [sum(layers[begin:end]) for begin, end in begins]
    assert held[0] - of_layers[0] == sum(part.parameters().value for part in (*model.front, *model.beside)) + (
        0 if p > 1 else sum(part.parameters().value for part in model.back)
    )
    if p > 1:
        assert held[-1] - of_layers[-1] == sum(part.parameters().value for part in model.back) + copied
    assert sum(stage.holds.gradients.value for stage in stages) == sum(trains) * run.numbers.gradient_bytes


def test_messages_are_as_wide_as_the_layers():
    # OPT-350m: an embedding of 512 channels before layers of 1,024, which are what stages send each other
    assert MODELS["opt-350m"].width == 1024
    run, layout = TrainingRun(batch_size=3, seq_len=100, precision="bf16"), Layout(pipeline_parallel=2)
    stage = rank_memory(MODELS["opt-350m"], run, layout).neediest
    assert stage.exchange.buffers.value == 2 * 3 * 100 * 1024 * 2  # an activation and a gradient, two bytes each


@every_model
def test_a_model_is_as_wide_as_its_layers_norms(id):
    model = MODELS[id]
    norms = [p for block, _ in model.blocks for p in block.parts if p.component == "norm" and "inner" not in p.id]
    assert {norm.width for norm in norms} <= {model.width}


def test_layers_without_attention_have_sizes_and_are_refused_in_a_step_by_name():
    plain = Dimensions(n_layers=2).model()
    block = plain.blocks[0][0]
    bare = Block(tuple(part for part in block.parts if not isinstance(part, Attention)), "bare")
    only, some = replace(plain, blocks=((bare, 2),)), replace(plain, blocks=((bare, 1), (block, 1)))
    assert plain_sizes(only).head_width() == only.width == 768
    assert plain_sizes(some).n_heads == 12
    for model in (only, some):
        with pytest.raises(InputError) as caught:
            _ = training_step(model, RUNS[0]).peak
        assert caught.value.input_id == "model"
        assert rank_memory(plain, RUNS[0], Layout(), counted=model).peak.value > 0
    messages = rank_memory(plain, RUNS[0], Layout(context_parallel=2), counted=only).neediest.exchange.sizes
    assert messages["d_model"] == 768


# What joins several of a model's projections in one matrix, and what the two projections of a narrow embedding share
JOINED = {
    "_{QKV}": ("_Q", "_K", "_V"),
    r"_\text{gate, up}": (r"_\text{gate}", r"_\text{up}"),
    r"_\text{proj out}": (r"_\text{proj}",),
    "_{QG}": ("_Q", "_G"),
    "_{QK,V}": ("_{QK}", "_V"),
    "_{QK,V,Z}": ("_{QK}", "_V", "_Z"),
}
AMP = TrainingRun(batch_size=2, seq_len=64, precision="amp_bf16")
COPYING = (
    AMP,
    replace(AMP, loss="fused", recompute="full", gradient_accumulation=4),
    replace(AMP, lora_rank=8, lora_targets="all", lora_base="NF4"),
)


def of_one_weight(symbol: str) -> list[str]:
    """The symbols that a weight's copy, gradient or adapter is told by: (∇ A_{W_up^shared})_2 is of W_up."""
    symbol = re.sub(r"^\((.*)\)_\d+$", r"\1", symbol).removeprefix(r"\nabla ")
    symbol = re.sub(r"^[AB]_\{(.*)\}$", r"\1", symbol)
    symbol = re.sub(r"\^\\text\{(experts|shared)\}$", "", symbol)
    return [symbol[0] + part for part in JOINED.get(symbol[1:], (symbol[1:],))]


@every_kind
def test_each_copy_of_a_weight_is_told_by_its_projection_and_no_two_terms_of_a_sum_alike(id):
    model = MODELS[id]
    step = training_step(model, COPYING[SIMULATED.index(id) % len(COPYING)])
    own = {q.symbol for _, q in model.parameters().walk() if not q.is_given}
    for moment in (step.peak, *step.moments.values()):
        memory = [q for _, q in moment.walk() if q.unit == "bytes"]
        assert_no_two_terms_are_told_alike(memory)
        wholes = [q for q in memory if q.id == "weight_casts" or (q.id == "gradients" and q.is_total)]
        copies = [part for whole in wholes for part in (whole.parts or (whole,)) if part.id != "rounding"]
        copies += [q for q in memory if re.search(r"_dequantized(_\d+)?$", q.id)]
        for copy in copies:
            assert set(of_one_weight(copy.symbol)) <= own, copy.symbol


def test_autocasts_copies_of_llama_3_are_its_seven_projections_and_its_head():
    d, kv, ff, vocabulary, layers = 4096, 1024, 14336, 128_256, 32
    copies = training_step(MODELS["llama-3-8b"], AMP).weight_casts
    assert {part.symbol: part.value for part in copies.parts} == {
        "W_Q": 2 * layers * d * d,
        "W_K": 2 * layers * d * kv,
        "W_V": 2 * layers * d * kv,
        "W_O": 2 * layers * d * d,
        r"W_\text{up}": 2 * layers * d * ff,
        r"W_\text{gate}": 2 * layers * d * ff,
        r"W_\text{down}": 2 * layers * d * ff,
        r"W_\text{head}": 2 * d * vocabulary,
    }


@every_kind
def test_a_sweep_of_any_kind_of_model_is_its_points(id):
    model, run = MODELS[id], runs_of(id, every=False)[0]
    swept = peak_sweep(model, replace(run, seq_len=np.array([32, 65])))
    for length, peak in zip((32, 65), swept, strict=True):
        assert peak == training_step(model, replace(run, seq_len=length)).peak.value
