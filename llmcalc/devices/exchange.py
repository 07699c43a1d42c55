"""What a rank exchanges with others: buffers of messages, and bytes sent in a step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from llmcalc.catalog.precisions import BYTES
from llmcalc.devices import formulas as f
from llmcalc.devices.holdings import Holdings, summed
from llmcalc.devices.layers import Layers
from llmcalc.devices.layout import chosen
from llmcalc.quantity import Quantity, total
from llmcalc.rates import messages as sent
from llmcalc.step.run import TrainingRun
from llmcalc.step.timeline import larger
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
    def buffers(self) -> Quantity:
        """All buffers that messages to and from other ranks need."""
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
                self.layers.layout.sharing(3) > 1,
                f.gathered_weights(
                    root_parameters=self._root,
                    block_parameters=self._largest_layer(),
                    element_bytes=m["products"],
                ),
            ),
            (
                self.layers.layout.sharing(2) > 1,
                f.reduce_buffer(
                    block_parameters=self._largest_layer(trains=True), gradient_bytes=run.trained.gradient_bytes
                ),
            ),
        ]
        terms = [
            replace(q, value=chosen(used, q.value, 0)) if isinstance(used, np.ndarray) else q
            for used, q in found
            if np.any(used)
        ]
        return summed("communication", r"M_\text{comm}", terms)

    @property
    def _root(self) -> Size:
        """Numbers in its weights outside the layers."""
        return sum(count * self.layers.pieces.elements(weights) for weights, count in self.layers.outside if weights)

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
