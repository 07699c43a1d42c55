"""Measure steps where a rule of the simulation turns: sizes that divide nothing, the widest head of a kernel, biases of
experts, the scratch of optimizers.

    PYTHONPATH=. python tests/oracle/edge_steps.py >tests/golden/edge_steps.jsonl
"""

from __future__ import annotations

from step_memory import measure  # isort: skip  # before torch, for the fake GPU

import json
from typing import Any

import torch
from measured_rows import renamed

GPT2 = {"model_type": "gpt2", "n_embd": 128, "n_layer": 2, "n_head": 4, "vocab_size": 20_000, "n_positions": 512}
WIDE = {"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 500}
WIDE |= {"num_key_value_heads": 2, "intermediate_size": 256, "max_position_embeddings": 1024}
SCRATCH = WIDE | {"head_dim": 128, "vocab_size": 5_000}  # the table comes first, and is the largest
OSS = {"model_type": "gpt_oss", "hidden_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 32}
OSS |= {"num_key_value_heads": 2, "intermediate_size": 64, "num_local_experts": 4, "num_experts_per_tok": 4}
OSS |= {"vocab_size": 500, "max_position_embeddings": 512, "sliding_window": 512}
SETTINGS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    *((GPT2, {"batch_size": 3, "seq_len": 333, "loss": loss, "recipe": recipe, "optimizer": "adamw_fused"})
      for loss in ("chunked8", "chunked7", "liger8", "liger7") for recipe in ("amp_bf16", "bf16")),
    *((WIDE | {"head_dim": width}, {"batch_size": 2, "seq_len": 640, "recipe": recipe, "optimizer": "adamw_fused"})
      for width in (248, 256, 264, 320) for recipe in ("amp_bf16", "bf16")),
    *((OSS, {"batch_size": 2, "seq_len": 256, "recipe": recipe, "attn": "eager", "optimizer": "adamw_fused"})
      for recipe in ("amp_bf16", "bf16", "fp32")),
    *((SCRATCH, {"batch_size": 1, "seq_len": 16, "recipe": recipe, "optimizer": optimizer})
      for optimizer in ("adamw_foreach", "adamw_for", "adamw_fused", "sgd", "sgd_mom", "lion")
      for recipe in ("amp_bf16", "bf16")),
    (SCRATCH, {"batch_size": 1, "seq_len": 16, "recipe": "amp_bf16", "optimizer": "adafactor"}),
)  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    for config, setting in SETTINGS:
        row = measure(config, **setting)
        del row["saved_tensors"]
        print(json.dumps(renamed(row, "fake")), flush=True)


if __name__ == "__main__":
    main()
