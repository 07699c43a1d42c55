"""Compute and cost: what training the model takes in operations, time, electricity, emissions and money."""

from pages.ui.app.shell import alone
from llmcalc.words import w
from pages.content.cost import cost
from pages.ui.app.screen import draw
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.words.titles import title_of


def page() -> None:
    """The page."""
    config = configuration()
    model_header(w("cost.header", name=title_of(config)), config.base)
    draw(cost(config))


if __name__ == "__main__":
    alone()
