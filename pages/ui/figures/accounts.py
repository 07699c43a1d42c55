"""The article's account of a moment and ours, in terms that both have."""

from __future__ import annotations

from llmcalc.quantity import Quantity
from pages.ui.figures.palette import by_component

# The terms of a moment that are told together when the article's account is set beside ours
_TOGETHER = {
    "logits": ("logits", "activation_gradients"),
    **{id: (id,) for id in ("weights", "optimizer_state", "gradients", "weight_casts", "inputs")},
}


def told_together(moment: Quantity) -> dict[str, float]:
    """A moment's terms in the few groups that both accounts have; all that is left is what layers keep."""
    sums, parts = {}, by_component(moment.parts)
    for group, members in _TOGETHER.items():
        sums[group] = sum(parts.pop(member, 0) for member in members)
    return {"layers": sum(parts.values()), **sums}
