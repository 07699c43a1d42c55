"""Inference as it was measured on the real code of transformers: weights, the cache at its fullest, peaks of a pass.

``inference.jsonl`` has a row a run: prefill of ``seq_len`` tokens and a few steps of decoding, measured like the
training steps of `llmcalc.accuracy.rows`, with torch 2.13 and transformers 5.23. Golden, and ``seen`` like those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from llmcalc.accuracy.kept import PASSES, kept, key_of
from llmcalc.huggingface import from_config
from llmcalc.serving.held import inference_memory
from llmcalc.step.inference import InferenceRun, inference
from llmcalc.transformer.model import Model

_NEW_TOKENS = 3  # where no cache grows by them
WHAT = ("held", "decode_peak", "prefill_peak")


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredInference:
    """One run; what is measured is in bytes.

    ``run`` are the arguments of `inference_memory`. ``beside``: the kernel of attention, whether the cache is "dynamic"
    or "static", for how many tokens it holds keys and values at the end, and of how many tokens logits are computed.
    ``cache_bytes`` is the cache at the end, the peaks are those of the two kinds of passes with all that is held.
    """

    model: str
    config: Mapping[str, Any]
    instrument: str
    seen: bool
    run: Mapping[str, Any]
    beside: Mapping[str, Any]
    weight_bytes: int
    cache_bytes: int
    prefill_peak: int
    decode_peak: int

    @property
    def family(self) -> str:
        """The model_type whose code ran."""
        return str(self.config["model_type"])

    @property
    def key(self) -> str:
        """By what the prediction of its peaks is kept."""
        return key_of(self.config, self.run, self.beside)

    def built(self) -> Model:
        """The model that was measured."""
        return from_config(self.config)

    @property
    def as_run(self) -> InferenceRun:
        """The run as the simulation is asked for it: a dynamic cache has grown by the new tokens."""
        run, beside = self.run, self.beside
        grows = beside["cache"] == "dynamic" and beside["cached_tokens"]
        return InferenceRun(
            batch_size=run["batch_size"],
            seq_len=run["seq_len"],
            cache=beside["cache"],
            attention=beside["attention"],
            weights=run["weight_format"],
            kv_cache=run["cache_format"],
            logits="last" if beside["logits_to_keep"] else "all",
            new_tokens=beside["cached_tokens"] - run["seq_len"] if grows else _NEW_TOKENS,
        )

    def measured(self, what: str) -> int:
        """What was measured: "held" are weights and cache, or one of the two peaks."""
        held = self.weight_bytes + self.cache_bytes
        return {"held": held, "decode_peak": self.decode_peak, "prefill_peak": self.prefill_peak}[what]


@cache
def measured_inference() -> tuple[MeasuredInference, ...]:
    """Every measured run, model by model."""
    text = resources.files("llmcalc.accuracy").joinpath("inference.jsonl").read_text("utf-8")
    return tuple(MeasuredInference(**json.loads(line)) for line in text.splitlines())


@cache
def predicted(row: MeasuredInference, what: str) -> float:
    """What is predicted for such a run, in bytes: weights and cache as counted, peaks as simulated."""
    if what == "held":
        asked = {**row.run, "seq_len": row.beside["cached_tokens"]}
        return float(inference_memory(row.built(), **asked).value)
    return float((kept(PASSES).get(row.key) or predict_peaks(row))[what])


def predict_peaks(row: MeasuredInference) -> Mapping[str, float]:
    """Both peaks, simulated."""
    found = inference(row.built(), row.as_run)
    return {"prefill_peak": found.prefill_peak.value, "decode_peak": found.decode_peak.value}


def error_of(row: MeasuredInference, what: str) -> float:
    """What is predicted, against what was measured: as a share, negative where it is too small."""
    return predicted(row, what) / row.measured(what) - 1
