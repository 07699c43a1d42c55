"""A page offers a group of settings where one of them changes something of what the page says, and only there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from configurations import CONFIGURATIONS

from llmcalc.configuration import Configuration
from llmcalc.inputs import INPUTS, TECHNIQUES, in_group
from llmcalc.lessons.chapters import CHAPTERS
from pages.content.pages import EVERY_PAGE
from pages.ui.app.controls import GROUPS, GROUPS_READ, MAIN, main_knobs
from pages.ui.document import blocks as say
from pages.ui.document.written import Cited, written

# What of the page is chosen on the page itself
SHOWN = {
    "fits": ({"purpose": "inference"}, {"purpose": "training"}),
    "learn": tuple({"chapter": chapter} for chapter in CHAPTERS),
    "techniques": tuple({"technique": technique} for technique in TECHNIQUES),
}
# What says the same whatever is set (tests/test_content.py) has nothing to offer
PAGES = [page for page in EVERY_PAGE if page not in ("article", "accuracy", "method")]
STARTS = (CONFIGURATIONS["preset"], CONFIGURATIONS["LoRA"])


def told(blocks: Iterable[say.Block]) -> Iterator[str]:
    """All that blocks say, numbers in frames and figures among it."""
    for block in blocks:
        match block:
            case say.Chart():
                yield f"{block.figure} {block.alt}"
            case say.Headlines(numbers):
                yield str([(label, quantity.value) for label, quantity, _ in numbers()])
            case say.Beside(columns):
                for column in columns:
                    yield from told(column)
            case say.Folded(_, _, inside):
                yield from told(inside())
            case _:
                yield str(list(written([block], Cited())))


def asked_on(blocks: Iterable[say.Block]) -> set[str]:
    """The inputs whose controls are among blocks."""
    return {id for block in blocks if isinstance(block, say.Controls) for id in block.ids}


def moves(page: str, group: str) -> Iterator[str]:
    """The inputs of a group that change something of a page which has no control of theirs itself."""
    for start in STARTS:
        for shown in SHOWN.get(page, ({},)):
            before = Configuration({**start.values, **shown})
            blocks = list(EVERY_PAGE[page].says(before))
            asked, text = asked_on(blocks) | {*MAIN}, list(told(blocks))
            ids = [declared.id for part in GROUPS[group] for declared in in_group(part)]
            for id in ids:
                for end in {INPUTS[id].ends[0], INPUTS[id].ends[-1]} - {before.values[id]}:
                    changed = Configuration({**before.values, id: end})
                    is_asked = id in asked or id in before.base.fixed
                    if not is_asked and list(told(EVERY_PAGE[page].says(changed))) != text:
                        yield id


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("page", PAGES)
def test_a_group_is_offered_where_it_changes_something(page, group):
    assert (next(moves(page, group), None) is not None) == (group in GROUPS_READ.get(page, ()))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_main_knob_is_there_where_it_moves_the_page(page):
    start = CONFIGURATIONS["preset"]
    shown = {**start.values, **SHOWN.get(page, ({},))[-1]}
    text = list(told(EVERY_PAGE[page].says(Configuration(shown))))
    asked = asked_on(EVERY_PAGE[page].says(Configuration(shown)))
    moved = [
        id
        for id in MAIN
        if id not in asked
        and any(
            list(told(EVERY_PAGE[page].says(Configuration({**shown, id: end})))) != text
            for end in INPUTS[id].ends[:2]
            if end != shown[id]
        )
    ]
    assert moved == [id for id in main_knobs(page, shown) if id not in asked]


def test_what_reads_no_setting_offers_none():
    assert set(GROUPS_READ) == set(PAGES)
