"""Formulas that the lesson's questions ask for and no page else shows."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import KORTHIKANTI_2022, POPE_2022, WILLIAMS_2009


@formula(r"M_\text{scores}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def attention_scores(*, batch_size, n_heads, seq_len, score_bytes):
    """One layer's attention matrix where it is stored: every head has a score for each pair of positions."""
    return batch_size * n_heads * seq_len**2 * score_bytes


@formula(r"M_\text{read}", "bytes", POPE_2022.at("sec. 2, memory costs"))
def read_for_a_token(*, model_bytes, user_cache_bytes):
    """What is read from memory to write one token for one user alone: every weight, and the user's cache."""
    return model_bytes + user_cache_bytes


@formula("R", "tokens/s", POPE_2022.at("sec. 2, memory costs"))
def rate_of_one_user(*, bandwidth, read_bytes):
    """How many tokens a second one user can get at most: as often as all that can be read."""
    return bandwidth / read_bytes


@formula(r"T^\ast", "tokens", WILLIAMS_2009.at("sec. 2"))
def turning_tokens(*, model_bytes, bandwidth, token_flops, peak_flops):
    """With how many tokens at once their arithmetic takes as long as reading the weights, which they share."""
    return model_bytes * peak_flops / (bandwidth * token_flops)
