"""Latent attention (DeepSeek) as implementations run it: keys and values are spread out from one narrow vector."""

from __future__ import annotations

from llmcalc.sizes import smaller
from llmcalc.step import operations as op
from llmcalc.step.attention import Kernels
from llmcalc.step.indexer import TokenIndexer, seen_of
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import Attended, Beside, running, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Tensor
from llmcalc.transformer.latent_attention import LatentAttention


@runs(LatentAttention)
class LatentSelfAttention(Kernels):
    """Queries through a narrow vector or straight, keys and values through one that is shared by all heads."""

    def __init__(self, part: LatentAttention, s: Setting, beside: Beside) -> None:
        self.s, self.part = s, part
        self.heads = self.kv_heads = s.dim("n_heads", part.n_heads)
        self.head, self.value_head = s.dim("d_query", part.d_nope + part.d_rope), s.dim("d_value", part.d_value)
        self.nope, self.rotated = s.dim("d_nope", part.d_nope), s.dim("d_rope", part.d_rope)
        self.rank = s.dim("kv_lora_rank", part.kv_lora_rank)
        self.pair = s.dim("d_key_value", part.d_nope + part.d_value)
        self.latent = s.dim("d_latent", part.kv_lora_rank + part.d_rope)
        self.sinks = None
        self.indexer: TokenIndexer | None = None
        if "indexer" in beside.parts:
            with s.tape.serving("indexer"):
                self.indexer = running(beside.parts["indexer"], s)
        model, targets = s.dim("d_model", part.d_model), s.run.lora_rank > 0
        queries = (self.heads, self.head)
        self.query_norm = None
        if part.q_lora_rank is None:
            self.query = Linear(s, (model,), queries, False, "query", targets)
        else:
            rank = s.dim("q_lora_rank", part.q_lora_rank)
            self.query_down = Linear(s, (model,), (rank,), part.bias, "query_down", targets)
            self.query_norm = NormLayer(s, s.code.qk_norm, rank, ("rms_norm_scale",))
            self.query = Linear(s, (rank,), queries, False, "query", targets, "query_up")
        self.down = Linear(s, (model,), (self.latent,), part.bias, "key_value_down", targets)
        self.norm = NormLayer(s, s.code.qk_norm, self.rank, ("rms_norm_scale",))
        self.up = Linear(s, (self.rank,), (self.heads, self.pair), False, "key_value", targets, "key_value_up")
        values = self.heads, self.value_head
        self.out = Linear(s, values, (model,), part.bias, "attention_projection", targets, "output")

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Attended:
        """Attention of ``x`` to itself."""
        s = self.s
        resting = (
            x if self.query_norm is None else self.query_norm(self.query_down(x, s.rows(*self.query_down.outputs)))
        )
        query = self.query(resting, (*s.rows(), *self.query.outputs))
        down = self.down(x, s.rows(self.latent))
        narrow, key_turned = op.split(down, s.rows(self.rank), s.rows(self.rotated))
        kept, turned = op.split(query, (*s.rows(), self.heads, self.nope), (*s.rows(), self.heads, self.rotated))
        # what the code has names for while heads are compared, and where an indexer runs
        held = [x, down, kept, *([resting] if self.part.selected is not None else [])]
        del x, resting, down, query
        wide = self.norm(narrow)
        del narrow
        if rotary is not None:
            turned, key_turned = rotary(turned, key_turned, local=False)
        query = op.join([kept, turned], (*s.rows(), self.heads, self.head), "query", heads_first=True)
        held.append(turned)
        del kept, turned
        wide, key_turned = s.latent_cached(wide, key_turned)
        rows = wide.dims[:2]
        pair = self.up(wide, (*rows, self.heads, self.pair))
        key, value = op.split(pair, (*rows, self.heads, self.nope), (*rows, self.heads, self.value_head))
        key = op.filled([key, key_turned], (*rows, self.heads, self.head), pair.dtype)
        del pair
        if self.part.selected is not None:
            with s.tape.serving("indexer"):
                mask = self._seen(held[0], held[-2], rotary, mask)
        out, weights = self._recomputed(query, key, value, mask)
        del query, key, value, wide, key_turned, held
        return self.out(op.contiguous(out, False, "attention_output"), s.rows(*self.out.outputs)), weights

    def _seen(self, x: Tensor, narrow: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Tensor | None:
        """The mask, less what the indexer of this layer, or of the last one that has any, did not pick."""
        s = self.s
        if self.indexer is not None and self.part.selected is not None:
            s.picked = Dim("index_top_k", smaller(self.part.selected, s.keys.value))
            found = self.indexer(x, narrow, rotary, mask, s.picked)
            found.storage.plays("lent")
            s.lent = found if s.names("picked") else None
            if s.lends_picked and s.tape.frame is not None:
                s.tape.frame.held.append(found)
            return seen_of(s, found.dims, mask)
        return mask if s.picked is None else seen_of(s, s.rows(s.picked), mask)
