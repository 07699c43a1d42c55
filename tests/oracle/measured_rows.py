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

SHIPPED = Path(__file__).parents[2] / "llmcalc" / "catalog" / "measured_steps.jsonl"
FIRST_INSTRUMENT = "first"  # its code is not in this repository
OPTIMIZERS = {"adamw_for": "adamw_for_loop", "sgd_mom": "sgd_momentum"}
LOSSES = {"liger": "fused"}
PHASES = {"fwd1": "forward", "bwd1": "backward", "opt1": "optimizer"}


def renamed(row: Mapping[str, Any], instrument: str) -> dict[str, Any]:
    """A row of the instrument as the package ships it."""
    nanogpt = row["model"] == "nanogpt"
    peaks = row["phase_peaks"]
    return {
        "model": row["model"],
        "config": nanogpt_dimensions(row["config"]) if nanogpt else row["config"],
        "instrument": row.get("instrument", instrument),
        "group": "reentrant" if row["ckpt"] == "reentrant" else row.get("group", "family"),
        "run": {
            "batch_size": row["B"],
            "seq_len": row["S"],
            "precision": row["recipe"],
            "attention": row["attn"],
            "optimizer": OPTIMIZERS.get(row["optimizer"], row["optimizer"]),
            "recompute": "full" if row["ckpt"] else "none",
            "dropout": row["dropout"],
            **loss_of("plain" if nanogpt and row["loss"] == "hf" else row["loss"]),
            "keep_logits": row["hold_logits"],
        },
        "parameters": row["n_params"],
        "weight_bytes": row["param_bytes"],
        "buffer_bytes": row["buffer_bytes"],
        "optimizer_bytes": row["opt_bytes"],
        "saved": row["saved"]["total"],
        "weight_casts": row["saved"]["weight_casts"],
        "held": row["saved"]["held"],
        "peaks": {ours: peaks[theirs] for theirs, ours in PHASES.items()},
        "at": {ours: row[f"at_{theirs}"]["op"].removeprefix("aten.") for theirs, ours in PHASES.items()},
        "peak": row["peak_step"],
        "peak_phase": PHASES[row["peak_step_phase"]],
    }


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
    return json.dumps([row["instrument"], row["model"], row["config"], row["run"], row["group"]], sort_keys=True)


def merge(file: Path, instrument: str) -> None:
    """Put the steps of ``file`` beside those that are shipped, in the order of models and runs."""
    shipped = SHIPPED.read_text("utf-8").splitlines() if SHIPPED.exists() else []
    rows = {which(row): row for row in map(json.loads, shipped)}
    found = [renamed(json.loads(line), instrument) for line in file.read_text("utf-8").splitlines()]
    rows |= {which(row): row for row in found}
    ordered = sorted(rows.values(), key=lambda row: (row["model"], which(row)))
    SHIPPED.write_text("".join(f"{json.dumps(row)}\n" for row in ordered), "utf-8")
    print(f"{len(found)} steps read, {len(rows)} shipped")


if __name__ == "__main__":
    merge(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else FIRST_INSTRUMENT)
