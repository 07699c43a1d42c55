"""Models of two stacks: an encoder, and a decoder that also attends to the encoder's output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from llmcalc.errors import InputError
from llmcalc.huggingface.code import filled_in
from llmcalc.huggingface.keys import Keys, does_not_divide, shown
from llmcalc.huggingface.stack import Norm, assemble, head_width
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.code import Code
from llmcalc.transformer.embedding import LearnedPositions, RelativeBias, TokenEmbedding
from llmcalc.transformer.experts import Experts, Router
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Head
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import Convolution, Vectors

NO_HEAD = ("base", "encoder", "headless")  # tasks of classes without a language-model head
Layers = list[tuple[tuple[str, ...], tuple[Part, ...]]]


@dataclass(frozen=True, kw_only=True)
class T5Recipe:
    """T5 and its kin: RMSNorm before each part, no biases, a relative position bias a stack or (umT5) a layer."""

    bias_in_every_layer: bool = False
    experts: bool = False
    long: bool = False
    code: Code | None = None


def build_t5(keys: Keys, recipe: T5Recipe, task: str) -> Model:
    """A T5-like model; ``task`` "encoder" is its encoder alone, "base" has no head of its own.

    Raises InputError for keys that are missing, malformed or contradictory.
    """
    d_model, n_heads = keys.dimension("d_model"), keys.dimension("n_heads")
    width = keys.dimension("d_head")
    gated = not recipe.experts and keys.text("feed_forward_proj").startswith("gated-")
    feed_forward = FeedForward(d_model, keys.dimension("d_ff"), gated)
    n_encoder = keys.layers()
    n_decoder = 0 if task == "encoder" else keys.layers("n_decoder_layers", n_encoder)
    buckets = keys.size("relative_attention_num_buckets")
    bias = RelativeBias(buckets, n_heads)
    global_norm, global_bias = _transient_global(keys, recipe, d_model, bias)
    cross = Attention(d_model, n_heads, n_heads, width, sees="source", id="cross_attention")

    def layer(sees: str, sparse: bool) -> tuple[Part, ...]:
        return (
            RMSNorm(d_model, "attention_norm"),
            *(global_norm if sees == "all" else ()),
            *((bias,) if recipe.bias_in_every_layer else ()),
            Attention(d_model, n_heads, n_heads, width, sees=sees),
            *((RMSNorm(d_model, "cross_attention_norm"), cross) if sees == "past" else ()),
            RMSNorm(d_model, "feed_forward_norm"),
            *(_switch(keys, feed_forward) if sparse else (feed_forward,)),
        )

    vocab_size = keys.dimension("vocab_size")
    layers = _two_stacks(keys, recipe.experts, layer, n_encoder, n_decoder)
    stacks = ("encoder", "decoder")[: 1 + (n_decoder > 0)]
    front: list[Part] = [TokenEmbedding(vocab_size, d_model), *global_bias]
    if recipe.experts and not keys.flag("tie_word_embeddings"):
        front += [TokenEmbedding(vocab_size, d_model, f"{stack}_embedding") for stack in stacks]
    if not recipe.bias_in_every_layer:
        front += [RelativeBias(buckets, n_heads, f"{stack}_relative_bias") for stack in stacks]
    back: list[Part] = [RMSNorm(d_model, f"{stack}_final_norm") for stack in stacks]
    if task not in NO_HEAD and not _tied(keys):
        back.append(Head(vocab_size, d_model))
    return _run(assemble(tuple(front), layers, tuple(back)), recipe.code, keys, "dense_act_fn")


def _run(model: Model, code: Code | None, keys: Keys, activation: str) -> Model:
    """The model with how its class runs it, where that has been read of both stacks."""
    if code is None or len({block.name for block, _ in model.blocks}) < 2:
        return model
    if activation == "dense_act_fn":
        name = keys.text("feed_forward_proj").removeprefix("gated-")
        return replace(model, code=replace(code, activation="gelu_new" if name == "gelu" else name))
    return replace(model, code=filled_in(keys, code, None))


def _tied(keys: Keys) -> bool:
    """T5 v1.1 and mT5 have a head of their own; files that transformers 5 wrote say so as scale_decoder_outputs."""
    unscaled = keys.given("scale_decoder_outputs") and not keys.flag("scale_decoder_outputs")
    return keys.flag("tie_word_embeddings") and not unscaled


def _transient_global(
    keys: Keys, recipe: T5Recipe, d_model: int, bias: RelativeBias
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """LongT5's encoder may attend to block summaries too: one more norm a layer, and one more table of biases."""
    if not recipe.long:
        return (), ()
    keys.refuse_other_than("encoder_attention_type", ("local", "transient-global"))
    if keys.text("encoder_attention_type") == "local":
        return (), ()
    return (
        (RMSNorm(d_model, "global_norm"),),
        (RelativeBias(bias.n_buckets, bias.n_heads, "encoder_global_relative_bias"),),
    )


