"""What is predicted for measured steps, passes and reports, kept beside them: to simulate all of them takes a while.

``predicted_steps.jsonl``, ``predicted_passes.jsonl`` and ``predicted_reports.jsonl`` have a line a row, by a digest of
all that decides what is predicted for it. ``python -m llmcalc.accuracy`` writes them anew, as whoever changes what is
predicted has to. A row that is not there is simulated when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

STEPS, PASSES, REPORTS = (f"predicted_{what}.jsonl" for what in ("steps", "passes", "reports"))


def key_of(*told: Any) -> str:
    """A digest of what decides a prediction."""
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


@cache
def kept(file: str) -> Mapping[str, Mapping[str, Any]]:
    """What is predicted, by its key."""
    lines = resources.files("llmcalc.accuracy").joinpath(file).read_text("utf-8").splitlines()
    return {line.pop("key"): line for line in map(json.loads, lines)}


def keep(file: str, predicted: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Write such a file anew, in the checkout that this runs in."""
    lines = [json.dumps({"key": key, **told}) for key, told in dict(predicted).items()]
    Path(__file__).with_name(file).write_text("".join(f"{line}\n" for line in lines), "utf-8")
