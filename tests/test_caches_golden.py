"""What layers keep of a sequence: as many numbers as transformers' own cache holds, for every family measured."""

from __future__ import annotations

import pytest
from golden_files import jsonl_rows

from llmcalc.huggingface import read_config

# What transformers holds beside what a sequence of any length needs
MORE = {"deepseek_v4": "inputs of up to compress_rate tokens, until they are one entry: ours is each token's share"}
ROWS = {row["config"]["model_type"]: row for row in jsonl_rows("caches.jsonl")}


def keys(model, seen: int) -> int:
    """Keys and values after so many tokens; a window keeps one fewer: the token that is read next comes to it."""
    caches = [part for block in model.layers() for part in block.caches() if part.sees == "past"]
    return sum(
        part.kv_elements_per_token().value * (min(seen, part.cache_window - 1) if part.cache_window else seen)
        for part in caches
    )


@pytest.mark.parametrize("model_type", sorted(ROWS.keys() - MORE))
def test_a_cache_holds_as_many_numbers_as_transformers_own(model_type):
    row = ROWS[model_type]
    model = read_config(row["config"]).model
    states = {"bf16": model.state_elements(fp32=False).value, "fp32": model.state_elements(fp32=True).value}
    ours = {length: {"keys": keys(model, int(length) + 1), **states} for length in row["kept"]}
    assert ours == row["kept"]


def test_the_caches_of_most_families_were_measured():
    # the others are not small, or do not run, at the sizes of tests/oracle/caches.py, which prints why
    assert len(ROWS) > 130
