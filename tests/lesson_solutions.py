"""What solves each task of the lesson, and what looks like it and does not."""

from __future__ import annotations

from typing import Any

SOLUTIONS: dict[str, dict[str, Any]] = {
    "table": {"n_layers": 5},
    "slim": {"d_model": 640, "n_heads": 10},
    "squeeze": {"weight_format": "int8"},
    "rule": {"batch_size": 1, "seq_len": 128},
    "lighter": {"optimizer": "sgd"},
    "crossing": {"batch_size": 3},
    "accident": {"batch_size": 1},
    "tenth": {"n_layers": 49},
    "fit": {"recompute": "full", "loss": "fused"},
    "gpt3": {"d_model": 12_288, "n_layers": 96},
    "crowd": {"weight_format": "int4 g128", "cache_format": "fp8"},
    "turn": {"batch_size": 20},
}
# Each misses the condition that it stands under
CHEATS: dict[str, dict[str, dict[str, Any]]] = {
    "table": {
        "half_embedding": {"n_layers": 6},
        "same_width": {"d_model": 384, "n_layers": 5},
        "same_vocabulary": {"vocab_size": 200_000},
    },
    "slim": {
        "under_hundred": {"n_heads": 6},
        "same_layers": {"n_layers": 6},
        "same_vocabulary": {"vocab_size": 1_000},
        "sound": {"d_model": 640},
    },
    "squeeze": {
        "weights_fit": {"weight_format": "bf16"},
        "same_parameters": {"n_layers": 20},
        "same_device": {"accelerator": "H100 SXM"},
    },
    "rule": {
        "rule_holds": {"batch_size": 1},
        "same_parameters": {"n_layers": 1, "batch_size": 1, "seq_len": 128},
        "same_numbers": {"optimizer": "sgd_momentum", "batch_size": 1, "seq_len": 640},
        "all_train": {"lora_rank": 16, "batch_size": 6, "seq_len": 512},
    },
    "lighter": {
        "half_state": {"optimizer": "lion"},
        "same_parameters": {"n_layers": 20},
        "all_train": {"lora_rank": 16},
    },
    "crossing": {
        "outweighs": {"batch_size": 2},
        "just": {"batch_size": 4},
        "same_length": {"seq_len": 512, "batch_size": 6},
        "same_parameters": {"n_layers": 6, "batch_size": 2},
    },
    "accident": {
        "peaks_agree": {"batch_size": 2},
        "same_length": {"seq_len": 512, "batch_size": 2},
    },
    "tenth": {
        "lower_loss": {"n_layers": 48},
        "frugal": {"n_layers": 55},
        "sound": {"n_layers": 49, "n_heads": 10},
    },
    "fit": {
        "step_fits": {"recompute": "full"},
        "same_tokens": {"batch_size": 4},
        "same_numbers": {"precision": "bf16", "recompute": "full", "loss": "fused"},
        "all_train": {"lora_rank": 16, "recompute": "full", "loss": "fused"},
        "same_device": {"accelerator": "H100 SXM"},
        "one_device": {"recompute": "full", "loss": "fused", "offload_optimizer": True},
        "same_parameters": {"n_layers": 12, "recompute": "full", "loss": "fused"},
    },
    "gpt3": {
        "ninety_six": {"d_model": 17_280, "n_layers": 48},
        "gpt3_size": {"d_model": 12_032, "n_layers": 96, "n_heads": 16},
        "sound": {"d_model": 12_288, "n_layers": 96, "n_heads": 13},
    },
    "crowd": {
        "all_served": {"concurrency": 8},
        "same_context": {"context": 512},
        "same_device": {"accelerator": "H200 SXM"},
        "one_serves": {"serve_data": 4},
        "same_parameters": {"n_layers": 8},
    },
    "turn": {
        "computes": {"batch_size": 19},
        "just_computes": {"batch_size": 21},
        "same_length": {"seq_len": 64, "batch_size": 3},
        "same_parameters": {"n_layers": 24, "batch_size": 20},
        "same_device": {"accelerator": "H100 SXM", "batch_size": 37},
        "same_format": {"weight_format": "int8", "batch_size": 10},
    },
}
