"""One colour for each component and each kind of memory, on every page, in light and in dark ("light|dark").

Hues are those of Okabe and Ito's colour-blind-safe set. Memory that the model and its optimizer hold shares one hue in
steps of lightness; activations have the colour of the part that keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmcalc.quantity import Quantity

COLOURS = {
    "weights": "#2B1F80|#6C5FD6",
    "optimizer_state": "#6F63C9|#9990EA",
    "gradients": "#A9A0E6|#C3BCF6",
    "weight_casts": "#D8D3F5|#E4E0FB",
    "inputs": "#C9CCD1|#5E656F",
    "embedding": "#0072B2|#3D9BE0",
    "positions": "#7CC4EE|#A5DAF7",
    "attention": "#E69F00|#F0B429",
    "feed_forward": "#009E73|#1FB386",
    "norm": "#5A606A|#6F7682",
    "head": "#CC79A7|#E08FBC",
    "qk_norm": "#B8BCC4|#C6CAD2",
    "router": "#B5A642|#D6C75A",
    "experts": "#00684C|#0B8A66",
    "shared_experts": "#7FBF9F|#A9EBD2",
    "pooler": "#8E4585|#C77FBE",
    "logits": "#CC79A7|#E08FBC",
    "layer_activations": "#B5A642|#D6C75A",
    "residual": "#8A6642|#C39B72",
    "activation_gradients": "#A3281E|#E0685B",
    "kv_cache": "#D55E00|#F07F2E",
    "in_flight": "#E8C37A|#8A6A1F",
    "communication": "#56B4E9|#2F7FB8",
    "teacher": "#4D3B1F|#7D6B4B",
}

# Terms of the memory of a step, by the component that is drawn for them; a term not named here is its own component.
COMPONENT_OF = {
    "model_buffers": "weights",
    "optimizer_temporary": "optimizer_state",
    "attention_matrix": "attention",
    "saved_logits": "logits",
    "held_logits": "logits",
    "logits_gradient": "logits",
    "rounding": "inputs",
    "stored_whole": "weights",
    "stored_layers": "weights",
    "stored_embedding": "embedding",
    "stored_head": "head",
    "stored_rest": "norm",
    "teacher_weights": "teacher",
    "teacher_layer": "teacher",
    "teacher_logits": "logits",
    "soft_targets": "logits",
}

MARK = "#C1272D|#FF6B6B"  # what belongs to the reader: the device's memory, the present configuration
TEXT, MUTED = "theme:text", "theme:muted"
# Kinds of layers in one model, in its order: without hue, since hues are components
KINDS = ("#D5DAE0|#39424D", "#6B7480|#A9B2BD", "#A3ABB5|#6A7482", "#2F3640|#E3E7EC")
_BACKGROUNDS = ("#ffffff", "#11151a")  # those of .streamlit/config.toml, light and dark


def component_of(term_id: str) -> str:
    """The component that a term is drawn as."""
    id = term_id.removeprefix("activations_")
    return COMPONENT_OF.get(id, id)


def by_component(terms: Iterable[Quantity]) -> dict[str, float]:
    """Values of terms added up by component, in the order of the palette."""
    sums: dict[str, float] = {}
    for term in terms:
        sums[component_of(term.id)] = sums.get(component_of(term.id), 0) + term.value
    return {component: sums[component] for component in COLOURS if component in sums}


def paler(colour: str, share: float) -> str:
    """A colour of the palette with a share of the page's background mixed in."""
    sides = zip(colour.split("|"), _BACKGROUNDS, strict=True)
    return "|".join(_mixed(ink, paper, share) for ink, paper in sides)


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour of the palette."""
    return "|".join("#14181D" if _luminance(side) > 0.18 else "#FFFFFF" for side in colour.split("|"))


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [value / 255 for value in bytes.fromhex(colour[1:])]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mixed(ink: str, paper: str, share: float) -> str:
    channels = zip(bytes.fromhex(ink[1:]), bytes.fromhex(paper[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in channels)
