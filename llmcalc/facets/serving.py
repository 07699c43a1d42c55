"""Inference: what weights and cache take, in the formats that were chosen; and what an engine takes to serve it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from llmcalc.accuracy import ESTIMATE, LOGS, NO_LOGS, OTHER_LOGS, Standing, standing_of_inference, standing_of_pass
from llmcalc.accuracy.speed import FORMATS, Likely, likely
from llmcalc.cached import cached_property, once
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.formats import CACHE_FORMATS, WEIGHT_FORMATS
from llmcalc.catalog.models import models
from llmcalc.errors import InputError
from llmcalc.facets.counting import Counting
from llmcalc.inputs import DEFAULTS, INPUTS, NO_DRAFT, integer
from llmcalc.kinds import Choice, Integer
from llmcalc.quantity import Quantity
from llmcalc.serving.batches import Batches, Pass, batches, passes
from llmcalc.serving.held import inference_memory
from llmcalc.serving.job import OF_LLAMA_CPP
from llmcalc.serving.job import Serving as Job
from llmcalc.serving.offers import offers
from llmcalc.serving.pool import whole_requests
from llmcalc.serving.serve import reserved, serve
from llmcalc.serving.served import Served, largest
from llmcalc.serving.speed.formulas import million_token_price
from llmcalc.serving.speed.work import work_of
from llmcalc.sources import VLLM
from llmcalc.step.inference import Inference, InferenceRun
from llmcalc.step.inference import inference as simulated

if TYPE_CHECKING:
    import pandas as pd

USUAL_CONTEXT = 8192
# What a job's fields are called among the inputs, where they are called something else
INPUT_OF = {
    "device": "accelerator",
    "weights": "weight_format",
    "kv_cache": "cache_format",
    "tensor_parallel": "serve_tensor",
    "pipeline_parallel": "serve_pipeline",
    "data_parallel": "serve_data",
    "expert_parallel": "serve_experts",
    "parallel_sequences": "concurrency",
    "lora_rank": "slot_rank",
    "model": "engine",  # a model that an engine does not run
}
MOST_AT_ONCE = 2  # changes
# Reasons whose words do not say what is counted instead
_WITHOUT_INSTEAD = ("context_too_long", "layers_only", "no_experts", "one_device", "groups_do_not_divide",
                    "not_on_device", "cache_of_files")  # fmt: skip
_LOGGED = ("vllm", "sglang", *OF_LLAMA_CPP)


@dataclass(frozen=True)
class Way:
    """Inputs to set together, and what is served then."""

    values: Mapping[str, Any]
    served: Served


@dataclass(frozen=True)
class Serving:
    """Inference of the model that is counted, as ``values`` describe it."""

    values: Mapping[str, Any]
    counting: Counting

    @cached_property
    def inference(self) -> Quantity:
        """Memory of inference with a full cache."""
        return self.inference_of(self.values["batch_size"], self.values["seq_len"])

    @cached_property
    def of_pass(self) -> Inference | None:
        """The same batch through transformers, prompts and a token behind them; None where the code was not read."""
        values = self.values
        run = InferenceRun(
            batch_size=values["batch_size"],
            seq_len=values["seq_len"],
            weights=values["weight_format"],
            kv_cache=values["cache_format"],
        )
        try:
            return simulated(self.counting.model, run)
        except InputError:
            return None

    def with_weights_in(self, format: str) -> Serving:
        """The same with the weights stored in another format."""
        return self.changed({"weight_format": format})

    def changed(self, values: Mapping[str, Any]) -> Serving:
        """The same with other inputs."""
        return Serving({**self.values, **values}, self.counting)

    def inference_of(self, batch_size: Any, seq_len: Any) -> Quantity:
        """Inference with another batch or length; arrays make a sweep."""
        return inference_memory(
            self.counting.model,
            batch_size=batch_size,
            seq_len=seq_len,
            weight_format=self.values["weight_format"],
            cache_format=self.values["cache_format"],
        )

    @property
    def inference_standing(self) -> Standing:
        """What stands behind the memory of inference."""
        return self.inference_standing_in(self.values["weight_format"], self.values["cache_format"])

    def inference_standing_in(self, weight_format: str, cache_format: str = "bf16") -> Standing:
        """The same in other formats."""
        return standing_of_inference(self.counting.family, weight_format, cache_format)

    @property
    def pass_standing(self) -> Standing:
        """What stands behind the peaks of a pass."""
        return standing_of_pass(self.counting.family, self.values["weight_format"], self.values["cache_format"])

    # Served by an engine

    @property
    def context(self) -> int:
        """The longest request that is counted: as asked, unless the engine refuses that; else as long as the model was
        made for, up to what is usual or asked for."""
        return self._sound["context"] or self.usual_context

    @property
    def made_for(self) -> int | None:
        """How many tokens the model was made for; None where it says nothing of that."""
        return self.counting.model.context or self.counting.longest_position

    @property
    def _longest_asked(self) -> int:
        return self._tokens_of(self.values)

    def _tokens_of(self, values: Mapping[str, Any]) -> int:
        """The tokens of a request: what is given, and what is written, if anything is."""
        return int(values["input_tokens"] + (values["output_tokens"] if self.writes else 0))

    @property
    def usual_context(self) -> int:
        """What an empty field stands for."""
        asked, most = self._longest_asked, self.made_for
        return max(USUAL_CONTEXT, asked) if most is None else min(most, max(USUAL_CONTEXT, asked))

    def _job(self, values: Mapping[str, Any]) -> Job:
        """The job as the inputs describe it. llama.cpp is started with a context for all of its users."""
        context, users = values["context"] or self.usual_context, values["concurrency"]
        if self.made_for is not None and context > self.made_for:
            message = f"context {context:,} is beyond the {self.made_for:,} tokens that the model was made for"
            raise InputError(
                "context", message, (self.made_for,), code="context_too_long", value=context, number=self.made_for
            )
        given = values["input_tokens"]
        if self.made_for is not None and given == DEFAULTS["input_tokens"]:  # what stands there before it is asked for
            given = min(given, self.made_for)
        in_cells, share = values["engine"] in OF_LLAMA_CPP, values["memory_utilization"]
        return Job(
            engine=values["engine"],
            device=values["accelerator"],
            tensor_parallel=values["serve_tensor"],
            pipeline_parallel=values["serve_pipeline"],
            data_parallel=values["serve_data"],
            expert_parallel=values["serve_experts"],
            weights=values["weight_format"],
            kv_cache=values["cache_format"],
            context=context * users if in_cells else context,
            parallel_sequences=users if in_cells else 1,
            memory_utilization=None if share is None else share / 100,
            max_sequences=values["max_sequences"],
            batched_tokens=values["batched_tokens"],
            input_tokens=given,
            output_tokens=values["output_tokens"],
            concurrency=users,
            lora_slots=values["lora_slots"],
            lora_rank=int(values["slot_rank"]),
            draft=None if values["draft"] == NO_DRAFT else values["draft"],
        )

    @property
    def job_without_refused(self) -> Job:
        """The job as asked, without what the engine refuses of it; as it is where that is all."""
        if self.served is not None:
            return self.served.job
        formats = {"weights": self.values["weight_format"], "kv_cache": self.values["cache_format"]}
        return Job(engine=self.values["engine"], device=self.values["accelerator"], **formats)

    @cached_property
    def _tried(self) -> tuple[Served | None, tuple[InputError, ...]]:
        """What is served as asked, without what the engine refuses; and what that is."""
        values, refused = dict(self.values), list[InputError]()
        while True:
            try:
                return serve(self.counting.model, self._job(values)), tuple(refused)
            except InputError as error:
                error.input_id = INPUT_OF.get(error.input_id, error.input_id)
                error.suggestions = tuple(_accepted(error.input_id, error.suggestions))
                if all(error.input_id != other.input_id for other in refused):  # what stands in may be refused as well
                    refused.append(error)
                if error.input_id not in values or values[error.input_id] == DEFAULTS[error.input_id]:
                    for nothing_counted in refused:
                        nothing_counted.details.pop("instead", None)
                    return None, tuple(refused)
                values[error.input_id] = DEFAULTS[error.input_id]
                if error.code in _WITHOUT_INSTEAD:
                    instead = self.usual_context if error.input_id == "context" else values[error.input_id]
                    error.details["instead"] = instead

    @property
    def served(self) -> Served | None:
        """What serving takes; of what the engine refuses, what is there at first stands in. None where it refuses all
        of it."""
        return self._tried[0]

    @cached_property
    def refused(self) -> tuple[InputError, ...]:
        """What the engine refuses, and why, each naming the input to change; and that a request is longer than the
        context."""
        sound = self._sound
        asked, room = self._tokens_of(sound), self.context
        if asked <= room:
            return self._tried[1]
        fitting = (room - sound["input_tokens"],)
        message = f"requests of {asked:,} tokens do not go into a context of {room:,}"
        error = InputError(
            "output_tokens", message, tuple(_accepted("output_tokens", fitting)), code="longer_than_context",
            value=asked, number=room,
        )  # fmt: skip
        return (*self._tried[1], error)

    @property
    def served_standing(self) -> Standing:
        """What stands behind the memory of serving."""
        if self.values["engine"] == "transformers":
            return self.inference_standing
        if self.counting.count_standing.label == ESTIMATE:
            return self.counting.count_standing
        if not ACCELERATORS[self.values["accelerator"]].has_cuda:  # whose context and buffers the logs are of
            return OTHER_LOGS
        return LOGS if self.values["engine"] in _LOGGED else NO_LOGS

    @cached_property
    def at_once(self) -> Quantity | None:
        """How many requests of the whole context fit at once, on all replicas together; None where none is served."""
        found = self.served
        if found is None:
            return None
        if found.job.engine in OF_LLAMA_CPP or found.job.engine == "transformers":
            most = integer("concurrency").high
            if found.job.engine == "transformers":  # activations grow with them
                most = int(max(found.max_concurrency.value, 0))
            users = largest(lambda n: self._fits({"concurrency": n}), most)
            return Quantity("whole_requests", users, "", "B", meaning="The most that fit of those that were tried.")
        if found.kv_available.value <= 0:
            return Quantity("whole_requests", 0, "", "B", meaning="Nothing is left for a cache.")
        held: Quantity = whole_requests(requests=found.max_concurrency, replicas=found.job.data_parallel)
        if (seats := found.job.seats) is None or seats >= held.value:
            return held
        source = VLLM.at("engine/arg_utils.py, v0.30") if found.job.max_sequences is None else None
        return Quantity("whole_requests", seats, "", "B", source, meaning="As many as the engine runs at once.")

    @property
    def users(self) -> int:
        """The same as a number; 0 where none is served."""
        return 0 if self.at_once is None else int(self.at_once.value)

    @cached_property
    def longest(self) -> Quantity | None:
        """The longest request that fits alone."""
        if (found := self.served) is None:
            return None
        if found.job.engine in OF_LLAMA_CPP and found.job.parallel_sequences > 1:
            return self.changed({"concurrency": 1}).longest
        tokens = found.longest_context
        return tokens if self.made_for is None else replace(tokens, value=min(tokens.value, self.made_for))

    def _fits(self, values: Mapping[str, Any]) -> bool:
        """Whether what the inputs describe with these changes is taken, and fits."""
        try:
            return reserved(self.counting.model, self._job({**self._sound, **values})).fits
        except InputError:
            return False

    @cached_property
    def writes(self) -> bool:
        """Whether the model writes token by token, so that speed can be told: an encoder does not."""
        work = work_of(self.counting.model, self.values["weight_format"])
        return bool(work.cached_bytes(1, 1) or work.state_bytes)

    @once
    def likely(self, what: str) -> Likely:
        """How far to trust a time, from the measured runs most like it."""
        found = self.served
        assert found is not None
        return likely(
            what,
            model=next((id for id, row in models().items() if row.name == self.counting.name), ""),
            device=found.job.device,
            engine=found.job.engine,
            precision=next(
                (name for name, format in FORMATS.items() if name and format == found.job.weight_format), ""
            ),
        )

    @cached_property
    def price(self) -> Quantity | None:
        """What a million tokens written cost, at the reader's price; None without one, or where no speed is known."""
        found, price = self.served, self.values["price_per_hour"]
        if price is None or found is None or found.tokens_per_second is None or not self.writes:
            return None
        paid = {"price_per_hour": price, "devices": found.job.devices}
        return million_token_price(**paid, token_rate=found.tokens_per_second)

    def needed_over(self, contexts: Iterable[int], users: Iterable[int]) -> dict[int, list[float | None]]:
        """Bytes of the device that needs most, for each number of users, at each context; None where the engine refuses
        that."""
        lengths, found = list(contexts), self.served
        return {n: [self._needed({"context": length, "concurrency": n}) for length in lengths] for n in users if found}

    def _needed(self, values: Mapping[str, Any]) -> float | None:
        try:
            return float(reserved(self.counting.model, self._job({**self._sound, **values})).needed.value)
        except InputError:
            return None

    @cached_property
    def _sound(self) -> Mapping[str, Any]:
        """The inputs without what is refused."""
        return {**self.values, **{e.input_id: DEFAULTS[e.input_id] for e in self._tried[1] if e.input_id in DEFAULTS}}

    # Questions

    @cached_property
    def batches(self) -> Batches | None:
        """Times and rates for every number of users."""
        return batches(self.counting.model, self.served.job) if self.served and self.writes else None

    @cached_property
    def passes(self) -> list[Pass]:
        """Prefill and decoding, beside the roofline."""
        found = self.served
        return passes(found.speed, found.job) if found and found.speed and self.writes else []

    @cached_property
    def offers(self) -> pd.DataFrame:
        """Every device, so many of them, in every format, at the reader's price."""
        price = self.values["price_per_hour"]
        assert self.served is not None
        return offers(self.counting.model, self.served.job, price_per_hour=price)

    @property
    def fewest_devices(self) -> int | None:
        """How many devices of the reader's it takes at least, of those in `offers`; None where these are not enough."""
        table = self.offers
        here = (table["device"] == self.values["accelerator"]) & (table["format"] == self.values["weight_format"])
        counts = table.loc[here & table["fits"], "devices"]
        return int(counts.min()) if len(counts) else None

    def ways(self, most: int = 4) -> list[Way]:
        """The smallest changes after which it fits, those that cost least first: one change, else two together; nothing
        where it fits, or no two do."""
        if self.served is None or self.served.fits:
            return []
        changes = list(self._changes())
        for number in range(1, MOST_AT_ONCE + 1):
            found: list[Way] = []
            for together in combinations(changes, number):
                values = {id: value for change in together for id, value in change.items()}
                is_another = all(values.keys() != way.values.keys() for way in found)  # none larger of its kind
                if len(values) == sum(map(len, together)) and is_another and self._fits(values):
                    served = self.changed(values).served
                    found += [Way(values, served)] if served else []
            if found:
                return found[:most]
        return []

    def savings(self) -> list[Way]:
        """Every change alone after which the device that needs most is spared something, in the order of `ways`; of
        its kind the smallest."""
        if self.served is None:
            return []
        found: list[Way] = []
        for values in self._changes():
            if not self._sound_with(values) or any(values.keys() == way.values.keys() for way in found):
                continue
            served = self.changed(values).served
            if served and served.needed.value < self.served.needed.value:
                found.append(Way(values, served))
        return found

    def _sound_with(self, values: Mapping[str, Any]) -> bool:
        """Whether the engine refuses no more than it does now, with these changes."""
        return {e.input_id for e in self.changed(values).refused} <= {e.input_id for e in self.refused}

    def _changes(self) -> Iterator[dict[str, Any]]:
        """What could be changed alone, that which costs least first: nothing, users, length, accuracy, devices."""
        values = self.values
        if self.users:
            yield {"concurrency": min(self.users, values["concurrency"])}
        shorter = largest(lambda n: self._fits({"context": n}), self.context)
        if self._longest_asked <= shorter < self.context:
            yield {"context": shorter}
        in_cells = values["engine"] in OF_LLAMA_CPP
        for id in ("GGUF Q8_0", "GGUF Q4_0") if in_cells else ("fp8",):
            if CACHE_FORMATS[id].bits < CACHE_FORMATS[values["cache_format"]].bits:
                yield {"cache_format": id}
        now = WEIGHT_FORMATS.get(values["weight_format"])
        for id in ("GGUF Q8_0", "GGUF Q4_K") if in_cells else ("fp8", "int4 g128"):
            if now is None or WEIGHT_FORMATS[id].bits < now.bits:
                yield {"weight_format": id}
        many = "serve_pipeline" if in_cells else "serve_tensor"
        for n in (2, 4, 8):
            if n > values[many]:
                yield {many: n}


def inputs_of(job: Job, told: Iterable[str]) -> dict[str, Any]:
    """The inputs that describe these fields of a job, so far as there are controls that take them. llama.cpp is started
    with a context for all of its sequences."""
    asked = {INPUT_OF.get(name, name): getattr(job, name) for name in told}
    of_formats = {"weight_format": job.weight_format, "cache_format": job.cache_formats[0].id}
    asked |= {id: value for id, value in of_formats.items() if id in asked}
    if "context" in asked and job.engine in OF_LLAMA_CPP:
        asked["context"] = job.context // job.parallel_sequences
    if asked.get("memory_utilization"):
        asked["memory_utilization"] = round(100 * asked["memory_utilization"])
    return {id: value for id, value in asked.items() if value is not None and list(_accepted(id, [value]))}


def _accepted(input_id: str, values: Iterable[Any]) -> Iterator[Any]:
    """Those values that an input takes."""
    declared = INPUTS.get(input_id)
    for value in values:
        is_number = isinstance(declared, Integer) and declared.low <= value <= declared.high
        if is_number or (isinstance(declared, Choice) and value in declared.options):
            yield value
