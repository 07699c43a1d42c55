"""What plain pytest collects: tests/oracle only where torch and transformers (the oracle extra) are installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") and find_spec("transformers") else ["oracle"]
