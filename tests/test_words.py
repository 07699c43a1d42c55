"""Everything that has an id has words, and there are no words without an id."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from llmcalc.article import article_parameters
from llmcalc.configuration import Configuration
from llmcalc.errata import ERRATA, EXAMPLE_STEPS, LAYER_TERMS, complete_parameters
from llmcalc.inputs import DEFAULTS, INPUTS
from llmcalc.reference import formulas
from llmcalc.training import ACCOUNTS
from pages.ui.palette import COLOURS
from pages.ui.shell import PAGES
from pages.ui.words import dictionary

ROOT = Path(__file__).parent.parent
LANGUAGES = [file.stem for file in (ROOT / "llmcalc" / "words").glob("*.toml")]
DRAWN = "\n".join(file.read_text() for file in [*ROOT.glob("pages/**/*.py"), ROOT / "app.py"])

FIGURES = (*ERRATA.values(), *EXAMPLE_STEPS, *LAYER_TERMS)


def shown_quantities():
    """Ids of all quantities that a page can open, at the default and with everything switched the other way."""
    other = {"gated": True, "tied_head": False, "norm": "RMSNorm", "attention": "eager", "n_kv_heads": 4}
    ids = {f.id for found in formulas().values() for f in found}
    for values in (DEFAULTS, DEFAULTS | other):
        config = Configuration(values)
        roots = [
            config.model.parameters(),
            config.model.non_embedding_parameters(),
            config.inference,
        ]
        shape = {key: values[key] for key in ("d_model", "n_layers", "vocab_size")}
        roots += [*config.model.components().values(), article_parameters(d_ff=1, **shape)]
        for count in ACCOUNTS.values():
            memory = count(config.dimensions, config.run)
            roots += [memory.peak, memory.activations, memory.steady_state, *memory.phases.values()]
        ids |= {q.id for root in roots for _, q in root.walk() if not q.is_given}
    errata = [figure.right() for figure in FIGURES]
    ids |= {q.id for root in (*errata, complete_parameters(tied_head=False)) for _, q in root.walk() if not q.is_given}
    return ids | {q.id for q in errata}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_id_has_words(language):
    words = dictionary(language)
    wanted = {f"inputs.{i}.{part}" for i in INPUTS for part in ("label", "help")}
    wanted |= {f"components.{c}" for c in COLOURS} | {f"pages.{p}.title" for p in PAGES}
    wanted |= {f"figures.{figure.id}" for figure in FIGURES} | {f"errata.{erratum}.why" for erratum in ERRATA}
    wanted |= {f"quantities.{q}" for q in shown_quantities()}
    wanted |= {f"modules.{m.removeprefix('llmcalc.').replace('.', '_')}" for m in formulas()}
    memory = [count(Configuration(DEFAULTS).dimensions, Configuration(DEFAULTS).run) for count in ACCOUNTS.values()]
    wanted |= {f"phases.{phase}" for m in memory for phase in m.phases}
    code = "".join(file.read_text() for file in ROOT.glob("llmcalc/**/*.py"))
    wanted |= {f"problems.{c}" for c in re.findall(r"code=\"(\w+)\"", code)}
    wanted |= {key for key in re.findall(r"\bw\(\s*\"([\w.]+)\"", DRAWN)}
    assert wanted - set(words) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_words_are_left_over(language):
    patterns = [re.escape(key) for key in re.findall(r"[\"']([a-z_]+\.[\w.]+)[\"']", DRAWN)]
    for quote in "\"'":
        for template in re.findall(rf"f{quote}([a-z_]+\.(?:[^{quote}{{]|{{[^}}{quote}]*}})*){quote}", DRAWN):
            pieces = re.split(r"({[^}]*})", template)
            patterns.append("".join(r"[\w.]+" if "{" in piece else re.escape(piece) for piece in pieces))
    used = re.compile("|".join(f"(?:{p})" for p in patterns))
    ids = {f"quantities.{q}" for q in shown_quantities()}
    left_over = {key for key in dictionary(language) if not used.fullmatch(key)}
    assert left_over == set()
    ids |= {f"figures.{figure.id}" for figure in FIGURES} | {f"errata.{erratum}.why" for erratum in ERRATA}
    listed = {key for key in dictionary(language) if key.startswith(("quantities.", "figures.", "errata."))}
    assert listed - ids == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_fills_in_the_same_values(language):
    for key, text in dictionary(language).items():
        fields = {field for _, field, *_ in string.Formatter().parse(text) if field}
        english = {field for _, field, *_ in string.Formatter().parse(dictionary("en")[key]) if field}
        assert fields == english, key
