"""Whose memory a number is of: where there are several devices, every page and the report say so beside it."""

from __future__ import annotations

import re
from datetime import date

import pytest
from configurations import configured
from opened_app import charts, metrics, opened

from llmcalc.accuracy import ESTIMATE, LABELS
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.link_text import written
from llmcalc.words import w
from pages.content.report import report
from pages.ui.document.blocks import Paragraph, Table
from pages.ui.document.html import html
from pages.ui.document.markdown import markdown
from pages.ui.words.numbers import human, percent, signed

FOUR = {"model": "Llama 3 8B", "n_devices": 4, "zero_stage": 2, "seq_len": 8192, "batch_size": 1, "recompute": "full"}
FOUR |= {"accelerator": "A100 80GB SXM"}
EACH, ONE = "on each of 4", "as on one device"
COUNTED = {"each": {}, "one": {"counted_on": "one"}, "article": {"account": "article"}}
every_count = pytest.mark.parametrize("counted", COUNTED)
OF_TRAINING = ("Steady state", "Activations kept for backward", "Peak")


def page(name, **changes):
    """A page with Llama 3 8B's step laid out over four devices."""
    return opened(name, {key: written(value) for key, value in (FOUR | changes).items()})


def config(**changes):
    """What such a page draws."""
    values = FOUR | changes
    return configured(values.pop("model"), **values)


def texts(app):
    """All that is written on a page."""
    return [element.value for kind in (app.main.markdown, app.caption, app.subheader, app.header) for element in kind]


def badges(app):
    """The words of the badges before the small print, and in the verdict."""
    said = re.compile(r":\w+-badge\[(\w+)\]")
    verdict = next(text for text in texts(app) if "is PyTorch's" in text)
    (note,) = (text for text in texts(app) if re.match(r":\w+-badge\[\w+\] :small", text))
    return said.search(verdict)[1], said.match(note)[1]


@pytest.mark.parametrize(
    "link",
    [
        {"model": "Llama 3 8B", "n_devices": 4, "zero_stage": 2, "counted_on": "one", "precision": "fp32"},
        {"account": "article", "batch_size": 80},
    ],
)
def test_the_label_under_the_map_is_that_of_the_verdict(link):
    app = opened("fits", {key: written(value) for key, value in link.items()})
    verdict, note = badges(app)
    assert verdict == note
    assert verdict in {w(f"accuracy.called_{label}") for label in LABELS}
    assert not [text for text in texts(app) if "The article's formula" in text]
    assert "n_devices" not in link or note == ESTIMATE


@every_count
def test_headline_numbers_of_training_say_whose_they_are(counted):
    shown, expected = metrics(page("training", **COUNTED[counted])), config(**COUNTED[counted])
    scope = EACH if counted == "each" else ONE
    assert {f"{label}, {scope}" for label in OF_TRAINING} | {f"What nvidia-smi shows, {EACH}"} == set(shown)
    assert shown[f"Peak, {scope}"] == human(expected.training.peak.value, "bytes")
    assert f"Training, peak, {scope}" in metrics(page("explore", **COUNTED[counted]))


@pytest.mark.parametrize("name", ["training", "fits", "explore"])
def test_on_one_device_nothing_is_said_of_several(name):
    app = opened(name, {"model": "Llama 3 8B"})
    assert not [text for text in [*texts(app), *metrics(app)] if ONE in text or "each of" in text]


@every_count
def test_headings_say_what_is_below_them(counted):
    heads = [text.value for text in page("training", **COUNTED[counted]).subheader]
    scope = EACH if counted == "each" else ONE
    assert heads == [
        "How it is trained",
        f"What would make it fit, {EACH}",
        f"What would it take, {EACH}",
        f"Preferences, rewards, torch.compile, {ONE}",
        "To run it",
        f"Term by term, {scope}",
        f"Allocated, reserved, and what nvidia-smi shows, {EACH}",
        f"The article's formula beside it, {ONE}",
    ]


@every_count
def test_a_sentence_says_what_the_page_shows_and_of_what_the_rest_is(counted):
    for name in ("explore", "training"):
        told = " ".join(element.value for element in page(name, **COUNTED[counted]).caption)
        assert f"**{EACH}**" in told
        assert (f"**{ONE}**" in told) == (counted != "each")
        assert ("article's account" in told) == (counted == "article")
        assert ("are those of the whole model" in told) == (name == "explore")
        assert "The numbers and charts of this page" not in told


def test_what_one_device_would_hold_is_labelled_where_it_stands_beside_the_article():
    # 8,030,261,248 weights of 16 bytes each and more: no quarter of it, as the headline
    one = config().step
    (table,) = [text for text in texts(page("training")) if "Article / corrected" in text]
    assert f"| Corrected, {ONE} |" in table
    assert one.peak.value > 1.4 * config().training.peak.value
    assert human(one.peak.value, "bytes") in table
    (section,) = [s for s in report(config(), "", date(2031, 2, 3)).sections if "article" in s.title[0].text]
    heads = [[head[0].text for head in block.head] for block in section.blocks if isinstance(block, Table)]
    assert f"Corrected, {ONE}" in heads[1]


