"""What is fine-tuned beside a frozen model, as PEFT runs it: adapters, products with quantised weights, and copies of
modules that train whole."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from llmcalc.errors import InputError
from llmcalc.step import operations as op
from llmcalc.step.tape import Dim, Dims, Grads, Parameter, Tape, Tensor, given, needs_gradient

if TYPE_CHECKING:
    from llmcalc.step.setting import Setting

# What transformers' families call the modules whose weights have these names here: PEFT asks for them so
MODULES: dict[str, frozenset[str]] = {
    name: frozenset(modules.split())
    for name, modules in {
        "query": "q_proj query q q_lin q_b_proj",
        "key": "k_proj key k k_lin",
        "value": "v_proj value v v_lin",
        "query_key_value": "query_key_value c_attn Wqkv qkv_proj",
        "output": "o_proj out_proj dense c_proj o out_lin Wo resid_out",
        "attention_gate": "gate_proj g_proj",
        "query_gate": "q_proj",
        "delta_query_key_value": "in_proj_qkv",
        "delta_query_key_value_gate": "in_proj_qkvz",
        "delta_gate": "in_proj_z",
        "delta_decay": "in_proj_a in_proj_b in_proj_ba",
        "delta_output": "out_proj",
        "mamba2_in": "in_proj",
        "mamba_in": "in_proj",
        "mamba_selection": "x_proj",
        "mamba_step": "dt_proj",
        "mamba_out": "out_proj",
        "gated_convolution_in": "in_proj",
        "gated_convolution_out": "out_proj",
        "per_layer_model_projection": "per_layer_model_projection",
        "per_layer_gate": "per_layer_input_gate",
        "per_layer_projection": "per_layer_projection",
        "altup_router": "modality_router",
        "altup_prediction": "prediction_coefs",
        "altup_correction": "correction_coefs",
        "altup_in": "altup_projections",
        "altup_out": "altup_unembed_projections",
        "laurel_down": "linear_left",
        "laurel_up": "linear_right",
        "latent_down": "fc1_latent_proj",
        "latent_up": "fc2_latent_proj",
        "query_down": "q_a_proj",
        "query_up": "q_b_proj",
        "key_value_down": "kv_a_proj_with_mqa",
        "key_value_up": "kv_b_proj",
        "gate": "gate_proj linear w1 wi_0",
        "up": "up_proj fc1 fc_in c_fc dense_h_to_4h linear_v lin1 wi wi_1 Wi",
        "down": "down_proj fc2 fc_out c_proj dense_4h_to_h linear_1 lin2 wo",
        "gate_up": "gate_up_proj input_linear gate_and_up_proj Wi",
        "shared_gate": "shared_expert_gate",
        "experts": "gate_proj up_proj down_proj w1 w2 w3 gate_up_proj",
        "router": "gate proj",
        "embedding_projection": "project_in",
        "output_projection": "project_out",
        "head": "lm_head embed_out",
        "token_embedding": "embed_tokens wte word_embeddings embed_in tok_embeddings",
        "position_embedding": "wpe embed_positions",
        "final_norm": "norm ln_f final_layernorm",
    }.items()
}
_TABLES = ("head", "token_embedding", "position_embedding", "final_norm")  # what "all-linear" leaves out
_QUERY_VALUE = ("query", "query_up", "value", "query_key_value", "key_value_up")  # PEFT's default for most families


def is_targeted(module: str, component: str, targets: str | tuple[str, ...]) -> bool:
    """Whether the linear layer of this name, in this part of the model, has an adapter.

    Raises InputError for a module that no family has.
    """
    match targets:
        case "all" | "all-linear":
            return module not in _TABLES
        case "attention":
            return component == "attention" and module != "attention_gate"
        case "query_value":
            return module in _QUERY_VALUE
        case str():
            raise InputError("lora_targets", f"unknown lora_targets {targets!r}")
        case _:
            return module in _named("lora_targets", targets)


def saved(modules: tuple[str, ...]) -> frozenset[str]:
    """Names of the weights of which copies train. Raises InputError for a module that no family has."""
    return _named("modules_to_save", modules)


@cache
def _named(field: str, modules: tuple[str, ...]) -> frozenset[str]:
    known = frozenset().union(*MODULES.values())
    for module in modules:
        if module not in known:
            raise InputError(field, f"no family has a module {module!r}; known: {', '.join(sorted(known))}")
    return frozenset(name for name, called in MODULES.items() if called & set(modules))


def asking_for_a_gradient(x: Tensor) -> Tensor:
    """A tensor that nothing before it trains, as a beginning of the graph: its gradient is made, and stays with it
    (`enable_input_require_grads`)."""
    if needs_gradient(x):
        return x
    return Parameter(x.storage, x.dims, x.dtype, True, "activation_gradients").laid_out_as(x)


class Adapter:
    """Two thin matrices beside a linear layer's weight: its input goes through both, and is added to its result."""

    def __init__(self, s: Setting, weight: Parameter, inputs: Dims, outputs: Dims) -> None:
        self.s, self.rank = s, s.dim("lora_rank", s.run.lora_rank)
        assert weight.weight is not None
        a, b = weight.weight.adapters
        self.down = s.adapter(*inputs, self.rank, name=a, reads=len(inputs))
        self.up = s.adapter(self.rank, *outputs, name=b)

    def added_to(self, out: Tensor, x: Tensor, role: str) -> Tensor:
        """The layer's result and what the adapter makes of its input. A plain layer brings its input to the adapter's
        format, and the sum back; one of quantised weights copies the result first, and casts only without autocast."""
        s, tape, packed, dims = self.s, self.s.tape, self.s.run.quantizes, out.dims
        if not packed or not tape.autocast:
            x = tape.cast(x, self.down.dtype, "lora_input")
        if packed and s.run.lora_base.startswith("NF4"):
            out = op.copy(out)
        low = op.linear(op.dropout(x, s.run.lora_dropout), self.down, (*_rows(x, s), self.rank), None, "lora")
        del x
        added = op.linear(low, self.up, dims, None, "lora")
        del low
        added = op.scale(added, "lora")
        if packed and not tape.autocast:
            added = tape.cast(added, out.dtype, "lora")
        return tape.cast(op.add(out, added, role), out.dtype, role)


