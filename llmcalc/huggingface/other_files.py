"""Files of a model's repository that are not its ``config.json``: which one was given, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import shown
from llmcalc.huggingface.quantized import quantization_of

# Keys that only such a file has, all of them
_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("model.safetensors.index.json", ("weight_map",)),
    ("tokenizer_config.json", ("tokenizer_class",)),
    ("tokenizer.json", ("added_tokens", "model")),
    ("preprocessor_config.json", ("image_processor_type",)),
    ("preprocessor_config.json", ("feature_extractor_type",)),
    ("processor_config.json", ("processor_class",)),
    ("params.json", ("dim", "n_layers", "n_heads")),
    ("model_index.json", ("_diffusers_version", "_class_name")),
    ("generation_config.json", ("_from_model_config",)),
    ("generation_config.json", ("eos_token_id", "do_sample")),
)


def another_file(given: Mapping[str, Any]) -> InputError | None:
    """What to say of a file that has no model_type and none of a config's sizes; None where it is not known."""
    if "peft_type" in given:
        return _of_an_adapter(given)
    if "quantization" in given and (quantization := quantization_of({"quantization": given["quantization"]}, 0)):
        return _of_quantization(quantization.format or "?")
    file = next((file for file, keys in _FILES if all(key in given for key in keys)), None)
    if file is None:
        return None
    message = f"this is {file}, and the shape is in the config.json beside it"
    return InputError("model_type", message, code="another_file", file=file)


def _of_quantization(format: str) -> InputError:
    """That this is ModelOpt's hf_quant_config.json, which tells how the weights are stored and nothing else."""
    text = (
        f"this is hf_quant_config.json, which says that the weights are stored in {format}; the shape is in the "
        "config.json beside it, which may have this file's 'quantization' as a key of its own"
    )
    return InputError("model_type", text, code="quantization_file", format=format)


def _of_an_adapter(adapter: Mapping[str, Any]) -> InputError:
    """That this is PEFT's adapter_config.json, which tells nothing of the model's shape but whose adapter it is, and
    what is to be set for it under LoRA."""
    base, rank, targets = (adapter.get(key) for key in ("base_model_name_or_path", "r", "target_modules"))
    names = [targets] if isinstance(targets, str) else targets if isinstance(targets, list | tuple) else []
    about = "this is an adapter's file, and the shape is in the config.json of its base model"
    if isinstance(base, str) and base.strip() and isinstance(rank, int) and names:
        told = ", ".join(name for name in names if isinstance(name, str))
        text = f"{about}, {shown(base)}; its rank {rank} and its targets ({told[:200]}) are set under LoRA"
        return InputError("model_type", text, code="adapter_to_set", base=base, rank=str(rank), targets=told[:200])
    if not isinstance(base, str) or not base.strip():
        return InputError("model_type", about, code="adapter")
    return InputError("model_type", f"{about}, {shown(base)}", code="adapter_of", base=base)
