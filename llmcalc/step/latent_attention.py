"""Latent attention (DeepSeek) as implementations run it: keys and values are spread out from one narrow vector."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.attention import Kernels
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import Attended, Beside, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor
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
        query = self._queries(x)
        narrow, key_turned = op.split(self.down(x, s.rows(self.latent)), s.rows(self.rank), s.rows(self.rotated))
        del x
        wide = self.norm(narrow)
        del narrow
        kept, turned = op.split(query, (*s.rows(), self.heads, self.nope), (*s.rows(), self.heads, self.rotated))
        del query
        if rotary is not None:
            turned, key_turned = rotary(turned, key_turned, local=False)
        query = op.join([kept, turned], (*s.rows(), self.heads, self.head), "query", heads_first=True)
        del kept, turned
        pair = self.up(wide, (*s.rows(), self.heads, self.pair))
        del wide
        key, value = op.split(pair, (*s.rows(), self.heads, self.nope), (*s.rows(), self.heads, self.value_head))
        key = op.filled([key, key_turned], (*s.rows(), self.heads, self.head), pair.dtype)
        del pair, key_turned
        out, weights = self._recomputed(query, key, value, mask)
        del query, key, value
        return self.out(op.contiguous(out, False, "attention_output"), s.rows(*self.out.outputs)), weights

    def _queries(self, x: Tensor) -> Tensor:
        s = self.s
        if self.query_norm is not None:
            x = self.query_norm(self.query_down(x, s.rows(*self.query_down.outputs)))
        return self.query(x, (*s.rows(), *self.query.outputs))
