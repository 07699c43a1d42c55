"""What every part of a Transformer can say of itself.

Nobody else knows what kind a part is: what depends on that is asked of it. A part answers the questions of `Part`, and
of those protocols below that fit it; for the others a function of the same name says what holds for parts without an
answer (`matrices`: it has none).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeGuard, TypeVar, runtime_checkable

from llmcalc.quantity import Quantity

# mypy: disable-error-code="type-abstract"

# What a reader is told of parts: the switches of a plain decoder, and attention whose cache has no heads
TRAITS = ("gated", "ffn_bias", "attention_bias", "RMSNorm", "learned", "latent")
# The roles of the two matrices that are as long as the vocabulary
TOKEN_TABLE, HEAD_TABLE = "embedding", "head"


@dataclass(frozen=True)
class Matrix:
    """Weights in rows: what a token's vector is multiplied with, or looked up in.

    ``role`` is "query", "down" …, the same in every kind of part, ``width`` how many numbers a row has, as many as the
    product reads. ``experts`` is how many experts have one each, of which a router chooses; 0: it is no expert's.
    """

    role: str
    width: int
    parameters: Quantity
    experts: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers there are, of all experts together."""
        return max(1, self.experts) * int(self.parameters.value)

    @property
    def rows(self) -> int:
        """How many rows they stand in."""
        return self.numbers // self.width

    def of_experts(self, number: int) -> Matrix:
        """The same matrix, of which each of so many experts has one."""
        return replace(self, experts=number)


@dataclass(frozen=True)
class Width:
    """A side of a part's weights and activations that tensor parallelism deals out, by the name it has in a step.

    Ranks must divide ``number``. Where it ``may_repeat``, fewer than the ranks are there on every rank (key/value
    heads); where it ``may_pad``, it is filled up (a vocabulary). ``joins`` are the widths that stand in it side by side
    where one product gives them all: each is dealt out for itself.
    """

    name: str
    number: int
    may_repeat: bool = False
    may_pad: bool = False
    joins: tuple[Width, ...] = ()


class Heads(NamedTuple):
    """``n_heads`` of queries, ``n_kv_heads`` of keys and values, each ``d_head`` wide."""

    n_heads: int
    n_kv_heads: int
    d_head: int


class Part(Protocol):
    """One module of a model: an embedding, an attention, a feed-forward network, a norm, a head.

    ``component`` groups parts under one name and one colour; ``id`` tells parts of one block apart. A part is a value:
    it does not change, and what was worked out of it can be kept by it.
    """

    def __hash__(self) -> int: ...

    @property
    def id(self) -> str: ...

    @property
    def component(self) -> str: ...

    def parameters(self) -> Quantity:
        """Trainable parameters, a `total` over the part's own weights and biases."""
        ...


@runtime_checkable
class Sparse(Part, Protocol):
    """A part of which a token uses only some: ``top_k`` of the ``n_experts`` of a mixture."""

    @property
    def n_experts(self) -> int: ...

    @property
    def top_k(self) -> int: ...

    def active_parameters(self) -> Quantity:
        """The parameters that one token goes through."""
        ...


@runtime_checkable
class Fixed(Part, Protocol):
    """A part that may keep parameters which do not train: the model's code sets them, and no gradient reaches them."""

    def fixed_parameters(self) -> tuple[Quantity, ...]:
        """Those of its parameters."""
        ...


@runtime_checkable
class Freezable(Part, Protocol):
    """A part beside the language model that trains with it, or is frozen."""

    def training(self, trains: bool) -> Part:
        """The same part, which trains or does not."""
        ...


@runtime_checkable
class Converted(Part, Protocol):
    """A part beside the language model of which quantised files convert something."""

    def converted(self) -> tuple[tuple[int, str, Matrix], ...]:
        """Its matrices that they convert, each with how many layers have it and the component that it is of."""
        ...


@runtime_checkable
class Scoring(Part, Protocol):
    """A part that scores experts: most formats leave its matrix in 16 bits."""

    def score_matrix(self) -> Matrix:
        """What a token's vector is multiplied with for its scores."""
        ...


@runtime_checkable
class Multiplying(Part, Protocol):
    """A part with `Matrix`es: formats for linear layers quantise them, and pruning zeroes them."""

    def matrices(self) -> tuple[Matrix, ...]:
        """Its matrices; norms, biases and learned numbers of another use are none."""
        ...


@runtime_checkable
class Divided(Part, Protocol):
    """A part that tensor parallelism deals out over ranks: by heads, by inner channels, by the vocabulary."""

    def widths(self) -> tuple[Width, ...]:
        """All sides that are dealt out; the first is the one that its weights are dealt out by."""
        ...


