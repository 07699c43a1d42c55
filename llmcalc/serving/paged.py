"""Engines that keep a pool of cache for all requests: vLLM, SGLang, TensorRT-LLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.quantity import Quantity, given_quantity, total
from llmcalc.serving import pool
from llmcalc.serving.additions import loaded_beside, with_draft
from llmcalc.serving.groups import Plan, kinds, planned
from llmcalc.serving.job import Serving
from llmcalc.serving.ranks import ranks
from llmcalc.serving.served import Served, nothing
from llmcalc.serving.weights import weights_line
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import networks
from llmcalc.units import GiB

MOST_TOKENS = 2**24  # where a model does not say how many it was made for
# What is not PyTorch's, in GiB, as 21 public logs print it: on one device; between two and more; within a node of eight
_CONTEXT, _MESSAGES, _MESSAGES_OF_EIGHT = 0.1, 0.4, 2.0
# SGLang counts the whole context of the driver
_WHOLE_CONTEXT = 0.5
# Of the logits of all requests, in 4 bytes, and of hidden states of a step, in 2: as 17 public logs of vLLM print them
SAMPLER_COPIES, HIDDEN_COPIES = 9.6, 1.2
_GRAPHS = 0.7  # GiB of CUDA graphs, the middle of 16 public logs


class Habits(NamedTuple):
    """What differs between engines and their builds.

    ``utilization``: share of a device that it takes unless told. ``angle_bytes``: of a number in tables of angles.
    ``windows``: layers with a window keep no more. ``groups_states``: states take blocks of the pool. ``by_length``:
    tokens are printed as those of requests of the longest length. ``counts_graphs``: CUDA graphs are inside of the
    budget. ``in_flight``: steps whose tokens are not yet let go of.
    """

    utilization: float
    angle_bytes: int = 2
    windows: bool = True
    groups_states: bool = True
    by_length: bool = False
    counts_graphs: bool = False
    in_flight: int = 1


def habits(job: Serving) -> Habits:
    """Those of the engine's build."""
    v, t = job.version, job.tensor_parallel
    if job.engine == "vllm":
        return Habits(
            utilization=0.92 if v >= (0, 20) else 0.9,
            windows=v >= (0, 10),
            groups_states=v >= (0, 10),
            by_length=v >= (0, 21),
            counts_graphs=(0, 21) <= v < (0, 26),  # since then a runner without an estimate of them runs most models
            in_flight=2 if v >= (0, 21) else 1,
        )
    if job.engine == "sglang":
        share = next(share for least, share in ((16, 0.79), (8, 0.83), (4, 0.85), (2, 0.87), (1, 0.88)) if t >= least)
        return Habits(utilization=share, angle_bytes=4, windows=False, groups_states=False)
    return Habits(utilization=0.9, groups_states=False)


