"""Shapes of the plain decoder: the article's example, GPT-2's four sizes, GPT-3's eight."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import ARTICLE, BROWN_2020, RADFORD_2019, Citation
from llmcalc.transformer.dimensions import Dimensions


@dataclass(frozen=True)
class Preset:
    """A named shape. ``note`` is a key of ``presets`` in ``words/``, or empty."""

    id: str
    group: str
    source: Citation
    dimensions: Dimensions
    note: str = ""


def _gpt2(id: str, d_model: int, n_layers: int, n_heads: int) -> Preset:
    shape = Dimensions(d_model=d_model, n_layers=n_layers, n_heads=n_heads)
    return Preset(id, "GPT-2", RADFORD_2019.at("table 2"), shape)


def _gpt3(id: str, d_model: int, n_layers: int, n_heads: int, note: str = "") -> Preset:
    shape = Dimensions(d_model=d_model, n_layers=n_layers, n_heads=n_heads, n_positions=2048)
    return Preset(id, "GPT-3", BROWN_2020.at("table 2.1"), shape, note)


ARTICLE_EXAMPLE = "Article's example"
PRESETS = {row.id: row for row in (
    Preset(ARTICLE_EXAMPLE, "Article", ARTICLE.at("B, worked example"),
           Dimensions(vocab_size=50_000, attention_bias=False, final_norm=False, positions="none")),
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
