"""What was measured on somebody's own card, as a file: the device, the versions, how it was run, and the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from llmcalc.bases import base, compact
from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.inputs import INPUTS, PASTED
from llmcalc.kinds import Integer
from llmcalc.quantity import given_quantity
from llmcalc.step.overhead import Overhead, fragmentation_of
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step, training_step
from llmcalc.transformer.model import Model

FORMAT = "llmcalc receipt 1"
LONGEST = 200_000  # characters
MEASURED = ("allocated", "reserved")  # the figures that every receipt has, in bytes
_TEXTS = ("model", "device")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One training step: of which model (``config`` is its config.json, with as many layers as were run), on which
    device, in which versions of what; ``run`` are arguments of `TrainingRun`. ``figures`` are bytes: the peaks that
    were "allocated" and "reserved", and terms by name."""

    model: str
    config: Mapping[str, Any]
    run: Mapping[str, Any]
    device: str
    versions: Mapping[str, str]
    figures: Mapping[str, int]

    @cached_property
    def step(self) -> Step:
        """The same step as it is predicted."""
        return training_step(self.built, self.training_run)

    @cached_property
    def built(self) -> Model:
        """The model as it was run. Raises InputError where it cannot be read, and for sizes beyond the controls."""
        start = base(PASTED, compact(self.config))
        return start.model(start.values)

    @property
    def training_run(self) -> TrainingRun:
        """How it was run."""
        return TrainingRun(**self.run)

    @property
    def predicted(self) -> Mapping[str, float]:
        """Bytes, by `MEASURED`."""
        peak = self.step.peak
        overhead = Overhead(fragmentation=fragmentation_of(self.training_run.recompute))
        allocated = given_quantity("allocated_bytes", peak.value)
        return {"allocated": float(peak.value), "reserved": float(overhead.reserved(allocated).value)}

    def error(self, figure: str) -> float:
        """How far what is predicted is from what was measured, as a share of that."""
        return self.predicted[figure] / self.figures[figure] - 1

    def written(self) -> str:
        """The file's text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)


def read_receipt(text: str) -> Receipt:
    """A receipt from its file's text. Raises InputError, which says what is wrong with it, where it is none."""
    if len(text) > LONGEST:
        raise InputError("receipt", "longer than any receipt", code="receipt_too_long", longest=LONGEST)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("receipt", "no JSON", code="receipt_no_json") from None
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise InputError("receipt", f'no "format": "{FORMAT}"', code="receipt_no_format", format=FORMAT)
    for f in fields(Receipt):
        if not isinstance(given.get(f.name), str if f.name in _TEXTS else dict):
            raise _lacks(f.name)
    figures = given["figures"]
    for figure in MEASURED:
        if not _is_size(figures.get(figure)):
            raise _lacks(f"figures.{figure}")
    sizes = {name: int(size) for name, size in figures.items() if _is_size(size)}
    receipt = Receipt(**{f.name: given[f.name] for f in fields(Receipt)} | {"figures": sizes})
    try:
        for name, value in receipt.run.items():
            if isinstance(declared := INPUTS.get(name), Integer) and value is not None:
                declared.checked(value)
        _ = receipt.predicted
    except InputError as error:
        raise InputError("receipt", str(error), code="receipt_refused", reason=error) from None
    except (TypeError, ValueError, ArithmeticError):
        raise _lacks("run") from None
    return receipt


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**60


def _lacks(field: str) -> InputError:
    return InputError("receipt", f"no {field} that can be read", code="receipt_lacks", field=field)