def _switch(keys: Keys, expert: FeedForward) -> tuple[Part, ...]:
    """Switch Transformer: the router chooses one expert for a token."""
    n_experts = keys.dimension("n_experts")
    return Router(expert.d_model, n_experts, keys.flag("router_bias")), Experts(n_experts, 1, expert)


def _two_stacks(
    keys: Keys, experts: bool, layer: Callable[[str, bool], tuple[Part, ...]], n_encoder: int, n_decoder: int
) -> Layers:
    """Encoder layers, then decoder layers; where there are experts, every so many of each stack are sparse."""
    every = [0, 0]
    if experts:
        every = [
            _sparse_step(keys, "num_sparse_encoder_layers", n_encoder),
            _sparse_step(keys, "num_sparse_decoder_layers", n_decoder),
        ]
    made = {(sees, s): layer(sees, s) for sees in ("all", "past") for s in ((False, True) if experts else (False,))}
    layers: Layers = []
    for name, sees, count, step in (("encoder", "all", n_encoder, every[0]), ("decoder", "past", n_decoder, every[1])):
        for i in range(count):
            sparse = step > 0 and (step == 1 or i % step == 1)
            layers.append(((name, "sparse" if sparse else "dense"), made[sees, sparse]))
    return layers


def _sparse_step(keys: Keys, key: str, n_layers: int) -> int:
    wanted = keys.size(key, 0)
    return n_layers // wanted if wanted else n_layers


@dataclass(frozen=True, kw_only=True)
class BartRecipe:
    """BART and its kin: biases everywhere, LayerNorm before or after each part.

    ``positions``: rows of each stack's table beyond n_positions, None where positions are a buffer. ``sinusoids``: they
    are parameters, and do not train. ``final_norm``: one norm after each stack. ``experts``: every so many layers have
    experts (NLLB-MoE).

    ``attention_bias`` is always, never, or the key that says; without ``key_bias`` keys have none of their own.
    ``global_projections``: the encoder has a second set of them (LED). ``tied_alone``: the head of the decoder alone is
    tied too. ``one_table``: only the decoder reads tokens. ``encoder_positions`` is the key of the encoder's rows where
    they are not the decoder's. ``front_also``, ``encoder_also`` and ``decoder_also`` are parts that one family has,
    before the encoder and in each layer of a stack.
    """

    positions: int | None = 2
    sinusoids: bool = False
    decoder_positions: str | None = None
    embedding_norm: bool = True
    final_norm: bool = True
    experts: bool = False
    norm: Norm = LayerNorm
    attention_bias: bool | str = True
    key_bias: bool = True
    global_projections: bool = False
    tied_alone: bool = True
    one_table: bool = False
    encoder_positions: str | None = None
    encoder_positions_train: bool = True
    front_also: Callable[[Keys], tuple[Part, ...]] | None = None
    encoder_also: Callable[[Keys], tuple[Part, ...]] | None = None
    decoder_also: Callable[[Keys], tuple[Part, ...]] | None = None
    code: Code | None = None


