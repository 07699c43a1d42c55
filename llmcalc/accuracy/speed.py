"""How fast engines served models on real machines, as others measured it, and how far our predictions are from that.

``served_runs.csv`` has a row a run: benchmarks of vLLM, SGLang and TensorRT-LLM by SemiAnalysis InferenceX and others,
as collected in the PyPI package aiconfigurator-core 0.12.0 (``systems/silicon_sample.csv``, Apache-2.0; figures only).
Times are medians over the requests of a run. Where prompts were read on other devices the row is of those that decode.
``speed_fits.jsonl`` has the constants as ``tests/oracle/fit_speed.py`` fits them without each combination of model,
device, engine and precision: with these a run is predicted as if nobody had measured its combination.

The collector worked out how many devices there are. Where it came to more than are in one box (eight), it multiplied
what had to stand side by side, or added up several instances: such rows are `is_doubtful`, and not fitted.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.formats import CACHE_FORMATS
from llmcalc.catalog.models import model as published
from llmcalc.huggingface import from_config
from llmcalc.serving.speed import Load, Speed, Split, machine_of, speed
from llmcalc.serving.speed.constants import CONSTANTS, Constant
from llmcalc.transformer.model import Model

IN_A_BOX = 8
# The format of weights that a precision of the rows stands for, gpt-oss apart: its experts are MXFP4 as published
FORMATS = {"fp8": "fp8 128×128", "fp4": "NVFP4", "int4": "int4 g32 scale", "bf16": "bf16", "": "bf16"}
TIMES = ("time_between_tokens", "time_to_first_token")


@dataclass(frozen=True, kw_only=True)
class ServedRun:
    """One run: ``model`` and ``device`` are ids of our catalogues; times in seconds.

    ``tensor_parallel`` devices share a replica of the attention, ``data_parallel`` replicas share the ``concurrency``
    users; all share the experts. ``prefill_apart``: prompts were read on other devices.
    """

    engine: str
    version: str
    model: str
    device: str
    precision: str
    prefill_apart: bool
    input_tokens: int
    output_tokens: int
    concurrency: float
    tensor_parallel: int
    data_parallel: int
    expert_parallel: int
    time_to_first_token: float
    time_between_tokens: float

    @property
    def combination(self) -> tuple[str, str, str, str]:
        """Model, device, engine and precision: what is left out together when we ask how good a fit is."""
        return self.model, self.device, self.engine, self.precision

    @property
    def is_doubtful(self) -> bool:
        """Whether the row counts more devices than one box has."""
        return not self.prefill_apart and self.tensor_parallel * self.data_parallel > IN_A_BOX

    @property
    def is_fitted(self) -> bool:
        """Whether the constants are fitted on it: one set of devices does all the work, and can be in one box."""
        return not self.prefill_apart and not self.is_doubtful

    @property
    def weight_format(self) -> str:
        """The catalogue's format of its weights."""
        return "MXFP4" if self.model.startswith("gpt-oss") else FORMATS[self.precision]

    def built(self) -> Model:
        """The model that was served."""
        return _built(self.model)


@cache
def _built(id: str) -> Model:
    """In whatever format a run had it, which is not always that of the published file."""
    return from_config({key: told for key, told in published(id).config.items() if key != "quantization_config"})


@cache
def served_runs() -> tuple[ServedRun, ...]:
    """Every run, those with prompts read elsewhere and the doubtful ones too."""
    text = resources.files("llmcalc.accuracy").joinpath("served_runs.csv").read_text("utf-8")
    return tuple(_run(row) for row in csv.DictReader(text.splitlines()))


def _run(row: Mapping[str, str]) -> ServedRun:
    told: dict[str, Any] = {name: row[name] for name in ("engine", "version", "model", "device", "precision")}
    for name in ("input_tokens", "output_tokens", "tensor_parallel", "data_parallel", "expert_parallel"):
        told[name] = int(row[name])
    return ServedRun(
        **told,
        prefill_apart=row["prefill_apart"] == "yes",
        concurrency=float(row["concurrency"]),
        time_to_first_token=float(row["ttft_ms"]) / 1000,
        time_between_tokens=float(row["tpot_ms"]) / 1000,
    )


@cache
def fitted_runs() -> tuple[ServedRun, ...]:
    """The runs that the constants are fitted on."""
    return tuple(row for row in served_runs() if row.is_fitted)


@cache
def left_out() -> dict[tuple[str, ...], dict[str, Constant]]:
    """For each combination the constants that were fitted on all others."""
    text = resources.files("llmcalc.accuracy").joinpath("speed_fits.jsonl").read_text("utf-8")
    fits = [json.loads(line) for line in text.splitlines()]
    return {
        tuple(fit["without"]): {name: replace(CONSTANTS[name], value=value) for name, value in fit["constants"].items()}
        for fit in fits
    }


def constants_for(row: ServedRun, fitted: bool) -> Mapping[str, Constant]:
    """The constants as they are used, or, where not ``fitted``, as they are without the row's combination."""
    return CONSTANTS if fitted else left_out().get(row.combination, CONSTANTS)


def predicted(row: ServedRun, *, fitted: bool = True) -> Speed:
    """What is predicted for such a run; with constants that its combination went into, or not."""
    return _predicted((row,), row.tensor_parallel, row.data_parallel, _asked((row,), single=True), fitted)


def _asked(rows: Sequence[ServedRun], *, single: bool = False) -> dict[str, Any]:
    names = ("input_tokens", "output_tokens", "concurrency")
    return {name: getattr(rows[0], name) if single else _column(rows, name) for name in names}


def _column(rows: Sequence[ServedRun], name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows], dtype=float)


