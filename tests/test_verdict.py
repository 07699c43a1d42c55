"""One answer everywhere: whether it fits is said with the same words on every page, of the devices that there are."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import date

import numpy as np
import pytest
from configurations import configured
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened_app import charts, metrics, opened

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.comparison import pinned_of
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import TAKES_DEVICES, Layout
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, PASTED, one_number_of_devices
from llmcalc.kinds import Integer
from llmcalc.link import read_link
from llmcalc.link_text import link_parameters, written
from llmcalc.sweeps import side_by_side
from llmcalc.words import w
from pages.content import fits as what_fits
from pages.content.report import report
from pages.ui.document.blocks import Notice
from pages.ui.document.markdown import markdown
from pages.ui.words.numbers import exact, human
from pages.ui.words.verdict import held_words, verdict_words

PAGES = ("explore", "training", "fits", "cluster")
MODELS = (
    "GPT-2 124M",
    "Llama 3 8B",
    "Mixtral 8x7B",
    "Gemma 3 1B",
    "T5 small",
    "BERT base (encoder)",
    "DeepSeek-V3 671B",
)
DEVICES_OF_A_PLAN = ("data_parallel", "tensor_parallel", "pipeline_parallel", "context_parallel")
configurations = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS)},
    optional={
        "batch_size": st.integers(1, 128),
        "seq_len": st.sampled_from([128, 1000, 1024, 8192]),
        "accelerator": st.sampled_from(list(ACCELERATORS)),
        "n_devices": st.integers(1, 16),
        "tensor_parallel": st.sampled_from([1, 2, 3, 4]),
        "pipeline_parallel": st.sampled_from([1, 2]),
        "zero_stage": st.integers(0, 3),
        "recompute": st.sampled_from(["none", "full"]),
        "precision": st.sampled_from(["amp_bf16", "fp32", "bf16"]),
        "lora_rank": st.sampled_from([0, 16]),
        "account": st.sampled_from(["corrected", "article"]),
        "counted_on": st.sampled_from(["each", "one"]),
        "purpose": st.sampled_from(["training", "inference"]),
        "concurrency": st.integers(1, 128),
        "context": st.sampled_from([None, 1024, 4096]),
        "offload_optimizer": st.booleans(),
        "fragmentation": st.sampled_from([0.0, 14.0, 30.0]),
    },
)


def told(page, link):
    """What the verdict says on a page."""
    app = opened(page, {key: written(value) for key, value in link.items()})
    marks = (":material/check_circle:", ":material/cancel:")
    return next(m.value for m in app.main.markdown if any(mark in m.value for mark in marks)), app


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(link=configurations)
def test_every_page_gives_the_same_verdict(link):
    """Of training; Explore and What fits answer for serving where that is asked."""
    pages = PAGES if link.get("purpose") != "inference" else ("training", "cluster")
    texts = {page: told(page, link) for page in pages}
    config = Configuration({id: texts["training"][1].session_state[id] for id in DEFAULTS})
    assert {text for text, _ in texts.values()} == {verdict_words(config)}


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(link=configurations)
def test_where_the_question_is_to_serve_its_answer_is_that_of_serving(link):
    link |= {"purpose": "inference"}
    assert told("explore", link)[0] == told("serving", link)[0]


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(link=configurations)
def test_every_page_says_the_same_of_inference(link):
    link |= {"purpose": "inference"}
    asked = {key: written(value) for key, value in link.items()}
    fits = opened("fits", asked)
    config = Configuration({id: fits.session_state[id] for id in DEFAULTS})
    verdict, counted = config.verdict_of_inference, human(config.inference.value, "bytes")
    assert config.served is None or config.served.needed.value == verdict.needed.value, "what Explore and Serving say"
    sizes = {"batch": exact(config.values["batch_size"]), "length": exact(config.values["seq_len"])}
    sentence = held_words(config)
    assert sum(sentence in m.value for m in fits.main.markdown) == 1
    in_words = re.sub(r":\w+\[:material/\w+:\]|\*", "", sentence).strip()
    assert in_words in markdown(report(config, "", date(2026, 1, 1))).replace("*", "")
    assert metrics(fits)[w("fits.this_run")] == human(verdict.needed.value, "bytes")
    assert metrics(opened("explore", asked))[w("explore.inference", **sizes)] == counted
    (_, _, memory, _) = charts(opened("compare", {**asked, "compare": "GPT-2 124M"}))
    assert memory["data"][-1]["text"][-1].strip() == human(verdict.needed.value, "bytes")


@settings(max_examples=60, deadline=None)
@given(link=configurations)
def test_all_that_a_configuration_says_of_fitting_agrees(link):
    config = configured(**link)
    verdict = config.verdict
    assert verdict.fits == (verdict.needed.value <= verdict.available.value)
    assert not verdict.fits or not config.advice()
    assert verdict.devices == config.layout.devices
    largest = int(config.largest_that_fits("training", "batch_size", [verdict.available.value])[0])
    assert verdict.fits == (config.values["batch_size"] <= largest)
    assert config.on_each.peak.value == verdict.allocated.value


@settings(max_examples=40, deadline=None)
@given(link=configurations)
def test_all_that_a_configuration_says_of_inference_agrees(link):
    config = configured(**link)
    serving = config.verdict_of_inference
    (many, number), (_, length) = config.sizes_of("inference").items()
    largest = int(config.largest_that_fits("inference", many, [config.accelerator.memory])[0])
    assert serving.fits == (serving.needed.value <= serving.available.value)
    assert serving.fits == (number <= largest)
    needed = config.needed_for("inference", number, length)
    assert needed == pytest.approx(serving.needed.value, rel=1e-9)


@pytest.mark.parametrize("fits", [(80, False), (70, True)])
def test_a_batch_that_every_page_once_judged_otherwise(fits):
    # GPT-2 at batch 80: its tensors are within the device, the process is not
    batch, expected = fits
    config = configured("GPT-2 124M", batch_size=batch)
    assert config.verdict.allocated.value < config.verdict.available.value
    assert config.verdict.fits == expected


def test_a_plan_that_is_put_to_use_needs_what_the_table_of_plans_says():
    config = configured("Llama 3 8B", n_devices=4, batch_size=1, seq_len=8192, accelerator="A100 80GB SXM")
    for place in (0, 7, 100, -1):
        plan = config.plans.iloc[place]
        used = config.with_plan(plan)
        assert used.uses(plan)
        assert used.verdict.devices == 4
        assert used.verdict.needed.value == pytest.approx(plan["needed"], rel=1e-9)
        assert used.verdict.fits == plan["fits"]


# One number of devices


def test_without_a_number_the_layout_says_how_many_and_without_copies_the_number_does():
    assert configured("GPT-2 124M").verdict.devices == 1
    assert configured("GPT-2 124M", data_parallel=4, tensor_parallel=2).n_devices == 8
    config = configured("GPT-2 124M", n_devices=8, tensor_parallel=2)
    assert (config.layout.data_parallel, config.cluster.devices, config.verdict.devices) == (4, 8, 8)


def test_two_numbers_of_devices_that_differ_are_told():
    config = configured("GPT-2 124M", n_devices=8, data_parallel=2)
    assert [problem.code for problem in config.contradictions] == ["other_devices"]
    assert config.verdict.devices == 2
    assert [p.code for p in configured("GPT-2 124M", n_devices=7, tensor_parallel=2).contradictions] == [
        "other_devices"
    ]


def test_where_the_layout_cannot_be_one_number_of_devices_is_said_to_be_counted():
    # neither 32 heads over 3 devices nor 32 layers over 64: undivided, the model has a copy on each of the 4 there are
    config = configured("Llama 3 8B", n_devices=4, tensor_parallel=3, pipeline_parallel=64)
    assert (config.layout.data_parallel, config.layout.devices, config.verdict.devices) == (4, 4, 4)
    assert {problem.input_id for problem in config.contradictions} == {"tensor_parallel", "pipeline_parallel"}
    # with as many copies as it is told there is another number: that of what is counted, and it is not to be taken over
    config = configured("Llama 3 8B", n_devices=6, data_parallel=2, tensor_parallel=3)
    told = next(problem for problem in config.contradictions if problem.code == "other_devices")
    assert (told.details["taken"], told.suggestions) == (config.verdict.devices, ()) == (2, ())


def test_of_two_numbers_of_devices_the_one_that_was_set_last_stands():
    before = {**DEFAULTS, "n_devices": 8, "data_parallel": 8}
    assert one_number_of_devices(before, {**before, "n_devices": 16}) == {"data_parallel": None}
    assert one_number_of_devices(before, {**before, "tensor_parallel": 2}) == {"n_devices": None}
    assert one_number_of_devices(before, {**before, "tensor_parallel": 2, "data_parallel": 4}) == {}
    assert one_number_of_devices(before, {**before, "batch_size": 1}) == {}


def of_version_2(**changes):
    """What a link of version 2 said: it wrote every value."""
    values = {**DEFAULTS, "n_devices": 64, "data_parallel": 1, **changes}
    return {**link_parameters(values), "v": "2"}


def meant(parameters, page):
    """The configuration that a link describes."""
    link = read_link({key: [text] for key, text in parameters.items()})
    assert not link.problems
    return Configuration(link.on_page(page).values)


@settings(max_examples=40, deadline=None)
@given(sizes=st.fixed_dictionaries({key: st.sampled_from([1, 2, 4]) for key in DEVICES_OF_A_PLAN}))
@pytest.mark.parametrize("page", ["explore", "training", "fits", "learn"])
def test_a_link_of_version_2_keeps_its_layout(page, sizes):
    config = meant(of_version_2(**sizes), page)
    assert {key: getattr(config.layout, key) for key in sizes} == sizes
    assert not [problem for problem in config.contradictions if problem.code == "other_devices"]


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_a_link_of_version_2_to_the_plans_keeps_their_devices_and_their_global_batch(batch):
    cluster = meant(of_version_2(batch_size=batch, gradient_accumulation=2), "cluster").cluster
    assert (cluster.devices, cluster.global_batch) == (64, 2 * batch)


@pytest.mark.parametrize("version", [{}, {"v": "5"}, {"v": "6"}, {"v": "7"}])
def test_any_other_link_means_the_same_on_every_page(version):
    given = {"n_devices": "4", "data_parallel": "2", **version}
    link = read_link({key: [text] for key, text in given.items()})
    assert all(link.on_page(page) == link for page in PAGES)
    config = meant(given, "cluster")
    assert config.verdict.devices == 2
    assert [problem.code for problem in config.contradictions] == ["other_devices"]


VISION = '{"model_type": "gemma3", "text_config": {"num_hidden_layers": 4}, "vision_config": {"num_hidden_layers": 2}}'


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_link_to_adapters_keeps_the_formats_that_they_had(version):
    given = {"v": version, "model": "Llama 3 8B", "lora_rank": "8", "lora_base": "NF4", "dropout": "0.1"}
    run = meant(given, "training").run
    assert (run.lora_base, run.lora_precision, run.lora_dropout) == ("NF4-double", "same", 0.1)
    run = meant({**given, "v": "4"}, "training").run
    assert (run.lora_base, run.lora_precision, run.lora_dropout) == ("NF4", "fp32", 0.0)


@pytest.mark.parametrize(("version", "towers"), [("2", "left_out"), ("3", "left_out"), ("4", "frozen")])
def test_a_link_to_a_model_that_sees_keeps_what_was_counted_of_it(version, towers):
    config = meant({"v": version, "model": PASTED, "config": VISION}, "explore")
    assert config.values["towers"] == towers
    assert bool(config.model.beside) == (towers != "left_out")
    plain = meant({"v": version, "model": "GPT-2 124M"}, "explore")
    assert plain.values == Configuration({"model": "GPT-2 124M", "price_per_hour": 2.0}).values


@pytest.mark.parametrize("page", [*PAGES, "serving", "cost"])
@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_a_link_without_a_price_keeps_the_one_that_stood_there(version, page):
    assert meant({"v": version}, page).values["price_per_hour"] == 2
    assert meant({"v": version, "price_per_hour": ""}, page).values["price_per_hour"] == 2
    assert meant({"v": version, "price_per_hour": "0"}, page).values["price_per_hour"] == 0


@pytest.mark.parametrize("version", [{}, {"v": "5"}, {"v": "6"}, {"v": "7"}])
def test_a_price_is_the_readers_or_none(version):
    prices = {None: None, "": None, "0": 0, "2.5": 2.5}
    for text, price in prices.items():
        given = {} if text is None else {"price_per_hour": text}
        assert meant({**given, **version}, "cost").values["price_per_hour"] == price


IN_FOUR_BITS = (
    '{"model_type": "llama", "num_hidden_layers": 2,'
    ' "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}'
)


@pytest.mark.parametrize(("version", "as_published"), [("2", False), ("5", False), ("6", True), (None, True)])
def test_a_link_to_quantised_weights_serves_them_as_they_are_or_as_it_always_did(version, as_published):
    given = {"model": PASTED, "config": IN_FOUR_BITS, **({"v": version} if version else {})}
    served = meant(given, "serving").served
    assert (served.job.weights == "bf16") != as_published
    # two layers of LLaMA's defaults: 4,096 wide, networks of 11,008, in 16 bits; tables of 32,000 in 16 bits in both
    layers, tables = 2 * (4 * 4096**2 + 3 * 4096 * 11_008), 2 * 32_000 * 4096
    in_bytes = 2 * tables + layers * (4.16 / 8 if as_published else 2)
    assert served.weights.value == pytest.approx(in_bytes, rel=0.01)
    assert meant({**given, "weight_format": "int8"}, "serving").served.job.weights == "int8"


@pytest.mark.parametrize(
    ("model", "devices", "accelerator"),
    [
        ("DeepSeek-V3 671B", 8, "H200 SXM"),  # SGLang's instructions for DeepSeek-V3: one node of 8 H200
        ("gpt-oss 120B", 1, "H100 SXM"),  # OpenAI's model card: on a single GPU of 80 GB
    ],
)
def test_a_model_is_served_as_it_is_published(model, devices, accelerator):
    asked = {"model": model, "accelerator": accelerator, "serve_tensor": devices, "context": 4096}
    assert Configuration(asked).verdict_of_inference.fits
    assert not Configuration({**asked, "weight_format": "bf16"}).verdict_of_inference.fits


def test_every_field_of_a_layout_is_an_input():
    of_layout = [INPUTS[field.name] for field in fields(Layout)]
    asked = {i.id: (i.low, i.high, i.default) if isinstance(i, Integer) else i.default for i in of_layout}
    assert asked == {
        "data_parallel": (1, 100_000, None),  # left empty, as many as there are devices for
        "zero_stage": (0, 3, 0),  # stages of Rajbhandari et al. 2020, sec. 5
        "tensor_parallel": (1, 1_024, 1),
        "sequence_parallel": False,
        "pipeline_parallel": (1, 1_000, 1),
        "interleave": (1, 1_000, 1),
        "context_parallel": (1, 1_024, 1),
        "expert_parallel": (1, 1_024, 1),
        "offload_optimizer": False,
        "ddp_bucket_view": False,
        "keep_gathered": False,
    }


def test_a_layout_takes_the_product_of_its_degrees():
    assert Layout(data_parallel=2, tensor_parallel=3, pipeline_parallel=5, context_parallel=7).devices == 2 * 3 * 5 * 7
    split = Layout(zero_stage=3, sequence_parallel=True, interleave=2, expert_parallel=4, offload_optimizer=True)
    assert split.devices == 1
    assert set(TAKES_DEVICES) == set(DEVICES_OF_A_PLAN)


def test_what_a_configuration_leaves_out_is_as_its_model_has_it():
    assert Configuration({"model": "Llama 3 8B"}).model.parameters().value == 8_030_261_248  # as Meta publishes it
    assert Configuration({}).values == DEFAULTS
    assert Configuration({"model": "Llama 3 8B", "n_layers": 16}).model.n_layers == 16


@pytest.mark.parametrize("wrong", [{"model": "no such"}, {"accelerator": "H200"}, {"nope": 1}])
def test_a_configuration_says_which_of_its_values_cannot_be(wrong):
    with pytest.raises(InputError) as error:
        Configuration(wrong)
    assert error.value.input_id in wrong


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "llama.cpp"])
def test_inference_on_every_page_is_what_serving_says_of_as_many_requests(engine):
    """The batch as requests at once, each as long as its sequences: Serving, asked the same, is to the byte."""
    config = configured("Llama 3.1 8B", engine=engine, batch_size=6, seq_len=4096, accelerator="A100 80GB SXM")
    served = Configuration({**config.values, "concurrency": 6, "context": 4096}).served
    assert config.verdict_of_inference.needed.value == served.needed.value
    assert config.verdict_of_inference.fits == served.fits
    # between one request and many it grows by as much each, at any length: what a sweep draws
    batches, lengths = np.array([[1.0], [6.0], [40.0]]), np.array([[512.0, 4096.0, 20_000.0]])
    drawn = config.needed_for("inference", batches, lengths)
    for (i, j), found in np.ndenumerate(drawn):
        alone = configured("Llama 3.1 8B", engine=engine, batch_size=int(batches[i, 0]), seq_len=int(lengths[0, j]),
                           accelerator="A100 80GB SXM")  # fmt: skip
        assert found == pytest.approx(alone.verdict_of_inference.needed.value, rel=1e-9)
    longest = int(config.largest_that_fits("inference", "seq_len", [config.accelerator.memory])[0])
    for length, fits in ((longest, True), (longest + 1, longest == 131_072)):
        assert Configuration({**config.values, "seq_len": length}).verdict_of_inference.fits == fits


def test_what_is_asked_of_serving_is_what_every_page_counts():
    """32 users of 32,768 tokens, whatever batch and length a step of training would have."""
    asked = {"model": "Llama 3.1 8B", "purpose": "inference", "concurrency": 32, "context": 32_768, "batch_size": 8,
             "accelerator": "B300"}  # fmt: skip
    config = Configuration(asked)
    cache = 32 * 32_768 * 2 * 32 * 8 * 128 * 2  # users, tokens, keys and values, layers, heads, width, bytes
    assert cache < config.served.needed.value - config.served.weights.value < 1.05 * cache
    assert config.verdict_of_inference.needed.value == config.served.needed.value
    assert config.sizes_of("inference") == {"concurrency": 32, "context": 32_768}
    most = {knob: int(config.largest_that_fits("inference", knob, [config.accelerator.memory])[0])
            for knob in config.knobs_of("inference")}  # fmt: skip
    assert most["concurrency"] == config.serving.users
    beside = [*side_by_side(config, [pinned_of(config.values)])]
    assert len({model.verdict_of_inference.needed.value for model in beside}) == 1
    (served,) = (take.verdict for take in config.takes if take.way == "inference" and take.format == "bf16")
    assert served.needed.value == config.served.needed.value


@pytest.mark.parametrize("page", ["fits", "compare"])
@pytest.mark.parametrize(("version", "counted"), [("5", (4, 2048)), ("6", (4, 2048)), ("7", (32, 4096)),
                                                  (None, (32, 4096))])  # fmt: skip
def test_a_link_to_inference_counts_the_batch_as_it_did_or_the_users(version, counted, page):
    given = {"model": "Llama 3 8B", "purpose": "inference", "batch_size": "4", "seq_len": "2048", "concurrency": "32",
             "context": "4096", **({"v": version} if version else {})}  # fmt: skip
    requests = meant(given, page).requests
    assert (requests.number, requests.length) == counted
    assert meant(given, "serving").values["concurrency"] == 32


def test_a_context_is_told_by_all_its_digits():
    assert human(8192, "tokens") == "8,192"
    assert human(1_048_576, "tokens") == "1,048,576"
    assert human(15e12, "tokens") == "15.0 T"


def test_what_would_do_where_no_request_fits_speaks_of_inference_and_of_the_same_memory():
    # 671 B parameters in 8 bits are 625 GiB, beyond any device: recomputation and adapters change nothing of that
    config = configured("DeepSeek-V3 671B", weight_format="fp8", accelerator="B300", batch_size=1)
    notice = next(block for block in what_fits.fits(config, "inference") if isinstance(block, Notice))
    told = "".join(span.text for span in notice.line)
    assert "Not even one request" in told
    assert human(config.verdict_of_inference.needed.value, "bytes") in told
    assert not any(word in told for word in ("LoRA", "Recomputation", "optimizer"))


def test_a_context_beyond_any_that_is_tried_has_a_longest_too():
    """Contexts may be longer than sequences of training: a pass of transformers is read off lengths up to a million."""
    asked = {"purpose": "inference", "engine": "transformers", "model": "Llama 3.2 1B", "accelerator": "M4 Max"}
    config = Configuration({**asked, "context": INPUTS["context"].ends[-1]})
    assert config.needed_for("inference", 1, [2**20, 2**23])[1] > config.needed_for("inference", 1, [2**20])[0]
    assert config.largest_that_fits("inference", "context", [config.accelerator.memory])[0] >= 0
