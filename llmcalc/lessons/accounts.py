"""What different calculators say of the memory of one and the same training step, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from llmcalc.accuracy import MeasuredStep, compared, korthikanti_activations, measured_steps
from llmcalc.configuration import Configuration
from llmcalc.lessons.facts import rule_of_four
from llmcalc.quantity import Quantity

ACCOUNTS = ("four_weights", "article", "korthikanti", "llmcalc", "measured")


@dataclass(frozen=True)
class Account:
    """Bytes that it says are kept for the backward pass, and of the peak; None where it says nothing of it."""

    saved: float | None
    peak: float | None


def job() -> MeasuredStep:
    """The step that all are asked about: GPT-2 of 124 M parameters, batch 8 × 1024, 16-bit autocast."""
    return next(
        row
        for row in measured_steps()
        if row.family == "gpt2"
        and row.built().n_layers == 12
        and (row.run.get("batch_size"), row.run.get("seq_len")) == (8, 1024)
    )


@cache
def accounts_of_job() -> Mapping[str, Account]:
    """What each of `ACCOUNTS` says of the job; of "measured" what was."""
    row, said = job(), compared(job()).predicted
    found = {id: Account(said.get((id, "saved")), said.get((id, "peak"))) for id in ACCOUNTS[:-1]}
    return found | {"measured": Account(row.saved, row.peak)}


def korthikanti_of(config: Configuration) -> Quantity:
    """What Korthikanti et al.'s formula says that the layers of this configuration keep."""
    sizes, run = config.dimensions, config.run
    return korthikanti_activations(
        n_layers=config.model.n_layers,
        batch_size=run.batch_size,
        seq_len=run.seq_len,
        d_model=sizes.d_model,
        n_heads=sizes.n_heads,
    )


def accounts_of(config: Configuration) -> dict[str, Account]:
    """What each of them says of a configuration; it was not measured."""
    step, article = config.step, config.article
    return {
        "four_weights": Account(None, rule_of_four(config).value),
        "article": Account(article.saved_activations.value, article.peak.value),
        "korthikanti": Account(korthikanti_of(config).value, None),
        "llmcalc": Account(step.saved_activations.value, step.peak.value),
    }
