"""How far what is predicted lies from what was measured: this package's figures, and those of simpler rules.

>>> from llmcalc.accuracy.rows import measured_steps
>>> abs(compared(measured_steps()[0]).error("llmcalc", "peak")) < 0.0001
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from llmcalc.accuracy.kept import STEPS, kept, key_of
from llmcalc.accuracy.rows import NANOGPT, MeasuredStep, measured_steps
from llmcalc.article import article_step, training_rule_of_thumb
from llmcalc.quantity import formula
from llmcalc.sources import KORTHIKANTI_2022
from llmcalc.step.step import is_simulated, training_step
from llmcalc.transformer.dimensions import plain_sizes

# Who predicts what: the activations kept for the backward pass, the peak of the step
METHODS: Mapping[str, tuple[str, ...]] = {
    "llmcalc": ("saved", "peak"),
    "article": ("saved", "peak"),
    "four_weights": ("peak",),
    "korthikanti": ("saved",),
}


@formula(r"M_\text{act}", "bytes", KORTHIKANTI_2022.at("sec. 4.1, eq. 1"))
def korthikanti_activations(*, n_layers, batch_size, seq_len, d_model, n_heads):
    """Activations of all layers in 16 bits with dropout, as Megatron keeps them: 34 + 5·h·S/d bytes an element."""
    return n_layers * batch_size * seq_len * (34 * d_model + 5 * n_heads * seq_len)


@dataclass(frozen=True)
class Comparison:
    """A measured step, and what each of `METHODS` predicts for it, in bytes; ``is_read``: the family's code was."""

    row: MeasuredStep
    predicted: Mapping[tuple[str, str], int]
    is_read: bool = True

    def measured(self, what: str) -> int | None:
        """What was measured: "saved", which not every instrument counts, or "peak"."""
        return self.row.saved if what == "saved" else self.row.peak

    def error(self, method: str, what: str) -> float | None:
        """The prediction's error as a share of what was measured, negative where it is too small."""
        measured = self.measured(what)
        return None if measured is None else self.predicted[method, what] / measured - 1


@dataclass(frozen=True)
class Errors:
    """How large the errors of so many steps are, signs left aside: shares of what was measured."""

    count: int
    median: float
    p95: float
    largest: float


def errors(comparisons: Iterable[Comparison], method: str, what: str) -> Errors:
    """The errors of one method over these steps. Raises ValueError where there are none."""
    return spread(error for c in comparisons if (error := c.error(method, what)) is not None)


def spread(signed: Iterable[float]) -> Errors:
    """Errors, signs left aside. Raises ValueError where there are none."""
    found = [abs(error) for error in signed]
    if not found:
        raise ValueError("no measured steps")
    return Errors(len(found), *map(float, (np.median(found), np.percentile(found, 95), max(found))))


def key_of_step(row: MeasuredStep) -> str:
    """By what its prediction is kept."""
    return key_of(row.model == NANOGPT, row.config, row.run, row.weight_bytes)


@cache
def compared(row: MeasuredStep) -> Comparison:
    """A measured step beside what is predicted for it: as it is kept, or else as `predict` says."""
    found = kept(STEPS).get(key_of_step(row))
    if found is None:
        return predict(row)
    figures = {(method, what): found[method][what] for method, known in METHODS.items() for what in known}
    return Comparison(row, figures, found["is_read"])


def as_kept(found: Comparison) -> Mapping[str, Any]:
    """What is predicted for a step, as it is kept."""
    figures = {method: {what: found.predicted[method, what] for what in known} for method, known in METHODS.items()}
    return {"is_read": found.is_read, **figures}


def predict(row: MeasuredStep) -> Comparison:
    """A measured step beside what is predicted for it now: as its family's code, or where that was not read a plain
    decoder's of its sizes."""
    model, run = row.built(), row.training_run
    step, sizes = training_step(model, run), plain_sizes(model)
    if not (is_read := is_simulated(step)):
        step = training_step(sizes.model(), run, counted=model)
    tokens = {"batch_size": run.batch_size, "seq_len": run.seq_len}
    article = article_step(model, sizes, **tokens)
    layers = {"n_layers": sizes.n_layers, "d_model": sizes.d_model, "n_heads": sizes.n_heads}
    return Comparison(
        row,
        {
            ("llmcalc", "saved"): step.saved_bytes,
            ("llmcalc", "peak"): max(step.peak_by_moment.values()),
            ("article", "saved"): article.saved_activations.value,
            ("article", "peak"): article.peak.value,
            ("four_weights", "peak"): training_rule_of_thumb(model_bytes=row.weight_bytes).value,
            ("korthikanti", "saved"): korthikanti_activations(**layers, **tokens).value,
        },
        is_read,
    )


def of_family(family: str) -> tuple[Comparison, ...]:
    """Every measured step of one family's code beside what is predicted for it."""
    return tuple(compared(row) for row in measured_steps() if row.family == family)


@cache
def all_compared() -> tuple[Comparison, ...]:
    """Every measured step beside what is predicted for it, family by family."""
    families = dict.fromkeys(row.family for row in measured_steps())
    return tuple(comparison for family in families for comparison in of_family(family))


@cache
def held_back() -> Errors:
    """How far off the peaks are of all steps that were held back while the simulation was written."""
    return errors((found for found in all_compared() if not found.row.seen), "llmcalc", "peak")
