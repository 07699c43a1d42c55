"""Scaling laws in use, a row each: constants with their source, what its parameters are, what it was fitted on, what
is wrong in print, and how sure the exponents are.

Losses of different laws are of different texts and tokens, and are never compared. Left out, for nothing that can be
computed again was published of them: the joint law of mixtures of arXiv 2502.05172, MiniCPM's, and that of arXiv
2501.12370, whose constants were read in a secondary source only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmcalc.errors import InputError
from llmcalc.quantity import Quantity
from llmcalc.scaling.forms import (
    Form,
    Granular,
    InBits,
    Kaplan,
    OnDatasets,
    Overtrained,
    Parametric,
    Powers,
    Repeating,
    Routed,
    ask,
    plain,
)
from llmcalc.scaling.optimum import Optimum
from llmcalc.sources import (
    BESIROGLU_2024,
    CLARK_2022,
    DEEPSEEK_LLM,
    GADRE_2024,
    HOFFMANN_2022,
    KAPLAN_2020,
    KRAJEWSKI_2024,
    KUMAR_2024,
    LLAMA_3,
    MUENNIGHOFF_2023,
    SARDANA_2023,
    Citation,
)
from llmcalc.transformer.model import Model
from llmcalc.words import w

DEFAULT_LAW = "besiroglu_2024"
# What a law's parameters are
ALL, NON_EMBEDDING = "all", "non_embedding"
Range = tuple[float, float]


@dataclass(frozen=True)
class Fitted:
    """Between which parameters, tokens and budgets (in FLOP) a law was fitted; None where that is not said."""

    parameters: Range | None = None
    tokens: Range | None = None
    compute: Range | None = None


@dataclass(frozen=True)
class Spread:
    """How sure a constant is: its value, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def counts_active(model: Model) -> bool:
    """Whether a token of text goes through less than all of a model's parameters."""
    return bool(model.active_parameters().value < model.parameters().value)


@dataclass(frozen=True)
class Law:
    """A scaling law. ``counts`` says what its parameters are, ``spreads`` how sure its constants are, by their names;
    that of "exponent" is of N as a power of the budget.

    Raises InputError when it is asked for what it does not have.
    """

    id: str
    source: Citation
    form: Form
    counts: str
    fitted: Fitted
    spreads: Mapping[str, Spread] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """What its parameters are, what it was fitted on, and what is wrong or not told in print; in the language that
        is spoken."""
        return w(f"law_notes.{self.id}")

    @property
    def answers(self) -> frozenset[str]:
        """What it can be asked."""
        return frozenset(self.form.answers)

    def _ask(self, name: str, asked: Mapping[str, Any]) -> Any:
        answers = self.form.answers
        if name not in answers:
            what = {"loss": "says how to spend a budget, not what loss comes of it"}
            raise InputError("law", f"{self.id} {what.get(name, f'does not say {name}')}", tuple(answers))
        return ask(answers[name], asked)

    def loss(self, **asked: Any) -> Quantity:
        """Loss in nats a token, of ``parameters`` and ``tokens``, and of what else the law knows."""
        found: Quantity = self._ask("loss", asked)
        return found

    def optimal(self, **asked: Any) -> Optimum:
        """The best use of a budget, ``compute`` in FLOP."""
        found: Optimum = self._ask("optimal", asked)
        return found

    def tokens_for(self, **asked: Any) -> Quantity:
        """The tokens with which a model of ``parameters`` reaches a ``loss``."""
        found: Quantity = self._ask("tokens_for", asked)
        return found

    def balanced_tokens(self, **asked: Any) -> Quantity:
        """The tokens for which so many ``parameters`` are best."""
        found: Quantity = self._ask("balanced_tokens", asked)
        return found

    def cheapest(self, **asked: Any) -> Optimum:
        """The model that reaches a ``loss`` with the least compute; where it is to serve ``served_tokens``, with the
        least of training and serving together."""
        found: Optimum = self._ask("cheapest", asked)
        return found

    def times_parameters(self, **asked: Any) -> Quantity:
        """How many times the ``parameters`` lower the loss by ``improvement`` per cent, where data do not run out."""
        found: Quantity = self._ask("times_parameters", asked)
        return found

    def parameters_of(self, model: Model) -> Quantity:
        """What the law counts as a model's parameters. Laws are of dense models of text: of a mixture, or of a model
        with towers, those that a token of text goes through, as operations are counted."""
        if counts_active(model):
            return model.active_parameters() if self.counts == ALL else model.active_non_embedding_parameters()
        return model.parameters() if self.counts == ALL else model.non_embedding_parameters()

    def extrapolates(self, *, parameters: Any = None, tokens: Any = None, compute: Any = None) -> Any:
        """Whether any of them is beyond what the law was fitted on."""
        found: Any = False
        for name, asked in (("parameters", parameters), ("tokens", tokens), ("compute", compute)):
            known = vars(self.fitted)[name]
            if asked is not None and known is not None:
                found = found | (plain(asked) < known[0]) | (plain(asked) > known[1])
        return found

    def band(self, compute: Any) -> tuple[Any, Any] | None:
        """Between which numbers of parameters the optimum of a budget is, by the 95 % interval of its exponent, turned
        about the middle of the budgets that the law was fitted on; None where no interval was published."""
        if "exponent" not in self.spreads or self.fitted.compute is None:
            return None
        spread, budget = self.spreads["exponent"], plain(compute)
        middle = math.sqrt(self.fitted.compute[0] * self.fitted.compute[1])
        best = self.optimal(compute=budget).parameters.value
        ends = [best * (budget / middle) ** (end - spread.value) for end in (spread.low, spread.high)]
        return np.minimum(*ends), np.maximum(*ends)


