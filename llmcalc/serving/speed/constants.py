"""The constants of serving speed, each a physical quantity: one set for every engine, model and device.

``tests/oracle/fit_speed.py`` fits them on the measured runs in ``llmcalc/accuracy/served_runs.csv``, by the median of
what is predicted over what was measured. ``low`` and ``high`` are the ends of what it finds when the runs of one
combination of model, device, engine and precision after the other are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.quantity import Quantity
from llmcalc.sources import SERVED_RUNS, Citation
from llmcalc.symbols import SYMBOLS

FITTED = SERVED_RUNS.at("systems/silicon_sample.csv; fitted in tests/oracle/fit_speed.py")


@dataclass(frozen=True)
class Constant:
    """One constant: its value, and between what it stays whichever combination is left out."""

    id: str
    value: float
    low: float
    high: float
    source: Citation = FITTED

    def quantity(self) -> Quantity:
        """The constant as it goes into a formula."""
        symbol = SYMBOLS[self.id]
        return Quantity(self.id, self.value, symbol.unit, symbol.tex, self.source)


# By name; those of engines say how much longer the wait for the first token is there than in TensorRT-LLM
CONSTANTS = {
    name: Constant(id, value, low, high)
    for name, id, value, low, high in (
        ("bandwidth_share", "bandwidth_share", 0.91, 0.888, 0.93),
        ("compute_share", "compute_share", 0.88, 0.779, 1.05),
        ("link_share", "link_share", 0.463, 0.399, 0.496),
        ("kernel_seconds", "kernel_seconds", 5.04e-6, 4.96e-6, 5.45e-6),
        ("mixture_seconds", "mixture_seconds", 42.9e-6, 38.1e-6, 46.2e-6),
        ("sequence_seconds", "sequence_seconds", 24.2e-6, 19.9e-6, 25.6e-6),
        ("own_prompts", "own_prompts", 1.82, 1.64, 2.01),
        ("queued_share", "queued_share", 0.172, 0.137, 0.216),
        ("waited_steps", "waited_steps", 7.71, 7.05, 8.64),
        ("sglang", "engine_factor", 1.8, 1.6, 1.98),
        ("vllm", "engine_factor", 0.789, 0.75, 0.818),
    )
}
OF_STEP = tuple(CONSTANTS)[:6]  # a step of decoding takes
OF_WAIT = tuple(CONSTANTS)[6:]  # the wait for the first token, mostly queueing, takes
OF_OTHER_ENGINES = Constant("engine_factor", 1.0, 1.0, 1.0)  # TensorRT-LLM, and those that nobody measured

# Measured over predicted for combinations that were not fitted on: of ten runs one is below, and one above
SPREAD = {"time_between_tokens": (0.78, 1.28), "time_to_first_token": (0.582, 2.11)}
