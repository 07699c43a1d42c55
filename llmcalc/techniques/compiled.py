"""What torch.compile saves of a step's peak, an estimate: the share that published pairs of runs show, and its spread.

It fuses what stands between products and chooses anew what to keep for the backward pass. Which of a model's tensors go
is not simulated: the pairs, with and without it and alike in all else, saved between a thirteenth and a fifth of what a
step holds beyond what stays. Off by default.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.quantity import Quantity, formula
from llmcalc.sources import ANSEL_2024, TORCHTITAN, TORCHTUNE, Citation
from llmcalc.step.course import Course
from llmcalc.units import GiB


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One step printed with and without torch.compile, in bytes: its peak, and what stays of it from step to step,
    ``parameters`` each of so many bytes shared out among so many ranks."""

    model: str
    parameters: int
    bytes_each: int
    ranks: int
    without: float
    compiled: float
    source: Citation

    @property
    def saved_share(self) -> float:
        """What it saves of all that comes and goes."""
        return (self.without - self.compiled) / (self.without - self.parameters * self.bytes_each / self.ranks)


PAIRS = (
    # fp32 weights and AdamW's states over 8 ranks, gathered in bf16; selective recomputation; reserved memory
    Pair(
        model="Llama 3.1 8B",
        parameters=8_030_261_248,
        bytes_each=12,
        ranks=8,
        without=82.4 * GiB,
        compiled=77.0 * GiB,
        source=TORCHTITAN.at("benchmarks/llama3_h100_202412_torchtitan.md, 8 × H100, local batch 2 × 8,192"),
    ),
    # weights and AdamW's states in bf16, packed rows, no recomputation; peak active memory
    Pair(
        model="Llama 3.2 3B",
        parameters=3_212_749_824,
        bytes_each=6,
        ranks=1,
        without=60.0 * GiB,
        compiled=51.0 * GiB,
        source=TORCHTUNE.at("README.md, optimizations one by one, A100, 2 × 4,096"),
    ),
)


@formula(r"M_\text{compiled}", "bytes", ANSEL_2024.at("sec. 4; the share from published pairs"))
def compiled_memory(*, peak_bytes, steady_bytes, saved_share):
    """The peak without a share of all that is not there between steps."""
    return peak_bytes - saved_share * (peak_bytes - steady_bytes)


@dataclass(frozen=True)
class Spread:
    """The peak of a compiled step as the pairs suggest it: on average, and if it saved as little or as much as one."""

    expected: Quantity
    most: Quantity
    least: Quantity


def compiled_peak(step: Course) -> Spread:
    """The peak of the same step under torch.compile; an estimate."""
    shares = [pair.saved_share for pair in PAIRS]
    expected, most, least = (
        compiled_memory(peak_bytes=step.peak.value, steady_bytes=step.steady_state.value, saved_share=share)
        for share in (sum(shares) / len(shares), min(shares), max(shares))
    )
    return Spread(expected, most, least)
