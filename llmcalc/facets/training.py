"""The training step on one device: how it is run, and what it allocates, as PyTorch and as the article have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from llmcalc.article import ArticleStep, article_step
from llmcalc.cached import cached_property
from llmcalc.catalog.recipes import BY_OBJECTIVE, RECIPES
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import step_on_one
from llmcalc.errors import InputError
from llmcalc.facets.counting import Counting
from llmcalc.fit.alignment import NEXT, OF_OBJECTIVE, AlignedStep, Alignment, Objective
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step, is_simulated
from llmcalc.step.weights import weights_of
from llmcalc.transformer.model import Model


@dataclass(frozen=True)
class Training:
    """The step that ``values`` describe, of the model that is counted."""

    values: Mapping[str, Any]
    counting: Counting

    @property
    def model(self) -> Model:
        """The model that is counted."""
        return self.counting.model

    @property
    def run(self) -> TrainingRun:
        """How the training step is run: as asked, or the nearest that can be."""
        return self._sound[0]

    @property
    def problems(self) -> tuple[InputError, ...]:
        """What cannot be in how it was asked to be run."""
        return self._sound[1]

    @cached_property
    def _sound(self) -> tuple[TrainingRun, tuple[InputError, ...]]:
        asked = TrainingRun(**{f.name: self.values[f.name] for f in fields(TrainingRun) if f.name in self.values})
        try:
            if asked.lora_rank and self.model.code is not None:
                weights_of(self.model, asked)
        except InputError as error:
            if error.input_id == "lora_targets":
                return replace(asked, lora_targets="all"), (error,)
        return asked, ()

    @cached_property
    def objective(self) -> Objective:
        """What is learnt: the next token, or preferences and rewards."""
        return Objective(**{id: self.values[id] for id in OF_OBJECTIVE})

    @property
    def other_objectives(self) -> list[Alignment]:
        """The same run by each way of preferences and rewards: as it is set, or as TRL does it by default."""
        recipes = {id: RECIPES[f"TRL {method}"].sets for id, method in BY_OBJECTIVE.items()}
        asked = [
            self.objective if id == self.objective.objective else Objective(
                objective=id, beta=sets.get("beta", NEXT.beta), rollout_engine=self.objective.rollout_engine
            )
            for id, sets in recipes.items()
        ]  # fmt: skip
        return [one.plan(self.model, self.run, Layout(), self.model) for one in asked]

    def run_with(self, **changes: Any) -> TrainingRun:
        """The same with some fields set."""
        return replace(self.run, **changes)

    @cached_property
    def _stepped(self) -> tuple[Model, Step]:
        """The model whose layers run, and its step: this one, or where its code has not been read a plain decoder of
        its sizes."""
        step = step_on_one(self.model, self.run, self.model)
        if is_simulated(step):
            return self.model, step
        plain = self.counting.dimensions.model()
        return plain, step_on_one(plain, self.run, self.model)

    @property
    def step(self) -> Step | AlignedStep:
        """A training step on one device as PyTorch allocates it; layers whose code has not been read run as plain
        ones."""
        return self.of_next_token if self.objective.is_next_token else self._aligned

    @property
    def of_next_token(self) -> Step:
        """The same where the next token is learnt."""
        return self._stepped[1]

    @property
    def is_read(self) -> bool:
        """Whether the code of the model's family has been read, so that its own layers run."""
        return self.runs_as is self.model

    @cached_property
    def _aligned(self) -> AlignedStep:
        return self.objective.plan(self.runs_as, self.run, Layout(), self.model).course

    @property
    def runs_as(self) -> Model:
        """The model whose layers run."""
        return self._stepped[0]

    @cached_property
    def article(self) -> ArticleStep:
        """The same step in the article's account."""
        return self.article_of(self.run)

    def article_of(self, run: TrainingRun) -> ArticleStep:
        """The same of the step as it would be run so."""
        return article_step(self.model, self.counting.dimensions, batch_size=run.batch_size, seq_len=run.seq_len)
