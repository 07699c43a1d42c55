"""The mathematical forms of scaling laws. A form has constants, and answers what it can.

Arguments are numbers, arrays or quantities. A form's `answers` are what its law can be asked, by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, given_quantity, total
from llmcalc.scaling import formulas as of
from llmcalc.scaling.optimum import Optimum
from llmcalc.scaling.power import loss_from_parameters, parameters_for_lower_loss
from llmcalc.scaling.search import lowest, root_of_falling
from llmcalc.sources import Citation
from llmcalc.symbols import SYMBOLS

Answers = Mapping[str, Callable[..., Any]]
PF_DAY = 10**15 * 86_400  # Kaplan et al.'s unit of compute, in FLOP
FULL = 16  # bits: what is trained in them counts as full precision


class Form(Protocol):
    """What every form of a law has."""

    @property
    def answers(self) -> Answers:
        """What the law can be asked: ``loss``, ``optimal``, ``tokens_for``, ``cheapest``, ``times_parameters``."""
        ...


def ask(answer: Callable[..., Any], asked: Mapping[str, Any]) -> Any:
    """What is answered to that.

    Raises InputError for an argument that the law does not know, lacks, or that is no positive number.
    """
    known = inspect.signature(answer).parameters
    open_ended = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for name, value in asked.items():
        if name not in known and not open_ended:
            raise InputError(name, f"this law has no {name}; it has {', '.join(known)}", tuple(known))
        numbers = plain(value)
        least = 0 if name == "served_tokens" else np.nextafter(0, 1)
        if not (numbers is None or isinstance(numbers, str | bool)) and not np.all(np.asarray(numbers) >= least):
            raise InputError(name, f"{name} must be above 0")
    for name, one in known.items():
        if one.default is one.empty and one.kind is one.KEYWORD_ONLY and asked.get(name) is None:
            raise InputError(name, f"this law needs {name}")
    return answer(**asked)


def plain(value: Any) -> Any:
    """The number, or the array, that was given."""
    return value.value if isinstance(value, Quantity) else value


def _found(id: str, value: Any, meaning: str, source: Citation) -> Quantity:
    """A number that was searched for, under an argument's name and symbol."""
    symbol = SYMBOLS[id]
    return Quantity(id, value, symbol.unit, symbol.tex, source, meaning=meaning)


def _budget(compute: Any) -> Quantity:
    return compute if isinstance(compute, Quantity) else given_quantity("compute", compute)


