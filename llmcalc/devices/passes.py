"""The work of a training step: how often it goes through a forward pass's operations, recomputation included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llmcalc.quantity import Quantity, total
from llmcalc.rates.flops import adapter_flops, forward_flops, work_of_passes
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model

WEIGHTS, ATTENTION, LOGITS, ADAPTERS = "weights", "attention", "logits", "adapters"


def work_of_step(model: Model, run: TrainingRun, *, adapters: float = 0) -> Mapping[str, Quantity] | None:
    """Operations of one token in all passes of a step, by what they are for; None where they are not known.

    ``adapters`` are the parameters that LoRA trains, 0 without it.
    """
    forward = forward_flops(model, seq_len=run.seq_len)
    if forward is None:
        return None
    weights = forward.inputs["weight_flops"]
    if again := forward.inputs.get("flops_of_shared_weights"):
        weights = total("all_weight_flops", r"C_\text{weights}", weights, again)
    once = {WEIGHTS: weights}
    if attention := forward.inputs.get("all_attention_flops"):
        once[ATTENTION] = attention
    once[LOGITS] = forward.inputs["logits_flops"]
    if adapters:
        once[ADAPTERS] = adapter_flops(parameters=adapters)
    return {id: work_of_passes(flops=flops, passes=_passes(id, run)) for id, flops in once.items()}


def recomputed_share(model: Model, run: TrainingRun) -> float:
    """What recomputation of layers adds to a step's operations: a third where they are not known, for full runs the
    forward pass again beside one of it and a backward pass of two."""
    kept = replace(run, recompute="none")
    work, without = (work_of_step(model, how) for how in (run, kept))
    if work is None or without is None:
        return 1 / 3 if run.recompute == "full" else 0
    return float(sum(q.value for q in work.values()) / sum(q.value for q in without.values()) - 1)


def _passes(id: str, run: TrainingRun) -> float:
    """How many times a step goes through the operations of the forward pass: forward, backward for what went in and for
    the weights, and where the backward pass runs them again."""
    frozen = run.lora_rank > 0 and id in (WEIGHTS, LOGITS)
    layers = {"full": 1, "selective_ops": 1 / 2}.get(run.recompute, 0)  # of its products every second
    again = {
        WEIGHTS: layers,
        ADAPTERS: layers,
        ATTENTION: run.recompute in ("full", "selective"),
        LOGITS: run.loss == "chunked",
    }[id]
    return (2 if frozen else 3) + again
