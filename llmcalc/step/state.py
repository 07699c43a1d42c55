"""What a model and its optimizer hold through a whole step: weights, gradients, optimizer states."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import DETTMERS_2023, HU_2021, PYTORCH, RAJBHANDARI_2020, SHAZEER_2018


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


@formula(r"M_\text{gradients}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def gradients_memory(*, parameters, gradient_bytes):
    """Gradients: one for each parameter that trains, once the backward pass is through."""
    return parameters * gradient_bytes


@formula(r"M_\text{optimizer}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def optimizer_memory(*, parameters, n_states, state_bytes, master_bytes):
    """Optimizer: its states, and an fp32 master copy of the weights where the precision has one."""
    return parameters * (n_states * state_bytes + master_bytes)


@formula(r"M_\text{optimizer}", "bytes", SHAZEER_2018.at("sec. 3, algorithm 4"))
def factored_optimizer_memory(*, parameters, d_model, state_bytes, master_bytes):
    """Adafactor: of each matrix one row and one column, here as if every matrix had a side of the model's width."""
    return parameters / d_model * state_bytes + parameters * master_bytes


@formula(r"M_\text{temporary}", "bytes", PYTORCH.at("torch/optim/adamw.py, foreach"))
def optimizer_temporary_memory(*, parameters, temporary_states, state_bytes):
    """What the optimizer's step allocates while it runs: foreach AdamW the square root of its second state."""
    return parameters * temporary_states * state_bytes


@formula(r"M_\text{temporary}", "bytes", PYTORCH.at("torch/optim/adamw.py, for-loop"))
def largest_temporary_memory(*, largest_parameters, temporary_states, state_bytes):
    """What an optimizer that goes weight by weight allocates at its largest weight."""
    return largest_parameters * temporary_states * state_bytes


@formula(r"M_\text{input}", "bytes", PYTORCH.at("torch.int64"))
def input_memory(*, batch_size, seq_len):
    """Token ids, int64; the labels are the same tensor."""
    return 8 * batch_size * seq_len
