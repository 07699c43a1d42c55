"""What towers are made of: layers, patches, projections, and what a reader of towers is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, does_not_divide, shown, whole
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import PROJECTOR, VISION, Linear, Tower, Vectors

Norm = Callable[..., Part]


@dataclass(frozen=True)
class Whole:
    """What a reader of towers is given: the whole config's keys, those of each tower by the key that holds its config,
    and the sizes of the language model under our own names."""

    keys: Keys
    towers: Mapping[str, Keys]
    text: Mapping[str, int]

    @property
    def d_text(self) -> int:
        """The width of the language model."""
        return self.text["d_model"]

    @property
    def vision(self) -> Keys:
        """Keys of the vision tower."""
        return self.towers["vision_config"]

    @property
    def audio(self) -> Keys:
        """Keys of the audio tower."""
        return self.towers["audio_config"]


Reader = Callable[[Whole], Sequence[Tower]]
LAYER_NORM_NO_BIAS: Norm = lambda width, id: LayerNorm(width, id, bias=False)  # noqa: E731


def layers_as_tower(
    front: Sequence[Part], layer: tuple[Part, ...], n_layers: int, back: Sequence[Part] = (), component: str = VISION
) -> Tower:
    """A stack of layers that are alike, with what is before and behind it."""
    return Tower(tuple(front), ((Block(layer), n_layers),), tuple(back), component, component)


def projector_of(*parts: Part) -> Tower:
    """What projects into the language model's width, its linear layers numbered."""
    numbered = [
        replace(part, id=f"linear_{i}") if isinstance(part, Linear) else part for i, part in enumerate(parts, 1)
    ]
    return Tower(back=tuple(numbered), id=PROJECTOR, component=PROJECTOR)


def two_linear(d_in: int, d_inner: int, d_out: int, bias: bool = True, second: bool | None = None) -> list[Part]:
    """Two linear layers."""
    return [Linear(d_in, d_inner, bias), Linear(d_inner, d_out, bias if second is None else second)]


def two_dealt(d_in: int, d_inner: int, d_out: int, bias: bool = True) -> list[Part]:
    """The same where engines deal the channels between them out (vLLM: `Qwen3_VisionPatchMerger`,
    `LlavaMultiModalProjector`)."""
    return [Linear(d_in, d_inner, bias, dealt="d_out"), Linear(d_inner, d_out, bias, dealt="d_in")]


def layers_of(keys: Keys, key: str = "num_hidden_layers") -> int:
    """A number of layers.

    Raises InputError beyond what any model has.
    """
    number = keys.size(key)
    if number > MOST_LAYERS:
        message = f"{number:,} layers; more than {MOST_LAYERS:,} are not counted"
        raise InputError(key, message, code="too_many_layers", number=number, most=MOST_LAYERS)
    return number


def head_of(keys: Keys, d_model: int, n_heads: int, key: str) -> int:
    """How wide a head is.

    Raises InputError where that is no whole number.
    """
    if d_model % n_heads:
        raise does_not_divide(key, n_heads, "hidden_size", d_model)
    return d_model // n_heads


def encoder_layer(
    keys: Keys,
    *,
    norm: Norm = LayerNorm,
    heads: str = "num_attention_heads",
    width: str = "hidden_size",
    inner: int | None = None,
    qkv_bias: bool = True,
    output_bias: bool = True,
    gated: bool = False,
    ffn_bias: bool = True,
    extra: Sequence[Part] = (),
) -> tuple[Part, ...]:
    """A layer of an encoder: norm, attention, norm, feed-forward network, and ``extra``."""
    d_model, n_heads = keys.size(width), keys.size(heads)
    n_kv_heads = keys.optional("num_key_value_heads") or n_heads
    d_ff = keys.size("intermediate_size") if inner is None else inner
    return (
        norm(d_model, "attention_norm"),
        Attention(
            d_model, n_heads, n_kv_heads, head_of(keys, d_model, n_heads, heads), qkv_bias, output_bias, sees="all"
        ),
        norm(d_model, "feed_forward_norm"),
        FeedForward(d_model, d_ff, gated, ffn_bias),
        *extra,
    )


def side_of(keys: Keys, key: str) -> int:
    """One side of a square that is one number or two alike."""
    value = keys.value(key)
    if isinstance(value, list | tuple):
        if len(value) == 2 and value[0] == value[1]:
            return whole(key, value[0])
        raise InputError(key, f"{key!r} = {shown(value)} is not modelled", code="key_not_modelled", key=key,
                         found=shown(value))  # fmt: skip
    return keys.size(key)


def patches_of(keys: Keys) -> int:
    """How many patches an image has."""
    return (side_of(keys, "image_size") // side_of(keys, "patch_size")) ** 2


def square_of(keys: Keys) -> int:
    """How many pixels a patch has."""
    return side_of(keys, "patch_size") ** 2


def feature_layers(keys: Keys, key: str = "vision_feature_layer") -> int:
    """Of how many layers the outputs are joined."""
    value = keys.value(key)
    return max(1, len(value)) if isinstance(value, list | tuple) else 1


def pooling(d_model: int, d_ff: int) -> list[Part]:
    """SigLIP's head: a learned query that attends to all patches."""
    attention = Attention(d_model, 1, 1, d_model, True, True, sees="all", id="pooling_attention")
    return [
        Vectors(1, d_model, "pooling_query"),
        attention,
        LayerNorm(d_model, "pooling_norm"),
        FeedForward(d_model, d_ff, bias=True, id="pooling_feed_forward"),
    ]


def named_key(keys: Keys, *names: str) -> str:
    """The first of several names of one key that the config, or its class, knows."""
    return next((name for name in names if keys.has(name)), names[0])


def shuffled(keys: Keys) -> int:
    """How many patches' sides are joined to one."""
    ratio = keys.value("downsample_ratio")
    if not isinstance(ratio, int | float) or not 0 < ratio <= 1:
        raise InputError("downsample_ratio", "'downsample_ratio' must be between 0 and 1", code="key_not_modelled",
                         key="downsample_ratio", found=shown(ratio))  # fmt: skip
    return int(1 / ratio)


def channels_of(keys: Keys) -> int:
    """How many numbers a pixel has."""
    return keys.size("in_channels")


def inner_of(keys: Keys, d: int) -> int:
    """So many times the width."""
    ratio = keys.value("mlp_ratio")
    if not isinstance(ratio, int | float) or not 0 < ratio < 1000:
        message = f"'mlp_ratio' = {shown(ratio)} is not modelled"
        raise InputError("mlp_ratio", message, code="key_not_modelled", key="mlp_ratio", found=shown(ratio))
    return whole("mlp_ratio", int(d * ratio))
