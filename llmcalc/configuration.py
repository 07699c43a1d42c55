"""From the inputs that a reader set to the model and the run that they describe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llmcalc.accuracy import ARTICLE, GUESS, NANOGPT, Standing, standing_of, standing_of_count, standing_of_inference
from llmcalc.accuracy.counted_models import CountedModel, counted_models
from llmcalc.article import ArticleStep, article_step
from llmcalc.bases import SHAPE, Base, base
from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator
from llmcalc.catalog.presets import PRESETS
from llmcalc.devices.layout import Layout, check_layout, sequences_of
from llmcalc.devices.plans import Cluster, plans, settings
from llmcalc.devices.rank import RankMemory, peak_on_each, rank_memory, step_on_one
from llmcalc.errors import InputError
from llmcalc.fit.advice import Advice, single_changes, smallest_changes
from llmcalc.fit.job import Job
from llmcalc.fit.solve import largest_that_fits
from llmcalc.fit.verdict import Verdict, needed_for
from llmcalc.huggingface import names_of_sizes
from llmcalc.inference import inference_memory
from llmcalc.inputs import DEFAULTS, INPUTS, Choice, Integer
from llmcalc.quantity import Quantity
from llmcalc.rates.times import Hardware
from llmcalc.step.overhead import Overhead
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step, is_simulated
from llmcalc.techniques.distillation import Distillation
from llmcalc.techniques.mix import Mix, Setup
from llmcalc.transformer.dimensions import Dimensions, plain_sizes
from llmcalc.transformer.model import Model
from llmcalc.units import human

if TYPE_CHECKING:
    import pandas as pd

# The inputs beside which a problem can be shown
MAY_BE_WRONG = ("n_heads", "n_kv_heads", "batch_size", "seq_len", *SHAPE)
# A cluster of the largest size announced; what needs more is a slip of the hand, and is said to be
LARGEST_CLUSTER_DEVICES = 100_000


@dataclass(frozen=True)
class Configuration:
    """What all pages draw. ``values`` maps inputs' ids to their values; what is left out is as the model has it.

    Where the dimensions contradict each other, `problems` says so and the nearest sound model is counted. Raises
    InputError for an id that is no input's, and for a choice that there is not, where not all values are given.

    >>> Configuration({"model": "Llama 3 8B", "batch_size": 1, "accelerator": "H200 SXM"}).verdict.fits
    False
    """

    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not (missing := DEFAULTS.keys() - self.values.keys()):
            return
        for id, value in self.values.items():
            if id not in INPUTS:
                raise InputError(id, f"there is no input {id!r}", code="unknown_key")
            if isinstance(INPUTS[id], Choice):
                INPUTS[id].read(value)
        whole = DEFAULTS | dict(self._as_it_is if missing & set(SHAPE) else {}) | dict(self.values)
        object.__setattr__(self, "values", whole)

    @property
    def _as_it_is(self) -> Mapping[str, Any]:
        """The values of the model that was named, which a pasted config may be."""
        return base(self.values.get("model", DEFAULTS["model"]), self.values.get("config", "")).values

    @cached_property
    def base(self) -> Base:
        """What it starts from. Where a pasted config cannot be read, the plain decoder that the inputs describe."""
        try:
            return base(self.values["model"], self.values["config"])
        except InputError:
            return base(DEFAULTS["model"])

    @cached_property
    def _counted(self) -> tuple[Model, Dimensions, tuple[InputError, ...]]:
        """The model, the sizes of its activations, and what is wrong with what was asked."""
        if self.base.config is None:
            asked = Dimensions(**{f.name: self.values[f.name] for f in fields(Dimensions)})
            sound = asked.mended()
            return sound.model(), sound, asked.problems()
        values = dict(self.values)
        problems: list[InputError] = []
        for _ in range(len(self.base.changed(self.values)) + 1):
            try:
                model = self.base.model(values)
                return model, plain_sizes(model), tuple(problems)
            except InputError as error:
                place = self._place_of(error, values)
                names = names_of_sizes(self.base.config)
                problem = InputError(
                    place, str(error), code="config_refuses", reason=error, name=self.base.id, names=names
                )
                problems.append(problem)
                values[place] = self.base.values[place]
        raise AssertionError("a base without changes is a sound model")

    def _place_of(self, error: InputError, values: Mapping[str, Any]) -> str:
        """The changed input to blame for a config's complaint: the one it names, else the first that was changed."""
        changed = self.base.changed(values)
        named = [id for id in changed if error.input_id == id or id in str(error)]
        return next(iter([*named, *(id for id in MAY_BE_WRONG if id in changed), *changed]))

    @property
    def model(self) -> Model:
        """The model that is counted: as asked, or the nearest sound one."""
        return self._counted[0]

    @property
    def dimensions(self) -> Dimensions:
        """The dimensions of the plain decoder, or for another model those that stand for its activations."""
        return self._counted[1]

    @property
    def counted(self) -> CountedModel | None:
        """The parameters that this very model's own class was counted to have; None where it was changed."""
        return None if self.base.changed(self.values) else counted_models().get(self.base.library_id)

    @property
    def family(self) -> str:
        """Whose code a training step runs: a model_type of transformers, or nanoGPT; empty for a mixture of both."""
        if self.base.config is not None:
            return GUESS if self.base.is_guess else str(self.base.config["model_type"])
        return NANOGPT if self.dimensions.is_nanogpt else ""

    @property
    def standing(self) -> Standing:
        """What stands behind the training step: measured, simulated or an estimate, decided from measured rows."""
        if self.values["account"] == "article":
            return ARTICLE
        return self.standing_of(self.run) if self.values["counted_on"] == "one" else self.verdict_standing

    @property
    def verdict_standing(self) -> Standing:
        """What stands behind the step on the device that needs most, of which the verdict is."""
        return self.standing_of(self.run, self.layout)

    def standing_of(self, run: TrainingRun, layout: Layout | None = None) -> Standing:
        """The same of the step as it would be run, and laid out, so."""
        return standing_of(self.model, self.family, run, layout)

    def standing_of_plan(self, plan: Mapping[str, Any]) -> Standing:
        """The same of one of the `plans`."""
        return self.with_plan(plan).verdict_standing

    @property
    def count_standing(self) -> Standing:
        """What stands behind the parameters."""
        return standing_of_count(self.family, self.model.parameters().value, self.counted)

    @property
    def inference_standing(self) -> Standing:
        """What stands behind the memory of inference."""
        return self.inference_standing_in(self.values["weight_format"], self.values["cache_format"])

    def inference_standing_in(self, weight_format: str, cache_format: str = "bf16") -> Standing:
        """The same in other formats."""
        return standing_of_inference(self.family, weight_format, cache_format)

    @cached_property
    def run(self) -> TrainingRun:
        """How the training step is run."""
        return self._run()

    def _run(self, **changes: Any) -> TrainingRun:
        known = {f.name: self.values[f.name] for f in fields(TrainingRun) if f.name in self.values}
        return TrainingRun(**known | changes)

    @cached_property
    def _stepped(self) -> tuple[Model, Step]:
        """The model whose layers run, and its step: this one, or where its code has not been read a plain decoder of
        its sizes."""
        step = step_on_one(self.model, self.run, self.model)
        if is_simulated(step):
            return self.model, step
        plain = self.dimensions.model()
        return plain, step_on_one(plain, self.run, self.model)

    @property
    def step(self) -> Step:
        """A training step on one device as PyTorch allocates it; layers whose code has not been read run as plain
        ones."""
        return self._stepped[1]

    @property
    def _run_as(self) -> Model:
        return self._stepped[0]

    @cached_property
    def article(self) -> ArticleStep:
        """The same step in the article's account."""
        return self._article(self.run)

    def _article(self, run: TrainingRun) -> ArticleStep:
        return article_step(self.model, self.dimensions, batch_size=run.batch_size, seq_len=run.seq_len)

    @property
    def overhead(self) -> Overhead:
        """What the process takes beside its tensors."""
        return Overhead(
            context=self.values["cuda_context"],
            workspaces=self.values["workspaces"],
            fragmentation=self.values["fragmentation"],
        )

    @property
    def counts_each(self) -> bool:
        """Whether `training` is what the device that needs most holds. Else it is the step as on one device: the
        reader asked for that, or for the article's account, which knows no other."""
        return bool(self.values["account"] != "article" and self.values["counted_on"] != "one")

    @property
    def training(self) -> Step | RankMemory | ArticleStep:
        """The training step in the account that the reader chose, on the device that needs most or as on one."""
        if self.values["account"] == "article":
            return self.article
        return self.on_each if self.counts_each else self.step

    # Whether it fits

    @cached_property
    def job(self) -> Job:
        """All that decides whether it fits."""
        return Job(self._run_as, self.run, self.layout, self.model, self.accelerator, self.overhead)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the training step fits its devices: the one answer, whatever account the reader looks at."""
        return self.job.verdict

    @cached_property
    def verdict_of_inference(self) -> Verdict:
        """Whether inference with a full cache fits one device."""
        return Verdict(self.inference, self.accelerator, self.overhead)

    def verdict_of(self, purpose: str) -> Verdict:
        """Whether "training" or "inference" fits."""
        return self.verdict if purpose == "training" else self.verdict_of_inference

    @property
    def peak_of_full_training(self) -> float | None:
        """Where LoRA peaks above it: bytes of tensors at the peak if every weight trained, where the verdict is."""
        if not self.run.lora_rank:
            return None
        full = self.job.changed({"lora_rank": 0}).peak
        return full if full < self.job.peak else None

    def advice(self) -> list[Advice]:
        """The smallest changes after which the step fits its devices; nothing where it does."""
        return smallest_changes(self.job)

    def savings(self) -> list[Advice]:
        """Every change that would save memory, alone."""
        return single_changes(self.job)

    def needed_for(self, purpose: str, batch_size: Any, seq_len: Any) -> np.ndarray:
        """What a process needs for training or inference with another batch or length, in bytes, on the device that
        needs most; arrays make a sweep."""
        if purpose == "training":
            return self.job.needed(batch_size=batch_size, seq_len=seq_len)
        memory = self.inference_of(batch_size, seq_len).value  # one number for an encoder, which caches nothing
        shape = np.broadcast_shapes(np.shape(batch_size), np.shape(seq_len))
        return np.broadcast_to(needed_for(memory, self.overhead), shape)

    def largest_that_fits(self, purpose: str, knob: str, memories: Any) -> Any:
        """The largest ``batch_size``, or ``seq_len``, with which training or inference needs no more than each of
        ``memories`` bytes, the other as it is; 0 where there is none. It ends where the control, or the positions, do.
        """
        declared = INPUTS[knob]
        assert isinstance(declared, Integer)
        most = min(declared.high, self.longest_position or declared.high) if knob == "seq_len" else declared.high
        if purpose == "training":
            return self.job.largest(knob, memories, most)
        held = {id: self.values[id] for id in ("batch_size", "seq_len")}
        return largest_that_fits(lambda n: self.needed_for(purpose, **held | {knob: n}), memories, most)

    # Several devices

    @cached_property
    def _laid_out(self) -> tuple[Layout, tuple[InputError, ...]]:
        """The layout as asked, without what cannot be, and what that is."""
        asked = {f.name: self.values[f.name] for f in fields(Layout)}
        problems = [*self._miscounted_devices(asked)]
        while True:
            layout = self._filled(asked)
            try:
                if layout != Layout():
                    check_layout(self._run_as, self.run, layout)
                return layout, tuple(problems)
            except InputError as error:
                if asked[error.input_id] == DEFAULTS[error.input_id]:  # then it is another that does not go with it
                    error.input_id = next(id for id, value in asked.items() if value != DEFAULTS[id])
                problems.append(error)
                asked[error.input_id] = DEFAULTS[error.input_id]

    def _filled(self, asked: Mapping[str, Any]) -> Layout:
        """The layout whose copies of the model, where their number is left open, take all devices that there are."""
        layout = Layout(**{**asked, "data_parallel": 1})
        copies = asked["data_parallel"] or max(1, (self.values["n_devices"] or 1) // layout.devices)
        return replace(layout, data_parallel=copies)

    def _miscounted_devices(self, asked: Mapping[str, Any]) -> Iterator[InputError]:
        """That the layout as asked takes another number of devices than there are."""
        there, taken = self.values["n_devices"], self._filled(asked).devices
        if there and there != taken:
            message = f"the layout takes {taken:,} devices, not {there:,}"
            problem = InputError("n_devices", message, (taken,), code="other_devices", taken=taken, n_devices=there)
            yield _within_range(problem)

    @property
    def layout(self) -> Layout:
        """How the step is laid out over devices: as asked, or the nearest that can be."""
        return self._laid_out[0]

    @property
    def n_devices(self) -> int:
        """How many devices there are: as asked, else as many as the layout takes."""
        asked = None if self.values["data_parallel"] else self.values["n_devices"]
        return int(asked or self.layout.devices)

    @property
    def on_each(self) -> Step | RankMemory:
        """The step of the device that needs most."""
        return self.job.step

    @cached_property
    def rank(self) -> RankMemory:
        """What the device that needs most holds of a step laid out so, with its messages."""
        return rank_memory(self._run_as, self.run, self.layout, counted=self.model)

    def with_plan(self, plan: Mapping[str, Any]) -> Configuration:
        """The same with one of the `plans` put to use."""
        return Configuration({**self.values, "n_devices": None, **settings(plan)})

    def uses(self, plan: Mapping[str, Any]) -> bool:
        """Whether one of the `plans` is in use."""
        layout, run = self.layout, self.run
        used = asdict(layout) | {"batch_size": run.batch_size, "gradient_accumulation": run.gradient_accumulation}
        return all(({**self.values, **used})[id] == value for id, value in settings(plan).items())

    @cached_property
    def cluster(self) -> Cluster:
        """The devices that a plan is made for. Without a global batch of its own, a plan keeps that of the run."""
        asked = self.values["global_batch"]
        return Cluster(
            devices=self.n_devices,
            memory=self.accelerator.memory,
            global_batch=asked or sequences_of(self.run, self.layout),
            node=self.values["node_size"],
            overhead=self.overhead,
        )

    @cached_property
    def plans(self) -> pd.DataFrame:
        """Every plan for the cluster, the best first.

        Raises InputError where there is none.
        """
        offload = self.layout.offload_optimizer
        return plans(self._run_as, self.run, self.cluster, counted=self.model, offload_optimizer=offload)

    @cached_property
    def inference(self) -> Quantity:
        """Memory of inference with a full cache."""
        return self.inference_of(self.values["batch_size"], self.values["seq_len"])

    # Techniques

    @cached_property
    def mix(self) -> Mix:
        """The way from the plain training step to the one that was set up."""
        values = self.values
        hardware = Hardware(self.accelerator, values["utilization"], values["link_bandwidth"], values["host_bandwidth"])
        return Mix(self._run_as, self.model, Setup(self.run, self.layout), hardware)

    @cached_property
    def student(self) -> Configuration:
        """The model of the library that this one is distilled into, run as this one is."""
        id = self.values["student"]
        return Configuration({**self.values, "model": id, **base(id).values})

    @cached_property
    def distillation(self) -> Distillation:
        """The student's training step with this model as its teacher, on one device."""
        return Distillation(self.student.step, self.model, self.values["weight_format"])

    @property
    def accelerator(self) -> Accelerator:
        """The device whose memory the charts mark."""
        return ACCELERATORS[self.values["accelerator"]]

    @property
    def name(self) -> str | None:
        """The base, where nothing of it was changed; else the shape that these dimensions are; else None."""
        if not self.base.changed(self.values):
            return self.base.id
        if self.base.config is None:
            return next((p.id for p in PRESETS.values() if p.dimensions == self.dimensions), None)
        return None

    def training_peak_of(self, batch_size: Any, seq_len: Any) -> Any:
        """The training peak in bytes with another batch or length, counted as `training` is; arrays make a sweep."""
        run = self._run(batch_size=batch_size, seq_len=seq_len)
        if self.values["account"] == "article":
            return self._article(run).peak.value
        layout = Layout() if self.values["counted_on"] == "one" else self.layout
        return peak_on_each(self._run_as, run, layout, counted=self.model)

    def inference_of(self, batch_size: Any, seq_len: Any) -> Quantity:
        """Inference with another batch or length; arrays make a sweep."""
        return inference_memory(
            self.model,
            batch_size=batch_size,
            seq_len=seq_len,
            weight_format=self.values["weight_format"],
            cache_format=self.values["cache_format"],
        )

    @property
    def longest_position(self) -> int | None:
        """The longest sequence that the plain decoder's table of learned positions has rows for; None without one."""
        if self.base.config is None and self.dimensions.positions == "learned":
            return self.dimensions.n_positions
        return None

    @property
    def problems(self) -> tuple[InputError, ...]:
        """All that is contradictory or beyond any machine, each naming the input to change."""
        return self.contradictions + self.beyond_any_machine

    @cached_property
    def contradictions(self) -> tuple[InputError, ...]:
        """What cannot be together. Found without a step on one device."""
        found = [*(_within_range(problem) for problem in self._counted[2]), *self._laid_out[1]]
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


def _within_range(problem: InputError) -> InputError:
    """The same problem, with only those suggestions that its input accepts."""
    declared = INPUTS[problem.input_id]
    assert isinstance(declared, Integer)
    problem.suggestions = tuple(n for n in problem.suggestions if declared.low <= n <= declared.high)
    return problem
