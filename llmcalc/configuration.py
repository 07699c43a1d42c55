"""From the inputs that a reader set to the model and the run that they describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from llmcalc.accuracy import Standing
from llmcalc.accuracy.counted_models import CountedModel
from llmcalc.article import ArticleStep
from llmcalc.bases import Base, at_first, base, recipe_values, run_as
from llmcalc.cached import cached_property, once
from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator
from llmcalc.catalog.recipes import RECIPES, Recipe
from llmcalc.devices.layout import Layout
from llmcalc.devices.plans import Cluster, settings
from llmcalc.devices.rank import RankMemory
from llmcalc.errors import InputError
from llmcalc.facets.account import Account
from llmcalc.facets.counting import Counting
from llmcalc.facets.devices import Devices, within_range
from llmcalc.facets.fitting import BesideLora, Fitting
from llmcalc.facets.laws import Laws
from llmcalc.facets.requests import Requests
from llmcalc.facets.serving import Serving
from llmcalc.facets.training import Training
from llmcalc.fit.advice import Advice
from llmcalc.fit.alignment import AlignedStep, Alignment, Objective
from llmcalc.fit.job import Job
from llmcalc.fit.take import Take
from llmcalc.fit.verdict import Verdict
from llmcalc.inputs import DEFAULTS, INPUTS
from llmcalc.kinds import Choice
from llmcalc.quantity import Quantity
from llmcalc.rates.times import Hardware
from llmcalc.serving.served import Served
from llmcalc.step.overhead import Overhead
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step
from llmcalc.techniques.distillation import Distillation
from llmcalc.techniques.mix import Mix, Setup
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Model
from llmcalc.units import human

# A cluster of the largest size announced; what needs more is a slip of the hand, and is said to be
LARGEST_CLUSTER_DEVICES = 100_000

if TYPE_CHECKING:
    import pandas as pd

Answer = TypeVar("Answer")


class Of(Generic[Answer]):
    """What is asked of a facet, by the same name or by ``name``, as if it were the configuration's own."""

    def __init__(self, facet: str, name: str = "") -> None:
        self.facet, self.name = facet, name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    @overload
    def __get__(self, config: None, owner: type) -> Of[Answer]: ...
    @overload
    def __get__(self, config: Configuration, owner: type) -> Answer: ...
    def __get__(self, config: Configuration | None, owner: type) -> Of[Answer] | Answer:
        if config is None:
            return self
        answer: Answer = getattr(getattr(config, self.facet), self.name)
        return answer


