"""Reading a config key by key: every value is checked for what it must be, and every refusal names its key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmcalc.errors import InputError

LARGEST_SIZE = 10**9
LISTED_LAYERS = ("block_configs",)  # keys under which a config says of each layer what it is made of
MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Notice:
    """Something that the reader of a count should know. ``id`` is language-neutral; ``text`` says it in English."""

    id: str
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


@dataclass
class Keys:
    """One config with the names and defaults of its family.

    ``rounds_heads``: the family takes a d_model that its heads do not divide. ``used`` gathers what was read from the
    config itself, ``dimensions`` the sizes under our own names, ``notes`` and ``warnings`` what is worth saying.
    """

    model_type: str
    config: Mapping[str, Any]
    names: Mapping[str, str]
    defaults: Mapping[str, Any]
    aliases: Mapping[str, tuple[str, ...]]
    rounds_heads: bool = False
    used: dict[str, Any] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    notes: list[Notice] = field(default_factory=list)
    warnings: list[Notice] = field(default_factory=list)

    def value(self, key: str) -> Any:
        """The raw value: from the config (under its name or an alias), else the family's default.

        Raises InputError where there is neither, or where two names of one key disagree.
        """
        given = [name for name in (key, *self.aliases.get(key, ())) if name in self.config]
        if not given:
            if key not in self.defaults:
                raise self.missing(key)
            return self.defaults[key]
        values = [self.config[name] for name in given]
        if any(type(v) is not type(values[0]) or v != values[0] for v in values[1:]):
            message = f"{' and '.join(map(repr, given))} are names of one thing and must be equal"
            raise InputError(given[0], message, code="names_disagree", first=given[0], second=given[-1])
        self.used[given[0]] = values[0]
        return values[0]

    def has(self, key: str) -> bool:
        """Whether the config or the family's defaults know ``key``."""
        return any(name in self.config for name in (key, *self.aliases.get(key, ()))) or key in self.defaults

    def given(self, key: str) -> bool:
        """Whether the config itself has a value other than null for ``key``."""
        return any(self.config.get(name) is not None for name in (key, *self.aliases.get(key, ())))

    def optional(self, key: str, lowest: int = 1) -> int | None:
        """A whole number of at least ``lowest``, or None where the config says null or nobody says anything."""
        value = self.value(key) if self.has(key) else None
        return None if value is None else whole(key, value, lowest)

    def size(self, key: str, lowest: int = 1, highest: int = LARGEST_SIZE) -> int:
        """A whole number of at least ``lowest`` and at most ``highest``."""
        return whole(key, self.value(key), lowest, highest)

    def flag(self, key: str | bool) -> bool:
        """True or false; a bool stands for itself, so that a family can say "always" or name its key."""
        if isinstance(key, bool):
            return key
        value = self.value(key) if self.has(key) else False
        if not isinstance(value, bool):
            message = f"{key!r} must be true or false, not {shown(value)}"
            raise InputError(key, message, (True, False), code="key_not_a_switch", key=key, found=shown(value))
        return value

    def text(self, key: str) -> str:
        """A piece of text."""
        value = self.value(key)
        if not isinstance(value, str):
            message = f"{key!r} must be text, not {shown(value)}"
            raise InputError(key, message, code="key_not_text", key=key, found=shown(value))
        return value

    def list_of(self, key: str, kind: type, length: int | None = None) -> list[Any] | None:
        """A list of texts or of whole numbers, or None where the key is null or missing.

        Raises InputError for anything else, and where the list is not one entry a layer though it should be.
        """
        value = self.value(key) if self.has(key) else None
        if value is None:
            return None
        if isinstance(value, str) and kind is str and length is not None and value.startswith("all "):
            return [value.removeprefix("all ")] * length
        if not isinstance(value, list | tuple) or len(value) > MOST_LAYERS:
            message = f"{key!r} must be a list, not {shown(value)}"
            raise InputError(key, message, code="key_not_a_list", key=key, found=shown(value))
        if any(type(entry) is not kind for entry in value):
            if kind is str:
                raise InputError(key, f"{key!r} must hold only texts", code="key_holds_no_texts", key=key)
            raise InputError(key, f"{key!r} must hold only whole numbers", code="key_holds_no_numbers", key=key)
        if length is not None and len(value) != length:
            message = f"{key!r} has {len(value)} entries for {length} layers"
            raise InputError(key, message, code="key_length", key=key, number=len(value), layers=length)
        return list(value)

    def words(self, key: str) -> list[str]:
        """Texts in a list, or in one text with bars between them; none where the key is null."""
        value = self.value(key)
        return value.split("|") if isinstance(value, str) else self.list_of(key, str) or []

    def dimension(self, name: str, default: int | None = None) -> int:
        """A size under our own name; ``default`` where the config says null or the family has no key for it."""
        key = self.names.get(name)
        value = None if key is None else self.optional(key)
        if value is None:
            if default is None:
                raise self.missing(key or name)
            value = default
        if key is not None:
            self.dimensions[name] = value
        return value

    def chosen(self, n_experts: int) -> int:
        """How many of so many experts a token goes through."""
        top_k = self.dimension("top_k")
        groups, chosen = (self.config.get(key) for key in ("n_group", "topk_group"))
        if groups is not None and chosen is not None:  # which decide what is chosen, and nothing that is counted
            whole("topk_group", chosen, 1, whole("n_group", groups))
        if top_k > n_experts:
            key, of = self.names["top_k"], self.names["n_experts"]
            message = f"{key!r} = {top_k} experts of {of!r} = {n_experts}"
            told: dict[str, Any] = {"key": key, "top_k": top_k, "whole_key": of, "n_experts": n_experts}
            raise InputError(key, message, code="too_few_experts", **told)
        return top_k

    def layers(self, name: str = "n_layers", default: int | None = None) -> int:
        """A number of layers.

        Raises InputError beyond what any model has, so that no list of layers fills the memory.
        """
        value = self.dimension(name, default)
        if value > MOST_LAYERS:
            message = f"{value:,} layers; more than {MOST_LAYERS:,} are not counted"
            key = self.names.get(name, name)
            raise InputError(key, message, code="too_many_layers", number=value, most=MOST_LAYERS)
        return value

    def note(self, id: str, text: str, **details: Any) -> None:
        """Remember something worth saying, once."""
        if Notice(id, text, details) not in self.notes:
            self.notes.append(Notice(id, text, details))

    def warn(self, id: str, text: str, **details: Any) -> None:
        """Remember something that makes the count less than certain."""
        self.warnings.append(Notice(id, text, details))

    def refuse_other_than(self, key: str, allowed: Iterable[Any]) -> None:
        """Refuse a setting that changes the shape in a way that is not modelled."""
        choices = tuple(allowed)
        value = self.value(key) if self.has(key) else None
        if value is not None and not any(type(value) is type(choice) and value == choice for choice in choices):
            message = f"{key!r} = {shown(value)} is not modelled"
            raise InputError(key, message, choices, code="key_not_modelled", key=key, found=shown(value))

    def missing(self, key: str) -> InputError:
        """That the config has no such key, or only says null for it."""
        if any(name in self.config for name in (key, *self.aliases.get(key, ()))):
            return is_null(key, self.config)
        message = f"the config of this {self.model_type} model has no {key!r}"
        return InputError(key, message, code="key_missing", key=key, model_type=self.model_type)


