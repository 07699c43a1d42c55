"""The report: complete, readable without a network or a script, in both languages, and no way in for what is pasted."""

from __future__ import annotations

import functools
import re
import xml.etree.ElementTree as ET
from datetime import date
from html.parser import HTMLParser
from itertools import cycle
from urllib.parse import urlencode

import pytest
from configurations import CONFIGURATIONS, HOSTILE, configured, files_of
from opened_app import metrics
from streamlit.testing.v1 import AppTest

from llmcalc.accuracy import compared, errors, measured_steps
from llmcalc.configuration import Configuration
from llmcalc.inputs import INPUTS
from llmcalc.link_text import link_parameters
from llmcalc.quantity import Quantity
from llmcalc.reference import formulas
from llmcalc.symbols import SYMBOLS
from llmcalc.tex import localized
from llmcalc.words import dictionary, locale, speak, w
from pages.content.report import report
from pages.ui.document.blocks import Document, Line, Paragraph, Section, Table, bar, code, linked, math, plain, said
from pages.ui.document.html import html, mathml, terms
from pages.ui.document.markdown import markdown
from pages.ui.words.numbers import error_share, exact, human
from pages.ui.words.standing import standing_said

LANGUAGES = ("en", "id")
EVERY = pytest.mark.parametrize("name", CONFIGURATIONS)
IN_BOTH_LANGUAGES = pytest.mark.parametrize("language", LANGUAGES)
DAY = date(2031, 2, 3)
PAGES_WITH_NUMBERS = ("explore", "parameters", "training", "fits", "serving", "scaling")


@pytest.fixture(autouse=True)
def _in_english():
    yield
    speak("en")


def link(config: Configuration) -> str:
    return f"http://localhost:8501/?{urlencode(link_parameters(config.values))}"


@functools.cache
def _made(name: str, language: str) -> tuple[Document, str]:
    config = CONFIGURATIONS[name]
    made = report(config, link(config), DAY)
    return made, html(made)


def document(name: str, language: str) -> Document:
    """A report, in a language that is spoken from now on."""
    speak(language)
    return _made(name, language)[0]


def in_html(name: str, language: str) -> str:
    """The same as a file."""
    speak(language)
    return _made(name, language)[1]


def tree(text: str) -> ET.Element:
    return ET.fromstring(text)


def text_of(root: ET.Element) -> str:
    """What a reader sees, with single spaces."""
    body = root.find("body")
    assert body is not None
    return re.sub(r"\s+", " ", " ".join(body.itertext()))


