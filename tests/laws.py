"""A law over everything at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def some_of(cases: Iterable[Any], every: int) -> list[Any]:
    """For ``parametrize`` where all cases go one way and take their time: one of so many, and the others slowly."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=[] if i % every == 0 else pytest.mark.slow)
        for i, case in enumerate(cases)
    ]


def for_each(name: str, cases: Iterable[Any], ids: Callable[[Any], str] = str) -> Callable[[Callable], Callable]:
    """Run a test once for all cases, which it takes as its argument ``name``, and say which of them fail and why.

    As pytest's ``parametrize``, but one test: thousands of small ones take longer than what they do. Where a case takes
    its time, or is drawn by hypothesis, parametrize.
    """
    every = list(cases)

    def decorate(test: Callable) -> Callable:
        @functools.wraps(test)
        def for_all(**others: Any) -> None:
            failed = {}
            for case in every:
                try:
                    test(**{name: case}, **others)
                except Exception as error:
                    failed[ids(case)] = error
            if failed:
                told = [f"{case}: {type(error).__name__}: {str(error)[:400]}" for case, error in failed.items()]
                some = "\n".join(told[:20])
                raise AssertionError(f"{len(failed)} of {len(every)}\n{some}") from next(iter(failed.values()))

        signature = inspect.signature(test)
        left = [parameter for parameter in signature.parameters.values() if parameter.name != name]
        for_all.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        assert every
        return for_all

    return decorate
