"""What an engine loads beside a model's weights: buffers for adapters, and a layer that drafts tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, formula
from llmcalc.serving.job import DRAFTS, Serving
from llmcalc.sources import LI_2024_EAGLE, VLLM
from llmcalc.stored.weights import stored_weights
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import matrices

_SIXTEEN_BITS = 2  # bytes
# What is no product that adapters of the model's linear layers stand beside
_NOT_ADAPTED = ("router", "embedding", "head", "positions")


@formula(r"M_\text{slots}", "bytes", VLLM.at("lora/layers/base_linear.py, fused_moe.py: create_lora_weights"))
def adapter_slots_memory(*, lora_slots, lora_rank, adapted_widths, element_bytes):
    """Buffers of both matrices of an adapter beside every product of the layers, for each slot, whether or not an
    adapter is loaded: its rank times what the product reads and what it writes."""
    return lora_slots * lora_rank * adapted_widths * element_bytes


@formula(
    r"M_\text{slots, vocabulary}",
    "bytes",
    VLLM.at("lora/layers/vocal_parallel_embedding.py, logits_processor.py: create_lora_weights"),
)
def vocabulary_slots_memory(*, lora_slots, lora_rank, tables, vocab_size, d_model, element_bytes):
    """The same beside the embedding and the head, where vocabulary and width are whole on every device."""
    return lora_slots * lora_rank * tables * (vocab_size + d_model) * element_bytes


@formula(r"M_\text{fusion}", "bytes", LI_2024_EAGLE.at("sec. 4.1; DeepSeek-AI 2024, DeepSeek-V3, sec. 2.2: eh_proj"))
def draft_fusion_memory(*, d_model, element_bytes):
    """What makes one vector of a token's embedding and the hidden state before it: twice the width to the width."""
    return 2 * d_model * d_model * element_bytes


def check_additions(model: Model, job: Serving) -> None:
    """Raise InputError where the engine has no such thing, or refuses it."""
    if job.lora_slots and job.engine not in ("vllm", "sglang"):
        raise InputError("lora_slots", f"lora_slots: {job.engine} makes no buffers for adapters", (0,), code="no_slots")
    if job.lora_slots and job.engine == "vllm" and model.vocab_size > _LARGEST_VOCABULARY:
        message = f"lora_slots: vLLM takes adapters of vocabularies up to {_LARGEST_VOCABULARY:,} tokens"
        raise InputError("lora_slots", message, (0,), code="vocabulary_too_large", number=_LARGEST_VOCABULARY)
    if job.draft is not None and job.engine not in ("vllm", "sglang"):
        raise InputError("draft", f"draft: {job.engine} takes no such layer", DRAFTS, code="no_draft")
    if job.draft == "mtp" and not model.predicts_ahead:
        message = "draft: no layer that predicts further tokens is published with this model (its config counts none)"
        raise InputError("draft", message, ("eagle",), code="no_mtp")


_LARGEST_VOCABULARY = 258_048


def loaded_beside(rank: Model, job: Serving, *, vocab_size: int, is_last: bool) -> Iterator[Quantity]:
    """What one rank has beside its weights. A layer that drafts stands on the last stage of a pipeline."""
    if job.lora_slots:
        slots = {"lora_slots": job.lora_slots, "lora_rank": job.lora_rank, "element_bytes": _SIXTEEN_BITS}
        yield adapter_slots_memory(**slots, adapted_widths=adapted_widths(rank)).named("adapter_slots")
        tables = sum(1 for parts in (rank.front, rank.back) if any(matrices(part) for part in parts))
        if job.engine == "vllm" and tables:
            sizes = {"tables": tables, "vocab_size": vocab_size, "d_model": rank.width}
            yield vocabulary_slots_memory(**slots, **sizes).named("vocabulary_slots")
    if job.draft is not None and is_last:
        layer = replace(rank, front=(), blocks=((rank.layers()[-1], 1),), back=(), order=(), beside=())
        format = job.weight_format if job.draft == "mtp" else "bf16"
        yield stored_weights(layer, format).named("draft_layer", r"M_\text{draft}")
        yield draft_fusion_memory(d_model=rank.width, element_bytes=_SIXTEEN_BITS).named("draft_fusion")


def adapted_widths(rank: Model) -> int:
    """What each adapted product of a rank's layers reads and writes, over all of them, experts each for itself."""
    return sum(
        count * (m.width * max(1, m.experts) + m.rows)
        for block, count in rank.blocks
        for part in block.parts
        for m in matrices(part)
        if m.role not in _NOT_ADAPTED
    )


def with_draft(rank: Model, job: Serving, *, is_last: bool) -> Model:
    """The rank with the layer that drafts, which keeps keys and values as its last layer does."""
    if job.draft is None or not is_last:
        return rank
    last = rank.layers()[-1]
    blocks = tuple((block, n + (block is last or block == last)) for block, n in rank.blocks)
    return replace(rank, blocks=blocks, order=(*rank.order, last.name) if rank.order else ())
