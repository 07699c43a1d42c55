"""Models of one stack of layers: decoders and encoders, from a recipe that names what their layers are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from llmcalc.errors import InputError
from llmcalc.huggingface.code import filled_in
from llmcalc.huggingface.keys import Keys, does_not_divide
from llmcalc.huggingface.layers import SparseRule, WindowRule, all_sparse
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.code import Code
from llmcalc.transformer.embedding import (
    EmbeddingProjection,
    LearnedPositions,
    RelativeBias,
    RelativeEmbedding,
    TokenEmbedding,
    TypeEmbedding,
)
from llmcalc.transformer.experts import Experts, Router, SharedGate
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Classifier, Head, Pooler, TransformedHead
from llmcalc.transformer.latent_attention import LatentAttention
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part

Flag = bool | str  # always, never, or the name of the key that says
Norm = Callable[..., Part]  # of a width and an id
LAYER_NORM_NO_BIAS: Norm = partial(LayerNorm, bias=False)

# A layer's layout: what runs, in order. A name that is neither attention nor feed-forward is a norm.
PRE = ("attention_norm", "attention", "cross_attention", "feed_forward_norm", "feed_forward")
POST = ("attention", "attention_norm", "cross_attention", "feed_forward", "feed_forward_norm")
PARALLEL = ("attention_norm", "attention", "feed_forward")
PARALLEL_TWO_NORMS = ("attention_norm", "feed_forward_norm", "attention", "feed_forward")
SANDWICH = (
    *("attention_norm", "attention", "attention_post_norm"),
    *("feed_forward_norm", "feed_forward", "feed_forward_post_norm"),
)
INNER = (
    *("attention_norm", "attention", "attention_inner_norm"),
    *("feed_forward_norm", "feed_forward", "feed_forward_inner_norm"),
)


@dataclass(frozen=True, kw_only=True)
class QKNorm:
    """Norms of queries and keys: over one head (shared by all), one for each head, or over all heads at once."""

    width: str = "head"  # "head" or "all"
    norm: Norm = RMSNorm
    when: Flag = True


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture of experts in place of the feed-forward network, in the layers that ``sparse`` says.

    ``shared`` names the key that counts shared experts (each as wide as an expert), ``shared_width`` the key that
    gives their width outright.
    """

    sparse: SparseRule = all_sparse
    router_bias: Flag = False
    selection: bool = False
    expert_bias: Flag = False
    shared: str | None = None
    shared_width: str | None = None
    shared_gate: bool = False
    buffers: bool = False


