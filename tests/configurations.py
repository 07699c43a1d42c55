"""Configurations of every kind, for tests over all of them; and the files that a page offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamlit.runtime.media_file_manager import MediaFileManager

from llmcalc.bases import base, compact
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS, PASTED

HOSTILE = "<script>alert(1)</script>"
PASTED_CONFIG = {"model_type": HOSTILE, "architectures": [HOSTILE], "hidden_size": 64, "intermediate_size": 128}
PASTED_CONFIG |= {"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1_000}


def configured(model: str, **changes: Any) -> Configuration:
    """A model of the library as the dashboard starts with it, with changes."""
    return Configuration(DEFAULTS | {"model": model} | dict(base(model).values) | changes)


def pasted(**changes: Any) -> Configuration:
    """A config.json that tries to be more than text."""
    config = compact(PASTED_CONFIG)
    return Configuration(DEFAULTS | {"model": PASTED, "config": config} | dict(base(PASTED, config).values) | changes)


ZERO = {"data_parallel": 8, "zero_stage": 3, "tensor_parallel": 2, "expert_parallel": 4, "precision": "bf16"}
LORA = {"lora_rank": 16, "lora_base": "NF4", "precision": "bf16", "batch_size": 2}
CONFIGURATIONS = {
    "preset": configured("GPT-2 124M"),
    "changed, article's account": configured("GPT-2 124M", n_layers=24, account="article", purpose="inference"),
    "mixture": configured("Mixtral 8x7B", compare="Llama 3 8B;n_layers=40|Mixtral 8x7B"),
    "latent attention, ZeRO-3": configured("DeepSeek-V3 671B", **ZERO),
    "encoder": configured("BERT base (encoder)", precision="fp32"),
    "encoder and decoder": configured("T5 small", attention="eager", recompute="full"),
    "LoRA": configured("Llama 3 8B", **LORA),
    "pasted": pasted(compare=f"{HOSTILE}|`{HOSTILE}`"),
}


def files_of(monkeypatch: Any) -> dict[str, Callable[[], str]]:
    """What makes each file that a page goes on to offer, under the file's name."""
    found: dict[str, Callable[[], str]] = {}

    def add(self: Any, make: Callable[[], str], kind: str, place: str, file_name: str = "", **_: Any) -> str:
        found[file_name] = make
        return file_name

    monkeypatch.setattr(MediaFileManager, "add_deferred", add)
    return found
