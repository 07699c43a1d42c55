"""Write llmcalc/huggingface/defaults.json again: what each config class of transformers fills in, and its aliases.

Needs the development extra. Only keys that our readers name are kept.

    python tests/oracle/defaults.py
"""

from __future__ import annotations

import copy
import dataclasses
import json
from functools import cache
from pathlib import Path

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmcalc.huggingface.families import FAMILIES

COMMON_TO_ALL = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)}
# Names that a class still takes in its __post_init__
OLD_NAMES = {"bloom": {"hidden_size": ["n_embed"]}, "falcon": {"hidden_size": ["n_embed"]}}
# Classes that round d_head down, though no auto class builds them
ROUND_HEADS = {"qwen3_omni_moe_text"}
FOLDER = Path(__file__).parents[2] / "llmcalc" / "huggingface"
# Read of a file only where it says so, whatever its class would fill in
ONLY_GIVEN = {"n_group", "topk_group"}
NO_KEYS_OF_CLASSES = {"other_files.py", "quantized.py"}  # readers of other things that a file says


@cache
def known() -> str:
    """All that our readers of models say, the names of keys in quotes."""
    readers = (path for path in sorted(FOLDER.rglob("*.py")) if path.name not in NO_KEYS_OF_CLASSES)
    return "\n".join(path.read_text() for path in readers)


def row(model_type: str, known: str) -> dict[str, dict]:
    config_class = CONFIG_MAPPING[model_type]
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(config_class)
        if field.default is not dataclasses.MISSING
        and field.name not in COMMON_TO_ALL | ONLY_GIVEN
        and f'"{field.name}"' in known
    }
    defaults["tie_word_embeddings"] = getattr(config_class(), "tie_word_embeddings", False)
    aliases: dict[str, list[str]] = copy.deepcopy(OLD_NAMES.get(model_type, {}))
    for alias, key in getattr(config_class, "attribute_map", {}).items():
        for one, other in ((key, alias), (alias, key)):
            if f'"{one}"' in known and one not in ONLY_GIVEN:
                aliases.setdefault(one, []).append(other)
    found = {"defaults": dict(sorted(defaults.items())), "aliases": aliases}
    return {**found, "rounds_heads": True} if model_type in ROUND_HEADS or rounds_heads(model_type) else found


def rounds_heads(model_type: str) -> bool:
    """Whether the model can be built with a d_model that its heads do not divide, d_head rounded down."""
    names = next(f.names for name, f in FAMILIES.items() if (f.defaults_of or name) == model_type)
    if "d_head" not in names:
        return False
    sizes = {"d_model": 50, "n_heads": 4, "n_kv_heads": 4, "n_layers": 1, "n_experts": 2, "top_k": 1}
    try:
        fields = {field.name for field in dataclasses.fields(CONFIG_MAPPING[model_type])}
        given = {names[k]: v for k, v in sizes.items() if names.get(k) in fields}
        config = CONFIG_MAPPING[model_type](**given, **({"head_dim": None} if "head_dim" in fields else {}))
        with torch.device("meta"):
            transformers.AutoModel.from_config(config)
    except Exception:  # whatever the class says, it refuses
        return False
    return True


def main() -> None:
    families = sorted({family.defaults_of or name for name, family in FAMILIES.items()} & set(CONFIG_MAPPING))
    lines = [f"  {json.dumps(name)}: {json.dumps(row(name, known()))}" for name in families]
    text = (
        f'{{"written_by": "transformers {transformers.__version__}",\n "families": {{\n' + ",\n".join(lines) + "\n}}\n"
    )
    json.loads(text)
    (FOLDER / "defaults.json").write_text(text)
    print(f"{len(families)} families")


if __name__ == "__main__":
    main()