@dataclass(frozen=True)
class Kaplan:
    """Kaplan et al.'s laws: of parameters alone, of tokens alone, of both, and of steps. Compute in FLOP."""

    critical_parameters: float = 8.8e13
    alpha_n: float = 0.076
    critical_tokens: float = 5.4e13
    alpha_d: float = 0.095

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {"loss": self.loss, "optimal": self.optimal, "times_parameters": self.times_parameters}

    def loss(self, *, parameters: Any = None, tokens: Any = None, steps: Any = None) -> Quantity:
        """Loss of N parameters (eq. 1.1), of D tokens (1.2), of both (1.5), of N parameters after S steps (1.6)."""
        if steps is not None and (parameters is None or tokens is not None):
            raise InputError("steps", "eq. 1.6 is of parameters and steps, without tokens")
        if parameters is None and tokens is None:
            raise InputError("parameters", "the law needs parameters, tokens or both")
        found: Quantity
        if steps is not None:
            sizes = {"critical_parameters": 6.5e13, "parameters": parameters, "exponent_n": 0.077}
            found = of.loss_of_limited_steps(**sizes, critical_steps=2100, steps=steps, exponent_s=0.76)
        elif tokens is None:
            of_size = {"critical_parameters": self.critical_parameters, "alpha": self.alpha_n}
            found = loss_from_parameters(parameters=parameters, **of_size)
        elif parameters is None:
            found = of.loss_from_tokens(critical_tokens=self.critical_tokens, tokens=tokens, alpha=self.alpha_d)
        else:
            sizes = {"critical_parameters": 6.4e13, "parameters": parameters, "exponent_n": 0.076}
            found = of.loss_of_limited_data(**sizes, critical_tokens=1.8e13, tokens=tokens, exponent_d=0.103)
        return found

    def optimal(self, *, compute: Any, at_critical_batch: bool = True) -> Optimum:
        """Table 6 and eq. 1.3, both of C_min: half of the budget where it is spent ``at_critical_batch``, else all."""
        budget = _budget(compute)
        least = of.least_compute(compute=budget) if at_critical_batch else budget
        size = of.parameters_of_compute(scale=1.3e9 / PF_DAY**0.73, compute=least, exponent=0.73)
        tokens = of.tokens_of_budget(compute=budget, parameters=size)
        return Optimum(budget, size, tokens, self.loss_of_compute(compute=least))

    def loss_of_compute(self, *, compute: Any, naive: bool = False) -> Quantity:
        """Loss of the best model for a budget C_min (eq. 1.3), or ``naive``: of one at their fixed batch (table 5)."""
        alpha, critical = (0.057, 1.6e7) if naive else (0.050, 3.1e8)
        found: Quantity = of.loss_from_compute(critical_compute=critical * PF_DAY, compute=compute, alpha=alpha)
        return found

    def table_6(self, *, compute: Any) -> dict[str, Quantity]:
        """Of a budget C_min: N, the batch in tokens, the least steps, and the tokens of one epoch, which are more than
        C/6N where half of them go to the batch being critical."""
        given, power = {"compute": compute}, {"exponent": 0.73, "scale": 1.3e9 / PF_DAY**0.73}
        return {
            "parameters": of.parameters_of_compute(**given, **power),
            "batch": of.tokens_of_compute(**given, scale=2.0e6 / PF_DAY**0.24, exponent=0.24),
            "steps": of.steps_of_compute(**given, scale=5.4e3 / PF_DAY**0.03, exponent=0.03),
            "tokens": of.tokens_of_compute(**given, scale=2e10 / PF_DAY**0.27, exponent=0.27),
        }

    def tokens_without_overfitting(self, *, parameters: Any) -> Quantity:
        """Tokens from which on a model of so many parameters does not overfit (eq. 4.4)."""
        found: Quantity = of.tokens_without_overfitting(scale=5e3, parameters=parameters, exponent=0.74)
        return found

    def critical_batch(self, *, loss: Any) -> Quantity:
        """The critical batch in tokens (eq. 1.4, B* of table 5)."""
        found: Quantity = of.critical_batch(batch_scale=2.1e8, loss=loss, exponent_b=0.21)
        return found

    def times_parameters(self, *, improvement: Any, parameters: Any = None) -> Quantity:
        """How many times the parameters lower the loss by so many per cent; the same at every size."""
        found: Quantity = parameters_for_lower_loss(improvement=improvement, alpha=self.alpha_n)
        return found


@dataclass(frozen=True)
class Powers:
    """Laws that say how to spend a budget: ``of`` it, parameters, tokens or the operations a token grow as a power."""

    grows: str
    scale: float
    exponent: float

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {"optimal": self.optimal}

    def optimal(self, *, compute: Any) -> Optimum:
        """The best use of a budget."""
        budget = _budget(compute)
        power = {"scale": self.scale, "compute": budget, "exponent": self.exponent}
        if self.grows == "tokens":
            tokens = of.tokens_of_compute(**power)
            return Optimum(budget, of.parameters_of_budget(compute=budget, tokens=tokens), tokens)
        if self.grows == "token_flops":
            size = of.parameters_of_work(token_flops=of.flops_of_compute(**power))
        else:
            size = of.parameters_of_compute(**power)
        return Optimum(budget, size, of.tokens_of_budget(compute=budget, parameters=size))


