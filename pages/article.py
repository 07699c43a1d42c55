"""The article: its sections A to I retold, and every figure that it prints beside the right one."""

from collections.abc import Iterable

import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.article import article_gpt3_layer, article_layers, article_steady_state, article_step, article_ten_percent
from llmcalc.catalog.presets import ARTICLE_EXAMPLE
from llmcalc.errata import (
    ERRATA,
    EXAMPLE_STEPS,
    GPT3,
    LAYER_TERMS,
    PEAK_MODEL,
    PEAK_RUN,
    PrintedFigure,
    complete_parameters,
    example_parameters,
    gpt3_parameters,
)
from llmcalc.quantity import Quantity
from llmcalc.step.step import training_step
from llmcalc.words import w
from llmcalc.words.names import name
from pages.ui.app.choose import start_from
from pages.ui.app.show import working
from pages.ui.app.state import configuration
from pages.ui.words.numbers import exact, human, marked, signed
from pages.ui.words.working import term_table

inside_app()


def section(letter: str, **values: str) -> None:
    """Title and text of one section."""
    st.subheader(w(f"article.{letter}.header"), anchor=False)
    st.markdown(w(f"article.{letter}.text", **values))


def amount(value: float, unit: str) -> str:
    """Every digit of a count, three digits of anything else, and the unit where the figure's name does not say it."""
    return exact(value) if unit in ("parameters", "bytes") else f"{marked(f'{value:.3g}')} {unit}".strip()


def printed_and_right(letter: str, figures: Iterable[PrintedFigure], *, difference: bool = False) -> None:
    """A row a figure: as printed, as computed, and why they differ."""
    heads = [w("article.figure"), w("article.printed"), w("article.right"), w("article.why")]
    if difference:
        heads.insert(3, w("article.difference"))
    lines = ["| " + " | ".join(heads) + " |", "|:--|" + "--:|" * (len(heads) - 2) + ":--|"]
    for figure in figures:
        right, wrong = figure.right(), figure.id in ERRATA
        shown = amount(right.value, right.unit)
        cells = [
            w(f"figures.{figure.id}"),
            amount(figure.printed, right.unit),
            f"**{shown}**" if wrong else shown,
            w(f"errata.{figure.id}.why") if wrong else "",
        ]
        if difference:
            cells.insert(3, signed(right.value - figure.printed) if wrong else "0")
        lines.append("| " + " | ".join(cells) + " |")
    with st.container(key=f"printed_{letter}"):
        st.markdown("\n".join(lines))


def errata_of(letter: str) -> list[PrintedFigure]:
    """What the article prints wrongly in one section."""
    return [figure for figure in ERRATA.values() if figure.section == letter.upper()]


def show_working(letter: str, *quantities: Quantity, depth: int = 0) -> None:
    """The working of a section's figures, on demand."""
    with st.expander(w("working.open"), key=f"working_{letter}", on_change="rerun") as opened:
        if opened.open:
            for quantity in quantities:
                working(quantity, depth)


st.header(w("article.header"), anchor=False)
st.markdown(w("article.intro", count=len(ERRATA)))
st.button(
    w("article.use_example"),
    key="use_example",
    icon=":material/tune:",
    on_click=start_from,
    args=(ARTICLE_EXAMPLE,),
    disabled=configuration().name == ARTICLE_EXAMPLE,
)

section("a")

section("b")
printed_and_right("b", EXAMPLE_STEPS, difference=True)
tied, untied = complete_parameters(tied_head=True), complete_parameters(tied_head=False)
st.markdown(w("article.b.left_out"))
head = untied.parts[-1]
counted = [*((name(part.id), part) for part in tied.parts), (w("article.b.tied"), tied)]
counted += [(name(head.id), head), (w("article.b.untied"), untied)]
lines = [f"| {w('working.component')} | {w('axes.parameters')} |", "|:--|--:|"]
for label, quantity in counted:
    mark = "**" if quantity.id == tied.id else ""
    lines.append(f"| {mark}{label}{mark} | {mark}{exact(quantity.value)}{mark} |")
st.markdown("\n".join(lines))
show_working("b", *(figure.right() for figure in EXAMPLE_STEPS), *untied.parts[1:], untied)

for letter in "cd":
    section(letter)
    printed_and_right(letter, errata_of(letter))
    show_working(letter, *(figure.right() for figure in errata_of(letter)))

run = {"batch_size": PEAK_RUN.batch_size, "seq_len": PEAK_RUN.seq_len}
setting = {"batch": exact(run["batch_size"]), "length": exact(run["seq_len"])}
section("e", **setting)
steady = article_steady_state(parameters=example_parameters(), **run)
st.markdown(term_table(steady.parts, steady))
printed_and_right("e", errata_of("e"))
show_working("e", steady, *(figure.right() for figure in errata_of("e")))

section("f")
layer, matrix = ERRATA["layer_activations"], ERRATA["attention_matrix"]
printed_and_right("f", (*LAYER_TERMS, layer, matrix))
st.markdown(w("article.f.peak", **setting, vocabulary=exact(PEAK_MODEL.vocab_size)))
article_memory = article_step(PEAK_MODEL.model(), PEAK_MODEL, **run)
right_memory = training_step(PEAK_MODEL.model(), PEAK_RUN)
lines = [f"| {w('article.figure')} | {w('explore.article')} | {w('article.right')} |", "|:--|--:|--:|"]
for term in ("steady_state", "saved_activations", "peak"):
    theirs, ours = (getattr(memory, term) for memory in (article_memory, right_memory))
    lines.append(f"| {w(f'training.{term}')} | {human(theirs.value, 'bytes')} | {human(ours.value, 'bytes')} |")
st.markdown("\n".join(lines))
show_working("f", layer.right(), matrix.right(), article_memory.peak, right_memory.peak, depth=1)

section("g")
printed_and_right("g", errata_of("g"))
show_working("g", article_ten_percent(alpha=ERRATA["alpha"].printed), *(f.right() for f in errata_of("g")))
st.page_link("pages/scaling.py", label=w("article.g.link"), icon=":material/trending_down:")

section("h")
st.page_link("pages/techniques.py", label=w("article.h.link"), icon=":material/compress:")

literal = article_gpt3_layer(d_model=GPT3.d_model, d_ff=GPT3.ffn_width())
literal_layers = article_layers(n_layers=GPT3.n_layers, block_parameters=literal)
section("i", layer=exact(literal.value), layers=exact(literal_layers.value), total=exact(gpt3_parameters().value))
printed_and_right("i", errata_of("i"))
show_working("i", literal_layers, gpt3_parameters(), depth=2)
