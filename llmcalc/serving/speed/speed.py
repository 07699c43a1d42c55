"""How fast a model is served on a machine, shared out over devices, for so many users at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, given_quantity, total
from llmcalc.serving.speed import formulas as of
from llmcalc.serving.speed.constants import CONSTANTS, OF_OTHER_ENGINES, Constant
from llmcalc.serving.speed.machine import Machine
from llmcalc.serving.speed.work import Work, cache_split, work_of
from llmcalc.transformer.model import Model

HIDDEN_BYTES = 2  # of a number that goes from one device to another


@dataclass(frozen=True, kw_only=True)
class Split:
    """Over how many devices a model is served. ``data_parallel`` replicas share the users; of a mixture of experts they
    are replicas of the attention alone, and all devices share the experts."""

    tensor_parallel: Any = 1
    pipeline_parallel: Any = 1
    data_parallel: Any = 1

    @property
    def devices(self) -> Any:
        """How many there are."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked: ``concurrency`` users at a time, each with a prompt and an answer of so many tokens.

    ``prefill_apart``: other devices read the prompts. ``tokens_each``: a step checks so many tokens of each user, all
    but one of them drafted, each accepted with the chance ``acceptance``; a step of the draft takes ``draft_share`` of
    one of the model. ``seats``: so many users at most are served at a time, for that is what memory or the engine's
    limit holds; the others wait. ``step_room``: tokens of prompts that the engine puts into a step at most; None: no
    limit is known.
    """

    input_tokens: Any = 1024
    output_tokens: Any = 1024
    concurrency: Any = 1
    prefill_apart: bool = False
    tokens_each: Any = 1
    acceptance: Any = 0.0
    draft_share: Any = 0.0
    seats: Any = None
    step_room: Any = None

    def __post_init__(self) -> None:
        for name in ("input_tokens", "output_tokens", "concurrency", "tokens_each", "seats", "step_room"):
            given = getattr(self, name)
            if given is not None and not (_are_numbers(given) and np.all(np.asarray(given) >= 1)):
                raise InputError(name, f"{name} must be a number of at least 1")
        if not _are_numbers(self.acceptance):
            raise InputError("acceptance", "acceptance must be a number")
        if np.any((np.asarray(self.acceptance) < 0) | (np.asarray(self.acceptance) >= 1)):
            raise InputError("acceptance", "acceptance must be at least 0 and below 1")

    @property
    def has_waiting(self) -> bool:
        """Whether there are more users than seats, anywhere in a sweep."""
        users = self.concurrency.value if isinstance(self.concurrency, Quantity) else self.concurrency
        return self.seats is not None and bool(np.any(users > np.asarray(self.seats)))


def _are_numbers(given: Any) -> bool:
    """Whether it is a number, or an array of them: quantities are, switches and texts are none."""
    return np.asarray(given.value if isinstance(given, Quantity) else given).dtype.kind in "iuf"


@dataclass(frozen=True)
class Speed:
    """What is predicted. Times in s, of the median user; energy in J.

    ``step`` is one step of decoding, a sum of what it spends its time on, ``step_bound`` and ``prompt_bound`` what no
    machine of such figures is faster than. Without a rate of products on the device what hangs on it is None, and the
    step is that of reading alone.
    """

    step: Quantity
    step_bound: Quantity
    prompt_bound: Quantity | None
    time_between_tokens: Quantity
    time_to_first_token: Quantity | None
    tokens_per_second: Quantity
    energy_per_token: Quantity | None


def speed(
    model: Model,
    *,
    machine: Machine,
    split: Split = Split(),
    load: Load = Load(),
    weight_format: str = "bf16",
    cache_bytes: float = 2.0,
    engine: str = "vllm",
    constants: Mapping[str, Constant] = CONSTANTS,
) -> Speed:
    """How fast a model is served. Fields of ``machine``, ``split`` and ``load`` may be arrays that go together.

    ``weight_format`` is the catalogue's, ``cache_bytes`` are those of one number in the cache. For an engine whose wait
    for the first token was not measured that of TensorRT-LLM stands in. ``constants`` are those that were fitted, or
    others of the same names.
    """
    job = _Job(work_of(model, weight_format), machine, split, load, cache_bytes, constants)
    step = job.step()
    between = step.named("time_between_tokens", r"t_\text{between}")
    if job.drafts:
        share = {"draft_share": load.draft_share, "tokens_each": load.tokens_each}
        between = of.drafted_time(step_time=step, step_yield=job.step_yield, **share).named("time_between_tokens")
    first = None if load.prefill_apart else job.first_token(constants.get(engine, OF_OTHER_ENGINES))
    written = {"output_tokens": load.output_tokens, "between_seconds": between}
    known = between if first is None else _where_known(first, between)
    rate = of.tokens_per_second(concurrency=job.served, first_seconds=known, **written)
    if first is not None and load.has_waiting:
        wait = of.seat_time(concurrency=load.concurrency, seats=load.seats, **written)
        first = total("time_to_first_token", r"t_\text{first}", first.named("admitted_time"), wait)
    energy = None
    if machine.watts is not None:
        energy = of.energy_per_token(watts=machine.watts, devices=split.devices, token_rate=rate)
    return Speed(step, job.step_bound(), job.prompt_bound(), between, first, rate, energy)


def _where_known(first: Quantity, between: Quantity) -> Quantity:
    """The wait for the first token; in a sweep, where it is not known, that for any other."""
    if not isinstance(first.value, np.ndarray):
        return first
    return replace(first, value=np.where(np.isnan(first.value), between.value, first.value))


@dataclass(frozen=True)
class _Job:
    """What is served on what to whom, and the times that come of it."""

    work: Work
    machine: Machine
    split: Split
    load: Load
    cache_bytes: float
    constants: Mapping[str, Constant]

    def _constant(self, name: str) -> Quantity:
        return self.constants[name].quantity()

    @cached_property
    def users(self) -> Quantity:
        """Users on the device that has most."""
        split = {"data_parallel": self.split.data_parallel, "pipeline_parallel": self.split.pipeline_parallel}
        return of.rank_users(concurrency=self.served, **split)

    @cached_property
    def served(self) -> Any:
        """Users who are served at a time."""
        if not self.load.has_waiting:
            return self.load.concurrency
        return of.served_users(concurrency=self.load.concurrency, seats=self.load.seats)

    @cached_property
    def tokens(self) -> Quantity:
        """Tokens that a step of decoding computes there."""
        return of.step_tokens(rank_users=self.users, tokens_each=self.load.tokens_each)

    @cached_property
    def mixed(self) -> Quantity:
        """Tokens of prompts that it computes beside."""
        room = np.inf if self.load.step_room is None else self.load.step_room
        return of.mixed_tokens(step_room=room, **self._asked_of_others)

    @cached_property
    def _asked_of_others(self) -> dict[str, Any]:
        """Who shares the device with a user, and what each of them asks."""
        asked = {"input_tokens": self.load.input_tokens, "output_tokens": self.load.output_tokens}
        return {"other_users": self.others, "step_yield": self.step_yield, **asked}

    @cached_property
    def others(self) -> Quantity:
        """Users there beside one."""
        split = {"data_parallel": self.split.data_parallel, "pipeline_parallel": self.split.pipeline_parallel}
        return of.other_users(concurrency=self.served, **split)

    @property
    def drafts(self) -> bool:
        """Whether steps check tokens that were drafted."""
        return bool(np.any(np.asarray(self.load.tokens_each) > 1))

    @cached_property
    def step_yield(self) -> Any:
        """Tokens that a step yields for each user."""
        if not self.drafts:
            return 1
        return of.tokens_of_draft(acceptance=self.load.acceptance, tokens_each=self.load.tokens_each)

    @cached_property
    def reading(self) -> Quantity:
        """Reading of what a step needs, at full bandwidth."""
        return self._reading_with(self.users)

    @property
    def _length(self) -> Any:
        """Tokens of a user in the middle of the answer."""
        return self.load.input_tokens + self.load.output_tokens / 2

    def _reading_with(self, cached_users: Quantity) -> Quantity:
        """The same with the caches of so many users."""
        cached = self.work.cached_bytes(self._length, self.cache_bytes)
        divided = cache_split(self.work, self.split.tensor_parallel)
        parts = [*self._weights(self.tokens)]
        parts.append(of.read_cache_bytes(rank_users=cached_users, user_cache_bytes=cached, cache_split=divided))
        if state := self.work.state_bytes:
            whole = {"state_bytes": state, "tensor_parallel": self.split.tensor_parallel}
            parts.append(of.moved_state_bytes(rank_users=self.users, **whole))
        return self._reading(parts)

    def _weights(self, tokens: Quantity) -> Iterator[Quantity]:
        """Weights that a device reads in a pass of so many tokens on it."""
        work, split = self.work, self.split
        yield of.read_dense_bytes(dense_bytes=work.dense_bytes, tensor_parallel=split.tensor_parallel)
        if not work.n_mixtures:
            return
        routed = of.routed_tokens(pass_tokens=tokens, data_parallel=split.data_parallel)
        missed = of.missed_share(top_k=work.top_k, n_experts=work.n_experts)
        touched = of.touched_share(missed_share=missed, routed_tokens=routed)
        shared = {"tensor_parallel": split.tensor_parallel, "data_parallel": split.data_parallel}
        yield of.read_expert_bytes(expert_bytes=work.expert_bytes, touched_share=touched, **shared)

    def _reading(self, parts: Iterable[Quantity]) -> Quantity:
        read = total("read_bytes", r"M_\text{read}", *parts)
        return of.reading_seconds(read_bytes=read, bandwidth=self.machine.bandwidth)

    def _arithmetic(self, tokens: Quantity, scores: Any, seeing: Quantity | None = None) -> Quantity:
        """Arithmetic of a pass of so many tokens on a device, at the full rate; ``seeing``: so many of them have others
        before them, None: all."""
        over = {"tensor_parallel": self.split.tensor_parallel}
        products = of.product_seconds(
            pass_tokens=tokens, token_flops=self.work.token_flops, peak_flops=self.machine.product_flops, **over
        )
        attention = of.score_seconds(
            pass_tokens=tokens if seeing is None else seeing, score_flops=scores,
            peak_flops=self.machine.score_flops, **over,
        )  # fmt: skip
        return total("arithmetic_seconds", r"t_\text{arithmetic}", products, attention)

    @cached_property
    def decoding(self) -> Quantity:
        """Arithmetic of a step of decoding: none, where the device's rate is not known."""
        if self.machine.product_flops is None:
            return given_quantity("arithmetic_seconds", 0)
        return self._arithmetic(self.tokens, self.work.decoding_scores(self._length))

    @property
    def _shares(self) -> dict[str, Quantity]:
        """Shares of the device's peaks that are reached."""
        return {name: self._constant(name) for name in ("bandwidth_share", "compute_share")}

    def _prompts(self, tokens: Quantity) -> Quantity:
        """Arithmetic of so many tokens of prompts."""
        return self._arithmetic(tokens, self.work.prompt_scores(self.load.input_tokens)).named("prompt_seconds")

    def _messages(self, tokens: Quantity) -> list[Quantity]:
        """Messages of a pass of so many tokens; none for a device whose link is not known."""
        if self.machine.link is None:
            return []
        hidden = {"n_layers": self.work.model.n_layers, "hidden_bytes": HIDDEN_BYTES * self.work.model.width}
        to = {"tensor_parallel": self.split.tensor_parallel, "link_bytes": self.machine.link}
        sent = of.message_seconds(**hidden, **to, pass_tokens=tokens)
        return [of.link_time(message_seconds=sent, link_share=self._constant("link_share"))]

    def _fixed(self) -> list[Quantity]:
        """What a pass takes however few tokens there are."""
        work = self.work
        parts = [of.kernel_time(n_kernels=work.n_kernels, kernel_seconds=self._constant("kernel_seconds"))]
        if work.n_mixtures:
            each = self._constant("mixture_seconds")
            parts.append(of.routing_time(n_mixtures=work.n_mixtures, mixture_seconds=each))
        return parts

    def step(self) -> Quantity:
        """One step of decoding, with the prompts that are read in it."""
        compute = self._constant("compute_share")
        parts = [of.work_time(reading_seconds=self.reading, arithmetic_seconds=self.decoding, **self._shares)]
        tokens = self.tokens
        if not self.load.prefill_apart:
            tokens = total("passed_tokens", r"D_\text{passed}", tokens, self.mixed)
            if self.machine.product_flops is not None:
                parts.append(of.prompts_time(prompt_seconds=self._prompts(self.mixed), compute_share=compute))
        parts += self._fixed()
        return total("serving_step", r"t_\text{step}", *parts, self._users_time, *self._messages(tokens))

    @property
    def _users_time(self) -> Quantity:
        return of.users_time(rank_users=self.users, sequence_seconds=self._constant("sequence_seconds"))

    def waited(self) -> Quantity:
        """A step that a request waits for: of decoding alone, with the caches of others, for it has none yet, nor does
        it matter how much it is to write."""
        seeing = of.step_tokens(rank_users=self.others, tokens_each=self.load.tokens_each)
        arithmetic = self._arithmetic(self.tokens, self.work.decoding_scores(self._length), seeing)
        reading = self._reading_with(self.others)
        work = of.work_time(reading_seconds=reading, arithmetic_seconds=arithmetic, **self._shares)
        return total(
            "waited_time", r"t_\text{waited}", work, *self._fixed(), self._users_time, *self._messages(self.tokens)
        )

    @cached_property
    def prompt(self) -> Quantity:
        """The tokens of one user's prompt."""
        return given_quantity("input_tokens", self.load.input_tokens)

    def first_token(self, factor: Constant) -> Quantity | None:
        """Until the first token comes; None where the device's rate is not known."""
        if self.machine.product_flops is None:
            return None
        job = replace(self, machine=self.machine.known)
        mixed = of.prompts_time(prompt_seconds=job._prompts(self.prompt), compute_share=self._constant("compute_share"))
        queued = total("queued_time", r"t_\text{queued}", mixed, *self._messages(self.prompt))
        read = of.weights_time(
            reading_seconds=self._reading(self._weights(self.prompt)), bandwidth_share=self._constant("bandwidth_share")
        )
        own = total("prompt_time", r"t_\text{prompt}", read, *self._fixed(), *queued.parts)
        waited = {name: self._constant(name) for name in ("own_prompts", "queued_share", "waited_steps")}
        before = of.prompts_before(mixed_tokens=self.mixed, **self._asked_of_others)
        times = {"prompt_time": own, "queued_time": queued, "waited_time": job.waited(), "prompts_before": before}
        return of.time_to_first_token(engine_factor=factor.quantity(), rank_users=self.users, **times, **waited)

    def step_bound(self) -> Quantity:
        """A step of decoding, of no prompts, on the roofline."""
        return of.roofline_time(reading_seconds=self.reading, arithmetic_seconds=self.decoding).named("step_bound")

    def prompt_bound(self) -> Quantity | None:
        """The pass over one prompt on the roofline."""
        if self.machine.product_flops is None:
            return None
        read, arithmetic = self._reading(self._weights(self.prompt)), self._prompts(self.prompt)
        return of.roofline_time(reading_seconds=read, arithmetic_seconds=arithmetic).named("prompt_bound")
