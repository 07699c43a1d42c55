"""What is counted: the model and the sizes that the inputs describe, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmcalc.accuracy import GUESS, NANOGPT, Standing, standing_of_count
from llmcalc.accuracy.counted_models import CountedModel, counted_models
from llmcalc.bases import SHAPE, Base, base
from llmcalc.cached import cached_property
from llmcalc.catalog.presets import PRESETS
from llmcalc.errors import InputError
from llmcalc.huggingface import names_of_sizes
from llmcalc.inputs import DEFAULTS
from llmcalc.transformer.dimensions import Dimensions, plain_sizes
from llmcalc.transformer.model import Model

# The inputs beside which a problem can be shown
MAY_BE_WRONG = ("n_heads", "n_kv_heads", "batch_size", "seq_len", *SHAPE)


@dataclass(frozen=True)
class Counting:
    """The model of ``values``: as asked, or the nearest sound one, with what is wrong with what was asked."""

    values: Mapping[str, Any]

    @cached_property
    def base(self) -> Base:
        """What it starts from. Where a pasted config cannot be read, the plain decoder that the inputs describe."""
        try:
            return base(self.values["model"], self.values["config"])
        except InputError:
            return base(DEFAULTS["model"])

    @cached_property
    def _counted(self) -> tuple[Model, Dimensions, tuple[InputError, ...]]:
        """The model, the sizes of its activations, and what is wrong with what was asked."""
        if self.base.config is None:
            asked = Dimensions(**{f.name: self.values[f.name] for f in fields(Dimensions)})
            sound = asked.mended()
            return sound.model(), sound, asked.problems()
        values = dict(self.values)
        problems: list[InputError] = []
        for _ in range(len(self.base.changed(self.values)) + 1):
            try:
                model = self.base.model(values)
                return model, plain_sizes(model), tuple(problems)
            except InputError as error:
                place = self._place_of(error, values)
                names = names_of_sizes(self.base.config)
                problem = InputError(
                    place, str(error), code="config_refuses", reason=error, name=self.base.id, names=names
                )
                problems.append(problem)
                values[place] = self.base.values[place]
        raise AssertionError("a base without changes is a sound model")

    def _place_of(self, error: InputError, values: Mapping[str, Any]) -> str:
        """The changed input to blame for a config's complaint: the one it names, else the first that was changed."""
        changed = self.base.changed(values)
        named = [id for id in changed if error.input_id == id or id in str(error)]
        return next(iter([*named, *(id for id in MAY_BE_WRONG if id in changed), *changed]))

    @property
    def model(self) -> Model:
        """The model that is counted: as asked, or the nearest sound one."""
        return self._counted[0]

    @property
    def dimensions(self) -> Dimensions:
        """The dimensions of the plain decoder, or for another model those that stand for its activations."""
        return self._counted[1]

    @property
    def problems(self) -> tuple[InputError, ...]:
        """What contradicts itself in what was asked."""
        return self._counted[2]

    @property
    def counted(self) -> CountedModel | None:
        """The parameters that this very model's own class was counted to have; None where it was changed."""
        return None if self.base.changed(self.values) else counted_models().get(self.base.library_id)

    @property
    def family(self) -> str:
        """Whose code a training step runs: a model_type of transformers, or nanoGPT; empty for a mixture of both."""
        if self.base.config is not None:
            return GUESS if self.base.is_guess else self.base.family
        return NANOGPT if self.dimensions.is_nanogpt else ""

    @cached_property
    def name(self) -> str | None:
        """The base, where nothing of it was changed; else the shape that these dimensions are; else None."""
        if not self.base.changed(self.values):
            return self.base.id
        if self.base.config is None:
            return next((p.id for p in PRESETS.values() if p.dimensions == self.dimensions), None)
        return None

    @property
    def longest_position(self) -> int | None:
        """The longest sequence that the model's tables of learned positions have rows for; None without one."""
        return self.model.longest_sequence

    @property
    def count_standing(self) -> Standing:
        """What stands behind the parameters."""
        return standing_of_count(self.family, self.model.parameters().value, self.counted)
