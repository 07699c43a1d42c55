"""Count the parameters of a real transformers model, built on torch's meta device, where no memory is needed.

Knows nothing of llmcalc: the component of a parameter is told by its name in the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import transformers
from torch import nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

transformers.logging.set_verbosity_error()

# In this order; the first pattern found in a parameter's name decides.
COMPONENTS = (
    (
        "projector",
        r"projector\.|visual\.(merger|downsample|deepstack_merger)|embed_(vision|audio)\.|vision_adapter"
        r"|vision_embed_tokens|img_projection_|_img_feature_|_proj_for_(vision_)?speech",
    ),
    ("audio_tower", r"audio_tower|audio_embed"),
    ("vision_tower", r"vision_tower|visual\.|vision_model|img_processor"),
    (
        "head",
        r"^(language_model\.)?(lm_head|embed_out|output_projection|cls\.predictions|cls\.seq|generator_|discriminator_|predictions|sop_classifier|vocab_|head\.)",
    ),
    ("head", r"^decoder\.(bias|weight)$"),
    ("pooler", r"pooler"),
    ("shared_experts", r"shared_expert|shared_mlp"),
    ("experts", r"\.experts\."),
    (
        "qk_norm",
        r"attn\.(\d\.)?(q_norm|k_norm|q_a_layernorm|kv_a_layernorm|q_a_norm|kv_norm|k_rope_only_layernorm)"
        r"|(q|k)_layernorm|(query|key)_layernorm|qk_norm\.",
    ),
    ("experts", r"(down|up)_embed\."),
    ("router", r"router_gate|\.router\.|\.gate\.|expert_bias"),
    ("norm", r"(^|\.)[^.]*[nN]orm[^.]*\.(\d\.)?(weight|bias)$|(^|\.)(pre_)?ln\w*\.(weight|bias)$"),
    ("connections", r"_residual$|_residual\.|altup|laurel|hc_head"),
    ("per_layer_inputs", r"per_layer_(input_gate|projection|model_projection)\."),
    ("attention", r"layers\.\d+\.linear\.|cross_attn_(attn|mlp)_gate"),
    ("experts", r"latent_proj|_expert_(proj|norm)"),
    ("positions", r"wpe|embed_positions|position_embeddings|positions_embed|relative_attention_bias|rel_embeddings"),
    ("attention", r"attn|[aA]ttention"),
    (
        "embedding",
        r"embed|wte|word_emb|(^|\.)shared\.|z_L_init|input_hidden_states|project_in|project_out|transformer\.w\.",
    ),
    ("feed_forward", r"mlp|ffn|feed_forward|fc1|fc2|intermediate|output|Dense|lin|_proj\.|\.proj_"),
)
BESIDE = ("projector", "audio_tower", "vision_tower")  # what no token of text goes through
# What stands in a module of such a class, whatever it is called there
CLASSES = (
    ("recurrent", r"Mixer$|MambaLayer|DeltaNet|DeltaAttention|LightningAttention|RecurrentBlock|xLSTMLayer"),
    ("recurrent", r"ShortConv|SConv|RwkvSelfAttention"),
    ("feed_forward", r"RwkvFeedForward"),
    ("attention", r"RecurrentGemma\w*Attention|NemotronHAttention|JetMoeMoA"),
    ("experts", r"JetMoeMoE|JetMoeParallelExperts"),
    ("router", r"JetMoeTopKGating"),
    ("indexer", r"Indexer|Compressor"),
    ("norm", r"GatedRMSNorm$"),
    ("connections", r"HyperConnection|HyperHead|ResidualGate|ResidualScal|GatedResidual$|PLELayer$"),
    ("embedding", r"NGramEmbedding$"),
)
# Published with code of their own, which is that of another family: Kimi K2 of DeepSeek-V3, MiMo of Qwen2
STANDS_IN = {"kimi_k2": "deepseek_v3", "mimo": "qwen2"}
TASKS = {
    "language model": (
        "AutoModelForSeq2SeqLM",
        "AutoModelForMaskedLM",
        "AutoModelForCausalLM",
        "AutoModelForImageTextToText",
    ),
    "base": ("AutoModel",),
    "pretraining": ("AutoModelForPreTraining",),
}


def component(name: str) -> str:
    """The component of the parameter called ``name``."""
    for found, pattern in COMPONENTS:
        if re.search(pattern, name):
            return found
    raise LookupError(name)


def build(config: Mapping[str, Any], task: str = "language model") -> nn.Module:
    """The model of ``architectures``, or the first auto class for ``task`` that knows the config."""
    if config.get("model_type", "vanilla_transformer") == "vanilla_transformer":
        return _vanilla(config)
    given = {key: value for key, value in config.items() if key != "architectures"}
    model_type = given.pop("model_type")
    config_class = CONFIG_MAPPING[STANDS_IN.get(model_type, model_type)]
    built = config_class(**{k: v for k, v in given.items() if not (isinstance(v, str) and v.startswith("all "))})
    untied = given.get("tie_word_embeddings") is False or given.get("scale_decoder_outputs") is False
    with torch.device("meta"):
        model = _instance(built, config.get("architectures"), task)
        if untied and built.tie_word_embeddings and hasattr(model, "lm_head"):
            # T5's classes of version 5 tie whatever the file says; the published weights have a head of their own
            model.lm_head.weight = nn.Parameter(torch.empty_like(model.lm_head.weight))
    return model


def _instance(config: Any, architectures: list[str] | None, task: str) -> nn.Module:
    if architectures and hasattr(transformers, architectures[0]):
        return getattr(transformers, architectures[0])(config)
    for auto in (getattr(transformers, name) for name in TASKS[task]):
        if type(config) in auto._model_mapping:
            return auto.from_config(config)
    raise LookupError(f"no class for {type(config).__name__} and {task}")


def count(config: Mapping[str, Any], task: str = "language model") -> dict[str, Any]:
    """Total, per-component and active parameters of the real model, and the class that was counted.

    Each tied weight once, buffers not at all. A token of text goes through num_experts_per_tok experts of each sparse
    layer, and through no tower.
    """
    model = build(config, task)
    within = {
        f"{name}.": found
        for name, module in model.named_modules()
        for found, pattern in CLASSES
        if re.search(pattern, type(module).__name__) and name
    }
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    components: dict[str, int] = {}
    for parameter, all_names in names.items():
        found = [_within(name, within) or component(name) for name in all_names]
        one = "embedding" if "embedding" in found else found[0]  # a tied head is counted with the embedding
        components[one] = components.get(one, 0) + parameter.numel()
    total = sum(p.numel() for p in model.parameters())
    beside = sum(components.get(name, 0) for name in BESIDE)
    return {
        "class_name": type(model).__name__,
        "total": total,
        "components": components,
        "active": total - beside - _idle(model),
    }


def _within(name: str, within: Mapping[str, str]) -> str:
    """The component of the innermost module of `CLASSES` that the parameter stands in."""
    places = [place for place in within if name.startswith(place)]
    return within[max(places, key=len)] if places else ""


def _idle(model: nn.Module) -> int:
    """Parameters of the experts that a token does not go through."""
    config = getattr(model, "config", None)
    config = config.get_text_config() if config is not None else None
    names = ("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts")
    top_k = next(
        (k for name in names if (k := getattr(config, name, None))),
        {"nllb-moe": 2}.get(getattr(config, "model_type", ""), 1),
    )
    if isinstance(top_k, list):  # one entry a layer
        (top_k,) = set(top_k)
    experts: dict[str, tuple[int, int]] = {}
    for name, parameter in model.named_parameters():
        if match := re.match(r"(.*)\.experts\.(expert_\d+|\d+)?", name):
            layer, one = match.groups()
            size, number = experts.get(layer, (0, 0))
            number = max(number, int(re.sub(r"\D", "", one)) + 1) if one else parameter.shape[0]
            experts[layer] = (size + parameter.numel(), number)
    return sum(size // number * (number - min(top_k, number)) for size, number in experts.values())


def _vanilla(config: Mapping[str, Any]) -> nn.Module:
    """torch.nn.Transformer with a shared embedding, without the two final norms that only torch adds."""
    with torch.device("meta"):
        model = nn.Module()
        model.body = nn.Transformer(
            config["d_model"], config["n_heads"], config["encoder_layers"], config["decoder_layers"], config["d_ff"]
        )
        model.body.encoder.norm = model.body.decoder.norm = None
        model.embedding = nn.Embedding(config["vocab_size"], config["d_model"])
    return model
