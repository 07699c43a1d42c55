"""Qwen4: several streams that gates mix, delta nets beside attention to what an indexer picks, and tables of n-grams.

Read from its model class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface.family import Family, expert_names
from llmcalc.huggingface.hybrids.delta import QWEN_ALL, delta_net, every, gated_attention
from llmcalc.huggingface.hybrids.pieces import FULL, LINEAR, told
from llmcalc.huggingface.keys import Keys, does_not_divide
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.sparse import INDEXED
from llmcalc.transformer.embedding import PerLayerEmbedding
from llmcalc.transformer.indexer import Indexer
from llmcalc.transformer.norm import RMSNorm
from llmcalc.transformer.piece import Projection
from llmcalc.transformer.state_convolution import Convolution

_MOST_TABLES = 1024  # n-gram tables, of which each has a prime number of rows
_CERTAIN = (2, 3, 5, 7, 11)  # together they tell primes below 2.1 × 10¹² (Jaeschke 1993)


def _qwen4(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    kinds = kit.kinds(every("full_attention_interval", 4)(kit), (LINEAR, FULL, INDEXED))
    network = (*_mixed(kit, "feed_forward"), *kit.network(True))
    mixers: dict[str, Parts] = {LINEAR: (delta_net(kit),)}
    if set(kinds) - {LINEAR}:
        budget = keys.size("indexer_budget")
        mixers[FULL] = mixers[INDEXED] = (*gated_attention(kit, selected=budget), _indexer(kit))
    looked_up = sorted(set(keys.list_of("ple_layer_ids", int) or ())) if keys.has("ple_layer_ids") else []
    if wrong := [i for i in looked_up if not 0 < i <= kit.n_layers]:
        message = f"'ple_layer_ids' has {wrong[0]}, and there are {kit.n_layers} layers"
        raise InputError("ple_layer_ids", message, code="no_such_layer", layer=wrong[0], layers=kit.n_layers)
    found = []
    for i, kind in enumerate(kinds, 1):
        ngrams = _ngrams(kit, looked_up.index(i)) if i in looked_up else ()
        name = told(LINEAR if kind == LINEAR else FULL, True)
        found.append((name, (*ngrams, *_mixed(kit, "attention"), *mixers[kind], *network)))
    return found


def _indexer(kit: Kit) -> Indexer:
    """It scores groups of tokens by the mean of their keys, from the stream itself."""
    keys = kit.keys
    shape = keys.size("indexer_n_heads"), keys.size("indexer_head_dim")
    return Indexer(kit.d_model, kit.d_model, *shape, norm="rms", weights=False)


def _mixed(kit: Kit, of: str, last: bool = False) -> Parts:
    """What makes one stream of several, through a narrow vector, and says how much of a result each takes."""
    n, rank = kit.keys.size("hc_count", 2), kit.keys.size("hc_lowrank")
    wide = n * kit.d_model
    shared: Parts = (
        RMSNorm(wide, f"{of}_streams_norm", "connections"),
        Projection(wide, rank, f"{of}_streams_down", "connections"),
        Projection(rank, wide, f"{of}_streams_up", "connections"),
    )
    return shared if last else (*shared, Projection(wide, n, f"{of}_streams_back", "connections"))


def _ngrams(kit: Kit, place: int) -> Parts:
    """A table of n-grams that are hashed, which every stream takes up: the ``place``-th of the model."""
    keys, d = kit.keys, kit.d_model
    width = keys.optional("ple_embed_dim") or d
    heads = (keys.size("ngram_size", 2) - 1) * keys.size("heads_per_ngram")
    if width % heads:
        raise does_not_divide("heads_per_ngram", heads, "ple_embed_dim", width)
    if (place + 1) * heads > _MOST_TABLES:
        tables = (place + 1) * heads
        message = f"{tables:,} tables of n-grams; more than {_MOST_TABLES:,} are not counted"
        raise InputError("heads_per_ngram", message, code="too_many_tables", number=tables, most=_MOST_TABLES)
    wide = keys.size("hc_count", 2) * d
    rows = _rows(keys, heads, place)
    norms = (RMSNorm(wide, f"ngram_{of}_norm", "connections") for of in ("key", "query", "convolution"))
    return (
        PerLayerEmbedding(rows, 1, width // heads, "hashed_ngrams"),
        Projection(width, wide, "ngram_key", "connections"),
        Projection(width, d, "ngram_value", "connections"),
        *norms,
        Convolution(wide, keys.size("ple_conv_kernel_size"), "ngram_convolution", "connections"),
    )


def _rows(keys: Keys, heads: int, place: int) -> int:
    """Rows of the tables of a layer: a prime number each, no two alike in the model, filled up together."""
    rows, prime = 0, keys.size("ngram_vocab_size_base") - 1
    for i in range((place + 1) * heads):
        prime = _prime_after(prime)
        rows += prime if i >= place * heads else 0
    step = keys.size("make_ngram_vocab_size_divisible_by")
    return -(-rows // step) * step


def _prime_after(number: int) -> int:
    number += 1
    while not _is_prime(number):
        number += 1
    return number


def _is_prime(number: int) -> bool:
    """Miller and Rabin's test, certain for numbers that a config may have."""
    if number < 2 or any(number % prime == 0 for prime in _CERTAIN):
        return number in _CERTAIN
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in _CERTAIN:
        power = pow(base, odd, number)
        if power not in (1, number - 1) and all((power := power * power % number) != number - 1 for _ in range(twos)):
            return False
    return True


FAMILIES: Mapping[str, Family] = {
    "qwen4_exp_text": planned(
        replace(QWEN_ALL, norm=None),
        _qwen4,
        {**expert_names("num_experts"), "d_ff": "moe_intermediate_size"},
        after=lambda kit: _mixed(kit, "final", last=True),
    ),
}
