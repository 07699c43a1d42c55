"""Every model_type of transformers' map of causal language models: its class's parameters beside ours.

At the config class's defaults, or, where these cannot be built, with the sizes in ``NEEDED``.

    python tests/oracle/table.py            the table, what is wrong first; exit status 1 where anything is
    python tests/oracle/table.py --write    write tests/golden/causal_models.jsonl again
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import transformers
from count import count
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from llmcalc.errors import InputError
from llmcalc.huggingface import read_config

GOLDEN = Path(__file__).parents[1] / "golden" / "causal_models.jsonl"
# What a class cannot be built without, though its defaults lack it
NEEDED = {
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128},
}


def counted(model_type: str) -> dict:
    """One row: the config, and what its class has or why it cannot be built."""
    config = {"model_type": model_type, **NEEDED.get(model_type, {})}
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    try:
        real = count({**config, "architectures": [name if isinstance(name, str) else name[0]]})
    except Exception as error:  # whatever the class says, it cannot be built so
        return {"config": config, "refused": f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"}
    config["architectures"] = [real["class_name"]]
    return {"config": config, "total": real["total"], "components": real["components"]}


def verdict(row: dict) -> tuple[str, str]:
    """Whether we are wrong, refuse it, agree in the total only, or are exact; and by how much, or why."""
    if "total" not in row:
        return "not built", row["refused"]
    try:
        ours = read_config(row["config"])
    except InputError as error:
        return "refused", str(error)
    off = ours.model.parameters().value - row["total"]
    if off:
        return "wrong", f"{off:+,} ({off / row['total']:+.2%}) {[notice.id for notice in ours.warnings]}"
    mine = {name: q.value for name, q in ours.model.components().items() if q.value}
    unlike = {
        name: (mine.get(name, 0), row["components"].get(name, 0))
        for name in mine.keys() | row["components"].keys()
        if mine.get(name, 0) != row["components"].get(name, 0)
    }
    return ("components", str(unlike)) if unlike else ("exact", f"{row['total']:,}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the golden file again")
    rows = {name: counted(name) for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)}
    found = {name: verdict(row) for name, row in rows.items()}
    order = ("wrong", "refused", "components", "not built", "exact")
    for name in sorted(found, key=lambda name: (order.index(found[name][0]), name)):
        print(f"{name:<28}{found[name][0]:<12}{found[name][1]}")
    print({kind: sum(kind == of for of, _ in found.values()) for kind in order})
    if parser.parse_args().write:
        versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
        kept = [{**row, **versions} for name, row in rows.items() if found[name][0] == "exact"]
        GOLDEN.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return int(any(kind == "wrong" for kind, _ in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