def _rows(x: Tensor, s: Setting) -> tuple[Dim, ...]:
    return tuple(dim for dim in x.dims if dim is s.batch or dim is s.tokens)


class FoldedAdapter:
    """Adapters beside matrices that are no modules, one for each of some experts, or one alone: they are multiplied out
    and added to the matrices in a new tensor before these are used, which is kept (PEFT's `ParamWrapper`)."""

    def __init__(self, s: Setting, weight: Parameter, rank: int) -> None:
        assert weight.weight is not None
        self.s, self.weight = s, weight
        *some, inputs, outputs = weight.dims
        a, b = weight.weight.adapters
        self.rank = s.dim("lora_rank", rank)
        self.lhs, self.rhs = s.adapter(*some, inputs, self.rank, name=a), s.adapter(*some, self.rank, outputs, name=b)

    def folded(self) -> Tensor:
        """The matrices with what the adapters add to them."""
        tape, weight = self.s.tape, self.weight
        lhs, rhs = tape.cast(self.lhs, weight.dtype, "lora_input"), tape.cast(self.rhs, weight.dtype, "lora_input")
        out = tape.new(weight.dims, weight.dtype, "folded", weight=weight.weight)
        shapes = [(t.dims, t.dtype) for t in (lhs, rhs)]

        def rule(tape: Tape, grads: Grads) -> Grads:
            return [tape.new(dims, dtype, "gradient") for dims, dtype in shapes]

        return tape.operation(out, [lhs, rhs], [lhs, rhs], rule)


def packed_product(s: Setting, x: Tensor, weight: Parameter, dims: Dims, bias: Tensor | None, role: str) -> Tensor:
    """``x @ weight`` where the weight is quantised: it is unpacked into 16 bits for this product, and again on the way
    back, and nothing is kept but the packed weight. In int8 (`MatMul8bitLt`) the input is quantised for the product
    instead, which gives int32, and is kept as it was."""
    tape, before = s.tape, x.dtype
    format = tape.autocast or ("bf16" if s.weight_dtype == "fp32" else s.weight_dtype)
    int8 = s.run.lora_base == "int8"
    if not int8:
        x = tape.cast(x, format, "linear_input")
    inputs, weights, name, in_dtype = x.dims, weight.dims, weight.weight, x.dtype
    if int8:
        halved = tape.cast(x.detach(), "fp16", "quantized_input")
        narrow = tape.new(inputs, "int8", "quantized_input")
        del halved
        product = tape.new(dims, "int32", role)
        halved = tape.new(dims, "fp16", role)
        del narrow, product
        out = tape.cast(halved, in_dtype, role)
        del halved
    else:
        unpacked = tape.new(weights, format, "dequantized", weight=name)
        out = tape.new(dims, format, role)
        del unpacked
    biased = bias is not None and needs_gradient(bias)
    bias_dims, bias_name = (bias.dims, bias.weight) if bias is not None else ((), None)

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        _again = tape.new(weights, g.dtype, "dequantized", weight=name)
        results: Grads = [tape.new(inputs, g.dtype, "gradient")]
        del _again
        return [*results, tape.new(bias_dims, g.dtype, "gradient", weight=bias_name)] if biased else results

    operands = [x, *([bias] if biased and bias is not None else [])]
    out = tape.operation(out, operands, [x] if int8 else [], rule)
    return tape.cast(out, before, role)
