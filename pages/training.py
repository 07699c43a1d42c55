"""Training memory: one step as it goes by, what its peak is made of, and what would make it fit."""

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.configuration import Configuration
from llmcalc.words import w
from pages.content import finetuning, training
from pages.ui.app.screen import draw
from pages.ui.app.sections import after_charts
from pages.ui.app.session import session
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.document.blocks import Verdict, heading
from pages.ui.words.verdict import as_counted


def page() -> None:
    """The page."""
    config = configuration()
    model_header(w("training.header"), config.base)
    in_words = st.container()
    with in_words:
        draw([Verdict(config)])
    draw([training.headlines(config), training.through_the_step(config)])
    after_charts(in_words, lambda: draw(training.in_words(config)))
    after_charts(st.container(), lambda: below_the_chart(config))


def below_the_chart(config: Configuration) -> None:
    """All that is to be read."""
    draw(finetuning.recipe(config))
    draw(training.what_would_fit(config))
    draw(finetuning.what_it_takes(config))
    draw(finetuning.other_trainings(config))
    draw(finetuning.to_run_it(config))
    draw([heading(as_counted(config, w("training.terms")))])
    moment = chosen_moment(config)
    draw(training.terms(config.training.moments[moment]))
    draw(training.beside_the_tensors(config))
    draw(training.beside_the_article(config))


def chosen_moment(config: Configuration) -> str:
    """That of the peak until the reader chooses another."""
    moments = list(config.training.moments)
    key = f"moment_{'article' if config.values['account'] == 'article' else 'step'}"
    chosen = session().moments.get(key)
    st.session_state[key] = chosen if chosen in moments else config.training.peak_phase
    st.pills(
        w("training.moment"), moments, format_func=lambda m: w(f"phases.{m}"), key=key,
        on_change=choose_moment, args=(key,),
    )  # fmt: skip
    return str(st.session_state[key])


def choose_moment(key: str) -> None:
    """The reader chose another, or none. For the control's callback."""
    session().moments[key] = st.session_state[key]


if __name__ == "__main__":
    alone()
