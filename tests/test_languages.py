"""Whatever is drawn comes from ``llmcalc/words``: each page is drawn in a language whose every text is marked «so»."""

from __future__ import annotations

import functools
import html
import json
import re
import string
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from typing import Any

import pytest
from configurations import CONFIGURATIONS, HOSTILE
from google.protobuf.message import Message
from laws import some_of
from opened_app import copied_link, metrics, openers
from streamlit.testing.v1 import AppTest

from pages.ui.app.shell import PAGES
from llmcalc import words
from llmcalc.accuracy import all_compared, every_step, measured_steps
from llmcalc.accuracy.compare import compared
from llmcalc.accuracy.logs import served_logs
from llmcalc.accuracy.published_results import PUBLISHED_RESULTS
from llmcalc.accuracy.ranks import measured_ranks
from llmcalc.accuracy.reports import reports
from llmcalc.accuracy.speed import served_rates, served_runs
from llmcalc.bases import base
from llmcalc.catalog.accelerators import ACCELERATORS, readings
from llmcalc.catalog.formats import CACHE_FORMATS, GGUF_MIXTURES, WEIGHT_FORMATS
from llmcalc.catalog.grids import GRIDS
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.catalog.recipes import RECIPES
from llmcalc.configuration import Configuration
from llmcalc.errata import ERRATA, EXAMPLE_STEPS
from llmcalc.fit.take import FORMATS
from llmcalc.inputs import INPUTS, MODELS, PASTED
from llmcalc.lessons.chapters import CHAPTERS
from llmcalc.lessons.quiz import RIGHT
from llmcalc.reference import formulas
from llmcalc.scaling import LAWS
from llmcalc.scaling.published import TRAINED
from llmcalc.serving.job import ENGINES, Serving
from llmcalc.serving.snippets import serving_snippets
from llmcalc.step.run import TrainingRun
from llmcalc.stored.weights import stored_weights
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.norm import NORMS
from llmcalc.units import ENGLISH, GiB, Locale, human
from llmcalc.version import VERSION
from pages.accuracy import left_by
from pages.content.report import report
from pages.ui.app import state
from pages.ui.app.controls import MENUS
from pages.ui.app.lesson import key_of
from pages.ui.document.blocks import Block, Bullets, Line, Paragraph, Table, Working

