"""A model's weights as they are stored in a number format: what of it is quantised, and what is not.

Formats for linear layers (bitsandbytes, GPTQ, AWQ, fp8, microscaling) leave embeddings, head, norms, biases, learned
positions and routers in 16 bits; MXFP4, as gpt-oss is published, attention too where there are experts. MLX quantises
embeddings, head and routers too, and leaves towers; so do llama.cpp's files, which keep the rest in 32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from llmcalc.catalog.formats import WEIGHT_FORMATS, NumberFormat
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DETTMERS_2023, GGUF, IEEE_754, TRANSFORMERS, Citation
from llmcalc.stored.gguf import Place, embedding_format, head_format, matrix_format
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.part import HEAD_TABLE, Matrix, linear_beside, matrices, mixers, mixtures, score_matrices
from llmcalc.transformer.tower import PREDICTION


@formula(r"M_\text{quantised}", "bytes", DETTMERS_2023.at("sec. 3"))
def quantized_memory(*, parameters, bits_per_weight):
    """Weights that are quantised: bits for each, its share of scales and zero points included, by eight."""
    return parameters * bits_per_weight / 8


@formula(r"M_\text{kept}", "bytes", GGUF.at("src/llama-quant.cpp"))
def unquantized_memory(*, parameters, bits_per_weight):
    """Weights that stay as they are: too few to matter, or too sensitive."""
    return parameters * bits_per_weight / 8


@formula(r"M_\text{plain}", "bytes", IEEE_754.at("binary32"))
def plain_memory(*, parameters, bits_per_weight):
    """All weights in one plain format, nothing of them quantised: bits of a number, by eight."""
    return parameters * bits_per_weight / 8


_JOINED = ("query", "key", "value")  # one matrix where a family's code computes them in one product
GROUPS = ("whole", "layers", "embedding", "head", "rest")


@lru_cache(maxsize=1024)
def linear_matrices(block: Block) -> tuple[Matrix, ...]:
    """The linear layers of a layer."""
    return tuple(matrix for part in block.parts for matrix in matrices(part))


@dataclass(frozen=True)
class Stored:
    """How many numbers of each of the `GROUPS` a model keeps in which format, and how many bits they take."""

    numbers: Mapping[tuple[str, str], int]
    bits: Mapping[tuple[str, str], float]

    def of_group(self, group: str) -> tuple[int, float]:
        """Numbers of a group, and bits each takes on average."""
        n = sum(count for (of, _), count in self.numbers.items() if of == group)
        return n, sum(bits for (of, _), bits in self.bits.items() if of == group) / max(n, 1)

    def formats_of(self, group: str) -> tuple[str, ...]:
        """The formats that a group is in, most used first."""
        found = {name: n for (of, name), n in self.numbers.items() if of == group and n}
        return tuple(sorted(found, key=lambda name: -found[name]))

    @property
    def bits_per_weight(self) -> float:
        """Bits on average over the whole model."""
        return sum(self.bits.values()) / sum(self.numbers.values())


@lru_cache(maxsize=256)
def stored(model: Model, name: str) -> Stored:
    """What is in which format where the model is stored in the format, or the file of llama.cpp's, of that name."""
    numbers: Counter[tuple[str, str]] = Counter()
    bits: dict[tuple[str, str], float] = {}
    for group, count, width, format in _pieces(model, name):
        numbers[group, format.id] += count
        more = count * format.bits_in_rows_of(width)
        bits[group, format.id] = bits.get((group, format.id), 0) + more
    return Stored(numbers, bits)


def stored_weights(model: Model, name: str) -> Quantity:
    """Bytes of a model's weights in that format: what is quantised, and what is not, one by one."""
    kept = stored(model, name)
    parts = []
    for group in GROUPS:
        n, bits = kept.of_group(group)
        if n:
            as_it_is = set(kept.formats_of(group)) <= {"fp32", "bf16"}
            memory = plain_memory if group == "whole" else unquantized_memory if as_it_is else quantized_memory
            told = memory(parameters=n, bits_per_weight=bits).named(f"stored_{group}")
            parts.append(replace(told, source=_source(name, memory is unquantized_memory)))
    return total("model_memory", r"M_\text{model}", *parts)


def _source(name: str, is_left: bool) -> Citation:
    """Where it is said how many bits a number takes in the format of that name, or what is left as it is beside it."""
    format = WEIGHT_FORMATS.get(name)
    if format is None or (is_left and format.stored == "gguf"):
        return GGUF.at("src/llama-quant.cpp")
    return TRANSFORMERS.at("quantizers/base.py, get_modules_to_not_convert") if is_left else format.source


