"""Layers that predict further tokens (multi-token prediction), which published files hold beside the language model.

The classes of transformers leave them out, and so does what serves a model without speculative decoding: they are
counted apart.
"""

from __future__ import annotations

from dataclasses import replace

from llmcalc.huggingface.keys import MOST_LAYERS, Keys, whole
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part, matrices
from llmcalc.transformer.tower import PREDICTION, Linear, Tower

# Keys of published configs that count such layers
COUNTED_BY = (
    "num_nextn_predict_layers",
    "mtp_num_hidden_layers",
    "num_mtp_modules",
    "mtp_num_layers",
    "num_mtp_layers",
    "_num_mtp_layers",
)
# Their files hold the token table and the head once more for each such layer (embed_tokens, shared_head.head)
_COPIES = frozenset({"deepseek_v3", "deepseek_v32", "glm4_moe", "glm_moe_dsa"})


def prediction_layers(model: Model, keys: Keys) -> tuple[Part, ...]:
    """The layers that the config counts, each as DeepSeek-V3 has it: a norm of the token and one of the hidden state,
    a projection of both to the model's width, a layer like the model's last, and a norm (arXiv 2412.19437, sec. 2.2).
    Token table and head are the model's own, of which some files hold copies. Nothing where there are none."""
    count = _count(keys)
    norms = (part for part in model.back if isinstance(part, LayerNorm | RMSNorm))
    norm = next((norm for norm in norms if norm.id == "final_norm"), None)
    if not count or norm is None:
        return ()
    d_model = model.width
    tables = tuple(part for part in (*model.front, *model.back) if matrices(part)) if keys.model_type in _COPIES else ()
    parts = (
        *tables,
        replace(norm, id="token_norm"),
        replace(norm, id="hidden_norm"),
        Linear(2 * d_model, d_model, False, "prediction_projection", PREDICTION),
        *model.layers()[-1].parts,
        norm,
    )
    return (Tower((), ((Block(parts, "mtp_block"), count),), (), PREDICTION, PREDICTION, trains=True),)


def _count(keys: Keys) -> int:
    if keys.config.get("use_mtp") is False:
        return 0
    for key in COUNTED_BY:
        given = keys.config.get(key)
        if given is not None:
            keys.used[key] = given
            return min(whole(key, given, 0), MOST_LAYERS)
    return 0
