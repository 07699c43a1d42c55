"""DeBERTa's attention as transformers runs it: scores of content and of relative positions, both ways, step by step."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.attention import SelfAttention
from llmcalc.step.linear import Linear
from llmcalc.step.registry import Attended, Beside
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor
from llmcalc.transformer.attention import Attention


class DisentangledSelfAttention(SelfAttention):
    """Queries and keys of content, and those of a table of relative positions that all layers share, through matrices
    of their own or through those of content."""

    def __init__(self, part: Attention, s: Setting, beside: Beside) -> None:
        super().__init__(part, s, beside)
        model, heads = (s.dim("d_model", part.d_model),), (self.heads, self.head)
        shares = not (part.position_keys or part.position_queries)
        named = {"position_key": part.position_keys, "position_query": part.position_queries}
        own = {name: Linear(s, model, heads, True, name=name) for name, there in named.items() if there}
        self.position_key = self.key if shares else own.get("position_key")
        self.position_query = self.query if shares else own.get("position_query")

    def __call__(
        self,
        x: Tensor,
        rotary: Rotary | None,
        mask: Tensor | None,
        *,
        source: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Attended:
        """Attention of ``x`` to itself."""
        s = self.s
        query, key, value = (op.contiguous(t, True) for t in self._project(x, None, []))
        del x
        weights = op.batched_product(query, op.scale(key), self._scores(), "scores")
        if (about := self._of_positions(query, key)) is not None:
            weights = op.add(weights, about, "scores")
        del about, query, key
        hidden = s.constant((s.batch, s.tokens, s.keys), "bool", "attention_mask")
        weights = op.softmax(op.masked(weights, hidden))
        del hidden
        weights = op.dropout(weights, s.run.dropout if "attention" in s.code.dropout_at else 0)
        out = op.contiguous(op.batched_product(weights, value, self._out(), "attention_output"), False)
        del weights, value
        out = self.out(out, s.rows(*self.out.outputs))
        return op.dropout(out, s.run.dropout if "residual" in s.code.dropout_at else 0), None

    def _of_positions(self, query: Tensor, key: Tensor) -> Tensor | None:
        """What content and position add to the scores, each way."""
        s, table = self.s, self.s.relative
        if table is None:
            return None
        table = op.dropout(table, s.run.dropout)
        summed: Tensor | None = None
        for content, through in ((query, self.position_key), (key, self.position_query)):
            if through is None:
                continue
            spans = table.dims[0]
            positions = op.contiguous(through(table, (spans, self.heads, self.head)), True)
            positions = op.copy(positions, (s.batch, self.heads, spans, self.head))
            positions.heads_first = True
            scores = op.batched_product(content, positions, (s.batch, self.heads, s.tokens, spans), "scores")
            which = s.constant((s.tokens, s.keys), "int64", "position_buckets")
            scores = op.scale(op.gather(scores, which, self._scores(), "scores", keeps=True))
            summed = op.shift(scores, "scores") if summed is None else op.biased(summed, scores)
        return summed
