"""Back and Forward: the browser's history, with an entry for each page and for each gesture that changes an input."""

from __future__ import annotations

from pathlib import Path

# Has the browser's history written as `history.js` says, from the first run of a session on
KEEP_HISTORY = Path(__file__).with_name("history.js").read_text("utf-8")