class Tags(HTMLParser):
    """Every element and attribute, as a browser's lenient parser finds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


@pytest.mark.parametrize(("name", "language"), list(zip(CONFIGURATIONS, cycle(LANGUAGES))))
def test_a_report_is_one_file_that_asks_for_nothing_and_runs_nothing(name, language):
    text = in_html(name, language)
    root = tree(text)
    assert root.get("lang") == language
    tags = Tags(text).found
    assert {tag for tag, _ in tags} == {element.tag for element in root.iter()}
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in tags:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "xmlns", "action")]
        assert "href" not in attributes or tag == "a"
    style = root.findtext("head/style") or ""
    assert not re.search(r"@import|url\(|https?:", style)
    assert {"prefers", "print"} & set(re.findall(r"@media (\w+)", style))
    elsewhere = re.sub(r'<a href="[^"]*">[^<]*</a>', "", text).replace(
        link(CONFIGURATIONS[name]).replace("&", "&amp;"), ""
    )
    assert "http" not in elsewhere


@EVERY
@IN_BOTH_LANGUAGES
def test_every_formula_of_a_report_is_mathml_with_something_in_it(name, language):
    found = list(tree(in_html(name, language)).iter("math"))
    assert len(found) > 50
    for formula in found:
        shown = "".join(formula.itertext())
        assert shown.strip()
        assert not set(shown) & set("\\{}$_^&"), shown


def test_every_formula_and_symbol_there_is_becomes_mathml_with_all_its_numbers():
    every = [latex for found in formulas().values() for f in found for latex in (f.symbol, f.tex)]
    every += [symbol.tex for symbol in SYMBOLS.values()]
    for config in CONFIGURATIONS.values():
        quantities = [config.model.parameters(), *config.model.components().values(), config.inference]
        quantities += [*config.step.moments.values(), *config.article.moments.values(), config.rank.peak]
        quantities.append(config.overhead.process(config.step.peak))
        for quantity in quantities:
            for _, q in quantity.walk():
                every += [q.symbol, q.working.symbols, q.working.values, q.working.result]
    every = list(dict.fromkeys(every))
    assert len(every) > 1_000
    for language in LANGUAGES:
        speak(language)
        for latex in (localized(latex, locale()) for latex in every):
            root = tree(f"<p>{mathml(latex)}</p>")
            shown = "".join(root.itertext())
            assert shown
            assert not set(shown) & set("\\{}$_^&"), latex
            numbers = [element.text for element in root.iter("mn")]
            assert numbers == re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"\\text\{[^}]*\}", "", latex).replace("{,}", ","))


def test_a_sum_is_taken_apart_only_outside_of_brackets():
    assert terms(r"a + \left(b + c\right) \cdot d + \frac{e + f}{2} + L(N + 1)") == [
        "a",
        r"+ \left(b + c\right) \cdot d",
        r"+ \frac{e + f}{2}",
        "+ L(N + 1)",
    ]


COMPARED = {"preset": "en", "changed, article's account": "id", "mixture": "en", "encoder": "id", "LoRA": "en"}


@pytest.mark.parametrize(("name", "language"), [*COMPARED.items(), ("preset", "id")])
def test_every_number_that_a_page_shows_in_a_frame_is_in_the_report_as_it_shows_it(name, language):
    config = CONFIGURATIONS[name]
    shown = text_of(tree(in_html(name, language)))
    app = AppTest.from_file("../app.py", default_timeout=600)
    for key, value in {**link_parameters(config.values), "lang": language}.items():
        app.query_params[key] = value
    app.run()
    for page in PAGES_WITH_NUMBERS:
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        assert metrics(app)
        for label, value in metrics(app).items():
            assert value in shown, f"{page}: {label}"


@EVERY
def test_a_report_tells_every_input_every_term_of_the_peak_and_every_source_of_a_working(name):
    config = CONFIGURATIONS[name]
    root = tree(in_html(name, "en"))
    shown = text_of(root)
    keys = [element.text for element in root.iter("code")]
    assert [key for key in keys if key in INPUTS] == list(INPUTS)
    for part in config.training.moments[config.training.peak_phase].parts:
        if part.value:
            assert exact(part.value) in shown
            assert human(part.value, "bytes") in shown
    *_, sources = root.iter("ul")
    listed = " ".join(sources.itertext())
    for element in root.iter("p"):
        if element.get("class") == "note" and (
            found := re.search(r"Source: (.*) (\d{4}), ", "".join(element.itertext()))
        ):
            assert f"{found[1]} {found[2]}," in listed
    assert DAY.isoformat() in shown


@EVERY
def test_a_number_stands_once_among_those_in_frames(name):
    (numbers,) = (block for block in document(name, "en").sections[0].blocks if isinstance(block, Table))
    titles = [row[0][0].text for row in numbers.rows]
    assert len(set(titles)) == len(titles) > 10
    assert titles[0] == dictionary("en")["parameters.total"]
    told = [title.partition(",")[0] for title in titles]
    assert dictionary("en")["explore.training_peak"].partition(",")[0] in told
    assert dictionary("en")["training.peak"] not in told, "the same under another name"


def test_a_report_says_what_was_changed_and_what_was_not():
    changed = CONFIGURATIONS["changed, article's account"]
    rows = {tuple("".join(cell.itertext()) for cell in row) for row in tree(html(report(changed, "", DAY))).iter("tr")}
    assert ("Layers", "12", "24") in rows
    assert ("How the training step is counted", "corrected", "article") in rows
    assert not [row for row in rows if row[0] == "Width" and len(row) == 3 and row[1] == "768"]
    assert "Nothing was changed" in text_of(tree(in_html("preset", "en")))


@pytest.mark.parametrize(("name", "family"), [("mixture", "mixtral"), ("preset", "nanogpt"), ("encoder", "bert")])
def test_a_report_says_how_far_off_the_measured_steps_of_the_same_code_are(name, family):
    shown = text_of(tree(in_html(name, "en")))
    rows = [row for row in measured_steps() if row.family == family]
    first, *_ = standing_said(CONFIGURATIONS[name].standing).replace("*", "").split("`")
    assert first in shown
    told = f"{len(rows)} training step{'s' if len(rows) > 1 else ''} of {family} code"
    assert (told in shown.replace(" , ", ", ")) == bool(rows)
    for what in ("saved", "peak"):
        share = rows and error_share(errors(map(compared, rows), "llmcalc", what).largest).replace("\xa0", " ")
        assert not rows or share in shown
    assert "46,702,792,704 parameters: difference 0." in text_of(tree(in_html("mixture", "en")))


def test_a_step_over_several_devices_is_told_with_its_layout():
    config = CONFIGURATIONS["latent attention, ZeRO-3"]
    shown = text_of(tree(in_html("latent attention, ZeRO-3", "en")))
    assert "ZeRO-3" in shown
    assert human(config.rank.peak.value, "bytes") in shown
    assert w("report.devices") in shown
    assert w("report.devices") not in text_of(tree(in_html("preset", "en")))


@IN_BOTH_LANGUAGES
def test_what_was_pasted_stays_text(language):
    made = document("pasted", language)
    text, written = html(made), markdown(made)
    assert "script" not in {tag for tag, _ in Tags(text).found}
    assert HOSTILE in text_of(tree(text))
    assert HOSTILE in written.replace("\\", "")
    outside_of_code = re.sub(r"(`+).+?\1", "", written)
    assert not re.search(r"(?<!\\)<(?!http|\?)", outside_of_code)


def test_a_writer_takes_nothing_for_markup_that_is_text():
    hostile = '<b onclick="x">&amp; *a* [b](javascript:0) `c` | $d$'
    lines: list[Line] = [plain(hostile), code(hostile), linked(hostile, 'http://x/?a="><b>&c=d')]
    made = Document(plain(hostile), "en", [Table([plain(hostile)], [[line] for line in lines], "l")], [])
    root = tree(html(made))
    assert ["".join(cell.itertext()) for cell in root.iter("td")] == [hostile] * 3
    assert root.findtext("head/title") == hostile
    assert [a.get("href") for a in root.iter("a")] == ['http://x/?a="><b>&c=d']
    rows = markdown(made).splitlines()[-3:]
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 2, "a bar would end the cell"
    assert r"\*a\* \[b\]" in rows[0]


def test_both_writers_write_all_of_a_document():
    blocks = [Paragraph(said("a **b** *c* `d` $e^{2}$")), Table([plain("h")], [[bar(0.5, "#000000|#ffffff")]], "r")]
    made = Document(plain("t"), "en", blocks, [Section(plain("s"), [Paragraph(math("x"), is_note=True)])])
    assert markdown(made) == ("# t\n\na **b** *c* `d` $e^{2}$\n\n| h |\n|--:|\n| ██████████ |\n\n## s\n\n$x$\n")
    body = html(made).split("<h1>")[1]
    assert "<p>a <strong>b</strong> <em>c</em> <code>d</code> <math" in body
    assert '<rect width="50.0%"' in body
    for name in CONFIGURATIONS:
        made = document(name, "en")
        page, text = tree(in_html(name, "en")), markdown(made)
        assert len(list(page.iter("h2"))) == len(re.findall("^## ", text, re.M)) == len(made.sections)
        assert len(list(page.iter("table"))) == len(re.findall(r"^\|[:\-|]+\|$", text, re.M))


@IN_BOTH_LANGUAGES
def test_the_sidebar_of_every_page_offers_the_report_and_writes_it_only_when_asked(language, monkeypatch):
    made = files_of(monkeypatch)
    app = AppTest.from_file("../app.py", default_timeout=600)
    for key, value in {"lang": language, "model": "Mixtral 8x7B", "batch_size": "2"}.items():
        app.query_params[key] = value
    app.run()
    counted = []
    monkeypatch.setattr("pages.ui.app.report.report", lambda *given: counted.append(1) or report(*given))
    for page in ("explore", "article", "method"):
        app.switch_page(f"pages/{page}.py").run()
        assert not made
        app.session_state["menu"] = "report"
        app.run()
        assert not app.exception
        assert list(made) == ["llmcalc-report-mixtral-8x7b.html", "llmcalc-report-mixtral-8x7b.md"]
        assert not counted
        last = dict(made)
        made.clear()
        app.session_state["menu"] = None
    speak("id" if language == "en" else "en")  # a file is made outside of the run, in the language of the run
    page_title = tree(last["llmcalc-report-mixtral-8x7b.html"]()).findtext("head/title")
    assert page_title == dictionary(language)["report.title"].format(name="Mixtral 8x7B")
    assert last["llmcalc-report-mixtral-8x7b.md"]().startswith(f"# {page_title}")
    assert len(counted) == 2


def test_a_number_too_large_for_any_machine_can_be_reported():
    huge = configured("GPT-2 124M", d_model=65_536, n_layers=1_000, batch_size=65_536, seq_len=1_048_576)
    assert human(huge.step.peak.value, "bytes") in text_of(tree(html(report(huge, "", DAY))))
    assert isinstance(huge.step.peak, Quantity)
