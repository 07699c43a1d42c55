"""Accelerators: memory in bytes, bandwidth, dense rates by number format.

A device has two sizes of memory. The maker's, a name ("80 GB", 10⁹ each), is no size that a program could fill: most
boxes hold more, powers of two, and the driver takes some for itself. What is left is what it reports, and
``reported_memory.csv`` has a row for each time that somebody's program printed it. Where no row is, the maker's figure
stands in, and the device has no ``memory_source``.

``grade`` says how good the figures are: A read in the vendor's table, B in a secondary source, C where sources
conflict; it is that of memory, bandwidth and the bf16 rate. A rate that was found in no table is None.

A device is what software sees as one, and so what one process has: where the maker sells several in one module, its
figures are divided among them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from llmcalc.sources import AMD, APPLE, GOOGLE_TPU, INTEL, NVIDIA, Citation, public_thread
from llmcalc.units import GB, parse_bytes


@dataclass(frozen=True)
class Reading:
    """What a device's driver reported as its memory, in bytes, as a program printed it somewhere public."""

    device: str
    printed: str
    memory: int
    source: Citation


@cache
def readings() -> dict[str, tuple[Reading, ...]]:
    """Every reading of a device's memory, the least first, by the device."""
    text = resources.files("llmcalc.catalog").joinpath("reported_memory.csv").read_text("utf-8")
    found: dict[str, list[Reading]] = {}
    for row in csv.DictReader(text.splitlines()):
        source = public_thread(row["repository"], row["place"], int(row["year"]), f"printed by {row['printed_by']}")
        for device in row["device"].split("; "):  # whoever printed it did not say which board
            reading = Reading(device, row["printed"], round(parse_bytes(row["printed"])), source)
            found.setdefault(device, []).append(reading)
    return {device: tuple(sorted(rows, key=lambda row: row.memory)) for device, rows in found.items()}


