"""llama.cpp and what is built on it: a file of weights, cells for keys and values, buffers for a micro-batch.

Read in llama.cpp's src/llama-context.cpp, llama-kv-cache.cpp, llama-kv-cache-iswa.cpp and llama-memory-recurrent.cpp.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, formula, given_quantity, total
from llmcalc.serving.job import Serving
from llmcalc.serving.pool import available_for_cache
from llmcalc.serving.served import Served, nothing
from llmcalc.sources import GGUF
from llmcalc.stored.weights import stored_weights
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.part import kept, matrices, mixers, networks, states
from llmcalc.units import GiB

_WINDOWS_SINCE, _LATENT_SINCE, _KEYS_ONLY_SINCE, _FEW_LOGITS_SINCE = (5500,), (5100,), (7700,), (8500,)
_CONTEXT = 0.3 * GiB  # of a CUDA device, as logs of 0.25 to 0.35 GiB say
MOST_CELLS = 2**24
_USUAL_BUILD = (8000,)


@formula(r"M_\text{cells}", "bytes", GGUF.at("src/llama-kv-cache.cpp, llama_kv_cache"))
def cells_memory(*, cells, n_layers, key_width, key_bytes, value_width, value_bytes):
    """Keys and values of so many cells, one a token, in layers alike; quantised ones with their scales."""
    return cells * n_layers * (key_width * key_bytes + value_width * value_bytes)


@formula(r"M_\text{token}", "bytes", GGUF.at("src/llama-kv-cache.cpp, llama_kv_cache"))
def cell_memory(*, n_layers, key_width, key_bytes, value_width, value_bytes):
    """The same of one cell."""
    return n_layers * (key_width * key_bytes + value_width * value_bytes)


@formula(r"n_\text{cells}", "", GGUF.at("src/llama-context.cpp, n_ctx_seq"))
def padded_cells(*, context, split):
    """Cells: the context shared out among sequences that have a cache of their own, each filled up to a multiple of
    256."""
    return split * (np.ceil(context / split / 256) * 256)


@formula(r"n_\text{cells}", "", GGUF.at("src/llama-kv-cache-iswa.cpp, size_swa"))
def window_cells(*, cells, window, micro_batch, split, concurrency):
    """Cells of layers with a window: the window of each sequence in a cache, and a micro-batch, filled up to a multiple
    of 256."""
    return split * np.ceil(np.minimum(cells / split, window * concurrency + micro_batch) / 256) * 256


@formula(r"M_\text{states}", "bytes", GGUF.at("src/llama-memory-recurrent.cpp"))
def recurrent_memory(*, concurrency, state_elements):
    """States of recurrent layers, in 32 bits, for each sequence."""
    return 4 * concurrency * state_elements


@formula(r"M_\text{logits}", "bytes", GGUF.at("src/llama-context.cpp, graph_reserve"))
def logits_buffer(*, micro_batch, vocab_size, d_model):
    """Logits of a whole micro-batch, and the hidden states that they are made of, in 32 bits."""
    return micro_batch * (vocab_size + d_model) * 4


@formula(r"M_\text{scores}", "bytes", GGUF.at("src/llama-graph.cpp, build_attn_mha"))
def scores_buffer(*, micro_batch, cells, n_heads, d_model):
    """Without flash attention: scores of a micro-batch against all cells, the mask, four hidden states, in 32 bits."""
    return micro_batch * (cells * (n_heads + 1) + 4 * d_model) * 4


@formula(r"M_\text{hidden}", "bytes", GGUF.at("src/llama-graph.cpp, build_ffn"))
def hidden_buffer(*, micro_batch, cells, d_model, d_ff):
    """Without logits of a whole micro-batch: three inner states of a network and two hidden ones, in 32 bits, and the
    mask in 16."""
    return micro_batch * (3 * d_ff + 2 * d_model) * 4 + micro_batch * cells * 2


@dataclass(frozen=True)
class Cells:
    """Layers whose cells are alike: how many, how wide keys and values are, and what window they have."""

    layers: int
    key_width: int
    value_width: int
    window: int | None


@dataclass(frozen=True)
class LlamaCpp:
    """A model in llama.cpp; layers are shared out evenly among the devices, behind those that stay on the host."""

    model: Model
    job: Serving

    @cached_property
    def version(self) -> tuple[int, ...]:
        """The build of llama.cpp; ollama's versions say nothing of it."""
        return self.job.version if self.job.engine == "llama.cpp" else _USUAL_BUILD

    @cached_property
    def has_windows(self) -> bool:
        """Whether windows have cells of their own: where some layers see all, and builds know of it. Windows of all
        layers alike (Mistral's, Phi-3's) are not used."""
        sees_all = any(cache.window is None for part in self.model.parts for cache in kept(part))
        return sees_all and self.version >= _WINDOWS_SINCE and not self.job.swa_full

    @cached_property
    def weights(self) -> Quantity:
        """The size that it prints: all of the file's tensors."""
        return stored_weights(self.model.language, self.job.weight_format).named("weights", r"M_\text{weights}")

    @cached_property
    def on_device(self) -> tuple[Block, ...]:
        """The layers of the device that has most."""
        layers = self.model.layers()
        n = len(layers) if self.job.gpu_layers is None else min(self.job.gpu_layers, len(layers))
        return layers[len(layers) - -(-n // self.job.pipeline_parallel) :] if n else ()

    @cached_property
    def device_weights(self) -> Quantity:
        """Of the weights those on that device: the table of tokens stays on the host, and experts that are told to."""
        layers, model = self.on_device, self.model.language
        n = len(layers)
        counts = Counter(block.name for block in layers)
        blocks = tuple((block, counts[block.name]) for block, _ in model.blocks if counts[block.name])
        has_head = self.job.gpu_layers is None or self.job.gpu_layers > model.n_layers or n == model.n_layers
        front = tuple(part for part in model.front if model.tied and matrices(part)) if has_head else ()
        held = replace(model, front=front, blocks=blocks, back=model.back if has_head else (), order=())
        if not (blocks or held.back):
            return nothing("device_weights", r"M_\text{device weights}")
        whole = stored_weights(held, self.job.weight_format).named("device_weights", r"M_\text{device weights}")
        on_host = min(self.job.cpu_moe_layers or 0, n)
        if not on_host:
            return whole
        experts = sum(
            m.numbers for block in layers[:on_host] for part in block.parts for m in matrices(part) if m.experts
        )
        share = experts / max(1, int(held.parameters().value))
        meaning = "Without the experts of layers that are told to stay on the host."
        return Quantity(
            "device_weights", whole.value * (1 - share), "bytes", r"M_\text{device weights}", meaning=meaning
        )

    # The cache

    def cells_of(self, layers: tuple[Block, ...]) -> list[Cells]:
        """Layers by their cells."""
        found: Counter[Cells] = Counter()
        for block in layers:
            for part in block.parts:
                for cache in kept(part):
                    keys, values = int(cache.key_width), int(cache.value_width)
                    if not values and part in mixers(block.parts):
                        keys, values = self._latent(block, keys)
                    window = cache.window if self.has_windows else None
                    found[Cells(0, keys, values, window)] += 1
        return [replace(cells, layers=n) for cells, n in found.items()]

    def _latent(self, block: Block, keys: int) -> tuple[int, int]:
        """Latent attention in three layouts by age: heads spread out; the narrow vector and a transposed copy of its
        part without positions; the vector alone."""
        if self.version >= _KEYS_ONLY_SINCE:
            return keys, 0
        part = next(mixer for mixer in mixers(block.parts))
        roles = {m.role: m for m in matrices(part)}
        if self.version >= _LATENT_SINCE:
            return keys, roles["key_value_up"].width
        return part.heads.n_heads * part.heads.d_head, roles["output"].width

    @cached_property
    def streams(self) -> int:
        """Caches: one for each sequence, unless they share one."""
        return 1 if self.job.unified else self.job.parallel_sequences

    def cells(self, context: int) -> Quantity:
        """Cells of layers without a window, for so long a context."""
        return padded_cells(context=context, split=self.streams)

    def cache(self, layers: tuple[Block, ...], context: int) -> Quantity:
        """Bytes of keys and values in those layers."""
        keys, values = self.job.cache_formats
        terms = []
        for i, of in enumerate(self.cells_of(layers)):
            cells = self.cells(context)
            if of.window is not None:
                together = self.job.parallel_sequences if self.job.unified else 1
                seen = {"window": of.window, "micro_batch": self.micro_batch, "concurrency": together}
                cells = window_cells(cells=cells, split=self.streams, **seen)
            width = {"key_width": of.key_width, "value_width": of.value_width}
            each = {"key_bytes": keys.bits / 8, "value_bytes": values.bits / 8}
            term = cells_memory(cells=cells, n_layers=of.layers, **width, **each)
            terms.append(term.named(f"cells_memory_{i + 1}" if i else "cells_memory"))
        return total("kv_cache", r"M_\text{kv}", *terms) if terms else nothing("kv_cache", r"M_\text{kv}")

    def states(self, layers: tuple[Block, ...]) -> Quantity:
        """Bytes of recurrent states in those layers."""
        kept_of = sum(state.of_past for block in layers for part in block.parts for state in states(part))
        if not kept_of:
            return nothing("states", r"M_\text{states}")
        return recurrent_memory(concurrency=self.job.parallel_sequences, state_elements=kept_of).named("states")

    @cached_property
    def bytes_per_token(self) -> Quantity:
        """What one more token takes in all layers, while no window is full."""
        keys, values = self.job.cache_formats
        each = {"key_bytes": keys.bits / 8, "value_bytes": values.bits / 8}
        terms = [
            cell_memory(n_layers=of.layers, key_width=of.key_width, value_width=of.value_width, **each).named(
                f"cell_memory_{i + 1}" if i else "cell_memory"
            )
            for i, of in enumerate(self.cells_of(self.model.layers()))
        ]
        if not terms:
            return nothing("kv_bytes_per_token", r"M_\text{token}")
        return total("kv_bytes_per_token", r"M_\text{token}", *terms)

    # Buffers

    @property
    def micro_batch(self) -> int:
        """Tokens of a micro-batch: no more than the context."""
        return min(self.job.micro_batch, self.job.context)

    def compute(self, context: int) -> Quantity:
        """The buffer in which a micro-batch is computed, on each device: the largest of what it must hold."""
        tokens = {"micro_batch": min(self.job.micro_batch, context), "d_model": self.model.width}
        cells = self.cells(context).value / self.streams
        found = [logits_buffer(vocab_size=self.model.vocab_size, **tokens)]
        if self.version >= _FEW_LOGITS_SINCE:
            inner = max(
                (part.inner_width for block, _ in self.model.blocks for part in networks(block.parts)), default=0
            )
            found = [hidden_buffer(cells=cells, d_ff=inner, **tokens)]
        if not self.job.flash_attention:
            heads = max((m.heads.n_heads for m in self.model.mixers), default=0)
            found.append(scores_buffer(cells=cells, n_heads=heads, **tokens))
        return max(found, key=lambda q: q.value).named("compute_buffer", r"M_\text{compute}")

    def taken(self, context: int) -> Quantity:
        """All that it takes of the device that has most."""
        parts = [self.device_weights, self.compute(context), given_quantity("context_bytes", _CONTEXT)]
        if not self.job.kv_on_host:
            parts += [self.cache(self.on_device, context), self.states(self.on_device)]
        return total("needed", r"M_\text{needed}", *(part for part in parts if part.value))


def serve_llama_cpp(model: Model, job: Serving) -> Served:
    """A model in llama.cpp, or ollama. Raises InputError where values are quantised without flash attention."""
    _keys, values = job.cache_formats
    if values.block > 1 and not job.flash_attention:
        message = (
            "kv_cache: llama.cpp quantises values only with flash attention (V cache quantization requires flash_attn)"
        )
        raise InputError("kv_cache", message, code="values_need_flash")
    if job.context < job.parallel_sequences:
        message = "parallel_sequences: fewer tokens of context than sequences"
        raise InputError("parallel_sequences", message, code="more_sequences_than_tokens")
    on = LlamaCpp(model, job)
    memory, compute = job.memory, on.compute(job.context)
    context = given_quantity("context_bytes", _CONTEXT)
    beside = total("taken", r"M_\text{taken}", on.device_weights, compute, context)
    started = "As many as it was started for."
    return Served(
        job=job,
        weights=on.weights,
        activation_peak=compute.named("activation_peak", r"M_\text{peak}"),
        outside=context,
        kv_bytes_per_token=on.bytes_per_token,
        kv_available=available_for_cache(budget_bytes=memory, needed_bytes=beside).named("kv_available"),
        kv_cache=on.cache(model.layers(), job.context),
        compute_buffer=compute,
        kv_tokens=replace(on.cells(job.context), id="kv_tokens", unit="tokens"),
        max_concurrency=Quantity("max_concurrency", job.parallel_sequences, "", "B", meaning=started),
        holds=lambda length: bool(on.taken(max(length, job.parallel_sequences)).value <= memory),
        most_tokens=model.context or MOST_CELLS,
        needed=on.taken(job.context),
        limit=given_quantity("device_bytes", memory),
        states=on.states(model.layers()),
    )
