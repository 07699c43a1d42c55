"""Published shapes that the sliders can be set to: the article's example, GPT-2's four sizes, GPT-3's eight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmcalc.inputs import DEFAULTS, in_group
from llmcalc.sources import ARTICLE, BROWN_2020, RADFORD_2019, Citation

SHAPE = tuple(
    i.id for group in ("main", "architecture") for i in in_group(group) if i.id not in ("batch_size", "seq_len")
)


@dataclass(frozen=True)
class Preset:
    """A named shape: the inputs in which it differs from GPT-2 small. ``note`` is a key of ``words/`` or empty."""

    id: str
    source: Citation
    differs: Mapping[str, Any]
    note: str = ""

    def values(self) -> dict[str, Any]:
        """Every input that decides the shape of the model."""
        return {id: self.differs.get(id, DEFAULTS[id]) for id in SHAPE}


def _gpt2(id: str, d_model: int, n_layers: int, n_heads: int) -> Preset:
    return Preset(id, RADFORD_2019.at("table 2"), {"d_model": d_model, "n_layers": n_layers, "n_heads": n_heads})


def _gpt3(id: str, d_model: int, n_layers: int, n_heads: int, note: str = "") -> Preset:
    shape = {"d_model": d_model, "n_layers": n_layers, "n_heads": n_heads, "n_positions": 2048}
    return Preset(id, BROWN_2020.at("table 2.1"), shape, note)


ARTICLE_EXAMPLE = "Article's example"
PRESETS = {row.id: row for row in (
    Preset(ARTICLE_EXAMPLE, ARTICLE.at("B, worked example"),
           {"vocab_size": 50_000, "attention_bias": False, "final_norm": False, "positions": "none"}),
    _gpt2("GPT-2 124M", 768, 12, 12),
    _gpt2("GPT-2 Medium 355M", 1024, 24, 16),
    _gpt2("GPT-2 Large 774M", 1280, 36, 20),
    _gpt2("GPT-2 XL 1.5B", 1600, 48, 25),
    _gpt3("GPT-3 Small 125M", 768, 12, 12),
    _gpt3("GPT-3 Medium 350M", 1024, 24, 16),
    _gpt3("GPT-3 Large 760M", 1536, 24, 16),
    _gpt3("GPT-3 XL 1.3B", 2048, 24, 16, "gpt3_xl"),
    _gpt3("GPT-3 2.7B", 2560, 32, 32),
    _gpt3("GPT-3 6.7B", 4096, 32, 32),
    _gpt3("GPT-3 13B", 5120, 40, 40, "gpt3_13b"),
    _gpt3("GPT-3 175B", 12288, 96, 96),
)}  # fmt: skip


def name_of(values: Mapping[str, Any]) -> str | None:
    """The preset that these inputs are, or None: a name is always derived, so that no link can name one model and
    show another."""
    shape = {id: values[id] for id in SHAPE}
    return next((preset.id for preset in PRESETS.values() if preset.values() == shape), None)
