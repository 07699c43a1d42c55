"""What several of these decoders share."""

from __future__ import annotations

from llmcalc.huggingface.family import COMMON
from llmcalc.huggingface.plan import Kit
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Projection

FULL = "full_attention"
SLIDING = "sliding_attention"
NO_D_HEAD = {name: key for name, key in COMMON.items() if name != "d_head"}


def head_gate(kit: Kit, n_heads: int | None = None) -> Part:
    """A number for each head, by which what it found is multiplied."""
    return Projection(kit.d_model, n_heads or kit.keys.dimension("n_heads"), "head_gate", "attention")


def sparse_words(sparse: bool) -> str:
    """What a layer is called by whether it has a mixture, in words of [kinds]."""
    return "sparse" if sparse else "dense"