class Share(NamedTuple):
    """One of how many ranks of tensor parallelism (``tensor``), which deal out whole experts among ``experts`` ranks,
    or slices of each where that is 1; a vocabulary is filled up to a multiple of ``vocabulary_step`` first."""

    tensor: int = 1
    experts: int = 1
    vocabulary_step: int = 1

    def of(self, number: int) -> int:
        """A rank's share of so many heads or channels: where they cannot be dealt out evenly, the largest."""
        return -(-number // self.tensor)

    def of_vocabulary(self, number: int) -> int:
        """A rank's rows of a table as long as the vocabulary."""
        return self.of(-(-number // self.vocabulary_step) * self.vocabulary_step)


@runtime_checkable
class Shared(Part, Protocol):
    """A part of which each rank of an engine has a share, as narrow a part of the same kind."""

    def of_rank(self, share: Share) -> Part:
        """What one rank has of it."""
        ...


@runtime_checkable
class Prunable(Part, Protocol):
    """A part of which heads, or inner channels, can be taken out, while the width of the model stays."""

    def pruned(self, share: float) -> Part:
        """What is left where ``share`` of them stays; at least one of everything does."""
        ...


@runtime_checkable
class Norm(Part, Protocol):
    """A norm over ``width`` channels."""

    @property
    def width(self) -> int: ...

    def over(self, width: int) -> Norm:
        """The same norm over so many channels."""
        ...


@runtime_checkable
class Told(Part, Protocol):
    """A part of which a reader is told more than its sizes."""

    @property
    def traits(self) -> frozenset[str]:
        """What is true of it, of `TRAITS`."""
        ...


@runtime_checkable
class Network(Part, Protocol):
    """A part that works on each token alone: a feed-forward network, or a mixture of them."""

    @property
    def inner_width(self) -> int:
        """Inner channels that one token goes through."""
        ...

    @property
    def gated(self) -> bool: ...


@runtime_checkable
class Caching(Part, Protocol):
    """A part that can keep something for every token it has seen, so that generation need not compute it again.

    ``sees`` is "past" (a decoder's own tokens: the cache grows with them), "all" (an encoder: nothing is kept) or
    "source" (cross-attention: one entry for each token of the encoder). ``cache_window`` bounds how many are kept.
    """

    @property
    def sees(self) -> str: ...

    @property
    def cache_window(self) -> int | None: ...

    def kv_elements_per_token(self) -> Quantity:
        """Numbers kept for one token in one layer."""
        ...

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        """Numbers kept once ``seq_len`` tokens have been seen, never more than the window holds."""
        ...


class Kept(NamedTuple):
    """What one layer keeps of a token: keys of ``key_width`` numbers and values of ``value_width``, for at most
    ``window`` tokens. Where nothing tells the two apart all counts as keys."""

    key_width: float
    value_width: float
    window: int | None


@runtime_checkable
class KeepsValues(Caching, Protocol):
    """A part that keeps keys and values of heads."""

    @property
    def value_width(self) -> int:
        """How many of the numbers that it keeps of a token are values."""
        ...


class State(NamedTuple):
    """``elements`` that one layer keeps of a sequence however long it is; in ``fp32`` where the code says so, else in
    the format of its activations. ``kind`` is "memory" (a recurrent state), or "inputs" (the last ones, of a
    convolution)."""

    elements: Quantity
    fp32: bool
    kind: str = "memory"

    @property
    def of_past(self) -> int:
        """How many of them engines keep: of a convolution's inputs not the present one, which is at hand."""
        taps = self.elements.inputs.get("d_conv")
        number = int(self.elements.value)
        return number if taps is None else number * (taps.value - 1) // taps.value


@runtime_checkable
class Recurrent(Part, Protocol):
    """A part that keeps a state: what it knows of all tokens that it has seen, in a size that does not grow."""

    def states(self) -> tuple[State, ...]:
        """What it keeps of one sequence."""
        ...


@runtime_checkable
class Reusing(Part, Protocol):
    """A part that runs weights which stand in another layer, and are counted there."""

    def reused_parameters(self) -> Quantity:
        """The weights that one token goes through once more."""
        ...


@runtime_checkable
class Mixing(Part, Protocol):
    """A part in which tokens meet, attention of any kind: work of its own, over and above that of its weights.

    ``sees`` is as in `Caching`. A token sees ``window`` tokens, None for all.
    """

    @property
    def d_model(self) -> int: ...

    @property
    def sees(self) -> str: ...

    @property
    def window(self) -> int | None: ...

    @property
    def heads(self) -> Heads:
        """Its heads, or those of the plain attention whose activations are about as large."""
        ...

    @property
    def normed_widths(self) -> tuple[int, ...]:
        """How many channels queries of all heads have, and keys, where a norm of the layer may stand on all at once."""
        ...

    def pruned(self, share: float) -> Mixing:
        """As of `Prunable`."""
        ...

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        """Operations for one token in one layer, averaged over a sequence of ``seq_len`` in which it sees the past."""
        ...


@runtime_checkable
class Regrouped(Part, Protocol):
    """Attention that could have other key/value heads, and no window: what sharing and windows save is told by that."""

    @property
    def sees(self) -> str: ...

    @property
    def n_heads(self) -> int: ...

    def with_kv_heads(self, n_kv_heads: int) -> Part:
        """Attention of the same query heads to all that it may see, with so many key/value heads of their own."""
        ...

    def without_window(self) -> Part:
        """The same part, to all that it may see."""
        ...


Asked = TypeVar("Asked", bound=Part)
_ANSWERS: dict[tuple[type, type], bool] = {}  # parts of one class answer the same questions, and Python is slow to see


def _answers(part: Part, asked: type[Asked]) -> TypeGuard[Asked]:
    """Whether a part answers the questions of a protocol."""
    pair = (type(part), asked)
    if pair not in _ANSWERS:
        _ANSWERS[pair] = isinstance(part, asked)
    return _ANSWERS[pair]


def active_parameters(part: Part) -> Quantity:
    """The parameters of ``part`` that one token goes through: all, but for the experts not chosen."""
    return part.active_parameters() if _answers(part, Sparse) else part.parameters()


def mixers(parts: Iterable[Part]) -> tuple[Mixing, ...]:
    """Those parts in which tokens meet."""
    return tuple(part for part in parts if _answers(part, Mixing))


def networks(parts: Iterable[Part]) -> tuple[Network, ...]:
    """Those parts that work on each token alone."""
    return tuple(part for part in parts if _answers(part, Network))


def mixtures(parts: Iterable[Part]) -> tuple[Sparse, ...]:
    """Those parts of which a token uses only some."""
    return tuple(part for part in parts if _answers(part, Sparse))


def caching(parts: Iterable[Part]) -> tuple[Caching, ...]:
    """Those parts that keep something of each token."""
    return tuple(part for part in parts if _answers(part, Caching))


def fixed_parameters(part: Part) -> tuple[Quantity, ...]:
    """Those of its parameters that do not train."""
    return part.fixed_parameters() if _answers(part, Fixed) else ()


def training(part: Part, trains: bool) -> Part:
    """The same part, which trains or not where it can be frozen."""
    return part.training(trains) if _answers(part, Freezable) else part


def linear_beside(part: Part) -> tuple[tuple[int, str, Matrix], ...]:
    """Of a part beside the language model, the matrices that quantised files convert: how many alike, of which
    component, and one of them."""
    return part.converted() if _answers(part, Converted) else ()


def score_matrices(part: Part) -> tuple[Matrix, ...]:
    """The matrix of a router, none of any other part."""
    return (part.score_matrix(),) if _answers(part, Scoring) else ()


def matrices(part: Part) -> tuple[Matrix, ...]:
    """Those of its weights that are a matrix; none that a head too narrow to be cut up has no column of."""
    return tuple(m for m in part.matrices() if m.width) if _answers(part, Multiplying) else ()


def with_kv_heads(part: Part, n_kv_heads: Callable[[int], int]) -> Part:
    """Where it is attention to the past, the same with other key/value heads, their number told by that of the query
    heads, and without a window."""
    if not _answers(part, Regrouped) or part.sees != "past":
        return part
    return part.with_kv_heads(n_kv_heads(part.n_heads))


def without_window(part: Part) -> Part:
    """Where it is attention to the past, the same without a window."""
    if not _answers(part, Regrouped) or part.sees != "past":
        return part
    return part.without_window()


def kept(part: Part) -> tuple[Kept, ...]:
    """What it keeps of each token of a decoder's own."""
    if not _answers(part, Caching) or part.sees != "past":
        return ()
    values = part.value_width if _answers(part, KeepsValues) else 0
    width = part.kv_elements_per_token().value
    return (Kept(width - values, values, part.cache_window),) if width else ()


def states(part: Part) -> tuple[State, ...]:
    """What it keeps of a sequence however long it is."""
    return part.states() if _answers(part, Recurrent) else ()


def reused_parameters(part: Part) -> tuple[Quantity, ...]:
    """Weights of other layers that it runs."""
    return (part.reused_parameters(),) if _answers(part, Reusing) else ()


def widths(part: Part) -> tuple[Width, ...]:
    """By what tensor parallelism deals it out: nothing, where every rank has all of it."""
    return part.widths() if _answers(part, Divided) else ()


def of_rank(part: Part, share: Share) -> Part:
    """What one rank has of it: all, where it is not dealt out."""
    return part.of_rank(share) if _answers(part, Shared) else part


def pruned(part: Part, share: float) -> Part:
    """What is left of it where ``share`` of its heads or inner channels stays: all, where it has none."""
    return part.pruned(share) if _answers(part, Prunable) else part


def fewer(number: int, share: float) -> int:
    """How many are left of so many where ``share`` of them stays: one at least."""
    return max(1, round(number * share))


def norms(parts: Iterable[Part]) -> tuple[Norm, ...]:
    """Those parts that are norms."""
    return tuple(part for part in parts if _answers(part, Norm))


def traits(parts: Iterable[Part]) -> frozenset[str]:
    """What is true of some of the parts, of `TRAITS`."""
    return frozenset(trait for part in parts if _answers(part, Told) for trait in part.traits)
