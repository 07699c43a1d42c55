"""Techniques: what each saves and what it costs, before and after, for the present model."""

from dataclasses import asdict

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.configuration import Configuration
from llmcalc.techniques.mix import Mix
from llmcalc.words import w
from pages.content import mix
from pages.ui.app.screen import draw
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.document.blocks import Controls, Offer, said
from pages.ui.words.titles import title_of

KNOBS = (
    *("precision", "attention", "recompute", "loss", "optimizer", "lora_rank"),
    *("gradient_accumulation", "data_parallel", "zero_stage", "tensor_parallel", "pipeline_parallel"),
    *("utilization", "link_bandwidth", "host_bandwidth"),
)
_RUN_INPUTS = (
    *("precision", "attention", "recompute", "loss", "keep_logits", "optimizer", "set_to_none", "lora_rank"),
    "gradient_accumulation",
)


def page() -> None:
    """The page."""
    config = configuration()
    model_header(w("techniques.header", name=title_of(config)), config.base)
    draw([Controls(["technique"])])
    if config.values["technique"] == "mix":
        mixed(config)
    else:
        draw(mix.OTHERS[config.values["technique"]](config))


def mixed(config: Configuration) -> None:
    """The mix of techniques, with the switches beside the charts, and the working of one of them."""
    draw(mix.opening(config))
    with st.expander(w("techniques.knobs"), key="technique_knobs"):
        draw([Controls(KNOBS, 3), all_plain(config.mix)])
    draw(mix.switches(config))
    one_switch(config.mix)
    draw(mix.closing())


def all_plain(mix: Mix) -> Offer:
    """All switches set back."""
    plain = mix.plain_setup
    values = {id: getattr(plain.run, id) for id in _RUN_INPUTS} | asdict(plain.layout)
    about = w("techniques.all_plain_help")
    return Offer(said(w("techniques.all_plain")), values, "all_plain", about, is_done=not mix.bars)


def one_switch(found: Mix) -> None:
    """The working of the switch that the reader chooses."""
    bars = {bar.id: bar for bar in found.bars}
    if not bars:
        return
    chosen = st.pills(
        w("techniques.working_of"), bars, format_func=lambda id: w(f"techniques.switch_{id}"), key="mix_working"
    )
    if chosen in bars:
        draw(mix.one_switch(bars[chosen]))


if __name__ == "__main__":
    alone()
