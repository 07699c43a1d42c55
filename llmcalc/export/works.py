"""Tables of what is cited, printed and measured: scaling laws, the article's figures, measured steps, the formulas."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np

from llmcalc.accuracy import METHODS, all_compared, covered, error_of, measured_inference, standing_of_row
from llmcalc.accuracy.inference import WHAT, predicted
from llmcalc.accuracy.logs import logged_figures
from llmcalc.accuracy.ranks import measured_ranks as rank_rows
from llmcalc.accuracy.ranks import rank_errors
from llmcalc.accuracy.reports import printed as printed_figures
from llmcalc.accuracy.speed import TIMES, error_of_rate, predicted_rate, served_rates, served_runs
from llmcalc.accuracy.speed import error_of as error_of_run
from llmcalc.catalog.accelerators import ACCELERATORS, readings
from llmcalc.configuration import Configuration
from llmcalc.errata import ERRATA, EXAMPLE_STEPS, LAYER_TERMS
from llmcalc.export.rows import Rows, Table, shown
from llmcalc.reference import formulas
from llmcalc.scaling import LAWS
from llmcalc.scaling.published import TRAINED
from llmcalc.step.run import TrainingRun
from llmcalc.sweeps import law_loss, law_performance, times_parameters
from llmcalc.symbols import SYMBOLS
from llmcalc.units import GiB

_IMPROVEMENTS = (1, 2, 5, 10, 20, 50)


def law(config: Configuration) -> Rows:
    """Loss by Kaplan et al.'s law, and the article's performance in terms of this model's, against parameters."""
    here = config.model.non_embedding_parameters().value
    for n in sorted({*np.logspace(5, 13, 161).tolist(), here}):
        told = {"loss_nats_per_token": law_loss(config, n).value, "relative_performance": law_performance(config, n)}
        yield {"non_embedding_parameters": n, **told}


def best_by_law(config: Configuration) -> Rows:
    """The best use of the compute that the model's training takes, by every law that says one."""
    for found in LAWS.values():
        if "optimal" in found.answers:
            best = found.optimal(compute=config.laws.compute)
            yield {
                "law": found.id,
                "compute_flop": best.compute.value,
                "parameters": best.parameters.value,
                "tokens": best.tokens.value,
                "loss_nats_per_token": None if best.known_loss is None else best.known_loss.value,
                "source": str(found.source),
            }


def trained_models(config: Configuration) -> Rows:
    """Published models with the tokens of their training; the same for every configuration."""
    for row in TRAINED:
        told = {"model": row.name, "active_parameters": row.parameters, "tokens": row.tokens}
        yield {**told, "compute_flop": 6 * row.parameters * row.tokens, "source": str(row.source)}


def training_work(config: Configuration) -> Rows:
    """Operations of a token in all passes of training: by component where they are known, and by the rule of 6N."""
    found = config.laws.cost
    for component, flops in found.components.items() if found else ():
        yield {"counted": "exactly", "component": component, "flop_per_token": flops.value}
    yield {"counted": "6N", "component": "all", "flop_per_token": 6 * config.model.active_parameters().value}


def improvements(config: Configuration) -> Rows:
    """How many times the parameters an improvement takes, at this exponent."""
    for percent in sorted({*_IMPROVEMENTS, config.values["improvement"]}):
        times = times_parameters(config, percent)
        yield {
            "improvement_percent": percent,
            "times_parameters_for_higher_metric": times["performance"].value,
            "times_parameters_for_lower_loss": times["loss"].value,
        }


def printed(config: Configuration) -> Rows:
    """Every figure of the article as printed and as computed; the same for every configuration."""
    for figure in dict.fromkeys((*EXAMPLE_STEPS, *LAYER_TERMS, *ERRATA.values())):
        right = figure.right()
        yield {
            "section": figure.section,
            "figure": figure.id,
            "printed": figure.printed,
            "right": right.value,
            "unit": right.unit,
            "is_wrong": figure.id in ERRATA,
            **shown(right),
        }


def measured(config: Configuration) -> Rows:
    """Every measured training step beside each prediction of it; the same for every configuration."""
    for found in all_compared():
        row, standing = found.row, standing_of_row(found)
        run = {field.name: getattr(row.training_run, field.name) for field in fields(TrainingRun)}
        for method, figures in METHODS.items():
            for figure in figures:
                if found.measured(figure) is None:
                    continue
                yield {
                    "model": row.model,
                    "family": row.family,
                    **run,
                    "instrument": row.instrument,
                    "held_back": not row.seen,
                    "standing": standing.label,
                    "figure": figure,
                    "measured_bytes": found.measured(figure),
                    "method": method,
                    "predicted_bytes": found.predicted[method, figure],
                    "error_ratio": found.error(method, figure),
                }


def measured_settings(config: Configuration) -> Rows:
    """Every setting that can be asked for or was measured, with its rows; the same for every configuration."""
    for one in covered():
        name, value = one.setting or ("", "")
        off = one.errors
        yield {
            "setting": name,
            "value": str(value),
            "can_be_asked": one.can_be_said,
            "held_back": len(one.held_back),
            "looked_at": len(one.seen),
            "without_prediction": len(one.unpredicted),
            "families": len(one.families),
            "median_error_ratio": off.median if off else None,
            "largest_error_ratio": off.largest if off else None,
        }


