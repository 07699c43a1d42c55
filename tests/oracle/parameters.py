"""Count every model of the library on real transformers classes and compare with ours, total and components.

Needs the development extra; builds on torch's meta device, so that no memory and no download is needed.

    python tests/oracle/parameters.py            print the table; exit status 1 where anything differs
    python tests/oracle/parameters.py --write    write llmcalc/accuracy/counted_models.jsonl again
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import transformers
from count import count

import llmcalc
from llmcalc.catalog.models import models

GOLDEN = Path(__file__).parents[2] / "llmcalc" / "accuracy" / "counted_models.jsonl"


def measured() -> list[dict]:
    """What the real models have, one row a model of the library, with the versions that counted it."""
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    return [{"id": row.id, **count(row.config), **versions} for row in models().values()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the golden file again")
    rows, different = measured(), 0
    print(f"{'model':<30}{'ours':>22}{'transformers':>22}{'difference':>12}{'components':>12}{'active':>10}")
    for row in rows:
        ours = llmcalc.from_config(models()[row["id"]].config)
        total, components = ours.parameters().value, {name: q.value for name, q in ours.components().items()}
        names = components.keys() | row["components"].keys()
        wrong = sum(abs(components.get(name, 0) - row["components"].get(name, 0)) for name in names)
        active = ours.active_parameters().value - row["active"]
        print(f"{row['id']:<30}{total:>22,}{row['total']:>22,}{total - row['total']:>12,}{wrong:>12,}{active:>10,}")
        different += bool(total != row["total"] or wrong or active)
    print(f"{len(rows)} models, {different} different")
    if parser.parse_args().write:
        GOLDEN.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return int(different > 0)


if __name__ == "__main__":
    raise SystemExit(main())