@dataclass(frozen=True, kw_only=True)
class MaskedHead:
    """BERT's head: a transform to ``width`` (a key; the model's width without one), then the output projection.

    ``second_bias``: where that projection is not tied, its own bias is kept beside the head's.
    """

    width: str | None = None
    dense_bias: Flag = True
    norm_bias: Flag = True
    bias: Flag = True
    second_bias: bool = True


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one family's layers are made of. A `Flag` is always, never, or the key that says; other texts are keys.

    Layers: ``norm`` (None: one without parameters) stands where ``layout`` names it; ``first_attention_norm`` False
    leaves out that of the first layer; ``shared_layers``: all layers share the weights of a few (ALBERT).

    In front: ``positions`` is how many rows a learned table has beyond n_positions, None where positions are computed;
    ``padded`` are those of n_positions that stand ahead of the first token's, as the others do.
    ``types`` counts segments, ``task_types`` is a flag and a count. ``embedding_width`` is the embedding's own width,
    projected to d_model where it differs (``always_project``: even where not; ``project_out``: and back again).
    ``relative_buckets`` counts the buckets of a relative position bias, ``relative_embedding`` is DeBERTa's table.

    Attention: ``multi_query`` has one key/value head, ``grouped`` False as many as query heads; ``latent`` is
    DeepSeek's; ``windows`` says how far each layer sees, ``caches_all`` that its cache keeps what is beyond all
    the same; ``cross`` adds attention to an encoder, if ``cross_needs``.

    Feed-forward: ``d_ff`` is the multiple of d_model that an omitted width means, None where it must be given.

    ``code`` says how the class runs its layers, None where that has not been read.

    At the end: ``head`` is BERT's with a transform, None a plain one; ``pooler`` comes with the class without a head
    (``pooler_always``: with every class), ``pretraining`` with the class for pre-training.

    ``front_also`` and ``layer_also`` are parts that only one family has, in front and in each layer.
    """

    norm: Norm | None = RMSNorm
    layout: tuple[str, ...] = PRE
    embedding_norm: bool = False
    final_norm: bool = True
    positions: int | None = None
    padded: int = 0
    types: str | None = None
    task_types: tuple[str, str] | None = None
    embedding_width: str | None = None
    embedding_projection_bias: bool = True
    always_project: bool = False
    project_out: bool = False
    relative_buckets: str | None = None
    relative_embedding: int = 0
    relative_norm: bool = False
    multi_query: Flag = False
    grouped: bool = True
    qkv_bias: Flag = False
    output_bias: Flag = False
    qk_norm: QKNorm | None = None
    latent: bool = False
    sinks: bool = False
    gate: bool = False
    position_keys: bool = False
    position_queries: bool = False
    global_projections: bool = False
    cross: Flag = False
    cross_needs: str | None = None
    gated: bool = True
    ffn_bias: Flag = False
    d_ff: int | None = None
    learned_activation: int = 0
    experts: Mixture | None = None
    windows: WindowRule | None = None
    caches_all: bool = False
    first_attention_norm: bool = True
    shared_layers: bool = False
    tied: Flag = "tie_word_embeddings"
    head: MaskedHead | None = None
    head_bias: Flag = False
    pooler: bool = False
    pooler_always: bool = False
    pretraining: Callable[[int], Classifier] | None = None
    front_also: Callable[[Keys], tuple[Part, ...]] | None = None
    layer_also: Callable[[Keys], tuple[Part, ...]] | None = None
    causal: bool = True
    code: Code | None = None


def build(keys: Keys, recipe: Recipe, task: str) -> Model:
    """The model that ``keys`` and the family's ``recipe`` describe, with the head that ``task`` needs.

    Raises InputError for keys that are missing, malformed or contradictory.
    """
    front = front_of(keys, recipe)
    n_layers = _n_layers(keys, recipe)
    windows = recipe.windows(keys, n_layers) if recipe.windows else (None,) * n_layers
    sparse = recipe.experts.sparse(keys, n_layers) if recipe.experts and n_experts_of(keys) else (False,) * n_layers
    layer = _layer_maker(keys, recipe)
    kinds = [
        (i == 0 and not recipe.first_attention_norm, w, s) for i, (w, s) in enumerate(zip(windows, sparse, strict=True))
    ]
    blocks = {kind: layer(*kind) for kind in dict.fromkeys(kinds)}
    note_mtp(keys)
    model = assemble(front, [(_adjectives(kind), blocks[kind]) for kind in kinds], back_of(keys, recipe, task))
    return replace(model, code=code_of(keys, recipe, model))


def note_mtp(keys: Keys) -> None:
    """Say that layers which predict further tokens are left out, where a config has any."""
    names = ("num_nextn_predict_layers", "num_mtp_layers", "_num_mtp_layers", "mtp_num_hidden_layers")
    for key in (name for name in names if keys.given(name)):
        number = keys.optional(key, 0)
        if number:
            text = f"{number} multi-token-prediction layers are not counted"
            keys.note("mtp_left_out", text, layers=number)


def code_of(keys: Keys, recipe: Recipe, model: Model) -> Code | None:
    """How the class of ``model``, which ``recipe`` describes, runs its layers; None where that has not been read."""
    if recipe.code is None or keys.flag(recipe.cross):
        return None  # a step that also attends to another model's output was not read
    attention = next((p for block in model.layers() for p in block.parts if isinstance(p, Attention)), None)
    parallel = recipe.code.parallel or recipe.layout in (PARALLEL, PARALLEL_TWO_NORMS)
    windows = [part.window for block, _ in model.blocks for part in block.parts if isinstance(part, Attention)]
    runs = max(1, keys.layers() // model.n_layers) if recipe.shared_layers else 1
    code = replace(
        recipe.code, layer_runs=runs, parallel=parallel, rotary_local=recipe.code.rotary_local and any(windows)
    )
    return filled_in(keys, code, attention.d_head if attention else None)


def assemble(
    front: tuple[Part, ...], layers: list[tuple[tuple[str, ...], tuple[Part, ...]]], back: tuple[Part, ...]
) -> Model:
    """A model from its layers in order, each with adjectives (local, sparse …); those that all share are not named."""
    telling = [len({adjectives[i] for adjectives, _ in layers}) > 1 for i in range(len(layers[0][0]))]
    names = [
        "_".join([a for a, tells in zip(adjectives, telling, strict=True) if tells and a] + ["block"])
        for adjectives, _ in layers
    ]
    counts: dict[str, int] = {}
    parts: dict[str, tuple[Part, ...]] = {}
    for name, (_, made_of) in zip(names, layers, strict=True):
        counts[name] = counts.get(name, 0) + 1
        parts[name] = made_of
    blocks = tuple((Block(parts[name], name), count) for name, count in counts.items())
    return Model(front, blocks, back, tuple(names) if len(counts) > 1 else ())


def _adjectives(kind: tuple[bool, int | None, bool]) -> tuple[str, ...]:
    first, window, sparse = kind
    return ("first" if first else "later", "global" if window is None else "local", "sparse" if sparse else "dense")


def front_of(keys: Keys, recipe: Recipe) -> tuple[Part, ...]:
    """Everything in front of the layers: embeddings, positions, and what belongs to them."""
    d_model = keys.dimension("d_model")
    width = (recipe.embedding_width and keys.optional(recipe.embedding_width)) or d_model
    parts: list[Part] = [TokenEmbedding(keys.dimension("vocab_size"), width)]
    if recipe.positions is not None:
        at = d_model if recipe.project_out else width
        rows = keys.dimension("n_positions") + recipe.positions
        parts.append(LearnedPositions(rows, at, skipped=recipe.positions + recipe.padded))
    elif "n_positions" in keys.names and keys.given(keys.names["n_positions"]):
        keys.dimension("n_positions")  # what the class fills in where the config is silent was not published
    if recipe.types and (n_types := keys.size(recipe.types, 0)):
        parts.append(TypeEmbedding(n_types, width))
    if recipe.task_types and keys.flag(recipe.task_types[0]):
        parts.append(TypeEmbedding(keys.size(recipe.task_types[1]), width, "task_embedding"))
    if recipe.embedding_norm and recipe.norm:
        parts.append(recipe.norm(width, "embedding_norm"))
    if width != d_model or recipe.always_project:
        parts.append(EmbeddingProjection(width, d_model, recipe.embedding_projection_bias))
    if recipe.relative_buckets:
        parts.append(RelativeBias(keys.size(recipe.relative_buckets), keys.dimension("n_heads")))
    if recipe.relative_embedding:
        parts.append(RelativeEmbedding(recipe.relative_embedding, d_model))
    if recipe.relative_norm:
        parts.append(LayerNorm(d_model, "relative_norm"))
    return (*parts, *(recipe.front_also(keys) if recipe.front_also else ()))


def _n_layers(keys: Keys, recipe: Recipe) -> int:
    n_layers = keys.layers()
    if not recipe.shared_layers:
        return n_layers
    own = keys.size("num_hidden_groups") * keys.size("inner_group_num")
    keys.note("shared_layers", f"{n_layers} layers share the weights of {own}", layers=n_layers, own=own)
    return min(own, 10_000)


def _layer_maker(keys: Keys, recipe: Recipe) -> Callable[[bool, int | None, bool], tuple[Part, ...]]:
    """A function that makes the parts of one layer: the first or a later one, its window, dense or sparse."""
    attention = latent_attention_of(keys) if recipe.latent else attention_of(keys, recipe)
    feed_forward = feed_forward_of(keys, recipe)
    pieces: dict[str, tuple[Part, ...]] = {
        name: _norm(recipe, name, attention, feed_forward) for name in recipe.layout if name.endswith("norm")
    }
    pieces["cross_attention"] = _cross_attention(keys, recipe)
    qk_norms = qk_norms_of(keys, recipe, attention)
    mixture = mixture_of(keys, recipe.experts, feed_forward) if recipe.experts and n_experts_of(keys) else ()

    also = recipe.layer_also(keys) if recipe.layer_also else ()

    def make(first: bool, window: int | None, sparse: bool) -> tuple[Part, ...]:
        changing = {
            "attention": (*qk_norms, replace(attention, window=window)),
            "feed_forward": mixture if sparse else (feed_forward,),
        }
        layout = [name for name in recipe.layout if not (first and name == "attention_norm")]
        return (*(part for name in layout for part in (pieces | changing)[name]), *also)

    return make


def _norm(
    recipe: Recipe, name: str, attention: Attention | LatentAttention, feed_forward: FeedForward
) -> tuple[Part, ...]:
    if recipe.norm is None:
        return ()
    width = attention.d_model
    if name == "attention_inner_norm" and isinstance(attention, Attention):
        width = attention.n_heads * attention.d_head
    if name == "feed_forward_inner_norm":
        width = feed_forward.d_ff
    return (recipe.norm(width, name),)


def head_width(keys: Keys, d_model: int, n_heads: int) -> int:
    """d_head as the config says, or d_model / n_heads.

    Raises InputError where that is no whole number.
    """
    width = keys.optional(keys.names["d_head"]) if "d_head" in keys.names else None
    if width is None and keys.rounds_heads and d_model > n_heads and d_model % n_heads:
        text = f"{n_heads} heads do not divide d_model = {d_model:,}: d_head is rounded down"
        keys.warn("rounded_heads", text, n_heads=n_heads, d_model=d_model)
    elif width is None and d_model % n_heads:
        raise does_not_divide(keys.names["n_heads"], n_heads, keys.names["d_model"], d_model)
    return keys.dimension("d_head", d_model // n_heads)


def attention_of(keys: Keys, recipe: Recipe) -> Attention:
    """Attention as the keys and the recipe say."""
    d_model, n_heads = keys.dimension("d_model"), keys.dimension("n_heads")
    n_kv_heads = keys.dimension("n_kv_heads", n_heads) if recipe.grouped else n_heads
    if keys.flag(recipe.multi_query):
        n_kv_heads = 1
    if n_heads % n_kv_heads:
        raise does_not_divide(keys.names["n_kv_heads"], n_kv_heads, keys.names["n_heads"], n_heads)
    return Attention(
        d_model,
        n_heads,
        n_kv_heads,
        head_width(keys, d_model, n_heads),
        keys.flag(recipe.qkv_bias),
        keys.flag(recipe.output_bias),
        recipe.sinks,
        recipe.gate,
        recipe.position_keys,
        recipe.position_queries,
        recipe.global_projections,
        "past" if recipe.causal else "all",
        caches_all=recipe.caches_all,
    )


def latent_attention_of(keys: Keys) -> LatentAttention:
    """Latent attention as the keys say."""
    d_model, n_heads = keys.dimension("d_model"), keys.dimension("n_heads")
    value = keys.optional("v_head_dim") or d_model // n_heads
    return LatentAttention(
        d_model,
        n_heads,
        keys.optional("q_lora_rank"),
        keys.size("kv_lora_rank"),
        keys.size("qk_nope_head_dim", 0),
        keys.size("qk_rope_head_dim", 0),
        _at_least_one("v_head_dim", value),
        keys.flag("attention_bias"),
    )


def _at_least_one(key: str, value: int) -> int:
    """``value`` if it is at least one.

    Raises InputError otherwise: the division that gave it left nothing.
    """
    if value < 1:
        raise InputError(key, f"{key!r} would be {value}", code="key_would_be", key=key, value=value)
    return value


def qk_norms_of(keys: Keys, recipe: Recipe, attention: Attention | LatentAttention) -> list[Part]:
    """The norms of queries and keys that belong to an attention, if any."""
    if isinstance(attention, LatentAttention):
        rank = attention.q_lora_rank
        queries = [RMSNorm(rank, "query_norm", "qk_norm")] if rank else []
        return [*queries, RMSNorm(attention.kv_lora_rank, "key_norm", "qk_norm")]
    norms = recipe.qk_norm
    if norms is None or not keys.flag(norms.when):
        return []
    of_all = norms.width == "all"
    query = attention.d_head * (attention.n_heads if of_all else 1)
    key = attention.d_head * (attention.n_kv_heads if of_all else 1)
    return [
        norms.norm(query, "query_norm", component="qk_norm"),
        norms.norm(key, "key_norm", component="qk_norm"),
    ]


def _cross_attention(keys: Keys, recipe: Recipe) -> tuple[Part, ...]:
    if not keys.flag(recipe.cross) or recipe.norm is None:
        return ()
    if recipe.cross_needs and not keys.flag(recipe.cross_needs):
        message = f"cross-attention needs {recipe.cross_needs!r} to be true"
        raise InputError(recipe.cross_needs, message, code="cross_attention_needs", key=recipe.cross_needs)
    if keys.flag(recipe.multi_query):
        message = "multi-query attention has no cross-attention"
        raise InputError("multi_query", message, code="multi_query_no_cross_attention")
    d_model, n_heads = keys.dimension("d_model"), keys.dimension("n_heads")
    width = head_width(keys, d_model, n_heads)
    biases = keys.flag(recipe.qkv_bias), keys.flag(recipe.output_bias)
    cross = Attention(d_model, n_heads, n_heads, width, *biases, sees="source", id="cross_attention")
    return recipe.norm(d_model, "cross_attention_norm"), cross


def feed_forward_of(keys: Keys, recipe: Recipe) -> FeedForward:
    """The feed-forward network as the keys and the recipe say."""
    d_model = keys.dimension("d_model")
    d_ff = keys.dimension("d_ff", recipe.d_ff and recipe.d_ff * d_model)
    return FeedForward(d_model, d_ff, recipe.gated, keys.flag(recipe.ffn_bias), recipe.learned_activation)


def n_experts_of(keys: Keys) -> int:
    """How many experts the keys say, 0 where they say nothing."""
    key = keys.names["n_experts"]
    return (keys.optional(key, 0) or 0) if keys.has(key) else 0


def mixture_of(keys: Keys, mixture: Mixture, dense: FeedForward) -> tuple[Part, ...]:
    """Router, experts, and shared experts where there are any."""
    n_experts = keys.dimension("n_experts")
    top_k = keys.chosen(n_experts)
    d_ff = keys.dimension("d_expert") if "d_expert" in keys.names else dense.d_ff
    expert = FeedForward(dense.d_model, d_ff, dense.gated, keys.flag(mixture.expert_bias), id="expert")
    router = Router(dense.d_model, n_experts, keys.flag(mixture.router_bias), mixture.selection)
    parts: list[Part] = [router, Experts(n_experts, top_k, expert)]
    shared = (keys.optional(mixture.shared, 0) or 0) * d_ff if mixture.shared else 0
    if mixture.shared_width:
        shared = keys.size(mixture.shared_width, 0)
    if shared:
        parts.append(replace(dense, d_ff=shared, id="shared_experts", component="shared_experts"))
    if mixture.shared_gate:
        parts.append(SharedGate(dense.d_model))
    if mixture.buffers:
        _note_buffers(keys, mixture, n_experts)
    return tuple(parts)


def _note_buffers(keys: Keys, mixture: Mixture, n_experts: int) -> None:
    buffers = n_experts * sum(mixture.sparse(keys, keys.layers()))
    keys.note(
        "router_buffers", f"{buffers:,} router biases are buffers, not parameters, and not counted", buffers=buffers
    )


def back_of(keys: Keys, recipe: Recipe, task: str) -> tuple[Part, ...]:
    """Final norm, then what the task needs: a head, a pooler, a classifier, or nothing."""
    d_model, vocab_size = keys.dimension("d_model"), keys.dimension("vocab_size")
    embedding = (recipe.embedding_width and keys.optional(recipe.embedding_width)) or d_model
    parts: list[Part] = []
    if recipe.final_norm and recipe.norm:
        parts.append(recipe.norm(d_model, "final_norm"))
    if recipe.project_out and embedding != d_model:
        parts.append(EmbeddingProjection(embedding, d_model, outward=True, id="output_projection"))
    tied = keys.flag(recipe.tied)
    if task == "language model" or (task == "pretraining" and (recipe.pooler or not recipe.pretraining)):
        parts += _head(keys, recipe, vocab_size, embedding if recipe.project_out else d_model, tied)
    if recipe.pooler and (recipe.pooler_always or task in ("base", "pretraining")):
        parts.append(Pooler(d_model))
    if recipe.pretraining and task == "pretraining":
        parts.append(recipe.pretraining(d_model))
    return tuple(parts)


def _head(keys: Keys, recipe: Recipe, vocab_size: int, width: int, tied: bool) -> list[Part]:
    if recipe.head is None:
        bias = keys.flag(recipe.head_bias)
        return [] if tied and not bias else [Head(vocab_size, width, bias, matrix=not tied)]
    inner = (recipe.head.width and keys.optional(recipe.head.width)) or width
    return [
        TransformedHead(
            vocab_size,
            width,
            inner,
            not tied,
            keys.flag(recipe.head.dense_bias),
            keys.flag(recipe.head.norm_bias),
            keys.flag(recipe.head.bias),
            recipe.head.second_bias and not tied,
        )
    ]