def build_bart(keys: Keys, recipe: BartRecipe, task: str) -> Model:
    """A BART-like model: one token table for both stacks and the head; ``task`` "decoder" is its decoder alone.

    With ``tie_word_embeddings`` false the class has a table for each stack and a head beside the shared one.

    Raises InputError for keys that are missing, malformed or contradictory.
    """
    d_model, vocab_size = keys.dimension("d_model"), keys.dimension("vocab_size")
    alone = task == "decoder"
    encoder, decoder = _bart_layer(keys, recipe, "encoder"), _bart_layer(keys, recipe, "decoder", alone)
    layers: Layers = []
    for stack, count, make, every in (
        ("encoder", 0 if alone else keys.layers(), encoder, "encoder_sparse_step"),
        ("decoder", _decoder_layers(keys, task), decoder, "decoder_sparse_step"),
    ):
        step = keys.size(every, 0) if recipe.experts else 0
        made = {sparse: make(sparse) for sparse in {False, step > 0}}
        for i in range(count):
            sparse = step > 0 and (i + 1) % step == 0
            layers.append(((stack, "sparse" if sparse else "dense"), made[sparse]))
    stacks = {"encoder": ("encoder",), "decoder": ("decoder",)}.get(task, ("encoder", "decoder"))
    tied = keys.flag("tie_word_embeddings")
    front: list[Part] = [TokenEmbedding(vocab_size, d_model)]
    if not tied and not alone and not recipe.one_table:
        front += [TokenEmbedding(vocab_size, d_model, f"{stack}_embedding") for stack in stacks]
    if recipe.positions is not None:
        rows = dict.fromkeys(("encoder", "decoder"), keys.dimension("n_positions") + recipe.positions)
        trains = {"encoder": recipe.encoder_positions_train and not recipe.sinusoids, "decoder": not recipe.sinusoids}
        if recipe.encoder_positions and not alone:
            rows["encoder"] = keys.size(recipe.encoder_positions) + recipe.positions
        front += [
            LearnedPositions(rows[s], d_model, f"{s}_positions", trains=trains[s], skipped=recipe.positions)
            for s in stacks
        ]
    if recipe.front_also and not alone:
        front += recipe.front_also(keys)
    if recipe.embedding_norm:
        front += [recipe.norm(d_model, f"{stack}_embedding_norm") for stack in stacks]
    back: list[Part] = []
    if recipe.final_norm:
        back += [recipe.norm(d_model, f"{stack}_final_norm") for stack in stacks]
    if task not in NO_HEAD and not (tied and (recipe.tied_alone or not alone)):
        back.append(Head(vocab_size, d_model))
    return _run(assemble(tuple(front), layers, tuple(back)), recipe.code, keys, "activation_function")


def _decoder_layers(keys: Keys, task: str) -> int:
    if task == "encoder":
        return 0
    return keys.layers() if task == "decoder" else keys.layers("n_decoder_layers")


def _bart_layer(keys: Keys, recipe: BartRecipe, stack: str, alone: bool = False) -> Callable[[bool], tuple[Part, ...]]:
    own = "" if stack == "encoder" or alone else "decoder_"
    d_model, n_heads = keys.dimension("d_model"), keys.dimension(f"n_{own}heads")
    if d_model % n_heads:
        raise does_not_divide(keys.names[f"n_{own}heads"], n_heads, keys.names["d_model"], d_model)
    width = d_model // n_heads
    feed_forward = FeedForward(d_model, keys.dimension("d_decoder_ff" if own else "d_ff"), bias=True)
    sees = "all" if stack == "encoder" else "past"
    bias = keys.flag(recipe.attention_bias)
    biases = bias and recipe.key_bias, bias
    cross = Attention(d_model, n_heads, n_heads, width, *biases, sees="source", id="cross_attention")
    far = recipe.global_projections and stack == "encoder"
    of_stack = recipe.encoder_also if stack == "encoder" else recipe.decoder_also
    also: list[Part] = list(of_stack(keys)) if of_stack else []
    if bias and not recipe.key_bias:  # queries and values only, of each attention
        also.append(Vectors(2 if stack == "encoder" else 4, d_model, "query_value_bias", "attention"))

    def make(sparse: bool) -> tuple[Part, ...]:
        return (
            Attention(d_model, n_heads, n_heads, width, *biases, sees=sees, global_projections=far),
            recipe.norm(d_model, "attention_norm"),
            *((cross, recipe.norm(d_model, "cross_attention_norm")) if stack == "decoder" else ()),
            *(_nllb_experts(keys, feed_forward) if sparse else (feed_forward,)),
            recipe.norm(d_model, "feed_forward_norm"),
            *also,
        )

    return make


