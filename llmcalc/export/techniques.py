"""Tables of techniques: what each switch of the training step changes, caches, pruned weights, distillation."""

from __future__ import annotations

from llmcalc.configuration import Configuration
from llmcalc.export.rows import Rows, Table, term
from llmcalc.serving.held import cache_per_token
from llmcalc.techniques.cache import kinds_of_cache
from llmcalc.techniques.pruning import memory_by_share, memory_by_share_taken_out

_SHARES = range(0, 100, 5)


def switches(config: Configuration) -> Rows:
    """The plain training step, and what each switch changes on the way to the present one."""
    way = config.mix
    plain = {"switch": "plain", "peak_bytes": way.plain.peak.value, "change_bytes": 0}
    yield {**plain, "time_seconds": way.plain.time.value if way.plain.time else None}
    for bar in way.bars:
        time = bar.after.time.value if bar.after.time else None
        row = {"switch": bar.id, "peak_bytes": bar.after.peak.value, "change_bytes": bar.memory.value}
        yield {**row, "time_seconds": time}


def caches(config: Configuration) -> Rows:
    """The cache of a token and of a full context under other kinds of attention."""
    length = config.values["seq_len"]
    for kind, model in (kinds_of_cache(config.model) or {"this": config.model}).items():
        token = cache_per_token(model, cache_format=config.values["cache_format"]).value
        yield {"kind": kind, "token_bytes": token, "elements": model.kv_cache_elements(seq_len=length).value}


def pruned(config: Configuration) -> Rows:
    """The weights against the share that is pruned, by how they are stored."""
    model, name = config.model, config.values["weight_format"]
    curves = memory_by_share(model, name, _SHARES)
    curves["structured"] = memory_by_share_taken_out(model, name, _SHARES)
    for at, share in enumerate(_SHARES):
        yield {"pruned_percent": share, **{f"{storage}_bytes": bytes[at] for storage, bytes in curves.items()}}


def distilled(config: Configuration) -> Rows:
    """Every moment of the student's step with its teacher, term by term."""
    for moment, sum_of_terms in config.distillation.moments.items():
        for part in sum_of_terms.parts:
            yield {"moment": moment, **term(part, "memory_bytes")}


TABLES: tuple[Table, ...] = (switches, caches, pruned, distilled)
