"""Indonesian as a technical writer would write it: one word for one thing, and no English where there is a word."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from real_browser import settled
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from test_languages import opened

from llmcalc.words import dictionary

# One word for one thing: what it is called, and what it was called elsewhere, or would be word for word from English
CALLED = {
    "akurasi": r"ketelitian",
    "pengaturan": r"setelan|disetel\b",
    "langkah dasar": r"polos",
    "hitung ulang": r"rekomputasi",
    "rincian per komponen": r"suku demi suku|bagian demi bagian",
    "perangkat yang paling terbebani": r"paling banyak (?:mem)?butuh",
    "mengubah kontrol": r"memutar",
    "dimensi": r"irisan",
    "multi-perangkat": r"^beberapa perangkat$",
    "mesin inferensi": r"mesin (?:saji|pelayanan|penyajian)",
    "penyajian": r"^melayani|, melayani$|pelayanan",
    "pass": r"\blintasan\b",
    "state": r"keadaan(?! tetap)",
    "gate": r"gerbang",
    "pool": r"\bkolam\b",
    "allocator": r"\balokator",
    "jendela": r"\bwindow\b",
    "buffer": r"penyangga",
    "filter": r"saringan",
    "tower": r"\bmenara\b",
    "adapter": r"adaptor",
    "expert": r"\bpakar\b",
    "head": r"\bkepala\b",
    "norm": r"\bnorma\b",
    "gradient": r"\bgradien\b",
    "attention": r"\batensi\b",
    "byte": r"\bbita\b",
    "dense": r"\bpadat\b",
    "rank": r"\bperingkat\b",
    "bukti ukur": r"tanda terima|\bstruk\b",
    "koneksi": r"\bsambungan\b|tautan (?:antarperangkat|ke host|cepat)",
    "komunikasi": r"pesan antarperangkat|buffer pesan",
    "adalah": r"\bialah\b",
}


@pytest.mark.parametrize("word", CALLED)
def test_one_thing_has_one_word(word):
    said = {key: re.sub(r"\{[^{}]*\}|`[^`]*`", "", text) for key, text in dictionary("id").items()}
    assert any(word in text.lower() for text in said.values()), "nothing is called that any more"
    assert not {key: text for key, text in said.items() if re.search(CALLED[word], text, re.IGNORECASE)}


def english_options() -> set[str]:
    """What options are called in links and in English, where Indonesian has another word."""
    english, ours = dictionary("en"), dictionary("id")
    keys = [key for key in english if key.startswith("options.") and english[key] != ours[key]]
    return {key.rsplit(".", 1)[1] for key in keys} | {english[key] for key in keys} - set(ours.values())


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("cluster", {"n_devices": "8", "model": "Llama 3 8B", "batch_size": "8"}),
        pytest.param("accuracy", {}, marks=pytest.mark.slow),
        ("serving", {"model": "Llama 3 8B"}),
    ],
)
def test_a_table_to_scroll_in_has_no_option_by_its_english_name_and_no_number_in_the_english_way(page, link):
    english = english_options()
    assert {"none", "full", "selective", "plain"} <= english
    for table in opened(page, link, {}).dataframe:
        shown = convert_arrow_bytes_to_pandas_df(table.proto.arrow_data.styler.display_values)
        told = shown.drop(columns=dictionary("id")["accuracy.column_group"], errors="ignore")  # names of sets of rows
        cells = {text for column in told for text in told[column].astype(str)}
        assert len(cells) > 10
        assert cells & english == set()
        numbers = {text for text in cells if re.fullmatch(r"[-−+]?[\d.,]+\D{0,6}", text)}
        assert numbers
        assert not {text for text in numbers if re.search(r"\d\.\d{1,2}(?!\d)|,\d{3},|^-", text)}


def test_what_streamlit_says_in_english_is_said_in_the_readers_language(page, address):
    ours = dictionary("id")
    written = "element => getComputedStyle(element, '::after').content"
    page.goto(f"{address}/method?lang=id")
    settled(page)
    page.get_by_label(ours["method.search"]).press_sequentially("att")
    enter = page.get_by_test_id("InputInstructions").locator("> :first-child")
    expect(enter).to_have_count(1)
    assert enter.evaluate(written) == f'"{ours["app.enter"]}"'
