"""The cache in blocks: layers of several kinds in groups of equal size, which take whole blocks from one pool.

As vLLM plans it (v1/core/kv_cache_planning.py and v1/kv_cache_interface.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from llmcalc.catalog.formats import NumberFormat
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Part, kept, states

_WIDER = 1.5  # groups are as large as the largest kind where it is not so much larger than the smallest


@dataclass(frozen=True)
class Kind:
    """``layers`` layers whose cache is alike: ``token_bytes`` for each token of a sequence, at most ``window`` of them,
    or ``state_bytes`` however long the sequence is. ``latent``: what is kept has no heads."""

    layers: int
    token_bytes: float = 0
    window: int | None = None
    state_bytes: float = 0
    latent: bool = False


@dataclass(frozen=True)
class Group:
    """So many groups alike, each with a block table of its own: ``tokens`` a block, of ``kind``."""

    count: int
    tokens: int
    kind: Kind


@dataclass(frozen=True)
class Plan:
    """``block_bytes`` is what one block of the pool takes; ``tokens`` how many tokens of a layer that keeps all it
    holds."""

    block_bytes: int
    tokens: int
    groups: tuple[Group, ...]

    @property
    def n_groups(self) -> int:
        """Block tables of a sequence."""
        return sum(group.count for group in self.groups)

    def blocks(self, length: int, in_flight: int, state_blocks: int) -> int:
        """Blocks that a sequence of ``length`` tokens takes at most, while ``in_flight`` tokens are computed in a step
        and ``state_blocks`` copies of each state are kept."""
        taken = 0
        for group in self.groups:
            if group.kind.state_bytes:
                taken += group.count * state_blocks
            elif group.kind.window is None:
                taken += group.count * -(-length // group.tokens)
            else:  # a window need not begin where a block does
                held = min(group.kind.window - 1 + in_flight, length)
                taken += group.count * (-(-held // group.tokens) + 1)
        return taken


@lru_cache(maxsize=256)
def kinds(rank: Model, keys: NumberFormat, values: NumberFormat, *, whole_windows: bool = False) -> tuple[Kind, ...]:
    """The kinds of layers of a rank by what they cache, those with most tokens first. ``whole_windows``: layers with a
    window keep all tokens. States are in 32 bits where the code says so, else in 16; of a convolution's inputs all but
    the present one are kept."""
    found: dict[Kind, int] = {}
    for block in rank.layers():
        for kind in _of_block(block.parts, keys, values, whole_windows):
            found[kind] = found.get(kind, 0) + 1
    return tuple(replace(kind, layers=n) for kind, n in found.items())


def _of_block(parts: tuple[Part, ...], keys: NumberFormat, values: NumberFormat, whole_windows: bool) -> Iterator[Kind]:
    for part in parts:
        for cache in kept(part):
            size = cache.key_width * keys.bits / 8 + cache.value_width * values.bits / 8
            yield Kind(0, size, None if whole_windows else cache.window, latent=not cache.value_width)
        of_states = sum(state.of_past * (4 if state.fp32 else 2) for state in states(part))
        if of_states:
            yield Kind(0, state_bytes=of_states)


def planned(found: Sequence[Kind], block: int, step: int) -> Plan | None:
    """How blocks of ``block`` tokens are laid out for these kinds of layers; None where nothing is cached. A block is
    stretched, by steps of so many tokens, until it holds as much as a state takes."""
    if not found:
        return None
    if len({(kind.window, bool(kind.state_bytes)) for kind in found}) == 1:
        size = sum(kind.layers * (kind.token_bytes * block + kind.state_bytes) for kind in found)
        return Plan(int(size), block, (Group(1, block, found[0]),))
    widest = max(kind.token_bytes for kind in found)
    if (largest := max(kind.state_bytes for kind in found)) > block * widest:
        block = step * -(-int(largest) // int(step * widest))
    page = block * widest
    counts = [kind.layers for kind in found]
    each = max(counts) if max(counts) < _WIDER * min(counts) else min(counts)
    groups = []
    for kind in found:
        fits = int(page // (block * kind.token_bytes)) if kind.token_bytes else 1
        even = kind.token_bytes and page == fits * block * kind.token_bytes
        groups.append(Group(-(-kind.layers // each), block * fits if even else block, kind))
    return Plan(int(page * each), block, tuple(groups))
