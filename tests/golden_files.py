"""Reads what tests/golden holds."""

from __future__ import annotations

import csv
from pathlib import Path

_GOLDEN = Path(__file__).parent / "golden"


def csv_rows(name: str) -> list[dict[str, str]]:
    with (_GOLDEN / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
