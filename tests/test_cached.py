"""What is worked out once keeps no other reader waiting, and no two wait for each other."""

from __future__ import annotations

import threading
from pathlib import Path

from llmcalc.cached import cached_property

ROOT = Path(__file__).parent.parent


class Pair:
    """Two properties, each of which asks another object for the other one."""

    def __init__(self) -> None:
        self.other: Pair | None = None
        self.met = threading.Barrier(2, timeout=5)
        self.count = 0

    @cached_property
    def left(self) -> int:
        self.count += 1
        if self.other is not None:
            self.met.wait()
            return self.other.right + 1
        return 1

    @cached_property
    def right(self) -> int:
        self.count += 1
        if self.other is not None:
            self.met.wait()
            return self.other.left + 1
        return 1


def test_two_readers_whose_properties_need_each_others_do_not_wait_for_good():
    first, second = Pair(), Pair()
    first.other, second.other = Pair(), Pair()
    second.met = first.met
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(first.left), daemon=True),
        threading.Thread(target=lambda: found.append(second.right), daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [2, 2]


def test_it_is_worked_out_once():
    pair = Pair()
    assert (pair.left, pair.left, pair.count) == (1, 1, 1)


def test_nothing_uses_the_one_that_locks():
    files = [*ROOT.joinpath("llmcalc").rglob("*.py"), *ROOT.joinpath("pages").rglob("*.py")]
    lines = {file.name: file.read_text("utf-8").splitlines() for file in files}
    assert {n for n, text in lines.items() if any("functools" in s and "cached_property" in s for s in text)} == {
        "cached.py"
    }
