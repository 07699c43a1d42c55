"""What each device has of a model: its share of every layer, and which layers."""

from __future__ import annotations

from functools import lru_cache

from llmcalc.serving.job import Serving
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Share

VOCABULARY_STEP = 64  # vLLM and SGLang: vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE


def layers_by_stage(n_layers: int, stages: int) -> list[int]:
    """Layers of each pipeline stage: what cannot be dealt out evenly goes to the last but one and those before it, the
    first and the last having embedding and head (vLLM: distributed/utils.py, `get_pp_indices`)."""
    found = [n_layers // stages] * stages
    for i in range(2, n_layers % stages + 2):
        found[-i] += 1
    return found


def ranks(model: Model, job: Serving) -> tuple[Model, ...]:
    """The model as one rank of each pipeline stage has it, from first to last."""
    return _ranks(model, Share(job.tensor_parallel, job.expert_parallel, VOCABULARY_STEP), job.pipeline_parallel)


@lru_cache(maxsize=256)
def _ranks(model: Model, share: Share, stages: int) -> tuple[Model, ...]:
    rank = model.of_rank(share)
    if stages == 1:
        return (rank,)
    found, first = [], 0
    counts = layers_by_stage(model.n_layers, stages)
    for i, count in enumerate(counts):
        ends = i == len(counts) - 1
        found.append(rank.stage(first, first + count, begins=i == 0, ends=ends))
        first += count
    return tuple(found)
