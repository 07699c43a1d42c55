"""What a machine printed and what was predicted for it, as a file to share: settings and figures, none of the text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config
from llmcalc.serving.job import Serving
from llmcalc.serving.pasted.beside import Compared
from llmcalc.serving.serve import serve
from llmcalc.serving.served import Served
from llmcalc.transformer.model import Model

FORMAT = "llmcalc serving receipt 1"
LONGEST = 200_000  # characters
_TEXTS = ("model",)


@dataclass(frozen=True, kw_only=True)
class ServingReceipt:
    """A job of an engine: of which model (``config`` is its config.json), how it was started (``job``: arguments of
    `Serving`), what it printed, in base units, by the ids of `figures.FIGURES`, what was predicted, and why they
    differ."""

    model: str
    config: Mapping[str, Any]
    job: Mapping[str, Any]
    printed: Mapping[str, float]
    predicted: Mapping[str, float]
    why: Mapping[str, str]

    @cached_property
    def built(self) -> Model:
        """The model. Raises InputError where its config cannot be read."""
        return from_config(self.config)

    @cached_property
    def served(self) -> Served:
        """The same job as it is predicted now. Raises InputError where it cannot be."""
        return serve(self.built, Serving(**self.job))

    def error(self, figure: str) -> float | None:
        """How far what was predicted is from what was printed, as a share of that; None where there is no share."""
        printed, predicted = self.printed.get(figure), self.predicted.get(figure)
        return predicted / printed - 1 if printed and predicted is not None else None

    def written(self) -> str:
        """The file's text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)


def receipt_of(compared: Compared, *, model: str, config: Mapping[str, Any]) -> ServingReceipt:
    """The receipt of a comparison, with the model's name and its config. A path goes without its folders."""
    default = Serving()
    asked = {f.name: getattr(compared.job, f.name) for f in fields(Serving)}
    predicted = {row.figure.id: float(row.predicted.value) for row in compared.rows if row.predicted is not None}
    return ServingReceipt(
        model="/".join(model.replace("\\", "/").split("/")[-2:]),
        config=dict(config),
        job={"engine": compared.job.engine} | {k: v for k, v in asked.items() if v != getattr(default, k)},
        printed={row.figure.id: float(row.figure.value) for row in compared.rows},
        predicted=predicted,
        why={row.figure.id: row.why for row in compared.rows},
    )


def read_serving_receipt(text: str) -> ServingReceipt:
    """A receipt from its file's text. Raises InputError, which says what is wrong with it, where it is none."""
    try:
        given = json.loads(text) if len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise InputError("receipt", f'no "format": "{FORMAT}"', code="serving_receipt_none", format=FORMAT)
    for f in fields(ServingReceipt):
        if not isinstance(given.get(f.name), str if f.name in _TEXTS else dict):
            raise _lacks(f.name)
    for sizes in ("printed", "predicted"):
        if not all(map(_is_size, given[sizes].values())):
            raise _lacks(sizes)
    receipt = ServingReceipt(**{f.name: given[f.name] for f in fields(ServingReceipt)})
    try:
        _ = receipt.served
    except InputError as error:
        raise InputError("receipt", str(error), code="receipt_refused", reason=error) from None
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError):
        raise _lacks("job") from None
    return replace(receipt, why={str(id): str(why) for id, why in receipt.why.items()})


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def _lacks(field: str) -> InputError:
    return InputError("receipt", f"no {field} that can be read", code="serving_receipt_lacks", field=field)
