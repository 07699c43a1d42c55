"""Links that nobody should send: every input, and every kind of value that a reader or a program may put there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

from pages.ui.app.shell import PAGES
from llmcalc.inputs import INPUTS, MODELS, PASTED
from llmcalc.kinds import Choice, Integer, Real
from llmcalc.link_text import written

NUMBERS = (
    *("inf", "-inf", "nan", "1e400", "-1e400", "1e99", "9" * 5_000, "1e3", "3.7", "-1", "0", "-0", "+5", " 7 ", "1e-9"),
    *("1_000", "1,000", "1.000,5", "0x10", "0b1", "1e", ".5", "5.", "--5", "١٢", "１２", "½", "1e+3", "1" + "0" * 400),
    *(
        "-nan",
        "+inf",
        "Infinity",
        "-0.0",
        "1e309",
        "-1e309",
        "5e-324",
        "1e-400",
        "0e99999",
        "1e999999999",
        "2147483648",
    ),
    *("9007199254740993", "18446744073709551616", "−5", "1٫5", "²", "Ⅻ", "∞", "1__0", "1\u00a0000", "0" * 4_301, "1e٣"),
)
MARKUP = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "`code`", "``", "**bold**", "a`b\n\n# heading"),
    *("![x](http://example.org/x.png)", "[x](javascript:alert(1))", "$\\frac{1}{0}$", ":red[x]", ":material/home:"),
    *("| a | b |", "</textarea>", "{0}", "{given}", "%s%n", "&amp;", "\\", "'", '"', ";", "|"),
)
OTHER = (
    *("", " ", "\0", "a\0b", "\n", "\t", "None", "null", "true", "TRUE", "false", "yes", "[]", "{}", "undefined", "en"),
    *("x" * 300, "é" * 5_000, "\u202eabc", "\ufeff", "🧮" * 100, "../../etc/passwd", "unknown", "--help", "NaN"),
)
RAW = (
    *("1%00", "%00%00", "1%0A", "1%0D%0Ax", "%EF%BB%BF1", "%E2%80%8B1", "1;n_layers=2", "1&&", "[1]", "1,2", "%2525"),
    *("%", "%%", "%zz", "%FF%FE", "%ED%A0%80", "%00", "%u0041", "+", "=", "a=b=c", "%26", "%C0%AF", "#"),
)
VALUES = NUMBERS + MARKUP + OTHER
CONFIGS = (
    *("", "{", "}", "[]", "null", "1", '"text"', "NaN", "Infinity", "[" * 9_000, '{"a":' * 3_000, "{" * 20_001),
    *(
        '{"model_type": NaN}',
        '{"model_type": ""}',
        '{"model_type": null}',
        '{"model_type": ["llama"]}',
        "\0",
        "\ufeff{}",
    ),
    *(
        f'{{"model_type": "llama", "hidden_size": {n}}}'
        for n in ("NaN", "1e400", "-1", "0", "9" * 5_000, "true", "4.5")
    ),
    *(f'{{"model_type": "llama", "num_hidden_layers": {n}}}' for n in ('"12"', "[1]", "{}", "null", "10000000", "1e3")),
    *(json.dumps({"model_type": text, "hidden_size": 64, "vocab_size": 100}) for text in MARKUP),
    *(
        f'{{"model_type": "{text}"}}'
        for text in ("\\ud800", "\\u0000", "x" * 5_000, "llama\\n", "LLAMA", "gpt2\\ud83d")
    ),
    '{"model_type": "llama", "text_config": {"text_config": {"model_type": "llama"}}}',
    '{"model_type": "llama", "rope_scaling": {"type": "\\ud800"}, "layer_types": ["\\ud800"]}',
    '{"model_type": "mixtral", "num_local_experts": 0}',
    '{"model_type": "llama", "model_type": "gpt2", "n_embd": "\\ud800"}',
    json.dumps({"model_type": "llama", **{f"key{i}": i for i in range(1_000)}}),
)
PINNED = (
    *("No such model", "Llama 3 8B|No such model|Mixtral 8x7B", "|" * 500, ";" * 500, "\\", "|;|;|", "GPT-2 124M;=;="),
    *("Llama 3 8B;n_layers=inf", "Llama 3 8B;n_layers=1;n_layers=2", "Llama 3 8B;n_heads=7", "Llama 3 8B;gated=true"),
    *("|".join(["GPT-2 124M"] * 9), "GPT-2 124M;d_ff=;positions=", f"{PASTED};{{", f"{PASTED};[];n_layers=2"),
    *(f'{PASTED};{{"model_type": "\\\\ud800"}}', "Llama 3 8B;<b>=1", "GPT-2 124M;n_layers=" + "9" * 4_400),
)
# What the app and its host keep under these names is no input, and a link must not reach it
INSIDE = (
    *("reader", "drawing_seen", "link_problems", "menu"),
    *(
        "model_twin",
        "d_model_slider",
        "recompute_seen",
        "group_on_explore",
        "went_back",
    ),
    *(
        "purpose_here",
        "presented_explore",
        "moment_step",
        "pasted",
        "uploaded",
        "hub_id",
        "method_search",
        "lesson_part",
    ),
    *(
        "query_params",
        "page",
        "__class__",
        "self",
        "key",
        "",
        " ",
        "D_MODEL",
        "d_model ",
        "d_model[]",
        "x.y",
        "<b>",
        "`k`",
    ),
)
# Ways to write an input's name, or to name several of it
KEYS = (
    "{}[]",
    "{}%5B0%5D",
    "{}%00",
    "%00{}",
    "{}.x",
    "{}%20",
    "{}%0A",
    "{}=",
    "{}[{}]",
    "&{}",
    "{}%C3",
    "__{}",
    "{}_slider",
)
HOST = ("embed", "embed_options", "EMBED", "Embed_Options", "v")
SMALLEST = (
    *("?n_layers=inf", "?recompute=", "?lang=", "?positions=", "fits?global_batch=inf", "?d_model=64&d_model=128"),
    *("?model=", "?present=", "learn?chapter=", "?config=&model=config.json", "compare?compare=Nope", "?d_ff=nan&v="),
)


def links(seed: int, number: int) -> Iterator[tuple[str, str]]:
    """Pages, and what stands behind the question mark."""
    random = Random(seed)
    for _ in range(number):
        if random.random() < 0.1:
            pairs = [f"{key}={quote(written(value))}" for key, value in _ends(random).items()]
        else:
            pairs = [_pair(random) for _ in range(random.choice((1, 1, 2, 3, 5, 12)))]
        if random.random() < 0.1:
            pairs += [f"x{i}=1" for i in range(random.choice((3, 300, 900, 1_200)))]
        yield random.choice(("", *PAGES)), "&".join(pairs)


def ends(seed: int, number: int) -> Iterator[dict[str, Any]]:
    """Values that no input refuses: each of some inputs as far as it goes, of whatever model."""
    random = Random(seed)
    for _ in range(number):
        yield _ends(random)


def _ends(random: Random) -> dict[str, Any]:
    keys = [key for key in INPUTS if key not in ("model", "config", "compare")]
    chosen = random.sample(keys, random.randint(6, len(keys)))
    model = random.choice([model for model in MODELS if model != PASTED])
    return {"model": model} | {key: random.choice((*INPUTS[key].ends, _valid(random, key))) for key in chosen}


def _pair(random: Random) -> str:
    kind = random.random()
    if kind < 0.04:
        key = random.choice(list(INPUTS))
        return f"{random.choice(KEYS).format(key, key)}={quote(random.choice((*VALUES, _valid(random, key))))}"
    if kind < 0.06:
        key, number = random.choice(list(INPUTS)), random.choice((3, 40, 1_200))
        return "&".join(f"{key}={quote(random.choice((*VALUES, _valid(random, key))))[:400]}" for _ in range(number))
    kind = random.random()
    if kind < 0.08:
        config = f"config={quote(random.choice(CONFIGS))}"
        return config if random.random() < 0.2 else f"model={PASTED}&{config}"
    if kind < 0.14:
        return f"compare={quote(random.choice(PINNED))}"
    if kind < 0.20:
        return f"{quote(random.choice((*INSIDE, *HOST)))}={quote(random.choice(VALUES))}"
    key = random.choice(list(INPUTS))
    value = quote(random.choice((_valid(random, key), *random.choices(VALUES, k=4))))
    if random.random() < 0.06:
        value = random.choice(RAW)
    pair = f"{key}={value}" if random.random() < 0.98 else key
    return pair if random.random() < 0.94 else f"{pair}&{key}={quote(random.choice(VALUES))}"


def _valid(random: Random, key: str) -> str:
    match declared := INPUTS[key]:
        case Integer():
            return str(random.choice((declared.low, declared.high, random.randint(declared.low, declared.high))))
        case Real():
            return f"{random.uniform(declared.low, declared.high)}"
        case Choice():
            return random.choice(declared.options)
    return random.choice(("true", "false", random.choice(MODELS)))
