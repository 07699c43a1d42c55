"""What a page says, drawn on the screen: charts at once, in order, and numbers once they are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial

import streamlit as st

from llmcalc.accuracy import PROCESS
from llmcalc.configuration import Configuration
from pages.ui.app.ask import twin
from pages.ui.app.sections import after_charts, set_inputs
from pages.ui.app.show import headline_row, headlines, standing_note, working
from pages.ui.app.stage import on_stage
from pages.ui.chart.component import chart, title_of
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block
from pages.ui.document.screen_text import bullets, table, text
from pages.ui.words.standing import why
from pages.ui.words.verdict import verdict_words

_VERDICT = "verdict"


def draw(blocks: Iterable[Block]) -> None:
    """Draw blocks here, each as soon as it is worked out."""
    for block in blocks:
        _draw(block)


def _draw(block: Block) -> None:
    match block:
        case say.Paragraph(line, is_note, standing):
            told = why(standing) if standing else None
            (st.caption if is_note else st.markdown)(text(line), help=told)
        case say.Bullets():
            st.markdown(bullets(block))
        case say.Hint(line):
            st.caption(text(line))
        case say.Code(told, language):
            st.code(told, language=language, wrap_lines=True)
        case say.Table(key=key):
            with st.container(key=key or None):
                st.markdown(table(block))
        case say.Heading(line):
            st.subheader(text(line), anchor=False)
        case say.Headlines(numbers):
            headlines(numbers)
        case say.Frames(frames):
            with headline_row():
                for frame in frames:
                    _frame(frame)
        case say.Chart():
            _chart(block)
        case say.Verdict(config):
            after_charts(place_of_verdict(), partial(verdict, config))
        case say.Rests(standing):
            standing_note(standing)
        case say.Notice(line, kind):
            {"info": st.info, "warning": st.warning, "success": st.success}[kind](text(line))
        case say.Worked(quantities, depth, title, key) if title:
            _draw(say.Folded(title, key, lambda: [say.Worked(quantities, depth)]))
        case say.Worked(quantities, depth):
            for quantity in quantities:
                working(quantity, depth)
        case say.Offer(line, values, key, about, is_done):
            st.button(text(line), key=key, on_click=set_inputs, args=(values,), help=about or None, disabled=is_done)
        case say.Controls(ids, columns):
            _controls(ids, columns)
        case say.Folded(title, key, inside):
            with st.expander(text(title), key=key, on_change="rerun") as opened:
                if opened.open:
                    draw(inside())
        case say.Beside(columns):
            for place, column in zip(st.columns(len(columns), gap="medium"), columns, strict=True):
                with place:
                    draw(column)
        case say.Working():
            raise TypeError("the screen works out a `Worked`")


def _frame(frame: say.Frame) -> None:
    with st.container(border=True, height="stretch"):
        st.metric(text(frame.label), frame.value)
        for note in frame.notes:
            st.caption(text(note))
        if frame.offer:
            _draw(frame.offer)


def _chart(block: say.Chart) -> None:
    """Here; or, where the page is presented, offered, and drawn large when its turn comes."""
    if (stage := on_stage()) is not None:
        stage.offer(block.key, title_of(block.figure), partial(chart, block, large=True))
    else:
        chart(block)


def _controls(ids: Iterable[str], columns: int) -> None:
    places = st.columns(columns, gap="medium") if columns > 1 else [nullcontext()]
    for place, input_id in enumerate(ids):
        with places[place % columns]:
            twin(input_id)


def place_of_verdict() -> st.delta_generator.DeltaGenerator:
    """Where the verdict stands: here, or, where the page is presented, on stage with the headline numbers."""
    stage = on_stage()
    if stage is None:
        return st.container(key=_VERDICT)
    stage.tells_verdict = True
    return stage.verdict


def verdict(config: Configuration) -> None:
    """Whether the training step fits, and on demand what that rests on."""
    st.markdown(verdict_words(config), help=f"{why(config.verdict_standing)} {why(PROCESS)}")
