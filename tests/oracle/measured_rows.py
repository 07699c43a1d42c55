"""Merge measured training steps into the rows that the package ships, under the names of llmcalc's inputs.

    python tests/oracle/measured_rows.py rows.jsonl [name of the instrument]

Each line of the file is a step as an instrument wrote it: ``model``, ``config``, ``B``, ``S``, ``recipe``, ``attn``,
``optimizer``, ``ckpt``, ``dropout``, ``loss``, ``hold_logits``, and in bytes ``param_bytes``, ``buffer_bytes``,
``opt_bytes``, ``saved``, ``phase_peaks`` and the peaks. A step that is there already, measured with the same
instrument, is replaced. Computes nothing: figures go from file to file as they are.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parents[2] / "llmcalc" / "accuracy" / "steps.jsonl"
FIRST_INSTRUMENT = "first"  # its code is not in this repository
OPTIMIZERS = {
    "adamw_for": "adamw_for_loop",
    "sgd_mom": "sgd_momentum",
    "adafactor_hf": "adafactor",
}
IMPLEMENTATIONS = {"adafactor": "transformers", "adafactor_hf": "transformers"}
BASES = {"NF4": "NF4-double"}  # its scales were quantised too, as the bytes of the weights say
PEFT = {"prepare_kbit": "kbit_prepared", "input_require_grads": "input_require_grads"}
DECAY = 0.01  # how large it is changes nothing
LOSSES = {"liger": "fused"}
RECOMPUTED = {"selective_ops": "selective_ops"}


def renamed(row: Mapping[str, Any], instrument: str) -> dict[str, Any]:
    """A row of the instrument as the package ships it. New rows are unseen, unless they say otherwise."""
    nanogpt = row["model"] == "nanogpt"
    again = row.get("accumulation", 1) > 1  # onto gradients that are there already
    phases = {("fwdA" if again else "fwd1"): "forward", ("bwdA" if again else "bwd1"): "backward", "opt1": "optimizer"}
    peaks = {ours: row["phase_peaks"][theirs] for theirs, ours in phases.items()}
    phase = max(peaks, key=peaks.__getitem__)
    saved = row.get("saved") or {}
    at = {} if again else {ours: row[f"at_{theirs}"]["op"].removeprefix("aten.") for theirs, ours in phases.items()}
    return {
        "model": row["model"],
        "config": nanogpt_dimensions(row["config"]) if nanogpt else row["config"],
        "instrument": row.get("instrument", instrument),
        "group": "reentrant" if row["ckpt"] == "reentrant" else row.get("group", "family"),
        "seen": row.get("seen", False),
        "run": {
            "batch_size": row["B"],
            "seq_len": row["S"],
            "precision": row["recipe"],
            "attention": row["attn"],
            "recompute": row.get("recompute") or RECOMPUTED.get(row["ckpt"], "full" if row["ckpt"] else "none"),
            "dropout": row["dropout"],
            **loss_of("plain" if nanogpt and row["loss"] == "hf" else row["loss"]),
            "keep_logits": row["hold_logits"],
            **optimizer_of(row["optimizer"]),
            **({"gradient_accumulation": row["accumulation"]} if again else {}),
            **settings_of(row),
        },
        **({"beside": beside} if (beside := beside_of(row)) else {}),
        "parameters": row["n_params"],
        "weight_bytes": row["param_bytes"],
        "buffer_bytes": row["buffer_bytes"],
        "optimizer_bytes": row["opt_bytes"],
        # what waits in the host's memory is on no device, and what is kept of a stretch that runs again no node's
        "saved": None if row.get("offload") or row["ckpt"] == "selective_ops" else saved.get("total"),
        "weight_casts": saved.get("weight_casts"),
        "held": saved.get("held"),
        "peaks": peaks,
        **({"at": at} if at else {}),
        "peak": peaks[phase],
        "peak_phase": phase,
    }


def optimizer_of(name: str) -> dict[str, Any]:
    """The optimizer, and whether weights decay."""
    plain = name.removesuffix("_wd")
    return {"optimizer": OPTIMIZERS.get(plain, plain)} | ({"weight_decay": DECAY} if plain != name else {})


def settings_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of fine-tuning, and those that `TrainingRun` has no argument for: what is at its default is left out."""
    found: dict[str, Any] = {}
    if row.get("mask") == "padded":
        found["padding"] = True
    for theirs, ours in (("use_cache", "use_cache"), ("offload", "activation_offload"), ("fp32_out", "fp32_outputs")):
        if row.get(theirs):
            found[ours] = True
    if not row.get("set_to_none", True):
        found["set_to_none"] = False
    if row.get("experts"):
        found["experts"] = row["experts"]
    if adapters := row.get("peft"):
        targets = adapters["target_modules"]
        found["lora_rank"] = adapters["r"]
        found["lora_targets"] = targets_of(targets)
        base = row.get("quant") or "same"
        found["lora_base"] = BASES.get(base, base)
        if adapters.get("lora_dropout"):
            found["lora_dropout"] = adapters["lora_dropout"]
        if not adapters.get("autocast_adapter_dtype", True):  # PEFT's default
            found["lora_precision"] = "same"
        found |= {ours: True for theirs, ours in PEFT.items() if adapters.get(theirs)}
        if adapters.get("modules_to_save"):
            found["modules_to_save"] = adapters["modules_to_save"]
    return found


