"""A decoder-only Transformer from the numbers that a reader turns: what every slider of the dashboard sets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from llmcalc.errors import InputError
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.code import PLAIN
from llmcalc.transformer.embedding import LearnedPositions, TokenEmbedding
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Head
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.norm import NORMS
from llmcalc.transformer.part import Heads, networks

POSITIONS = ("learned", "none")


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """Shape of a decoder-only model; the default is GPT-2 small as published.

    ``d_head``, ``n_kv_heads`` and ``d_ff`` may be None: then d_model / n_heads, n_heads and 4 × d_model.
    ``positions`` is "learned" (a table of n_positions) or "none" (rotary, ALiBi, sinusoidal: no parameters).
    ``norm`` is a key of `NORMS`. Raises InputError for a size below one and for an unknown norm or kind of positions.
    """

    d_model: int = 768
    n_layers: int = 12
    n_heads: int = 12
    vocab_size: int = 50257
    d_ff: int | None = None
    n_kv_heads: int | None = None
    d_head: int | None = None
    gated: bool = False
    attention_bias: bool = True
    ffn_bias: bool = True
    norm: str = "LayerNorm"
    final_norm: bool = True
    positions: str = "learned"
    n_positions: int = 1024
    tied_head: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise InputError(field.name, f"{field.name} must be at least 1, not {value}")
        for name, options in (("norm", NORMS), ("positions", POSITIONS)):
            if getattr(self, name) not in options:
                raise InputError(name, f"unknown {name} {getattr(self, name)!r}; known: {', '.join(options)}")

    def head_width(self) -> int:
        """d_head as given, or d_model / n_heads.

        Raises InputError, with the nearest numbers of heads that do divide, where that is no whole number.
        """
        if self.d_head is not None:
            return self.d_head
        if self.d_model % self.n_heads:
            raise InputError(
                "n_heads",
                f"{self.n_heads} heads do not divide d_model = {self.d_model:,}",
                nearest_divisors(self.d_model, self.n_heads),
                code="heads_do_not_divide",
                n_heads=self.n_heads,
                d_model=self.d_model,
            )
        return self.d_model // self.n_heads

    def kv_heads(self) -> int:
        """n_kv_heads as given, or n_heads (multi-head attention).

        Raises InputError where the query heads cannot be shared out evenly among the key/value heads.
        """
        kv = self.n_heads if self.n_kv_heads is None else self.n_kv_heads
        if self.n_heads % kv:
            raise InputError(
                "n_kv_heads",
                f"{self.n_heads} heads cannot share {kv} key/value heads evenly",
                nearest_divisors(self.n_heads, kv),
                code="kv_heads_do_not_divide",
                n_heads=self.n_heads,
                n_kv_heads=kv,
            )
        return kv

    def ffn_width(self) -> int:
        """d_ff as given, or 4 × d_model."""
        return 4 * self.d_model if self.d_ff is None else self.d_ff

    @property
    def is_nanogpt(self) -> bool:
        """Whether nanoGPT builds such a model: GPT-2's layers, of any size."""
        like_gpt2 = self.norm == "LayerNorm" and self.positions == "learned" and self.final_norm and self.tied_head
        return like_gpt2 and not self.gated and self.kv_heads() == self.n_heads

    def problems(self) -> tuple[InputError, ...]:
        """All that is contradictory in these dimensions, each naming its input; empty for a sound model."""
        found = []
        for check in (self.head_width, self.kv_heads):
            try:
                check()
            except InputError as error:
                found.append(error)
        return tuple(found)

    def mended(self) -> Dimensions:
        """The nearest sound dimensions: d_head rounded down, as many key/value heads as the nearest divisor."""
        sound = self
        if self.d_head is None and self.d_model % self.n_heads:
            sound = replace(sound, d_head=max(1, self.d_model // self.n_heads))
        kv = self.n_kv_heads
        if kv is not None and self.n_heads % kv:
            sound = replace(sound, n_kv_heads=min(nearest_divisors(self.n_heads, kv), key=lambda n: abs(n - kv)))
        return sound

    def model(self) -> Model:
        """The model as a list of parts.

        Raises InputError for contradictory dimensions.
        """
        d, norm = self.d_model, NORMS[self.norm]
        attention = Attention(
            d, self.n_heads, self.kv_heads(), self.head_width(), self.attention_bias, self.attention_bias
        )
        block = Block(
            (
                norm(d, "attention_norm"),
                attention,
                norm(d, "feed_forward_norm"),
                FeedForward(d, self.ffn_width(), self.gated, self.ffn_bias),
            )
        )
        positions = (LearnedPositions(self.n_positions, d),) if self.positions == "learned" else ()
        return Model(
            front=(TokenEmbedding(self.vocab_size, d), *positions),
            blocks=((block, self.n_layers),),
            back=(
                *((norm(d, "final_norm"),) if self.final_norm else ()),
                *(() if self.tied_head else (Head(self.vocab_size, d),)),
            ),
            code=replace(
                PLAIN,
                norm="layer_norm" if self.norm == "LayerNorm" else "fused_rms",
                buffers="masks" if positions else "",
                buffers_unfused_only=True,
                n_positions=self.n_positions,
            ),
        )


def plain_sizes(model: Model) -> Dimensions:
    """Dimensions of the plain decoder whose layers are about as large as this model's.

    Heads are those of the first layer that has any, else one as wide as the model; the feed-forward width is the mean
    over layers of what one token goes through, shared and chosen experts added up.
    """
    found = [(network, count) for block, count in model.blocks for network in networks(block.parts)]
    heads = next((mixer.heads for mixer in model.mixers), Heads(1, 1, model.width))
    width = round(sum(network.inner_width * count for network, count in found) / model.n_layers)
    return Dimensions(
        d_model=model.width,
        n_layers=model.n_layers,
        n_heads=heads.n_heads,
        vocab_size=model.vocab_size,
        d_ff=max(1, width),
        n_kv_heads=heads.n_kv_heads,
        d_head=heads.d_head,
        gated=any(network.gated for network, _ in found),
        positions="none",
        tied_head=model.tied,
    )


def nearest_divisors(number: int, near: int) -> tuple[int, ...]:
    """The divisors of ``number`` on either side of ``near``, ascending."""
    divisors = {d for low in range(1, int(number**0.5) + 1) if number % low == 0 for d in (low, number // low)}
    below = [d for d in divisors if d <= near]
    above = [d for d in divisors if d > near]
    return tuple(filter(None, (max(below, default=0), min(above, default=0))))
