"""Models that also paint: an encoder of pictures to entries of a codebook, and a decoder back (Janus).

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.towers.backbones import numbers_of
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    encoder_layer,
    inner_of,
    layers_as_tower,
    layers_of,
    patches_of,
    projector_of,
    square_of,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import PROJECTOR, VISION, Convolution, Linear, Tower, Vectors


def _residual(d_in: int, d: int) -> tuple[Part, ...]:
    """Two convolutions, each behind a norm, and a third where the width changes."""
    found: tuple[Part, ...] = (
        LayerNorm(d_in, "convolution_norm"),
        Convolution(d_in, d, 9, id="first_convolution"),
        LayerNorm(d, "inner_norm"),
        Convolution(d, d, 9, id="second_convolution"),
    )
    return found if d_in == d else (*found, Convolution(d_in, d, 1, id="third_convolution"))


def _attends(d: int) -> tuple[Part, ...]:
    return LayerNorm(d, "attention_norm"), Attention(d, 1, 1, d, True, True, sees="all")


def _level(d_in: int, d: int, number: int, attends: bool, sampled: bool, name: str) -> Tower:
    """So many residual layers of one size of the picture, and a convolution to the next size."""
    also = _attends(d) if attends else ()
    blocks = [(Block((*_residual(d_in, d), *also), "first_block"), 1), (Block((*_residual(d, d), *also)), number - 1)]
    back = (Convolution(d, d, 9, id="downsampling"),) if sampled else ()
    return Tower((), tuple((block, count) for block, count in blocks if count), back, name, VISION)


def _codec(q: Keys, inwards: bool) -> Tower:
    """From pixels to vectors of the codebook's kind, or back: levels, and two layers around attention."""
    times, number, latent = numbers_of(q, "channel_multiplier"), q.size("num_res_blocks"), q.size("latent_channels")
    base, n = q.size("base_channels"), len(times)
    deepest = base * times[-1]
    middle = (Block(_residual(deepest, deepest), "merger_block"), 2)
    levels: list[Part] = []
    if inwards:
        ins = [base, *(base * t for t in times[:-1])]
        for i, (d_in, t) in enumerate(zip(ins, times, strict=True), 1):
            levels.append(_level(d_in, base * t, number, i == n, i < n, f"stage_{i}"))
        out = latent * (2 if q.flag("double_latent") else 1)
        entry = Convolution(q.size("in_channels"), base, 9, id="patch_embedding")
        ends = (LayerNorm(deepest, "final_norm"), Convolution(deepest, out, 9, id="third_convolution"))
        return Tower((entry, *levels), (middle,), (*_attends(deepest), *ends), "second_tower", VISION)
    d_in = deepest
    for i, t in enumerate(reversed(times), 1):
        levels.append(_level(d_in, base * t, number + 1, i == 1, i < n, f"stage_{i}"))
        d_in = base * t
    entry = Convolution(latent, deepest, 9, id="patch_embedding")
    ends = (LayerNorm(d_in, "final_norm"), Convolution(d_in, q.size("out_channels"), 9, id="third_convolution"))
    return Tower((entry, *_attends(deepest), *levels), (middle,), ends, "picture_decoder", VISION)


def _vision(v: Keys) -> Tower:
    """SigLIP without its head."""
    v.refuse_other_than("use_qk_norm", (False,))
    d, bias = v.size("hidden_size"), v.flag("attention_bias")
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v)),
        LearnedPositions(patches_of(v), d),
    ]
    layer = encoder_layer(v, inner=inner_of(v, d), qkv_bias=bias)
    return layers_as_tower(front, layer, layers_of(v), [LayerNorm(d, "final_norm")])


def _janus(w: Whole) -> Sequence[Tower]:
    """A tower to see with; to paint with, a codebook, a table and a head for its entries, and what turns them back."""
    v, q = w.vision, w.towers["vq_config"]
    seen, painted = v.size("projection_dim"), q.size("projection_dim")
    codes, width, latent = q.size("num_embeddings"), q.size("embed_dim"), q.size("latent_channels")
    aligner = projector_of(
        Linear(v.size("hidden_size"), seen), *(Linear(seen, seen) for _ in range(layers_of(v, "depth") - 1))
    )
    image = q.size("image_token_embed_dim")
    generation = projector_of(
        Vectors(2 * codes, width, "visual_embedding", PROJECTOR),
        Convolution(latent, width, 1, id="first_convolution", component=PROJECTOR),
        Convolution(width, latent, 1, id="second_convolution", component=PROJECTOR),
        Linear(width, painted),
        *(Linear(painted, painted) for _ in range(layers_of(q) - 1)),
        Linear(image, q.size("projection_dim")),
        Linear(q.size("projection_dim"), codes),
    )
    return _vision(v), aligner, _codec(q, True), _codec(q, False), replace(generation, id="second_projector")


READERS: Mapping[str, Reader] = {"janus": _janus}
