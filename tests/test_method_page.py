"""Method: every formula stands in a section, what one asks first comes first."""

from __future__ import annotations

from opened_app import opened

from llmcalc.reference import formulas
from llmcalc.words import w
from pages.content.method import ASKED_FIRST, in_sections


def test_every_formula_is_in_one_section_in_the_order_in_which_one_asks():
    found = in_sections(formulas())
    assert list(found) == list(ASKED_FIRST)
    told = [module for modules in found.values() for module in modules]
    assert sorted(told) == sorted(formulas())
    assert [next(iter(modules)) for modules in found.values()][:3] == [
        *("llmcalc.transformer.model", "llmcalc.step.state", "llmcalc.serving.held"),
    ]


def test_no_section_names_what_is_not_there():
    names = [name.removeprefix("llmcalc.") for name in formulas()]
    for prefix in (prefix for prefixes in ASKED_FIRST.values() for prefix in prefixes):
        assert any(f"{name}.".startswith(f"{prefix}.") for name in names), prefix


def test_the_page_explains_its_letters_first_and_a_search_shows_the_sections_in_which_something_is_found():
    app = opened("method")
    assert app.expander[0].label.startswith(w("method.nomenclature"))
    assert [head.value for head in app.subheader] == [w(f"method.section_{section}") for section in ASKED_FIRST]
    app.text_input(key="method_search").set_value("adamw").run()
    assert w("method.section_training") in [head.value for head in app.subheader]
    assert len(app.subheader) < len(ASKED_FIRST)
