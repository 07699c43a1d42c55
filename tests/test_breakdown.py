"""A model taken apart loses nothing: laws over every model of the library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from laws import for_each

from llmcalc import from_config
from llmcalc.catalog.models import model, models
from llmcalc.quantity import Quantity
from llmcalc.transformer.breakdown import (
    breakdown,
    by_component,
    in_symbols,
    invoice,
    layer_components,
    numbered_layers,
)
from llmcalc.transformer.feedforward import FeedForward

every_model = for_each("id", models())


def matrices(quantity: Quantity) -> Iterator[str]:
    """Ids of what a quantity comes down to: formulas that no longer take other parameters."""
    inner = [q for q in quantity.inputs.values() if q.unit == "parameters"]
    if not inner:
        yield quantity.id
    for part in inner:
        yield from matrices(part)


@every_model
def test_every_piece_is_what_is_in_it_and_the_matrices_are_the_model(id):
    counted = from_config(model(id).config)
    pieces = list(breakdown(counted).walk())
    for _, piece in pieces:
        assert not piece.pieces or piece.value == sum(inner.value for inner in piece.pieces)
    smallest = [piece for _, piece in pieces if not piece.pieces]
    assert sum(piece.value for piece in smallest) == counted.parameters().value
    assert Counter(piece.one.id for piece in smallest) == Counter(
        matrix for component in counted.components().values() for matrix in matrices(component)
    )


@every_model
def test_pieces_have_paths_of_their_own_and_no_level_shows_one_number_twice(id):
    pieces = list(breakdown(from_config(model(id).config)).walk())
    assert len({path for path, _ in pieces}) == len(pieces)
    assert all(len(piece.pieces) != 1 for path, piece in pieces if len(path) > 1)


@every_model
def test_components_of_the_breakdown_are_those_of_the_model(id):
    counted = from_config(model(id).config)
    expected = {component: q.value for component, q in counted.components().items()}
    assert {piece.id: piece.value for piece in breakdown(counted).pieces} == expected
    assert {component: count.total for component, count in by_component(invoice(counted)).items()} == expected


@every_model
def test_the_invoice_adds_up_to_all_and_to_active_parameters(id):
    counted = from_config(model(id).config)
    lines = invoice(counted)
    assert sum(line.count.total for line in lines) == counted.parameters().value
    assert sum(line.count.active for line in lines) == counted.active_parameters().value
    assert len({line.id for line in lines}) == len(lines)


@every_model
def test_a_line_that_says_all_layers_is_in_all_of_them(id):
    counted = from_config(model(id).config)
    lines = [line for line in invoice(counted) if line.id.startswith("block_")]
    assert all(line.layers == counted.n_layers for line in lines)


@every_model
def test_layers_and_what_stands_outside_of_them_are_the_model(id):
    counted = from_config(model(id).config)
    layers = numbered_layers(counted)
    assert len(layers) == counted.n_layers
    of_each_kind = {block: layer_components(block).values() for block in {block for _, block in layers}}
    inside = [count for _, block in layers for count in of_each_kind[block]]
    outside = [line.count for line in invoice(counted) if line.layers is None]
    assert sum(count.total for count in inside + outside) == counted.parameters().value
    assert sum(count.active for count in inside + outside) == counted.active_parameters().value


def test_an_encoder_and_a_decoder_each_count_from_1():
    numbers = [(number, block.name) for number, block in numbered_layers(from_config(model("t5-small").config))]
    assert numbers == [(i, "encoder_block") for i in range(1, 7)] + [(i, "decoder_block") for i in range(1, 7)]


def test_like_terms_are_added_up():
    network = FeedForward(d_model=8, d_ff=32, gated=True, bias=True)
    # up, down and gate are d × d_ff; the biases of up and gate are d_ff, that of down is d
    assert in_symbols(network.parameters()) == r"3 \cdot d \cdot d_\text{ff} + 2 \cdot d_\text{ff} + d"
