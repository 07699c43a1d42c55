"""Rules that say, layer by layer, how far attention sees and where experts are.

A rule is a function of the config and the number of layers; a family names the rule that its model class follows.
"""

from __future__ import annotations

from collections.abc import Callable

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, shown

Windows = tuple[int | None, ...]
WindowRule = Callable[[Keys, int], Windows]
SparseRule = Callable[[Keys, int], tuple[bool, ...]]

_BOUNDED = {"sliding_attention": True, "chunked_attention": True, "full_attention": False}


def everywhere(keys: Keys, n_layers: int) -> Windows:
    """Every layer sees ``sliding_window`` tokens; null is all of them."""
    return (keys.optional("sliding_window"),) * n_layers


def periodic(period: int | str, *, first_global: bool = False, window: str = "sliding_window") -> WindowRule:
    """One global layer in so many (a number, or the key that holds it), the last or the first of each group.

    ``layer_types`` overrides it. The key may hold letters instead: L for a local layer, G for a global one.
    """

    def rule(keys: Keys, n_layers: int) -> Windows:
        if isinstance(period, str) and keys.has(period) and isinstance(letters := keys.value(period), str):
            return _windows(keys, _by_letters(period, letters, n_layers), window)
        every = _period(keys, period)
        at = 0 if first_global else every - 1
        bounded = [every > 0 and i % every != at for i in range(n_layers)]
        return _windows(keys, bounded, window)

    return rule


def from_layer(start: str) -> WindowRule:
    """Layers from number ``start`` on see a window, if ``use_sliding_window`` (Qwen 2 and 3)."""

    def rule(keys: Keys, n_layers: int) -> Windows:
        if not keys.flag("use_sliding_window"):
            return _windows(keys, [False] * n_layers, None)
        first = keys.size(start, 0)
        return _windows(keys, [i >= first for i in range(n_layers)], "sliding_window")

    return rule


def from_layer_always(keys: Keys, n_layers: int) -> Windows:
    """Layers from ``max_window_layers`` on see a window (dots.llm1)."""
    first = keys.size("max_window_layers", 0)
    return _windows(keys, [i >= first for i in range(n_layers)], "sliding_window")


def everywhere_or_listed(keys: Keys, n_layers: int) -> Windows:
    """Every layer sees ``sliding_window`` tokens, unless ``layer_types`` says otherwise (Ministral)."""
    return _windows(keys, [True] * n_layers, "sliding_window")


def if_used(keys: Keys, n_layers: int) -> Windows:
    """Every layer sees ``sliding_window`` tokens, if ``use_sliding_window`` (Qwen 3 MoE)."""
    return everywhere(keys, n_layers) if keys.flag("use_sliding_window") else (None,) * n_layers


def qwen2_moe_windows(keys: Keys, n_layers: int) -> Windows:
    """Every other layer below ``max_window_layers``, if ``use_sliding_window``."""
    if not keys.flag("use_sliding_window"):
        return _windows(keys, [False] * n_layers, None)
    last = keys.size("max_window_layers", 0)
    return _windows(keys, [i % 2 == 0 and i < last for i in range(n_layers)], "sliding_window")


def smollm3_windows(keys: Keys, n_layers: int) -> Windows:
    """Layers without rotary positions see a window, if ``use_sliding_window``."""
    bounded = [False] * n_layers
    if keys.flag("use_sliding_window"):
        bounded = [not has_rope for has_rope in _has_rope(keys, n_layers)]
    return _windows(keys, bounded, "sliding_window")


def llama4_windows(keys: Keys, n_layers: int) -> Windows:
    """Layers with rotary positions see only their chunk of the text."""
    return _windows(keys, [bool(has_rope) for has_rope in _has_rope(keys, n_layers)], "attention_chunk_size")


def gpt_neo_windows(keys: Keys, n_layers: int) -> Windows:
    """Local layers see ``window_size`` tokens: listed in ``attention_layers``, or as patterns and how often."""
    kinds = keys.list_of("attention_layers", str, n_layers) if keys.given("attention_layers") else flat_patterns(keys)
    if len(kinds or ()) != n_layers or any(kind not in ("global", "local") for kind in kinds or ()):
        message = f"'attention_types' must name {n_layers} layers, each global or local"
        raise InputError("attention_types", message, code="attention_types", layers=n_layers)
    window = keys.size("window_size")
    return tuple(window if kind == "local" else None for kind in kinds or ())