REAL = words.dictionary
# What has no text for the reader in it, in the elements that Streamlit sends to the browser
TECHNICAL = {"id", "form_id", "query_param_key", "type", "icon", "tag", "config", "format", "theme", "page", "shortcut"}
TECHNICAL |= {"page_script_hash", "raw_value", "raw_values", "code_text", "language", "default", "spec"}
TECHNICAL |= {"columns", "column_order"}  # of a table: keys and formats around its headings
PLOTLY_TEXTS = {"name", "text", "ticktext", "hovertemplate", "customdata", "labels", "x", "y", "ticksuffix"}
# Names, which are the same in every language
CATALOG = (GRIDS, ACCELERATORS, CACHE_FORMATS, WEIGHT_FORMATS, OPTIMIZERS, PRECISIONS, NORMS, RECIPES)
NAMES = {*MODELS, *GGUF_MIXTURES, *(name for rows in CATALOG for name in rows), *INPUTS, "Qwen/Qwen3-8B"}
NAMES |= {text for model in MODELS if model != PASTED for text in (base(model).group, base(model).source)}
NAMES |= {str(f.source) for found in formulas().values() for f in found}
NAMES |= {str(row.source) for rows in (WEIGHT_FORMATS, PUBLISHED_RESULTS, RECIPES) for row in rows.values()}
NAMES |= {str(part.source) for name in WEIGHT_FORMATS for _, part in stored_weights(Dimensions().model(), name).walk()}
NAMES |= {text for row in RECIPES.values() for text in (row.source.work.title, row.source.place)} | {*FORMATS}
NAMES |= {str(reading.source) for found in readings().values() for reading in found}
NAMES |= {str(f.right().source) for f in (*ERRATA.values(), *EXAMPLE_STEPS)}
NAMES |= {str(line.source) for e in ENGINES for line in serving_snippets("a", Serving(engine=e))}
NAMES |= {row.name for row in TRAINED} | {str(law.source) for law in LAWS.values()}
assert all(re.search("[A-Za-z]", name) for name in NAMES if name)
NAMES = frozenset(NAMES)
MARKUP = (
    r"\$[^$]*\$", r"`[^`]*`", r"\]\([^)]*\)", r"<sub>.*?</sub>", r"<[^>]*>", r"%?\{[^{}]*\}",
    r":material/\w+:", r":green\b(?!-)", r":small", r"&\w+;", r"\b[a-z]+_\w+", r":[a-z]+-badge", r"\b[0-9a-f]{32}\b",
)  # fmt: skip
# Measured steps, and the table of plans, are told in the package's own words: what one would type
RUN_NAMES = {row.model for row in measured_steps()}
RUN_NAMES |= {
    option for id in ("attention", "recompute", "loss", "lora_targets", "lora_base") for option in INPUTS[id].options
}
RUN_NAMES |= {"recompute", "loss", "keep_logits", *(f"dropout={row.training_run.dropout}" for row in measured_steps())}
RUN_NAMES |= {value for row in every_step() for value in row.run.values() if isinstance(value, str)}
RUN_NAMES |= {"set_to_none=False", "gradient_accumulation", "lora_rank"}
RUN_NAMES |= {module for row in measured_steps() for module in row.training_run.lora_targets}
RUN_NAMES |= {f.name for f in fields(TrainingRun)} | {"lora_precision=same", "weight_decay=0.01"}
RUN_NAMES |= {row.engine for row in served_runs()} | {row.set for row in served_rates()}
RUN_NAMES |= {text for log in served_logs() for text in (log.model, log.library, log.build_of, log.source)}
RUN_NAMES |= {row.framework for row in measured_ranks()}
RUN_NAMES |= {text for row in reports() for text in (row.framework, row.model, row.device, str(row.source))}
IN_PACKAGE_WORDS = {"accuracy": RUN_NAMES, "cluster": set(INPUTS["recompute"].options)}
UNITS = r"\b([KMGTPE]iB|GB|B|ms|ns|min|[kMGTP]?FLOP|[kMGT]Wh|kg|kt|Mt|ribu|juta|miliar|triliun|hari|jam|menit)\b"
OPENED = ["parameters_working", "peak_working", "misprint_working"]
OPENED += [*(f"working_{letter}" for letter in "bcdefgi"), "download"]
OPENED += ["technique_knobs", "all_formats"]
OPENED += [f"{section}_working" for section in ("quantization", "cache", "pruning", "distillation")]


def marked(text: str) -> str:
    """A text with every piece between its values marked; a paragraph and a line of a list each by itself."""
    return re.sub(r"^(- )?(.+)$", lambda line: (line[1] or "") + marked_line(line[2]), text, flags=re.MULTILINE)


def marked_line(text: str) -> str:
    pieces = list(string.Formatter().parse(text.replace("{,}", ",")))
    if not any(field for _, field, _, _ in pieces):
        return f"«{text}»"
    found = ""
    for literal, field, spec, _ in pieces:
        found += f"«{literal.replace('{', '{{').replace('}', '}}')}»" if literal else ""
        if spec and "|" in spec:
            spec = re.sub(r"[^#|]*[^#| ][^#|]*", lambda words: f"«{words[0]}»", spec)
        found += f"{{{field}{':' if spec else ''}{spec or ''}}}" if field else ""
    return found


@pytest.fixture
def marked_words(monkeypatch):
    """Indonesian is English with marks, and Indonesian numbers."""
    pseudo = {key: text if key.startswith("numbers.") else marked(text) for key, text in REAL("en").items()}
    pseudo |= {key: text for key, text in REAL("id").items() if key.startswith("numbers.")}
    monkeypatch.setattr(words, "dictionary", lambda language: pseudo if language == "id" else REAL(language))
    _forget_what_was_said()
    yield
    _forget_what_was_said()


def _forget_what_was_said():
    """What is kept in the words that it was said in: of configurations, and of the measured steps."""
    for kept in (state._configuration, left_by, all_compared, compared):
        kept.cache_clear()


