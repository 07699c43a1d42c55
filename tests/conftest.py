"""What plain pytest collects: tests/oracle only where torch and transformers (the oracle extra) are installed."""

from importlib.util import find_spec

from hypothesis import settings

collect_ignore = [] if find_spec("torch") and find_spec("transformers") else ["oracle"]

# How long an example takes says more of the machine than of the code
settings.register_profile("llmcalc", deadline=None)
settings.load_profile("llmcalc")
