"""What stands behind a number: whether steps like it were measured, its code was read, or neither.

The label is decided here, from the rows themselves (`llmcalc.accuracy.rows`), and nowhere else:

- *measured*: the family's code was read, and held-back rows have this very setting;
- *simulated*: the family's code was read, and each setting was measured at least somewhere;
- *estimate*: everything else, also where the rows that there are lie more than `FAR` from what is computed.

Two kinds of settings. Some go through the family's code (precision, attention, recomputation, dropout, LoRA, padding,
several devices and whatever is new): one row of the family must have all of them at once. Others the family's code
never sees (`COMMON`: optimizer, loss, accumulation …): a row of any family will do, in the same precision. How large
something is (batch, length, chunks, the adapters' rank, a dropout's probability) is no setting, only whether it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from llmcalc.accuracy.compare import Comparison, Errors, compared, errors, spread
from llmcalc.accuracy.counted_models import CountedModel
from llmcalc.accuracy.inference import MeasuredInference, error_of, measured_inference
from llmcalc.accuracy.rows import NANOGPT, MeasuredStep, every_step
from llmcalc.devices.layout import Layout
from llmcalc.huggingface.families import FAMILIES
from llmcalc.step.run import OF_LORA, TrainingRun
from llmcalc.step.step import is_simulated, training_step
from llmcalc.transformer.model import Model

MEASURED, SIMULATED, ESTIMATE = LABELS = ("measured", "simulated", "estimate")
GUESS = "?"  # the family of a config whose own is not known
FAR = 0.05  # of the peak: rows further off than this support no more than an estimate

Setting = tuple[str, Any]
Settings = frozenset[Setting]

COMMON = frozenset({"optimizer", "loss", "keep_logits", "set_to_none", "gradient_accumulation"})
COMMON |= {"fp32_outputs", "weight_decay", "optimizer_in_backward"}
_SIZES = frozenset({"batch_size", "seq_len", "loss_chunks", "lora_rank"})
SWITCHES = frozenset(
    {"dropout", "gradient_accumulation", "lora_dropout", "weight_decay", "modules_to_save"}
)  # on or off, however much
PLAIN: Mapping[str, Any] = {f.name: f.default for f in (*fields(TrainingRun), *fields(Layout))}
_OF_LAYOUT = frozenset(f.name for f in fields(Layout)) - {"zero_stage"}  # on or off, however many devices


def settings_of(asked: Mapping[str, Any], model: Model) -> Settings:
    """The settings away from their defaults. Without a fused kernel of its own, a family's "sdpa" is its "eager"."""
    given = dict(asked)
    if model.code is not None and not model.code.sdpa:
        given["attention"] = "eager"
    adapts = bool(given.get("lora_rank"))
    told = {"lora_targets", "lora_base"} if adapts else set(OF_LORA)
    found: set[Setting] = {("lora", f"{called(given['lora_targets'])}/{given['lora_base']}")} if adapts else set()
    for name, value in given.items():
        if name in _SIZES or name in told or value == PLAIN.get(name, False):
            continue
        found.add((name, True if name in SWITCHES or name in _OF_LAYOUT else value))
    return frozenset(found)


def called(targets: str | Sequence[str]) -> str:
    """What adapters stand beside, in a word where there is one for it."""
    words = {"all-linear": "all", "q_proj k_proj v_proj o_proj": "attention", "q_proj v_proj": "query_value"}
    names = targets if isinstance(targets, str) else " ".join(targets)
    return words.get(names, names)


def precision_of(settings: Iterable[Setting]) -> str:
    """The precision among some settings."""
    return str(dict(settings).get("precision", PLAIN["precision"]))


@dataclass(frozen=True)
class Ran:
    """A measured row by what decides a label: its settings, those of its family's code apart."""

    row: MeasuredStep
    family: Settings
    common: Settings

    @property
    def all(self) -> Settings:
        """Every setting of it that is not a default."""
        return self.family | self.common


@cache
def ran(row: MeasuredStep) -> Ran:
    """How a row was run, by what decides a label."""
    defaults = {name: PLAIN[name] for name in ("lora_targets", "lora_base")}
    found = settings_of({**defaults, **row.run}, row.built())
    common = frozenset(setting for setting in found if setting[0] in COMMON)
    return Ran(row, found - common, common)


