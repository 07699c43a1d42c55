"""Whatever a config says, reading it gives a model or our own error, soon, and never another exception."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress

from golden_files import jsonl_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmcalc import InputError, read_config
from llmcalc.catalog.models import models
from llmcalc.huggingface.families import FAMILIES, keys_of

KEYS = sorted(
    {key for name, family in FAMILIES.items() for key in (*family.names.values(), *keys_of(name, {}).defaults)}
    | {"architectures", "text_config", "vision_config", "layer_types", "model_type", "moe_layers", "no_rope_layers"}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.integers(),
    st.builds(pow, st.sampled_from([-10, 10]), st.sampled_from([9, 18, 400, 5000])),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["12", "all full_attention", "sliding_attention", "gated-gelu", "transient-global", "NaN"]),
    st.sampled_from(sorted(FAMILIES)),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4),
        st.dictionaries(st.integers(), inner, max_size=2),
    ),
    max_leaves=8,
)
LIBRARY = list(models().values())
SIZED = [row["config"] for row in jsonl_rows("sized_classes.jsonl")]
settings_for_fuzz = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def reads_or_refuses(config: object) -> None:
    with suppress(InputError):
        model = read_config(config).model  # type: ignore[arg-type]
        total = model.parameters().value
        assert type(total) is int
        assert 0 < model.active_parameters().value <= total
        assert model.kv_cache_elements(seq_len=100).value >= 0


@settings_for_fuzz
@given(JUNK)
def test_anything_at_all(config):
    reads_or_refuses(config)


@settings_for_fuzz
@given(st.sampled_from(sorted(FAMILIES)), st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=8))
def test_a_family_with_junk_under_its_keys(model_type, junk):
    reads_or_refuses({**junk, "model_type": model_type})


@settings_for_fuzz
@given(st.sampled_from(LIBRARY), st.data())
def test_a_published_config_with_one_or_two_values_replaced_or_missing(row, data):
    config = dict(row.config)
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), max_size=2)):
        config.pop(key, None)
    for key in data.draw(st.lists(st.sampled_from(KEYS), max_size=2)):
        config[key] = data.draw(JUNK)
    reads_or_refuses(config)


@settings_for_fuzz
@given(st.sampled_from(SIZED + [row.config for row in LIBRARY]), st.data())
def test_a_config_of_which_a_value_is_replaced(config, data):
    """At any depth: a value of the whole model's config, or of one that it holds."""
    inner = config = copy.deepcopy(config)
    key = data.draw(st.sampled_from(sorted(inner)))
    while isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans()):
        inner = inner[key]
        key = data.draw(st.sampled_from(sorted(inner)))
    inner[key] = data.draw(JUNK)
    reads_or_refuses(config)


@settings_for_fuzz
@given(st.sampled_from(LIBRARY), JUNK, st.sampled_from(["text_config", "llm_config", "language_config"]))
def test_a_config_inside_a_config(row, junk, key):
    reads_or_refuses({"model_type": "llava", key: {**row.config, "hidden_size": junk}})
    reads_or_refuses({"model_type": "gemma3", key: junk})


@settings_for_fuzz
@given(st.sampled_from(sorted(FAMILIES)), st.sampled_from(KEYS), JUNK)
def test_a_refusal_names_a_key_and_is_short(model_type, key, junk):
    try:
        read_config({"model_type": model_type, key: junk})
    except InputError as error:
        refusal = error
    else:
        return
    assert refusal.input_id
    assert 10 < len(str(refusal)) < 300


def test_every_value_of_every_published_config_may_be_a_number_that_is_none():
    """In turn, at any depth: where a list or a dictionary is expected too."""
    for row in LIBRARY:
        for path in paths(row.config):
            config = inner = copy.deepcopy(row.config)
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = 7
            reads_or_refuses(config)


def paths(config: dict, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """To every value that a config holds, those of the configs within it among them."""
    for key, value in config.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def test_reading_leaves_the_config_as_it_was():
    for row in LIBRARY:
        before = copy.deepcopy(row.config)
        read_config(row.config)
        assert row.config == before


def test_a_config_nested_a_thousand_times():
    config: dict = {}
    for _ in range(900):
        config = {"model_type": "gemma3", "text_config": config}
    reads_or_refuses(config)
