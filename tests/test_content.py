"""What pages say, without a screen: sections are functions from a configuration to blocks, which every writer takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from configurations import CONFIGURATIONS

from llmcalc import Serving, from_config
from llmcalc.configuration import Configuration
from llmcalc.inputs import PURPOSES
from llmcalc.serving.job import ENGINES
from llmcalc.serving.pasted import beside, read_pasted
from llmcalc.words import speak
from pages.content import explore, fits, lesson, lesson_charts, mix, parameters, pasted, pieces
from pages.content.pages import EVERY_PAGE
from pages.ui.document.blocks import (
    Beside,
    Block,
    Bullets,
    Chart,
    Document,
    Folded,
    Headlines,
    Offer,
    Paragraph,
    Section,
    Table,
    badge,
    bold,
    code,
    linked,
    math,
    plain,
    said,
    small,
)
from pages.ui.document.html import html
from pages.ui.document.markdown import markdown
from pages.ui.document.screen_text import table, text
from pages.ui.document.written import Cited, written

ROOT = Path(__file__).parent.parent
Said = Callable[[Configuration], Iterable[Block]]
PRINTED = read_pasted(
    "Available KV cache memory: 51.38 GiB\nGPU memory utilization is (0.9, 71.26 GiB)\nof mine: 3 GiB"
)


OF_NO_CONFIGURATION = ("article", "accuracy", "method")
SAID: dict[str, Said] = {
    **{name: page.says for name, page in EVERY_PAGE.items() if name not in OF_NO_CONFIGURATION},
    **{f"fits, {purpose}": partial(fits.fits, purpose=purpose) for purpose in PURPOSES},
    **mix.OTHERS,
    "inference": explore.inference,
    "lesson, calculators": lesson.calculators,
    "lesson, peak": partial(lesson_charts.lesson_chart, "peak"),
}
SAME_FOR_ALL: dict[str, Callable[[], Iterable[Block]]] = {
    **{name: partial(EVERY_PAGE[name].says, CONFIGURATIONS["preset"]) for name in OF_NO_CONFIGURATION},
    "pasted": lambda: [
        *pasted.invitation(),
        *pasted.what_was_read(PRINTED),
        *pasted.beside_predicted(beside(PRINTED, from_config({"model_type": "gpt2"}), Serving(context=64))),
    ],
    **{
        f"commands, {engine}": partial(pasted.to_start_it, "openai-community/gpt2", Serving(engine=engine))
        for engine in ENGINES
    },
}


def every(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, and those inside of them."""
    for block in blocks:
        yield block
        if isinstance(block, Folded):
            yield from every(block.blocks())
        elif isinstance(block, Beside):
            for column in block.columns:
                yield from every(column)


def holds(blocks: Iterable[Block]) -> None:
    found = list(every(blocks))
    assert found
    for block in found:
        match block:
            case Chart(figure, key, alt, height, data):
                assert key
                assert height > 100
                assert figure["layout"]["title"]["text"] in alt
                axis = figure["layout"].get("xaxis")  # a treemap has none
                assert axis is None or axis.get("title", {}).get("text")
                assert data is None or len(data().rows) > 0
            case Table(head, rows, alignment):
                assert {len(head), len(alignment), *map(len, block.all_rows)} == {len(head)}
                assert rows
                lines = table(block).splitlines()
                shown = len(head) - len(block.on_paper)
                assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {shown + 1}
            case Headlines(numbers):
                assert all(label and standing for label, _, standing in numbers())
            case Bullets(lines):
                assert all(lines)
            case Offer(line, values):
                assert line
                assert values
    section = Section(plain("s"), list(written(found, Cited())))
    made = Document(plain("t"), "en", [], [section])
    assert markdown(made)
    assert html(made)


@pytest.mark.parametrize("name", ["preset", "mixture", "encoder and decoder", "LoRA", "changed, article's account"])
@pytest.mark.parametrize("said", SAID)
def test_what_a_page_says_is_whole_and_every_writer_takes_it(said, name):
    holds(SAID[said](CONFIGURATIONS[name]))