def targets_of(adapted: str | list[str]) -> str | list[str]:
    """The modules that have adapters: all, those of attention, or a list."""
    if adapted == "all-linear":
        return "all"
    return "attention" if set(adapted) == {"q_proj", "k_proj", "v_proj", "o_proj"} else adapted


def beside_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What else was chosen, where that is a library's default or changes nothing."""
    found: dict[str, Any] = {}
    if row.get("mask") == "ones":
        found["mask"] = "ones"
    found |= {key: row[key] for key in ("scaler", "clip") if row.get(key)}
    if row["optimizer"] in IMPLEMENTATIONS:
        found["implementation"] = IMPLEMENTATIONS[row["optimizer"]]
    return found


def nanogpt_dimensions(config: Mapping[str, Any]) -> dict[str, Any]:
    """nanoGPT's own names as those of llmcalc's plain decoder, which is of the same shape."""
    names = {"d": "d_model", "L": "n_layers", "h": "n_heads", "V": "vocab_size", "block": "n_positions"}
    return {ours: config[theirs] for theirs, ours in names.items()} | {
        "attention_bias": config["bias"],
        "ffn_bias": config["bias"],
    }


def loss_of(name: str) -> dict[str, Any]:
    """ "chunked8" is a chunked loss in 8 pieces."""
    kind, pieces = re.fullmatch(r"(\w*?)(\d*)", name).groups()
    return {"loss": LOSSES.get(kind, kind)} | ({"loss_chunks": int(pieces)} if pieces else {})


def which(row: Mapping[str, Any]) -> str:
    """What tells a step from the others."""
    told = [row[key] for key in ("instrument", "model", "config", "run", "group")]
    return json.dumps([*told, row.get("beside")], sort_keys=True)


def merge(file: Path, instrument: str) -> None:
    """Put the steps of ``file`` beside those that are shipped, in the order of models and runs."""
    shipped = SHIPPED.read_text("utf-8").splitlines() if SHIPPED.exists() else []
    rows = {which(row): row for row in map(json.loads, shipped)}
    found = [renamed(json.loads(line), instrument) for line in file.read_text("utf-8").splitlines()]
    for row in found:
        row["seen"] = rows.get(which(row), row)["seen"]  # what was looked at once was looked at
        rows[which(row)] = row
    ordered = sorted(rows.values(), key=lambda row: (row["model"], which(row)))
    SHIPPED.write_text("".join(f"{json.dumps(row)}\n" for row in ordered), "utf-8")
    print(f"{len(found)} steps read, {len(rows)} shipped")


if __name__ == "__main__":
    merge(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else FIRST_INSTRUMENT)