def all_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """Every layer has experts."""
    return (True,) * n_layers


def after_dense(key: str) -> SparseRule:
    """The first layers, as many as ``key`` says, are dense; ``moe_layer_freq`` thins the others out."""

    def rule(keys: Keys, n_layers: int) -> tuple[bool, ...]:
        dense = keys.size(key, 0)
        every = keys.optional("moe_layer_freq") or 1
        return tuple(i >= dense and i % every == 0 for i in range(n_layers))

    return rule


def qwen_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """Every ``decoder_sparse_step``-th layer has experts, except those in ``mlp_only_layers``."""
    step = keys.size("decoder_sparse_step")
    dense = keys.list_of("mlp_only_layers", int) or ()
    return tuple(i not in dense and (i + 1) % step == 0 for i in range(n_layers))


def llama4_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """The layers listed in ``moe_layers``, else every ``interleave_moe_layer_step``-th."""
    listed = keys.list_of("moe_layers", int)
    if listed is None:
        step = keys.size("interleave_moe_layer_step")
        return tuple((i + 1) % step == 0 for i in range(n_layers))
    return tuple(i in listed for i in range(n_layers))


def ernie_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """Every ``moe_layer_interval``-th layer between a first and a last one (-1: the model's last)."""
    first, last = keys.size("moe_layer_start_index", 0), keys.size("moe_layer_end_index", -1)
    interval = keys.size("moe_layer_interval")
    last = n_layers - 1 if last == -1 else last
    return tuple((i + 1) % interval == 0 and first <= i <= last for i in range(n_layers))


def listed_sparse(dense_first: str | int) -> SparseRule:
    """``mlp_layer_types`` says dense or sparse for each layer; without it so many dense ones come first."""

    def rule(keys: Keys, n_layers: int) -> tuple[bool, ...]:
        kinds = keys.list_of("mlp_layer_types", str, n_layers)
        if kinds is None:
            dense = dense_first if isinstance(dense_first, int) else keys.size(dense_first, 0)
            return tuple(i >= dense for i in range(n_layers))
        if unknown := [kind for kind in kinds if kind not in ("dense", "sparse")]:
            message = f"a layer is dense or sparse, not {shown(unknown[0])}"
            raise InputError("mlp_layer_types", message, code="mlp_layer_types", found=shown(unknown[0]))
        return tuple(kind == "sparse" for kind in kinds)

    return rule


def listed_or_all_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """``mlp_layer_types`` or ``moe_layer_freq`` say of each layer whether it has experts; without them all have."""
    if keys.has("moe_layer_freq") and not keys.given("mlp_layer_types"):
        listed = keys.list_of("moe_layer_freq", int, n_layers)
        if listed is not None:
            return tuple(bool(entry) for entry in listed)
    return listed_sparse(0)(keys, n_layers)


def last_global(keys: Keys, n_layers: int) -> Windows:
    """The last layer sees everything, and every fourth before it, unless ``layer_types`` says otherwise."""
    return _windows(keys, [(n_layers - 1 - i) % 4 != 0 for i in range(n_layers)], "sliding_window")


def as_said(keys: Keys, n_layers: int) -> Windows:
    """``layer_types``; without it all layers see ``sliding_window`` tokens, unless ``use_sliding_window`` says not."""
    unused = keys.has("use_sliding_window") and keys.value("use_sliding_window") is False
    if not keys.given("layer_types") and (not keys.given("sliding_window") or unused):
        return (None,) * n_layers
    return _windows(keys, [True] * n_layers, "sliding_window")


def flint_windows(keys: Keys, n_layers: int) -> Windows:
    """The first two layers, every fourth and the last see everything, unless ``layer_types`` says otherwise."""
    return _windows(keys, [i >= 2 and i % 4 != 1 and i != n_layers - 1 for i in range(n_layers)], "sliding_window")