@dataclass(frozen=True)
class Configuration:
    """What all pages draw: a facet a subject, each built when it is asked for. ``values`` maps inputs' ids to their
    values; what is left out is as the model has it.

    Where the dimensions contradict each other, `problems` says so and the nearest sound model is counted. Raises
    InputError for an id that is no input's, and for a choice that there is not, where not all values are given.

    >>> Configuration({"model": "Llama 3 8B", "batch_size": 1, "accelerator": "H200 SXM"}).verdict.fits
    False
    """

    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.values.keys() >= DEFAULTS.keys():
            return
        for id, value in self.values.items():
            if id not in INPUTS:
                raise InputError(id, f"there is no input {id!r}", code="unknown_key")
            if isinstance(INPUTS[id], Choice):
                INPUTS[id].read(value)
        start = base(self.values.get("model", DEFAULTS["model"]), self.values.get("config", ""))
        object.__setattr__(self, "values", at_first(self.values, start) | dict(self.values))

    # The facets

    @cached_property
    def counting(self) -> Counting:
        """The model and its sizes."""
        return Counting(self.values)

    @cached_property
    def on_one(self) -> Training:
        """The training step on one device."""
        return Training(self.values, self.counting)

    @cached_property
    def devices(self) -> Devices:
        """The step laid out over devices."""
        return Devices(self.values, self.on_one)

    @cached_property
    def serving(self) -> Serving:
        """Inference."""
        return Serving(self.values, self.counting)

    @cached_property
    def fitting(self) -> Fitting:
        """Whether both fit."""
        return Fitting(self.values, self.devices, self.serving)

    @cached_property
    def laws(self) -> Laws:
        """Scaling laws, and what a run of training takes."""
        return Laws(self.values, self.devices)

    @cached_property
    def shown(self) -> Account:
        """The training step in the account that the reader chose."""
        return Account(self.values, self.on_one, self.devices)

    # What is asked of them

    base = Of[Base]("counting")
    model = Of[Model]("counting")
    dimensions = Of[Dimensions]("counting")
    counted = Of[CountedModel | None]("counting")
    family = Of[str]("counting")
    name = Of[str | None]("counting")
    longest_position = Of[int | None]("counting")
    count_standing = Of[Standing]("counting")

    run = Of[TrainingRun]("on_one")
    step = Of[Step | AlignedStep]("on_one")
    objective = Of[Objective]("on_one")
    other_objectives = Of[list[Alignment]]("on_one")
    article = Of[ArticleStep]("on_one")

    accelerator = Of[Accelerator]("devices")
    overhead = Of[Overhead]("devices")
    layout = Of[Layout]("devices")
    n_devices = Of[int]("devices")
    job = Of[Job]("devices")
    on_each = Of[Step | RankMemory | AlignedStep]("devices")
    rank = Of[RankMemory]("devices")
    cluster = Of[Cluster]("devices")
    uses = Of[Callable[[Mapping[str, Any]], bool]]("devices")

    inference = Of[Quantity]("serving")
    inference_of = Of[Callable[..., Quantity]]("serving")
    inference_standing = Of[Standing]("serving")
    inference_standing_in = Of[Callable[..., Standing]]("serving")

    served = Of[Served | None]("serving")

    verdict = Of[Verdict]("fitting")
    verdict_of_inference = Of[Served]("fitting")
    requests = Of[Requests]("fitting")
    verdict_of = Of[Callable[[str], Verdict | Served]]("fitting")
    peak_of_full_training = Of[float | None]("fitting")
    advice = Of[Callable[[], list[Advice]]]("fitting")
    savings = Of[Callable[[], list[Advice]]]("fitting")
    takes = Of[list[Take]]("fitting")
    beside_lora = Of[BesideLora | None]("fitting")
    knobs_of = Of[Callable[[str], tuple[str, str]]]("fitting")
    sizes_of = Of[Callable[[str], dict[str, int]]]("fitting")
    needed_for = Of[Callable[..., np.ndarray]]("fitting")
    largest_that_fits = Of[Callable[..., Any]]("fitting")

    counts_each = Of[bool]("shown")
    training = Of[Step | RankMemory | AlignedStep | ArticleStep]("shown", "step")
    training_peak_of = Of[Callable[..., Any]]("shown", "peak_of")
    standing = Of[Standing]("shown")
    verdict_standing = Of[Standing]("shown")
    standing_of = Of[Callable[..., Standing]]("shown")

    @property
    def plans(self) -> pd.DataFrame:
        """Every plan for the cluster, the best first.

        Raises InputError where there is none.
        """
        return self.devices.plans

    # Other configurations

    def with_plan(self, plan: Mapping[str, Any]) -> Configuration:
        """The same with one of the `plans` put to use."""
        return self._set_to(tuple(settings(plan).items()))

    @once
    def _set_to(self, layout: tuple[tuple[str, Any], ...]) -> Configuration:
        return Configuration({**self.values, "n_devices": None, **dict(layout)})

    def standing_of_plan(self, plan: Mapping[str, Any]) -> Standing:
        """The same of one of the `plans`."""
        return self.with_plan(plan).verdict_standing

    @cached_property
    def student(self) -> Configuration:
        """The model of the library that this one is distilled into, run as this one is."""
        return Configuration(run_as(self.run_alike, self.base, base(self.values["student"])))

    @property
    def run_alike(self) -> dict[str, Any]:
        """How another model is run to stand beside this one: with as long a context where each has a usual one."""
        return {**self.values, **({"context": self.requests.length} if self.requests.are_users else {})}

    # How it is trained

    @property
    def recipe(self) -> Recipe:
        """The library's recipe that the reader started from."""
        return RECIPES[self.values["recipe"]]

    @property
    def beside_recipe(self) -> dict[str, Any]:
        """The inputs that the recipe decides and that the reader has changed since: to what it sets them."""
        whole = recipe_values(self.recipe.id)
        return {id: value for id, value in whole.items() if self.values[id] != value}

    # Techniques

    @cached_property
    def mix(self) -> Mix:
        """The way from the plain training step to the one that was set up."""
        values = self.values
        hardware = Hardware(self.accelerator, values["utilization"], values["link_bandwidth"], values["host_bandwidth"])
        return Mix(self.on_one.runs_as, self.model, Setup(self.run, self.layout), hardware)

    @cached_property
    def distillation(self) -> Distillation:
        """The student's training step with this model as its teacher, on one device."""
        return Distillation(self.student.on_one.of_next_token, self.model, self.values["weight_format"])

    # Problems

    @property
    def problems(self) -> tuple[InputError, ...]:
        """All that is contradictory or beyond any machine, each naming the input to change."""
        return self.contradictions + self.beyond_any_machine

    @cached_property
    def contradictions(self) -> tuple[InputError, ...]:
        """What cannot be together. Found without a step on one device."""
        found = [*(within_range(problem) for problem in self.counting.problems), *self.on_one.problems]
        found += self.devices.problems
        limit = self.longest_position
        if limit is not None and self.values["seq_len"] > limit:
            found.append(
                InputError(
                    "seq_len",
                    f"a table of {limit:,} learned positions ends before {self.values['seq_len']:,} tokens",
                    (limit,),
                    code="beyond_positions",
                    seq_len=self.values["seq_len"],
                    n_positions=limit,
                )
            )
        return tuple(found)

    @cached_property
    def beyond_any_machine(self) -> tuple[InputError, ...]:
        """That a step needs more than any cluster has, which names ``batch_size``; nothing where it does not."""
        peak, device = self.step.peak.value, self.accelerator
        if peak <= LARGEST_CLUSTER_DEVICES * max(a.memory for a in ACCELERATORS.values()):
            return ()
        return (
            InputError(
                "batch_size",
                f"a step needs {human(peak, 'bytes')}, more than any cluster has",
                code="beyond_any_machine",
                peak=peak,
                devices=peak / device.memory,
                device=device.id,
            ),
        )
