"""What engines print of memory when they start, in logs of public threads, beside what is predicted for the same job.

``serving_logs.jsonl`` has those of vLLM and SGLang (GiB are 2³⁰ bytes), ``llamacpp_logs.jsonl`` those of llama.cpp and
what is built on it (MiB are 2²⁰). Whoever wrote the rules had seen most; those that are not ``seen`` were found when
the rules stood, and none was changed for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from llmcalc.accuracy.speed import Likely
from llmcalc.cached import cached_property
from llmcalc.catalog.models import models
from llmcalc.huggingface import from_config
from llmcalc.serving.job import CUSTOM, OF_LLAMA_CPP, Serving
from llmcalc.serving.ranks import ranks
from llmcalc.serving.serve import serve
from llmcalc.serving.weights import weights_line
from llmcalc.transformer.model import Model
from llmcalc.units import GiB, MiB

FIGURES = ("weights", "kv_tokens", "max_concurrency", "kv_available", "kv_cache", "states", "compute_buffer")
_AMPLE = 2**45  # bytes: a device on which the job starts, where the log does not say on what it ran
_SMALLEST_POOL = 1.0  # GiB: what is left of a device after all else is told to so many hundredths
_MOST_ACTIVATIONS = 9.0  # GiB: started with more sequences than the log says
_SGLANG_ANGLES, _ANGLES = 4, 2  # bytes of a number in the tables of angles


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedLog:
    """One start of an engine, as far as somebody posted it.

    ``library`` is the row of the library whose shape it has, or ``config`` its config.json, with ``config_changes``.
    ``serving`` are the arguments of `Serving` that are known; ``total_gib`` what the device has, where the log says it.
    ``printed`` in the units of its file. ``note``: what is not known of its weights. ``build_of``: whose llama.cpp.
    ``seen``: whether whoever wrote the rules had it at hand.
    """

    serving: Mapping[str, Any]
    printed: Mapping[str, float]
    source: str
    model: str = ""
    library: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    config_changes: Mapping[str, Any] = field(default_factory=dict)
    total_gib: float | None = None
    note: str = ""
    about: str = ""
    id: str = ""
    build_of: str = ""
    seen: bool = True

    @property
    def engine(self) -> str:
        """Whose log it is."""
        return str(self.serving["engine"])

    @cached_property
    def built(self) -> Model:
        """The model that was served."""
        return from_config({**(self.config or models()[self.library].config), **self.config_changes})

    def job(self, **more: Any) -> Serving:
        """How it was started; the pools of vLLM and SGLang hold no request longer than the model was made for."""
        asked, most = {**self.serving, **more}, self.built.context
        if most and self.engine not in OF_LLAMA_CPP:
            asked["context"] = min(asked.get("context", Serving.context), most)
        return Serving(**asked)


@dataclass(frozen=True)
class LoggedFigure:
    """A figure that was printed, and what is predicted for it, in bytes or tokens."""

    log: ServedLog
    figure: str
    printed: float
    predicted: float

    @property
    def error(self) -> float:
        """How far what is predicted is from it, as a share."""
        return self.predicted / self.printed - 1


@cache
def served_logs() -> tuple[ServedLog, ...]:
    """Every log."""
    folder = resources.files("llmcalc.accuracy")
    texts = (folder.joinpath(f"{name}.jsonl").read_text("utf-8") for name in ("serving_logs", "llamacpp_logs"))
    return tuple(ServedLog(**json.loads(line)) for text in texts for line in text.splitlines())


@cache
def logged_figures() -> tuple[LoggedFigure, ...]:
    """Every figure of every log that settings decide."""
    return tuple(found for log in served_logs() for found in _of_log(log))


FEWEST = 4  # figures that a spread is told from


@cache
def likely_memory(figure: str, engine: str) -> Likely | None:
    """The spread of a figure, from the logs of the engine or, for what is built on llama.cpp, of all such; None where
    too few printed it."""
    alike = OF_LLAMA_CPP if engine in OF_LLAMA_CPP else (engine,)
    errors = [row.error for row in logged_figures() if row.figure == figure and row.log.engine in alike]
    if len(errors) < FEWEST:
        return None
    measured = 1 / (1 + np.array(errors))
    return Likely(float(np.percentile(measured, 10)), float(np.percentile(measured, 90)), len(errors), "engine")


def _of_log(log: ServedLog) -> Iterator[LoggedFigure]:
    if log.engine in OF_LLAMA_CPP:
        served = serve(log.built, log.job(device=CUSTOM, device_memory=_AMPLE))
        for name, figure, unit in (
            ("model_size_gib", "weights", GiB), ("kv_mib", "kv_cache", MiB), ("recurrent_mib", "states", MiB),
            ("compute_mib", "compute_buffer", MiB),
        ):  # fmt: skip
            if name in log.printed:
                yield LoggedFigure(log, figure, log.printed[name] * unit, float(getattr(served, figure).value))
        return
    yield from _weights(log)
    yield from _of_printed_pool(log)
    yield from _pool(log)


def _weights(log: ServedLog) -> Iterator[LoggedFigure]:
    """The line of weights, which is of one of the ranks: of that which it is nearest to."""
    if "weights_gib" not in log.printed or log.note:
        return
    job, printed = log.job(), log.printed["weights_gib"] * GiB
    angles = _SGLANG_ANGLES if job.engine == "sglang" else _ANGLES
    lines = [weights_line(rank, job.weight_format, angle_bytes=angles).value for rank in ranks(log.built, job)]
    yield LoggedFigure(log, "weights", printed, float(min(lines, key=lambda line: abs(line - printed))))


def _of_printed_pool(log: ServedLog) -> Iterator[LoggedFigure]:
    """Tokens of the pool that was printed, and how many requests it holds at once."""
    printed = log.printed
    tokens = printed.get("kv_tokens", 16 * printed.get("gpu_blocks", 0))
    if printed.get("available_kv_gib", 0) <= 0 or not tokens:
        return
    pool = round(printed["available_kv_gib"] * GiB)
    served = serve(log.built, log.job(kv_cache_memory=pool, device=CUSTOM, device_memory=300 * GiB))
    yield LoggedFigure(log, "kv_tokens", tokens, float(served.kv_tokens.value))
    if "max_concurrency" in printed and log.engine == "vllm":
        yield LoggedFigure(log, "max_concurrency", printed["max_concurrency"], float(served.max_concurrency.value))


def _pool(log: ServedLog) -> Iterator[LoggedFigure]:
    """What is left for the cache, from the device and the share of it that the engine may take alone."""
    printed = log.printed
    is_told = log.total_gib and "memory_utilization" in log.serving
    if not is_told or printed.get("available_kv_gib", 0) < _SMALLEST_POOL:
        return
    if printed.get("activation_peak_gib", 0) > _MOST_ACTIVATIONS:
        return
    total = float(log.total_gib or 0)
    device = "H100 SXM" if total == 79.18 else CUSTOM
    served = serve(log.built, log.job(device=device, device_memory=round(total * GiB)))
    yield LoggedFigure(log, "kv_available", printed["available_kv_gib"] * GiB, float(served.kv_available.value))
