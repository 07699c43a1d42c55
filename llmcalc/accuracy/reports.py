"""What people printed of their own GPUs: peaks of training steps, beside what is predicted for them.

``reports.jsonl`` has a row a step, read where its source says. Unlike measured steps these are of whole programs: of
other code than transformers', of batches whose lengths vary, of versions long gone. What a source leaves open, and what
it used that `TrainingRun` cannot say, is in the row; a row is ``complete`` where nothing is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from llmcalc.accuracy.compare import Errors, spread
from llmcalc.accuracy.kept import REPORTS, kept, key_of
from llmcalc.cached import cached_property
from llmcalc.catalog.models import models
from llmcalc.catalog.presets import PRESETS
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import peak_on_each
from llmcalc.fit.verdict import needed_for
from llmcalc.huggingface import from_config
from llmcalc.quantity import given_quantity
from llmcalc.sources import Citation, Work
from llmcalc.step.overhead import Overhead, fragmentation_of
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model
from llmcalc.units import GiB

# What was printed: PyTorch's max_memory_allocated, its max_memory_reserved, what nvidia-smi shows; or nobody says which
FIGURES = ("allocated", "reserved", "nvidia_smi", "unspecified")
STATES = ("complete", "nearest", "not_offered", "open")


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """A training step, its peaks as somebody printed them.

    ``run`` and ``layout`` are arguments of `TrainingRun` and `Layout`. ``printed`` are GiB, by `FIGURES`. ``open`` is
    what the source does not say (there ``run`` has a guess, or a default), ``not_offered`` what it used that cannot be
    asked for, ``nearest`` the arguments that stand for something like it. ``config`` is the model's where the library
    does not have it, ``counted_as`` another of the library that has the same sizes.
    """

    id: str
    framework: str
    model: str
    run: Mapping[str, Any]
    printed: Mapping[str, float]
    repository: str
    place: str
    layout: Mapping[str, Any] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()
    not_offered: tuple[str, ...] = ()
    device: str = ""
    version: str = ""
    config: Mapping[str, Any] | None = None
    config_changes: Mapping[str, Any] = field(default_factory=dict)
    counted_as: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every setting is known, and can be asked for, though perhaps as the nearest there is."""
        return not self.open and not self.not_offered

    @property
    def state(self) -> str:
        """How far it can be said how it was run, one of the `STATES`."""
        if self.is_complete:
            return "nearest" if self.nearest else "complete"
        return "open" if self.open else "not_offered"

    @property
    def training_run(self) -> TrainingRun:
        """How it was run, as far as that can be said."""
        return TrainingRun(**self.run)

    @property
    def source(self) -> Citation:
        """Where it was printed: a file, perhaps as it was at a commit, or a thread."""
        path, _, commit = self.place.partition("@")
        root = f"https://github.com/{self.repository}"
        address = f"{root}/issues/{path[1:]}" if path.startswith("#") else f"{root}/blob/{commit or 'HEAD'}/{path}"
        return Work(self.repository, 0, self.repository, address).at(path)

    def built(self) -> Model:
        """The model that was trained."""
        told = (json.dumps(given) if given else "" for given in (self.config, self.config_changes))
        return _built(self.counted_as or self.model, *told)

    @property
    def key(self) -> str:
        """By what its prediction is kept."""
        return key_of(self.counted_as or self.model, self.config, self.config_changes, self.run, self.layout)

    @cached_property
    def predicted(self) -> Mapping[str, float]:
        """Bytes by `FIGURES`, as they are kept, or else as `predict` says."""
        return kept(REPORTS).get(self.key) or self.predict()

    def predict(self) -> Mapping[str, float]:
        """Bytes by `FIGURES`; what is not said to be any of the others is held to be what nvidia-smi shows."""
        model, run = self.built(), self.training_run
        allocated = float(peak_on_each(model, run, Layout(**self.layout), counted=model))
        overhead = Overhead(fragmentation=fragmentation_of(run.recompute))
        reserved = float(overhead.reserved(given_quantity("allocated_bytes", allocated)).value)
        whole = float(needed_for(allocated, overhead))
        return dict(zip(FIGURES, (allocated, reserved, whole, whole), strict=True))

    def error(self, figure: str) -> float:
        """How far what is predicted is from what was printed, as a share of that; negative where it is too small."""
        return self.predicted[figure] / (self.printed[figure] * GiB) - 1

    def __str__(self) -> str:
        run, said = self.training_run, [self.framework, self.model]
        said.append(f"{run.batch_size} × {run.seq_len}")
        said += [run.precision, *([f"recompute={run.recompute}"] if run.recompute != "none" else [])]
        base = f" {run.lora_base}" if run.quantizes else ""
        said += [f"lora_rank={run.lora_rank}{base}"] if run.lora_rank else []
        return " ".join([*said, *(f"{name}={value}" for name, value in self.layout.items())])


@cache
def _built(name: str, config: str, changes: str) -> Model:
    if name in PRESETS:
        return PRESETS[name].dimensions.model()
    given = json.loads(config) if config else next(row.config for row in models().values() if row.name == name)
    return from_config({**given, **(json.loads(changes) if changes else {})})


@cache
def reports() -> tuple[Report, ...]:
    """Every figure that was read, program by program."""
    text = resources.files("llmcalc.accuracy").joinpath("reports.jsonl").read_text("utf-8")
    lists = ("open", "nearest", "not_offered")
    rows = (json.loads(line) for line in text.splitlines())
    return tuple(Report(**{**row, **{key: tuple(row.get(key, ())) for key in lists}}) for row in rows)


def printed() -> list[tuple[Report, str]]:
    """Each figure of each report."""
    return [(report, figure) for report in reports() for figure in FIGURES if figure in report.printed]


def judged() -> list[tuple[Report, str]]:
    """Those figures by which predictions are judged: PyTorch's own, of reports in which every setting is known."""
    return [found for found in printed() if found[0].is_complete and found[1] in ("allocated", "reserved")]


@cache
def off_of_judged() -> Errors:
    """How far off what is predicted for those is."""
    return spread(report.error(figure) for report, figure in judged())
