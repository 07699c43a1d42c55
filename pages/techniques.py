"""Techniques: what each saves and what it costs, before and after, for the present model."""

from pages.ui.shell import inside_app
from llmcalc.words import w
from pages.ui.ask import twin
from pages.ui.mix_section import mix_section
from pages.ui.quantization_sections import cache_section, quantization_section
from pages.ui.show import model_header
from pages.ui.smaller_sections import distillation_section, pruning_section
from pages.ui.state import configuration
from pages.ui.titles import title_of

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
