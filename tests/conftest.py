"""What plain pytest collects: tests/oracle only where torch and transformers (the oracle extra) are installed."""

from importlib.util import find_spec

import pytest
from hypothesis import settings

from pages.ui import shell

collect_ignore = [] if find_spec("torch") and find_spec("transformers") else ["oracle"]

# How long an example takes says more of the machine than of the code
settings.register_profile("llmcalc", deadline=None)
settings.load_profile("llmcalc")


@pytest.fixture(autouse=True)
def no_head_start(monkeypatch):
    """No page waits for a browser where there is none."""
    monkeypatch.setattr(shell, "HEAD_START", 0)
