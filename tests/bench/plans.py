"""How many plans for a cluster are worked out in a second of one processor. A benchmark, not a test.

python tests/bench/plans.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from llmcalc.bases import base
from llmcalc.devices.plans import Cluster, plans
from llmcalc.step.run import TrainingRun

CASES = (
    ("Llama 3 8B", 64, 256, 8_192),
    ("Llama 3.1 70B", 1_024, 4_096, 131_072),
    ("Mixtral 8x7B", 512, 2_048, 32_768),
    ("Gemma 2 27B", 1_024, 4_096, 65_536),
)
REPEATS = 5


def main() -> None:
    """Print a line for each case, the best of a few runs."""
    for name, devices, batch, length in CASES:
        start = base(name)
        model = start.model(start.values)
        cluster = Cluster(devices=devices, memory=80e9, global_batch=batch)
        run = TrainingRun(seq_len=length, precision="mixed_bf16")
        best = float("inf")
        for _ in range(REPEATS):
            began = time.process_time()
            found = plans(model, run, cluster)
            best = min(best, time.process_time() - began)
        print(f"{name:16} {devices:6,} devices {len(found):9,} plans {best:7.3f} s {len(found) / best:10,.0f} plans/s")


if __name__ == "__main__":
    main()
