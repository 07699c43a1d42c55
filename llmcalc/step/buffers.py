"""What a model's class registers beside its weights and no optimizer trains: causal masks, tables of positions."""

from __future__ import annotations

from typing import Any

from llmcalc.catalog.precisions import BYTES
from llmcalc.quantity import Quantity, formula
from llmcalc.sources import PYTORCH, TRANSFORMERS
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model

MODEL_BUFFERS = "model_buffers"


@formula(r"M_\text{buffers}", "bytes", PYTORCH.at("torch.nn.Module.register_buffer"))
def mask_buffers(*, count, n_positions, element_bytes):
    """Causal masks as long and as wide as the longest sequence that the model can read."""
    return count * n_positions**2 * element_bytes


@formula(r"M_\text{buffers}", "bytes", TRANSFORMERS.at("models/gptj/modeling_gptj.py"))
def table_buffers(*, count, n_positions, width, element_bytes):
    """Tables with a row for every position: the angles of rotary positions, or sinusoids."""
    return count * n_positions * width * element_bytes


def buffers_memory(model: Model, run: TrainingRun, *, layers: Any, first: Any = 1) -> Quantity | None:
    """Bytes of such buffers in ``layers`` layers and, where ``first``, in front of them; None where there are none."""
    code = model.code
    if code is None or not code.buffers or (code.buffers_unfused_only and run.attention != "eager"):
        return None
    each = run.numbers.weight_bytes if code.buffer_format == "weights" else BYTES[code.buffer_format]
    sizes = {
        "count": layers if code.buffers_in_layers else first * code.buffers_outside,
        "n_positions": code.n_positions,
        "element_bytes": each,
    }
    if code.buffers == "masks":
        return mask_buffers(**sizes).named(MODEL_BUFFERS)
    width = code.rotary_width or model.width
    return table_buffers(**sizes, width=width).named(MODEL_BUFFERS)