@cache
def _ran(rows: tuple[MeasuredStep, ...]) -> tuple[Ran, ...]:
    return tuple(map(ran, rows))


@cache
def _ran_by_family(rows: tuple[MeasuredStep, ...]) -> Mapping[str, list[Ran]]:
    found: dict[str, list[Ran]] = {}
    for one in _ran(rows):
        found.setdefault(one.row.family, []).append(one)
    return found


def settings_of_rows(rows: tuple[MeasuredStep, ...]) -> tuple[Settings, ...]:
    """The settings of each row that are away from their defaults."""
    return tuple(one.all for one in _ran(rows))


@cache
def _somewhere(rows: tuple[MeasuredStep, ...], seen: bool) -> Mapping[tuple[Setting, str], tuple[MeasuredStep, ...]]:
    """The rows with a prediction that have a setting, whatever the family, by it and the precision; ``seen`` too, or
    not."""
    found: dict[tuple[Setting, str], list[MeasuredStep]] = {}
    for one in _ran(rows):
        if one.row.can_be_said and (seen or not one.row.seen):
            for setting in one.all:
                found.setdefault((setting, precision_of(one.all)), []).append(one.row)
    return {key: tuple(having) for key, having in found.items()}


@dataclass(frozen=True)
class Standing:
    """A label, and why: ``reason`` is its key in words. ``rows`` are the measured rows that come nearest, ``errors``
    how far off what is computed for them is, ``missing`` the settings that no row has. ``family`` is empty for a plain
    decoder, and where the family is not known."""

    label: str
    reason: str
    family: str = ""
    rows: tuple[Any, ...] = ()
    errors: Errors | None = None
    missing: tuple[Setting, ...] = ()


def _resting_on(
    label: str, reason: str, family: str, rows: tuple[Any, ...], off: Errors | None, far: str = "far_off"
) -> Standing:
    """Such a label, or no more than an estimate where the rows are too far off."""
    if off is not None and off.largest > FAR:
        return Standing(ESTIMATE, far, family, rows, off)
    return Standing(label, reason, family, rows, off)


# A training step


def standing_of(
    model: Model,
    family: str,
    run: TrainingRun,
    layout: Layout | None = None,
    rows: Sequence[MeasuredStep] | None = None,
    is_read: bool | None = None,
) -> Standing:
    """What stands behind the training step of ``model``, whose code is that of ``family``, run and laid out so.

    is_read: whether that code has been read, where that is known; to find it out takes a step.
    """
    every = every_step() if rows is None else tuple(rows)
    asked = {f.name: getattr(run, f.name) for f in fields(run)}
    if layout is not None:
        asked |= {f.name: getattr(layout, f.name) for f in fields(layout)}
    if model.beside and is_known(family):
        return Standing(ESTIMATE, "beside", family)
    is_read = is_known(family) and (is_simulated(training_step(model, run)) if is_read is None else is_read)
    return _of_step(family if is_known(family) else "", settings_of(asked, model), is_read, every)


def standing_of_row(found: Comparison) -> Standing:
    """What the app says of a step that is run like this measured one."""
    row = found.row
    return _of_step(row.family, ran(row).all, found.is_read, every_step())


def is_known(family: str) -> bool:
    """Whether the family is one that can be counted, or a plain decoder, and not a guess."""
    return family in FAMILIES or family in (NANOGPT, "")


@cache
def _of_step(family: str, settings: Settings, is_read: bool, rows: tuple[MeasuredStep, ...]) -> Standing:
    common = frozenset(setting for setting in settings if setting[0] in COMMON)
    precision = precision_of(settings)
    alike = [one for one in _ran_by_family(rows).get(family, ()) if one.family == settings - common]
    if not is_read:
        own = tuple(one.row for one in alike)
        return Standing(ESTIMATE, "unread" if family else "unknown", family, own, off(own))
    somewhere, held_out = _somewhere(rows, True), _somewhere(rows, False)
    missing = tuple(sorted((s for s in settings if (s, precision) not in somewhere), key=str))
    if missing:
        return Standing(ESTIMATE, "no_row", family, missing=missing)
    exactly = tuple(one.row for one in alike if one.common == common and not one.row.seen)
    unseen = exactly or tuple(one.row for one in alike if not one.row.seen)
    if unseen and all((setting, precision) in held_out for setting in common):
        # the rows of other families that have a setting, where none of this one has all of them
        lent = () if exactly else (row for setting in common for row in held_out[setting, precision])
        found = tuple(dict.fromkeys((*unseen, *lent)))
        return _resting_on(MEASURED, "held_out", family, found, off(found))
    own = tuple(one.row for one in alike)
    away = (setting for setting in (common if own else settings) if setting[0] != "precision")
    lent = (row for setting in away for row in somewhere[setting, precision])
    found = tuple(dict.fromkeys((*own, *lent)))
    return _resting_on(SIMULATED, "read", family, found, off(found))