@dataclass(frozen=True)
class Parametric:
    """A floor and two powers: L = E + A/N^α + B/D^β, with budgets of 6ND, and 2N for each token that is served."""

    floor: float
    coefficient_n: Any  # a number, or a quantity
    exponent_n: float
    coefficient_d: float
    exponent_d: float
    source: Citation

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {
            "loss": self.loss,
            "optimal": self.optimal,
            "tokens_for": self.tokens_for,
            "balanced_tokens": self.balanced_tokens,
            "cheapest": self.cheapest,
            "times_parameters": self.times_parameters,
        }

    @property
    def _powers(self) -> dict[str, float]:
        names = ("coefficient_n", "exponent_n", "coefficient_d", "exponent_d")
        return {name: vars(self)[name] for name in names}

    def loss(self, *, parameters: Any, tokens: Any) -> Quantity:
        """Loss of N parameters and D tokens."""
        sizes = {"parameters": parameters, "tokens": tokens}
        found: Quantity = of.parametric_loss(floor=self.floor, **self._powers, **sizes)
        return found

    def optimal(self, *, compute: Any, served_tokens: Any = 0) -> Optimum:
        """The best use of a budget of training, or of training and of serving so many tokens."""
        budget = _budget(compute)
        if not np.any(np.asarray(plain(served_tokens)) > 0):
            size = of.best_parameters(**self._powers, compute=budget)
            tokens = of.tokens_of_budget(compute=budget, parameters=size)
            return Optimum(budget, size, tokens, self.loss(parameters=size, tokens=tokens))
        size = self._size(lambda n: self._left(budget.value, n, served_tokens), budget, served_tokens)
        tokens = of.tokens_beside_serving(compute=budget, parameters=size, served_tokens=served_tokens)
        return Optimum(budget, size, tokens, self.loss(parameters=size, tokens=tokens))

    def _left(self, compute: Any, parameters: Any, served_tokens: Any) -> Any:
        return compute / (6 * parameters) - plain(served_tokens) / 3

    def _size(self, tokens_with: Callable[[Any], Any], compute: Quantity, served_tokens: Any) -> Quantity:
        """N where the last operation is worth as much in the model as in the data. No more fit beside the serving."""
        alone = of.best_parameters(**self._powers, compute=compute).value
        found = root_of_falling(self._slope(tokens_with, served_tokens), alone * 1e-9, alone)
        return _found("parameters", found, "The parameters at which no other use of the budget is better.", self.source)

    def _slope(self, tokens_with: Callable[[Any], Any], served_tokens: Any) -> Callable[[Any], Any]:
        """Falls with N through zero where it is best: a model's lack, weighed, beside that of the data, which costs
        the served tokens too."""

        def slope(parameters: Any) -> Any:
            tokens = np.maximum(tokens_with(parameters), 1e-9)  # none are left: too many parameters
            model = self.exponent_n * self.coefficient_n * parameters**-self.exponent_n
            data = self.exponent_d * self.coefficient_d * tokens**-self.exponent_d
            return model - data * (1 + plain(served_tokens) / (3 * tokens))

        return slope

    def tokens_for(self, *, parameters: Any, loss: Any) -> Quantity:
        """The tokens with which N parameters reach a loss.

        Raises InputError for a loss that they do not reach with any.
        """
        lack = of.lack_of_parameters(
            coefficient_n=self.coefficient_n, parameters=parameters, exponent_n=self.exponent_n
        )
        left = of.reducible_loss(loss=self._above_floor(loss), floor=lack)
        if np.any(np.asarray(left.value) <= 0):
            raise InputError("loss", "a model of so many parameters does not reach this loss with any number of tokens")
        found: Quantity = of.tokens_for_remainder(
            coefficient_d=self.coefficient_d, reducible=left, exponent_d=self.exponent_d
        )
        return found

    def balanced_tokens(self, *, parameters: Any) -> Quantity:
        """The tokens for which so many parameters are best."""
        found: Quantity = of.balanced_tokens(**self._powers, parameters=parameters)
        return found

    def _above_floor(self, loss: Any) -> Quantity:
        """What a loss is above the floor.

        Raises InputError where it is not.
        """
        left: Quantity = of.reducible_loss(loss=loss, floor=self.floor)
        if np.any(np.asarray(left.value) <= 0):
            raise InputError("loss", f"by this law no model has a loss of {self.floor:g} nats a token or less")
        return left

    def cheapest(self, *, loss: Any, served_tokens: Any = 0) -> Optimum:
        """The model that reaches a loss with the least compute, of training, or of training and serving.

        Raises InputError for a loss that no model has.
        """
        left = self._above_floor(loss)
        exponents = {"exponent_n": self.exponent_n, "exponent_d": self.exponent_d}
        lack = of.parameters_share(reducible=left, **exponents)
        size = of.parameters_for_remainder(coefficient_n=self.coefficient_n, reducible=lack, exponent_n=self.exponent_n)
        if np.any(np.asarray(plain(served_tokens)) > 0):
            return self._cheapest_to_serve(left, size.value, served_tokens)
        rest = of.tokens_share(reducible=left, **exponents)
        tokens = of.tokens_for_remainder(coefficient_d=self.coefficient_d, reducible=rest, exponent_d=self.exponent_d)
        budget = of.training_flops(parameters=size, tokens=tokens)
        return Optimum(budget, size, tokens, self.loss(parameters=size, tokens=tokens))

    def _cheapest_to_serve(self, left: Quantity, alone: Any, served_tokens: Any) -> Optimum:
        def tokens_with(parameters: Any) -> Any:
            rest = left.value - self.coefficient_n * parameters**-self.exponent_n
            return (self.coefficient_d / np.maximum(rest, 1e-300)) ** (1 / self.exponent_d)

        least = (self.coefficient_n / left.value) ** (1 / self.exponent_n)
        found = root_of_falling(self._slope(tokens_with, served_tokens), least, alone)
        meaning = "The parameters with which the loss costs least, served tokens included."
        size = _found("parameters", found, meaning, self.source)
        lack = of.lack_of_parameters(coefficient_n=self.coefficient_n, parameters=size, exponent_n=self.exponent_n)
        rest = of.reducible_loss(loss=left, floor=lack)
        tokens = of.tokens_for_remainder(coefficient_d=self.coefficient_d, reducible=rest, exponent_d=self.exponent_d)
        trained = of.training_flops(parameters=size, tokens=tokens)
        served = of.served_flops(parameters=size, served_tokens=served_tokens)
        budget = total("compute", "C", trained, served)
        return Optimum(budget, size, tokens, self.loss(parameters=size, tokens=tokens))

    def times_parameters(self, *, improvement: Any, parameters: Any) -> Quantity:
        """How many times the parameters lower the loss by so many per cent, where data do not run out.

        Raises InputError where that would be at the floor or below it.
        """
        lack = of.lack_of_parameters(
            coefficient_n=self.coefficient_n, parameters=parameters, exponent_n=self.exponent_n
        )
        now = total("loss", "L", given_quantity("floor", self.floor), lack)
        wanted = self._above_floor(of.lowered_loss(loss=now, improvement=improvement))
        size = of.parameters_for_remainder(
            coefficient_n=self.coefficient_n, reducible=wanted, exponent_n=self.exponent_n
        )
        found: Quantity = of.times_as_many(before=parameters, after=size)
        return found


