"""What a plan for a cluster is called, and a layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from llmcalc.devices.layout import Layout
from llmcalc.words import w

# What a plan's name is made of, each said only where it differs from what one device has
_SAID = {
    "tensor_parallel": 1,
    "sequence_parallel": False,
    "pipeline_parallel": 1,
    "interleave": 1,
    "context_parallel": 1,
    "data_parallel": 1,
    "expert_parallel": 1,
    "zero_stage": 0,
    "micro_batch": None,
    "recompute": "none",
}
# What plans do not try, said of a layout where it is on
_UNPLANNED = tuple(declared.name for declared in fields(Layout) if not declared.metadata["is_planned"])


def plan_name(plan: Mapping[str, Any]) -> str:
    """A plan in short: TP 8 · SP · DP 8 · ZeRO-1 · micro-batch 1 × 4."""
    said = {**plan, "recompute": w(f"options.recompute.{plan['recompute']}")}
    return " · ".join(w(f"cluster.{key}", **said) for key, usual in _SAID.items() if plan[key] != usual)


def layout_name(layout: Layout) -> str:
    """A layout in short, without how the step is run: TP 8 · DP 8 · ZeRO-1."""
    sizes = asdict(layout)
    told = [w(f"cluster.{key}", **sizes) for key, usual in _SAID.items() if key in sizes and sizes[key] != usual]
    return " · ".join([*told, *(w(f"cluster.{name}") for name in _UNPLANNED if sizes[name])])


def plan_sentence(plan: Mapping[str, Any]) -> str:
    """A plan in words: 2-way tensor parallel in each of 2 pipeline stages, 16 copies of that, ZeRO stage 1."""
    inside = [
        w(f"plan_said.{key}", **plan)
        for key in ("tensor_parallel", "context_parallel", "expert_parallel")
        if plan[key] > 1
    ]
    told = [w("plan_said.and").join(inside)] if inside else []
    if plan["pipeline_parallel"] > 1:
        stages = w("plan_said.pipeline_parallel", **plan)
        told = [w("plan_said.in_each", inside=told[0], stages=stages) if told else stages]
    if plan["data_parallel"] > 1:
        told.append(w("plan_said.copies_of_that" if told else "plan_said.copies", **plan))
    if plan["zero_stage"]:
        told.append(w(f"plan_said.zero_{plan['zero_stage']}"))
    return ", ".join(told) or w("plan_said.one_device")
