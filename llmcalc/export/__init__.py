"""The data behind the dashboard, as tables to take home: unrounded, in base units, a row for each item.

`TABLES` has them by name; each is worked out from a `Configuration` when it is asked for. A column's name ends in its
unit where it has one; terms and components are under their ids, which are the same in every language. How a page's
numbers came about is told by the page.

>>> from llmcalc.inputs import DEFAULTS
>>> table("components", Configuration(DEFAULTS)).parameters.sum()
124439808
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llmcalc.accuracy import Standing
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.export import memory, models, serving, techniques, works
from llmcalc.export.rows import Row, model_name
from llmcalc.link_text import LINK_VERSION

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLES", "as_csv", "as_json", "model_name", "slug", "table"]
TABLES = {
    make.__name__: make for make in (*models.TABLES, *memory.TABLES, *serving.TABLES, *techniques.TABLES, *works.TABLES)
}


def table(name: str, config: Configuration) -> pd.DataFrame:
    """One of `TABLES`. Its columns hold Python's own numbers, so that integers stay exact however large.

    Raises InputError where this configuration has none, as where there is no plan for a cluster.
    """
    return _frame(TABLES[name](config))


def as_csv(rows: Iterable[Row]) -> str:
    """The rows of a table as comma-separated values."""
    return _frame(rows).to_csv(index=False, lineterminator="\n")


def as_json(tables: Mapping[str, Callable[[], Iterable[Row]]], config: Configuration, link: str) -> str:
    """Tables by name as JSON, with every input and the link that sets them. One that cannot be made is null."""
    content = {
        "link": link,
        "version": LINK_VERSION,
        "model": model_name(config),
        "inputs": dict(config.values),
        "standings": {
            "parameters": _told(config.count_standing),
            "training": _told(config.standing),
            "inference": _told(config.inference_standing),
        },
        "tables": {name: _rows_or_none(make) for name, make in tables.items()},
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)


def slug(text: str) -> str:
    """A text as a part of a file's name: small letters, digits, points and hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower())[:60].strip("-.")


def _frame(rows: Iterable[Row]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(_of_python(rows), dtype=object)


def _of_python(rows: Iterable[Row]) -> list[Row]:
    return [{key: _plain(value) for key, value in row.items()} for row in rows]


def _rows_or_none(make: Callable[[], Iterable[Row]]) -> list[Row] | None:
    try:
        return _of_python(make())
    except InputError:
        return None


def _told(standing: Standing) -> dict[str, Any]:
    """What a number may be called, why, and how far off the measured rows are that it rests on."""
    off = standing.errors
    return {
        "label": standing.label,
        "reason": standing.reason,
        "measured_rows": off.count if off else 0,
        "median_error_ratio": off.median if off else None,
        "largest_error_ratio": off.largest if off else None,
    }


def _plain(value: Any) -> Any:
    """A number of Python's own, an integer where it is one; nothing for what is not finite, which JSON cannot say."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else value if math.isfinite(value) else None
