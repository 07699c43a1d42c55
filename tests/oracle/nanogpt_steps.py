"""Measure training steps of nanoGPT, which is no class of transformers, at sizes that no other row has.

    PYTHONPATH=. python tests/oracle/nanogpt_steps.py model.py >unseen.jsonl

``model.py`` is that of github.com/karpathy/nanoGPT. A line a step, as `measured_rows.py` takes them in.
"""

from __future__ import annotations

import step_memory  # isort: skip  # before torch, for the fake GPU

import contextlib
import importlib.util
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

CONFIG = {"L": 5, "h": 10, "d": 640, "V": 24_064, "block": 1_024, "dropout": 0.0, "bias": True}
BATCH, LENGTH = 3, 448


def build(source: Path, attn: str, recipe: str, dropout: float) -> nn.Module:
    """nanoGPT behind the face that `step_memory` knows: labels in, an object with the loss and the logits out."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", source)
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code
    spec.loader.exec_module(code)
    sizes = {"n_layer": CONFIG["L"], "n_head": CONFIG["h"], "n_embd": CONFIG["d"], "vocab_size": CONFIG["V"]}
    told = code.GPTConfig(**sizes, block_size=CONFIG["block"], bias=CONFIG["bias"], dropout=dropout)

    class Faced(code.GPT):
        def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, use_cache: bool) -> Any:
            logits, loss = super().forward(input_ids, labels)
            return SimpleNamespace(logits=logits, loss=loss)

    dtype = torch.bfloat16 if recipe == "bf16" else torch.float32
    fused = nn.functional.scaled_dot_product_attention
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device("cuda"):
        if attn == "eager":
            del nn.functional.scaled_dot_product_attention  # which nanoGPT looks for
        try:
            model = Faced(told)
        finally:
            torch.set_default_dtype(usual)
            nn.functional.scaled_dot_product_attention = fused
    model.config = SimpleNamespace(is_encoder_decoder=False, block_size=CONFIG["block"], **sizes)
    model.config.get_text_config = lambda: SimpleNamespace(vocab_size=CONFIG["V"])
    return model.train()


def main(source: Path) -> None:
    torch.set_num_threads(1)
    for recipe, attn, dropout, held in itertools.product(
        ("amp_bf16", "bf16", "fp32"), ("sdpa", "eager"), (0.0, 0.1), (False, True)
    ):
        made = lambda *_, **__: build(source, attn, recipe, dropout)  # noqa: E731, B023
        # nanoGPT prints what it makes
        with mock.patch.object(step_memory, "build", made), contextlib.redirect_stdout(sys.stderr):
            row = step_memory.measure(
                {"model_type": "nanogpt"}, attn=attn, recipe=recipe, dropout=dropout, hold_logits=held,
                batch_size=BATCH, seq_len=LENGTH,
            )  # fmt: skip
        del row["saved_tensors"]
        row |= {"config": CONFIG, "group": "unseen"}
        print(json.dumps(row), flush=True)
        if not dropout:
            print(json.dumps({**row, "accumulation": 2}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
