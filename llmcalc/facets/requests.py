"""Inference: so many requests of such a length, held by the engine that the reader chose. Every page counts these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import ACCELERATORS, devices_by_memory
from llmcalc.errors import InputError
from llmcalc.facets.serving import Serving
from llmcalc.fit.solve import largest_that_fits
from llmcalc.serving.job import OF_LLAMA_CPP, check_device
from llmcalc.serving.job import Serving as Job
from llmcalc.serving.serve import reserved
from llmcalc.serving.served import Served, largest
from llmcalc.transformer.model import Model

_STANDS_IN = "llama.cpp"  # where the reader's engine runs no such model: it serves any, on one device
_MANY = 64  # requests: from one to so many memory is nearly a straight line, which goes on
_EACH = 256  # so many amounts are worked out one by one; more are read off such lines
# Lengths between which memory is a straight line where each takes a simulated pass
_FEW = (1, 512, 2_048, 8_192, 32_768, 131_072, 1_048_576)


@dataclass(frozen=True)
class Requests:
    """The requests that ``values`` describe as there at once: where it is served, its users, each with a context; where
    it is trained, the batch, each as long as its sequences."""

    values: Mapping[str, Any]
    serving: Serving

    @property
    def are_users(self) -> bool:
        """Whether they are users, not a batch."""
        return bool(self.values["purpose"] == "inference")

    @property
    def knobs(self) -> tuple[str, str]:
        """The inputs that say how many there are and how long each is."""
        return ("concurrency", "context") if self.are_users else ("batch_size", "seq_len")

    @property
    def number(self) -> int:
        """How many there are."""
        return int(self.values[self.knobs[0]])

    @property
    def length(self) -> int:
        """How many tokens each has; of users what *Serving* counts, whatever they left empty."""
        return self.serving.context if self.are_users else int(self.values["seq_len"])

    @cached_property
    def _model(self) -> Model:
        """The model, without the length that it was made for: a longer request is told to be one, not refused."""
        return replace(self.serving.counting.model, context=None)

    @cached_property
    def _job(self) -> Job:
        """As the reader serves it, without what the engine refuses; where it refuses all, on one device by another."""
        job = self.serving.job_without_refused
        try:
            check_device(job)
            reserved(self._model, _of(job, 1, 1))
        except InputError:
            return Job(engine=_STANDS_IN, device=job.device, weights=job.weights, kv_cache=job.kv_cache)
        return job

    @property
    def engine(self) -> str:
        """Whose figures these are: the reader's, unless that runs no such model."""
        return self._job.engine

    @property
    def is_simulated(self) -> bool:
        """Whether each length takes a simulated pass."""
        return self._job.engine == "transformers"

    def served(self, batch_size: int, seq_len: int, **changes: Any) -> Served:
        """Those requests, with other fields of the job if any."""
        return reserved(self._model, _of(replace(self._job, **changes), batch_size, seq_len))

    @cached_property
    def verdict(self) -> Served:
        """What they take, and whether that fits."""
        return self.served(self.number, self.length)

    @property
    def is_too_long(self) -> bool:
        """Whether they are longer than the model was made for."""
        made_for = self.serving.made_for
        return made_for is not None and self.length > made_for

    def needed(self, number: Any, length: Any) -> np.ndarray:
        """Bytes of the device that needs most, over arrays of both. Of a large table they are read off the straight
        line from one request to many, as pools and caches grow but for their rounding."""
        batch, length = np.broadcast_arrays(np.asarray(number, float), np.asarray(length, float))
        if not self.is_simulated and batch.size <= _EACH:
            pairs = zip(batch.ravel().tolist(), np.maximum(length.round(), 1).ravel().tolist(), strict=True)
            return np.array([self._needed(round(b), round(s)) for b, s in pairs]).reshape(batch.shape)
        return self._on_lines(batch, length)

    def _on_lines(self, batch: np.ndarray, length: np.ndarray) -> np.ndarray:
        replicas, seats = self._job.data_parallel, self._job.seats
        many = _MANY if seats is None else min(_MANY, seats // replicas)
        batch = batch if seats is None else np.minimum(batch, seats)  # the others wait
        users = np.ceil(batch / replicas) if replicas > 1 else batch
        lengths = np.unique(np.maximum(length.round(), 1)).astype(int).tolist()
        if self.is_simulated:
            last = next((few for few in _FEW if few >= lengths[-1]), lengths[-1])
            lengths = sorted({self.length, last, *(few for few in _FEW if few <= last)})
        one, all_of = (np.interp(length, lengths, [self._needed(n * replicas, s) for s in lengths]) for n in (1, many))
        return np.asarray(one + (users - 1) / max(many - 1, 1) * (all_of - one))

    def _needed(self, users: int, length: int) -> float:
        if (users, length) not in self._found:
            self._found[users, length] = float(self.served(users, length).needed.value)
        return self._found[users, length]

    @cached_property
    def _found(self) -> dict[tuple[int, int], float]:
        return {}

    def largest(self, knob: str, memories: Any, most: int) -> np.ndarray:
        """The largest of one of `knobs` that a device of each of ``memories`` bytes holds, the other as it is; 0 where
        there is none. No more requests than an engine runs at once."""
        if knob == self.knobs[1] and self.serving.made_for is not None:
            most = min(most, self.serving.made_for)
        if self._job.engine in OF_LLAMA_CPP or self.is_simulated:  # what is needed does not hang on the device
            if not self.is_simulated:
                return self._largest_near(knob, memories, most)
            return np.asarray(largest_that_fits(lambda n: self.needed(*self._with(knob, n)), memories, most))
        of_memory = devices_by_memory()
        own = ACCELERATORS[self._job.device]
        found = []
        for size in map(int, np.asarray(memories).tolist()):
            id = own.id if own.memory == size else next(iter(of_memory.get(size, [])), own.id)
            changes = {"device": id} if ACCELERATORS[id].memory == size else {"device_memory": size}
            found.append(self._largest_on(changes, knob, most))
        return np.array(found)

    def _with(self, knob: str, value: Any) -> tuple[Any, Any]:
        """How many and how long they are with another of the two."""
        return (value, self.length) if knob == self.knobs[0] else (self.number, value)

    def _largest_near(self, knob: str, memories: Any, most: int) -> np.ndarray:
        """The largest that holds for each memory: what the lines say, where that is so."""

        def on_line(value: np.ndarray) -> np.ndarray:
            number, length = self._with(knob, value)
            return self._on_lines(*np.broadcast_arrays(np.asarray(number, float), np.asarray(length, float)))

        found = []
        guesses = largest_that_fits(on_line, memories, most) if knob == self.knobs[0] else np.zeros_like(memories)
        for memory, guess in zip(np.asarray(memories).tolist(), np.asarray(guesses).astype(int).tolist(), strict=True):
            holds = partial(self._holds, knob, memory)
            is_it = guess > 0 and holds(guess) and (guess == most or not holds(guess + 1))
            found.append(guess if is_it else largest(holds, most))
        return np.array(found)

    def _holds(self, knob: str, memory: float, value: int) -> bool:
        return self._needed(*self._with(knob, value)) <= memory

    def _largest_on(self, changes: Mapping[str, Any], knob: str, most: int) -> int:
        seats = replace(self._job, **changes).seats
        if knob == self.knobs[0] and seats is not None:  # more would wait
            most = min(most, seats)
        return largest(lambda n: self.served(*self._with(knob, n), **changes).fits, most)


def _of(job: Job, users: int, length: int) -> Job:
    """The job with so many requests at once, each of so many tokens. llama.cpp is started with a context for all."""
    if job.engine in OF_LLAMA_CPP:
        return replace(job, context=length * users, parallel_sequences=users, concurrency=users)
    return replace(job, context=length, concurrency=users)
