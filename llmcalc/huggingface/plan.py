"""Models whose layers differ one by one: a plan says of each layer what kind it is and which parts it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.family import COMMON, Family, Names
from llmcalc.huggingface.keys import Keys, shown
from llmcalc.huggingface.layers import SparseRule
from llmcalc.huggingface.stack import (
    Recipe,
    assemble,
    attention_of,
    back_of,
    code_of,
    feed_forward_of,
    front_of,
    head_width,
    latent_attention_of,
    mixture_of,
    n_experts_of,
    note_mtp,
    qk_norms_of,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.code import Code
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.latent_attention import LatentAttention
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Part

Parts = tuple[Part, ...]
Layer = tuple[tuple[str, ...], Parts]  # what tells its kind, in words of [kinds], and its parts
# What configs call kinds of layers, old names and new
KINDS = {
    "attention": "full_attention",
    "full": "full_attention",
    "mamba": "linear_attention",
    "mamba2": "linear_attention",
    "linear": "linear_attention",
    "gdn": "linear_attention",
    "recurrent": "linear_attention",
    "sliding": "sliding_attention",
    "short_conv": "conv",
    "deepseek_sparse_attention": "indexed_attention",
    "qwen_sparse_attention": "indexed_attention",
}


class Kit:
    """What a plan puts layers together from: the keys of a config and the recipe of what its layers share."""

    def __init__(self, keys: Keys, recipe: Recipe) -> None:
        self.keys, self.recipe = keys, recipe
        self.d_model = keys.dimension("d_model")

    @property
    def n_layers(self) -> int:
        """How many layers there are."""
        return self.keys.layers()

    def norm(self, id: str, width: int | None = None) -> Parts:
        """A norm of the stream, or over so many channels; nothing where the family's norms have no weights."""
        return (self.recipe.norm(width or self.d_model, id),) if self.recipe.norm else ()

    def plain(self, **changes: Any) -> Attention:
        """Attention as the recipe says, with changes."""
        return replace(attention_of(self.keys, self.recipe), **changes)

    def latent(self, **changes: Any) -> LatentAttention:
        """Latent attention as the keys say, with changes."""
        return replace(latent_attention_of(self.keys), **changes)

    def attention(self, **changes: Any) -> Parts:
        """Attention, and the norms of its queries and keys."""
        return self.with_norms(self.latent(**changes) if self.recipe.latent else self.plain(**changes))

    def with_norms(self, attention: Attention | LatentAttention) -> Parts:
        """Attention after the norms of its queries and keys: of no keys where it borrows them."""
        norms = qk_norms_of(self.keys, self.recipe, attention)
        borrows = isinstance(attention, Attention) and attention.borrows
        return (*(norms[:1] if borrows else norms), attention)

    def d_head(self) -> int:
        """How wide a head is."""
        return head_width(self.keys, self.d_model, self.keys.dimension("n_heads"))

    def dense(self, **changes: Any) -> FeedForward:
        """The feed-forward network as the recipe says, with changes."""
        return replace(feed_forward_of(self.keys, self.recipe), **changes)

    def network(self, sparse: bool = False, **changes: Any) -> Parts:
        """A feed-forward network, or the mixture in its place."""
        if not sparse or self.recipe.experts is None:
            return (self.dense(**changes),)
        return mixture_of(self.keys, self.recipe.experts, self.dense(**changes))

    def sparse(self) -> tuple[bool, ...]:
        """Where the mixtures are."""
        rule: SparseRule | None = self.recipe.experts.sparse if self.recipe.experts else None
        if rule is None or not n_experts_of(self.keys):
            return (False,) * self.n_layers
        return rule(self.keys, self.n_layers)

    def pre(self, mixer: Parts, network: Parts) -> Parts:
        """A layer with a norm before its mixer, and one before its network."""
        return (*self.norm("attention_norm"), *mixer, *self.norm("feed_forward_norm"), *network)

    def sandwich(self, mixer: Parts, network: Parts) -> Parts:
        """A layer with norms before and after both."""
        return (
            *(*self.norm("attention_norm"), *mixer, *self.norm("attention_post_norm")),
            *(*self.norm("feed_forward_norm"), *network, *self.norm("feed_forward_post_norm")),
        )

    def kinds(self, default: Callable[[int], str], known: Sequence[str], key: str = "layer_types") -> list[str]:
        """The kind of each layer: listed under ``key``, or as ``default`` says of the number of a layer.

        Raises InputError for a kind that the family has not.
        """
        listed = self.keys.list_of(key, str, self.n_layers)
        found = listed if listed is not None else [default(i) for i in range(self.n_layers)]
        found = [KINDS.get(kind, kind) for kind in found]
        if unknown := [kind for kind in found if kind not in known]:
            message = f"layers of kind {shown(unknown[0])} are not modelled"
            raise InputError(key, message, tuple(known), code="layer_types", found=shown(unknown[0]))
        return found

    def nested(self, key: str) -> dict[str, Any]:
        """An object in the config, empty where there is none."""
        value = self.keys.value(key) if self.keys.has(key) else None
        if value is not None and (not isinstance(value, dict) or any(not isinstance(name, str) for name in value)):
            message = f"{key!r} must be a JSON object, not {shown(value)}"
            raise InputError(key, message, code="key_not_object", key=key, found=shown(value))
        return value or {}


Plan = Callable[[Kit], Sequence[Layer]]


def layered(front: Parts, layers: Sequence[Layer], back: Parts) -> Model:
    """A model of layers in order. Those that one name would hide, though their parts differ, are numbered."""
    found: dict[tuple[str, ...], list[Parts]] = {}
    for adjectives, parts in layers:
        variants = found.setdefault(adjectives, [])
        if parts not in variants:
            variants.append(parts)
    told = [
        ((*adjectives, str(found[adjectives].index(parts) + 1) if len(found[adjectives]) > 1 else ""), parts)
        for adjectives, parts in layers
    ]
    return assemble(front, told, back)


# Parts for which there are fused kernels in packages of their own, which keep less than transformers' PyTorch code
_WITH_KERNELS = ("delta_net", "mamba", "convolution", "indexer")


def planned(
    recipe: Recipe | Callable[[Keys], Recipe],
    plan: Plan,
    names: Names = COMMON,
    defaults_of: str | None = None,
    before: Callable[[Kit], Parts] = lambda kit: (),
    after: Callable[[Kit], Parts] = lambda kit: (),
    defaults: dict[str, Any] | None = None,
    code: Code | Callable[[Keys], Code | None] | None = None,
) -> Family:
    """A family of one stack of layers that differ one by one; ``before`` and ``after`` stand around the layers, and
    ``code`` says how its class runs them, None where that has not been read."""

    def read(keys: Keys, task: str) -> Model:
        note_mtp(keys)
        kit = Kit(keys, recipe if isinstance(recipe, Recipe) else recipe(keys))
        front, layers = front_of(keys, kit.recipe), plan(kit)
        model = layered((*front, *before(kit)), layers, (*after(kit), *back_of(keys, kit.recipe, task)))
        read_code = code(keys) if callable(code) else code
        if read_code is not None and any(part.id in _WITH_KERNELS for part in model.parts):
            keys.note("without_kernels", "a training step is that of transformers' PyTorch code without fused kernels")
        return replace(model, code=code_of(keys, replace(kit.recipe, code=read_code), model))

    return Family(read, names, defaults_of, defaults or {})
