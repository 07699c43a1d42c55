"""What decoders share some of whose layers keep a state: kinds of layers, names, factors."""

from __future__ import annotations

from llmcalc.errors import InputError
from llmcalc.huggingface.family import COMMON
from llmcalc.huggingface.keys import Keys, shown
from llmcalc.huggingface.stack import Recipe

LINEAR = "linear_attention"
FULL = "full_attention"
SLIDING = "sliding_attention"
# What tells kinds of layers apart on the screen
_TOLD = {LINEAR: "recurrent", FULL: "global", SLIDING: "local", "conv": "recurrent", "hybrid": "hybrid"}


def told(kind: str, sparse: bool) -> tuple[str, str]:
    """A layer's kind, and whether it has a mixture, in words of [kinds]."""
    return _TOLD[kind], "sparse" if sparse else "dense"


def expanded(keys: Keys, key: str, d_model: int) -> int:
    """``d_model`` times the factor under ``key``, which may be no whole number, rounded down."""
    value = keys.value(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 10**6:
        raise InputError(
            key, f"{key!r} must be a number, not {shown(value)}", code="key_not_whole", key=key, found=shown(value)
        )
    return max(1, int(value * d_model))


def number(keys: Keys, key: str) -> float:
    """A number that need not be whole.

    Raises InputError for anything else.
    """
    value = keys.value(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 10**6:
        raise InputError(
            key, f"{key!r} must be a number, not {shown(value)}", code="key_not_whole", key=key, found=shown(value)
        )
    return float(value)


PLAIN = Recipe()
MAMBA_NAMES = {"d_model": "hidden_size", "n_layers": "num_hidden_layers", "vocab_size": "vocab_size"}
WITHOUT_HEAD = {name: key for name, key in COMMON.items() if name != "d_head"}
