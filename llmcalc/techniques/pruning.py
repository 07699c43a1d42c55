"""Pruning: what zeros save as they are stored, and what is left of a model whose heads and channels are taken out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import COMPRESSED_TENSORS, HAN_2015, MISHRA_2021
from llmcalc.stored.weights import linear_matrices, stored, stored_weights, unquantized_memory
from llmcalc.transformer.model import Model

PRUNINGS = ("unstructured", "semi_structured", "structured")
STORAGES = ("dense", "bitmask", "csr")  # how a matrix with zeros anywhere can be stored
INDEX_BITS = 32  # of a column's number, and of the place where a row begins


@formula(r"M_\text{dense}", "bytes", HAN_2015.at("sec. 2"))
def dense_memory(*, parameters, bits_per_weight):
    """A matrix with zeros, stored like any other: a zero takes as many bits as every other number."""
    return parameters * bits_per_weight / 8


@formula(r"M_\text{bitmask}", "bytes", COMPRESSED_TENSORS.at("bitmask compression"))
def bitmask_memory(*, parameters, bits_per_weight, pruned):
    """One bit for each number says whether it is zero (z in per cent); only the others are stored."""
    return parameters * (1 + (1 - pruned / 100) * bits_per_weight) / 8


@formula(r"M_\text{CSR}", "bytes", HAN_2015.at("sec. 2"))
def csr_memory(*, parameters, bits_per_weight, pruned, index_bits, matrix_rows):
    """Compressed sparse rows: each number that is not zero with its column, and where each row begins."""
    return (parameters * (1 - pruned / 100) * (bits_per_weight + index_bits) + matrix_rows * index_bits) / 8


@formula(r"M_\text{2:4}", "bytes", MISHRA_2021.at("on Sparse Tensor Cores"))
def semi_structured_memory(*, parameters, bits_per_weight):
    """Of every four numbers two are stored, each with two bits that say which of the four it was."""
    return parameters * (2 * bits_per_weight + 2 * 2) / (4 * 8)


@formula(r"z_\text{bitmask}", "", COMPRESSED_TENSORS.at("bitmask compression, solved for the share of zeros"))
def bitmask_break_even(*, bits_per_weight):
    """Per cent of zeros beyond which a bitmask takes less than storing every number: the bit has to pay for itself."""
    return 100 / bits_per_weight


@formula(r"z_\text{CSR}", "", HAN_2015.at("sec. 2, solved for the share of zeros"))
def csr_break_even(*, bits_per_weight, index_bits):
    """The same of compressed sparse rows, where each number that is left carries its index (rows' beginnings left
    out)."""
    return 100 * index_bits / (bits_per_weight + index_bits)


# Zeros anywhere, or two of every four


def pruned_weights(model: Model, weight_format: str, pruning: str, pruned: float) -> dict[str, Quantity]:
    """Bytes of the model when so many per cent of its layers' linear weights are zero, by how they are stored. All
    else is stored as the format says. Semi-structured (2:4) pruning takes a half, whatever ``pruned`` is."""
    n, rows = linear_numbers(model)
    common = {"parameters": n, "bits_per_weight": linear_bits(model, weight_format)}
    found = {"dense": dense_memory(**common)}
    if pruning == "semi_structured":
        found["semi_structured"] = semi_structured_memory(**common)
    else:
        found["bitmask"] = bitmask_memory(**common, pruned=pruned)
        found["csr"] = csr_memory(**common, pruned=pruned, index_bits=INDEX_BITS, matrix_rows=rows)
    rest = _rest(model, weight_format, n)
    return {id: total("pruned_weights", r"M_\text{model}", memory, *rest) for id, memory in found.items()}


def memory_by_share(model: Model, weight_format: str, shares: Iterable[float]) -> dict[str, list[float]]:
    """Bytes of the model by the share of zeros, in per cent, for each of the `STORAGES`."""
    found = [pruned_weights(model, weight_format, "unstructured", share) for share in shares]
    return {id: [at[id].value for at in found] for id in STORAGES}


def break_even(model: Model, weight_format: str) -> dict[str, Quantity]:
    """Per cent of zeros beyond which each way to store them takes less than storing every number."""
    bits = linear_bits(model, weight_format)
    csr = csr_break_even(bits_per_weight=bits, index_bits=INDEX_BITS)
    return {"bitmask": bitmask_break_even(bits_per_weight=bits), "csr": csr}


def linear_bits(model: Model, weight_format: str) -> float:
    """Bits of a linear weight of the layers on average."""
    kept = stored(model, weight_format)
    return kept.of_group("layers" if kept.of_group("layers")[0] else "whole")[1]


def linear_numbers(model: Model) -> tuple[int, int]:
    """Numbers in the linear weights of all layers, and rows that they stand in."""
    found = [(count, m) for block, count in model.blocks for m in linear_matrices(block)]
    return sum(count * m.numbers for count, m in found), sum(count * m.rows for count, m in found)


def _rest(model: Model, weight_format: str, n: int) -> list[Quantity]:
    """What is not pruned: embeddings, head, norms and the like, at the bits they have in the format."""
    kept, whole = stored(model, weight_format), model.parameters().value
    outside = {group: kept.of_group(group) for group in ("embedding", "head", "rest")}
    if not any(n for n, _ in outside.values()):
        outside = {"rest": (whole - n, WEIGHT_FORMATS[weight_format].bits)}
    return [
        unquantized_memory(parameters=number, bits_per_weight=bits).named(f"stored_{group}")
        for group, (number, bits) in outside.items()
        if number
    ]


# Heads and channels taken out


def structurally_pruned(model: Model, pruned: float) -> Model:
    """The model without so many per cent of the heads and of the feed-forward channels of each layer.

    Whole groups of query heads go, with their key/value head; at least one of everything stays. The width of the model
    stays, so embeddings do too.
    """
    blocks = tuple((block.pruned(1 - pruned / 100), count) for block, count in model.blocks)
    return replace(model, blocks=blocks)


def stays_whole(model: Model) -> tuple[str, ...]:
    """Ids of the parts in which tokens meet that nothing is taken out of, whatever the share: no head or channel of
    theirs can go alone, as where they share what the others have."""
    return tuple(dict.fromkeys(part.id for part in model.mixers if part.pruned(0) == part))


def memory_by_share_taken_out(model: Model, weight_format: str, shares: Iterable[float]) -> list[float]:
    """Bytes of the model by the share of heads and channels taken out, in per cent: each is a model of its own."""
    return [stored_weights(structurally_pruned(model, share), weight_format).value for share in shares]
