"""The line of a start-up log that says what the weights take: numbers as they are stored, what engines keep beside
them, and what the allocator adds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.quantity import Quantity, formula, total
from llmcalc.serving.allocator import allocated
from llmcalc.sources import DEEPSEEK_V2, VLLM
from llmcalc.stored.weights import format_in, stored_weights
from llmcalc.transformer.model import Angles, Model, repeated_parameters
from llmcalc.transformer.part import Matrix, Part, matrices

# Products that engines make one of: their weights are one tensor
_JOINED = {
    **dict.fromkeys(("query", "key", "value", "attention_gate"), "query_key_value"),
    **dict.fromkeys(("gate", "up"), "gate_up"),
    **dict.fromkeys(("query_down", "key_value_down"), "latent_down"),
}
_SECTIONS = 4  # positions of several kinds have so many times as many rows (vLLM: rotary_embedding/mrope.py)
_TWO_BYTES, _PLAIN_BITS = 2, 16


@formula(r"M_\text{angles}", "bytes", VLLM.at("model_executor/layers/rotary_embedding/base.py, _compute_cos_sin_cache"))
def angle_table_memory(*, n_positions, d_rope, element_bytes):
    """A table of cosines and sines: for each position as many numbers as channels of a head are rotated."""
    return n_positions * d_rope * element_bytes


@formula(r"n \cdot M_\text{angles}", "bytes", VLLM.at("model_executor/layers/rotary_embedding/__init__.py, _ROPE_DICT"))
def angle_tables_memory(*, n_tables, table_bytes):
    """Tables that differ are kept once each, whichever layers use them."""
    return n_tables * table_bytes


@formula(r"M_\text{absorbed}", "bytes", DEEPSEEK_V2.at("sec. 2.1.2, absorbed into W_Q and W_O; vLLM: mla_attention.py"))
def absorbed_memory(*, parameters, element_bytes):
    """Latent attention: a copy in 16 bits of the up-projection, split into what queries and what outputs are multiplied
    with."""
    return parameters * element_bytes


@lru_cache(maxsize=1024)
def weights_line(rank: Model, format: str, *, angle_bytes: int = 2, absorbs: bool = True) -> Quantity:
    """What the weights of one rank take, as engines print it: in the format of that name, with angles of so many bytes
    each. ``absorbs``: latent attention is computed on what is cached."""
    parts = [stored_weights(rank, format).named("rank_weights", r"M_\text{rank}")]
    if (up := _absorbed(rank) if absorbs else None) is not None:
        parts.append(absorbed_memory(parameters=up, element_bytes=_TWO_BYTES))
    parts += angle_tables(rank.angles, angle_bytes)
    sizes = [*tensor_sizes(rank, format), *(int(part.value) for part in parts[1:])]
    if (more := allocated(sizes) - sum(sizes)) > 0 and sizes:
        meaning = "What the allocator hands out beyond what was asked for: tensors of 10 MiB and more take whole 2 MiB."
        parts.append(Quantity("segment_rounding", more, "bytes", r"\epsilon", meaning=meaning))
    return total("weights", r"M_\text{weights}", *parts)


def angle_tables(angles: tuple[Angles, ...], element_bytes: int) -> list[Quantity]:
    """The tables of angles, each distinct size a term."""
    found = []
    for i, (table, n) in enumerate(Counter(angles).items()):
        rows = table.positions * (_SECTIONS if table.sections else 1)
        one = angle_table_memory(n_positions=rows, d_rope=table.channels, element_bytes=element_bytes)
        found.append(angle_tables_memory(n_tables=n, table_bytes=one).named(f"angles_{i + 1}" if i else "angles"))
    return found


def _absorbed(rank: Model) -> Quantity | None:
    """Numbers of the up-projections of latent attention, over all layers."""
    found = [
        (block.name, count, m.parameters)
        for block, count in rank.blocks
        for part in block.parts
        for m in matrices(part)
        if m.role == "key_value_up"
    ]
    if not found:
        return None
    terms = [repeated_parameters(count=count, parameters=q).named(f"{name}_attention") for name, count, q in found]
    return total("absorbed_parameters", r"N_\text{absorbed}", *terms)


@lru_cache(maxsize=1024)
def _numbers_of(part: Part) -> tuple[tuple[Matrix, ...], int]:
    """The matrices of a part, and how many numbers it has."""
    return tuple(matrices(part)), int(part.parameters().value)


def tensor_sizes(rank: Model, format: str) -> Iterator[int]:
    """Bytes of every tensor that the weights of a rank are, in the order in which they are made; nothing for files of
    llama.cpp, whose tensors stand in one buffer. Products that engines make one of have one tensor, and one more of
    their scales."""
    stored = WEIGHT_FORMATS.get(format)
    if stored is None or stored.stored == "gguf":
        return
    in_tables = stored.stored in ("all", "tables")
    layers = [(i, part) for i, block in enumerate(rank.layers()) for part in block.parts]
    for layer, part in [*((-1, part) for part in rank.front), *layers, *((-1, part) for part in rank.back)]:
        joined: dict[str, float] = {}
        of_part, plain = _numbers_of(part)
        for m in of_part:
            kept = stored if stored.stored == "all" or layer < 0 else format_in(rank, stored, part.component, m, layer)
            bits = kept.bits_in_rows_of(m.width) if layer >= 0 or in_tables else _PLAIN_BITS
            name = _JOINED.get(m.role, m.role)
            for tensor, share in ((name, int(bits)), (f"{name} scales", bits - int(bits))):
                joined[tensor] = joined.get(tensor, 0) + m.numbers * share / 8
            plain -= m.numbers
        yield from (int(size) for size in joined.values() if size)
        if plain:
            yield plain * (4 if format == "fp32" else 2)