def _pieces(model: Model, name: str) -> Iterator[tuple[str, int, int, NumberFormat]]:
    """Every piece of the model: its group, how many numbers, how wide its rows are, and its format."""
    format, whole = WEIGHT_FORMATS.get(name), model.parameters().value
    if format and format.stored == "all":
        yield "whole", whole, 1, format
        return
    in_file = format is None or format.stored == "gguf"
    counted = 0
    if in_file and model.beside:  # towers have a file of their own, in 16 bits
        counted = whole - int(model.language.parameters().value)
        yield "rest", counted, 1, WEIGHT_FORMATS["bf16"]
    for piece in _in_file(model, name) if in_file else _linear(model, WEIGHT_FORMATS[name]):
        counted += piece[1]
        yield piece
    yield "rest", whole - counted, 1, WEIGHT_FORMATS["fp32" if in_file else "bf16"]


def _linear(model: Model, format: NumberFormat) -> Iterator[tuple[str, int, int, NumberFormat]]:
    named = [*model.unconverted, *(key for key, _ in model.converted)]
    listed = any("." in name for name in named)  # of single layers
    layers = [(1, i, block) for i, block in enumerate(model.layers())] if listed else []
    for count, i, block in layers or [(count, -1, block) for block, count in model.blocks]:
        for part in block.parts:
            for m in (*matrices(part), *(score_matrices(part) if format.stored == "tables" else ())):
                yield "layers", count * m.numbers, m.width, format_in(model, format, part.component, m, i)
    for part in model.beside:
        left = part.component == PREDICTION and "mtp" in model.unconverted
        for count, component, m in linear_beside(part):
            of = WEIGHT_FORMATS["bf16"] if left else format_in(model, format, component, m)
            yield "layers", count * m.numbers, m.width, of
    listed_for, plain = dict(model.converted), format.id if format.stored == "tables" else "bf16"
    for table in _tables(model):
        of = WEIGHT_FORMATS[listed_for.get("head" if table.role == HEAD_TABLE else "embedding", plain)]
        yield table.role, table.numbers, table.width, of


def format_in(model: Model, format: NumberFormat, component: str, m: Matrix, layer: int = -1) -> NumberFormat:
    """The format of a matrix of a layer where linear layers are in ``format``: some are left in 16 bits or converted to
    another, of all layers or of those that the file lists, and some formats are for experts only, where there are any.
    """
    keys = (component, f"{component}/{m.role}", f"{component}.{layer}", f"{component}/{m.role}.{layer}")
    if not model.unconverted.isdisjoint(keys):
        return WEIGHT_FORMATS["bf16"]
    for key, other in model.converted:
        if key in keys:
            return WEIGHT_FORMATS[other]
    only_experts = format.stored == "experts" and bool(model.mixtures)
    return WEIGHT_FORMATS["bf16"] if only_experts and not m.experts else format


def grouped_by(name: str) -> int:
    """How many weights of a row share a scale in the format of that name, so that rows must be whole groups; 1 where
    any row will do, or a file keeps what does not fit in another type."""
    format = WEIGHT_FORMATS.get(name)
    return 1 if format is None or format.stored == "gguf" else format.group


def _tables(model: Model) -> tuple[Matrix, ...]:
    """The token embedding, and a head of its own."""
    return tuple(matrix for part in (*model.front, *model.back) for matrix in matrices(part))


def _in_file(model: Model, name: str) -> Iterator[tuple[str, int, int, NumberFormat]]:
    joined = model.code is not None and model.code.joined_projections != "no"
    layers = model.layers()
    for i, block in enumerate(layers):
        heads = next((mixer.heads for mixer in mixers(block.parts)), None)
        sharing = heads.n_heads // heads.n_kv_heads if heads else 1
        n_experts = max((mixture.n_experts for mixture in mixtures(block.parts)), default=1)
        for m in linear_matrices(block):
            role = "joined" if joined and m.role in _JOINED else m.role
            place = Place(role, i, len(layers), sharing, n_experts)
            yield "layers", m.numbers, m.width, matrix_format(name, place, m.width)
    tables = _tables(model)
    tied = all(table.role != HEAD_TABLE for table in tables)
    for table in tables:
        of = head_format if table.role == HEAD_TABLE or tied else embedding_format
        yield table.role, table.numbers, table.width, of(name, table.width)