def opened(page: str, link: dict[str, str], state: dict[str, Any]) -> AppTest:
    """A page in Indonesian, every working opened."""
    app = AppTest.from_file("../app.py", default_timeout=600)
    for key, value in {"lang": "id", **link}.items():
        app.query_params[key] = value
    app.switch_page(f"pages/{page}.py")
    for key, value in ({key: True for key in OPENED} | state).items():
        app.session_state[key] = value
    app.run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def strings_of(message: Message) -> Iterator[str]:
    """Every text of an element that a reader can see."""
    for field, value in message.ListFields():
        for item in value if field.is_repeated else [value]:
            if isinstance(item, Message):
                yield from strings_of(item)
            elif isinstance(item, str) and field.name == "spec":
                yield from plotly_strings(json.loads(item))
            elif isinstance(item, str) and field.name not in TECHNICAL:
                yield item


def plotly_strings(value: Any, visible: bool = False) -> Iterator[str]:
    """Every text of a figure that a reader can see."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from plotly_strings(inner, key in PLOTLY_TEXTS)
    elif isinstance(value, list):
        for inner in value:
            yield from plotly_strings(inner, visible)
    elif isinstance(value, str) and visible:
        yield value


def drawn(app: AppTest) -> Iterator[str]:
    """Every text on the screen, of whatever element; not the inputs behind controls that show words."""
    for root in app._tree.children.values():
        for node in root:
            proto = getattr(node, "proto", None)
            hidden = proto is None or f"options.{getattr(proto, 'query_param_key', '')}" in with_named_options()
            if not hidden and proto.DESCRIPTOR.name not in ("Html", "BidiComponent"):  # scripts
                yield from strings_of(proto)


def with_named_options() -> set[str]:
    return {key.rsplit(".", 1)[0] for key in REAL("en") if key.startswith("options.")}


@functools.cache
def any_of(names: frozenset[str]) -> re.Pattern[str]:
    """A pattern of these names as whole words."""
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, sorted(filter(None, names), key=len, reverse=True)))})(?!\w)")


@functools.cache
def unmarked(text: str, names: frozenset[str] = frozenset()) -> str:
    """What is left of a text without marked pieces, markup, names and units."""
    text, pieces = html.unescape(text), 1
    while pieces:  # the innermost first
        text, pieces = re.subn(r"«[^«»]*»", " ", text, flags=re.DOTALL)
    if re.search("[A-Za-z]", text):  # every name has a letter, and looking for thousands of names takes long
        text = any_of(NAMES | names).sub(" ", text)
    for pattern in (*MARKUP, UNITS):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return text


EVERY_SWITCH = {"model": "Mixtral 8x7B", "precision": "amp_fp8", "recompute": "full", "loss": "fused"}
EVERY_SWITCH |= {"optimizer": "adamw_8bit", "set_to_none": "false", "lora_rank": "8", "lora_base": "NF4"}
EVERY_SWITCH |= {"gradient_accumulation": "4", "data_parallel": "2", "zero_stage": "3", "tensor_parallel": "2"}
EVERY_SWITCH |= {"sequence_parallel": "true", "pipeline_parallel": "2", "interleave": "2", "context_parallel": "2"}
EVERY_SWITCH |= {"expert_parallel": "2", "offload_optimizer": "true"}
PLAIN = {"precision": "fp32", "attention": "eager", "loss": "plain"}
TECHNIQUE_SCENES = [
    (EVERY_SWITCH, {"mix_working": "lora"}),
    (EVERY_SWITCH, {"mix_working": "offload"}),
    (PLAIN, {}),
    ({"accelerator": "TPU v5e"}, {}),
    ({"model": "BERT base (encoder)"}, {"mix_working": "precision"}),
    ({"technique": "quantization", "weight_format": "GGUF Q4_K_M", "model": "Llama 3 8B"}, {}),
    ({"technique": "quantization", "weight_format": "NF4"}, {}),
    ({"technique": "quantization"}, {}),
    ({"technique": "cache", "model": "DeepSeek-V3 671B"}, {}),
    ({"technique": "cache", "model": "Mistral 7B v0.1"}, {}),
    ({"technique": "cache", "model": "BERT base (encoder)"}, {}),
    *(({"technique": "pruning", "pruning": pruning}, {}) for pruning in INPUTS["pruning"].ends),
    ({"technique": "distillation"}, {}),
    ({"technique": "distillation", "model": "Llama 3 8B"}, {}),
]

SCENES = [(page, {}, {}) for page in PAGES]
MORE_SCENES = [
    ("learn", {"chapter": number}, {key_of(q): answer for q in chapter.questions})
    for number, chapter in CHAPTERS.items()
    for answer in (RIGHT, "everything_doubles")
]
MORE_SCENES += [
    ("parameters", {"model": "T5 small"}, {}),
    ("parameters", {"model": "Llama 4 Scout"} if "Llama 4 Scout" in MODELS else {"model": "Mixtral 8x7B"}, {}),
    ("parameters", {"model": "DeepSeek-V3 671B"}, {}),
    ("explore", {"model": "BERT base (encoder)"}, {}),
    ("explore", {"n_heads": "10", "foo": "1", "d_ff": "x", "n_layers": "0.5", "v": "7", "lang": "id"}, {}),
    ("explore", {"batch_size": "65536", "seq_len": "1048576", "attention": "eager"}, {}),
    ("explore", {"model": "Llama 3 8B", "n_heads": "30", "n_layers": "16"}, {}),
    ("explore", {"model": PASTED, "config": "{nonsense"}, {}),
    ("training", {"account": "article", "attention": "eager"}, {}),
    ("training", {"batch_size": "40", "attention": "eager"}, {"savings": True, "overhead_working": True}),
    ("training", {"model": "Llama 3.1 405B"}, {"savings": True}),
    ("scaling", {"curve": "performance"}, {}),
    ("compare", {"compare": "Llama 3 8B;n_layers=40|Mixtral 8x7B|Mixtral 8x7B"}, {"compare_working": 0}),
    ("compare", {"compare": "7"}, {}),
    ("method", {}, {"method_search": "0 0"}),
    *(("techniques", link, state) for link, state in TECHNIQUE_SCENES),
    ("explore", {"present": "true", "n_heads": "10"}, {"stage_qr": True}),
    *(
        ("explore", {}, {"more_of_explore": f"explore.{part}"})
        for part in ("article_difference", "formats", "all_working")
    ),
    *(("explore", {}, {"menu": menu}) for menu in MENUS),
    ("article", {"present": "true"}, {"menu": "link"}),
]


SCENES += [pytest.param(*scene, marks=pytest.mark.slow) for scene in MORE_SCENES]


@pytest.mark.parametrize(("page", "link", "state"), SCENES)
def test_every_text_that_is_drawn_comes_from_words(marked_words, page, link, state):
    texts, named = set(drawn(opened(page, link, state))), frozenset(IN_PACKAGE_WORDS.get(page, ()))
    assert any("«" in text for text in texts)
    found = {text: left for text in texts if (left := re.findall(r"[a-zA-Z]{2,}", unmarked(text, named)))}
    assert not found, "on the screen, but not in llmcalc/words"
    prose = {text: unmarked(re.sub(r"\w+=[^\s«]+", "", text), named) for text in texts}  # settings are Python's
    english = {text for text, left in prose.items() if re.search(r"\d\.\d{1,2}(?!\d)|\d,\d{3},\d", left)}
    assert not {text for text in english if VERSION not in text}, "numbers that are written in the English way"


@pytest.mark.parametrize("page", some_of((*PAGES, "cluster of 8"), 3))
def test_every_number_opens_its_working_in_the_readers_words(marked_words, page):
    page, _, devices = page.partition(" of ")
    app = opened(page, {"n_devices": devices} if devices else {}, {})
    for label in openers(app):
        openers(app)[label].click().run()
        assert not app.exception, [e.value for e in app.exception]
        (dialog,) = app.get("dialog")
        assert dialog.proto.dialog.title == label
        texts = [markdown.value for markdown in dialog.markdown]
        assert any("«Source»" in text for text in texts)
        assert not [
            left
            for text in texts
            if (left := re.findall(r"[a-zA-Z]{2,}", unmarked(text, frozenset(IN_PACKAGE_WORDS.get(page, ())))))
        ]


@pytest.mark.parametrize("name", some_of(CONFIGURATIONS, 2))
def test_every_text_of_a_report_comes_from_words(marked_words, name):
    words.speak("id")
    # one of its own: what others had told of one keeps the words that it was told in
    document = report(Configuration(CONFIGURATIONS[name].values), "http://localhost/", date(2031, 2, 3))
    words.speak("en")
    *told, _ = document.sections  # the last are titles of works
    blocks = [*document.opening, *(block for section in told for block in section.blocks)]
    texts = {"".join(span.text for span in line if span.kind in SAID) for block in blocks for line in lines_of(block)}
    texts |= {section.title[0].text for section in document.sections} | {document.title[0].text}
    assert sum("«" in text for text in texts) > 50
    named = frozenset({row.family for row in measured_steps()} | {device.vendor for device in ACCELERATORS.values()})
    named |= RUN_NAMES | {"bert", "t5", "http", "localhost", HOSTILE}
    found = {text for text in texts if re.search(r"[a-zA-Z]{2,}", unmarked(text, named))}
    assert not found, "in the report, but not in llmcalc/words"
    prose = {text: unmarked(re.sub(r"\w+=[^\s«]+", "", text), named) for text in texts}  # settings are Python's
    english = {text for text, left in prose.items() if re.search(r"\d\.\d{1,2}(?!\d)|\d,\d{3},\d", left)}
    assert not english, "numbers that are written in the English way"


SAID = ("plain", "bold", "emphasis")


def lines_of(block: Block) -> Iterator[Line]:
    """Every line of a part of a document."""
    match block:
        case Paragraph(line):
            yield line
        case Bullets(lines):
            yield from lines
        case Table(head, rows):
            yield from head
            yield from (cell for row in rows for cell in row)
        case Working(name, steps, source):
            yield from (name, *steps, source)


def test_the_marks_find_a_text_that_does_not_come_from_words():
    assert "forgotten" in unmarked("«Parameters» of forgotten $N_\\text{x}$")


def test_numbers_are_written_as_the_language_writes_them():
    numbers = Locale(",", ".", ("triliun", "miliar", "juta", "ribu"), ("hari", "jam", "menit"))
    assert human(8_030_261_248, "parameters", numbers) == "8,03 miliar"
    assert human(16.5 * GiB, "bytes", numbers) == "16,5 GiB"
    assert human(5000 * 2**60, "bytes", numbers) == "5.000 EiB"
    # A "d" is no abbreviation of hari, and could be one of detik, a second
    times = [human(seconds, "s", numbers) for seconds in (605_664, 9_000, 90, 1.5, 0.0015)]
    assert times == ["7,01 hari", "2,50 jam", "1,50 menit", "1,50 s", "1,50 ms"]
    assert (human(168, "h", numbers), human(168, "h"), human(605_664, "s")) == ("168 jam", "168 h", "7.01 d")
    assert words.locale() == ENGLISH
    words.speak("id")
    assert words.locale() == numbers
    words.speak("en")


def test_the_browser_chooses_the_language_and_the_link_wins_over_it():
    for locale, link, language in (
        ("id-ID", {}, "id"),
        ("in", {}, "id"),
        ("de-DE", {}, "en"),
        ("id", {"lang": "en"}, "en"),
        ("en-US", {"lang": "id"}, "id"),
        ("id", {"lang": "xx"}, "id"),
    ):
        app = AppTest.from_file("../app.py", default_timeout=600)
        app.context["locale"] = locale
        for key, value in link.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception
        assert app.session_state["lang"] == language
        assert next(iter(metrics(app))) == REAL(language)["explore.parameters"]


def test_another_language_changes_nothing_else():
    link = {"d_model": "1600", "n_heads": "25", "account": "article", "alpha": "0.05", "compare": "Yi 6B"}
    app = opened("compare", link, {})
    before = {key: app.session_state[key] for key in INPUTS if key != "lang"}
    app.session_state["lang"] = "en"
    app.run()
    assert not app.exception
    assert app.header[0].value == REAL("en")["compare.header"]
    assert {key: app.session_state[key] for key in INPUTS if key != "lang"} == before
    copied = copied_link(app)
    assert "lang=en" in copied
