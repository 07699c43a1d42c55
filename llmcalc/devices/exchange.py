"""What a rank exchanges with others: buffers of messages, and bytes sent in a step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.precisions import BYTES
from llmcalc.devices import formulas as f
from llmcalc.devices.gathering import Gathering
from llmcalc.devices.holdings import Holdings, summed
from llmcalc.devices.layers import Layers
from llmcalc.devices.layout import chosen
from llmcalc.devices.work import shares_gradients
from llmcalc.quantity import Quantity, total
from llmcalc.rates import messages as sent
from llmcalc.sizes import larger
from llmcalc.step.run import TrainingRun
from llmcalc.symbols import SYMBOLS
from llmcalc.transformer.dimensions import plain_sizes

Size = Any  # int, or a float64 array in a table of plans


@dataclass(frozen=True, eq=False)
class Exchange:
    """The messages of a rank with these layers and holdings."""

    layers: Layers
    run: TrainingRun
    holds: Holdings

    @cached_property
    def sizes(self) -> dict[str, Any]:
        """The sizes that buffers and messages are made of."""
        run, layout, model = self.run, self.layers.layout, self.layers.work.model
        sizes = plain_sizes(model)  # of latent attention what it expands to: a key and a value for every head
        return {
            "batch_size": run.batch_size,
            "rank_tokens": run.seq_len // layout.context_parallel,
            "d_model": model.width,
            "split": chosen(layout.sequence_parallel, layout.tensor_parallel, 1),
            "n_kv_heads": larger(sizes.kv_heads() // layout.tensor_parallel, 1) if model.mixers else 0,
            "d_head": sizes.head_width(),
            "top_k": max((mixture.top_k for mixture in model.mixtures), default=0),
            "products": BYTES[run.numbers.autocast or run.numbers.weights],
            "hidden": run.numbers.weight_bytes,
        }

    def _sized(self, *names: str) -> dict[str, Any]:
        return {name: self.sizes[name] for name in names}

    @cached_property
    def gathering(self) -> Gathering:
        """What fully sharded data parallel gathers and reduces."""
        return Gathering(self.layers, self.run)

    @cached_property
    def buffers(self) -> Quantity:
        """All buffers that messages to and from other ranks need, each at its most."""
        terms = [*self._passing, *self._buckets]
        if self.gathering.is_used:
            gathering, layer = self.gathering, self.gathering.largest
            if np.any(gathering.keeps):
                terms.append(f.kept_weights(gathered_bytes=gathering.everything.weights))
            else:
                terms.append(f.gathered_weights(root_bytes=gathering.root.weights, layer_bytes=layer.weights))
            terms.append(f.gradients_to_reduce(layer_bytes=layer.reduced))
            if np.any(gathering.adds_up):
                added = gathering.everything.reduced - self.holds.gradients.value
                terms.append(f.added_gradients(gradients_added=added))
        return summed("communication", r"M_\text{comm}", terms)

    @cached_property
    def passing(self) -> Quantity:
        """The buffers that are there for as long as micro-batches go through."""
        return summed("communication", r"M_\text{comm}", self._passing)

    @cached_property
    def buckets(self) -> Quantity:
        """The buckets in which replicas with whole gradients send these."""
        return summed("gradient_buckets", r"M_\text{buckets}", self._buckets)

    @property
    def buckets_go(self) -> bool:
        """Whether the buckets take the place of the gradients once the backward pass of the last micro-batch is
        through, so that there is one of both in the optimizer's step."""
        return bool(np.all(self.layers.layout.ddp_bucket_view))

    @property
    def _buckets(self) -> list[Quantity]:
        layout, run = self.layers.layout, self.run
        there = shares_gradients(run, layout)
        if layout.ddp_bucket_view and not np.any(run.gradient_accumulation > 1):
            there = there & False  # the gradients are the buckets
        found = []
        for experts, n in self.holds.parameters.items():
            used = there & (layout.sharing(0, experts=experts) > 1)
            if np.any(used) and np.any(n):
                each = self.holds.of_trained(lambda numbers: numbers.gradient_bytes, experts=experts)
                part = f.gradient_buckets(rank_parameters=n, gradient_bytes=each)
                part = replace(part, value=chosen(used, part.value, 0))
                found.append(part.named("expert_gradient_buckets") if experts else part)
        return found

    @cached_property
    def _passing(self) -> list[Quantity]:
        layout, run, m = self.layers.layout, self.run, self.sizes
        size = self._sized("batch_size", "rank_tokens")
        found = [
            (
                layout.sequence_parallel & (layout.tensor_parallel > 1),
                f.sequence_gather_buffer(**size, d_model=m["d_model"], element_bytes=m["products"]),
            ),
            (
                layout.pipeline_parallel > 1,
                f.pipeline_buffers(**size, **self._sized("d_model", "split"), element_bytes=m["hidden"]),
            ),
            (
                layout.context_parallel > 1,
                f.ring_buffers(**size, **self._sized("n_kv_heads", "d_head"), element_bytes=m["products"]),
            ),
            (
                layout.expert_parallel > 1,
                f.dispatch_buffers(**size, **self._sized("d_model", "split", "top_k"), element_bytes=m["products"]),
            ),
            (
                (layout.sharing(2) > 1) & (layout.sharing(3) == 1),
                f.reduce_buffer(
                    block_parameters=self._largest_layer(trains=True), gradient_bytes=run.trained.gradient_bytes
                ),
            ),
        ]
        return [
            replace(q, value=chosen(used, q.value, 0)) if isinstance(used, np.ndarray) else q
            for used, q in found
            if np.any(used)
        ]

    def _largest_layer(self, *, trains: bool = False) -> Size:
        """Numbers in the weights of its largest layer: in all, or in those that train."""
        largest: Size = 0
        for alike, count in zip(self.layers.work.alike, self.layers.counts, strict=True):
            meant = tuple(w for w in alike.weights if w.trains or not trains)
            largest = larger(largest, self.layers.pieces.elements(meant) * (count > 0))
        return largest

    # Messages

    @cached_property
    def traffic(self) -> Quantity:
        """Bytes that the rank sends in one step."""
        layout, run, m = self.layers.layout, self.run, self.sizes
        tokens = m["batch_size"] * m["rank_tokens"]
        hidden = tokens * m["d_model"]
        n = {"rank_layers": self.layers.n_layers, "micro_batches": run.gradient_accumulation}
        of_pipeline = chosen(layout.pipeline_parallel > 1, hidden * m["hidden"], 0)
        parts = [
            sent.tensor_messages(
                **n,
                tensor_parallel=layout.tensor_parallel,
                all_reduces=6 if run.recompute in ("full", "selective_ops") else 4,
                hidden_bytes=hidden * m["products"],
            ),
            sent.pipeline_messages(
                interleave=layout.interleave,
                pipeline_ends=self.layers.is_first + self.layers.is_last,
                micro_batches=run.gradient_accumulation,
                hidden_bytes=of_pipeline,
                split=m["split"],
            ),
            sent.ring_messages(
                **n,
                context_parallel=layout.context_parallel,
                block_bytes=2 * tokens * m["n_kv_heads"] * m["d_head"] * m["products"],
            ),
            sent.dispatch_messages(
                **n,
                expert_parallel=layout.expert_parallel,
                dispatched_bytes=hidden * m["top_k"] * m["products"] / m["split"],
            ),
            *self._between_replicas(),
        ]
        return total("traffic", r"C_\text{messages}", *parts)

    def _between_replicas(self) -> list[Quantity]:
        """What it sends to the ranks that hold the same weights; of experts these are fewer."""
        layout, run = self.layers.layout, self.run
        parts = []
        for experts, n in self.holds.parameters.items():
            gathered = self.holds.stored(experts=experts, shards=1, cast=self.sizes["products"])
            if not gathered:
                continue
            replicas = layout.sharing(0, experts=experts)
            each = self.holds.of_trained(lambda numbers: numbers.gradient_bytes, experts=experts)
            sizes = {"rank_parameters": n, "gradient_bytes": each, "replicas": replicas}
            part = sent.gradient_messages(**sizes)
            if np.any(layout.zero_stage >= 3):
                whole = summed("gathered_bytes", SYMBOLS["gathered_bytes"].tex, gathered)
                sharded = sent.sharded_messages(**sizes, gathered_bytes=whole, micro_batches=run.gradient_accumulation)
                part = replace(sharded, value=chosen(layout.zero_stage >= 3, sharded.value, part.value))
            parts.append(part.named(f"expert_{part.id}") if experts else part)
        return parts
