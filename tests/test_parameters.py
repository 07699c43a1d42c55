"""Parameters of whole models: exactly what published models have, and laws over all dimensions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from golden_files import csv_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcalc import Dimensions, InputError
from llmcalc.transformer.head import Head
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import NORMS, LayerNorm


def parameters(dimensions: Dimensions) -> int:
    return dimensions.model().parameters().value


def components(dimensions: Dimensions) -> dict[str, int]:
    return {id: quantity.value for id, quantity in dimensions.model().components().items()}


# Published models


def published(row: dict[str, str]) -> Dimensions:
    def number(name: str) -> int | None:
        return int(row[name]) if row[name] else None

    return Dimensions(
        **{name: number(name) for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff")},
        vocab_size=int(row["vocab_size"]),
        gated=row["gated"] == "1",
        attention_bias=row["bias"] == "1",
        ffn_bias=row["bias"] == "1",
        norm=row["norm"],
        positions="learned" if row["n_positions"] else "none",
        n_positions=number("n_positions") or 1,
        tied_head=row["tied_head"] == "1",
    )


@pytest.mark.parametrize("row", csv_rows("published_models.csv"), ids=lambda row: row["name"])
def test_a_published_model_has_exactly_its_parameters(row):
    assert parameters(published(row)) == int(row["parameters"])
    counted = components(published(row))
    for ours, golden in (("attention", "attention"), ("feed_forward", "feed_forward"), ("norm", "norms")):
        assert counted[ours] == int(row[golden])


def test_the_published_models_are_of_every_kind_that_dimensions_describe():
    rows = csv_rows("published_models.csv")
    assert len(rows) >= 40
    for column, kinds in (("norm", set(NORMS)), ("gated", {"0", "1"}), ("bias", {"0", "1"}), ("tied_head", {"0", "1"})):
        assert {row[column] for row in rows} == kinds
    assert any(row["n_kv_heads"] == "1" for row in rows)
    assert any(row["d_head"] and int(row["d_head"]) * int(row["n_heads"]) != int(row["d_model"]) for row in rows)


@pytest.mark.parametrize(
    ("d_model", "n_layers", "n_heads", "total"),
    [
        (768, 12, 12, 124_439_808),
        (1024, 24, 16, 354_823_168),
        (1280, 36, 20, 774_030_080),
        (1600, 48, 25, 1_557_611_200),
    ],
)
def test_the_gpt2_family_follows_its_closed_form(d_model, n_layers, n_heads, total):
    d, positions, vocabulary = d_model, 1024, 50_257
    # per layer: 4 d² + 4 d attention, 8 d² + 5 d feed-forward, 2 × 2 d norms
    assert n_layers * (12 * d**2 + 13 * d) + (vocabulary + positions) * d + 2 * d == total
    assert parameters(Dimensions(d_model=d, n_layers=n_layers, n_heads=n_heads)) == total


@pytest.mark.parametrize("row", csv_rows("gpt3_table_2_1.csv"), ids=lambda row: row["model"])
def test_gpt3_agrees_with_its_own_table_d1_within_the_printed_rounding(row):
    # Table 2.1 misprints the width of the 13 B model (40 heads × 128 = 5,120, not 5,140), and the heads of the XL model
    # (24 × 128 = 3,072 is not its width of 2,048: its count in table D.1 needs 16 × 128).
    d_model = {"GPT-3 13B": 5120}.get(row["model"], int(row["d_model"]))
    n_heads = {"GPT-3 XL": 16}.get(row["model"], int(row["n_heads"]))
    assert n_heads * int(row["d_head"]) == d_model
    printed = int(row["parameters_table_d1"])
    half_step = 10 ** (len(str(printed)) - len(str(printed).rstrip("0"))) / 2
    shape = Dimensions(d_model=d_model, n_layers=int(row["n_layers"]), n_heads=n_heads, n_positions=2048)
    assert abs(parameters(shape) - printed) <= half_step


def test_gpt3_is_where_the_lesson_says_it_is():
    shape = Dimensions(d_model=12_288, n_layers=96, n_heads=96, n_positions=2048)
    assert parameters(shape) == 174_604_259_328
    assert components(shape)["embedding"] == 50_257 * 12_288 == 617_558_016
    assert components(shape)["positions"] == 2048 * 12_288 == 25_165_824
    without = shape.model().non_embedding_parameters().value
    assert without == 174_604_259_328 - 617_558_016 - 25_165_824


# Laws over all dimensions

_COUNTS = st.integers(1, 64)


@st.composite
def dimensions_of_any_kind(draw: st.DrawFn) -> Dimensions:
    """Sound or not."""
    return Dimensions(
        d_model=draw(st.integers(1, 4096)),
        n_layers=draw(_COUNTS),
        n_heads=draw(_COUNTS),
        vocab_size=draw(st.integers(1, 300_000)),
        d_ff=draw(st.none() | st.integers(1, 20_000)),
        n_kv_heads=draw(st.none() | _COUNTS),
        d_head=draw(st.none() | st.integers(1, 512)),
        gated=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        ffn_bias=draw(st.booleans()),
        norm=draw(st.sampled_from(sorted(NORMS))),
        final_norm=draw(st.booleans()),
        positions=draw(st.sampled_from(["learned", "none"])),
        n_positions=draw(st.integers(1, 10_000)),
        tied_head=draw(st.booleans()),
    )


sound_dimensions = dimensions_of_any_kind().map(Dimensions.mended)


@given(sound_dimensions)
def test_components_add_up_to_the_parameters(dimensions):
    assert sum(components(dimensions).values()) == parameters(dimensions)
    for quantity in dimensions.model().components().values():
        assert sum(part.value for part in quantity.parts) == quantity.value


@given(sound_dimensions)
def test_every_number_in_a_model_is_a_positive_whole_number(dimensions):
    for _, quantity in dimensions.model().parameters().walk():
        assert type(quantity.value) is int
        assert quantity.value > 0


@given(sound_dimensions)
def test_tables_and_layers_are_all_there_is(dimensions):
    model = dimensions.model()
    tables = sum(components(dimensions).get(id, 0) for id in ("embedding", "positions", "head"))
    assert model.non_embedding_parameters().value == parameters(dimensions) - tables


@given(sound_dimensions, st.integers(1, 1000))
def test_more_of_anything_never_has_fewer_parameters(dimensions, more):
    fixed = replace(dimensions, d_head=dimensions.head_width())  # so that a wider model keeps its heads
    now = parameters(fixed)
    for name in ("d_model", "n_layers", "vocab_size", "n_positions"):
        assert parameters(replace(fixed, **{name: getattr(fixed, name) + more})) >= now, name
    for name in ("gated", "attention_bias", "ffn_bias", "final_norm"):
        assert parameters(replace(fixed, **{name: True})) >= parameters(replace(fixed, **{name: False})), name


@given(sound_dimensions)
def test_a_head_of_its_own_costs_a_token_table(dimensions):
    tied, untied = (parameters(replace(dimensions, tied_head=tied)) for tied in (True, False))
    assert untied - tied == dimensions.vocab_size * dimensions.d_model


@given(sound_dimensions)
def test_an_rms_norm_saves_the_biases_of_a_layer_norm(dimensions):
    layer_norm, rms_norm = (parameters(replace(dimensions, norm=norm)) for norm in ("LayerNorm", "RMSNorm"))
    norms = 2 * dimensions.n_layers + dimensions.final_norm
    assert layer_norm - rms_norm == norms * dimensions.d_model


@settings(max_examples=300)
@given(dimensions_of_any_kind())
def test_dimensions_have_problems_exactly_where_they_make_no_model(dimensions):
    problems = dimensions.problems()
    if problems:
        with pytest.raises(InputError):
            dimensions.model()
    else:
        dimensions.model()


@settings(max_examples=300)
@given(dimensions_of_any_kind())
def test_mended_dimensions_have_no_problems_and_sound_ones_are_left_alone(dimensions):
    mended = dimensions.mended()
    assert mended.problems() == ()
    mended.model()
    if not dimensions.problems():
        assert mended == dimensions
    for name in ("d_model", "n_layers", "n_heads", "vocab_size", "d_ff"):
        assert getattr(mended, name) == getattr(dimensions, name)


@settings(max_examples=300)
@given(dimensions_of_any_kind())
def test_a_problem_names_its_input_and_suggests_values_that_mend_it(dimensions):
    for problem in dimensions.problems():
        assert problem.input_id in ("n_heads", "n_kv_heads")
        assert str(problem)
        assert problem.suggestions
        whole = dimensions.d_model if problem.input_id == "n_heads" else dimensions.n_heads
        for suggestion in problem.suggestions:
            assert whole % suggestion == 0
            mended = replace(dimensions, **{problem.input_id: suggestion})
            assert str(problem) not in map(str, mended.problems())


def test_suggestions_are_the_nearest_on_either_side():
    (problem,) = Dimensions(d_model=768, n_heads=10).problems()
    assert problem.input_id == "n_heads"
    assert problem.suggestions == (8, 12)
    (problem,) = Dimensions(n_heads=12, n_kv_heads=5).problems()
    assert problem.input_id == "n_kv_heads"
    assert problem.suggestions == (4, 6)


# Parts that Dimensions does not reach


def test_a_layer_norm_may_have_no_bias_and_a_head_may_have_one():
    assert LayerNorm(768, "norm", bias=False).parameters().value == 768
    assert Head(50_257, 768, bias=True).parameters().value == 50_257 * 768 + 50_257


def test_a_model_counts_layers_of_different_kinds():
    (small, count), *_ = Dimensions(d_model=64, n_heads=4).model().blocks
    (wide, _), *_ = Dimensions(d_model=128, n_heads=4).model().blocks
    model = Model(front=(), blocks=((replace(small, name="small"), 3), (replace(wide, name="wide"), 2)), back=())
    one, other = small.parameters().value, wide.parameters().value
    assert model.n_layers == 5
    assert model.parameters().value == 3 * one + 2 * other
    assert sum(q.value for q in model.components().values()) == 3 * one + 2 * other
    assert count == 12
