"""Measure passes without a gradient of every family, at sizes drawn by a seed.

    PYTHONPATH=. python tests/oracle/sized_passes.py SEED [--seen] [families] >passes.jsonl

A line a run, as `llmcalc/accuracy/inference.jsonl` has them: each family in each of `WAYS`, its sizes, batch and length
drawn anew. As with `sized_steps.py`, one seed is for looking at while the simulation is written (``--seen``), another
is measured then and looked at once. What cannot be measured is named on standard error.
"""

from __future__ import annotations

from passes import measure  # isort: skip  # before torch, for the fake GPU

import json
import random
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import sized_steps
import torch
from unseen_steps import WINDOWS

from llmcalc.errors import InputError
from llmcalc.huggingface import from_config
from llmcalc.huggingface.families import FAMILIES
from llmcalc.step.inference import InferenceRun, inference
from llmcalc.transformer.model import Model

WAYS: tuple[Mapping[str, Any], ...] = (
    {"attn": "sdpa", "cache": "dynamic"},
    {"attn": "eager", "cache": "dynamic"},
    {"attn": "sdpa", "cache": "static"},
    {"attn": "eager", "cache": "static"},
    {"attn": "sdpa", "cache": "dynamic", "logits": "all"},
    {"attn": "eager", "cache": "static", "logits": "all"},
)
GROUPS = {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}


def sizes(draw: random.Random) -> dict[str, int]:
    """The sizes of a plain decoder, under the names of `Dimensions`."""
    heads, head = draw.choice((4, 6, 8, 12)), draw.choice((64, 96, 128))
    return {
        "d_model": heads * head,
        "n_layers": 2 * draw.randint(1, 3),
        "n_heads": heads,
        "n_kv_heads": draw.choice((1, 2, heads)),
        "d_head": head,
        "d_ff": 64 * draw.randint(6, 40),
        "vocab_size": 500 * draw.randint(4, 30) + draw.choice((0, 7)),
        "n_positions": 1_024,
        "n_experts": draw.choice((4, 8)),
        "top_k": draw.choice((2, 3)),
        "d_expert": 32 * draw.randint(2, 10),
    }


def latent(drawn: Mapping[str, int], draw: random.Random) -> dict[str, int]:
    """Sides of latent attention."""
    rotary = draw.choice((16, 32))
    return {
        "kv_lora_rank": 32 * draw.randint(1, 5),
        "q_lora_rank": 32 * draw.randint(2, 6),
        "qk_rope_head_dim": rotary,
        "qk_nope_head_dim": draw.choice((32, 64)),
        "v_head_dim": draw.choice((32, 64)),
        "num_key_value_heads": drawn["n_heads"],
        "head_dim": rotary,
    }


def seeing(drawn: Mapping[str, int], draw: random.Random, head: int = 128) -> dict[str, Any]:
    """A language model within one that sees, its heads as wide as the default shares out among positions of three
    kinds."""
    tied = {"tie_word_embeddings": draw.random() < 0.5}  # which the model around it asks
    return {"hidden_size": head * drawn["n_heads"], "head_dim": head} | tied


def more(family: str, drawn: Mapping[str, int], draw: random.Random) -> dict[str, Any]:
    """What else a family's config needs."""
    if family in ("qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text"):
        return seeing(drawn, draw)
    if family in ("glm4v_text", "glm4v_moe_text"):
        return GROUPS | seeing(drawn, draw, 64 if family == "glm4v_text" else 128)
    if family in ("gptj", "codegen"):
        return {"rotary_dim": drawn["d_head"] // 2}
    if family in ("deepseek_v2", "deepseek_v3", "glm4_moe_lite"):
        return GROUPS | latent(drawn, draw) | {"n_shared_experts": 1} | {"topk_method": "greedy"}
    if family in ("glm4_moe", "exaone_moe", "solar_open", "dots1"):
        return GROUPS
    if family in ("granite_swa", "exaone4"):
        return {"layer_types": ["sliding_attention", "full_attention"] * (drawn["n_layers"] // 2)}
    return {"num_experts_per_tok": 2} if family == "phimoe" else {}  # its router takes two, whatever the config says


def config_of(family: str, draw: random.Random) -> dict[str, Any]:
    """The family at sizes of its own, its windows shorter than some prompts."""
    if family in sized_steps.FAMILIES:
        return {"model_type": family, "pad_token_id": 0, **sized_steps.FAMILIES[family](draw)}
    drawn = sizes(draw)
    named = {key: drawn[name] for name, key in FAMILIES[family].names.items() if name in drawn}
    config = {"model_type": family, "pad_token_id": 0, **named, **more(family, drawn, draw)}
    return config | {key: draw.choice((64, 160)) for key in WINDOWS if key in FAMILIES[family].names.values()}


def ways(model: Model) -> Iterator[Mapping[str, Any]]:
    """How to run it: with no kernel that it has not, and with no cache of one that caches nothing."""
    unlike = inference(model, InferenceRun(seq_len=2))
    caches = bool(unlike.kv_cache.value or unlike.states.value)
    for way in WAYS:
        known = model.code is not None and model.code.sdpa
        if (known or way["attn"] == "eager") and (caches or (way["cache"] == "dynamic" and "logits" not in way)):
            yield way


def main() -> None:
    torch.set_num_threads(1)
    seed, *families = [word for word in sys.argv[1:] if word != "--seen"]
    for family in families or sorted(FAMILIES):
        draw = random.Random(f"{seed} {family}")
        try:
            asked = list(ways(from_config(config_of(family, random.Random(seed)))))
        except InputError as error:  # nothing is simulated that could be compared
            print(f"{family}: {error}"[:200], file=sys.stderr)
            continue
        for way in asked:
            config = config_of(family, draw)
            run = {"batch_size": draw.randint(1, 4), "seq_len": draw.choice((96, 128, 201, 300, 411, 512, 640))}
            try:
                row = measure(config, **run, **way)
            except Exception as error:  # what a family cannot do is no fault of the others
                print(f"{family} {json.dumps(way)}: {error!r}"[:200], file=sys.stderr)
                continue
            print(json.dumps({**row, "seen": "--seen" in sys.argv}), flush=True)


if __name__ == "__main__":
    main()
