"""PEFT's ``adapter_config.json``: whose adapter it is, of what rank, and on which matrices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmcalc.bases import NAME_OF_ROW
from llmcalc.catalog.models import models
from llmcalc.errors import InputError
from llmcalc.huggingface.keys import whole
from llmcalc.inputs import INPUTS

# Sets of modules that an option of ours stands for, by the names that LLaMA's kin give them
_ATTENTION = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})
_NETWORK = frozenset({"gate_proj", "up_proj", "down_proj"})
_TARGETS = {
    frozenset({"q_proj", "v_proj"}): "query_value",
    _ATTENTION: "attention",
    _ATTENTION | _NETWORK: "all",
    frozenset({"all-linear"}): "all",
}


def is_adapter(config: Mapping[str, Any]) -> bool:
    """Whether it is the file of an adapter, and not of a model."""
    return "peft_type" in config and "model_type" not in config


def inputs_of_adapter(config: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that an adapter's file decides: its base model, where the library has it, its rank and its targets.

    Raises InputError, which names what there is to set, where not all of it can be set here.
    """
    base, rank, targets = _base(config), config.get("r"), _targets(config)
    if rank is not None:
        whole("r", rank)
    option = _TARGETS.get(targets, "")
    model, declared = _library_name(base), INPUTS["lora_rank"]
    known = option in INPUTS["lora_targets"].ends
    fits = isinstance(rank, int) and not isinstance(rank, bool) and declared.ends[0] <= rank <= declared.ends[1]
    if model and fits and known and config.get("peft_type") == "LORA":
        return {"model": model, "lora_rank": rank, "lora_targets": option}
    told = ", ".join(sorted(targets)) or "?"
    text = (
        f"an adapter's file, of {base or '?'}: start from that model, and set LoRA's rank {rank} and targets ({told})"
    )
    raise InputError("config", text, code="adapter_to_set", base=base or "?", rank=str(rank), targets=told)


def _base(config: Mapping[str, Any]) -> str:
    base = config.get("base_model_name_or_path")
    return base.strip() if isinstance(base, str) else ""


def _targets(config: Mapping[str, Any]) -> frozenset[str]:
    given = config.get("target_modules")
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return frozenset(name for name in names if isinstance(name, str))


def _library_name(repository: str) -> str:
    """What the library calls the model of that repository; nothing where it does not have it."""
    for row in models().values():
        found = re.match(r"https://huggingface\.co/([^/]+/[^/]+)/", row.source)
        if found and found.group(1).casefold() == repository.casefold():
            return NAME_OF_ROW.get(row.id, "")
    return ""
