"""What a quantity, a kind of layer and a unit are called."""

from __future__ import annotations

import re

from llmcalc.words import w, words

# What there is of a weight in a step, and which weight it is: query_parameters_lora_a_gradient, up_bias_of_experts
_COPIED = (
    *("weight_cast", "cast", "dequantized", "folded", "gradient", "lora_a", "lora_b"),
    *("of_shared_experts", "of_experts"),
)


def name(quantity_id: str) -> str:
    """What a quantity is called.

    Names of kinds of layers are put together: local_sparse_block_attention is "Attention, local sparse layers". Raises
    KeyError where there are no words.
    """
    if (key := f"quantities.{quantity_id}") in words():
        return w(key)
    role = re.sub(r"_\d+$", "", quantity_id)  # the second term of one role is role_2
    for copied in _COPIED:
        if role.endswith(f"_{copied}") and f"roles.{role}" not in words():
            return w(f"copies.{copied}", part=name(role.removesuffix(f"_{copied}")))
    if (key := f"roles.{role}") in words():
        return w(key)
    if quantity_id.startswith("change_"):  # by a switch of `llmcalc.techniques.mix`
        return w("copies.change", part=w(f"techniques.switch_{quantity_id.removeprefix('change_')}"))
    if quantity_id.startswith("activations_"):
        return w(f"components.{quantity_id.removeprefix('activations_')}")
    if quantity_id.endswith("_cache"):
        return w("kinds.cache", part=name(quantity_id.removesuffix("_cache")))
    for kept in ("memory", "inputs"):  # of a layer with a state
        if quantity_id.endswith(f"_{kept}"):
            return w(f"kinds.{kept}", part=name(quantity_id.removesuffix(f"_{kept}")))
    of_kind, rest = _kind_and_rest(quantity_id)
    if rest in ("block", "blocks"):
        return w(f"kinds.the_{rest}", kind=of_kind)
    if rest.startswith("block_"):
        part = name(rest.removeprefix("block_"))
        return w("kinds.part_of_kind", part=part, kind=of_kind) if of_kind else w("kinds.part", part=part)
    if of_kind and rest != quantity_id:
        return w("kinds.part_of_stack", part=name(rest), kind=of_kind)
    raise KeyError(f"no words for the quantity {quantity_id}")


def kind(block_name: str) -> str:
    """What kind of layers these are ("local mixture-of-experts"); nothing where a model has one kind only."""
    return _kind_and_rest(block_name)[0]


def _kind_and_rest(quantity_id: str) -> tuple[str, str]:
    kinds, rest = [], quantity_id
    while (first := rest.split("_")[0]) not in ("block", "blocks") and (first.isdigit() or f"kinds.{first}" in words()):
        kinds.append(first if first.isdigit() else w(f"kinds.{first}"))
        rest = rest.removeprefix(f"{first}_")
    return " ".join(kinds), rest


def unit_name(unit: str, number: float = 2) -> str:
    """A unit in words, of so many of it; symbols such as FLOP and E are their own."""
    key = f"units.{unit.replace('/', '_per_')}"
    return w(key, number=number) if key in words() else unit
