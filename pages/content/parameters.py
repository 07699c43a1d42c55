"""Parameters: where a model's parameters are, down to single matrices, layer by layer, all and active."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from llmcalc.configuration import Configuration
from llmcalc.transformer.breakdown import Count, breakdown, by_component, in_symbols, invoice, numbered_layers
from llmcalc.words import w
from llmcalc.words.names import name
from pages.content.pieces import as_lines, component_names, shares, workings
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, bold, heading, math, note, paragraph, plain, said, said_once
from pages.ui.figures.model import layer_bars, parameter_map, share_of
from pages.ui.words.numbers import exact, human, signed
from pages.ui.words.standing import Headline
from pages.ui.words.titles import title_of


def numbers(config: Configuration) -> list[Headline]:
    """The numbers at the top."""
    model, standing = config.model, config.count_standing
    return [
        (w("parameters.total"), model.parameters(), standing),
        *([(w("parameters.active"), model.active_parameters(), standing)] if is_sparse(config) else []),
        (w("parameters.embedding"), model.embedding_parameters(), standing),
        (w("parameters.non_embedding"), model.non_embedding_parameters(), standing),
    ]


def is_sparse(config: Configuration) -> bool:
    """Whether a token goes through a part of the model only."""
    return bool(config.model.mixtures)


@said_once
def parameters(config: Configuration) -> Iterator[Block]:
    """The numbers, a map down to single matrices, the layers, and the parts with their formulas and working."""
    yield say.Headlines(partial(numbers, config))
    yield paragraph(" ".join(_said_of_all(config)))
    yield from checked(config)
    yield tiles(config)
    yield say.Hint(said(w("parameters.map_hint")))
    yield layers(config)
    yield heading(w("parameters.table"))
    yield parts(config)
    components = config.model.components().values()
    yield workings("parameters_working", *components, depth=5, title="parameters.working")


def _said_of_all(config: Configuration) -> Iterator[str]:
    """How much of the model a token goes through, and what the numbers at the top count."""
    model, sparse = config.model, is_sparse(config)
    whole, active = model.parameters().value, model.active_parameters().value
    told = {"active": human(active, "parameters"), "share": share_of(active, whole)}
    kind = "sparse" if sparse else "dense"
    if model.beside:
        beside = human(whole - model.language.parameters().value, "parameters")
        yield w(f"parameters.{kind}_beside", beside=beside, **told)
    else:
        yield w(f"parameters.{kind}", **told)
    if sparse:
        yield w(
            "parameters.active_whole", multiplied=human(model.active_non_embedding_parameters().value, "parameters")
        )
    if not model.beside:
        yield w("parameters.kinds")
        return
    of_text = {"embedding": model.embedding_parameters(), "non_embedding": model.non_embedding_parameters()}
    counted = {kind: human(quantity.value, "parameters") for kind, quantity in of_text.items()}
    yield w("parameters.kinds_beside", total=human(whole, "parameters"), beside=beside, **counted)


def checked(config: Configuration) -> Iterator[Block]:
    """What the model's own class was counted to have."""
    if counted := config.counted:
        by = f"`transformers {counted.transformers}: {counted.class_name}`"
        difference = signed(config.model.parameters().value - counted.total)
        told = w("parameters.checked", by=by, count=exact(counted.total), difference=difference)
        yield note(told)


def _components(config: Configuration) -> list[tuple[str, Count]]:
    """The largest first."""
    return sorted(by_component(invoice(config.model)).items(), key=lambda item: -item[1].total)


@said_once
def tiles(config: Configuration) -> say.Chart:
    """Everything that the model is made of, as areas."""
    names, components = component_names(), _components(config)
    title = w("parameters.map", total=human(config.model.parameters().value, "parameters"))
    told = ", ".join(f"{names[component]} {human(count.total, 'parameters')}" for component, count in components)
    figure = parameter_map(title, breakdown(config.model), title_of(config), names)
    rows = [(names[component], count.total, component) for component, count in components]
    data = partial(shares, rows, "parameters", "working.component")
    return say.Chart(figure, "parameter_map", f"{title}: {told}", 460, data)


@said_once
def layers(config: Configuration) -> say.Chart:
    """The layers from the first to the last."""
    title = w("parameters.by_layer_sparse" if is_sparse(config) else "parameters.by_layer")
    kinds = "; ".join(
        w(
            "parameters.layers_alt",
            layers=name(f"{block.name}s"),
            count=count,
            size=human(block.parameters().value, "parameters"),
            active=human(block.active_parameters().value, "parameters"),
        )
        for block, count in config.model.blocks
    )
    axes = (w("axes.layer"), w("axes.parameters"))
    figure = layer_bars(title, numbered_layers(config.model), component_names(), axes)
    return say.Chart(figure, "parameters_by_layer", f"{title}: {kinds}", 380)


def parts(config: Configuration) -> say.Table:
    """A row a part, with every digit and the formula of one layer; active parameters only where they differ."""
    names, lines, whole = component_names(), invoice(config.model), config.model.parameters().value

    def row(label: Line, count: Count, layers: int | None = None, formula: Line = ()) -> list[Line]:
        amounts = [plain(exact(count.total)), plain(share_of(count.total, whole))]
        amounts += [plain(exact(count.active))] if is_sparse(config) else []
        return [label, *amounts, plain(f"{layers} ×" if layers else ""), formula]

    rows = []
    for component, count in _components(config):
        found = [line for line in lines if line.part.component == component]
        told = [(line.count, line.layers, math(in_symbols(line.part.parameters()))) for line in found]
        if len(found) == 1:
            rows.append(row(bold(names[component]), *told[0]))
        else:
            rows.append(row(bold(names[component]), count))
            rows += [row(plain(f"\u2003{name(line.id)}"), *one) for line, one in zip(found, told, strict=True)]
    rows.append(row(bold(w("working.total")), Count(whole, config.model.active_parameters().value)))
    columns = ("component", "amount", "share", *(["active"] if is_sparse(config) else []), "layers", "formula")
    heads = as_lines(w(f"parameters.column_{column}") for column in columns)
    return say.Table(heads, rows, "l" + "r" * (len(columns) - 2) + "l")
