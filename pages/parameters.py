"""Parameters: where a model's parameters are, down to single matrices, layer by layer, all and active."""

from pages.ui.app.shell import alone
from llmcalc.words import w
from pages.content.parameters import parameters
from pages.ui.app.screen import draw
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.words.titles import title_of


def page() -> None:
    """The page."""
    config = configuration()
    model_header(w("parameters.header", name=title_of(config)), config.base)
    draw(parameters(config))


if __name__ == "__main__":
    alone()
