"""What sharing keys and values among heads, compressing them, and windows save of the KV cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.part import Part, with_kv_heads, without_window

GROUPS_OF_GQA = 8  # key/value heads that grouped-query attention usually has


def _grouped(n_heads: int) -> int:
    """As many as usual, or the next fewer that share the query heads out evenly."""
    return next(n for n in range(min(GROUPS_OF_GQA, n_heads), 0, -1) if n_heads % n == 0)


_KINDS: dict[str, Callable[[Part], Part]] = {
    "multi_head": partial(with_kv_heads, n_kv_heads=lambda n_heads: n_heads),
    "grouped": partial(with_kv_heads, n_kv_heads=_grouped),
    "multi_query": partial(with_kv_heads, n_kv_heads=lambda _: 1),
    "no_window": without_window,
    "this": lambda part: part,
}


def kinds_of_cache(model: Model) -> dict[str, Model]:
    """The same model with other kinds of attention, as far as the cache sees them: multi-head, grouped, multi-query,
    its own without windows (where it has any), its own. Nothing for a model that caches nothing."""
    parts = [p for block, _ in model.blocks for p in block.caches() if p.sees == "past"]
    if not parts:
        return {}
    ids = [id for id in _KINDS if id != "no_window" or any(p.cache_window for p in parts)]
    return {id: _changed(model, _KINDS[id]) for id in ids}


def _changed(model: Model, of: Callable[[Part], Any]) -> Model:
    blocks = tuple((Block(tuple(map(of, block.parts)), block.name), count) for block, count in model.blocks)
    return replace(model, blocks=blocks)