@dataclass(frozen=True)
class Paged:
    """One rank of a pipeline stage under an engine with a pool of cache.

    ``memory`` and ``loaded`` may be arrays that go together: what devices of the same class as the job's have, in
    bytes, and what the weights take in several formats. None: as the job has it.
    """

    model: Model
    rank: Model
    job: Serving
    stage: int
    memory: Any = None
    loaded: Quantity | None = None

    @property
    def device_memory(self) -> Any:
        """What the device has."""
        return self.job.memory if self.memory is None else self.memory

    @cached_property
    def habits(self) -> Habits:
        """Those of the engine's build."""
        return habits(self.job)

    @cached_property
    def utilization(self) -> float:
        """The share of a device that the engine takes."""
        return self.job.memory_utilization or self.habits.utilization

    @cached_property
    def weights(self) -> Quantity:
        """What the weights take, as the engine prints it, buffers for adapters and a layer that drafts among it."""
        loaded = self.loaded
        if loaded is None:
            loaded = weights_line(self.rank, self.job.weight_format, angle_bytes=self.habits.angle_bytes)
        beside = list(loaded_beside(self.rank, self.job, vocab_size=self.model.vocab_size, is_last=self._is_last))
        if not beside:
            return loaded
        return total("weights", r"M_\text{weights}", loaded.named("model_weights", r"M_\text{model}"), *beside)

    @property
    def _is_last(self) -> bool:
        return self.stage == self.job.pipeline_parallel - 1

    @cached_property
    def max_sequences(self) -> int:
        """Requests that run at once at most."""
        return self.job.most_at_once

    @cached_property
    def batched_tokens(self) -> int:
        """Tokens of one step at most."""
        return self.job.step_room or self.job.context

    @cached_property
    def activation_peak(self) -> Quantity:
        """Activations of the largest step, where most is alive: in the sampler, or inside a network."""
        if self.job.engine == "sglang":
            meaning = "What SGLang leaves to activations and CUDA graphs: what is neither weights nor pool."
            left = np.maximum(self.free.value, 0) * (1 - self.utilization)
            return Quantity("activation_peak", left, "bytes", r"M_\text{peak}", meaning=meaning)
        sampled = pool.sampler_memory(
            sampler_copies=SAMPLER_COPIES,
            max_sequences=min(self.max_sequences, self.batched_tokens),
            vocab_size=self.model.vocab_size,
        )
        hidden = pool.hidden_memory(
            hidden_copies=HIDDEN_COPIES, batched_tokens=self.batched_tokens, d_model=self.model.width
        )
        of_sampler = total("activation_peak", r"M_\text{peak}", sampled, hidden)
        if self.job.engine != "vllm":
            return of_sampler
        inner = max((part.inner_width for part in networks(self.rank.parts)), default=0)
        of_network = pool.network_memory(batched_tokens=self.batched_tokens, d_ff=inner, d_model=self.model.width)
        return max(of_sampler, total("activation_peak", r"M_\text{peak}", of_network), key=lambda q: q.value)

    @cached_property
    def outside(self) -> Quantity:
        """What PyTorch does not know of."""
        ranks = self.job.tensor_parallel * self.job.data_parallel
        among = self.job.devices
        messages = 0 if among == 1 else _MESSAGES_OF_EIGHT if ranks >= 8 else _MESSAGES
        context = _WHOLE_CONTEXT if self.job.engine == "sglang" else _CONTEXT
        taken = pool.outside_memory(context_bytes=context * GiB, workspace_bytes=messages * GiB)
        if not self.habits.counts_graphs:
            return total("outside", r"M_\text{outside}", taken)
        meaning = "CUDA graphs: the middle of what public logs print."
        graphs = Quantity("cuda_graphs", _GRAPHS * GiB, "bytes", r"M_\text{graphs}", meaning=meaning)
        return total("outside", r"M_\text{outside}", taken, graphs)

    @cached_property
    def free(self) -> Quantity:
        """What is free on the device before weights are loaded."""
        return pool.available_for_cache(budget_bytes=self.device_memory, needed_bytes=self.outside).named("free_memory")

    @cached_property
    def limit(self) -> Quantity:
        """What the engine may take of the device."""
        if self.job.kv_cache_memory is not None or self.job.engine == "tensorrt-llm":
            taken = (self.weights, self.activation_peak, self.outside)
            return total("limit", r"M_\text{limit}", *taken, self.available)
        if self.job.engine == "vllm":
            return pool.engine_budget(device_bytes=self.device_memory, memory_utilization=self.utilization).named(
                "limit"
            )
        return given_quantity("device_bytes", self.device_memory).named("limit")

    @cached_property
    def available(self) -> Quantity:
        """What is left for the cache."""
        if self.job.kv_cache_memory is not None:
            return given_quantity("available_bytes", self.job.kv_cache_memory).named("kv_available")
        if self.job.engine == "sglang":
            share = {"free_bytes": self.free, "memory_utilization": self.utilization}
            return pool.static_pool(**share, model_bytes=self.weights).named("kv_available")
        needed = total("taken", r"M_\text{taken}", self.weights, self.activation_peak, self.outside)
        if self.job.engine == "vllm":
            return pool.available_for_cache(budget_bytes=self.limit, needed_bytes=needed).named("kv_available")
        share = {"free_bytes": self.device_memory, "memory_utilization": self.utilization}
        return pool.share_of_free(**share, needed_bytes=needed).named("kv_available")

    # The cache

    @cached_property
    def plan(self) -> Plan | None:
        """How the cache of this rank stands in blocks."""
        keys, values = self.job.cache_formats
        cached = with_draft(self.rank, self.job, is_last=self._is_last)
        found = kinds(cached, keys, values, whole_windows=not self.habits.windows)
        if not self.habits.groups_states:
            found = tuple(kind for kind in found if not kind.state_bytes)
        latent = any(kind.latent for kind in found)
        step = 64 if latent else 16
        usual = {"vllm": 64 if latent and self.job.version >= (0, 8) else 16, "sglang": 1, "tensorrt-llm": 32}
        return planned(found, self.job.block_size or usual[self.job.engine], step)

    @cached_property
    def block(self) -> Quantity:
        """Bytes of a block."""
        assert self.plan is not None
        size = max(group.kind.layers for group in self.plan.groups) if self.plan.n_groups == 1 else 1
        return pool.cache_block(group_layers=size, page_bytes=self.plan.block_bytes / size)

    @cached_property
    def blocks(self) -> Quantity:
        """Blocks of the pool."""
        return pool.blocks_in_pool(available_bytes=self.available, block_bytes=self.block)

    def blocks_of(self, length: int) -> int:
        """Blocks that one request of so many tokens takes."""
        assert self.plan is not None
        in_flight = self.habits.in_flight * self.batched_tokens
        return self.plan.blocks(length, in_flight, 2 if self._aligns_states else 1)

    @property
    def _aligns_states(self) -> bool:
        """Prefix caching keeps the state of the last whole block beside the present one. Not with latent attention,
        where it is off."""
        assert self.plan is not None
        latent = any(group.kind.latent for group in self.plan.groups)
        return self.job.engine == "vllm" and self.job.version >= (0, 15) and not latent


