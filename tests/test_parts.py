"""A part answers for itself: what it says agrees with itself, and a kind of attention made here goes all the way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from llmcalc import from_config
from llmcalc.catalog.models import models
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import rank_memory
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, formula, total
from llmcalc.rates.flops import forward_flops
from llmcalc.serving.held import inference_memory
from llmcalc.sources import VASWANI_2017
from llmcalc.step import operations as op
from llmcalc.step.attention import Kernels
from llmcalc.step.linear import Linear
from llmcalc.step.registry import runs
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import peak_sweep, training_step
from llmcalc.stored.weights import stored
from llmcalc.techniques.cache import kinds_of_cache
from llmcalc.techniques.pruning import linear_numbers, structurally_pruned
from llmcalc.transformer.attention import Attention, key_parameters, output_parameters, query_parameters
from llmcalc.transformer.breakdown import breakdown
from llmcalc.transformer.cache import cache_elements
from llmcalc.transformer.code import PLAIN
from llmcalc.transformer.dimensions import plain_sizes
from llmcalc.transformer.embedding import TokenEmbedding
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.flops import score_flops, seen_tokens
from llmcalc.transformer.head import Pooler
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import (
    Caching,
    Divided,
    Heads,
    Matrix,
    Mixing,
    Multiplying,
    Network,
    Prunable,
    Regrouped,
    Width,
    fewer,
    matrices,
    widths,
)
from llmcalc.transformer.piece import Projection

# What parts say of themselves

# One of each kind in the library
PARTS = {type(part): part for row in models().values() for part in from_config(row.config).parts}.values()


def test_a_matrix_is_one_of_the_weights_and_stands_in_whole_rows():
    for part in PARTS:
        for matrix in matrices(part):
            assert matrix.rows * matrix.width == matrix.numbers, part
            assert matrix.parameters.id in {q.id for _, q in part.parameters().walk()}, part
        assert sum(matrix.numbers for matrix in matrices(part)) <= part.parameters().value, part


def test_widths_that_stand_side_by_side_are_as_wide_as_all_of_them():
    for part in PARTS:
        for width in widths(part):
            assert not width.joins or width.number == sum(joined.number for joined in width.joins), part


def test_attention_leaves_no_question_open():
    """What asks a part that has no answer goes on without it: a kind of attention must not be passed over so."""
    asked = {"attention": (Mixing, Caching, Multiplying, Divided, Prunable, Regrouped)}
    asked |= dict.fromkeys(("feed_forward", "experts"), (Network, Multiplying, Divided, Prunable))
    for part in PARTS:
        if isinstance(part, Projection):  # a matrix beside them, such as one to and from the width of the experts
            continue
        for protocol in asked.get(part.component, ()):
            assert isinstance(part, protocol), (part, protocol)


# A kind of attention of its own, in all that it takes: a class with its formulas, and what runs it in a step


@formula(r"E_\text{token}", "elements", VASWANI_2017.at("sec. 3.2.2"))
def key_as_value_elements(*, n_kv_heads, d_head):
    """One vector for each key/value head is kept: it is the key, and the value."""
    return n_kv_heads * d_head


@dataclass(frozen=True)
class KeyIsValue:
    """Attention whose keys are its values."""

    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    sees: str = "past"
    window: int | None = None
    id: str = "attention"
    component: str = "attention"

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{attn}", *(matrix.parameters for matrix in self.matrices()))

    def matrices(self) -> tuple[Matrix, ...]:
        d, h, kv, w = self.d_model, self.n_heads, self.n_kv_heads, self.d_head
        return (
            Matrix("query", d, query_parameters(d_model=d, n_heads=h, d_head=w)),
            Matrix("key", d, key_parameters(d_model=d, n_kv_heads=kv, d_head=w)),
            Matrix("output", h * w, output_parameters(n_heads=h, d_head=w, d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return Width("n_heads", self.n_heads), Width("n_kv_heads", self.n_kv_heads, may_repeat=True)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, self.n_kv_heads, self.d_head)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return self.n_heads * self.d_head, self.n_kv_heads * self.d_head

    def pruned(self, share: float) -> KeyIsValue:
        n_kv_heads = fewer(self.n_kv_heads, share)
        return replace(self, n_kv_heads=n_kv_heads, n_heads=n_kv_heads * self.n_heads // self.n_kv_heads)

    def with_kv_heads(self, n_kv_heads: int) -> KeyIsValue:
        return replace(self, n_kv_heads=n_kv_heads, window=None)

    def without_window(self) -> KeyIsValue:
        return replace(self, window=None)

    @property
    def cache_window(self) -> int | None:
        return self.window

    def kv_elements_per_token(self) -> Quantity:
        return key_as_value_elements(n_kv_heads=self.n_kv_heads, d_head=self.d_head)

    def kv_cache_elements(self, *, seq_len) -> Quantity:
        return cache_elements(self.kv_elements_per_token(), seq_len=seq_len, window=self.window)

    def mixing_flops(self, *, seq_len) -> Quantity:
        seen = seen_tokens(seq_len=seq_len, window=self.window)
        return score_flops(seen_tokens=seen, n_heads=self.n_heads, d_head=self.d_head)


@runs(KeyIsValue)
class KeyIsValueAttention(Kernels):
    sinks = None

    def __init__(self, part, s, beside):
        self.s, self.head = s, s.dim("d_head", part.d_head)
        self.value_head = self.rotated = self.head
        self.heads, self.kv_heads = s.dim("n_heads", part.n_heads), s.dim("n_kv_heads", part.n_kv_heads)
        model, adapts = s.dim("d_model", part.d_model), s.run.lora_rank > 0
        self.query = Linear(s, (model,), (self.heads, self.head), role="query", adapted=adapts)
        self.key = Linear(s, (model,), (self.kv_heads, self.head), role="key", adapted=adapts)
        self.out = Linear(s, (self.heads, self.head), (model,), role="output", adapted=adapts)

    def __call__(self, x, rotary, mask):
        rows = self.s.rows
        key = self.key(x, rows(self.kv_heads, self.head))
        out, weights = self._recomputed(self.query(x, rows(self.heads, self.head)), key, key, mask)
        return self.out(op.contiguous(out, False, "attention_output"), rows(*self.out.outputs)), weights


D, H, KV, W, FF, VOCAB, LAYERS = 64, 8, 2, 16, 256, 96, 3
QUERY, KEY, OUTPUT = D * H * W, D * KV * W, H * W * D
RUN = TrainingRun(batch_size=2, seq_len=128)
CODE = replace(PLAIN, joined_projections="no")


def model_with(attention) -> Model:
    parts = (LayerNorm(D, "attention_norm"), attention, LayerNorm(D, "feed_forward_norm"), FeedForward(D, FF))
    front, back = (TokenEmbedding(VOCAB, D),), (LayerNorm(D, "final_norm"),)
    return Model(front, ((Block(parts), LAYERS),), back, code=CODE)


PLAIN_MODEL, MODEL = model_with(Attention(D, H, KV, W)), model_with(KeyIsValue(D, H, KV, W))
A_LAYER = QUERY + KEY + OUTPUT + 2 * D * FF


def test_its_parameters_are_counted_down_to_its_matrices():
    assert MODEL.components()["attention"].value == LAYERS * (QUERY + KEY + OUTPUT)
    assert MODEL.parameters().value == LAYERS * (A_LAYER + 2 * 2 * D) + VOCAB * D + 2 * D
    (attention,) = (piece for path, piece in breakdown(MODEL).walk() if path[-1] == "attention")
    assert {piece.id: piece.value for piece in attention.pieces}["key_parameters"] == LAYERS * KEY


def test_its_operations_are_counted():
    # N × 2, the logits, and for each layer 4 × seen × channels of all heads
    seen = 1000 / 2
    expected = 2 * (LAYERS * (A_LAYER + 4 * D) + 2 * D) + 2 * VOCAB * D + LAYERS * 4 * seen * H * W
    assert forward_flops(MODEL, seq_len=1000).value == expected


def test_its_cache_is_half_of_what_a_key_and_a_value_take():
    assert MODEL.kv_elements_per_token().value == LAYERS * KV * W
    assert MODEL.kv_cache_elements(seq_len=500).value == PLAIN_MODEL.kv_cache_elements(seq_len=500).value / 2
    windowed = model_with(KeyIsValue(D, H, KV, W, window=100))
    assert windowed.kv_cache_elements(seq_len=500).value == LAYERS * KV * W * 100
    cache = inference_memory(MODEL, batch_size=3, seq_len=500).inputs["kv_cache"]
    assert cache.value == 3 * LAYERS * KV * W * 500 * 2
    kinds = {id: kind.kv_elements_per_token().value for id, kind in kinds_of_cache(windowed).items()}
    heads = {"multi_head": H, "grouped": H, "multi_query": 1, "no_window": KV, "this": KV}
    assert kinds == {id: LAYERS * n * W for id, n in heads.items()}


def test_its_step_keeps_no_values_and_no_copy_of_their_input():
    ours, plain = training_step(MODEL, RUN), training_step(PLAIN_MODEL, RUN)
    kept = 2 * 128 * (KV * W + D) * 2  # batch × tokens × channels of values and of what they are made of, in bf16
    assert plain.saved_activations.value - ours.saved_activations.value == LAYERS * kept
    assert ours.weights.value == 4 * MODEL.parameters().value  # autocast keeps them in fp32
    assert peak_sweep(MODEL, replace(RUN, batch_size=[[1], [2]], seq_len=[64, 128]))[1, 1] == ours.peak.value
    for changes in ({"attention": "eager"}, {"recompute": "full"}, {"recompute": "selective"}, {"lora_rank": 4}):
        assert training_step(MODEL, replace(RUN, **changes)).peak.value > 0


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_tensor_parallelism_deals_out_its_heads(ranks):
    per_rank = (QUERY + OUTPUT) / ranks + D * W * max(KV / ranks, 1)  # key heads fewer than the ranks are repeated
    layer = per_rank + 2 * D * FF / ranks + 4 * D
    rank = rank_memory(MODEL, RUN, Layout(tensor_parallel=ranks))
    assert rank.weights.value == 4 * (LAYERS * layer + VOCAB / ranks * D + 2 * D)
    assert rank.peak.value <= rank_memory(MODEL, RUN, Layout()).peak.value


def test_ranks_that_do_not_divide_its_heads_are_refused():
    with pytest.raises(InputError, match="n_heads, number 8"):
        rank_memory(MODEL, RUN, Layout(tensor_parallel=16))


def test_where_its_code_has_not_been_read_its_weights_are_dealt_out_and_a_plain_decoder_runs():
    unread = replace(MODEL, code=None)
    with pytest.raises(InputError):
        training_step(unread, RUN).peak  # noqa: B018
    plain = plain_sizes(unread)
    assert (plain.d_model, plain.n_heads, plain.n_kv_heads, plain.d_head, plain.d_ff) == (D, H, KV, W, FF)
    rank = rank_memory(plain.model(), RUN, Layout(tensor_parallel=2), counted=unread)
    layer = A_LAYER / 2 + 4 * D
    assert rank.weights.value == 4 * (LAYERS * layer + VOCAB / 2 * D + 2 * D)


def test_pruning_takes_its_heads_out_and_zeroes_its_matrices():
    half = structurally_pruned(MODEL, 50)
    assert half.components()["attention"].value == LAYERS * (QUERY + KEY + OUTPUT) / 2
    rows = H * W + KV * W + D + FF + D
    assert linear_numbers(MODEL) == (LAYERS * A_LAYER, LAYERS * rows)
    assert training_step(half, RUN).peak.value < training_step(MODEL, RUN).peak.value


def test_quantisation_takes_its_matrices():
    assert stored(MODEL, "NF4").of_group("layers")[0] == LAYERS * A_LAYER
    assert stored(MODEL, "GGUF Q4_K_M").of_group("rest")[0] == LAYERS * 4 * D + 2 * D


def test_a_kind_that_nothing_runs_is_not_simulated():
    with_pooler = replace(MODEL, back=(*MODEL.back, Pooler(D)))
    with pytest.raises(InputError, match="pooler"):
        training_step(with_pooler, RUN).peak  # noqa: B018
