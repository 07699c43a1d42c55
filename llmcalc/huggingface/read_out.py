"""Decoders that write what an encoder of images or sound has taken in: that encoder is a tower beside them.

One entry a model_type, read from the model class of that name; how it runs them was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.family import T5_NAMES, Family, stack
from llmcalc.huggingface.keys import Keys, shown
from llmcalc.huggingface.pairs import T5Recipe, build_t5
from llmcalc.huggingface.plan import Kit, Layer, planned
from llmcalc.huggingface.stack import POST, PRE, Recipe, build, head_width
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions, RelativeBias
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import Convolution


def _crossing(kit: Kit) -> Sequence[Layer]:
    """A decoder's layers, which attend to what was taken in between themselves and their network."""
    cross = kit.plain(sees="source", id="cross_attention")
    layer = (
        *(*kit.norm("attention_norm"), kit.plain(), *kit.norm("cross_attention_norm"), cross),
        *(*kit.norm("feed_forward_norm"), *kit.network()),
    )
    return [(("dense",), layer)] * kit.n_layers


def _pix2struct(kit: Kit) -> Sequence[Layer]:
    """T5's layers, each with gates in its network."""
    keys, d = kit.keys, kit.d_model
    n_heads = keys.dimension("n_heads")
    own = Attention(d, n_heads, n_heads, head_width(replace(keys, dimensions={}), d, n_heads))
    layer = (
        *(RMSNorm(d, "attention_norm"), own, RMSNorm(d, "cross_attention_norm")),
        *(replace(own, sees="source", id="cross_attention"), RMSNorm(d, "feed_forward_norm")),
        FeedForward(d, keys.dimension("d_ff"), True),
    )
    return [(("dense",), layer)] * kit.n_layers


def _speecht5(keys: Keys, task: str) -> Model:
    """From speech to text; its other classes, which speak, are not modelled."""
    named = keys.config.get("architectures") or ["SpeechT5ForSpeechToText"]
    if task != "language model" or named[0] != "SpeechT5ForSpeechToText":
        raise InputError("architectures", f"'architectures' = {shown(named[0])} is not modelled",
                         ("SpeechT5ForSpeechToText",), code="key_not_modelled", key="architectures",
                         found=shown(named[0]))  # fmt: skip
    return build(keys, replace(_BIASED, layout=POST, final_norm=False, cross=True), task)


def _udop(keys: Keys, task: str) -> Model:
    """T5 that also reads where words stand on a page, and patches of its image."""
    model = build_t5(keys, T5Recipe(), task)
    d, n_heads = keys.dimension("d_model"), keys.dimension("n_heads")
    patch = keys.size("num_channels"), d, keys.size("patch_size") ** 2
    kinds = _kinds_of_bias(keys) + 32 * (task == "base")  # the class without a head does not share T5's
    front: list[Part] = [
        Convolution(*patch, component="embedding"),
        LearnedPositions(2 * keys.size("max_2d_position_embeddings"), d, "page_positions"),
        *(RelativeBias(kinds, n_heads, f"{of}_page_bias") for of in ("encoder", "decoder")[: 1 + (task != "encoder")]),
    ]
    if task != "encoder":
        front.append(Convolution(*patch, id="second_convolution", component="embedding"))
    return replace(model, front=(*model.front, *front))


def _kinds_of_bias(keys: Keys) -> int:
    """Buckets of the biases by place on the page, all together: 32 of each kind but that of T5."""
    listed: Any = keys.value("relative_bias_args")
    if not isinstance(listed, list | tuple) or any(
        not isinstance(entry, Mapping) or set(entry) - {"type", "num_heads"} for entry in listed
    ):
        key, found = "relative_bias_args", shown(listed)
        raise InputError(key, f"{key!r} = {found} is not modelled", code="key_not_modelled", key=key, found=found)
    kinds = [entry.get("type") for entry in listed]
    if kinds.count("1d") != 1 or len(kinds) < 2:
        key, found = "relative_bias_args", shown(listed)
        raise InputError(key, f"{key!r} = {found} is not modelled", code="key_not_modelled", key=key, found=found)
    return 32 * (len(kinds) - 1)


_BIASED = Recipe(norm=LayerNorm, qkv_bias=True, output_bias=True, gated=False, ffn_bias=True)
_ASR = replace(_BIASED, qkv_bias="attention_bias", output_bias="attention_bias", embedding_norm=True, head_bias=True)
_DECODER = {
    **{"d_model": "d_model", "n_layers": "decoder_layers", "n_heads": "decoder_attention_heads"},
    **{"d_ff": "decoder_ffn_dim", "vocab_size": "vocab_size"},
}
READ_OUT: Mapping[str, Family] = {
    "pix2struct_text_model": planned(
        Recipe(),
        _pix2struct,
        {
            **{"d_model": "hidden_size", "n_layers": "num_layers", "n_heads": "num_heads"},
            **{"d_ff": "d_ff", "vocab_size": "vocab_size"},
        },
        before=lambda kit: (
            RelativeBias(kit.keys.size("relative_attention_num_buckets"), kit.keys.dimension("n_heads")),
        ),
    ),
    "pp_formulanet_text": stack(
        replace(_BIASED, layout=PRE, positions=2, embedding_norm=True, cross=True),
        {**_DECODER, "n_positions": "max_position_embeddings"},
    ),
    "canary_decoder": planned(_ASR, _crossing),
    "cohere_asr": planned(replace(_ASR, positions=0), _crossing),
    "speecht5": Family(_speecht5, {**_DECODER, "d_model": "hidden_size"}),
    "udop": Family(
        _udop,
        T5_NAMES,
        defaults={"relative_bias_args": [{"type": "1d"}, {"type": "horizontal"}, {"type": "vertical"}]},
    ),
}
