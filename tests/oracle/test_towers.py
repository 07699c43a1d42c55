"""Every model with towers at random small sizes: the real transformers model against ours, difference 0.

Also what is where: the language model, the towers, what projects them.
"""

from __future__ import annotations

import json
import random
import re
from importlib import resources

import pytest
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmcalc.errors import InputError
from llmcalc.huggingface import read_config
from llmcalc.huggingface.beside import PARTS_OF, TOWERS

transformers.logging.set_verbosity_error()
MODELS = json.loads(resources.files("llmcalc.huggingface").joinpath("towers.json").read_text())["models"]
CLASSES = {
    **modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
}
COUNTS = {"num_hidden_layers", "depth", "encoder_layers", "num_layers", "num_global_layers", "resampler_depth"}
WIDTHS = {"intermediate_size", "encoder_ffn_dim", "projection_dim", "alignment_intermediate_size", "out_hidden_size"}
FLAGS = {"attention_bias", "multimodal_projector_bias", "projector_bias", "vision_use_head", "use_qk_norm", "qkv_bias"}
FLAGS |= {"mlp_bias", "use_fine_route"}
# Their configs hold an encoder and a decoder, not towers: sizes of their own are in sized_classes.jsonl
HELD_APART = {"vision-encoder-decoder", "speech-encoder-decoder", "t5gemma2"}
# Whose classes do not call their language model one, so that only the whole is compared
NAMED_OTHERWISE = {
    *("canary", "cohere_asr", "idefics", "modernvbert", "pix2struct", "pp_formulanet", "seamless_m4t"),
    *("seamless_m4t_v2", "speecht5", "ultravbert"),
}
# Widths that must stay what another key says
TIED = {
    "llama4": {"intermediate_size"},
    "glm4v": {"out_hidden_size"},
    "glm46v": {"out_hidden_size"},
    "glmga": {"out_hidden_size"},
    "glm4v_moe": {"out_hidden_size"},
    "granite_docling": {"out_hidden_size"},
    "molmo2": {"num_hidden_layers"},
    "muse_spark": {"num_hidden_layers", "out_hidden_size"},
}


def changed(values, rng, kept):
    """Some of a tower's sizes and switches, others than the class fills in."""
    found = {"model_type": values["model_type"]}
    for key, value in values.items():
        if key in kept:
            continue
        if key in COUNTS:
            found[key] = rng.randint(1, 4)
        elif key in WIDTHS and isinstance(value, int):
            found[key] = 8 * rng.randint(1, 40)
        elif key in FLAGS and isinstance(value, bool):
            found[key] = rng.random() < 0.5
        elif key == "patch_size" and isinstance(value, int) and values.get("image_size", 0) == 0:
            found[key] = rng.choice([8, 14, 16])
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model_type", sorted(set(TOWERS) & set(MODELS) - {"aya_vision"} - HELD_APART))
def test_a_random_model_with_towers_has_as_many_parameters_as_the_real_one(model_type, seed):
    rng, row = random.Random(f"{model_type} {seed}"), MODELS[model_type]
    config = {"model_type": model_type, "architectures": [CLASSES[model_type]]}
    for key in PARTS_OF:
        if key in row and not (key in row["without"] and rng.random() < 0.3):
            config[key] = changed(row[key], rng, TIED.get(model_type, ()))
    if model_type == "nemotron_h_omni":
        config["vision_config"]["video_temporal_patch_size"] = 2  # as the whole model's
    config |= {key: rng.random() < 0.5 for key in row["defaults"] if key in FLAGS}
    if "deepstack_visual_indexes" in row.get("vision_config", {}):
        config["vision_config"]["deepstack_visual_indexes"] = [0]
    given = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    try:
        real_config = CONFIG_MAPPING[model_type](**given)
        with torch.device("meta"):
            real = getattr(transformers, config["architectures"][0])(real_config)
    except (ValueError, TypeError, AttributeError, ImportError, StrictDataclassError) as error:
        pytest.skip(f"transformers refuses it: {error}")
    try:
        reading = read_config(config)
    except InputError as error:
        pytest.skip(f"its language model is not known: {error}")
    if any(notice.id != "rounded_heads" for notice in reading.warnings):
        pytest.skip(str(reading.warnings[0]))
    language = re.compile(r"language_model|text_model|lm_head")
    towers = sum(p.numel() for name, p in real.named_parameters() if not language.search(name))
    ours = reading.model
    assert (ours.parameters().value, config) == (sum(p.numel() for p in real.parameters()), config)
    if model_type not in NAMED_OTHERWISE:
        assert ours.parameters().value - ours.language.parameters().value == towers
