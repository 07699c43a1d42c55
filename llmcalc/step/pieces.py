"""Linear layers, and learned numbers, of no kind of their own: each is told by its id."""

from __future__ import annotations

from collections.abc import Mapping

from llmcalc.errors import InputError
from llmcalc.step.linear import Linear
from llmcalc.step.registry import Beside, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Parameter
from llmcalc.transformer.piece import Numbers, Projection

# What the sides of linear layers, and of rows of numbers, are called
_SIDES: Mapping[str, tuple[str, str]] = {
    "per_layer_model_projection": ("d_model", "channels"),
    "per_layer_gate": ("d_model", "d_per_layer"),
    "per_layer_projection": ("d_per_layer", "d_model"),
    "altup_router": ("d_model", "n_streams"),
    "altup_prediction": ("n_streams", "channels"),
    "altup_correction": ("n_streams", "n_streams"),
    "altup_in": ("d_model", "d_model"),
    "altup_out": ("d_model", "d_model"),
    "laurel_down": ("d_model", "d_rank"),
    "laurel_up": ("d_rank", "d_model"),
    "latent_down": ("d_model", "d_in"),
    "latent_up": ("d_in", "d_model"),
}
_ROWS: Mapping[str, str] = {"altup_scale": "d_model", "router_scale": "d_model", "expert_scale": "n_experts"}
_SEVERAL = ("altup_in", "altup_out")  # as many square ones as make the part


@runs(Projection)
def projection(part: Projection, s: Setting, beside: Beside) -> Linear | list[Linear]:
    """A linear layer, or several of which each gives ``d_in`` channels, called as the part is."""
    if part.id not in _SIDES:
        raise InputError("model", f"a training step of a model with such {part.id} is not simulated")
    d_out = part.d_in if part.id in _SEVERAL else part.d_out
    sides = [s.dim(name, width) for name, width in zip(_SIDES[part.id], (part.d_in, d_out), strict=True)]
    # its code multiplies with the weight itself where that is bounded: an adapter beside it would be passed by
    adapted = not (part.id == "altup_correction" and s.code.altup_clipped)
    made = [
        Linear(s, (sides[0],), (sides[1],), part.bias, adapted=adapted, name=part.id)
        for _ in range(part.d_out // d_out)
    ]
    return made if part.id in _SEVERAL else made[0]


@runs(Numbers)
def numbers(part: Numbers, s: Setting, beside: Beside) -> Parameter:
    """A row of learned numbers, called as the part is."""
    if part.id not in _ROWS:
        raise InputError("model", f"a training step of a model with such {part.id} is not simulated")
    return s.weight(s.dim(_ROWS[part.id], part.count), name=f"{part.id}_parameters")
