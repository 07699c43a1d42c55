"""Formulas that the lesson's questions ask for and no page else shows."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import KORTHIKANTI_2022


@formula(r"M_\text{scores}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def attention_scores(*, batch_size, n_heads, seq_len, score_bytes):
    """One layer's attention matrix where it is stored: every head has a score for each pair of positions."""
    return batch_size * n_heads * seq_len**2 * score_bytes