@dataclass(frozen=True)
class Repeating:
    """A floor and two powers, of what repeated tokens and parameters beyond them are worth."""

    once: Parametric
    tokens_decay: float
    parameters_decay: float

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {**self.once.answers, "loss": self.loss, "optimal": self.optimal, "epochs_worth": self.epochs_worth}

    def loss(self, *, parameters: Any, tokens: Any, unique_tokens: Any = None) -> Quantity:
        """Loss of N parameters and D tokens, of which so many are different; all, where that is not said."""
        if unique_tokens is None:
            return self.once.loss(parameters=parameters, tokens=tokens)
        data = self.effective_tokens(tokens=tokens, unique_tokens=unique_tokens)
        size = self.effective_parameters(parameters=parameters, unique_tokens=unique_tokens)
        return self.once.loss(parameters=size, tokens=data)

    def effective_tokens(self, *, tokens: Any, unique_tokens: Any) -> Quantity:
        """New tokens that are worth as much."""
        unique = np.minimum(plain(unique_tokens), plain(tokens))
        found: Quantity = of.effective_tokens(unique_tokens=unique, tokens=tokens, repeat_decay=self.tokens_decay)
        return found

    def effective_parameters(self, *, parameters: Any, unique_tokens: Any) -> Quantity:
        """Parameters that are worth as much."""
        most = of.balanced_parameters(**self.once._powers, tokens=unique_tokens).value
        unique = np.minimum(plain(parameters), most)
        sizes = {"unique_parameters": unique, "parameters": parameters}
        found: Quantity = of.effective_parameters(**sizes, repeat_decay=self.parameters_decay)
        return found

    def optimal(self, *, compute: Any, unique_tokens: Any = None, served_tokens: Any = 0) -> Optimum:
        """The best use of a budget where there are only so many different tokens."""
        if unique_tokens is None:
            return self.once.optimal(compute=compute, served_tokens=served_tokens)
        if np.any(np.asarray(plain(served_tokens)) > 0):
            raise InputError("served_tokens", "the law has no serving where tokens are repeated")
        budget = _budget(compute)
        alone = of.best_parameters(**self.once._powers, compute=budget).value

        def loss(parameters: Any) -> Any:
            tokens = budget.value / (6 * parameters)
            return self.loss(parameters=parameters, tokens=tokens, unique_tokens=unique_tokens).value

        meaning = "The parameters at which no other use of the budget is better."
        size = _found("parameters", lowest(loss, alone * 1e-9, alone * 1e9), meaning, self.once.source)
        tokens = of.tokens_of_budget(compute=budget, parameters=size)
        given = {"parameters": size, "tokens": tokens, "unique_tokens": unique_tokens}
        epochs = of.epochs_of(tokens=tokens, unique_tokens=unique_tokens)
        return Optimum(budget, size, tokens, self.loss(**given), epochs)

    def epochs_worth(self, *, worth: Any = 0.5) -> Quantity:
        """After how many epochs one more token is worth only so much of a new one."""
        found: Quantity = of.epochs_worth(worth=worth, repeat_decay=self.tokens_decay)
        return found

    def worth_of_repeat(self, *, epochs: Any) -> Quantity:
        """What one more token is worth after so many epochs, beside a new one."""
        found: Quantity = of.worth_of_repeat(epochs=epochs, repeat_decay=self.tokens_decay)
        return found