def whisper_front(keys: Keys) -> tuple[Part, ...]:
    """Whisper: two convolutions over the spectrum."""
    d_model = keys.dimension("d_model")
    return (
        Convolution(keys.size("num_mel_bins"), d_model, 3, id="first_convolution", component="embedding"),
        Convolution(d_model, d_model, 3, id="second_convolution", component="embedding"),
    )


def speech_to_text_front(keys: Keys) -> tuple[Part, ...]:
    """Speech2Text: convolutions, each of which halves its channels by a gate."""
    d_model, channels = keys.dimension("d_model"), keys.size("conv_channels")
    kernels = keys.list_of("conv_kernel_sizes", int) or []
    if len(kernels) > 3:
        raise InputError("conv_kernel_sizes", "more than three convolutions are not modelled", code="key_not_modelled",
                         key="conv_kernel_sizes", found=shown(kernels))  # fmt: skip
    ins = [keys.size("input_feat_per_channel") * keys.size("input_channels"), *(channels // 2 for _ in kernels[1:])]
    outs = [*(channels for _ in kernels[1:]), 2 * d_model]
    names = ("first_convolution", "second_convolution", "third_convolution")
    return tuple(
        Convolution(c_in, c_out, kernel, id=name, component="embedding")
        for c_in, c_out, kernel, name in zip(ins, outs, kernels, names[: len(kernels)], strict=True)
    )


def global_tokens(keys: Keys) -> tuple[Part, ...]:
    """PEGASUS-X: learned tokens that see everything."""
    return (Vectors(keys.size("num_global_tokens"), keys.dimension("d_model"), "global_tokens", "embedding"),)


def global_norm(keys: Keys) -> tuple[Part, ...]:
    """A norm of them in each layer."""
    return (LayerNorm(keys.dimension("d_model"), "global_norm"),)


def _nllb_experts(keys: Keys, expert: FeedForward) -> tuple[Part, ...]:
    """NLLB-MoE: the router chooses two experts for a token."""
    n_experts = keys.dimension("n_experts")
    router = Router(expert.d_model, n_experts, keys.flag("router_bias"))
    return router, Experts(n_experts, min(2, n_experts), expert)


def build_vanilla(keys: Keys, task: str) -> Model:
    """The Transformer of "Attention Is All You Need": post-norm, sinusoidal positions, one shared vocabulary.

    Raises InputError for keys that are missing, malformed or contradictory.
    """
    d_model, n_heads, d_ff = keys.dimension("d_model"), keys.dimension("n_heads"), keys.dimension("d_ff")
    bias, width = keys.flag("bias"), head_width(keys, d_model, n_heads)

    def layer(sees: str) -> tuple[Part, ...]:
        cross = Attention(d_model, n_heads, n_heads, width, bias, bias, sees="source", id="cross_attention")
        return (
            Attention(d_model, n_heads, n_heads, width, bias, bias, sees=sees),
            LayerNorm(d_model, "attention_norm"),
            *((cross, LayerNorm(d_model, "cross_attention_norm")) if sees == "past" else ()),
            FeedForward(d_model, d_ff, bias=bias),
            LayerNorm(d_model, "feed_forward_norm"),
        )

    vocab_size = keys.dimension("vocab_size")
    layers: Layers = [(("encoder",), layer("all"))] * keys.layers()
    layers += [(("decoder",), layer("past"))] * keys.layers("n_decoder_layers")
    back = () if keys.flag("tie_word_embeddings") else (Head(vocab_size, d_model),)
    return assemble((TokenEmbedding(vocab_size, d_model),), layers, back)