def flint_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """As Qwen's, but that the first two layers are dense where ``mlp_only_layers`` says nothing."""
    dense = keys.list_of("mlp_only_layers", int)
    step = keys.size("decoder_sparse_step")
    dense = [0, 1] if dense is None else dense
    return tuple(i not in dense and (i + 1) % step == 0 for i in range(n_layers))


def kimi_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """``mlp_layer_types``, or all layers but the first ``first_k_dense_replace``: one, where nothing says otherwise."""
    return listed_sparse("first_k_dense_replace" if keys.has("first_k_dense_replace") else 1)(keys, n_layers)


def axk1_sparse(keys: Keys, n_layers: int) -> tuple[bool, ...]:
    """``mlp_layer_types``, or as DeepSeek's: the first layer is dense where nothing says otherwise."""
    if keys.given("mlp_layer_types"):
        return listed_sparse(1)(keys, n_layers)
    dense = keys.optional("first_k_dense_replace", 0) if keys.has("first_k_dense_replace") else 1
    every = (keys.optional("moe_layer_freq") if keys.has("moe_layer_freq") else None) or 1
    return tuple(i >= (1 if dense is None else dense) and i % every == 0 for i in range(n_layers))


def _by_letters(key: str, letters: str, n_layers: int) -> list[bool]:
    if not letters or any(letter not in "LG" for letter in letters):
        message = f"{key!r} = {shown(letters)} is not modelled"
        raise InputError(key, message, ("LLLG",), code="key_not_modelled", key=key, found=shown(letters))
    return [letters[i % len(letters)] == "L" for i in range(n_layers)]


def _period(keys: Keys, period: int | str) -> int:
    if isinstance(period, int):
        return period
    return (keys.optional(period, 0) or 0) if keys.has(period) else 0


def _windows(keys: Keys, bounded: list[bool], window: str | None) -> Windows:
    """The window of each layer: ``layer_types`` where the config lists them, else as ``bounded`` says."""
    listed = refuse_other_layers(keys, len(bounded))
    if listed is not None:
        bounded = [_BOUNDED[kind] for kind in listed]
    size = keys.optional(window or "sliding_window", 0) if any(bounded) else None
    return tuple((size or None) if is_bounded else None for is_bounded in bounded)


def refuse_other_layers(keys: Keys, n_layers: int) -> list[str] | None:
    """``layer_types`` as the config lists them, if it does.

    Raises InputError for kinds that are no attention: state space models, convolutions, linear attention.
    """
    listed = keys.list_of("layer_types", str, n_layers)
    if unknown := [kind for kind in listed or () if kind not in _BOUNDED]:
        message = f"layers of kind {shown(unknown[0])} are not modelled"
        raise InputError("layer_types", message, tuple(_BOUNDED), code="layer_types", found=shown(unknown[0]))
    return listed


def _has_rope(keys: Keys, n_layers: int) -> list[int]:
    listed = keys.list_of("no_rope_layers", int)
    if listed:
        if len(listed) != n_layers:
            message = f"'no_rope_layers' has {len(listed)} entries for {n_layers} layers"
            key = "no_rope_layers"
            raise InputError(key, message, code="key_length", key=key, number=len(listed), layers=n_layers)
        return listed
    interval = keys.optional("no_rope_layer_interval") or 4
    return [int((i + 1) % interval != 0) for i in range(n_layers)]


def flat_patterns(keys: Keys) -> list[str]:
    """GPT-Neo's ``attention_types``: pairs of a pattern and how often it is repeated; null is twelve pairs."""
    value = keys.value("attention_types")
    if value is None:
        value = [[["global", "local"], 12]]
    layers: list[str] = []
    try:
        for pattern, times in value:
            if (
                type(times) is not int
                or not 0 <= times <= MOST_LAYERS
                or not all(type(kind) is str for kind in pattern)
            ):
                raise TypeError
            layers.extend(list(pattern) * times)
            if len(layers) > MOST_LAYERS:
                raise ValueError
    except (TypeError, ValueError):
        message = "'attention_types' must be a list of [pattern, how often]"
        raise InputError("attention_types", message, code="attention_patterns") from None
    return layers
