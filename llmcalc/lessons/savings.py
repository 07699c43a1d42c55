"""What each technique saves alone, of the peak that the reader's step has on one device."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any

from llmcalc.configuration import Configuration
from llmcalc.devices.layout import ZERO_STAGES, Layout
from llmcalc.devices.rank import RankMemory
from llmcalc.inputs import DEFAULTS

DEVICES = 8  # that the states are shared out among
_ONE_DEVICE = {"n_devices": None} | {field.name: DEFAULTS[field.name] for field in fields(Layout)}


def shared_out(config: Configuration, zero_stage: int) -> RankMemory:
    """One of eight devices with the same batch on each, and ZeRO of that stage."""
    return _shared_out(tuple(config.values.items()), zero_stage)


def peaks(config: Configuration) -> dict[str, float]:
    """The peak of a device, in bytes, after each change alone that lowers it, the lowest first."""
    return _peaks(tuple(config.values.items()))


@functools.lru_cache(maxsize=64)
def _shared_out(items: tuple[tuple[str, Any], ...], zero_stage: int) -> RankMemory:
    layout = {**_ONE_DEVICE, "data_parallel": DEVICES, "zero_stage": zero_stage}
    return Configuration({**dict(items), **layout}).rank


@functools.lru_cache(maxsize=64)
def _peaks(items: tuple[tuple[str, Any], ...]) -> dict[str, float]:
    config = Configuration({**dict(items), **_ONE_DEVICE})
    # what takes several devices stands below, stage by stage
    alone = [advice for advice in config.savings() if "data_parallel" not in advice.fields]
    found = {advice.changes[0].id: float(advice.peak) for advice in alone}
    for stage in ZERO_STAGES[1:]:
        found[f"zero_{stage}"] = _shared_out(items, stage).peak.value
    now = config.step.peak.value
    return dict(sorted(((id, peak) for id, peak in found.items() if peak < now), key=lambda item: item[1]))
