"""What a model holds through a whole step: weights, gradients, its input."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import DETTMERS_2023, HU_2021, PEFT, PYTORCH, RAJBHANDARI_2020


@formula(r"M_\text{weights}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def weights_memory(*, parameters, weight_bytes):
    """Weights, in the format in which the forward pass finds them."""
    return parameters * weight_bytes


@formula(r"M_\text{frozen}", "bytes", DETTMERS_2023.at("sec. 3"))
def frozen_weights_memory(*, parameters, bits_per_weight):
    """Weights that do not train, in the format of their base."""
    return parameters * bits_per_weight / 8


@formula(r"N_\text{adapters}", "parameters", HU_2021.at("sec. 4.1"))
def adapter_parameters(*, lora_rank, adapted_widths):
    """Two thin matrices of rank r beside each adapted product: d_in × r and r × d_out."""
    return lora_rank * adapted_widths


@formula(r"N_\text{modules}", "parameters", PEFT.at("LoraConfig.modules_to_save"))
def module_parameters(*, parameters):
    """Modules that train whole beside the adapters, as copies: what they were stays."""
    return parameters


@formula(r"M_\text{gradients}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def gradients_memory(*, parameters, gradient_bytes):
    """Gradients: one for each parameter that trains, once the backward pass is through."""
    return parameters * gradient_bytes


@formula(r"M_\text{input}", "bytes", PYTORCH.at("torch.int64"))
def input_memory(*, batch_size, seq_len):
    """Token ids, int64; the labels are the same tensor."""
    return 8 * batch_size * seq_len