def serve_paged(model: Model, job: Serving) -> Served:
    """A model under vLLM, SGLang or TensorRT-LLM, on the pipeline stage that holds fewest blocks."""
    stages = [Paged(model, rank, job, i) for i, rank in enumerate(ranks(model, job))]
    if stages[0].plan is None:
        return served_of(max(stages, key=lambda stage: stage.weights.value))
    worst = min(
        stages, key=lambda stage: (stage.blocks.value, -stage.weights.value) if stage.plan else (float("inf"), 0)
    )
    return served_of(worst)


def served_of(rank: Paged) -> Served:
    """What one rank takes; arrays where its memory or its weights are some."""
    job, plan = rank.job, rank.plan
    if plan is None:
        return _without_cache(rank)
    each = rank.blocks_of(job.context)
    users = -(-job.running // job.data_parallel)  # replicas share them out
    if job.engine == "sglang" and plan.tokens == 1:
        per_token = rank.block.named("kv_bytes_per_token")
        tokens = pool.tokens_of_bytes(available_bytes=rank.available, cached_bytes=per_token)
        requests = pool.requests_of_tokens(tokens=tokens, context=job.context)
        of_requests = pool.tokens_memory(concurrency=users, context=job.context, cached_bytes=per_token)
    else:
        counted = {"block_bytes": rank.block, "cache_groups": plan.n_groups, "block_size": plan.tokens}
        if rank.habits.by_length:
            per_token = pool.bytes_at_once(block_bytes=rank.block, blocks_each=each, context=job.context)
            tokens = pool.tokens_at_once(n_blocks=rank.blocks, blocks_each=each, context=job.context)
        else:
            per_token = pool.bytes_of_token(**counted)
            del counted["block_bytes"]
            tokens = pool.tokens_in_pool(n_blocks=rank.blocks, **counted)
        requests = pool.requests_at_once(n_blocks=rank.blocks, blocks_each=each)
        of_requests = pool.requests_memory(concurrency=users, blocks_each=each, block_bytes=rank.block)
    return Served(
        job=job,
        weights=rank.weights,
        activation_peak=rank.activation_peak,
        outside=rank.outside,
        kv_bytes_per_token=per_token.named("kv_bytes_per_token"),
        kv_available=rank.available,
        kv_cache=pool.pool_memory(n_blocks=rank.blocks, block_bytes=rank.block).named("kv_cache"),
        compute_buffer=nothing("compute_buffer", r"M_\text{compute}"),
        kv_tokens=tokens.named("kv_tokens"),
        max_concurrency=requests.named("max_concurrency"),
        holds=lambda length: bool(rank.blocks_of(length) <= rank.blocks.value),
        most_tokens=rank.model.context or MOST_TOKENS,
        needed=total("needed", r"M_\text{needed}", rank.weights, rank.activation_peak, rank.outside, of_requests),
        limit=rank.limit,
        states=nothing("states", r"M_\text{states}"),
    )


def _without_cache(rank: Paged) -> Served:
    """An encoder: nothing is kept of a token, so that any number of requests fits where the weights do."""
    return Served(
        job=rank.job,
        weights=rank.weights,
        activation_peak=rank.activation_peak,
        outside=rank.outside,
        kv_bytes_per_token=nothing("kv_bytes_per_token", r"M_\text{token}"),
        kv_available=rank.available,
        kv_cache=nothing("kv_cache", r"M_\text{kv}"),
        compute_buffer=nothing("compute_buffer", r"M_\text{compute}"),
        kv_tokens=nothing("kv_tokens", r"D_\text{kv}", "tokens"),
        max_concurrency=Quantity("max_concurrency", rank.max_sequences, "", "B", meaning="As many as run at once."),
        holds=lambda length: True,
        most_tokens=rank.model.context or MOST_TOKENS,
        needed=total("needed", r"M_\text{needed}", rank.weights, rank.activation_peak, rank.outside),
        limit=rank.limit,
        states=nothing("states", r"M_\text{states}"),
    )
