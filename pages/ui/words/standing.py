"""What a number may be called, beside it: a word, and in a sentence what it means and how far off such rows were."""

from __future__ import annotations

from llmcalc.accuracy import ESTIMATE, MEASURED, SIMULATED, Standing
from llmcalc.accuracy.standing import Setting
from llmcalc.quantity import Quantity
from llmcalc.words import w, words
from pages.ui.words.numbers import error_share, exact

Headline = tuple[str, Quantity, Standing]

_COLOURS = {MEASURED: "green", SIMULATED: "blue", ESTIMATE: "orange"}


def label(standing: Standing) -> str:
    """The word: checked, simulated, an estimate; of a count of parameters counted, by formula, an estimate."""
    return w(f"standing.{standing.reason}")


def label_and_colour(standing: Standing) -> tuple[str, str]:
    """The word, and the colour of the small mark that it stands in."""
    return label(standing), _COLOURS[standing.label]


def badge(standing: Standing) -> str:
    """The word as a small mark in Markdown."""
    word, colour = label_and_colour(standing)
    return f":{colour}-badge[{word}]"


def why(standing: Standing) -> str:
    """What the word means here: what it rests on, and how far off that was."""
    key = f"standing_why.{standing.reason}"
    told = {"family": f"`{standing.family}`" if standing.family else w("standing_why.plain")}
    told["missing"] = "; ".join(map(setting_name, standing.missing))
    found = standing.errors
    if standing.reason == "counted" and found:
        return w(key, largest=error_share(found.largest))
    if found is None:
        return w(key, **told)
    off = {"largest": error_share(found.largest), "median": error_share(found.median)}
    unit = next((f"off_{kind}" for kind in ("run", "pass") if standing.reason.endswith(f"_{kind}")), "off")
    return f"{w(key, **told)} {w(f'standing_why.{unit}', count=exact(found.count), **off)}"


def standing_said(standing: Standing) -> str:
    """The word and what it means, as a sentence of a document."""
    return f"**{label(standing)}:** {why(standing)}"


def setting_name(setting: Setting) -> str:
    """A setting as the reader knows it: what the control is called, and what is chosen."""
    name, value = setting
    key = f"inputs.{name}.label"
    title = w(key) if key in words() else w(f"settings.{name}")
    if value is True:
        return title
    if value is False:
        return f"{title}: {w('report.off')}"
    named = zip(("lora_targets", "lora_base"), value.split("/"), strict=True) if name == "lora" else [(name, value)]
    return f"{title}: {', '.join(_option(input_id, option) for input_id, option in named)}"


def _option(input_id: str, option: object) -> str:
    """What a choice is called, by its control where that has a word for it."""
    key = f"options.{input_id}.{option}"
    return w(key) if key in words() else str(option)
