"""A property that is worked out once, without a lock.

Python 3.11's has one lock for a property of all objects together. While it is worked out for one reader every other
waits, and two of which each works out what the other waits for wait for good. From 3.12 on it has none, like this one:
at worst two readers work out the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:

    class cached_property:  # noqa: N801
        """As Python's own, from 3.12 on."""

        def __init__(self, function: Any) -> None:
            self.func = function
            self.attrname: str | None = None
            self.__doc__ = function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.attrname = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            known = instance.__dict__
            if self.attrname not in known:
                known[self.attrname] = self.func(instance)
            return known[self.attrname]


Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def once(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """A function of an object that is worked out once for it, and for each of the other (hashable) arguments: kept in
    the object, it goes with it. What a generator yields comes as it is worked out, and is kept once all of it has come.
    """
    return once_for_each(lambda: None)(function)


def once_for_each(apart: Callable[[], Any]) -> Callable[[Callable[Asked, Answer]], Callable[Asked, Answer]]:
    """The same, once for each of what ``apart`` returns, such as the language of those who ask."""

    def kept_in_object(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
        name = f"{function.__module__}.{function.__qualname__}"

        def place(arguments: Any, named: Any) -> tuple[dict[Any, Any], Any]:
            of, *others = arguments
            return vars(of), (name, apart(), *others, *named.items())

        @wraps(function)
        def known(*arguments: Asked.args, **named: Asked.kwargs) -> Answer:
            kept, asked = place(arguments, named)
            if asked not in kept:
                kept[asked] = function(*arguments, **named)
            return kept[asked]

        @wraps(function)
        def yielded(*arguments: Asked.args, **named: Asked.kwargs) -> Iterator[Any]:
            kept, asked = place(arguments, named)
            if asked in kept:
                yield from kept[asked]
                return
            found, coming = list[Any](), cast(Iterator[Any], function(*arguments, **named))
            for one in coming:
                found.append(one)
                yield one
            kept[asked] = found

        return cast(Callable[Asked, Answer], yielded) if isgeneratorfunction(function) else known

    return kept_in_object


__all__ = ["cached_property", "once", "once_for_each"]
