"""From the plain training step to the one that was set up, switch by switch: what each does to memory and to time.

The plain step: the same model, sequences and tokens in fp32 at once on one device, attention that stores its matrix,
AdamW as PyTorch runs it, nothing recomputed. Switches are thrown in one fixed order; another would share the same
difference out differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.devices.layout import Layout, sequences_of
from llmcalc.devices.rank import RankMemory, step_on_each, step_on_one
from llmcalc.devices.time import missing_rate, step_time
from llmcalc.quantity import Quantity, formula, total
from llmcalc.rates.times import Hardware
from llmcalc.sources import CHOWDHERY_2022, PYTORCH
from llmcalc.step.run import OF_LORA, TrainingRun
from llmcalc.transformer.model import Model


@formula(r"\Delta M", "bytes", PYTORCH.at("torch.cuda.max_memory_allocated, of both steps"))
def memory_change(*, after_bytes, before_bytes):
    """What a switch adds to the peak of the device that needs most; less than nothing where it saves."""
    return after_bytes - before_bytes


@formula(r"\Delta t", "s", CHOWDHERY_2022.at("sec. 4.1, of both steps"))
def time_change(*, after_seconds, before_seconds):
    """What a switch adds to the time of a step; less than nothing where it saves."""
    return after_seconds - before_seconds


@dataclass(frozen=True)
class Setup:
    """How a step is run and laid out over devices."""

    run: TrainingRun
    layout: Layout


def _of_run(*names: str) -> Callable[[Setup, Setup], Setup]:
    """Takes some fields of the run over from the step that was set up."""

    def throw(setup: Setup, chosen: Setup) -> Setup:
        return replace(setup, run=replace(setup.run, **{name: getattr(chosen.run, name) for name in names}))

    return throw


def _of_layout(*names: str) -> Callable[[Setup, Setup], Setup]:
    def throw(setup: Setup, chosen: Setup) -> Setup:
        return replace(setup, layout=replace(setup.layout, **{name: getattr(chosen.layout, name) for name in names}))

    return throw


def _layout_switches() -> dict[str, list[str]]:
    """The fields of the layout that each switch takes over."""
    found: dict[str, list[str]] = {}
    for declared in fields(Layout):
        found.setdefault(declared.metadata["switch"] or declared.name, []).append(declared.name)
    return found


def _micro_batches(setup: Setup, chosen: Setup) -> Setup:
    """The same sequences in several micro-batches, one after the other."""
    return replace(setup, run=setup.run.in_micro_batches(chosen.run.gradient_accumulation))


def _data_parallel(setup: Setup, chosen: Setup) -> Setup:
    """The same sequences shared out among copies of the model."""
    n = chosen.layout.data_parallel
    run = replace(setup.run, batch_size=setup.run.batch_size // n)
    buckets = {"ddp_bucket_view": chosen.layout.ddp_bucket_view}
    return Setup(run, replace(setup.layout, data_parallel=n, **buckets))


SWITCHES: dict[str, Callable[[Setup, Setup], Setup]] = {
    "precision": _of_run("precision"),
    "attention": _of_run("attention"),
    "recompute": _of_run("recompute", "activation_offload"),
    "loss": _of_run("loss", "keep_logits", "fp32_outputs"),
    "optimizer": _of_run("optimizer", "set_to_none", "optimizer_in_backward", "weight_decay"),
    "lora": _of_run("lora_rank", *OF_LORA),
    "micro_batches": _micro_batches,
    "data_parallel": _data_parallel,
    **{id: _of_layout(*names) for id, names in _layout_switches().items() if id != "data_parallel"},
}

# What these do to the time is not modelled, unless they change the operations: it is part of the utilisation
_IN_UTILIZATION = frozenset({"attention", "loss", "optimizer", "micro_batches"})


@dataclass(frozen=True, eq=False)
class Account:
    """Peak of the device that needs most, and time of the step, which is None where it cannot be estimated."""

    peak: Quantity
    time: Quantity | None


@dataclass(frozen=True, eq=False)
class Bar:
    """What one switch does. ``id`` is a key of `SWITCHES`; ``settings`` are the inputs that it moves, with their values
    before and after."""

    id: str
    settings: tuple[tuple[str, Any, Any], ...]
    before: Account
    after: Account

    @cached_property
    def memory(self) -> Quantity:
        """What it adds to the peak."""
        change = memory_change(after_bytes=self.after.peak.value, before_bytes=self.before.peak.value)
        return change.named(f"change_{self.id}")

    @cached_property
    def time(self) -> Quantity | None:
        """What it adds to the time of a step; None where that is not modelled."""
        before, after = self.before.time, self.after.time
        if before is None or after is None or (self.id in _IN_UTILIZATION and before.value == after.value):
            return None
        return time_change(after_seconds=after.value, before_seconds=before.value).named(f"change_{self.id}")


@dataclass(frozen=True, eq=False)
class Mix:
    """The way from the plain step of a model to the one that was set up.

    ``counted`` is the model whose parameters are counted, where ``model`` only stands in for its layers.
    """

    model: Model
    counted: Model
    chosen: Setup
    hardware: Hardware

    @cached_property
    def plain_setup(self) -> Setup:
        """The plain step: all sequences of a step at once on one device."""
        run = self.chosen.run
        sequences = sequences_of(run, self.chosen.layout)
        plain = TrainingRun(
            batch_size=sequences,
            seq_len=run.seq_len,
            dropout=run.dropout,
            padding=run.padding,
            use_cache=run.use_cache,
            precision="fp32",
            attention="eager",
            optimizer="adamw_foreach",
            loss="plain",
        )
        return Setup(plain, Layout())

    @cached_property
    def plain(self) -> Account:
        """Memory and time of the plain step."""
        return self._account(self.plain_setup)

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        """One bar for each switch that is set otherwise than in the plain step, in the order of `SWITCHES`."""
        found, setup, before = [], self.plain_setup, self.plain
        for id, throw in SWITCHES.items():
            thrown = throw(setup, _without_idle_settings(self.chosen))
            if thrown != setup:
                after = self._account(thrown)
                found.append(Bar(id, _moved(setup, thrown), before, after))
                setup, before = thrown, after
        return tuple(found)

    @property
    def result(self) -> Account:
        """Memory and time of the step that was set up."""
        return self.bars[-1].after if self.bars else self.plain

    @cached_property
    def memory(self) -> Quantity:
        """The peak that was arrived at, as the plain one and what each switch adds."""
        return total("mixed_peak", r"M_\text{mix}", self.plain.peak.named("plain_peak"), *(b.memory for b in self.bars))

    @cached_property
    def time(self) -> Quantity | None:
        """The time that was arrived at, as the plain one and what each switch adds; None where one is not known."""
        if self.plain.time is None or any(bar.after.time is None for bar in self.bars):
            return None
        changes = [bar.time for bar in self.bars if bar.time]
        return total("mixed_time", r"t_\text{mix}", self.plain.time.named("plain_time"), *changes)

    @property
    def without_rate(self) -> str | None:
        """The number format in which the device's rate is not known, if that is why there is no time."""
        setups = (self.plain_setup, self.chosen)
        return next((name for setup in setups if (name := missing_rate(setup.run, self.hardware))), None)

    def _account(self, setup: Setup) -> Account:
        run, layout = setup.run, setup.layout
        step = step_on_each(self.model, run, layout, counted=self.counted)
        rank = step if isinstance(step, RankMemory) else None
        adapters = step_on_one(self.model, run, self.counted).trainable.value if run.lora_rank else 0
        return Account(step.peak, step_time(self.counted, run, layout, self.hardware, adapters=adapters, rank=rank))


def _moved(before: Setup, after: Setup) -> tuple[tuple[str, Any, Any], ...]:
    """The inputs that differ; the batch, which follows from the others, is not told."""
    pairs: list[tuple[Any, Any]] = [(before.run, after.run), (before.layout, after.layout)]
    found = [(f.name, getattr(a, f.name), getattr(b, f.name)) for a, b in pairs for f in fields(a)]
    return tuple((name, was, is_now) for name, was, is_now in found if was != is_now and name != "batch_size")


def _without_idle_settings(setup: Setup) -> Setup:
    """The setup with what has no effect as it is by default: LoRA's settings without LoRA, and the like."""
    run, layout = setup.run, setup.layout
    idle: dict[str, Any] = {} if run.lora_rank else {name: getattr(TrainingRun(), name) for name in OF_LORA}
    sharing = {} if layout.tensor_parallel > 1 else {"sequence_parallel": False}
    whole = layout.zero_stage == 0 and layout.replicas > 1
    sharing |= {} if whole else {"ddp_bucket_view": False}
    sharing |= {} if layout.sharing(3) > 1 else {"keep_gathered": False}
    return Setup(replace(run, **idle), replace(layout, **sharing))
