"""The text of a ``config.json``, pasted, uploaded or downloaded, as the mapping that `read_config` reads."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from llmcalc.errors import InputError

MAX_BYTES = 4_000_000  # a published file that lists every layer that is not quantised has three million
MAX_DEPTH = 100  # of objects and lists in one another; published configs have about five
_STRING_OR_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"?|[^\s"\[\]{},:]+', re.DOTALL)


def parse_config(text: str | bytes) -> dict[str, Any]:
    """The JSON object in ``text``, which may begin with a byte order mark; of a key given twice the last counts.

    >>> parse_config('{"model_type": "gpt2", "n_layer": 12}')
    {'model_type': 'gpt2', 'n_layer': 12}

    NaN and Infinity, which Python writes though JSON has no such numbers, become the texts that they are.

    Raises InputError for ``config`` with the code config_too_large (details: limit), config_not_json (line, column,
    reason; also for numbers that are too long), config_too_deep (limit) or config_not_object (found).
    """
    text = _decoded(text)
    try:
        config = json.loads(text, parse_int=_int_of(text), parse_float=_float_of(text), parse_constant=str)
    except json.JSONDecodeError as error:
        raise _not_json(error.lineno, error.colno, error.msg) from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(config, dict):
        found = {list: "a list", str: "a text", type(None): "null"}.get(type(config), "a single value")
        message = f"a config is a JSON object, from {{ to }}, not {found}: paste the whole of config.json"
        raise InputError("config", message, code="config_not_object", found=found)
    if _is_deeper_than(MAX_DEPTH, config):
        raise _too_deep()
    if not _is_unicode(config):
        strings = (m for m in _STRING_OR_SCALAR.finditer(text) if m[0].startswith('"'))
        place = next(m.start() for m in strings if not _is_unicode(json.loads(m[0])))
        at = json.JSONDecodeError("", text, place)
        raise _not_json(at.lineno, at.colno, "half a character")
    return config


def _is_unicode(value: Any) -> bool:
    """False where a text holds half of a character (a lone surrogate), which nothing can write."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(text: str | bytes) -> str:
    """The text without its byte order mark, if it is small enough and UTF-8."""
    if len(text) > MAX_BYTES or (isinstance(text, str) and len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES):
        message = f"more than {MAX_BYTES:,} bytes: give the config.json alone, not the weights or the tokenizer"
        raise InputError("config", message, code="config_too_large", limit=MAX_BYTES)
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8", "replace")
        at = json.JSONDecodeError("", before, len(before))
        raise _not_json(at.lineno, at.colno, "not UTF-8 text") from None


def _int_of(text: str) -> Any:
    def whole(digits: str) -> int:
        try:
            return int(digits)
        except ValueError:  # Python reads at most 4,300 digits
            _refuse(text, digits, "a number with too many digits")

    return whole


def _float_of(text: str) -> Any:
    def finite(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            _refuse(text, digits, "a number that is not finite")
        return number

    return finite


def _refuse(text: str, scalar: str, reason: str) -> NoReturn:
    """Raises JSONDecodeError at the first place outside quotes where ``scalar`` stands."""
    place = next(m.start() for m in _STRING_OR_SCALAR.finditer(text) if m[0] == scalar)
    raise json.JSONDecodeError(reason, text, place)


def _not_json(line: int, column: int, reason: str) -> InputError:
    message = f"not JSON at line {line}, column {column}: {reason}. Correct it there, or paste the whole file again"
    return InputError("config", message, code="config_not_json", line=line, column=column, reason=reason)


def _too_deep() -> InputError:
    message = f"objects and lists more than {MAX_DEPTH} deep in one another: this is no model's config"
    return InputError("config", message, code="config_too_deep", limit=MAX_DEPTH)


def _is_deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for inner in level
            if isinstance(inner, dict | list)
            for child in (inner.values() if isinstance(inner, dict) else inner)
        ]
    return any(isinstance(inner, dict | list) for inner in level)
