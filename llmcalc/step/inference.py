"""Inference with transformers: a prompt in one pass, then token by token, simulated on the tape of a training step.

The cache is the one that transformers fills: of Falcon's new decoder keys and values spread over all heads of queries,
of which `inference_memory` counts each once, as serving engines keep it.

>>> import llmcalc
>>> memory = llmcalc.inference(llmcalc.from_config({"model_type": "gpt2"}), llmcalc.InferenceRun(seq_len=512))
>>> memory.kv_cache.value  # after two new tokens: 12 layers, keys and values of 768 channels in 2 bytes
18948096
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from llmcalc.cached import cached_property
from llmcalc.catalog.formats import CACHE_FORMATS, STORED_FORMATS
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, total
from llmcalc.sizes import check_size
from llmcalc.step import operations as op
from llmcalc.step.buffers import buffers_memory
from llmcalc.step.course import by_component, nothing, of_category, rounding
from llmcalc.step.decoder import Decoder
from llmcalc.step.pair import is_pair
from llmcalc.step.run import ATTENTIONS, TrainingRun
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Event, Kind, Place, Tape, Tensor
from llmcalc.stored.weights import stored_weights
from llmcalc.transformer.model import Model

CACHES = ("dynamic", "static")
LOGITS = ("last", "all")
_MORE_TOKENS = 64  # that a static cache is made for, beside the prompt, where its length is not given


@dataclass(frozen=True, kw_only=True)
class InferenceRun:
    """One prompt of ``batch_size`` × ``seq_len`` tokens through a model of transformers, and a few tokens after it.

    ``cache``: "dynamic" grows with each token, "static" is made for ``max_cache_len`` tokens (None: 64 more than the
    prompt). ``attention``: "sdpa" takes the fused kernel that PyTorch would, "eager" stores the matrix. ``weights`` and
    ``kv_cache`` are formats of the catalogue; products run in 16 bits, or 32 where the weights are. ``logits``: of the
    "last" token, as `generate` asks, or of "all". ``new_tokens`` are decoded, one by one, before memory is read.

    Raises InputError, naming the field, for an unknown word and for a size below one.
    """

    batch_size: int = 1
    seq_len: int = 512
    cache: str = "dynamic"
    attention: str = "sdpa"
    weights: str = "bf16"
    kv_cache: str = "bf16"
    logits: str = "last"
    max_cache_len: int | None = None
    new_tokens: int = 2

    def __post_init__(self) -> None:
        words = {"cache": CACHES, "attention": ATTENTIONS, "logits": LOGITS}
        for name, known in (words | {"weights": STORED_FORMATS, "kv_cache": tuple(CACHE_FORMATS)}).items():
            if getattr(self, name) not in known:
                raise InputError(name, f"unknown {name} {getattr(self, name)!r}; known: {', '.join(known)}", known)
        for name in ("batch_size", "seq_len", "new_tokens"):
            check_size(name, getattr(self, name))
        if self.max_cache_len is not None and self.max_cache_len < self.seq_len + self.new_tokens:
            least = self.seq_len + self.new_tokens
            raise InputError("max_cache_len", f"max_cache_len must hold the prompt and new tokens: {least}", (least,))

    @property
    def held_tokens(self) -> int:
        """How many tokens a static cache is made for."""
        return self.max_cache_len or self.seq_len + _MORE_TOKENS


class Moment(NamedTuple):
    """A point of the run: what is allocated, and how many pieces of each kind."""

    bytes: int
    alive: dict[Kind, int]


@dataclass
class Passes(Setting):
    """A setting in which nothing is kept for a backward pass, and keys and values go into a cache."""

    asked: InferenceRun = field(default_factory=InferenceRun)
    held: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    indexed: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)  # which later tokens change in place
    caches: bool = True
    done: int = 0  # tokens that went through before this pass
    last: bool = False  # only the last token's logits are wanted,
    is_alone: bool = False  # and nothing but it goes on
    _at: int = 0
    _indexed_at: int = 0
    _lengths: dict[int, Dim] = field(default_factory=dict)

    @property
    def decodes(self) -> bool:
        """Whether it runs one token behind those that are cached."""
        return self.done > 0 or self.is_alone

    def goes_on(self, tokens: int) -> None:
        """Begin a pass of so many tokens behind those that went through."""
        self.tokens, self._at, self._indexed_at, self.is_alone = self._length(tokens), 0, 0, False

    def _length(self, tokens: int) -> Dim:
        """So many tokens, the same object in every layer: what layers hold alike is one term."""
        return self._lengths.setdefault(tokens, Dim("seq_len", tokens))

    def last_goes_on(self, *, masked: bool) -> bool:
        """Without a mask a fused kernel would take one token for the first of a cache that has room for more."""
        fused = self.asked.attention == "sdpa" and not masked
        if self.last and not self.decodes and not (fused and self.asked.cache == "static"):
            self.tokens, self.is_alone = self._length(1), True
        return self.is_alone

    def masked_keys(self, window: int | None) -> Dim:
        """As many as a static cache has room for, or a prompt that is longer; else those that are seen."""
        if self.asked.cache == "static" and self.caches:
            return self._length(self._most(window) if self.done else max(self._most(window), self.tokens.value))
        before = self.done if window is None else min(self.done, window - 1)
        return self._length(before + self.tokens.value)

    def _most(self, window: int | None) -> int:
        """How many tokens a static cache holds."""
        return self.asked.held_tokens if window is None else min(window, self.asked.held_tokens)

    def cached(self, key: Tensor, value: Tensor, window: int | None = None) -> tuple[Tensor, Tensor]:
        """What attention sees: keys and values of this pass and those of before, as transformers' caches keep them."""
        if not self.caches:
            return key, value
        static = self.asked.cache == "static"
        key, value = (self._static if static else self._dynamic)(key, value, window)
        self._sees(key.dims[1].value)
        self._at += 1
        return key, value

    def latent_cached(self, narrow: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
        """The narrow vector and the rotated key, which are all that latent attention caches."""
        return self.cached(narrow, turned)

    def index_cached(self, key: Tensor) -> Tensor:
        """An indexer's keys: each token's, beside those of before."""
        static = self.asked.cache == "static"
        if not self.done or not static:
            most = self.asked.held_tokens if static else self.done + self.tokens.value
            joined = self._joined(key, self._length(most))
            self.indexed[self._indexed_at :] = [joined, *self.indexed[self._indexed_at + 1 :]]
        self._indexed_at += 1
        return self.indexed[self._indexed_at - 1]

    @property
    def keeps_states(self) -> bool:
        """As transformers' caches do, whatever they are for keys and values."""
        return self.caches

    def inputs_kept(self, x: Tensor, width: Dim) -> None:
        """Those of the prompt: a token behind it is written over them."""
        self._keeps((self.batch, x.dims[-1], width), x.dtype)

    def state_kept(self, state: Tensor) -> Tensor | None:
        """The prompt's is copied; that of a later token is written over it."""
        self._keeps(state.dims, state.dtype)
        return state if self.keeps_states else None

    def _keeps(self, dims: Dims, dtype: str) -> None:
        if self.keeps_states and not self.done:
            self.states.append(self.tape.new(dims, dtype, "state", "states"))

    def _sees(self, number: int) -> None:
        self.keys, self.keys_and_sink = self._length(number), Dim("keys_and_sink", number + 1)

    def _dynamic(self, key: Tensor, value: Tensor, window: int | None) -> tuple[Tensor, Tensor]:
        if not self.done:
            joined = self._joined(key, key.dims[1]), self._joined(value, key.dims[1])
            self.held.append(joined)
            return joined
        length = self.masked_keys(window)
        old_key, old_value = self.held[self._at]
        if window is None:  # the old keys go before the values are joined
            new_key = self._joined(key, length)
            self.held[self._at] = new_key, old_value
            del old_key
            new = new_key, self._joined(value, length)
        else:
            new = self._joined(key, length), self._joined(value, length)
        self.held[self._at] = new
        return new

    def _static(self, key: Tensor, value: Tensor, window: int | None) -> tuple[Tensor, Tensor]:
        most = self._most(window)
        if not self.done:
            length = self._length(most)
            self.held.append((self._joined(key, length), self._joined(value, length)))
            return (key, value) if self.tokens.value > most else self.held[-1]
        kept = self.held[self._at]
        if window is not None and self.done >= most:  # rolled by one token, in copies
            rolled = [self._joined(x, x.dims[1], "rolled", None) for x in kept]
            del rolled
        return kept

    def _joined(self, x: Tensor, length: Dim, role: str = "cached", category: str | None = "kv_cache") -> Tensor:
        dims = (x.dims[0], length, *x.dims[2:])
        out = self.tape.new(dims, x.dtype, role, category)
        out.heads_first = True
        return out


@dataclass(frozen=True, eq=False, repr=False)
class Inference:
    """Memory of a prompt and of decoding behind it, in bytes, as the allocator counts what is allocated."""

    model: Model
    run: InferenceRun

    @cached_property
    def weights(self) -> Quantity:
        """Weights as they are stored."""
        return stored_weights(self.model, self.run.weights).named("weights")

    @cached_property
    def buffers(self) -> Quantity:
        """What the model's class registers beside its weights."""
        found = buffers_memory(self.model, self._as_trained, layers=self.model.n_layers)
        return found or nothing("model_buffers", r"M_\text{buffers}")

    @cached_property
    def kv_cache(self) -> Quantity:
        """Keys and values once the new tokens are decoded."""
        return self._in_format(of_category(self._moments[2].alive, "kv_cache"))

    @cached_property
    def states(self) -> Quantity:
        """What layers keep of every sequence however long it is, in formats of their own."""
        return of_category(self._moments[2].alive, "states") or _none_kept()

    @cached_property
    def prefill_peak(self) -> Quantity:
        """The most that is allocated while the prompt is read."""
        return self._peak("prefill_peak", self._moments[0])

    @cached_property
    def decode_peak(self) -> Quantity:
        """The most that is allocated while a token is decoded; of an encoder what stays behind its pass."""
        return self._peak("decode_peak", self._moments[1])

    def _peak(self, id: str, moment: Moment) -> Quantity:
        cache, states = (of_category(moment.alive, kept) for kept in ("kv_cache", "states"))
        simulated = sum(int(kept.value) for kept in (cache, states) if kept is not None)
        stays = [self.weights, self.buffers, self._in_format(cache), states or _none_kept()]
        beside = by_component(moment.alive, "activations", "inputs")
        rest = rounding(moment.bytes - simulated, beside)
        return total(id, r"M_\text{" + id.replace("_", " ") + "}", *(q for q in stays if q.value), *beside, *rest)

    def _in_format(self, cache: Quantity | None) -> Quantity:
        """The cache in its format: the tape holds it in that of the products."""
        if cache is None:
            return nothing("kv_cache", r"M_\text{kv}")
        own, asked = self._as_trained.numbers.weight_bytes, CACHE_FORMATS[self.run.kv_cache].bits / 8
        if own == asked:
            return cache.named("kv_cache", r"M_\text{kv}")
        meaning = "The same numbers in the format of the cache."
        return Quantity("kv_cache", cache.value * asked / own, "bytes", r"M_\text{kv}", meaning=meaning)

    @cached_property
    def _as_trained(self) -> TrainingRun:
        """The run as the modules of a training step know it."""
        run = self.run
        precision = "fp32" if run.weights == "fp32" else "bf16"
        return TrainingRun(batch_size=run.batch_size, seq_len=run.seq_len, precision=precision, attention=run.attention)

    @cached_property
    def _moments(self) -> tuple[Moment, Moment, Moment]:
        """The highest points of the prompt and of the last new token, and the end."""
        return simulated(self.model, self.run, self._as_trained)


def _none_kept() -> Quantity:
    return nothing("states", r"M_\text{states}")


@lru_cache(maxsize=256)
def inference(model: Model, run: InferenceRun) -> Inference:
    """Memory of ``run``: `Inference` has ``kv_cache``, ``prefill_peak`` and ``decode_peak``, quantities in bytes whose
    parts are what is alive then. CUDA's context, workspaces and fragmentation come on top.

    Raises InputError for a model whose code has not been read or caches nothing, or that is none of one stack.
    """
    found = Inference(model, run)
    found._moments  # noqa: B018
    return found


def simulated(model: Model, run: InferenceRun, as_trained: TrainingRun) -> tuple[Moment, Moment, Moment]:
    """Run the passes on the tape."""
    layers = model.layers()
    if model.code is None:
        raise InputError("model", "how this family's code runs its layers is not known", code="no_code")
    if is_pair(layers):
        raise InputError("model", "inference of a model of two stacks is not simulated", code="no_code")
    if not model.code.caches:
        raise InputError("model", "inference of a class that caches nothing is not simulated", code="no_cache")
    tape = Tape(as_trained.numbers.autocast)
    tape.records = False
    s = Passes(tape, as_trained, model.code, bool(model.mixtures), asked=run)
    s.caches = model.keeps_states or any(block.caches() for block, _ in model.blocks)
    decoder = Decoder(s, model, layers)
    begins = len(tape.events)
    ids = tape.new(s.rows(), "int64", "ids", "inputs")
    _pass(decoder, s, ids, run.logits)
    after_prompt = len(tape.events)
    s.done = run.seq_len
    token, starts = ids, after_prompt
    for _ in range(run.new_tokens if s.caches else 0):  # an encoder, which caches nothing, writes nothing
        starts = len(tape.events)
        s.goes_on(1)
        token = tape.new(s.rows(), "int64", "ids", "inputs")
        _pass(decoder, s, token, "last")
        s.done += 1
    events = list(tape.events)
    del token
    prompt = _highest(events[begins:after_prompt], {})
    return prompt, _highest(events[starts:], _alive(events[:starts])), _moment(_alive(events))


def _pass(decoder: Decoder, s: Passes, ids: Tensor, logits: str) -> None:
    """One pass of the model's code without a gradient, and its logits."""
    tape = s.tape
    tape.place, s.last = Place("forward", "front"), logits == "last"
    hidden = decoder.hidden(ids)
    with tape.at("loss", "back"), tape.serving("head"):
        if logits == "last":
            rows = (s.batch, s.dim("width", 1))
            hidden = op.take(hidden, *rows, hidden.dims[-1])
            out = decoder.head_product(hidden, (*rows, decoder.vocabulary))
        else:
            out = decoder.logits(hidden)
    del hidden, out


def _alive(events: list[Event]) -> dict[Kind, int]:
    alive: Counter[Kind] = Counter()
    for event in events:
        alive[event.kind] += event.sign
    return {kind: n for kind, n in alive.items() if n}


def _moment(alive: dict[Kind, int]) -> Moment:
    return Moment(sum(int(kind.bytes) * n for kind, n in alive.items()), alive)


def _highest(events: list[Event], before: dict[Kind, int]) -> Moment:
    """The point at which most is alive."""
    height = most = _moment(before).bytes
    best = 0
    for i, event in enumerate(events):
        height += event.sign * int(event.kind.bytes)
        if height > most:
            most, best = height, i + 1
    alive = Counter(before)
    for event in events[:best]:
        alive[event.kind] += event.sign
    return Moment(most, {kind: n for kind, n in alive.items() if n})
