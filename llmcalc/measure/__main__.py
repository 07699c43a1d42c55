"""Measure a training step on your own card, beside what is predicted for it.

    python -m llmcalc.measure "Llama 3.2 1B" precision=bf16 batch_size=4 seq_len=1024 lora_rank=16
    python -m llmcalc.measure config.json recompute=full layers=4 --receipt mine.json

The model is one of the library, or a config.json; its weights are random. Settings are those of llmcalc.TrainingRun;
layers=… cuts the model to so many. Needs a GPU of NVIDIA's or AMD's, torch and transformers, for LoRA also peft, which
are taken from your environment. Without a GPU, or with --predict, it says what the step would need.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from llmcalc.bases import LIBRARY
from llmcalc.catalog.models import models
from llmcalc.errors import InputError
from llmcalc.huggingface import override
from llmcalc.measure import real
from llmcalc.measure.receipt import MEASURED, Receipt
from llmcalc.step.run import ALL_LINEAR, LORA_TARGETS, TrainingRun
from llmcalc.units import GiB

# The terms that are told beside the peaks, by the figure that is measured of each
_TERMS = {"weights": "weights", "optimizer_state": "optimizer_state", "saved_activations": "saved_activations"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        prog="python -m llmcalc.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model of the library, or the path of a config.json")
    parser.add_argument("settings", nargs="*", help="name=value, as of llmcalc.TrainingRun; or layers=4")
    parser.add_argument("--predict", action="store_true", help="measure nothing")
    parser.add_argument("--receipt", default="receipt.json", help="the file that is written (receipt.json)")
    given = parser.parse_args(arguments)
    try:
        asked = dict(setting(text) for text in given.settings)
        layers = asked.pop("layers", None)
        run = TrainingRun(**asked)
        receipt = expected(given.model, config_of(given.model, layers), run)
        print(f"{given.model}{f', {layers} layers' if layers else ''}, {sum_of(run)}")
        if why := "--predict" if given.predict else cannot(run):
            print(f"Nothing is measured: {why}. What it would need:")
            print(told(receipt))
            return 0
        real.check(run)
        found = on_this_card(receipt)
    except InputError as error:
        print(f"{error.input_id}: {error}", file=sys.stderr)
        return 2
    print(told(found))
    Path(given.receipt).write_text(found.written(), encoding="utf-8")
    print(f"Written to {given.receipt}: Accuracy takes it.")
    return 0


def setting(text: str) -> tuple[str, Any]:
    """A setting's name and value. Raises InputError where there is no such setting or it has no such value."""
    name, equals, value = text.partition("=")
    kinds = {f.name: f.default for f in fields(TrainingRun)} | {"layers": 1, "loss_chunks": 1}
    if not equals or name not in kinds:
        known = ", ".join(kinds)
        raise InputError(name, f"a setting is name=value, and the name one of: {known}", tuple(kinds))
    try:
        match kinds[name]:
            case bool():
                return name, {"true": True, "false": False}[value.lower()]
            case int():
                return name, int(value)
            case float():
                return name, float(value)
            case tuple():
                return name, tuple(value.split(","))
    except (KeyError, ValueError):
        raise InputError(name, f"{value!r} is no value of {name}") from None
    words = (*LORA_TARGETS, ALL_LINEAR)
    return name, tuple(value.split(",")) if name == "lora_targets" and value not in words else value


def config_of(model: str, layers: int | None) -> dict[str, Any]:
    """The config of a model of the library, or in a file, cut to so many layers. Raises InputError without either."""
    if Path(model).is_file():
        try:
            config = json.loads(Path(model).read_text("utf-8"))
        except ValueError:
            raise InputError("model", f"{model} is no JSON") from None
    elif model in LIBRARY or any(row.name == model for row in models().values()):
        config = next(row.config for row in models().values() if row.name == model)
    else:
        raise InputError("model", f"neither a file nor a model of the library: {model}")
    return dict(override(config, n_layers=layers) if layers else config)


def expected(model: str, config: Mapping[str, Any], run: TrainingRun) -> Receipt:
    """A receipt without figures."""
    asked = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(run).items()
        if value != getattr(TrainingRun(), name)
    }
    return Receipt(model=model, config=config, run=asked, device="", versions=real.versions(), figures={})


def cannot(run: TrainingRun) -> str:
    """Why nothing can be measured here; empty where it can."""
    if missing := real.missing():
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    import torch

    if not torch.cuda.is_available():
        return "there is no GPU that PyTorch sees"
    return "peft is not installed" if run.lora_rank and not real.versions()["peft"] else ""


def on_this_card(receipt: Receipt) -> Receipt:
    """The same with what was measured here."""
    import torch

    figures = real.measured(receipt.config, receipt.training_run, real.CudaMeter())
    name = torch.cuda.get_device_name()
    return Receipt(**{**vars_of(receipt), "device": name, "figures": figures})


def vars_of(receipt: Receipt) -> dict[str, Any]:
    """The fields of a receipt."""
    return {f.name: getattr(receipt, f.name) for f in fields(Receipt)}


def told(receipt: Receipt) -> str:
    """Term by term and in all: predicted, and beside it measured where it was."""
    predicted = dict(receipt.predicted)
    step = receipt.step
    terms = {name: float(getattr(step, attribute).value) for name, attribute in _TERMS.items()}
    terms["saved_activations"] += float(step.weight_casts.value)
    lines = [f"{'GiB':20}{'predicted':>12}{'measured':>12}{'off by':>10}"]
    for name, value in {**terms, **{f: predicted[f] for f in MEASURED}}.items():
        line = f"{name:20}{value / GiB:12.3f}"
        if size := receipt.figures.get(name):
            line += f"{size / GiB:12.3f}{100 * (value / size - 1):+9.1f}%"
        lines.append(line)
    return "\n".join(lines)


def sum_of(run: TrainingRun) -> str:
    """How it is run, in a line."""
    default = TrainingRun()
    always = ("batch_size", "seq_len", "precision", "optimizer")
    said = {f.name: getattr(run, f.name) for f in fields(run)}
    return " ".join(f"{k}={v}" for k, v in said.items() if k in always or v != getattr(default, k))


if __name__ == "__main__":
    sys.exit(main())
