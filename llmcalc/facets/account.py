"""The training step in the account that the reader chose, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmcalc.accuracy import ARTICLE, ELSEWHERE, PLANS, Standing, standing_of
from llmcalc.article import ArticleStep
from llmcalc.cached import cached_property
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import RankMemory
from llmcalc.facets.devices import Devices
from llmcalc.facets.training import Training
from llmcalc.fit.alignment import AlignedStep
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step


@dataclass(frozen=True)
class Account:
    """The step as PyTorch allocates it, on one device or on that which needs most, or as the article counts it."""

    values: Mapping[str, Any]
    training: Training
    devices: Devices

    @property
    def counts_each(self) -> bool:
        """Whether `step` is what the device that needs most holds. Else it is the step as on one device: the
        reader asked for that, or for the article's account, which knows no other."""
        return bool(self.values["account"] != "article" and self.values["counted_on"] != "one")

    @property
    def step(self) -> Step | RankMemory | AlignedStep | ArticleStep:
        """The training step in the account that the reader chose, on the device that needs most or as on one."""
        if self.values["account"] == "article":
            return self.training.article
        return self.devices.on_each if self.counts_each else self.training.step

    def peak_of(self, batch_size: Any, seq_len: Any) -> Any:
        """The training peak in bytes with another batch or length, counted as `step` is; arrays make a sweep."""
        run = self.training.run_with(batch_size=batch_size, seq_len=seq_len)
        if self.values["account"] == "article":
            return self.training.article_of(run).peak.value
        job = self.devices.job
        return (replace(job, layout=Layout()) if self.values["counted_on"] == "one" else job).peaks(run)

    @cached_property
    def standing(self) -> Standing:
        """What stands behind the training step: measured, simulated or an estimate, decided from measured rows."""
        if self.values["account"] == "article":
            return ARTICLE
        return self.standing_of(self.training.run) if self.values["counted_on"] == "one" else self.verdict_standing

    @cached_property
    def verdict_standing(self) -> Standing:
        """What stands behind the step on the device that needs most, of which the verdict is."""
        return self.standing_of(self.training.run, self.devices.layout)

    def standing_of(self, run: TrainingRun, layout: Layout | None = None) -> Standing:
        """The same of the step as it would be run, and laid out, so."""
        if not self.training.objective.is_next_token:
            return PLANS
        if not self.devices.accelerator.is_cuda_to_pytorch:
            return ELSEWHERE
        model, family = self.training.model, self.training.counting.family
        is_read = self.training.is_read if run == self.training.run else None
        return standing_of(model, family, run, layout, is_read=is_read)
