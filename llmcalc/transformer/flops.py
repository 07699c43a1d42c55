"""Operations of attention beyond its weights: every token against the tokens that it sees."""

from __future__ import annotations

from typing import Any

from llmcalc.quantity import Quantity, formula
from llmcalc.sources import BELTAGY_2020, DEEPSEEK_V2, KAPLAN_2020
from llmcalc.transformer.cache import tokens_in_window


@formula(r"S_\text{seen}", "tokens", KAPLAN_2020.at("sec. 2.1, eq. 2.2"))
def tokens_seen(*, seq_len):
    """A causal mask leaves a token half of the sequence on average: that makes Kaplan's 2, not 4, n_ctx d_attn."""
    return seq_len / 2


@formula(r"S_\text{seen}", "tokens", BELTAGY_2020.at("sec. 3.1, averaged over the sequence"))
def tokens_seen_in_window(*, kept_tokens, seq_len):
    """The same with a window: it fills up over the first tokens and is full from then on."""
    return kept_tokens - kept_tokens**2 / (2 * seq_len)


@formula(r"C_\text{attn}", "FLOP", KAPLAN_2020.at("sec. 2.1, table 1, attention: mask"))
def score_flops(*, seen_tokens, n_heads, d_head):
    """Scores of a token's query against the keys, then the weighted sum of the values, in one layer."""
    return 4 * seen_tokens * n_heads * d_head


@formula(r"C_\text{attn}", "FLOP", DEEPSEEK_V2.at("sec. 2.1.3, eq. 18"))
def latent_score_flops(*, seen_tokens, n_heads, d_nope, d_rope, d_value):
    """The same of latent attention, whose keys and values differ in width: as in training, with both unfolded."""
    return 2 * seen_tokens * n_heads * (d_nope + d_rope + d_value)


@formula(r"C_\text{attn}", "FLOP", KAPLAN_2020.at("sec. 2.1, table 1, attention: mask"))
def unlike_score_flops(*, seen_tokens, n_heads, d_head, d_value):
    """The same where keys and values differ in width."""
    return 2 * seen_tokens * n_heads * (d_head + d_value)


def seen_tokens(*, seq_len: Any, window: int | None) -> Quantity:
    """Tokens that a token sees, on average over a sequence of ``seq_len``."""
    if window is None:
        return tokens_seen(seq_len=seq_len)
    return tokens_seen_in_window(kept_tokens=tokens_in_window(seq_len=seq_len, window=window), seq_len=seq_len)
