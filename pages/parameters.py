"""Parameters: where a model's parameters are, down to single matrices, layer by layer, all and active."""

import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.transformer.breakdown import Count, Line, breakdown, by_component, in_symbols, invoice, numbered_layers
from llmcalc.words import w
from llmcalc.words.names import name
from pages.ui.app.show import headlines, model_header, working
from pages.ui.app.state import configuration
from pages.ui.chart.component import chart
from pages.ui.figures.model import layer_bars, parameter_map, share_of
from pages.ui.figures.palette import COLOURS
from pages.ui.words.numbers import exact, human, signed
from pages.ui.words.titles import title_of

inside_app()
config = configuration()
model, model_name = config.model, title_of(config)
parameters, active = model.parameters(), model.active_parameters()
standing = config.count_standing
is_sparse = active.value != parameters.value
names = {component: w(f"components.{component}") for component in COLOURS}
lines = invoice(model)
components = sorted(by_component(lines).items(), key=lambda item: -item[1].total)

model_header(w("parameters.header", name=model_name), config.base)
headlines(
    lambda: [
        (w("parameters.total"), parameters, standing),
        *([(w("parameters.active"), active, standing)] if is_sparse else []),
        (w("parameters.embedding"), model.embedding_parameters(), standing),
        (w("parameters.non_embedding"), model.non_embedding_parameters(), standing),
    ]
)
st.markdown(
    w(
        "parameters.sparse" if is_sparse else "parameters.dense",
        active=human(active.value, "parameters"),
        share=share_of(active.value, parameters.value),
    )
)

if counted := config.counted:
    st.caption(
        w(
            "parameters.checked",
            by=f"`transformers {counted.transformers}: {counted.class_name}`",
            count=exact(counted.total),
            difference=signed(parameters.value - counted.total),
        )
    )

title = w("parameters.map", total=human(parameters.value, "parameters"))
shares = ", ".join(f"{names[component]} {human(count.total, 'parameters')}" for component, count in components)
figure = parameter_map(title, breakdown(model), model_name, names)
chart(figure, key="parameter_map", alt=f"{title}: {shares}", height=460)
st.caption(w("parameters.map_hint"))

title = w("parameters.by_layer_sparse" if is_sparse else "parameters.by_layer")
kinds = "; ".join(
    w(
        "parameters.layers_alt",
        layers=name(f"{block.name}s"),
        count=count,
        size=human(block.parameters().value, "parameters"),
        active=human(block.active_parameters().value, "parameters"),
    )
    for block, count in model.blocks
)
axes = (w("axes.layer"), w("axes.parameters"))
figure = layer_bars(title, numbered_layers(model), names, axes)
chart(figure, key="parameters_by_layer", alt=f"{title}: {kinds}", height=380)


def row(label: str, count: Count, layers: str = "", formula: str = "") -> str:
    """One row of the table, with every digit; active parameters only where they differ."""
    amounts = [exact(count.total), share_of(count.total, parameters.value)]
    if is_sparse:
        amounts.append(exact(count.active))
    return f"| {' | '.join([label, *amounts, layers, formula])} |"


def row_of(label: str, line: Line) -> str:
    """The row of one part, with its formula in one layer."""
    layers = f"{line.layers} ×" if line.layers else ""
    return row(label, line.count, layers, f"${in_symbols(line.part.parameters())}$")


st.subheader(w("parameters.table"), anchor=False)
columns = ("component", "amount", "share", *(["active"] if is_sparse else []), "layers", "formula")
table = [
    "| " + " | ".join(w(f"parameters.column_{column}") for column in columns) + " |",
    "|:--|" + "--:|" * (len(columns) - 2) + ":--|",
]
for component, count in components:
    parts = [line for line in lines if line.part.component == component]
    if len(parts) == 1:
        table.append(row_of(f"**{names[component]}**", parts[0]))
    else:
        table.append(row(f"**{names[component]}**", count))
        table += [row_of(f"&emsp;{name(part.id)}", part) for part in parts]
table.append(row(f"**{w('working.total')}**", Count(parameters.value, active.value)))
st.markdown("\n".join(table))

with st.expander(w("parameters.working"), key="parameters_working", on_change="rerun") as opened:
    if opened.open:
        for quantity in model.components().values():
            working(quantity, depth=5)
