"""How fast a model is served: time to the first token, between tokens, tokens per second, energy of a token."""

from llmcalc.serving.speed.job import speed_of
from llmcalc.serving.speed.machine import Machine, computed_in, machine_of, machines_of, sixteen_bits
from llmcalc.serving.speed.speed import Load, Speed, Split, speed

__all__ = [
    "Load",
    "Machine",
    "Speed",
    "Split",
    "computed_in",
    "machine_of",
    "machines_of",
    "sixteen_bits",
    "speed",
    "speed_of",
]
