"""Compare: the present model beside up to four pinned ones, in charts and in a table, all of it in the link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.accuracy import SHAPES, Standing
from llmcalc.comparison import MOST_PINNED, Pinned, pinned_of
from llmcalc.configuration import Configuration
from llmcalc.inference import cache_per_token
from llmcalc.inputs import MODELS, PASTED
from llmcalc.quantity import Quantity
from llmcalc.rates.flops import forward_flops
from llmcalc.stored.weights import stored_weights
from llmcalc.transformer.part import traits
from llmcalc.words import w
from pages.ui.app.choose import changes_in_words
from pages.ui.app.pins import load, pin, pin_chosen, pin_problems, pinned_models, refusal, unpin
from pages.ui.app.show import standing_note, working
from pages.ui.app.state import configuration
from pages.ui.chart.component import chart
from pages.ui.figures.axes import Figure
from pages.ui.figures.memory import memory_bars, stacked_bars, stacked_shares
from pages.ui.figures.palette import COLOURS, by_component
from pages.ui.words.numbers import exact, human
from pages.ui.words.problems import as_text, caveats_of, problem_words
from pages.ui.words.standing import badge
from pages.ui.words.titles import title_of
from pages.ui.words.verdict import for_tensors

EXAMPLE = ("Llama 3 8B", "Mixtral 8x7B", "DeepSeek-V3 671B")
FORMATS = ("bf16", "fp8", "int4 g128")

inside_app()
present, pinned = configuration(), pinned_models()
values = present.values
length, cache_format = exact(values["seq_len"]), values["cache_format"]
full = len(pinned) >= MOST_PINNED


def named() -> dict[str, Configuration]:
    """The models under names of their own, the present one first; all are run as that one is."""
    found = {w("compare.present", name=title_of(present)): present}
    count = Counter[str]()
    for config in (Configuration(model.values(values)) for model in pinned):
        title = title_of(config)
        count[title] += 1
        found[title if count[title] == 1 else w("compare.twice", name=title, number=count[title])] = config
    return found


def card(name: str, config: Configuration) -> None:
    """What a model is, and what was changed of it."""
    base = config.base
    st.markdown(f"**{name}**")
    about = " · ".join(text for text in (as_text(base.group), str(base.year or "")) if text)
    changed = base.changed(config.values)
    st.caption(changes_in_words(base, changed) if changed else about)
    if caveats := caveats_of(base):
        st.caption(" ".join(caveats))


def present_card() -> None:
    """The model in the controls, and a button that pins it."""
    model = pinned_of(values)
    reason = "full" if full else "pinned_already" if model in pinned else "pin_help"
    with st.container(border=True):
        card(w("compare.present", name=title_of(present)), present)
        st.button(
            w("compare.pin"), key="pin", on_click=pin, args=(model,),
            disabled=reason != "pin_help", help=w(f"compare.{reason}"),
        )  # fmt: skip


def pinned_card(place: int, name: str, config: Configuration) -> None:
    """A pinned model, with buttons that load it into the controls and remove it."""
    with st.container(border=True):
        card(name, config)
        for problem in config.problems:
            st.warning(problem_words(problem))
        with st.container(horizontal=True, gap="small"):
            st.button(
                w("compare.load"),
                key=f"load_{place}",
                on_click=load,
                args=(pinned[place],),
                help=w("compare.load_help"),
                type="tertiary",
            )
            st.button(w("compare.remove"), key=f"unpin_{place}", on_click=unpin, args=(place,), type="tertiary")


def draw(key: str, figure: Figure, amounts: Mapping[str, str]) -> None:
    """One of the charts, with a row for each model; ``amounts`` say it in words."""
    title = figure["layout"]["title"]["text"]
    said = ", ".join(f"{name} {amount}" for name, amount in amounts.items())
    chart(figure, key=key, alt=f"{title}: {said}", height=120 + 52 * len(amounts))


def sums(rows: Mapping[str, Mapping[str, float]], unit: str) -> dict[str, str]:
    """The sum of each row, for people."""
    return {name: human(sum(parts.values()), unit) for name, parts in rows.items()}


def charts(models: Mapping[str, Configuration]) -> None:
    """Parameters and their shares, memory of inference, cache for each token."""
    names = {component: w(f"components.{component}") for component in COLOURS}
    parameters = {n: {c: q.value for c, q in config.model.components().items()} for n, config in models.items()}
    memory = {n: by_component(config.inference.parts) for n, config in models.items()}
    cache = {n: {"kv_cache": cache_per_token(c.model, cache_format=cache_format).value} for n, c in models.items()}
    active = {n: config.model.active_parameters().value for n, config in models.items()}
    active = {n: value for n, value in active.items() if value < sum(parameters[n].values())}
    largest = {n: max(parts, key=parts.__getitem__) for n, parts in parameters.items()}
    left, right = st.columns(2, gap="medium")
    with left:
        title, marks = w("compare.parameters_chart"), (w("compare.active_mark"), active)
        figure = stacked_bars(title, parameters, names, "parameters", w("axes.parameters_in"), marks=marks)
        draw("compare_parameters", figure, sums(parameters, "parameters"))
    with right:
        figure = stacked_shares(w("compare.shares_chart"), parameters, names, "parameters", w("axes.share"))
        draw("compare_shares", figure, {n: names[c] for n, c in largest.items()})
    left, right = st.columns(2, gap="medium")
    with left:
        title = w("compare.memory_chart", batch=exact(values["batch_size"]), length=length)
        figure = memory_bars(title, memory, names, for_tensors(present), w("axes.memory"))
        draw("compare_memory", figure, sums(memory, "bytes"))
    with right:
        title = w("compare.cache_chart", format=cache_format)
        figure = stacked_bars(title, cache, names, "bytes", w("axes.cache_per_token"))
        draw("compare_cache", figure, sums(cache, "bytes"))


def shape(config: Configuration) -> dict[str, str]:
    """The sizes of a model that are told, not counted."""
    asked, plain = config.values, config.base.config is None
    latent = "latent" in traits(config.model.parts)
    layers = [asked[id] for id in ("n_layers", "n_decoder_layers") if asked[id] is not None]
    kv_heads = config.dimensions.kv_heads() if plain else asked["n_kv_heads"] or asked["n_heads"]
    unlimited = plain and asked["positions"] == "none"
    return {
        "layers": " + ".join(map(exact, layers)),
        "width": exact(asked["d_model"]),
        "heads": f"{exact(asked['n_heads'])} / {w('compare.latent') if latent else exact(kv_heads)}",
        "context": w("compare.none") if unlimited or asked["n_positions"] is None else exact(asked["n_positions"]),
    }


def counted(config: Configuration) -> dict[str, tuple[Quantity | None, Standing]]:
    """The numbers that have a working, and what each may be called, by the name of their row."""
    model, count = config.model, config.count_standing
    weights = {
        w("compare.weights", format=id): (stored_weights(model, id), config.inference_standing_in(id)) for id in FORMATS
    }
    cache = (cache_per_token(model, cache_format=cache_format), config.inference_standing_in("bf16", cache_format))
    return {
        w("compare.parameters"): (model.parameters(), count),
        w("compare.active"): (model.active_parameters(), count),
        **weights,
        w("compare.cache", format=cache_format): cache,
        w("compare.flops", length=length): (forward_flops(model, seq_len=values["seq_len"]), SHAPES),
    }


def cell(quantity: Quantity | None, standing: Standing) -> str:
    """A number and what it may be called."""
    return w("compare.none") if quantity is None else f"{human(quantity.value, quantity.unit)} {badge(standing)}"


def table(models: Mapping[str, Configuration]) -> None:
    """A column for each model; the working of a row on demand."""
    shapes, quantities = [shape(c) for c in models.values()], [counted(c) for c in models.values()]
    lines = [f"| | {' | '.join(models)} |", "|:--|" + "--:|" * len(models)]
    for row in shapes[0]:
        lines.append(f"| {w(f'compare.{row}')} | {' | '.join(told[row] for told in shapes)} |")
    for row in quantities[0]:
        cells = (cell(*of[row]) for of in quantities)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    with st.container(key="comparison_table"):
        st.markdown("\n".join(lines))
    st.caption(w("compare.notes", length=length))
    rows = list(quantities[0])
    chosen = st.pills(w("compare.working"), range(len(rows)), format_func=rows.__getitem__, key="compare_working")
    for name, of in zip(models, quantities, strict=True):
        quantity, standing = of[rows[chosen]] if chosen is not None else (None, SHAPES)
        if quantity:
            with st.container(border=True):
                st.caption(name)
                standing_note(standing)
                working(quantity)


st.header(w("compare.header"), anchor=False)
for problem in (*pin_problems(), *filter(None, [refusal()])):
    st.warning(problem_words(problem))
compared = named()
if not pinned:
    st.info(w("compare.empty"))
    st.button(w("compare.example", models=", ".join(EXAMPLE)), on_click=pin, args=tuple(map(Pinned, EXAMPLE)))
with st.container(key="compared"):
    present_card()
    for place, (name, config) in enumerate(list(compared.items())[1:]):
        pinned_card(place, name, config)
st.selectbox(
    w("compare.library"), [model for model in MODELS if model != PASTED], index=None, key="compare_library",
    placeholder=w("compare.search"), on_change=pin_chosen, args=("compare_library",), disabled=full,
    help=w("compare.full") if full else None, width=420,
)  # fmt: skip
if pinned:
    charts(compared)
    st.subheader(w("compare.table_header"), anchor=False)
    table(compared)
