"""Serving: the questions that are asked of it, their answers, and the page that gives them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from configurations import configured
from opened_app import metrics
from opened_app import opened as opened_on
from streamlit.testing.v1 import AppTest

from llmcalc import InputError, Serving, serve
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.formats import STORED_FORMATS
from llmcalc.configuration import Configuration
from llmcalc.facets.serving import inputs_of
from llmcalc.inputs import DEFAULTS, INPUTS, in_group
from llmcalc.serving.batches import batches, passes
from llmcalc.serving.offers import COLUMNS, COUNTS, offers
from llmcalc.serving.pasted import LONGEST
from llmcalc.serving.speed import computed_in
from llmcalc.serving.speed.constants import CONSTANTS
from llmcalc.words import LANGUAGES, dictionary, speak, value_of, w
from pages.content.fits import fits
from pages.content.serving import CONTROLS, OFFERED, SORTED_BY, written_offer
from pages.ui.document.blocks import Frames, Paragraph
from pages.ui.words.problems import problem_words
from pages.ui.words.verdict import served_words

LLAMA = configured("Llama 3 8B").model
MIXTURE = configured("Mixtral 8x7B").model
LATENT = configured("DeepSeek-V3 671B").model
POOLS = ("vllm", "sglang", "tensorrt-llm")


# The table of offers


@pytest.mark.parametrize("engine", POOLS)
@pytest.mark.parametrize("model", [LLAMA, MIXTURE, LATENT], ids=["plain", "mixture", "latent"])
def test_a_row_of_the_table_is_what_is_said_of_that_job_alone(model, engine):
    job = Serving(engine=engine, context=4096, concurrency=3)
    table = offers(model, job, devices=("A10", "A100 80GB SXM", "H200 SXM", "B200"), formats=("bf16", "fp8"))
    assert len(table) == 4 * 2 * len(COUNTS)
    for row in table.to_dict("records"):
        split = {"tensor_parallel": row["tensor_parallel"], "pipeline_parallel": row["pipeline_parallel"]}
        alone = serve(model, Serving(
            engine=engine, context=4096, concurrency=3, device=row["device"], weights=row["format"], **split
        ))  # fmt: skip
        assert row["needed"] == pytest.approx(alone.needed.value)
        assert row["users"] == pytest.approx(alone.max_concurrency.value)
        assert row["fits"] == alone.fits
        assert row["free"] == pytest.approx(alone.limit.value - alone.needed.value)
        if alone.fits and alone.tokens_per_second is not None:
            assert row["tokens_per_second"] == pytest.approx(alone.tokens_per_second.value)
            assert row["time_between_tokens"] == pytest.approx(alone.time_between_tokens.value)
        else:
            assert math.isnan(row["tokens_per_second"])


def test_of_unequal_stages_a_row_is_of_the_one_that_holds_fewest():
    job = Serving(context=512, concurrency=3)
    table = offers(configured("GPT-2 124M").model, job, devices=("T4", "H100 SXM"), counts=(5, 8), formats=("bf16",))
    assert set(table["tensor_parallel"]) == {1}, "twelve heads are not dealt out over five or eight"
    for row in table.to_dict("records"):
        alone = serve(configured("GPT-2 124M").model, replace(
            job, device=row["device"], pipeline_parallel=row["pipeline_parallel"]
        ))  # fmt: skip
        assert (row["needed"], row["users"]) == (alone.needed.value, alone.max_concurrency.value)


def test_the_table_says_of_llama_cpp_what_is_said_of_the_job_alone():
    job = Serving(engine="llama.cpp", context=4096, weights="Q4_K_M")
    table = offers(LLAMA, job, devices=("RTX 4090", "T4"), formats=("GGUF Q4_K_M", "bf16"))
    for row in table.to_dict("records"):
        assert row["tensor_parallel"] == 1, "llama.cpp deals out layers"
        alone = serve(LLAMA, Serving(
            engine="llama.cpp", context=4096, device=row["device"], weights=row["format"],
            pipeline_parallel=row["pipeline_parallel"],
        ))  # fmt: skip
        assert row["needed"] == pytest.approx(alone.needed.value)
        assert row["fits"] == alone.fits


def test_what_the_engine_refuses_is_left_out_of_the_table():
    # 12 heads are not dealt out over 8 devices: there each has whole layers. 768 inputs over 4 devices are 192, which
    # groups of 128 do not divide
    table = offers(configured("GPT-2 124M").model, Serving(context=512), devices=("T4",), formats=("bf16", "int4 g128"))
    plain = table[table["format"] == "bf16"].set_index("devices")
    assert plain["tensor_parallel"].to_dict() == {1: 1, 2: 2, 4: 4, 8: 1}
    assert plain["pipeline_parallel"].to_dict() == {1: 1, 2: 1, 4: 1, 8: 8}
    assert 4 not in set(table.loc[table["format"] == "int4 g128", "devices"])


def test_a_million_tokens_cost_what_the_devices_do_while_they_are_written():
    job = Serving(context=4096, concurrency=8)
    table = offers(LLAMA, job, devices=("H100 SXM",), formats=("bf16",), price_per_hour=2.0)
    for row in table.to_dict("records"):
        hours = 1_000_000 / row["tokens_per_second"] / 3600
        assert row["price"] == pytest.approx(2.0 * row["devices"] * hours)
    assert offers(LLAMA, job, devices=("H100 SXM",), formats=("bf16",))["price"].isna().all()


def test_wider_formats_never_need_less_and_larger_devices_never_hold_fewer():
    job = Serving(context=4096)
    table = offers(LLAMA, job, devices=("A100 40GB SXM", "A100 80GB SXM"), formats=("int4 g128", "fp8", "bf16", "fp32"))
    for _, rows in table.groupby(["device", "devices"]):
        assert rows["needed"].is_monotonic_increasing
        assert rows["users"].is_monotonic_decreasing
    for _, rows in table.groupby(["format", "devices"]):
        assert rows["users"].is_monotonic_increasing


@pytest.mark.slow
def test_ten_thousand_combinations_take_no_longer_than_a_few_hundred_alone():
    """They are worked out together: less than a second where one alone takes two milliseconds."""
    job = Serving(context=2048)
    offers(LLAMA, job, devices=("T4",), counts=(1,), formats=("bf16",))  # what is imported and read once
    began = time.process_time()
    for context in range(1, 101):
        serve(LLAMA, replace(job, context=context))
    alone = (time.process_time() - began) / 100
    began = time.process_time()
    table = offers(LLAMA, replace(job, context=4096), counts=(1, 2, 3, 4, 8, 16, 32), formats=STORED_FORMATS)
    together = time.process_time() - began
    assert len(table) > 10_000
    assert together < 1_000 * alone


# Every number of users


def test_decoding_turns_where_reading_the_weights_takes_as_long_as_the_products():
    """With next to no cache a step reads 2 bytes and computes 2 operations for each weight and user: at the shares of
    the peak that are reached they meet at F·η_compute / (W·η_bandwidth) users. H100 SXM: 989e12 and 3.35e12."""
    job = Serving(context=4096, input_tokens=1, output_tokens=1)
    meet = 989e12 * CONSTANTS["compute_share"].value / (3.35e12 * CONSTANTS["bandwidth_share"].value)
    turn = batches(LLAMA, job).turn
    assert turn == pytest.approx(meet, rel=0.02)


def test_with_long_contexts_and_a_cache_of_every_head_decoding_never_turns():
    many_heads = configured("Llama 3 8B", n_kv_heads=32).model
    assert batches(many_heads, Serving(context=8192, input_tokens=7000, output_tokens=1000)).turn is None


def test_every_number_of_users_is_what_is_said_of_it_alone():
    found = batches(MIXTURE, Serving(context=4096))
    for users in (1, 7, 64, 1000):
        alone = serve(MIXTURE, Serving(context=4096, concurrency=users))
        assert found.between[users - 1] == pytest.approx(alone.time_between_tokens.value)
        assert found.first[users - 1] == pytest.approx(alone.time_to_first_token.value)
        assert found.rate[users - 1] == pytest.approx(alone.tokens_per_second.value)


@pytest.mark.parametrize("seconds", [0.008, 0.02, 0.1])
def test_of_users_that_are_served_in_time_one_more_is_not(seconds):
    found = batches(LLAMA, Serving(context=4096))
    users = found.within(seconds)
    assert found.between[users - 1] <= seconds < found.between[users]
    assert found.within(1e-9) == 0


def test_decoding_lies_below_the_bandwidth_and_prefill_below_the_peak():
    job = Serving(context=4096, input_tokens=2048)
    decoding, prefill = passes(serve(LLAMA, job).speed, job)
    assert decoding.rate < decoding.intensity * 3.35e12
    assert prefill.rate < 989e12
    # one user: two operations for each weight, which takes two bytes, and as many for the cache
    assert decoding.intensity == pytest.approx(1, rel=0.2)
    # 2,048 tokens go through weights that are read once
    assert prefill.intensity == pytest.approx(2048, rel=0.2)


# The inputs


def served(**changes):
    return configured("Llama 3 8B", **changes)


def test_inputs_of_serving_are_those_of_the_job():
    config = served(
        engine="sglang", accelerator="H200 SXM", serve_tensor=2, serve_pipeline=2, serve_data=2, weight_format="fp8",
        cache_format="fp8", context=4096, memory_utilization=80, max_sequences=64, batched_tokens=1024,
        input_tokens=100, output_tokens=200, concurrency=10,
    )  # fmt: skip
    assert not config.serving.refused
    assert config.served.job == Serving(
        engine="sglang", device="H200 SXM", tensor_parallel=2, pipeline_parallel=2, data_parallel=2, weights="fp8",
        kv_cache="fp8", context=4096, memory_utilization=0.8, max_sequences=64, batched_tokens=1024,
        input_tokens=100, output_tokens=200, concurrency=10,
    )  # fmt: skip


def test_llama_cpp_is_started_with_a_context_for_all_of_its_users():
    job = served(engine="llama.cpp", context=4096, concurrency=4).served.job
    assert (job.context, job.parallel_sequences) == (4 * 4096, 4)


@pytest.mark.parametrize(
    ("model", "asked", "context"),
    [
        ("GPT-2 124M", 512, 1024),
        ("Llama 3 8B", 512, 8192),
        ("Llama 3.1 8B", 512, 8192),
        ("Llama 3.1 8B", 20_000, 20_512),
    ],
)
def test_an_empty_context_is_the_models_up_to_what_is_usual_or_asked_for(model, asked, context):
    assert configured(model, input_tokens=asked).serving.context == context


def test_replicas_share_the_users_among_them():
    of_one, of_two = (served(serve_data=n, concurrency=8 * n).served.needed.parts[-1] for n in (1, 2))
    assert of_one.id == "requests_memory"
    assert of_one.value == of_two.value


def test_what_the_engine_refuses_is_told_beside_its_control_and_counted_without():
    config = served(serve_tensor=5)
    (problem,) = config.serving.refused
    assert (problem.input_id, problem.code) == ("serve_tensor", "not_over_devices")
    assert config.served.job.tensor_parallel == 1
    (problem,) = served(context=100_000).serving.refused
    assert (problem.input_id, problem.code, problem.suggestions) == ("context", "context_too_long", (8192,))
    (problem,) = served(serve_experts=2).serving.refused
    assert (problem.input_id, problem.code) == ("serve_experts", "no_experts")


@pytest.mark.parametrize("engine", INPUTS["engine"].options)
@pytest.mark.parametrize(
    "asked", [{"context": 32_768}, {"context": 4_096}, {}, {"context": 16_777_216, "concurrency": 9}]
)
def test_the_verdict_is_of_the_requests_that_it_names(engine, asked):
    config = configured("Llama 3 8B", engine=engine, **asked)
    served = config.served
    counted = config.serving.context
    assert counted == served.job.context // served.job.parallel_sequences
    assert counted == asked.get("context") or "context" not in asked or asked["context"] > 8192
    assert w("verdict.serving", engine=value_of("engine", engine), users=served.job.concurrency, context=counted,
             weights="bf16") in served_words(config, served)  # fmt: skip


@pytest.mark.parametrize("engine", INPUTS["engine"].options)
@pytest.mark.parametrize("changes", [{}, {"serve_data": 2}, {"concurrency": 7}], ids=str)
def test_how_many_fit_at_once_is_one_whole_number_everywhere(engine, changes):
    link = {"model": "GPT-2 124M", "engine": engine} | {id: str(value) for id, value in changes.items()}
    app = opened(**link)
    config = configured("GPT-2 124M", engine=engine, **changes)
    users = config.serving.users
    if engine in POOLS:  # as many as the engine prints of one replica, on each; vLLM runs 1,024 at once of them
        printed = serve(config.model, config.served.job).max_concurrency.value
        most = 1024 if engine == "vllm" else int(printed)
        assert users == min(int(printed), most) * changes.get("serve_data", 1) > 0
    card = metrics(app)[w("serving.users")]
    assert card.replace(",", "") == str(users)
    told = w("serving.largest", users=users, context=config.serving.context)
    assert any(told in element.value for element in app.markdown)


def test_requests_longer_than_the_context_are_told():
    (problem,) = served(context=1024, input_tokens=1000, output_tokens=100).serving.refused
    assert (problem.input_id, problem.code, problem.suggestions) == ("output_tokens", "longer_than_context", (24,))


@pytest.mark.parametrize("declared", in_group("serving"), ids=lambda declared: declared.id)
def test_at_both_ends_of_every_input_there_is_an_answer_or_a_reason(declared):
    for end in declared.ends:
        config = configured("Mixtral 8x7B", **{declared.id: end})
        assert config.served is not None or config.serving.refused
        for problem in config.serving.refused:
            assert problem.input_id in INPUTS
            assert problem_words(problem)
            for value in problem.suggestions:
                assert INPUTS[problem.input_id].read(str(value)) == value


# Questions


@pytest.mark.parametrize("engine", [*POOLS, "llama.cpp"])
def test_the_largest_batch_fits_and_one_more_request_does_not(engine):
    config = served(engine=engine, context=8192)
    users = config.serving.users
    assert users > 1
    assert served(engine=engine, context=8192, concurrency=users).served.fits
    assert not served(engine=engine, context=8192, concurrency=users + 1).served.fits


def test_the_smallest_changes_make_it_fit_and_nothing_is_changed_where_it_does():
    assert served().serving.ways() == []
    config = configured("Llama 3.1 70B", concurrency=4)
    assert not config.served.fits
    ways = config.serving.ways()
    assert ways
    for way in ways:
        assert Configuration({**config.values, **way.values}).served.fits
    # 70.6e9 numbers of 16 bits are 131 GiB: two devices of 79 GiB, of which nine tenths are the engine's, hold no
    # cache beside them, four with ease
    assert {"serve_tensor": 4} in [dict(way.values) for way in ways]


def test_the_fewest_devices_fit_and_half_as_many_do_not():
    config = configured("Llama 3.1 70B", concurrency=4)
    n = config.serving.fewest_devices
    assert configured("Llama 3.1 70B", concurrency=4, serve_tensor=n).served.fits
    assert not configured("Llama 3.1 70B", concurrency=4, serve_tensor=n // 2).served.fits


# The page


def opened(**link: str) -> AppTest:
    return opened_on("serving", link)


def told(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.warning, *app.caption, *app.subheader))


@pytest.mark.parametrize("language", ["en", "id"])
def test_the_page_says_whether_it_fits_and_shows_every_offer(language):
    app = opened(model="Llama 3 8B", lang=language, price_per_hour="2")
    assert not app.exception
    assert {"en": "**Fits**", "id": "**Muat**"}[language] in told(app)
    table = app.dataframe[0].value
    assert set(OFFERED) <= set(table.columns) == set(COLUMNS)
    assert set(table["format"]) == {"bf16"}, "to begin with the reader's own"
    assert table["fits"].all()
    assert table["price"].is_monotonic_increasing


def test_no_price_is_told_until_the_reader_gives_one():
    app = opened(model="Llama 3 8B", lang="id")
    field = app.text_input(key="price_per_hour_typed")
    assert (field.value, field.placeholder) == ("", w_id("inputs.price_per_hour.empty"))
    asked = w_id("serving.no_price", price=w_id("inputs.price_per_hour.label"))
    assert told(app).count(asked) == 1
    assert w_id("quantities.million_token_price") not in metrics(app)
    assert "price" not in app.dataframe[0].proto.column_order
    field.set_value("33.000,5").run()
    assert app.session_state["price_per_hour"] == 33_000.5
    assert asked not in told(app)
    assert w_id("quantities.million_token_price") in metrics(app)
    assert "price" in app.dataframe[0].proto.column_order
    assert app.dataframe[0].proto.placeholder == "–"  # what stands where a device's watts are not known
    app.selectbox(key="offers_by").set_value("price").run()
    assert app.dataframe[0].value["price"].is_monotonic_increasing
    app.text_input(key="price_per_hour_typed").set_value("").run()
    assert not app.exception
    assert app.session_state["price_per_hour"] is None
    assert asked in told(app)
    assert app.dataframe[0].value["tokens_per_second"].is_monotonic_decreasing


def test_a_large_price_is_written_without_an_exponent():
    assert written_offer("price")(6109.5) == "6,110"
    assert written_offer("price")(math.nan) == "–"


def w_id(key: str, **values: str) -> str:
    """Words that are shown in Indonesian."""
    text = dictionary("id")[key]
    return text.format(**values)


@pytest.mark.parametrize(("typed", "code"), [("-1", "out_of_range"), ("1e7", "out_of_range"), ("two", "not_a_number")])
def test_what_is_typed_and_is_no_price_is_told_beside_the_field(typed, code):
    app = opened(price_per_hour="2")
    app.text_input(key="price_per_hour_typed").set_value(typed).run()
    assert app.session_state["price_per_hour"] == 2
    reason = w(f"problems.{code}", low=0, high=1_000_000) if code == "out_of_range" else w(f"problems.{code}")
    (warning,) = app.warning
    assert reason in warning.value
    assert warning.value.endswith(w("problems.meanwhile", value="2"))


def test_an_engine_that_serves_nothing_asks_for_no_price():
    """An encoder writes no tokens, so they have no price."""
    assert w("serving.no_price", price=w("inputs.price_per_hour.label")) not in told(
        opened(model="BERT base (encoder)")
    )


def test_filters_and_the_order_are_the_readers():
    app = opened(model="Llama 3 8B")
    app.toggle(key="offers_fitting").set_value(False)
    app.multiselect(key="offers_format").set_value(["fp8", "fp32"])
    app.selectbox(key="offers_by").set_value("tokens_per_second").run()
    table = app.dataframe[0].value
    assert set(table["format"]) == {"fp8", "fp32"}
    rates = table["tokens_per_second"].dropna()
    assert rates.is_monotonic_decreasing


def test_what_would_fit_is_set_with_one_click():
    app = opened(model="Llama 3.1 70B")
    assert "**Does not fit**" in told(app)
    next(button for button in app.button if button.key == "served_way_0").click().run()
    assert not app.exception
    assert "**Fits**" in told(app)


def test_a_refused_input_is_told_with_what_would_do():
    app = opened(model="Llama 3 8B", context="100000")
    told = f"{w('problems.context_too_long', value=100_000, number=8192)} {w('problems.meanwhile', value='8,192')}"
    assert told in [warning.value for warning in app.warning]
    next(button for button in app.button if button.key == "served_use_context_8192").click().run()
    assert app.session_state["context"] == 8192
    assert not app.warning


@pytest.mark.slow
@pytest.mark.parametrize("engine", INPUTS["engine"].options)
@pytest.mark.parametrize("model", ["GPT-2 124M", "BERT base (encoder)", "T5 small", "Mixtral 8x7B"])
def test_the_page_is_drawn_for_every_engine_and_kind_of_model(model, engine):
    app = opened(model=model, engine=engine)
    assert not app.exception


def test_every_control_beside_the_charts_is_an_input_and_every_order_a_column():
    assert set(CONTROLS) <= set(INPUTS)
    assert set(SORTED_BY) <= set(COLUMNS)
    assert all(DEFAULTS[declared.id] == declared.default for declared in in_group("serving"))


def test_one_rank_of_many_memories_is_as_many_ranks():
    """A sweep over devices equals the same numbers one by one, down to those that hold nothing."""
    table = offers(LATENT, Serving(context=4096), counts=(1, 8), formats=("fp8 128×128",))
    assert (table.loc[table["devices"] == 1, "users"] == 0).all(), "671 GB on one device"
    assert np.isnan(table.loc[~table["fits"], "price"]).all()


def test_an_engine_that_refuses_the_context_has_no_offer():
    with pytest.raises(InputError):
        serve(LLAMA, Serving(context=100_000))
    assert offers(LLAMA, Serving(context=100_000)).empty


# What a machine printed

PASTED_LOGS = Path(__file__).parent / "golden" / "pasted"


def test_a_pasted_log_stands_beside_what_is_predicted_and_sets_up_the_app():
    app = opened(model="GPT-2 124M")
    log = (PASTED_LOGS / "vllm_v0_profile.log").read_text("utf-8")
    app.text_area(key="machine_log").set_value(log).run()
    assert not app.exception
    # the log names the model, which is another than the one that is set up; its pool was 53.29 GiB
    assert app.segmented_control(key="log_model").value == "llama-3-8b"
    assert "53.29" in told(app)
    app.button(key="take_log").click().run()
    assert not app.exception
    state = app.session_state
    assert (state["model"], state["engine"], state["memory_utilization"]) == ("Llama 3 8B", "vllm", 90)


def test_what_is_no_log_and_what_is_too_long_is_told():
    app = opened(model="GPT-2 124M")
    app.text_area(key="machine_log").set_value("nothing <b>to</b> see\n$\\frac{1}{2}$").run()
    assert not app.exception
    assert any("2 " in warning.value for warning in app.warning)
    app.text_area(key="machine_log").set_value("x" * (LONGEST + 1)).run()
    assert app.error
    assert app.text_area(key="machine_log").value, "nothing typed is lost"


@pytest.mark.parametrize("file", sorted(PASTED_LOGS.glob("*.*")), ids=lambda file: file.name)
@pytest.mark.slow
def test_every_public_log_is_drawn(file):
    app = opened(model="Llama 3 8B", lang="id")
    app.text_area(key="machine_log").set_value(file.read_text("utf-8")).run()
    assert not app.exception


@pytest.mark.parametrize("engine", INPUTS["engine"].options)
def test_inputs_of_a_job_make_the_job(engine):
    """What is taken over from a printed job is what the page then serves."""
    job = Serving(engine=engine, context=4096, weights="fp8" if engine in POOLS else "bf16", concurrency=3)
    told_of = ("engine", "device", "context", "weights", "kv_cache", "concurrency")
    values = inputs_of(job, told_of)
    served = configured("Llama 3 8B", **values).served.job
    assert (served.engine, served.device, served.weight_format, served.concurrency) == (
        job.engine, job.device, job.weight_format, 3
    )  # fmt: skip
    cells = served.context // served.parallel_sequences
    assert cells == 4096


REFUSED = [
    *({"model": "T5 base", "engine": engine} for engine in ("vllm", "sglang")),
    {"serve_pipeline": "64"},
    {"serve_tensor": "5"},
    {"model": "Mixtral 8x7B", "serve_experts": "3"},
    {"context": "1024", "input_tokens": "1000", "output_tokens": "100"},
]


@pytest.mark.parametrize("page", ["serving", "explore"])
@pytest.mark.parametrize("link", REFUSED, ids=str)
def test_what_an_engine_refuses_is_said_once(page, link):
    app = opened_on(page, {"purpose": "inference", **link})
    warnings = [warning.value for warning in app.warning]
    assert len(set(warnings)) == len(warnings)
    refused = [problem_words(problem) for problem in Configuration(read_as(link)).serving.refused]
    assert refused
    assert [warnings.count(problem) for problem in refused] == [1] * len(refused)
    assert len(warnings) == len(refused) or Configuration(read_as(link)).served


def read_as(link: dict[str, str]) -> dict[str, object]:
    """What such a link sets."""
    base_of = Configuration({"model": link.get("model", "GPT-2 124M")}).base.values
    return {**base_of, "purpose": "inference"} | {id: INPUTS[id].read(text) for id, text in link.items()}


def test_the_models_own_prediction_is_a_draft_only_where_its_config_counts_such_layers():
    """Meta's config of Llama 3.1 has no key for them, DeepSeek-V3's has num_nextn_predict_layers = 1."""
    has_none = configured("Llama 3.1 8B", draft="mtp").serving
    assert [(error.input_id, error.code, error.suggestions) for error in has_none.refused] == [
        ("draft", "no_mtp", ("eagle",))
    ]
    assert has_none.served.job.draft is None
    assert configured("DeepSeek-V3.1 671B", draft="mtp", accelerator="B300", serve_tensor=8).serving.refused == ()


def test_what_is_refused_does_not_make_none_fit():
    """llama.cpp does not share out layers by tensors: the requests that fit are those without that."""
    asked = {"engine": "llama.cpp", "weight_format": "GGUF Q8_0"}
    refused, plain = (configured("Llama 3.1 8B", **asked, **more).serving for more in ({"serve_tensor": 4}, {}))
    assert refused.served.fits
    assert refused.users == plain.users >= 1


@pytest.mark.parametrize("engine", POOLS)
def test_no_more_requests_run_at_once_than_the_engine_is_told(engine):
    """Sixty-four users, one seat: the machine does what it does for one, who waits for
    63 whole answers; two replicas have a seat each."""
    asked = {"engine": engine, "accelerator": "H200 SXM"}
    config = configured("Llama 3.1 8B", **asked, max_sequences=1, concurrency=64)
    one = configured("Llama 3.1 8B", **asked, max_sequences=1, concurrency=1)
    assert config.serving.users == 1
    assert config.served.needed.value == one.served.needed.value
    assert config.served.tokens_per_second.value == pytest.approx(one.served.tokens_per_second.value)
    assert (
        config.served.time_to_first_token.value
        > 63 * config.values["output_tokens"] * one.served.time_between_tokens.value
    )
    assert "1 request of" in served_words(config, config.served)
    assert "63 others wait" in served_words(config, config.served)
    assert configured("Llama 3.1 8B", **asked, max_sequences=1, concurrency=64, serve_data=2).serving.users == 2


@pytest.mark.parametrize(("device", "version", "most"), [
    ("H100 SXM", None, 1024), ("MI300X", None, 1024), ("A100 80GB SXM", None, 256), ("L4", None, 256),
    ("H100 SXM", "0.8.5", 256),
])  # fmt: skip
def test_vllm_runs_no_more_at_once_than_it_does_unless_told(device, version, most):
    """vLLM, engine/arg_utils.py, get_batch_defaults: 1,024 where a device has 70 GiB and is no A100, else 256."""
    small = configured("GPT-2 124M").model
    asked = {"device": device, "engine_version": version, "context": 128, "input_tokens": 64, "output_tokens": 64}
    job = Serving(**asked, concurrency=10 * most)
    assert (job.seats, replace(job, data_parallel=2).seats, job.running) == (most, 2 * most, most)
    found, full = serve(small, job), serve(small, replace(job, concurrency=most))
    assert found.max_concurrency.value > most  # as memory allows, and as it is printed
    assert found.needed.value == full.needed.value
    assert found.tokens_per_second.value == pytest.approx(full.tokens_per_second.value)
    assert found.time_to_first_token.value > full.time_to_first_token.value
    row = offers(small, job, devices=(device,), counts=(1,), formats=("bf16",)).to_dict("records")[0]
    assert row["tokens_per_second"] == pytest.approx(found.tokens_per_second.value)


@pytest.mark.parametrize(("engine", "device", "runs"), [
    ("tensorrt-llm", "H100 SXM", True), ("tensorrt-llm", "Gaudi 3", False), ("tensorrt-llm", "MI300X", False),
    ("vllm", "MI300X", True), ("vllm", "TPU v5e", True), ("vllm", "Gaudi 3", True), ("vllm", "M4 Max", True),
    ("sglang", "M3 Ultra", True), ("tensorrt-llm", "M4 Max", False), ("llama.cpp", "M4 Max", True),
    ("llama.cpp", "TPU v6e", False), ("ollama", "TPU v5e", False), ("ollama", "Gaudi 3", False),
    ("transformers", "M4 Max", True), ("tensorrt-llm", "V100 32GB SXM2", False), ("tensorrt-llm", "T4", False),
    ("tensorrt-llm", "A10", True), ("tensorrt-llm", "B300", True), ("vllm", "T4", True), ("ollama", "T4", True),
    ("llama.cpp", "MI355X", True), ("llama.cpp", "Gaudi 3", False),
])  # fmt: skip
def test_an_engine_is_refused_on_devices_that_its_documentation_does_not_name(engine, device, runs):
    """nvidia.github.io/TensorRT-LLM, reference/support-matrix: Blackwell, Hopper, Ada and Ampere (SM80, SM86); vLLM,
    getting_started/installation: compute capability 7.0 (V100), T4 has 7.5; ollama, docs/gpu.mdx: 5.0."""
    refused = configured("Llama 3.1 8B", engine=engine, accelerator=device).serving.refused
    assert ("not_on_device" in [error.code for error in refused]) == (not runs)
    if runs:
        return
    with pytest.raises(InputError, match="does not run on") as caught:
        serve(LLAMA, Serving(engine=engine, device=device))
    assert caught.value.input_id == "engine"
    for other in caught.value.suggestions:
        found = configured("Llama 3.1 8B", engine=other, accelerator=device).serving
        assert "not_on_device" not in [error.code for error in found.refused]


@pytest.mark.parametrize("language", LANGUAGES)
def test_engines_are_called_by_their_names_where_one_is_refused(language):
    (problem,) = configured("Llama 3.1 8B", engine="tensorrt-llm", accelerator="M4 Max").serving.refused
    speak(language)
    try:
        told = problem_words(problem)
    finally:
        speak("en")
    assert told.startswith("TensorRT-LLM ")
    assert "vLLM, SGLang, llama.cpp, Ollama, transformers" in told


def test_no_device_is_offered_that_the_engine_does_not_run_on():
    offered = set(offers(LLAMA, Serving(engine="tensorrt-llm"), counts=(1,), formats=("fp8",)).device)
    of_nvidia = {id for id, row in ACCELERATORS.items() if row.vendor == "NVIDIA"}
    assert offered == of_nvidia - {"V100 32GB SXM2", "T4"}


@pytest.mark.parametrize(("engine", "device", "label"), [
    ("vllm", "H100 SXM", "logs"), ("llama.cpp", "RTX 4090", "logs"), ("llama.cpp", "M4 Max", "other_logs"),
    ("vllm", "MI300X", "other_logs"), ("vllm", "TPU v5e", "other_logs"), ("tensorrt-llm", "H100 SXM", "no_logs"),
])  # fmt: skip
def test_memory_is_from_logs_only_on_devices_of_the_kind_that_the_logs_are_of(engine, device, label):
    assert configured("Llama 3.1 8B", engine=engine, accelerator=device).serving.served_standing.reason == label


@pytest.mark.parametrize(("device", "format", "computed"), [
    ("V100 32GB SXM2", "bf16", "fp16"), ("T4", "fp8", "fp16"), ("A100 80GB SXM", "fp8", "bf16"), ("T4", "fp16", ""),
    ("H100 SXM", "fp8", ""), ("H100 SXM", "NVFP4", "bf16"), ("B200", "NVFP4", ""), ("T4", "int4 g128", ""),
    ("M4 Max", "bf16", ""),
])  # fmt: skip
def test_a_format_that_a_device_cannot_multiply_in_is_told(device, format, computed):
    """bf16 since Ampere, fp8 since Ada and Hopper, fp4 since Blackwell; Apple tells no rates."""
    assert computed_in(ACCELERATORS[device], format) == computed


@pytest.mark.parametrize(("model", "asked", "input_id", "instead"), [
    ("Llama 3 8B", {"context": 1_000_000}, "context", "8,192"),
    ("Llama 3.1 8B", {"input_tokens": 1_048_576, "output_tokens": 1, "context": 131_072}, "input_tokens",
     str(DEFAULTS["input_tokens"])),
    ("Llama 3.1 8B", {"engine": "llama.cpp", "serve_tensor": 4}, "serve_tensor", "1"),
    ("Llama 3.1 8B", {"engine": "ollama", "accelerator": "TPU v5e"}, "engine", "vLLM"),
])  # fmt: skip
def test_what_is_counted_in_place_of_what_is_refused_is_told_once(model, asked, input_id, instead):
    (problem,) = configured(model, **asked).serving.refused
    assert problem.input_id == input_id
    assert problem_words(problem).endswith(w("problems.meanwhile", value=instead))


def test_where_nothing_is_counted_nothing_is_said_to_be():
    (problem,) = (config := configured("T5 base")).serving.refused  # an encoder and a decoder, which vLLM refuses
    assert config.served is None
    assert "instead" not in problem.details


@pytest.mark.parametrize("engine", ["vllm", "tensorrt-llm"])
def test_the_memory_of_requests_has_one_standing_wherever_it_is_told(engine):
    config = configured("Llama 3.1 8B", purpose="inference", engine=engine)
    blocks = list(fits(config, "inference"))
    held = next(block for block in blocks if isinstance(block, Paragraph))
    (verdict,) = (span.text for span in held.line if span.kind == "badge")
    (frames,) = (block.frames for block in blocks if isinstance(block, Frames))
    badges = [span.text for frame in frames for span in frame.label if span.kind == "badge"]
    assert badges == [verdict] * 3


def test_an_encoder_is_asked_for_no_tokens_that_it_would_have_to_write():
    serving = configured("BERT base (encoder)").serving  # 512 tokens are given by default, its table has as many rows
    assert not serving.refused
    assert serving.context == 512
    writes = configured("GPT 117M").serving  # as many rows, and it would write 512 more
    assert [problem.code for problem in writes.refused] == ["longer_than_context"]


def test_the_pass_over_a_prompt_is_a_point_for_those_who_wait_for_a_seat_too():
    asked = {"engine": "vllm", "accelerator": "H200 SXM", "max_sequences": 1}
    one, four = (configured("Llama 3.1 8B", **asked, concurrency=users).serving.passes for users in (1, 4))
    assert [point.id for point in four] == ["decoding", "prefill"]
    assert [point.rate for point in four] == pytest.approx([point.rate for point in one])
