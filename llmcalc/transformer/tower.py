"""What stands beside a language model: towers for images and sound, what projects them, layers that predict ahead.

Also the plain layers that these are made of, and that a language model has no kind of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DOSOVITSKIY_2020
from llmcalc.transformer.linear import linear_bias, linear_parameters
from llmcalc.transformer.model import Block, stacked_parameters
from llmcalc.transformer.part import HEAD_TABLE, TOKEN_TABLE, Matrix, Part, Share, matrices, of_rank

VISION, AUDIO, PROJECTOR, PREDICTION = BESIDE = ("vision_tower", "audio_tower", "projector", "mtp")


@formula(r"W_\text{conv}", "parameters", DOSOVITSKIY_2020.at("sec. 3.1, patch embedding"))
def convolution_parameters(*, channels, kernel, width):
    """Convolution, of the pixels of a patch say: a weight for each channel in, place of the kernel and channel out."""
    return channels * kernel * width


@formula("v", "parameters", DOSOVITSKIY_2020.at("sec. 3.1, learnable embedding"))
def vectors_parameters(*, count, width):
    """Learned vectors that are added, multiplied, or put in front: class tokens, queries of a resampler, scales."""
    return count * width


@dataclass(frozen=True)
class Linear:
    """A linear layer from ``d_in`` to ``d_out`` channels, of which serving engines deal ``dealt`` ("d_in" or "d_out")
    out to tensor parallel ranks; "" stands for neither."""

    d_in: int
    d_out: int
    bias: bool = True
    id: str = "linear"
    component: str = PROJECTOR
    dealt: str = ""

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        if self.bias:
            parts.append(linear_bias(d_out=self.d_out))
        return total(self.id, "N", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        return (Matrix("linear", self.d_in, linear_parameters(d_in=self.d_in, d_out=self.d_out)),)

    def of_rank(self, share: Share) -> Linear:
        d_in = share.of(self.d_in) if self.dealt == "d_in" else self.d_in
        d_out = share.of(self.d_out) if self.dealt == "d_out" else self.d_out
        return replace(self, d_in=d_in, d_out=d_out)


@dataclass(frozen=True)
class Convolution:
    """A convolution of ``channels`` with a kernel of so many places to ``width`` channels."""

    channels: int
    width: int
    kernel: int
    bias: bool = True
    id: str = "patch_embedding"
    component: str = VISION

    def parameters(self) -> Quantity:
        parts = [convolution_parameters(channels=self.channels, kernel=self.kernel, width=self.width)]
        if self.bias:
            parts.append(linear_bias(d_out=self.width))
        return total(self.id, "N", *parts)


@dataclass(frozen=True)
class Vectors:
    """``count`` learned vectors."""

    count: int
    width: int
    id: str = "vectors"
    component: str = VISION

    def parameters(self) -> Quantity:
        return total(self.id, "N", vectors_parameters(count=self.count, width=self.width))


@dataclass(frozen=True)
class Tower:
    """A stack of its own beside the language model, as one part of the whole: what is in front, layers, what follows.

    A token of text does not go through it. Unless it ``trains`` it is frozen: its weights are there, and that is all.
    """

    front: tuple[Part, ...] = ()
    blocks: tuple[tuple[Block, int], ...] = ()
    back: tuple[Part, ...] = ()
    id: str = VISION
    component: str = VISION
    trains: bool = False

    def parameters(self) -> Quantity:
        stacks = [
            stacked_parameters(count=count, block_parameters=block.parameters()).named(f"{block.name}s")
            for block, count in self.blocks
        ]
        parts = [part.parameters() for part in self.front]
        return total(self.id, r"N_\text{beside}", *parts, *stacks, *(part.parameters() for part in self.back))

    def fixed_parameters(self) -> tuple[Quantity, ...]:
        """All of them, unless it trains."""
        return () if self.trains else (self.parameters(),)

    def of_rank(self, share: Share) -> Tower:
        """Its layers are dealt out as a language model's are."""
        blocks = tuple((block.of_rank(share), count) for block, count in self.blocks)
        front, back = (tuple(of_rank(part, share) for part in parts) for parts in (self.front, self.back))
        return replace(self, front=front, blocks=blocks, back=back)

    def training(self, trains: bool) -> Tower:
        return replace(self, trains=trains)

    def converted(self) -> tuple[tuple[int, str, Matrix], ...]:
        """Those of the layers that predict ahead, which are like the model's: towers are published in 16 bits."""
        if self.component != PREDICTION:
            return ()
        inside = ((count, part) for block, count in self.blocks for part in block.parts)
        return tuple(
            (count, part.component, matrix)
            for count, part in inside
            for matrix in matrices(part)
            if matrix.role not in (TOKEN_TABLE, HEAD_TABLE)
        )