@cache
def off(rows: tuple[MeasuredStep, ...]) -> Errors | None:
    """How far off the peaks of some steps are; None without any that can be predicted."""
    predicted = [compared(row) for row in rows if row.can_be_said]
    return errors(predicted, "llmcalc", "peak") if predicted else None


# Inference, and the count of parameters


def standing_of_inference(
    family: str, weight_format: str, cache_format: str, rows: Sequence[MeasuredInference] | None = None
) -> Standing:
    """What stands behind the memory of inference, weights and cache, in these formats."""
    every = measured_inference() if rows is None else tuple(rows)
    return _of_inference(family, weight_format, cache_format, every, "run", ("held",))


def standing_of_pass(family: str, weight_format: str, cache_format: str) -> Standing:
    """What stands behind the peaks of a pass whose code is simulated, in these formats."""
    rows = tuple(row for row in measured_inference() if row.beside["cache"] == "dynamic")
    return _of_inference(family, weight_format, cache_format, rows, "pass", ("prefill_peak", "decode_peak"))


@cache
def _of_inference(
    family: str,
    weight_format: str,
    cache_format: str,
    rows: tuple[MeasuredInference, ...],
    kind: str,
    whats: tuple[str, ...],
) -> Standing:
    if not is_known(family):
        return Standing(ESTIMATE, "guessed")
    formats = {"weight_format": weight_format, "cache_format": cache_format}
    missing = tuple((id, format) for id, format in formats.items() if all(row.run[id] != format for row in rows))
    if missing:
        return Standing(ESTIMATE, "no_run", family, missing=missing)
    alike = tuple(row for row in rows if row.family == family and formats.items() <= row.run.items())
    unseen = tuple(row for row in alike if not row.seen)
    label, reason = (MEASURED, f"held_out_{kind}") if unseen else (SIMULATED, f"read_{kind}")
    found = unseen or alike
    off = spread(max((error_of(row, what) for what in whats), key=abs) for row in found) if found else None
    return _resting_on(label, reason, family, found, off, f"far_off_{kind}")


def standing_of_count(family: str, parameters: int, counted: CountedModel | None) -> Standing:
    """What stands behind a count of parameters; ``counted`` is what this very model's own class was counted to have."""
    if not is_known(family):
        return Standing(ESTIMATE, "guessed")
    if counted is not None:
        return _resting_on(MEASURED, "counted", family, (), spread([parameters / counted.total - 1]))
    return Standing(SIMULATED, "by_formula", family)


# What no row can bear out
ARTICLE = Standing(ESTIMATE, "article")
LAW = Standing(ESTIMATE, "law")  # a law that others fitted
ELSEWHERE = Standing(ESTIMATE, "elsewhere")  # on a device whose kernels are other ones than those that were measured
PROCESS = Standing(ESTIMATE, "process")  # what is beside the tensors is assumed
RATE = Standing(ESTIMATE, "rate")  # work over a rate, of which the reader set a share
LOGS = Standing(SIMULATED, "logs")  # of engines whose start-up logs were read
NO_LOGS = Standing(ESTIMATE, "no_logs")  # of others
OTHER_LOGS = Standing(ESTIMATE, "other_logs")  # on a device that takes another context than those of the logs
SERVED_SPEED = Standing(ESTIMATE, "served_speed")  # how fast a model is served, by one formula fitted on public runs
PLANS = Standing(ESTIMATE, "plans")  # made of simulated steps, what a trainer adds around them left out
SHAPES = Standing(ESTIMATE, "shapes")  # counted from shapes and formats alone
