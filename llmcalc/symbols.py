"""The nomenclature: one symbol and one unit for each name that a formula may take as an argument.

A formula's argument, an input of the dashboard and a key in ``words/`` are the same name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Symbol:
    """How a name is written in a formula (LaTeX) and the unit its number is in ("" for a count or a ratio)."""

    tex: str
    unit: str = ""


SYMBOLS: dict[str, Symbol] = {
    # dimensions of a model
    "d_model": Symbol("d"),
    "n_layers": Symbol("L"),
    "n_heads": Symbol("h"),
    "n_kv_heads": Symbol(r"h_\text{kv}"),
    "d_head": Symbol("d_h"),
    "d_ff": Symbol(r"d_\text{ff}"),
    "vocab_size": Symbol("V"),
    "n_positions": Symbol("P"),
    "n_types": Symbol("t"),
    "n_buckets": Symbol("b"),
    "n_labels": Symbol("c"),
    "d_embedding": Symbol("e"),
    "q_lora_rank": Symbol("r_q"),
    "kv_lora_rank": Symbol(r"r_\text{kv}"),
    "d_nope": Symbol("d_n"),
    "d_rope": Symbol("d_r"),
    "d_value": Symbol("d_v"),
    "n_experts": Symbol("E"),
    "top_k": Symbol("k"),
    "window": Symbol("w"),
    "kept_tokens": Symbol(r"S_\text{kept}"),
    "seen_tokens": Symbol(r"S_\text{seen}"),
    "count": Symbol("n"),
    "width": Symbol("w"),
    "n_qkv_heads": Symbol(r"(h + 2 h_\text{kv})"),
    "d_ff_pair": Symbol(r"2 d_\text{ff}"),
    "d_half": Symbol(r"\tfrac{1}{2} d_r"),
    "d_query": Symbol("(d_n + d_r)"),
    "d_key_value": Symbol("(d_n + d_v)"),
    "d_latent": Symbol(r"(r_\text{kv} + d_r)"),
    "keys_and_sink": Symbol("(S + 1)", "tokens"),
    "chunk_tokens": Symbol(r"T_\text{chunk}", "tokens"),
    "lora_rank": Symbol("r"),
    # a run
    "batch_size": Symbol("B"),
    "seq_len": Symbol("S"),
    # several devices
    "data_parallel": Symbol(r"n_\text{dp}"),
    "tensor_parallel": Symbol("t"),
    "pipeline_parallel": Symbol("p"),
    "interleave": Symbol("v"),
    "context_parallel": Symbol("c"),
    "expert_parallel": Symbol("e"),
    "micro_batches": Symbol("m"),
    "replicas": Symbol("n"),
    "shards": Symbol("n"),
    "stage": Symbol("i"),
    "split": Symbol("t"),
    "in_flight": Symbol("k"),
    "kept_bytes": Symbol(r"M_\text{micro-batch}", "bytes"),
    "rank_tokens": Symbol("S_r", "tokens"),
    "rank_layers": Symbol("L_r"),
    "rank_parameters": Symbol("N_r", "parameters"),
    "root_parameters": Symbol(r"N_\text{root}", "parameters"),
    "optimizer_bytes": Symbol("o", "bytes"),
    "all_reduces": Symbol("a"),
    "hidden_bytes": Symbol(r"M_\text{hidden}", "bytes"),
    "block_bytes": Symbol(r"M_\text{block}", "bytes"),
    "dispatched_bytes": Symbol(r"M_\text{tokens}", "bytes"),
    "recomputed_flops": Symbol(r"C_\text{again}", "FLOP"),
    # sizes of things computed before
    "parameters": Symbol("N", "parameters"),
    "matmul_parameters": Symbol(r"N_\text{matmul}", "parameters"),
    "block_parameters": Symbol(r"N_\text{layer}", "parameters"),
    "largest_parameters": Symbol(r"N_\text{largest}", "parameters"),
    "model_bytes": Symbol(r"M_\text{model}", "bytes"),
    "expert_parameters": Symbol(r"N_\text{expert}", "parameters"),
    "kv_elements": Symbol(r"E_\text{token}", "elements"),
    "cache_elements": Symbol(r"E_\text{kv}", "elements"),
    "attention_parameters": Symbol(r"N_\text{attn}", "parameters"),
    "feed_forward_parameters": Symbol(r"N_\text{ffn}", "parameters"),
    "norm_parameters": Symbol(r"N_\text{norm}", "parameters"),
    "embedding_parameters": Symbol(r"N_\text{emb}", "parameters"),
    "flops": Symbol("C", "FLOP"),
    "loss_backward_memory": Symbol(r"M_\text{loss}", "bytes"),
    "backward_end_memory": Symbol(r"M_\text{end}", "bytes"),
    "optimizer_step_memory": Symbol(r"M_\text{step}", "bytes"),
    "allocated_bytes": Symbol(r"M_\text{allocated}", "bytes"),
    "reserved_bytes": Symbol(r"M_\text{reserved}", "bytes"),
    "workspace_bytes": Symbol(r"M_\text{workspaces}", "bytes"),
    "context_bytes": Symbol(r"M_\text{context}", "bytes"),
    "device_bytes": Symbol(r"M_\text{device}", "bytes"),
    "fragmentation": Symbol("f"),
    # number formats, in bytes of one element
    "bits_per_weight": Symbol("b", "bits"),
    "bytes_per_element": Symbol("c", "bytes"),
    "element_bytes": Symbol("c", "bytes"),
    "weight_bytes": Symbol("w", "bytes"),
    "gradient_bytes": Symbol("g", "bytes"),
    "master_bytes": Symbol("m", "bytes"),
    "state_bytes": Symbol("s", "bytes"),
    "n_states": Symbol("k"),
    "temporary_states": Symbol("t"),
    "cast_bytes": Symbol("a", "bytes"),
    "activation_bytes": Symbol("c", "bytes"),
    "residual_bytes": Symbol("r", "bytes"),
    "score_bytes": Symbol("q", "bytes"),
    "saved_loss_bytes": Symbol(r"\ell", "bytes"),
    "logit_bytes": Symbol("z", "bytes"),
    "loss_gradient_bytes": Symbol("z'", "bytes"),
    "tied_gradient_copies": Symbol("y"),
    "n_norms": Symbol(r"n_\text{norm}"),
    "n_products": Symbol(r"n_\text{ff}"),
    # scaling
    "tokens": Symbol("D", "tokens"),
    "alpha": Symbol(r"\alpha"),
    "improvement": Symbol("x"),
    "critical_parameters": Symbol("N_c", "parameters"),
}
