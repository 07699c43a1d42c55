"""What fits: memory over batch and length, and the largest run that a device holds, in training or inference."""

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.inputs import PURPOSES
from llmcalc.words import w
from pages.content.fits import fits
from pages.ui.app.screen import draw
from pages.ui.app.sections import set_inputs
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration, show
from pages.ui.words.titles import title_of


def page() -> None:
    """The page."""
    config = configuration()
    purpose = config.values["purpose"]
    model_header(w("fits.header", name=title_of(config)), config.base)
    show("purpose_here", purpose)
    st.segmented_control(
        w("inputs.purpose.label"), PURPOSES, key="purpose_here", format_func=lambda option: w(f"fits.{option}"),
        label_visibility="collapsed", required=True, on_change=choose_purpose,
    )  # fmt: skip
    draw(fits(config, purpose))


def choose_purpose() -> None:
    """Training or inference: moves the input in the sidebar."""
    set_inputs({"purpose": st.session_state["purpose_here"]})


if __name__ == "__main__":
    alone()
