"""Techniques: what each saves and what it costs, before and after, for the present model."""

from pages.ui.app.shell import inside_app
from llmcalc.words import w
from pages.content.mix import mix_section
from pages.content.quantization import cache_section, quantization_section
from pages.content.smaller import distillation_section, pruning_section
from pages.ui.app.ask import twin
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.words.titles import title_of

SECTIONS = {
    "mix": mix_section,
    "quantization": quantization_section,
    "cache": cache_section,
    "pruning": pruning_section,
    "distillation": distillation_section,
}

inside_app()
config = configuration()
model_header(w("techniques.header", name=title_of(config)), config.base)
twin("technique")
SECTIONS[config.values["technique"]](config)
