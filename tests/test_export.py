"""The data to take home is the data of the pages: it adds up, it parses, and its link opens the same configuration."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pandas as pd
import pytest
from configurations import CONFIGURATIONS, configured, files_of
from golden_files import csv_rows
from opened_app import copied_link
from streamlit.testing.v1 import AppTest

from pages.ui.app.shell import PAGES
from llmcalc.accuracy import METHODS, all_compared
from llmcalc.bases import base
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.configuration import Configuration
from llmcalc.export import TABLES, as_csv, as_json, slug, table
from llmcalc.inputs import DEFAULTS, INPUTS
from llmcalc.link_text import link_parameters, read_parameters
from llmcalc.quantity import Quantity, total
from llmcalc.reference import formulas
from llmcalc.words import dictionary
from pages.content.pages import EVERY_PAGE, WORKING
from pages.ui.app import screen
from pages.ui.document.blocks import Beside, Headlines, Worked
from pages.ui.document.data import workings

EVERY = pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
SAME_FOR_ALL = {"printed", "measured", "all_formulas", "symbols", "accelerators", "memory_readings"}
SAME_FOR_ALL |= {"measured_settings", "measured_runs", "printed_peaks", "measured_speed", "measured_rates"}
LLAMA_3_8B = 8_030_261_248  # Meta's config, counted on the class of transformers: tests/golden/parameters.jsonl


@EVERY
def test_every_table_is_parsed_back_to_the_same_numbers(config, monkeypatch):
    for name in TABLES if config is CONFIGURATIONS["preset"] else TABLES.keys() - SAME_FOR_ALL:
        rows = list(TABLES[name](config))  # of the table and of its file
        monkeypatch.setitem(TABLES, name, lambda _, rows=rows: rows)
        made, read = table(name, config), pd.read_csv(io.StringIO(as_csv(rows)))
        assert len(made) == len(read) > 0, name
        assert list(made.columns) == list(read.columns)
        for column in read.select_dtypes(["int64", "float64"]).columns:
            for ours, theirs in zip(made[column], read[column], strict=True):
                assert ours == theirs or (pd.isna(ours) and pd.isna(theirs)), f"{name}.{column}"


@EVERY
def test_parameters_add_up_however_they_are_taken_apart(config):
    model = config.model
    for name in ("components", "parts"):
        assert table(name, config).parameters.sum() == model.parameters().value
        assert table(name, config).active_parameters.sum() == model.active_parameters().value
    weights = table("weights", config)
    assert (weights.copies * weights.parameters_of_one == weights.parameters).all()
    by_component = weights.groupby("component").parameters.sum().to_dict()
    assert by_component == {component: q.value for component, q in model.components().items()}
    parts = table("parts", config)
    assert table("layers", config).parameters.sum() == parts[parts.layers.notna()].parameters.sum()
    assert table("article_count", config).parameters.sum() == model.parameters().value


@EVERY
def test_the_terms_of_a_moment_add_up_to_it_in_both_accounts(config):
    sums = table("moments", config).groupby(["account", "moment"]).memory_bytes.sum()
    for account, memory in (("corrected", config.on_each), ("article", config.article)):
        for moment, q in memory.moments.items():
            assert sums[account, moment] == q.value
    assert table("inference", config).memory_bytes.sum() == config.inference.value
    assert table("device", config).memory_bytes.sum() == pytest.approx(config.rank.peak.value)


@EVERY
def test_the_timeline_keeps_its_own_books_and_reaches_the_peak(config):
    events, points = table("timeline", config), table("profile", config)
    assert (events.live_bytes.diff()[1:] == events.change_bytes[1:]).all()
    assert events.live_bytes.max() == points.live_bytes.max() == config.on_each.peak.value
    alive = points[[column for column in points if column.startswith("live_") and column != "live_bytes"]]
    assert (alive.sum(axis=1) == points.live_bytes).all()


@EVERY
def test_a_sweep_passes_through_the_configuration(config):
    here = {"batch_size": config.values["batch_size"], "seq_len": config.values["seq_len"]}
    growth = table("growth", config)
    rows = growth[(growth[list(here)] == list(here.values())).all(axis=1)]
    assert len(rows) == 2
    assert (rows.inference_bytes == config.inference.value).all()
    if config.values["account"] == "corrected":
        assert rows.training_peak_bytes.tolist() == [config.training.peak.value] * 2
    else:
        assert rows.training_peak_bytes.tolist() == pytest.approx([config.training.peak.value] * 2)


@pytest.mark.parametrize("name", ["preset", "changed, article's account", "LoRA"])
def test_the_largest_batch_fits_and_one_more_does_not(name):
    config = CONFIGURATIONS[name]
    purpose = config.values["purpose"]
    found = table("devices", config)
    assert set(found.device) == set(ACCELERATORS)
    assert set(found.purpose) == {purpose}
    row = found[found.device == "H100 SXM"].iloc[0]
    many, _ = config.knobs_of(purpose)
    kept, more = ({**config.values, many: row[f"largest_{many}"] + beyond} for beyond in (0, 1))
    needed = [Configuration(values).verdict_of(purpose).needed.value for values in (kept, more)]
    assert row.memory_bytes == round(79.18 * 2**30)
    takes = 0.9 if purpose == "inference" else 1  # vLLM takes 0.9 of a device unless told
    assert needed[0] <= takes * row.memory_bytes < needed[1]


def test_plans_are_those_of_the_cluster_page_and_the_first_holds_what_it_says():
    config = configured("Mixtral 8x7B", n_devices=64, precision="bf16")
    plans = table("plans", config)
    assert len(plans) == len(config.plans)
    first = plans.iloc[0]
    assert first.fits
    assert config.with_plan(first).rank.peak.value == pytest.approx(first.peak_bytes)
    assert "peak" not in plans


def test_a_model_that_cannot_be_laid_out_has_no_plans_in_its_json():
    config = configured("GPT-2 124M", n_devices=7, n_layers=5, global_batch=3, seq_len=64)
    assert json.loads(as_json(EVERY_PAGE["cluster"].data(config), config, ""))["tables"]["plans"] is None


def test_models_stand_side_by_side_as_each_would_alone():
    models = table("compared", CONFIGURATIONS["mixture"]).set_index("model")
    assert list(models.index) == ["1: Mixtral 8x7B", "2: Llama 3 8B;n_layers=40", "3: Mixtral 8x7B"]
    assert models.parameters.iloc[0] == models.parameters.iloc[2] == 46_702_792_704
    layer = 218_112_000  # of Llama 3 8B: 4096·(2·4096 + 2·1024) + 3·4096·14336 + 2·4096
    assert models.parameters.iloc[1] == LLAMA_3_8B + 8 * layer
    assert models.weights_in_bf16_bytes.iloc[1] == 2 * models.parameters.iloc[1]
    assert table("compared", CONFIGURATIONS["pasted"]).model.tolist() == ["1: config.json"], "unreadable pins"


def test_the_law_is_kaplans_and_improvements_are_by_hand():
    law = table("law", CONFIGURATIONS["preset"]).set_index("non_embedding_parameters")
    known = {float(row["parameters"]): float(row["loss"]) for row in csv_rows("kaplan_loss.csv")}
    for size in (1e6, 1e8, 1e9):
        (loss,) = [loss for n, loss in law.loss_nats_per_token.items() if n == pytest.approx(size, rel=1e-9)]
        assert loss == pytest.approx(known[size], rel=1e-9)
    assert law.relative_performance[CONFIGURATIONS["preset"].model.non_embedding_parameters().value] == 1
    ten = table("improvements", configured("GPT-2 124M", alpha=0.07)).set_index("improvement_percent").loc[10]
    assert ten.times_parameters_for_higher_metric == pytest.approx(1.1 ** (1 / 0.07))
    assert ten.times_parameters_for_lower_loss == pytest.approx(0.9 ** (-1 / 0.07))


def test_the_articles_figures_and_the_measured_steps_are_all_there():
    printed = table("printed", CONFIGURATIONS["preset"])
    errata = [row for row in csv_rows("errata.csv") if row["unit"] == "parameters"]
    wanted = {(float(row["printed"]), float(row["right"])) for row in errata}
    assert len(wanted) > 5
    assert wanted <= set(zip(printed.printed, printed.right, strict=True))
    measured = table("measured", CONFIGURATIONS["preset"])
    figures = [(row, figure) for row in all_compared() for named in METHODS.values() for figure in named]
    assert len(measured) == sum(row.measured(figure) is not None for row, figure in figures)
    assert {"afmoe", "nanogpt"} < set(measured.model)
    assert (measured.predicted_bytes / measured.measured_bytes - 1 - measured.error_ratio).abs().max() < 1e-9
    assert len(table("all_formulas", CONFIGURATIONS["preset"])) == sum(map(len, formulas().values()))


def test_integers_stay_exact_beside_fractions_however_large():
    odd = 2**70 + 1
    frame = total("t", "T", Quantity("a", odd, "parameters", "a"), Quantity("b", 0.5, "parameters", "b")).to_frame()
    assert frame.value.tolist()[1:] == [odd, 0.5]
    huge = configured("GPT-2 124M", d_model=65_536, n_layers=1_000, d_ff=1_000_000, vocab_size=2_000_000)
    assert str(huge.model.components()["feed_forward"].value) in as_csv(TABLES["components"](huge))


@EVERY
def test_json_parses_and_its_link_sets_the_same_inputs(config):
    link = f"http://localhost:8501/?{urlencode(link_parameters(config.values))}"
    told = json.loads(as_json(EVERY_PAGE["learn"].data(config), config, link))
    written = {key: found[0] for key, found in parse_qs(urlsplit(told["link"]).query, True).items()}
    assert written.pop("v") == str(told["version"])
    read = {key: INPUTS[key].read(text) for key, text in written.items()}
    sizes = base(read["model"], read["config"]).values
    assert DEFAULTS | dict(sizes) | read == told["inputs"] == dict(config.values)
    assert read_parameters({key: [text] for key, text in written.items()})[1] == []
    whole = next(row for row in told["tables"][WORKING] if row["id"] == "parameters")
    assert whole["value"] == config.model.parameters().value
    assert whole.keys() == {
        "of",
        "depth",
        "id",
        "symbol",
        "value",
        "unit",
        "formula",
        "substitution",
        "source",
        "standing",
    }


def tops(rows: Iterable[Mapping[str, Any]]) -> set[tuple[str, float]]:
    """The numbers whose working rows have."""
    return {(row["id"], float(row["value"])) for row in rows if not row["depth"]}


def test_a_working_is_of_every_number_that_is_told_once_with_what_that_may_be_called():
    rows = list(EVERY_PAGE["explore"].data(configured("GPT-2 124M"))[WORKING]())
    at = next(at for at, row in enumerate(rows) if row["id"] == "parameters")
    # GPT-2 124M on its own class: tests/golden/parameters.jsonl
    assert (rows[at]["value"], rows[at]["standing"]) == (124_439_808, "measured")
    below = {row["id"]: row["value"] for row in rows[at:] if row["of"] == "parameters" and row["depth"] == 1}
    width = 768
    assert below["embedding"] == 50_257 * width
    assert below["positions"] == 1_024 * width
    assert below["blocks"] == 12 * (12 * width**2 + 13 * width)
    a, b = Quantity("a", 1, "bytes", "a"), Quantity("b", 2, "bytes", "b")
    said = [
        Beside([[Worked([b])], [Headlines(lambda: [("A", a, CONFIGURATIONS["preset"].count_standing)])]]),
        Worked([a, b], 0),
    ]
    assert [(row["of"], row["standing"]) for row in workings(said)] == [("b", None), ("a", "measured")]


def test_every_table_has_words_and_is_offered_somewhere():
    assert {name for page in EVERY_PAGE.values() for name in page.tables} == {*TABLES, WORKING}
    for language in ("en", "id"):
        assert {f"download.{name}" for name in (*TABLES, WORKING)} <= set(dictionary(language))


def test_a_name_becomes_part_of_a_files_name():
    assert slug("Llama 3.1 8B;n_layers=16") == "llama-3.1-8b-n-layers-16"
    assert slug("../<x>") == "x"
    assert len(slug("x" * 500)) <= 60


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_page_offers_its_data_in_one_menu_and_makes_nothing_before_it_is_asked_for(language, monkeypatch):
    made, asked, told = files_of(monkeypatch), [], []
    for name, make in TABLES.items():
        monkeypatch.setitem(TABLES, name, lambda config, name=name, make=make: asked.append(name) or make(config))
    draw = screen._draw
    monkeypatch.setattr(screen, "_draw", lambda block: told.append(block) or draw(block))
    app = AppTest.from_file("../app.py", default_timeout=600)
    for key, value in {"lang": language, "model": "Llama 3 8B", "compare": "Yi 6B", "n_layers": "16"}.items():
        app.query_params[key] = value
    app.run()
    assert not made, "closed, a menu has no files"
    for page in PAGES if language == "en" else PAGES[-2:]:
        app.switch_page(f"pages/{page}.py")
        app.session_state["download"] = True
        told.clear()
        app.run()
        assert not app.exception, [e.value for e in app.exception]
        assert dictionary(language)["download.open"] in [block.proto.popover.label for block in app.get("popover")]
        names = EVERY_PAGE[page].tables
        about = f"llmcalc-{page}-llama-3-8b-n-layers-16"
        files = [file for file in made if file.startswith(about)]
        assert files == [*(f"{about}-{slug(name)}.csv" for name in names), f"{about}.json"]
        assert not asked
        if drawn := tops(workings(told)):
            assert drawn <= tops(json.loads(made[f"{about}.json"]())["tables"].get(WORKING, [])), page
            asked.clear()
    assert made[f"{about}-{slug(names[0])}.csv"]() == as_csv(TABLES[names[0]](CONFIGURATIONS["preset"]))
    assert asked == [names[0]] * 2


def test_a_pages_json_has_the_link_of_that_page(monkeypatch):
    made = files_of(monkeypatch)
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.query_params["batch_size"] = "3"
    app.run()
    app.session_state["download"] = True
    app.run()
    told = json.loads(made["llmcalc-explore-gpt-2-124m.json"]())
    assert told["inputs"] == DEFAULTS | dict(configured("GPT-2 124M").base.values) | {"batch_size": 3}
    assert "batch_size=3" in told["link"]
    copied = copied_link(app)
    assert told["link"] == copied