@dataclass(frozen=True)
class OnDatasets:
    """A law with constants for each of several data sets, by what was trained on, or by how far training went."""

    asked: str
    forms: Mapping[str, Any]
    usual: str

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {name: self._chosen(name) for name in self.forms[self.usual].answers}

    def _chosen(self, name: str) -> Callable[..., Any]:
        def answer(**asked: Any) -> Any:
            chosen = asked.pop(self.asked, self.usual)
            if chosen not in self.forms:
                raise InputError(self.asked, f"{self.asked} is one of {', '.join(self.forms)}", tuple(self.forms))
            return ask(self.forms[chosen].answers[name], asked)

        return answer


@dataclass(frozen=True)
class Overtrained:
    """Gadre et al.'s law: loss of a budget and of the tokens for each parameter, and the error downstream."""

    floor: float
    coefficient_m: float
    coefficient_d: float
    exponent: float
    guessing_error: float
    error_scale: float
    error_decay: float

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {"loss": self.loss, "optimal": self.optimal, "downstream_error": self.downstream_error}

    @property
    def _constants(self) -> dict[str, float]:
        return {name: vars(self)[name] for name in ("coefficient_m", "coefficient_d", "exponent")}

    def loss(self, *, parameters: Any, tokens: Any) -> Quantity:
        """Loss of N parameters and D tokens."""
        multiplier = of.tokens_per_parameter(tokens=tokens, parameters=parameters)
        compute = of.training_flops(parameters=parameters, tokens=tokens)
        return self._loss(multiplier, compute)

    def _loss(self, multiplier: Any, compute: Any) -> Quantity:
        given = {"multiplier": multiplier, "compute": compute}
        found: Quantity = of.overtrained_loss(floor=self.floor, **self._constants, **given)
        return found

    def optimal(self, *, compute: Any, multiplier: Any = None) -> Optimum:
        """The best use of a budget, or that with so many tokens for each parameter."""
        budget = _budget(compute)
        ratio = of.best_multiplier(**self._constants) if multiplier is None else multiplier
        size = of.parameters_at_multiplier(compute=budget, multiplier=ratio)
        tokens = of.tokens_of_budget(compute=budget, parameters=size)
        return Optimum(budget, size, tokens, self._loss(ratio, budget))

    def downstream_error(self, *, loss: Any) -> Quantity:
        """Average error over 17 tasks of a model with such a loss on C4."""
        names = ("guessing_error", "error_scale", "error_decay")
        found: Quantity = of.downstream_error(**{name: vars(self)[name] for name in names}, loss=loss)
        return found


