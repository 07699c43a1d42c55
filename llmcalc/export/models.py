"""Tables of what models are made of, one model or several side by side."""

from __future__ import annotations

from llmcalc.article import article_components
from llmcalc.catalog.formats import STORED_FORMATS
from llmcalc.comparison import read_each
from llmcalc.configuration import Configuration
from llmcalc.export.rows import Rows, Table, model_name, shown, working
from llmcalc.rates.flops import forward_flops
from llmcalc.serving.held import cache_per_token
from llmcalc.stored.weights import stored, stored_weights
from llmcalc.sweeps import side_by_side
from llmcalc.transformer.breakdown import breakdown, by_component, in_symbols, invoice, layer_components

_SHAPE = ("n_layers", "n_decoder_layers", "d_model", "n_heads", "n_kv_heads", "n_positions", "vocab_size")


def components(config: Configuration) -> Rows:
    """Parameters by component: all, and those that one token goes through."""
    for component, count in by_component(invoice(config.model)).items():
        counts = {"parameters": count.total, "active_parameters": count.active}
        yield {"component": component, **counts, "standing": config.count_standing.label}


def parts(config: Configuration) -> Rows:
    """Parameters by part, each with the layers that have it (none where it stands outside of them)."""
    for line in invoice(config.model):
        yield {
            "component": line.part.component,
            "part": line.id,
            "layers": line.layers,
            "parameters": line.count.total,
            "active_parameters": line.count.active,
            "formula_of_one_layer": in_symbols(line.part.parameters()),
        }


def weights(config: Configuration) -> Rows:
    """Single matrices and biases, with how many of each there are in all layers and experts."""
    for path, piece in breakdown(config.model).walk():
        if not piece.pieces:
            yield {
                "component": path[1],
                "weight": "/".join(path[2:]) or path[1],
                "copies": piece.copies,
                "parameters_of_one": piece.one.value,
                "parameters": piece.value,
                **shown(piece.one),
            }


def layers(config: Configuration) -> Rows:
    """Parameters of each layer, from the first to the last, by component."""
    for number, block in enumerate(config.model.layers(), 1):
        for component, count in layer_components(block).items():
            counts = {"parameters": count.total, "active_parameters": count.active}
            yield {"layer": number, "kind": block.name, "component": component, **counts}


def article_count(config: Configuration) -> Rows:
    """Parameters by component, by the article's formulas and as the model has them."""
    printed = article_components(config.dimensions)
    for component, q in config.model.components().items():
        yield {"component": component, "article_parameters": printed.get(component, 0), "parameters": q.value}


def formats(config: Configuration) -> Rows:
    """The weights stored in every number format, with their bits on average over this model."""
    for name in STORED_FORMATS:
        bits = stored(config.model, name).bits_per_weight
        yield {"format": name, "bits_per_weight": bits, "weights_bytes": stored_weights(config.model, name).value}


def compared(config: Configuration) -> Rows:
    """The present model and the pinned ones, all run as the present one is: a row each."""
    for name, c in _side_by_side(config).items():
        model, flops = c.model, forward_flops(c.model, seq_len=c.values["seq_len"])
        yield {
            "model": name,
            **{id: c.values[id] for id in _SHAPE},
            "parameters": model.parameters().value,
            "active_parameters": model.active_parameters().value,
            **{f"weights_in_{row['format']}_bytes".replace(" ", "_"): row["weights_bytes"] for row in formats(c)},
            **{f"inference_{part.id}_bytes": part.value for part in c.inference.parts},
            "cache_bytes_per_token": cache_per_token(model, cache_format=c.values["cache_format"]).value,
            "forward_flop_per_token": flops.value if flops else None,
        }


def compared_components(config: Configuration) -> Rows:
    """Their parameters by component."""
    for name, c in _side_by_side(config).items():
        yield from ({"model": name, **row} for row in components(c))


def compared_working(config: Configuration) -> Rows:
    """What is told of the compared models, with all that went into it."""
    for name, c in _side_by_side(config).items():
        flops = forward_flops(c.model, seq_len=c.values["seq_len"])
        cache = cache_per_token(c.model, cache_format=c.values["cache_format"])
        quantities = (c.model.parameters(), c.model.active_parameters(), cache, *([flops] if flops else []))
        yield from ({"model": name, **row} for row in working(*quantities))


def _side_by_side(config: Configuration) -> dict[str, Configuration]:
    """The present model and those pinned ones that can be read, numbered, since two may be alike."""
    models = side_by_side(config, read_each(config.values["compare"])[0])
    return {f"{number}: {model_name(c)}": c for number, c in enumerate(models, 1)}


TABLES: tuple[Table, ...] = (
    *(components, parts, weights, layers, article_count, formats, compared, compared_components, compared_working),
)