def measured_runs(config: Configuration) -> Rows:
    """Every measured inference beside what is computed for it; the same for every configuration."""
    for row in measured_inference():
        sizes = {"model": row.model, "family": row.family, **row.run, **row.beside, "held_back": not row.seen}
        for what in WHAT:
            bytes = {"measured_bytes": row.measured(what), "predicted_bytes": predicted(row, what)}
            yield {**sizes, "figure": what, **bytes, "error_ratio": error_of(row, what)}


def printed_peaks(config: Configuration) -> Rows:
    """Every figure that people printed of their GPUs, and what is computed for it; the same for every configuration."""
    for report, figure in printed_figures():
        yield {
            "program": report.framework,
            "version": report.version,
            "model": report.model,
            "device": report.device,
            "run": json.dumps(dict(report.run)),
            "layout": json.dumps(dict(report.layout)),
            "figure": figure,
            "printed_bytes": report.printed[figure] * GiB,
            "predicted_bytes": report.predicted[figure],
            "error_ratio": report.error(figure),
            "not_said": " ".join(report.open),
            "not_offered": " ".join(report.not_offered),
            "nearest": " ".join(report.nearest),
            "source": report.source.work.url,
        }


def measured_speed(config: Configuration) -> Rows:
    """Every run of a serving engine beside what is predicted for it, fitted and with its combination left out; the same
    for every configuration."""
    for row in served_runs():
        sizes = {f.name: vars(row)[f.name] for f in fields(row) if f.name not in TIMES}
        for what in TIMES:
            measured, fitted, left = vars(row)[what], error_of_run(row, what), error_of_run(row, what, fitted=False)
            errors = {"error_ratio": fitted, "error_ratio_left_out": left}
            seconds = {
                "measured_seconds": measured,
                "predicted_seconds": None if fitted is None else measured * (1 + fitted),
            }
            yield {**sizes, "is_fitted": row.is_fitted, "figure": what, **seconds, **errors}


def measured_rates(config: Configuration) -> Rows:
    """Rates of other sets beside what is predicted for them; the same for every configuration."""
    for row in served_rates():
        rates = {"predicted_tokens_per_second": predicted_rate(row).tokens_per_second.value}
        yield {**vars(row), **rates, "error_ratio": error_of_rate(row)}


def measured_ranks(config: Configuration) -> Rows:
    """Every step that was measured on one of several devices beside what is predicted; the same for every
    configuration."""
    for row in rank_rows():
        about = {"model": row.family, "framework": row.framework, "held_back": not row.seen}
        told = {"run": json.dumps(dict(row.run)), "layout": json.dumps(dict(row.layout))}
        for phase, error in rank_errors(row).items():
            measured = row.peaks.get(phase, row.peak)
            sizes = {"measured_bytes": measured, "predicted_bytes": measured * (1 + error), "error_ratio": error}
            yield {**about, **told, "figure": phase, **sizes}


def printed_logs(config: Configuration) -> Rows:
    """Every figure of start-up logs of engines beside what is predicted; the same for every configuration."""
    for found in logged_figures():
        log = found.log
        about: dict[str, object] = {"engine": log.engine, "build_of": log.build_of, "model": log.model or log.library}
        about["held_back"] = not log.seen
        told = {"serving": json.dumps(dict(log.serving)), "figure": found.figure, "source": log.source}
        yield {**about, **told, "printed": found.printed, "predicted": found.predicted, "error_ratio": found.error}


def all_formulas(config: Configuration) -> Rows:
    """Every formula there is, with what it counts and its source."""
    for module, found in formulas().items():
        for f in found:
            shape = {"symbol": f.symbol, "unit": f.unit, "formula": f.tex, "arguments": " ".join(f.arguments)}
            source = {"source": str(f.source), "title": f.source.work.title, "address": f.source.work.url}
            yield {"id": f.id, "module": module, **shape, "meaning": f.meaning, **source}


def symbols(config: Configuration) -> Rows:
    """The nomenclature."""
    for name, symbol in SYMBOLS.items():
        yield {"argument": name, "symbol": symbol.tex, "unit": symbol.unit}


def accelerators(config: Configuration) -> Rows:
    """Every device: its memory as its driver reports it and as its maker prints it, its rates, and the sources."""
    for device in ACCELERATORS.values():
        source = device.memory_source
        yield {
            "device": device.id,
            "vendor": device.vendor,
            "memory_bytes": device.memory,
            "memory_source": str(source) if source else "nominal",
            "nominal_memory_bytes": device.nominal_memory,
            "bandwidth_bytes_per_s": device.bandwidth,
            **{f"{format}_flop_per_s": device.peak_flops(format) for format in ("fp32", "fp16", "bf16", "fp8", "fp4")},
            "link_bytes_per_s": device.link,
            "watts": device.watts,
            "grade": device.grade,
            "source": str(device.source),
        }


def memory_readings(config: Configuration) -> Rows:
    """Every time that a device's memory was printed somewhere public."""
    for device, found in readings().items():
        for reading in found:
            source = {"source": str(reading.source), "address": reading.source.work.url}
            yield {"device": device, "memory_bytes": reading.memory, "printed": reading.printed, **source}


TABLES: tuple[Table, ...] = (
    law,
    best_by_law,
    trained_models,
    training_work,
    improvements,
    printed,
    measured,
    measured_settings,
    measured_runs,
    printed_peaks,
    measured_speed,
    measured_rates,
    measured_ranks,
    printed_logs,
    all_formulas,
    symbols,
    accelerators,
    memory_readings,
)
