"""Parameters of the library's models as their own classes in transformers have them: what our counts are held to.

``counted_models.jsonl`` has a row a model, counted on torch's meta device, so that no weights were loaded: buffers left
out, a tied weight counted once. The rows are golden: ``tests/oracle/parameters.py --write`` writes them, never llmcalc.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class CountedModel:
    """The parameters that one class of transformers was counted to have, in all, by component, and active for a token.

    ``id`` is that of the library's row; ``torch`` and ``transformers`` are the versions that built the class.
    """

    id: str
    class_name: str
    total: int
    components: Mapping[str, int]
    active: int
    torch: str
    transformers: str


@cache
def counted_models() -> Mapping[str, CountedModel]:
    """Every counted model, by the id of its row in the library."""
    text = resources.files("llmcalc.accuracy").joinpath("counted_models.jsonl").read_text("utf-8")
    return {row["id"]: CountedModel(**row) for row in map(json.loads, text.splitlines())}
