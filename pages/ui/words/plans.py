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
