"""One colour for each component and each kind of memory, on every page, in light and in dark ("light|dark").

Hues are near those of Okabe and Ito's colour-blind-safe set, dark or light enough for a weak projector: three to one
against the background (WCAG 1.4.11). Memory that the model and its optimizer hold shares one hue in steps of lightness;
activations have the colour of the part that keeps them. What has no hue stands far apart in lightness.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmcalc.quantity import Quantity

COLOURS = {
    "weights": "#171876|#695DD4",
    "optimizer_state": "#5A50B3|#8B83DB",
    "gradients": "#8A71B2|#B8B2EC",
    "weight_casts": "#8D90B1|#D8DAF6",
    "inputs": "#30363D|#807C72",
    "embedding": "#0D75B5|#4AA5EA",
    "positions": "#4D9BC3|#3A88AA",
    "attention": "#B38D25|#EFB327",
    "feed_forward": "#008E61|#12AA7C",
    "recurrent": "#9E4A2B|#D98B66",
    "indexer": "#3E7C2F|#86C26B",
    "per_layer_inputs": "#2F6F9E|#7FB8DD",
    "connections": "#7A5C86|#B79BC4",
    "norm": "#6A6869|#F6EBF5",
    "head": "#C774A1|#F29FCC",
    "qk_norm": "#4D525A|#96989C",
    "router": "#796F03|#DBCC5E",
    "experts": "#0F6E51|#5DC79F",
    "shared_experts": "#5E9F82|#4B917D",
    "pooler": "#904787|#B871AF",
    "vision_tower": "#2F5D50|#7FA79B",
    "audio_tower": "#7A4B2A|#C58F66",
    "projector": "#A0522D|#D98E5F",
    "mtp": "#4B3F72|#9C8FC9",
    "logits": "#873E6E|#CA7CA9",
    "layer_activations": "#857913|#C5B74B",
    "residual": "#9B7551|#D7AE87",
    "activation_gradients": "#BC3C2D|#EC7161",
    "kv_cache": "#ED5A0D|#C15800",
    "states": "#B8431A|#E08A4F",
    "in_flight": "#6D5410|#AA863B",
    "communication": "#0A8BBE|#4390C9",
    "teacher": "#4D3B1F|#7D6B4B",
    "other_models": "#2B4A4F|#6E979C",
    "rest": "#8B939D|#5F6874",
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
    "reference_model": "other_models",
    "reward_model": "other_models",
    "reward_head": "other_models",
    "value_model": "other_models",
    "value_head": "other_models",
    "rollout_engine": "other_models",
    "engine_weights": "other_models",
    "scored_layer": "layer_activations",
    "scored_logits": "logits",
    "teacher_weights": "teacher",
    "teacher_layer": "teacher",
    "teacher_logits": "logits",
    "soft_targets": "logits",
    "device_weights": "weights",
    "activation_peak": "layer_activations",
    "compute_buffer": "layer_activations",
    "requests_memory": "kv_cache",
    "tokens_memory": "kv_cache",
    "outside": "rest",
    "context_bytes": "rest",
}

# Scaling laws: one colour each, wherever it is drawn
LAW_COLOURS = {
    "kaplan_2020": "#B38D25|#EFB327",
    "hoffmann_2022_approach_1": "#8A71B2|#B8B2EC",
    "hoffmann_2022_approach_2": "#5A50B3|#8B83DB",
    "hoffmann_2022_approach_3": "#873E6E|#CA7CA9",
    "hoffmann_2022_approach_3_printed": "#C774A1|#F29FCC",
    "besiroglu_2024": "#0D75B5|#4AA5EA",
    "llama3_2024": "#008E61|#12AA7C",
    "deepseek_2024": "#9B7551|#D7AE87",
    "muennighoff_2023": "#ED5A0D|#E07B2E",
    "sardana_2023": "#796F03|#DBCC5E",
    "gadre_2024": "#6D5410|#AA863B",
    "kumar_2024": "#4D525A|#96989C",
    "krajewski_2024": "#3E7C2F|#86C26B",
}

MARK = "#C1272D|#FF6B6B"  # what belongs to the reader: the device's memory, the present configuration
TEXT, MUTED = "theme:text", "theme:muted"
# Kinds of layers in one model, in its order: without hue, since hues are components
KINDS = ("#8B939D|#5F6874", "#4A525C|#B5BDC7", "#6B7480|#8A939F", "#1F252B|#E3E7EC")
_EVEN = (1.05 * 0.05) ** 0.5 - 0.05  # the luminance on which black and white read alike (WCAG 2): 4.58 to one
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
    """Black or white, whichever reads better on a colour of the palette: one of them is always at 4.5 to one."""
    return "|".join("#000000" if _luminance(side) > _EVEN else "#FFFFFF" for side in colour.split("|"))


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [value / 255 for value in bytes.fromhex(colour[1:])]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mixed(ink: str, paper: str, share: float) -> str:
    channels = zip(bytes.fromhex(ink[1:]), bytes.fromhex(paper[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in channels)
