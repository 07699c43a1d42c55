"""Which type llama.cpp's quantizer gives to each matrix, by the name of the file: a port of its rules as a table.

They stand in ggml-org/llama.cpp, src/llama-quant.cpp, llama_tensor_get_type.

Files of less than four bits are counted as made with an importance matrix, which the smallest need, and larger ones
without, as in llama.cpp's own table of sizes. What is no matrix of a layer, no embedding and no head is fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmcalc.catalog.formats import WEIGHT_FORMATS, NumberFormat


@dataclass(frozen=True)
class Place:
    """Where a matrix stands: its ``role``, layer number ``i`` of ``n``, how many query heads share a key head, and how
    many experts there are."""

    role: str
    i: int
    n: int
    sharing: int = 1
    n_experts: int = 1


Rule = tuple[str, Callable[[Place], bool]]


def _always(_: Place) -> bool:
    return True


def _shared(place: Place) -> bool:
    return place.sharing >= 4


def _first_eighth(place: Place) -> bool:
    return place.i < place.n // 8


def _first_sixteenth(place: Place) -> bool:
    return place.i < place.n // 16


def _more_bits(place: Place) -> bool:
    eighth = place.n // 8
    return place.i < eighth or place.i >= 7 * place.n // 8 or (place.i - eighth) % 3 == 2


def _middle(place: Place) -> bool:
    return place.n // 8 <= place.i < 7 * place.n // 8


def _first(number: int) -> Callable[[Place], bool]:
    return lambda place: place.i < number


def _shared_or_experts(place: Place) -> bool:
    return place.sharing >= 4 or place.n_experts >= 4


# The type that a file's name stands for, where it is not the type of that name
_BASES = {
    "Q2_K_S": "Q2_K",
    "Q3_K_S": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K",
    "Q4_K_M": "Q4_K",
    "Q5_K_S": "Q5_K",
    "Q5_K_M": "Q5_K",
    "IQ2_S": "IQ2_XS",
    "IQ2_M": "IQ2_S",
    "IQ3_XS": "IQ3_S",
    "IQ3_M": "IQ3_S",
}
_TINY = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M")
_HEADS = dict.fromkeys((*_TINY, "IQ3_XXS"), "Q5_K") | {"Q8_0": "Q8_0"}
_EMBEDDINGS = (
    dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), "Q2_K")
    | dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S")
    | dict.fromkeys(("TQ1_0", "TQ2_0"), "Q4_K")
)
# By file and role, the first rule that holds; without one it is the base
_RULES: Mapping[str, Mapping[str, tuple[Rule, ...]]] = {
    "Q2_K": {
        "value": (("Q4_K", _shared), ("Q3_K", _always)),
        "down": (("Q3_K", _always),),
        "output": (("Q3_K", _always),),
    },
    "Q2_K_S": {"value": (("Q4_K", _shared),), "down": (("Q4_K", _first_eighth),)},
    "Q3_K_M": {
        "value": (("Q5_K", _first(2)), ("Q4_K", _always)),
        "down": (("Q5_K", _first_sixteenth), ("Q4_K", _always)),
        "output": (("Q4_K", _always),),
        "joined": (("Q4_K", _always),),
    },
    "Q3_K_L": {
        "value": (("Q5_K", _always),),
        "down": (("Q5_K", _always),),
        "output": (("Q5_K", _always),),
        "joined": (("Q4_K", _always),),
    },
    "Q4_K_S": {"value": (("Q5_K", _first(4)),), "down": (("Q5_K", _first_eighth),)},
    "Q4_K_M": {
        "value": (("Q6_K", _more_bits),),
        "down": (("Q6_K", _more_bits),),
        "joined": (("Q5_K", _always),),
    },
    "Q5_K_M": {
        "value": (("Q6_K", _more_bits),),
        "down": (("Q6_K", _more_bits),),
        "joined": (("Q6_K", _always),),
    },
    "IQ4_XS": {"value": (("Q5_K", _shared),), "down": (("Q5_K", _first_eighth),)},
    "IQ4_NL": {"value": (("Q5_K", _shared),), "down": (("Q5_K", _first_eighth),)},
    "IQ3_M": {
        "value": (("Q4_K", _always),),
        "down": (("Q4_K", _first_eighth),),
        "output": (("Q4_K", _always),),
        "joined": (("Q4_K", _always),),
    },
    "IQ3_S": {"value": (("Q4_K", _shared),)},
    "IQ3_XS": {
        "value": (("Q4_K", _shared),),
        "key": (("IQ3_XXS", _always),),
        "query": (("IQ3_XXS", _always),),
        "up": (("IQ3_XXS", _middle),),
        "gate": (("IQ3_XXS", _middle),),
    },
    "IQ3_XXS": {
        "value": (("Q4_K", _shared),),
        "key": (("IQ2_S", _always),),
        "query": (("IQ2_S", _always),),
        "output": (("IQ3_S", _always),),
    },
    **{
        name: {
            "value": (("Q4_K", _shared_or_experts), (better, _always)),
            "down": ((better, _first_eighth),),
            "output": ((output, _always),) if output else (),
        }
        for name, better, output in (
            ("IQ2_M", "IQ3_S", "IQ3_S"),
            ("IQ2_S", "IQ3_S", "IQ3_S"),
            ("IQ2_XS", "Q2_K", ""),
            ("IQ2_XXS", "Q2_K", ""),
            ("IQ1_M", "Q2_K", "IQ2_XXS"),
            ("IQ1_S", "Q2_K", "IQ2_XXS"),
        )
    },
}
_WITH_EIGHT_EXPERTS = {"value": "Q8_0", "key": "Q8_0", "output": "Q5_K"}
_OUTPUT_AS_WITHOUT = ("Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0", "Q3_K_L", "Q2_K_S", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
_LAYERS_OF_70B = 80


def matrix_format(file: str, place: Place, width: int) -> NumberFormat:
    """The type of a matrix of the layers, with rows so wide, in the file of that name ("GGUF Q4_K_M")."""
    name = file.removeprefix("GGUF ")
    type = _of_layers(name, place)
    return _divided(WEIGHT_FORMATS[f"GGUF {type}"], width)


def _of_layers(name: str, place: Place) -> str:
    base = _BASES.get(name, name)
    rules = _RULES.get(name, {}).get(place.role, ())
    type = next((type for type, holds in rules if holds(place)), base)
    if name in _TINY:
        return {"key": "Q4_K", "output": "Q5_K"}.get(place.role, type) if place.n_experts == 8 else type
    if place.role == "value" and place.n == _LAYERS_OF_70B and type in ("Q3_K", "Q4_K"):
        type = "Q5_K"
    if place.n_experts == 8 and not (place.role == "output" and name in _OUTPUT_AS_WITHOUT):
        type = _WITH_EIGHT_EXPERTS.get(place.role, type)
    return type


def head_format(file: str, width: int) -> NumberFormat:
    """The type of the output projection, and of an embedding table that is tied to it."""
    name = file.removeprefix("GGUF ")
    base = WEIGHT_FORMATS[f"GGUF {_BASES.get(name, name)}"]
    return WEIGHT_FORMATS["GGUF Q8_0" if width % base.block else f"GGUF {_HEADS.get(name, 'Q6_K')}"]


def embedding_format(file: str, width: int) -> NumberFormat:
    """The type of an embedding table of its own."""
    name = file.removeprefix("GGUF ")
    return _divided(WEIGHT_FORMATS[f"GGUF {_EMBEDDINGS.get(name, _BASES.get(name, name))}"], width)


def _divided(format: NumberFormat, width: int) -> NumberFormat:
    """The format, or what is taken instead where its blocks do not divide the rows."""
    if width % format.block == 0:
        return format
    instead = WEIGHT_FORMATS.get(format.instead, WEIGHT_FORMATS["bf16"])
    return WEIGHT_FORMATS["bf16"] if width % instead.block else instead