@every_count
def test_a_report_says_whose_memory_each_number_is(counted):
    made = report(config(**COUNTED[counted]), "", date(2031, 2, 3))
    scope = EACH if counted == "each" else ONE
    titles = [section.title[0].text for section in made.sections]
    assert f"Memory of a training step, {scope}" in titles
    (numbers,) = (block for block in made.sections[0].blocks if isinstance(block, Table))
    labels = {row[0][0].text for row in numbers.rows}
    assert {f"Steady state, {scope}", f"Training, peak, {scope}", f"What nvidia-smi shows, {EACH}"} <= labels
    told = ["".join(span.text for span in b.line) for b in made.sections[0].blocks if isinstance(b, Paragraph)]
    assert [text for text in told if scope in text and "whole model" in text]
    (fits,) = (section for section in made.sections if section.title[0].text == "What fits")
    tables = [block for block in fits.blocks if isinstance(block, Table)]  # training's, and inference's
    solved = [[EACH in head[0].text for head in table.head] for table in tables]
    assert solved == [[False, False, True, True], [False, False, False, False]]


def test_what_is_solved_for_says_that_it_is_of_each_device():
    app = page("fits")
    assert any("on each of 4 × A100 80GB SXM" in text for text in texts(app)[:2])  # the verdict says where
    assert {f"Largest batch at length 8,192, {EACH}", f"Longest sequence at batch 1, {EACH}"} < set(metrics(app))
    assert charts(app)[0]["layout"]["title"]["text"].endswith(EACH)
    (table,) = [text for text in texts(app) if text.startswith("| Memory")]
    assert table.splitlines()[0].count(EACH) == 2
    served = page("fits", purpose="inference")
    assert any("on one A100 80GB SXM" in text for text in texts(served)[:3])
    assert not [label for label in metrics(served) if EACH in label]


def test_where_nothing_fits_the_warning_counts_the_devices_that_there_are_and_names_one_of_the_same_software():
    # 84.7 GiB: a TPU v5p has 88.5, and no CUDA context
    needed = config(fragmentation=14.0).verdict.needed.value
    assert ACCELERATORS["A100 80GB SXM"].memory < needed < ACCELERATORS["TPU v5p"].memory
    (told,) = [text.value for text in page("fits", fragmentation=14.0).warning]
    assert told.startswith("Not even one sequence of 8,192 tokens fits on each of 4 × A100 80GB SXM (")
    assert "The smallest device of NVIDIA here that holds it is **H200 SXM (" in told


def test_what_no_device_of_its_maker_holds_takes_more_of_them():
    # 200 GiB without sharing: an M3 Ultra has 512 GB, and no CUDA either
    (told,) = [text.value for text in page("fits", recompute="none", zero_stage=0, accelerator="TPU v5p").warning]
    assert "more than any single device of Google here has" in told
    assert told.endswith("else it takes more devices.")


def test_a_layout_on_one_device_is_said_by_what_it_does():
    app = opened("training", {"model": "GPT-2 124M", "offload_optimizer": "true", "counted_on": "one"})
    assert "Peak, without optimizer in host memory" in metrics(app)
    assert "What nvidia-smi shows, with optimizer in host memory" in metrics(app)


# How a report writes


def test_a_report_writes_like_the_app():
    config = configured("Llama 3.1 405B", batch_size=64)
    made = report(config, "", date(2031, 2, 3))
    for text in (markdown(made), html(made)):
        assert not re.search(r"\.(?:</?\w+[^>]*>)?Source:", text)
        assert ". Source:" in text
        assert not re.search(r"[ >]-\d", text)
    tables = [block for section in made.sections for block in section.blocks if isinstance(block, Table)]
    cells = [cell[0].text for table in tables for row in table.rows for cell in row if cell]
    assert "None" not in cells
    assert "–" in cells


def test_a_difference_has_a_minus_sign_and_no_hyphen():
    assert [signed(n) for n in (-258_048, 0, 258_048)] == ["−258,048", "0", "+258,048"]


@pytest.mark.parametrize(("share", "said"), [(0, "0.0%"), (0.0004, "<0.1%"), (0.0005, "0.1%"), (0.25, "25.0%")])
def test_a_share_that_would_be_rounded_away_is_said_to_be_less(share, said):
    assert percent(share) == said


# LoRA that needs more


@pytest.mark.parametrize(("dropout", "more"), [(0.1, True), (0.0, False)])
def test_where_lora_needs_more_than_full_training_the_page_says_why(dropout, more):
    # q, k, v and o of 24 layers keep each their own dropped-out input, 2 bytes, and its mask, 1, of 32,768 × 2,048
    link = {"model": "OPT 1.3B", "precision": "bf16", "seq_len": 32_768, "batch_size": 1, "lora_rank": 16}
    values = {**link, "dropout": dropout, "lora_dropout": dropout, "lora_precision": "same"}
    lora = configured(**values)
    plain = configured(**{**values, "dropout": 0.0, "lora_dropout": 0.0})
    kept = lora.step.saved_activations.value - plain.step.saved_activations.value
    assert not more or kept > 24 * 4 * 32_768 * 2_048 * 2
    told = [
        text
        for text in texts(opened("training", {key: written(v) for key, v in values.items()}))
        if "LoRA peaks" in text
    ]
    assert len(told) == more
    assert not more or human(configured(**{**values, "lora_rank": 0}).step.peak.value, "bytes") in told[0]