@pytest.mark.parametrize("said", SAME_FOR_ALL)
def test_what_is_said_of_no_configuration_is_whole_too(said):
    holds(SAME_FOR_ALL[said]())


def test_all_that_a_page_says_is_made_when_it_is_asked_for():
    """The first chart does not wait for what comes after it."""
    blocks = iter(parameters.parameters(CONFIGURATIONS["preset"]))
    assert isinstance(next(blocks), Headlines)


def test_no_page_writes_a_table_or_a_list_by_hand():
    for path in (ROOT / "pages").rglob("*.py"):
        if path.parent.name != "document":
            assert not re.search(r':--|--:|"\| ', path.read_text("utf-8")), path


# How a line is written on the screen


def test_the_screen_takes_nothing_for_markup_that_is_text():
    hostile = "<b>x</b> *a* [b](javascript:0) `c` $d$ | :red[e] :material/home: a@b.c www.x.y ~~z~~ &amp; _f_"
    shown = text(plain(hostile))
    assert not re.search(r"[*\[\]`$|@~]|<b|</b|&amp;|:red|:mat|www\.x|(?<!\w)_f", shown)
    assert re.sub(r"&#(\d+);", lambda mark: chr(int(mark[1])), shown) == hostile
    assert text(plain("2:4, 10:30 d_model < 3 & 5 (<0.1%)")) == "2:4, 10:30 d_model < 3 & 5 (<0.1%)"


def test_a_text_of_words_is_written_on_the_screen_as_it_stands():
    for written_so in (
        ":green[:material/check_circle:] **Fits**: `x` needs *this* of $N_{h}$, see [the log](https://a.b/c_d)",
        "1,024 × 8 ≈ 3.4% – all :orange-badge[estimate]",
    ):
        assert text(said(written_so)) == written_so


def test_badges_links_and_small_letters_stand_on_the_screen_and_in_files():
    standing = CONFIGURATIONS["preset"].count_standing
    speak("en")
    line = bold("N") + plain(" ") + badge(standing) + small(code("n") + plain(" ") + linked("s", "http://x/"))
    assert text(line) == "**N** :green-badge[counted]:small[`n` [s](http://x/)]"
    made = Document(plain("t"), "en", [Paragraph(line + math("x"))], [])
    assert markdown(made).splitlines()[-1] == "**N** (counted)`n` [s](<http://x/>)$x$"
    assert "<strong>N</strong> (counted)<code>n</code>" in html(made)


def test_columns_and_rows_that_only_files_have_are_in_files_alone():
    made = Table([plain("a"), plain("b")], [[plain("1"), plain("2")]], "lr", on_paper=(1,), total=[bold("3"), ()])
    assert table(made) == "| a |\n|:--|\n| 1 |"
    assert markdown(Document(plain("t"), "en", [made], [])).endswith("| a | b |\n|:--|--:|\n| 1 | 2 |\n| **3** |  |\n")


def test_the_terms_of_a_sum_are_the_largest_first_and_add_up():
    step = CONFIGURATIONS["preset"].step
    made = pieces.term_table(step.peak.parts, step.peak)
    digits = [int(row[3][0].text.replace(",", "")) for row in made.all_rows]
    assert digits[:-1] == sorted(digits[:-1], reverse=True)
    assert sum(digits[:-1]) == digits[-1] == step.peak.value
    assert table(made).splitlines()[0] == "| Term | Memory | Share | Formula |"


def test_a_file_has_the_data_behind_a_chart_and_nothing_to_press():
    config = CONFIGURATIONS["preset"]
    told = list(written([*parameters.parameters(config), *fits.fits(config, "training")], Cited()))
    shares, parts, devices = (block for block in told if isinstance(block, Table))
    # GPT-2 124M on its own class: tests/golden/parameters.jsonl
    assert [row[3][0].text for row in shares.rows][-1] == "124,439,808"
    assert len(parts.rows) > len(shares.rows)
    assert devices.key == "every_device"
    said_so = "\n".join("".join(span.text for span in block.line) for block in told if isinstance(block, Paragraph))
    assert "Click a tile" not in said_so
    assert "Fits" in said_so
