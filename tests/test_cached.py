"""What is worked out once keeps no other reader waiting, and no two wait for each other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from llmcalc.cached import cached_property, once, once_for_each

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


def test_a_function_of_an_object_is_worked_out_once_for_it_and_each_of_its_arguments():
    asked, told = [], ["en"]

    class Thing:
        pass

    def work(of, add=0):
        asked.append((of, add))
        return [add]

    for once_for, more in ((once(work), 0), (once_for_each(lambda: told[0])(work), 1)):
        asked.clear()
        told[0] = "en"
        thing, other = Thing(), Thing()
        assert once_for(thing) is once_for(thing)
        assert once_for(thing, 1) == once_for(thing, 1) == [1]
        assert once_for(thing, add=2) == once_for(thing, add=2) == [2]
        assert once_for(other) is not once_for(thing)
        assert len(asked) == 4
        told[0] = "id"
        once_for(thing)
        assert len(asked) == 4 + more


def test_what_a_generator_yields_comes_as_it_is_worked_out_and_is_kept_once_all_of_it_has_come():
    asked = []

    class Thing:
        pass

    @once
    def work(of, last):
        for n in range(last):
            asked.append(n)
            yield n

    thing = Thing()
    begun = work(thing, 3)
    assert (next(begun), asked) == (0, [0])
    assert list(work(thing, 3)) == [0, 1, 2]  # another reader, while the first is at it
    assert list(begun) == [1, 2]
    asked.clear()
    assert list(work(thing, 3)) == [0, 1, 2]
    assert asked == []
    assert list(work(thing, 2)) == list(work(thing, 2)) == [0, 1]
    cut_off = work(Thing(), 2)
    next(cut_off)
    cut_off.close()
    assert asked == [0, 1, 0]


def test_what_is_yielded_before_an_error_is_not_taken_for_all_of_it():
    class Thing:
        pass

    @once
    def work(of):
        yield 1
        raise ValueError("no second")

    thing = Thing()
    for _ in range(2):
        with pytest.raises(ValueError, match="no second"):
            list(work(thing))