def is_null(key: str, config: Mapping[str, Any]) -> InputError:
    """That a key which must say something says null: where its layers differ one by one, that is why."""
    if any(config.get(other) is not None for other in LISTED_LAYERS):
        message = f"{key!r} is null: this model's layers differ one by one, and are listed in the config"
        return InputError(key, message, code="key_null_in_lists", key=key)
    return InputError(key, f"{key!r} is null, and it must be a number", code="key_null", key=key)


def _of_every_layer(value: Any) -> Any:
    alike = isinstance(value, list | tuple) and len(value) > 1 and all(type(n) is int and n == value[0] for n in value)
    return value[0] if alike else value


def whole(key: str, value: Any, lowest: int = 1, highest: int = LARGEST_SIZE) -> int:
    """``value`` if it is a whole number from ``lowest`` to ``highest``, or a list that says the same one of every
    layer; true and false are no numbers.

    Raises InputError otherwise.
    """
    value = _of_every_layer(value)
    if not isinstance(value, int) or isinstance(value, bool):
        message = f"{key!r} must be a whole number, not {shown(value)}"
        raise InputError(key, message, code="key_not_whole", key=key, found=shown(value))
    if not lowest <= value <= highest:
        message = f"{key!r} must be between {lowest:,} and {highest:,}, not {shown(value)}"
        found = shown(value)
        raise InputError(key, message, code="key_out_of_range", key=key, low=lowest, high=highest, found=found)
    return value


def does_not_divide(key: str, value: int, whole_key: str, whole: int) -> InputError:
    """The error that one size should divide another and does not."""
    message = f"{key!r} = {value} does not divide {whole_key!r} = {whole:,}"
    return InputError(key, message, code="does_not_divide", key=key, value=value, whole_key=whole_key, whole=whole)


def shown(value: Any) -> str:
    """A value as an error message may show it, whatever it is and however large."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else "a number that large"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "a number that is not finite"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:40]}…")
    return "a list" if isinstance(value, list | tuple) else "an object" if isinstance(value, dict) else "something else"
