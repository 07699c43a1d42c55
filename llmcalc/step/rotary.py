"""Rotary positions as implementations write them, and the tables of cosines and sines."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Tensor


class Rotary:
    """Cosines and sines of every position, made once a forward pass; rotates queries and keys of ``head`` channels, in
    local layers of ``local_head``, if that is another."""

    def __init__(self, s: Setting, head: Dim, dtype: str, local_head: Dim | None = None) -> None:
        code = s.code
        self.s, self.head, self.dtype = s, head, "fp32" if code.rotary_tables_fp32 else dtype
        self.channels = head
        if code.rotary_fraction is not None:
            self.channels = s.dim("d_rope", code.rotary_width or int(head.value * code.rotary_fraction))
        self.half = s.dim("d_half", max(1, self.channels.value // 2))
        self.pieces: list[Tensor] = []  # that still have a name in the attention that called
        self.tables: list[Tensor] = []  # those that are spread out for each tensor are kept by the model itself
        if code.rotary_spread != "tensor":
            with s.tape.serving("positions"):
                self.tables = self._made()
                if code.rotary_tables == 2:
                    self.tables += self._made(local_head)

    def __call__(self, query: Tensor, key: Tensor, local: bool) -> tuple[Tensor, Tensor]:
        """Both, rotated; ``local`` layers take the last set of angles, the others the first."""
        spread = self.s.code.rotary_spread
        n = len(self.tables) // self.s.code.rotary_tables
        tables = self._made() if spread == "layer" else self.tables[-n:] if local else self.tables[:n]
        if self.s.code.rotary_inputs_fp32 == "both":
            return self._together(query, key, tables)
        query = self._partly(query, self._made() if spread == "tensor" else tables)
        key = self._partly(key, self._made() if spread == "tensor" else tables)
        return query, key

    def one(self, x: Tensor, local: bool) -> Tensor:
        """Queries or keys alone, rotated by the tables of all layers."""
        n = len(self.tables) // self.s.code.rotary_tables
        return self._partly(x, self.tables[-n:] if local else self.tables[:n])

    def _together(self, query: Tensor, key: Tensor, tables: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Both in fp32 before either is turned, and brought back once both are (Cohere)."""
        dtype, cast = query.dtype, query.tape.cast
        query, key = cast(query, "fp32"), cast(key, "fp32")
        query, key = self._sum(query, tables), self._sum(key, tables)
        return cast(query, dtype, "rotated"), cast(key, dtype, "rotated")

    def _made(self, channels: Dim | None = None) -> list[Tensor]:
        code = self.s.code
        wide = channels or (self.half if code.rotary_tables_half else self.channels)
        n_tables = 1 if code.rotary_complex else 2
        rows = self.s.rows(wide) if code.rotary_of_batch else (self.s.tokens, wide)
        return [self.s.constant(rows, self.dtype, "rotary") for _ in range(n_tables)]

    def _partly(self, x: Tensor, tables: list[Tensor]) -> Tensor:
        """``x`` with the part of each head that turns, turned."""
        if self.s.code.rotary_fraction is None:
            return self._rotated(x, tables)
        rest = self.s.dim("d_nope", self.head.value - self.channels.value)
        others = tuple(d for d in x.dims if d is not self.head)
        turned, kept = op.take(x, *others, self.channels), op.take(x, *others, rest)  # even where nothing is kept
        turned = self._rotated(turned, tables)
        if self.s.names("rotated"):
            self.pieces += turned, kept
        return op.join([turned, kept], x.dims, "rotated", heads_first=True)

    def _rotated(self, x: Tensor, tables: list[Tensor]) -> Tensor:
        dtype = x.dtype
        if self.s.code.rotary_inputs_fp32:
            x = x.tape.cast(x, "fp32")
        x = self._sum(x, tables)
        if self.s.code.rotary_inputs_fp32 or self.s.code.rotary_tables_fp32:
            x = x.tape.cast(x, dtype, "rotated")
        return x

    def _sum(self, x: Tensor, tables: list[Tensor]) -> Tensor:
        """``x`` by its cosines, and with its halves exchanged by its sines."""
        return op.add(op.multiply(x, tables[0]), op.multiply(self._turned(x), tables[-1]), "rotated")

    def _turned(self, x: Tensor) -> Tensor:
        *others, channels = x.dims
        half = self.half if channels is self.channels else self.s.dim("d_half", max(1, channels.value // 2))
        first, second = op.take(x, *others, half), op.take(x, *others, half)
        second = op.negate(second)
        return op.join([second, first], x.dims, heads_first=True)