@dataclass(frozen=True)
class Accelerator:
    """One device: ``memory`` in bytes, ``bandwidth`` in bytes/s, rates of dense products in FLOP/s (None: unknown, or
    no such hardware). That of fp32 is without tensor cores, as PyTorch multiplies unless told otherwise. ``link``
    goes to other devices in the box, one direction, in bytes/s: half of what data sheets print.

    ``memory`` is the middle one of its readings, of two the lesser, and ``memory_source`` says where that was printed;
    without a reading it is ``nominal_memory``, the maker's figure. That one names the device, nothing fits in it.
    """

    id: str
    vendor: str
    nominal_memory: int
    bandwidth: float
    bf16_flops: float | None
    watts: int | None
    grade: str
    source: Citation
    fp32_flops: float | None = None
    fp16_flops: float | None = None
    fp8_flops: float | None = None
    fp4_flops: float | None = None
    link: float | None = None

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What was read as this device's memory, the least first."""
        return readings().get(self.id, ())

    @property
    def reading(self) -> Reading | None:
        """The middle one of the readings, of two the lesser."""
        return self.readings[(len(self.readings) - 1) // 2] if self.readings else None

    @property
    def memory(self) -> int:
        """What the device has for a program to use, in bytes: as its driver reports, or nominal."""
        return self.reading.memory if self.reading else self.nominal_memory

    @property
    def memory_source(self) -> Citation | None:
        """Where the memory was printed. None: nowhere that we know, the figure is nominal."""
        return self.reading.source if self.reading else None

    @property
    def has_cuda(self) -> bool:
        """Whether what a process takes beside its tensors is CUDA's: its context, its libraries' workspaces."""
        return self.source.work == NVIDIA

    @property
    def is_cuda_to_pytorch(self) -> bool:
        """Whether PyTorch runs the kernels of its "cuda" backend there, as it does on AMD's by way of HIP."""
        return self.source.work in (NVIDIA, AMD)

    def peak_flops(self, format: str) -> float | None:
        """The dense rate of products in a number format, in FLOP/s."""
        rates = {
            "fp32": self.fp32_flops,
            "bf16": self.bf16_flops,
            "fp16": self.fp16_flops,
            "fp8": self.fp8_flops,
            "fp4": self.fp4_flops,
        }
        return rates[format]


def _device(
    id: str,
    memory_gb: int,
    bandwidth_gbps: float,
    bf16_tflops: float | None,
    watts: int | None,
    grade: str,
    source: Citation,
    *,
    fp32: float | None = None,
    fp16: float | None = None,
    fp8: float | None = None,
    fp4: float | None = None,
    link_gbps: float | None = None,
) -> Accelerator:
    """A row from figures as they are printed, in TFLOPS; ``link_gbps`` is of both directions together. GPUs multiply in
    fp16 as fast as in bf16."""
    if source.work in (NVIDIA, AMD) and fp16 is None:
        fp16 = bf16_tflops
    rates = {"fp32": fp32, "bf16": bf16_tflops, "fp16": fp16, "fp8": fp8, "fp4": fp4}
    size, speed = memory_gb * GB, bandwidth_gbps * 1e9
    flops = {f"{name}_flops": None if tflops is None else tflops * 1e12 for name, tflops in rates.items()}
    link = None if link_gbps is None else link_gbps * 1e9 / 2
    return Accelerator(
        id, source.work.authors, size, speed, watts=watts, grade=grade, source=source, link=link, **flops
    )


ACCELERATORS = {
    row.id: row
    for row in (
        _device("H100 SXM", 80, 3350, 989, 700, "A", NVIDIA.at("H100 SXM"), fp32=67, fp8=1979, link_gbps=900),
        _device("H100 PCIe", 80, 2000, 756, 350, "A", NVIDIA.at("H100 PCIe"), fp32=51, fp8=1513, link_gbps=128),
        _device("H200 SXM", 141, 4800, 989, 700, "A", NVIDIA.at("H200 SXM"), fp32=67, fp8=1979, link_gbps=900),
        _device("B200", 180, 8000, 2250, 1000, "C", NVIDIA.at("B200"), fp32=80, fp8=4500, fp4=9000, link_gbps=1800),
        _device(
            "GB200 per GPU", 186, 8000, 2250, 1200, "C", NVIDIA.at("GB200 per GPU"), fp8=4500, fp4=9000, link_gbps=1800
        ),
        _device("B300", 288, 8000, 2250, 1200, "C", NVIDIA.at("B300"), fp8=4500, fp4=13500, link_gbps=1800),
        _device(
            "GB300 per GPU", 279, 8000, 2500, 1400, "C", NVIDIA.at("GB300 per GPU"), fp8=5000, fp4=15000, link_gbps=1800
        ),
        _device("A100 40GB SXM", 40, 1555, 312, 400, "A", NVIDIA.at("A100 40GB SXM"), fp32=19.5, link_gbps=600),
        _device("A100 80GB SXM", 80, 2039, 312, 400, "A", NVIDIA.at("A100 80GB SXM"), fp32=19.5, link_gbps=600),
        _device("A100 80GB PCIe", 80, 1935, 312, 300, "A", NVIDIA.at("A100 80GB PCIe"), fp32=19.5, link_gbps=64),
        _device("A10", 24, 600, 125, 150, "B", NVIDIA.at("A10"), link_gbps=64),
        _device("L4", 24, 300, 121, 72, "A", NVIDIA.at("L4"), fp32=30.3, fp8=242, link_gbps=64),
        _device("L40S", 48, 864, 362, 350, "A", NVIDIA.at("L40S"), fp32=91.6, fp8=733, link_gbps=64),
        _device(
            "V100 32GB SXM2", 32, 900, None, 300, "A", NVIDIA.at("V100 32GB SXM2"), fp32=15.7, fp16=125, link_gbps=300
        ),
        _device("T4", 16, 320, None, 70, "A", NVIDIA.at("T4"), fp32=8.1, fp16=65, link_gbps=32),
        _device("RTX 3090", 24, 936, 71, 350, "B", NVIDIA.at("RTX 3090"), link_gbps=64),
        _device("RTX 4090", 24, 1008, 165, 450, "B", NVIDIA.at("RTX 4090"), fp32=82.6, fp8=330, link_gbps=64),
        _device("RTX 5090", 32, 1792, 210, 575, "B", NVIDIA.at("RTX 5090"), fp32=104.8, fp8=419, link_gbps=128),
        _device("RTX 6000 Ada", 48, 960, 364, 300, "C", NVIDIA.at("RTX 6000 Ada"), fp8=728, link_gbps=64),
        # of two in one module, whose figures the data sheet prints: 128 GB, 3277 GB/s, 383 TFLOPS, 560 W
        _device("MI250X per GCD", 64, 1638.5, 191.5, 280, "A", AMD.at("MI250X, half of the module")),
        _device("MI300X", 192, 5300, 1307, 750, "A", AMD.at("MI300X"), fp8=2614, link_gbps=896),
        _device("MI325X", 256, 6000, 1307, 1000, "A", AMD.at("MI325X"), fp8=2614, link_gbps=896),
        _device("MI355X", 288, 8000, 2500, 1400, "C", AMD.at("MI355X"), fp8=5000, fp4=10000, link_gbps=1075.2),
        _device("Gaudi 3", 128, 3700, 1835, 900, "A", INTEL.at("Gaudi 3"), fp8=1835),
        _device("TPU v5e", 16, 819, 197, None, "A", GOOGLE_TPU.at("TPU v5e")),
        _device("TPU v5p", 95, 2765, 459, None, "A", GOOGLE_TPU.at("TPU v5p")),
        _device("TPU v6e", 32, 1638, 918, None, "A", GOOGLE_TPU.at("TPU v6e")),
        _device("M3 Ultra", 512, 819, None, None, "B", APPLE.at("M3 Ultra")),
        _device("M4 Max", 128, 546, None, None, "B", APPLE.at("M4 Max")),
    )
}

# What they are called for short, where engines' logs and people name them
SHORT_NAMES = {
    "H100": "H100 SXM",
    "H200": "H200 SXM",
    "GB200": "GB200 per GPU",
    "GB300": "GB300 per GPU",
    "A100": "A100 80GB SXM",
    "V100": "V100 32GB SXM2",
}
# What links called some of them before: the figures of a module were taken for those of one device
FORMER_NAMES = {"MI250X": "MI250X per GCD"}


def smallest_that_holds(needed: float, vendor: str, devices: Iterable[str]) -> Accelerator | None:
    """Of those devices the one of a vendor with the least memory that is enough; of one, for another's software takes
    another context."""
    enough = (row for row in map(ACCELERATORS.__getitem__, devices) if row.vendor == vendor and row.memory >= needed)
    return min(enough, key=lambda row: row.memory, default=None)


def devices_by_memory() -> dict[int, list[str]]:
    """The devices by their memory, the smallest first."""
    found: dict[int, list[str]] = {}
    for row in sorted(ACCELERATORS.values(), key=lambda row: row.memory):
        found.setdefault(row.memory, []).append(row.id)
    return found
