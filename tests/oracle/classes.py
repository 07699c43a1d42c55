"""Count the classes of transformers' maps at their default configs, and say which of them we count as they do.

Needs the development extra; builds on torch's meta device.

    python tests/oracle/classes.py            print the table: exact, in part, wrong, refused, not built by transformers
    python tests/oracle/classes.py --full     the same, each config with every key that its class writes to a file
    python tests/oracle/classes.py --write    write tests/golden/classes.jsonl and the totals in sized_classes.jsonl
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmcalc.errors import InputError
from llmcalc.huggingface import read_config
from llmcalc.huggingface.families import FAMILIES

logging.disable(logging.WARNING)
GOLDEN = Path(__file__).parents[1] / "golden" / "classes.jsonl"
SIZED = GOLDEN.with_name("sized_classes.jsonl")  # configs of other sizes than the classes' own
MAPS = {
    "masked": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "sequence to sequence": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "image and text": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "several kinds": "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "speech": "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
}
# Of these, the classes of families that are known
HEADS = {
    "causal": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "sequence classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "token classification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "question answering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "multiple choice": "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES",
    "next sentence": "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES",
    "without head": "MODEL_MAPPING_NAMES",
}


def classes() -> Iterator[tuple[str, str, str]]:
    """Map, model_type and class, each class once."""
    seen = set()
    for map, name in (MAPS | HEADS).items():
        for model_type, found in getattr(modeling_auto, name).items():
            class_name = found if isinstance(found, str) else found[0]
            if (model_type, class_name) not in seen and (map in MAPS or model_type in FAMILIES):
                seen.add((model_type, class_name))
                yield map, model_type, class_name


def counted(model_type: str, class_name: str, **given: Any) -> dict[str, Any]:
    """What the class has at its default config, but for what is given; or why transformers cannot build it so."""
    try:
        config = CONFIG_MAPPING[model_type].from_dict(given)
        if getattr(config, "pad_token_id", 0) is None:
            config.pad_token_id = 0
        with torch.device("meta"):
            model = getattr(transformers, class_name)(config)
    except Exception as error:  # whatever the class says, it cannot be built so
        return {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:80] if str(error) else ''}"}
    return {"total": sum(p.numel() for p in model.parameters())}


def found(model_type: str, class_name: str, total: int, full: bool = False) -> tuple[str, int]:
    """How we count it: exact, in part and said to be, wrong, or refused; and the difference."""
    config = {"model_type": model_type}
    if full:
        config = json.loads(json.dumps(CONFIG_MAPPING[model_type]().to_dict(), default=str))
    try:
        reading = read_config({**config, "architectures": [class_name]})
    except InputError:
        return "refused", 0
    difference = reading.model.parameters().value - total
    if difference and any(notice.id in ("other_head", "like_llama") for notice in reading.warnings):
        return "wrong with a warning", difference
    if difference and any(notice.id in ("language_part", "thinker") for notice in reading.notes):
        return "in part", difference
    return "wrong" if difference else "exact", difference


def sized(config: dict[str, Any]) -> dict[str, Any]:
    """A row of sizes of its own: the config, and what its class has."""
    given = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    return {"config": config, "total": counted(config["model_type"], config["architectures"][0], **given)["total"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the golden files again")
    parser.add_argument("--full", action="store_true", help="read every key that a class writes to a file")
    given = parser.parse_args()
    rows = [{"map": m, "model_type": t, "class": c, **counted(t, c)} for m, t, c in classes()]
    tally: Counter[tuple[str, str]] = Counter()
    for row in rows:
        how, difference = ("not built", 0)
        if "total" in row:
            how, difference = found(row["model_type"], row["class"], row["total"], given.full)
        tally[row["map"], how] += 1
        if how != "exact":
            print(f"{row['map']:<24}{how:<22}{row['model_type']:<26}{row['class']:<44}{difference:>16,}")
    for (map, how), number in sorted(tally.items()):
        print(f"{map:<24}{how:<22}{number:>5}")
    if given.write:
        GOLDEN.write_text("".join(json.dumps(row) + "\n" for row in rows))
        SIZED.write_text("".join(json.dumps(sized(json.loads(line)["config"])) + "\n" for line in SIZED.open()))


if __name__ == "__main__":
    main()
