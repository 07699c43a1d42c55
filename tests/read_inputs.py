"""Which inputs a page looks at: what it draws cannot depend on any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from opened_app import opened

from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS, INPUTS, in_group
from pages.ui.app import shell, state
from pages.ui.app.controls import GROUPS, OPEN_GROUP, main_knobs
from pages.ui.app.session import session
from pages.ui.app.state import State


class Watched(Mapping[str, Any]):
    """The value of every input, and which of them were looked at."""

    def __init__(self, values: Mapping[str, Any], read: set[str]):
        """``read`` is added to."""
        self._values, self._read = values, read

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values  # of every input there is a value, whatever it is

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self) | dict(other)

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | dict(self)


def inputs_of(page: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The inputs that a page looks at while it is drawn, and those whose controls it shows first of the others.

    If any other input alone is changed, it does the same as before, for it looks at the same in the same order.
    """
    read: set[str] = set()
    draw = shell._page

    def drawn(name: str) -> None:
        # with a state and a configuration of its own: what controls had it work out before would not be looked up again
        for_controls = state.state()
        session().present = replace(for_controls, values=Watched(for_controls.values, read))
        draw(name)
        session().present = for_controls

    with monkeypatch.context() as patched:
        patched.setattr(shell, "_page", drawn)
        patched.setattr(State, "configuration", property(lambda self: _configuration(self)))
        opened(page)
    shown = {declared.id for part in GROUPS.get(OPEN_GROUP.get(page, ""), ()) for declared in in_group(part)}
    shown |= set(main_knobs(page, DEFAULTS))
    return [id for id in INPUTS if id in read | shown | {"lang", "present"}]


def _configuration(of: State) -> Configuration:
    """The configuration of a state, which as long as that lives is one."""
    if "configuration" not in of.__dict__:
        of.__dict__["configuration"] = Configuration(of.values)
    return cast(Configuration, of.__dict__["configuration"])
