"""What it would take: the model trained whole, with LoRA and with QLoRA, and served, in each format of its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from llmcalc.errors import InputError
from llmcalc.fit.advice import NEW_RANK
from llmcalc.fit.job import Fields, Job
from llmcalc.fit.verdict import Verdict
from llmcalc.serving.served import Served

FULL, LORA, QLORA, INFERENCE = WAYS = ("full", "lora", "qlora", "inference")
FORMATS = ("fp32", "bf16", "int8", "int4")
# What the frozen weights of LoRA, and those that are served, are stored in
SERVED: Mapping[str, str] = {"fp32": "fp32", "bf16": "bf16", "int8": "int8", "int4": "NF4"}
_BASES = {"int8": "int8", "int4": "NF4-double"}


@dataclass(frozen=True)
class Take:
    """One cell: the inputs that lead to it, and whether that fits; no verdict where there is no such layout."""

    way: str
    format: str
    fields: Fields
    verdict: Verdict | Served | None


def ways_of_training(job: Job) -> Iterator[Take]:
    """A cell for each way to train and each format that it can have, each the same step but for that: whole and with
    LoRA the weights are in fp32 or bf16 throughout, with QLoRA the frozen ones are quantised and all else is in bf16.
    """
    whole: Fields = {"lora_rank": 0}
    adapted: Fields = {"lora_rank": job.run.lora_rank or NEW_RANK, "lora_base": "same", "kbit_prepared": False}
    for format in ("fp32", "bf16"):
        yield _taken(job, FULL, format, {**whole, "precision": format})
        yield _taken(job, LORA, format, {**adapted, "precision": format})
    for format, base in _BASES.items():
        prepared = job.run.kbit_prepared
        yield _taken(job, QLORA, format, {**adapted, "precision": "bf16", "lora_base": base, "kbit_prepared": prepared})


def int8_needs_more(takes: Iterable[Take]) -> bool:
    """Whether QLoRA in int8 needs more than LoRA in bf16: its product keeps its input."""
    needed = {(take.way, take.format): take.verdict.needed.value for take in takes if take.verdict}
    lora, int8 = needed.get((LORA, "bf16")), needed.get((QLORA, "int8"))
    return lora is not None and int8 is not None and int8 > lora


def _taken(job: Job, way: str, format: str, fields: Fields) -> Take:
    try:
        return Take(way, format, fields, job.changed(fields).verdict)
    except InputError:  # a layout that cannot be
        return Take(way, format, fields, None)
