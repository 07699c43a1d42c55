"""Reads what tests/golden holds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

_GOLDEN = Path(__file__).parent / "golden"


def csv_rows(name: str) -> list[dict[str, str]]:
    with (_GOLDEN / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def jsonl_rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_GOLDEN / name).read_text(encoding="utf-8").splitlines()]