_CHINCHILLA = Fitted((44e6, 16e9), (5e9, 5e11), (6e18, 3e21))
_APPROACH_3 = HOFFMANN_2022.at("sec. 3.3, eq. 10")
_BESIROGLU = BESIROGLU_2024.at("table 1, eq. 4")


def _of_scaling(name: str) -> Parametric:
    constants = {
        "at most 100": (0.17, 7.199, 0.08, 25.97, 0.13),
        "at most 250": (0.98, 14.23, 0.13, 39.54, 0.16),
        "at most 500": (0.95, 17.07, 0.13, 35.80, 0.16),
        "all": (1.45, 33.66, 0.18, 138.9, 0.24),
    }
    return Parametric(*constants[name], SARDANA_2023.at("table 1"))


LAWS: Mapping[str, Law] = {
    law.id: law
    for law in (
        Law(
            "kaplan_2020",
            KAPLAN_2020.at("eqs. 1.1 to 1.6; tables 2, 3, 5, 6"),
            Kaplan(),
            NON_EMBEDDING,
            Fitted((768, 1.5e9), (2.2e7, 2.3e10)),
        ),
        Law(
            "hoffmann_2022_approach_1",
            HOFFMANN_2022.at("sec. 3.1, table 2; the factor from table 3"),
            Powers("parameters", 0.098735, 0.49812),
            ALL,
            _CHINCHILLA,
            {"exponent": Spread(0.50, 0.488, 0.502)},
        ),
        Law(
            "hoffmann_2022_approach_2",
            HOFFMANN_2022.at("sec. 3.2, table 2; the factor from table A3"),
            Powers("parameters", 0.14473, 0.48996),
            ALL,
            _CHINCHILLA,
            {"exponent": Spread(0.49, 0.462, 0.534)},
        ),
        Law(
            "hoffmann_2022_approach_3",
            HOFFMANN_2022.at("sec. 3.3, eq. 10, with the digits in its TeX source"),
            Parametric(
                math.exp(0.5267228), math.exp(6.0073404), 0.33917084, math.exp(6.0179186), 0.2849083, _APPROACH_3
            ),
            ALL,
            _CHINCHILLA,
            {"exponent": Spread(0.46, 0.454, 0.455)},
        ),
        Law(
            "hoffmann_2022_approach_3_printed",
            _APPROACH_3,
            Parametric(1.69, 406.4, 0.34, 410.7, 0.28, _APPROACH_3),
            ALL,
            _CHINCHILLA,
        ),
        Law(
            "besiroglu_2024",
            _BESIROGLU,
            Parametric(1.8172, 482.01, 0.3478, 2085.43, 0.3658, _BESIROGLU),
            ALL,
            _CHINCHILLA,
            {
                "floor": Spread(1.8172, 1.769, 1.871),
                "coefficient_n": Spread(482.01, 285.214, 743.626),
                "exponent_n": Spread(0.3478, 0.317, 0.373),
                "coefficient_d": Spread(2085.43, 1042.357, 5810.344),
                "exponent_d": Spread(0.3658, 0.331, 0.415),
                "exponent": Spread(0.513, 0.513 - 1.96 * 0.020, 0.513 + 1.96 * 0.020),
            },
        ),
        Law(
            "llama3_2024",
            LLAMA_3.at("sec. 3.2.1, eq. 1; constants of figure 3"),
            OnDatasets(
                "constants",
                {"figure": Powers("tokens", 0.299, 0.537), "text": Powers("tokens", 0.29, 0.53)},
                "figure",
            ),
            ALL,
            Fitted((40e6, 16e9), None, (6e18, 1e22)),
        ),
        Law(
            "deepseek_2024",
            DEEPSEEK_LLM.at("sec. 3.2, eq. 4"),
            Powers("token_flops", 0.1715, 0.5243),
            NON_EMBEDDING,
            Fitted(None, None, (1e17, 3e20)),
        ),
        Law(
            "muennighoff_2023",
            MUENNIGHOFF_2023.at("app. A, eq. 17; digits of huggingface/datablations"),
            Repeating(
                Parametric(
                    math.exp(0.6254804),
                    math.exp(6.255414),
                    0.3526596,
                    math.exp(7.3049974),
                    0.3526596,
                    MUENNIGHOFF_2023.at("app. A, eq. 17"),
                ),
                15.387756,
                5.309743,
            ),
            ALL,
            Fitted((7e6, 9e9), (1e8, 9e11)),
        ),
        Law(
            "sardana_2023",
            SARDANA_2023.at("table 1; sec. 2, eq. 3"),
            OnDatasets(
                "tokens_each",
                {name: _of_scaling(name) for name in ("at most 100", "at most 250", "at most 500", "all")},
                "all",
            ),
            ALL,
            Fitted((150e6, 6e9)),
        ),
        Law(
            "gadre_2024",
            GADRE_2024.at("sec. 3, eqs. 4 and 5; refitted on the runs in mlfoundations/scaling"),
            OnDatasets(
                "dataset",
                {
                    "c4": Overtrained(1.50826, 141.2772, 189.5155, 0.121236, 0.8497, 2.0789, 0.7561),
                    "redpajama": Overtrained(1.83665, 212.2360, 366.6870, 0.1364255, 0.8570, 2.2065, 0.7146),
                    "refinedweb": Overtrained(1.73446, 157.1163, 246.2067, 0.1271975, 0.8653, 2.2148, 0.7070),
                },
                "redpajama",
            ),
            ALL,
            Fitted((11e6, 6.9e9)),
        ),
        Law(
            "kumar_2024",
            KUMAR_2024.at("sec. 4.2, eq. 4; app. K, table 2"),
            InBits(
                Parametric(2.7648, 4299, 0.4965, 18060, 0.4965, KUMAR_2024.at("app. K, table 2")),
                2.6745,
                2.2102,
                0.9578,
            ),
            NON_EMBEDDING,
            Fitted((30e6, 220e6), (1.5e9, 26e9)),
        ),
        Law(
            "clark_2022",
            CLARK_2022.at("sec. 4.3, eqs. 6 and 7, table 3"),
            OnDatasets(
                "router",
                {
                    "S-BASE": Routed(-0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
                    "RL-R": Routed(-0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
                    "HASH": Routed(-0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
                },
                "S-BASE",
            ),
            ALL,
            Fitted((15e6, 1.3e9), (130e9, 130e9)),
        ),
        Law(
            "krajewski_2024",
            KRAJEWSKI_2024.at("sec. 5.1, eq. 7, table 1"),
            Granular(
                Parametric(0.47, 16.3, 0.126, 26.7, 0.127, KRAJEWSKI_2024.at("table 1")),
                Parametric(0.47, 18.1, 0.115, 30.8, 0.147, KRAJEWSKI_2024.at("table 1")),
                2.1,
                0.58,
                64,
            ),
            NON_EMBEDDING,
            Fitted((129e6, 3.7e9), (16e9, 130e9)),
        ),
    )
}
