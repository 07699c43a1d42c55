"""The sizes of all weights of small models of every family that is simulated, as their own classes have them.

PYTHONPATH=. python tests/oracle/weight_sizes.py >tests/golden/weight_sizes.jsonl
"""

from __future__ import annotations

from unseen_steps import configs  # isort: skip  # before torch, for the fake GPU

import json
import sys
from collections import Counter

import torch
from count import build

from llmcalc.huggingface import from_config
from llmcalc.huggingface.families import FAMILIES


def main() -> None:
    for family in sys.argv[1:] or FAMILIES:
        try:
            config = next(configs(family))
            if from_config(config).code is None:  # counted, not simulated
                continue
            with torch.device("meta"):
                model = build(config)
        except Exception as error:  # what a family cannot do is no fault of the others
            print(f"{family}: {error!r}"[:300], file=sys.stderr)
            continue
        sizes = Counter(weight.numel() for weight in model.parameters())
        print(json.dumps({"config": config, "sizes": [[size, sizes[size]] for size in sorted(sizes)]}), flush=True)


if __name__ == "__main__":
    main()