@dataclass(frozen=True)
class InBits:
    """Kumar et al.'s law: a floor and two powers, of the parameters that count in so few bits."""

    full: Parametric
    weight_decay_bits: float
    activation_decay_bits: float
    cache_decay_bits: float

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {"loss": self.loss, "optimal": self.optimal, "effective_parameters": self.effective_parameters}

    def effective_parameters(
        self, *, parameters: Any, weight_bits: Any = FULL, activation_bits: Any = FULL, cache_bits: Any = FULL
    ) -> Quantity:
        """Parameters in full precision that are worth as much."""
        names = ("weight_decay_bits", "activation_decay_bits", "cache_decay_bits")
        bits = {"weight_bits": weight_bits, "activation_bits": activation_bits, "cache_bits": cache_bits}
        found: Quantity = of.parameters_of_bits(parameters=parameters, **bits, **{n: vars(self)[n] for n in names})
        return found

    def loss(
        self,
        *,
        parameters: Any,
        tokens: Any,
        weight_bits: Any = FULL,
        activation_bits: Any = FULL,
        cache_bits: Any = FULL,
    ) -> Quantity:
        """Loss of N parameters and D tokens, trained in so many bits."""
        bits = {"weight_bits": weight_bits, "activation_bits": activation_bits, "cache_bits": cache_bits}
        return self.full.loss(parameters=self.effective_parameters(parameters=parameters, **bits), tokens=tokens)

    def optimal(
        self, *, compute: Any, weight_bits: Any = FULL, activation_bits: Any = FULL, cache_bits: Any = FULL
    ) -> Optimum:
        """The best use of a budget of 6ND operations in so many bits: what a model lacks is larger by one factor."""
        bits = {"weight_bits": weight_bits, "activation_bits": activation_bits, "cache_bits": cache_bits}
        share = self.effective_parameters(parameters=1, **bits).value
        budget = _budget(compute)
        powers = self.full._powers
        powers["coefficient_n"] *= share**-self.full.exponent_n
        size = of.best_parameters(**powers, compute=budget)
        tokens = of.tokens_of_budget(compute=budget, parameters=size)
        return Optimum(budget, size, tokens, self.loss(parameters=size, tokens=tokens, **bits))


@dataclass(frozen=True)
class Routed:
    """Clark et al.'s law: loss of parameters and experts after one number of tokens."""

    slope_n: float
    slope_e: float
    slope_both: float
    intercept: float
    first_experts: float
    most_experts: float
    tokens: float = 130e9

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {"loss": self.loss}

    def loss(self, *, parameters: Any, n_experts: Any = 1, tokens: Any = None) -> Quantity:
        """Loss of N parameters in all but the experts, of which a token goes to one.

        Raises InputError for another number of tokens than all its models saw.
        """
        if tokens is not None and np.any(np.asarray(plain(tokens)) != self.tokens):
            raise InputError("tokens", f"all models of this law saw {self.tokens:.3g} tokens", (self.tokens,))
        flattened = of.saturated_experts(
            n_experts=n_experts, first_experts=self.first_experts, most_experts=self.most_experts
        )
        slopes = {name: vars(self)[name] for name in ("slope_n", "slope_e", "slope_both", "intercept")}
        found: Quantity = of.routed_loss(**slopes, parameters=parameters, experts_hat=flattened)
        return found


@dataclass(frozen=True)
class Granular:
    """Krajewski et al.'s law: a floor and two powers, of a dense model, or of a mixture whose experts may be finer.

    A mixture's parameters are those of all its experts; each of its layers has ``n_experts`` networks as large as a
    dense one, cut into ``granularity`` pieces, of which a token goes through as many as make one network.
    """

    dense: Parametric
    mixture: Parametric
    granular_scale: float
    exponent_g: float
    n_experts: int

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {"loss": self.loss, "optimal": self.optimal}

    def _finer(self, granularity: Any) -> Parametric:
        constants = {"exponent_g": self.exponent_g, "coefficient_n": self.mixture.coefficient_n}
        scale = of.coefficient_of_granularity(granularity=granularity, granular_scale=self.granular_scale, **constants)
        return replace(self.mixture, coefficient_n=scale)

    def loss(self, *, parameters: Any, tokens: Any, granularity: Any = None) -> Quantity:
        """Loss of N parameters and D tokens: of a dense model, or of a mixture with experts so fine."""
        law = self.dense if granularity is None else self._finer(granularity)
        return law.loss(parameters=parameters, tokens=tokens)

    def optimal(self, *, compute: Any, granularity: Any = None) -> Optimum:
        """The best use of a budget of six operations for each token and parameter that it goes through; those of
        routing are left out."""
        if granularity is None:
            return self.dense.optimal(compute=compute)
        budget, law = _budget(compute), self._finer(granularity)
        share = of.active_of_mixture(parameters=1, n_experts=self.n_experts).value
        powers = law._powers
        powers["coefficient_n"] = law.coefficient_n.value * share**law.exponent_n
        active = of.best_parameters(**powers, compute=budget)
        size = of.parameters_of_mixture(active_parameters=active, n_experts=self.n_experts)
        tokens = of.tokens_of_budget(compute=budget, parameters=active)
        return Optimum(budget, size, tokens, law.loss(parameters=size, tokens=tokens), active_parameters=active)
