"""Sparse attention: an indexer that picks the tokens to see, and compressors that fold several tokens into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DEEPSEEK_V32, TRANSFORMERS
from llmcalc.transformer.cache import cache_elements
from llmcalc.transformer.flops import seen_tokens
from llmcalc.transformer.linear import linear_parameters
from llmcalc.transformer.norm import norm_bias, norm_scale, rms_norm_scale
from llmcalc.transformer.part import Heads, Matrix
from llmcalc.transformer.state import learned_numbers


@formula("W_{Q,i}", "parameters", DEEPSEEK_V32.at("sec. 2.1, eq. 1; inference/model.py, Indexer.wq_b"))
def index_query_parameters(*, d_in, n_index_heads, d_index):
    """Queries of the indexer: n_index_heads heads of d_index."""
    return d_in * n_index_heads * d_index


@formula("W_{K,i}", "parameters", DEEPSEEK_V32.at("sec. 2.1, eq. 1; inference/model.py, Indexer.wk"))
def index_key_parameters(*, d_model, d_index):
    """The one key of the indexer, which all its heads share."""
    return d_model * d_index


@formula("W_{w,i}", "parameters", DEEPSEEK_V32.at("sec. 2.1, eq. 1; inference/model.py, Indexer.weights_proj"))
def index_weight_parameters(*, d_model, n_index_heads):
    """How much each head of the indexer says."""
    return d_model * n_index_heads


@formula("E_i", "elements", DEEPSEEK_V32.at("sec. 2.1, eq. 1"))
def index_elements(*, d_index):
    """The indexer keeps its key of each token."""
    return d_index


@formula("C_i", "FLOP", DEEPSEEK_V32.at("sec. 2.1, eq. 1"))
def index_flops(*, seen_tokens, n_index_heads, d_index):
    """Scores of all tokens so far: a product of d_index for each head, and their weighted sum."""
    return 2 * seen_tokens * n_index_heads * (d_index + 1)


@formula(r"E_\text{comp}", "elements", TRANSFORMERS.at("modeling_deepseek_v4.py, DeepseekV4CSACompressor"))
def compressed_elements(*, width, compress_rate):
    """Of every compress_rate tokens one entry is kept: its share of one token."""
    return width / compress_rate


@dataclass(frozen=True)
class Indexer:
    """DeepSeek's lightning indexer: ``n_heads`` heads of ``d_index`` score all tokens so far; the best are seen.

    ``d_query`` is the width that its queries are projected from. ``norm`` is that of its key: "layer", "rms" (of
    queries and key, MiniMax) or "". ``weights``: heads are weighted by the token.
    """

    d_model: int
    d_query: int
    n_heads: int
    d_index: int
    norm: str = "layer"
    weights: bool = True
    id: str = "indexer"
    component: str = "indexer"
    sees: str = "past"
    window: int | None = None
    cache_window: int | None = None

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        if self.norm == "layer":
            parts += [norm_scale(width=self.d_index), norm_bias(width=self.d_index)]
        if self.norm == "rms":
            parts += [rms_norm_scale(width=self.d_index).named(f"{of}_scale") for of in ("index_query", "index_key")]
        return total(self.id, "N_i", *parts)

    def fixed_parameters(self) -> tuple[Quantity, ...]:
        """All of it: what it picks has no gradient, and transformers adds no loss of its own."""
        return (self.parameters(),)

    def matrices(self) -> tuple[Matrix, ...]:
        d, h, w = self.d_model, self.n_heads, self.d_index
        query = index_query_parameters(d_in=self.d_query, n_index_heads=h, d_index=w)
        found = (
            Matrix("index_query", self.d_query, query),
            Matrix("index_key", d, index_key_parameters(d_model=d, d_index=w)),
        )
        if not self.weights:
            return found
        return (*found, Matrix("index_weight", d, index_weight_parameters(d_model=d, n_index_heads=h)))

    def kv_elements_per_token(self) -> Quantity:
        return index_elements(d_index=self.d_index)

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        return cache_elements(self.kv_elements_per_token(), seq_len=seq_len, window=None)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, 1, self.d_index)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def pruned(self, share: float) -> Indexer:
        """All of it stays: every head of the attention sees what it picks."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        seen = seen_tokens(seq_len=seq_len, window=None)
        return index_flops(seen_tokens=seen, n_index_heads=self.n_heads, d_index=self.d_index)


@dataclass(frozen=True)
class Compressor:
    """Folds every ``rate`` tokens into one entry of ``width`` by a gated sum (DeepSeek-V4).

    ``overlaps``: each entry draws on two groups of tokens, so that projections are twice as wide.
    """

    d_model: int
    width: int
    rate: int
    overlaps: bool = False
    id: str = "compressor"
    component: str = "indexer"
    sees: str = "past"
    cache_window: int | None = None

    def parameters(self) -> Quantity:
        inner = self.width * (2 if self.overlaps else 1)
        parts = [matrix.parameters for matrix in self.matrices()]
        position = learned_numbers(count=self.rate * inner).named("compressor_positions")
        return total(self.id, "N_c", *parts, position, rms_norm_scale(width=self.width))

    def matrices(self) -> tuple[Matrix, ...]:
        d, inner = self.d_model, self.width * (2 if self.overlaps else 1)
        both = ("compressor_value", "compressor_gate")
        return tuple(Matrix(role, d, linear_parameters(d_in=d, d_out=inner).named(role)) for role in both)

    def kv_elements_per_token(self) -> Quantity:
        return compressed_elements(width=self.width, compress_rate=self.rate)

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        return cache_elements(self.kv_elements_per_token(), seq_len=seq_len, window=None)
