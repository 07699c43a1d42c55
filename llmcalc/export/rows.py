"""What the rows of several tables are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llmcalc.comparison import pinned_of
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
Rows = Iterator[Row]
Table = Callable[[Configuration], Rows]


def term(q: Quantity, column: str) -> dict[str, Any]:
    """One term of a sum, its value in a column of its own, with its working."""
    return {"term": q.id, column: q.value, "symbol": q.symbol, **shown(q)}


def shown(q: Quantity) -> dict[str, Any]:
    """How a quantity came about."""
    row = q.to_row()
    return {key: row[key] for key in ("formula", "substitution", "source")}


def working(*quantities: Quantity) -> Rows:
    """Each quantity and all that went into it, with its depth."""
    for quantity in quantities:
        for depth, q in quantity.collapsed.walk():
            yield {"of": quantity.id, "depth": depth, **q.to_row()}


def records(frame: pd.DataFrame) -> Rows:
    """The rows of a table of pandas."""
    for row in frame.to_dict("records"):
        yield {str(column): value for column, value in row.items()}


def model_name(config: Configuration) -> str:
    """The base and what was changed of it, as a link writes it; a pasted config by its name alone."""
    pinned = pinned_of(config.values)
    return ";".join([pinned.base_id, *(f"{id}={value}" for id, value in pinned.changes.items())])
