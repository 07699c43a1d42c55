"""Write llmcalc/huggingface/towers.json again: what the config classes of models with towers fill in, and of towers.

Needs the development extra. Only keys that our readers name are kept.

    python tests/oracle/tower_defaults.py
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import transformers
from defaults import ONLY_GIVEN, known
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmcalc.huggingface.beside import PARTS_OF, TOWERS
from llmcalc.huggingface.towers.encoders import BY_TYPE

FOLDER = Path(__file__).parents[2] / "llmcalc" / "huggingface"
KNOWN = known()
SHARED = (
    {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)} - {"tie_word_embeddings"}
) | ONLY_GIVEN


# Where the config of a tower, or of the language model, has another name than most give it
ELSEWHERE = {
    "canary": {"text_config": "decoder_config"},
    "speech-encoder-decoder": {"audio_config": "encoder", "text_config": "decoder"},
    "t5gemma2": {"vision_config": "encoder.vision_config", "text_config": "encoder.text_config"},
    "vision-encoder-decoder": {"vision_config": "encoder", "text_config": "decoder"},
}


def plain(config: Any) -> dict[str, Any]:
    """The values of a config that our readers know, its model_type first."""
    found = {key: value for key, value in config.to_dict().items() if key not in SHARED and f'"{key}"' in KNOWN}
    kept = {key: value for key, value in found.items() if not isinstance(value, dict)}
    return {"model_type": config.model_type, **dict(sorted(kept.items()))}


def of_class(config_class: Any) -> dict[str, Any]:
    """What a config class fills in, and other names that it takes."""
    missing = dataclasses.MISSING
    defaults = {
        field.name: field.default if field.default_factory is missing else field.default_factory()
        for field in dataclasses.fields(config_class)
        if (field.default, field.default_factory) != (missing, missing)
        and field.name not in SHARED
        and f'"{field.name}"' in KNOWN
    }
    made = config_class()
    for key, value in defaults.items():
        if value is None and isinstance(getattr(made, key, None), list):
            defaults[key] = getattr(made, key)  # a list that the class has of its own; a number is taken from others
    aliases: dict[str, list[str]] = {}
    for alias, key in getattr(config_class, "attribute_map", {}).items():
        for one, other in ((key, alias), (alias, key)):
            if f'"{one}"' in KNOWN:
                aliases.setdefault(one, []).append(other)
    return {"defaults": dict(sorted(defaults.items())), "aliases": aliases}


def left_out(config: Any, key: str) -> Any:
    """What the class of a tower fills in that the whole model's class leaves out by default; None where it has none."""
    if (spec := getattr(config, "sub_configs_defaults", {}).get(key)) is not None:
        return CONFIG_MAPPING[spec.model_type](**spec.init_kwargs)
    found = config.sub_configs.get(key)
    return found() if hasattr(found, "model_type") else None


def main() -> None:
    models, classes = {}, {}
    for name in sorted(set(TOWERS) & set(CONFIG_MAPPING)):
        config = CONFIG_MAPPING[name]()
        own = {k: v for k, v in plain(config).items() if k != "model_type"}
        row: dict[str, Any] = {"defaults": {**own, "tie_word_embeddings": getattr(config, "tie_word_embeddings", None)}}
        row["without"] = []
        for key in (*PARTS_OF, "text_config"):
            inner = config
            for part in ELSEWHERE.get(name, {}).get(key, key).split("."):
                inner = getattr(inner, part, None)
            if inner is None and key in PARTS_OF and (inner := left_out(config, key)) is not None:
                row["without"].append(key)  # there only where a file has it
            if inner is not None:
                row[key] = plain(inner)
                if key == "text_config" and row["defaults"]["tie_word_embeddings"] is not None:
                    row[key].pop("tie_word_embeddings", None)  # that is for the whole model to say
                elif key != "text_config":
                    classes[inner.model_type] = of_class(type(inner))
        row.setdefault("text_config", None)
        models[name] = row
    for name in BY_TYPE:
        if name not in classes and name in CONFIG_MAPPING:
            classes[name] = of_class(CONFIG_MAPPING[name])
    lines = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in models.items()]
    others = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(classes.items())]
    text = f'{{"written_by": "transformers {transformers.__version__}",\n "models": {{\n' + ",\n".join(lines)
    text += '\n},\n "classes": {\n' + ",\n".join(others) + "\n}}\n"
    json.loads(text)
    (FOLDER / "towers.json").write_text(text)
    print(f"{len(models)} models, {len(classes)} towers")


if __name__ == "__main__":
    main()
