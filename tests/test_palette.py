"""Colours can be told apart by everyone, on white and on black."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from llmcalc import LAWS
from llmcalc.bases import base
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS
from pages.content.question import bar
from pages.ui.figures.palette import COLOURS, KINDS, LAW_COLOURS, MARK, ink_on

# What stands side by side in one chart, bar against bar
TOGETHER = {
    "a dense model": ("embedding", "positions", "attention", "feed_forward", "norm", "head"),
    "a mixture of experts": ("embedding", "attention", "feed_forward", "router", "experts", "shared_experts", "head"),
    "memory": (
        *("weights", "optimizer_state", "gradients", "weight_casts", "attention", "feed_forward", "norm", "logits"),
        "kv_cache",
    ),
    "what has no hue": ("inputs", "norm", "qk_norm", "rest"),
    "the article's memory": ("weights", "optimizer_state", "gradients", "layer_activations", "attention", "logits"),
}
# What is stacked, one upon the other, in this order
STACKED = {
    "a step": (
        *("weights", "optimizer_state", "gradients", "weight_casts", "inputs", "embedding", "positions", "attention"),
        *("feed_forward", "norm", "head", "logits", "residual", "activation_gradients", "kv_cache"),
    ),
    "a step of a mixture of experts": (
        *("weights", "optimizer_state", "gradients", "weight_casts", "inputs", "embedding", "attention"),
        *("feed_forward", "norm", "head", "qk_norm", "router", "experts", "shared_experts", "logits", "residual"),
        "activation_gradients",
    ),
}
# Machado, Oliveira, Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency", table 1,
# severity 1.0: linear RGB seen without red-, green- or blue-sensitive cones
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
BACKGROUND = {"light": "#ffffff", "dark": "#11151a"}


def linear(colour: str) -> np.ndarray:
    """Linear RGB of #rrggbb (sRGB, IEC 61966-2-1)."""
    srgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(colour: str, sight: str) -> np.ndarray:
    """CIE Lab (D65) of a colour as an eye sees it."""
    seen = np.clip(np.array(SIGHT[sight]) @ linear(colour), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ seen / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", BACKGROUND)
@pytest.mark.parametrize("chart", TOGETHER)
def test_colours_of_one_chart_differ_clearly(chart, theme, sight):
    shade = {c: COLOURS[c].split("|")[theme == "dark"] for c in TOGETHER[chart]}
    distance = {(a, b): np.linalg.norm(lab(shade[a], sight) - lab(shade[b], sight)) for a, b in combinations(shade, 2)}
    # 2.3 is a just noticeable difference between two fields side by side; a legend needs several
    assert {pair: round(d, 1) for pair, d in distance.items() if d < 10} == {}


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", BACKGROUND)
@pytest.mark.parametrize("stack", STACKED)
def test_neighbours_in_a_stack_differ_clearly(stack, theme, sight):
    assert tuple(c for c in COLOURS if c in STACKED[stack]) == STACKED[stack], "not the order in which they are drawn"
    seen = [lab(COLOURS[c].split("|")[theme == "dark"], sight) for c in STACKED[stack]]
    # The next but one is a neighbour where the one between is absent
    pairs = [(at, at + step) for step in (1, 2) for at in range(len(seen) - step)]
    close = {(STACKED[stack][a], STACKED[stack][b]) for a, b in pairs if np.linalg.norm(seen[a] - seen[b]) < 10}
    assert close == set()


@pytest.mark.parametrize("theme", BACKGROUND)
@pytest.mark.parametrize("model", ["GPT-2 124M", "T5 base", "Mixtral 8x7B", "Qwen3 0.6B"])
def test_parts_of_a_devices_bar_differ_clearly_from_those_beside_them(model, theme):
    """One bar has a key and no names on it: "Other" and "Allocator, context" were one grey in the dark."""
    for asked in ({}, {"lora_rank": 8}, {"purpose": "inference", "engine": "transformers"}):
        found = bar(Configuration({**DEFAULTS, **base(model).values, "model": model} | asked))
        if found is None:  # refused
            continue
        drawn = [stretch.colour for stretch in found.stretches]
        assert len(set(drawn)) == len(drawn)
        seen = [lab(colour.split("|")[theme == "dark"], "normal") for colour in drawn]
        assert min(np.linalg.norm(a - b) for a, b in pairwise(seen)) >= 10


def contrast(colour: str, ground: str) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    one, other = (float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (colour, ground))
    return max(one, other) / min(one, other)


@pytest.mark.parametrize("theme", BACKGROUND)
def test_every_colour_stands_out_from_the_background_on_a_weak_projector(theme):
    drawn = {**COLOURS, **LAW_COLOURS, "mark": MARK, **dict(enumerate(KINDS))}
    ratio = {name: contrast(pair.split("|")[theme == "dark"], BACKGROUND[theme]) for name, pair in drawn.items()}
    # WCAG 2.2, 1.4.11: three to one
    assert {name: round(r, 2) for name, r in ratio.items() if r < 3} == {}


@pytest.mark.parametrize("theme", BACKGROUND)
def test_what_is_written_on_a_colour_can_be_read(theme):
    drawn = {**COLOURS, **LAW_COLOURS, **dict(enumerate(KINDS))}
    side = theme == "dark"
    ratio = {name: contrast(ink_on(pair).split("|")[side], pair.split("|")[side]) for name, pair in drawn.items()}
    # WCAG 2.2, 1.4.3: four and a half to one
    assert {name: round(r, 2) for name, r in ratio.items() if r < 4.5} == {}


def test_every_law_that_says_how_to_spend_a_budget_has_a_colour_of_its_own():
    assert set(LAW_COLOURS) == {law.id for law in LAWS.values() if "optimal" in law.answers}
    assert len(set(LAW_COLOURS.values())) == len(LAW_COLOURS)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