def _predicted(rows: Sequence[ServedRun], tensor: Any, data: Any, asked: Mapping[str, Any], fitted: bool) -> Speed:
    """Runs of one combination, all with prompts read apart or none."""
    row = rows[0]
    return speed(
        row.built(),
        machine=machine_of(ACCELERATORS[row.device], row.weight_format),
        split=Split(tensor_parallel=tensor, data_parallel=data),
        load=Load(**asked, prefill_apart=row.prefill_apart),
        weight_format=row.weight_format,
        engine=row.engine,
        constants=constants_for(row, fitted),
    )


@cache
def _times(what: str, fitted: bool) -> dict[ServedRun, float]:
    """The time that is predicted for each run that has a prediction, many at once."""
    groups: dict[tuple[Any, ...], list[ServedRun]] = {}
    for row in served_runs():
        groups.setdefault((*row.combination, row.prefill_apart), []).append(row)
    found: dict[ServedRun, float] = {}
    for rows in groups.values():
        split = (_column(rows, "tensor_parallel"), _column(rows, "data_parallel"))
        time = vars(_predicted(rows, *split, _asked(rows), fitted))[what]
        if time is not None:
            found |= dict(zip(rows, time.value.tolist(), strict=True))
    return found


def error_of(row: ServedRun, what: str, *, fitted: bool = True) -> float | None:
    """Predicted against measured, as a share: of one of `TIMES`. None where there is no prediction."""
    found = _times(what, fitted).get(row)
    return None if found is None else found / getattr(row, what) - 1


@dataclass(frozen=True)
class SpeedErrors:
    """How large errors are, signs left aside, and on which side they are: the median of predicted over measured."""

    count: int
    median: float
    p90: float
    bias: float


def errors_of(errors: Iterable[float]) -> SpeedErrors:
    """The errors together. Raises ValueError where there are none."""
    signed = np.array(list(errors))
    if not len(signed):
        raise ValueError("no measured runs")
    sizes = np.abs(signed)
    return SpeedErrors(
        len(signed), float(np.median(sizes)), float(np.percentile(sizes, 90)), float(np.median(signed + 1))
    )


def errors_by(
    of: Callable[[ServedRun], str], what: str, rows: Iterable[ServedRun], *, fitted: bool = True
) -> dict[str, SpeedErrors]:
    """The errors of each group of runs: by engine, by device, by model."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        if (error := error_of(row, what, fitted=fitted)) is not None:
            groups.setdefault(of(row), []).append(error)
    return {name: errors_of(found) for name, found in sorted(groups.items())}


@dataclass(frozen=True)
class Likely:
    """How far to trust a prediction: of ten runs most like it one was below ``low`` times what is predicted for it, and
    one above ``high`` times. ``runs`` are how many they were, and ``alike`` what they share with it: "combination",
    "engine and device", "engine", or nothing, where it is no more than an estimate."""

    low: float
    high: float
    runs: int
    alike: str


FEW = 20  # runs that are too few to tell a spread by


def likely(what: str, *, model: str = "", device: str = "", engine: str = "", precision: str = "") -> Likely:
    """The spread of one of `TIMES`, from the measured runs that are most like it, as if none had gone into the fit."""
    asked = {"model": model, "device": device, "engine": engine, "precision": precision}
    levels = {"combination": tuple(asked), "engine and device": ("engine", "device"), "engine": ("engine",), "": ()}
    for alike, names in levels.items():  # noqa: B007
        rows = [row for row in fitted_runs() if all(vars(row)[name] == asked[name] for name in names)]
        errors = [error for row in rows if (error := error_of(row, what, fitted=False)) is not None]
        if len(errors) >= FEW:
            break
    measured = 1 / (1 + np.array(errors))
    return Likely(float(np.percentile(measured, 10)), float(np.percentile(measured, 90)), len(errors), alike)


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedRate:
    """Tokens a second of another set, nothing of which was fitted: who measured it, and with what settings.

    "gpt-fast": one user, compiled PyTorch on A100 (its README). "TensorRT-LLM 1.0": as many users as the cache holds,
    at most 2,048, weights and cache in eight bits or fewer (its performance overview, which does not print how many).
    """

    set: str
    model: str
    device: str
    weight_format: str
    cache_format: str
    tensor_parallel: int
    input_tokens: int
    output_tokens: int
    concurrency: int
    tokens_per_second: float


@cache
def served_rates() -> tuple[ServedRate, ...]:
    """Every row of the other sets."""
    text = resources.files("llmcalc.accuracy").joinpath("served_rates.csv").read_text("utf-8")
    return tuple(_rate(row) for row in csv.DictReader(text.splitlines()))


def _rate(row: Mapping[str, str]) -> ServedRate:
    told: dict[str, Any] = {name: row[name] for name in ("set", "model", "device", "weight_format", "cache_format")}
    for name in ("tensor_parallel", "input_tokens", "output_tokens", "concurrency"):
        told[name] = int(row[name])
    return ServedRate(**told, tokens_per_second=float(row["tokens_per_second"]))


@cache
def predicted_rate(row: ServedRate) -> Speed:
    """What is predicted for it: one user's rate is that of decoding, others wait for first tokens too."""
    names = ("input_tokens", "output_tokens", "concurrency")
    asked = {name: getattr(row, name) for name in names}
    return speed(
        _built(row.model),
        machine=machine_of(ACCELERATORS[row.device], row.weight_format),
        split=Split(tensor_parallel=row.tensor_parallel),
        load=Load(**asked, prefill_apart=row.concurrency == 1),
        weight_format=row.weight_format,
        cache_bytes=CACHE_FORMATS[row.cache_format].bits / 8,
        engine="tensorrt-llm",
    )


def error_of_rate(row: ServedRate) -> float:
    """Predicted against measured tokens a second, as a share."""
    return float(predicted_rate(row).tokens_per_second.value) / row.tokens_per_second - 1
