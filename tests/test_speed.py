"""How fast a model is served: laws for every model and machine, sums done by hand, and runs of real machines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import for_each

from llmcalc import Serving, serve
from llmcalc.accuracy.speed import (
    TIMES,
    error_of,
    error_of_rate,
    errors_of,
    fitted_runs,
    left_out,
    likely,
    predicted,
    served_rates,
    served_runs,
)
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.models import model as published
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config
from llmcalc.serving.speed import Load, Machine, Split, machine_of, machines_of, speed
from llmcalc.serving.speed.constants import CONSTANTS, OF_STEP, SPREAD

MODELS = {
    name: from_config(published(name).config)
    for name in ("llama-3.1-8b", "qwen3-32b", "deepseek-r1", "gpt-oss-120b", "qwen3-next-80b-a3b", "mixtral-8x7b")
}
DEVICES = ("H100 SXM", "B200", "A100 80GB SXM", "RTX 4090", "MI300X", "T4")
FORMATS = ("bf16", "fp8", "NVFP4", "int4 g128", "GGUF Q4_K_M")
FIT = Path(__file__).parent / "oracle" / "fit_speed.py"

each_setting = given(
    name=st.sampled_from(list(MODELS)),
    device=st.sampled_from(DEVICES),
    weights=st.sampled_from(FORMATS),
    tensor_parallel=st.sampled_from((1, 2, 8)),
    data_parallel=st.sampled_from((1, 4)),
    concurrency=st.integers(1, 1000),
    input_tokens=st.integers(1, 100_000),
    output_tokens=st.integers(1, 10_000),
)


def served(name, device, weights="bf16", *, tensor_parallel=1, data_parallel=1, engine="vllm", **asked):
    split = Split(tensor_parallel=tensor_parallel, data_parallel=data_parallel)
    machine = machine_of(ACCELERATORS[device], weights)
    return speed(MODELS[name], machine=machine, split=split, load=Load(**asked), weight_format=weights, engine=engine)


# Laws


@settings(max_examples=60, deadline=None)
@each_setting
def test_more_users_never_make_one_faster_and_all_together_never_slower(**setting):
    more = setting | {"concurrency": 2 * setting["concurrency"]}
    few, many = served(**setting), served(**more)
    for what in TIMES:
        assert getattr(few, what).value <= getattr(many, what).value * (1 + 1e-12)
    assert few.tokens_per_second.value <= many.tokens_per_second.value * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@each_setting
def test_a_longer_prompt_is_never_faster(**setting):
    short, long = served(**setting), served(**setting | {"input_tokens": setting["input_tokens"] + 1000})
    for what in TIMES:
        assert getattr(short, what).value <= getattr(long, what).value
    assert short.tokens_per_second.value >= long.tokens_per_second.value


@settings(max_examples=60, deadline=None)
@each_setting
def test_a_lone_request_has_its_first_token_however_much_it_is_to_write(**setting):
    alone = setting | {"concurrency": 1}
    one, long = served(**alone | {"output_tokens": 1}), served(**alone)
    assert one.time_to_first_token.value == pytest.approx(long.time_to_first_token.value, rel=1e-12)
    assert one.step.inputs["prompts_time"].value == 0  # nobody else asks
    assert one.time_between_tokens.value <= long.time_between_tokens.value  # whose cache is longer


@settings(max_examples=60, deadline=None)
@each_setting
@pytest.mark.parametrize("room", [None, 512])
def test_longer_answers_never_have_more_of_others_prompts_in_a_step_and_no_step_more_than_it_holds(room, **setting):
    setting |= {"step_room": room}
    short, long = served(**setting), served(**setting | {"output_tokens": 2 * setting["output_tokens"]})
    a, b = (found.step.inputs["prompts_time"].inputs["prompt_seconds"] for found in (short, long))
    assert b.value <= a.value * (1 + 1e-12)
    mixed = a.inputs["product_seconds"].inputs["pass_tokens"].value
    assert mixed <= min(room or np.inf, setting["input_tokens"] * (setting["concurrency"] - 1))


@settings(max_examples=60, deadline=None)
@each_setting
@pytest.mark.parametrize("room", [None, 512])
def test_no_machine_reads_more_prompts_than_its_rate_of_products_allows(room, **setting):
    """However short the answers, and however few tokens of prompts a step holds: two operations for each weight and
    token are done once for every prompt, by all devices together."""
    found = served(**setting, step_room=room)
    prompts = found.tokens_per_second.value / setting["output_tokens"]
    device = found.time_to_first_token.inputs["queued_time"].inputs["prompts_time"].inputs["prompt_seconds"]
    devices = setting["data_parallel"]
    assert prompts * device.value <= devices * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@each_setting
def test_nothing_is_faster_than_the_roofline(**setting):
    found = served(**setting)
    assert found.time_between_tokens.value > found.step_bound.value
    assert found.time_to_first_token.value > found.prompt_bound.value
    assert found.tokens_per_second.value < setting["concurrency"] / found.step_bound.value * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@each_setting
def test_a_faster_machine_is_never_slower(**setting):
    name, weights = setting["name"], setting["weights"]
    asked = {key: setting[key] for key in ("concurrency", "input_tokens", "output_tokens")}
    machine = machine_of(ACCELERATORS[setting["device"]], weights)
    slow = speed(MODELS[name], machine=machine, load=Load(**asked), weight_format=weights)
    for field in ("bandwidth", "product_flops", "score_flops"):
        better = Machine(**vars(machine) | {field: 2 * vars(machine)[field]})
        fast = speed(MODELS[name], machine=better, load=Load(**asked), weight_format=weights)
        for what in TIMES:
            assert getattr(fast, what).value <= getattr(slow, what).value


def test_a_sweep_equals_the_same_numbers_one_by_one():
    users, tensor = np.array([1, 7, 300]), np.array([1, 2, 8])
    devices = [ACCELERATORS[id] for id in ("H100 SXM", "RTX 4090", "MI300X")]
    for name in MODELS:
        swept = speed(
            MODELS[name],
            machine=machines_of(devices, "fp8"),
            split=Split(tensor_parallel=tensor),
            load=Load(concurrency=users),
            weight_format="fp8",
        )
        for i, device in enumerate(devices):
            one = served(name, device.id, "fp8", tensor_parallel=int(tensor[i]), concurrency=int(users[i]))
            for what, quantity in vars(one).items():
                assert getattr(swept, what).value[i] == pytest.approx(quantity.value, rel=1e-12), (name, what)


@for_each("name", MODELS)
def test_each_figure_has_its_unit_and_its_working(name):
    found = served(name, "H100 SXM", "fp8", tensor_parallel=2, concurrency=16)
    units = {what: quantity.unit for what, quantity in vars(found).items()}
    rate, energy = units.pop("tokens_per_second"), units.pop("energy_per_token")
    assert (rate, energy, set(units.values())) == ("tokens/s", "J", {"s"})
    assert all(not quantity.is_given for quantity in vars(found).values())
    assert found.step.value == pytest.approx(sum(part.value for part in found.step.parts))


# Sums done by hand


def test_one_user_of_llama_3_1_8b_reads_its_weights_but_the_table_and_its_cache_for_each_token():
    """8,030,261,248 parameters, of which 128,256 × 4,096 are looked up; a token of the cache is 32 layers × 2 × 8 heads
    × 128 numbers; 1,024 tokens of a prompt and half of 1,024 that are written. H100 SXM: 3.35 TB/s."""
    read = 2 * (8_030_261_248 - 128_256 * 4096) + 2 * 32 * 2 * 8 * 128 * (1024 + 512)
    found = served("llama-3.1-8b", "H100 SXM")
    assert found.step_bound.value == pytest.approx(read / 3.35e12, rel=1e-9)


def test_a_pass_over_a_prompt_costs_two_operations_a_weight_and_token():
    """The same weights, at 989 TFLOPS, and Kaplan's 2 × layers × tokens × width for attention (32 heads of 128)."""
    flops = 8192 * (2 * (8_030_261_248 - 128_256 * 4096) + 2 * 32 * 8192 * 4096)
    found = served("llama-3.1-8b", "H100 SXM", input_tokens=8192)
    assert found.prompt_bound.value == pytest.approx(flops / 989e12, rel=1e-9)


def test_two_thousand_users_are_bound_by_arithmetic():
    """Each token is multiplied with all weights and, in 32 layers, by four operations with 32 heads of 128 of the two
    tokens before it; reading the same 15 GB takes 4.5 ms, this 30."""
    flops = 2000 * (2 * (8_030_261_248 - 128_256 * 4096) + 4 * 32 * 4096 * 2)
    found = served("llama-3.1-8b", "H100 SXM", concurrency=2000, input_tokens=1, output_tokens=2, prefill_apart=True)
    assert found.step_bound.value == pytest.approx(flops / 989e12, rel=1e-9)
    assert found.step.inputs["work_time"].value == pytest.approx(
        flops / (989e12 * CONSTANTS["compute_share"].value), rel=1e-9
    )


@pytest.mark.parametrize(("users", "share"), [(1, 8 / 256), (2, 1 - (248 / 256) ** 2), (10_000, 1)])
def test_the_share_of_experts_that_users_touch(users, share):
    """DeepSeek-R1: 8 of 256 experts, 58 layers of 3 × 7,168 × 2,048 each; fp8 in tiles of 128 × 128 with a scale."""
    reading = served("deepseek-r1", "B200", "fp8 128×128", concurrency=users).step.inputs["work_time"].inputs
    experts = reading["reading_seconds"].inputs["read_bytes"].inputs["read_expert_bytes"]
    whole = 58 * 256 * 3 * 7168 * 2048 * (8 + 32 / 128**2) / 8
    assert experts.value == pytest.approx(whole * share, rel=1e-9)


def test_all_reduces_send_two_hidden_states_a_layer_around_the_ring():
    """Four devices: each sends 2 × 3/4 of a hidden state of 4,096 × 2 bytes twice a layer, for one token that is
    written: a lone request has no prompts of others beside it; NVLink of H100: 450 GB/s one way."""
    sent = served("llama-3.1-8b", "H100 SXM", tensor_parallel=4).step.inputs["link_time"].inputs["message_seconds"]
    assert sent.value == pytest.approx(32 * 2 * 2 * (3 / 4) * 4096 * 2 / 450e9)


def test_heads_of_keys_and_values_limit_how_far_a_cache_is_split_and_a_latent_one_is_whole_everywhere():
    def cache(name, tensor):
        reading = served(name, "B200", tensor_parallel=tensor).step.inputs["work_time"].inputs["reading_seconds"]
        return reading.inputs["read_bytes"].inputs["read_cache_bytes"].value

    assert cache("llama-3.1-8b", 1) == 8 * cache("llama-3.1-8b", 8) == 8 * cache("llama-3.1-8b", 16)
    assert cache("deepseek-r1", 1) == cache("deepseek-r1", 8) == 61 * 576 * 2 * 1536


def test_a_draft_that_is_always_refused_costs_and_a_good_one_pays():
    plain = served("qwen3-32b", "H100 SXM", "fp8").time_between_tokens.value
    refused = served("qwen3-32b", "H100 SXM", "fp8", tokens_each=4, draft_share=0.1).time_between_tokens.value
    assert refused == pytest.approx(1.3 * plain)  # three more steps of the draft, a tenth of one each
    good = served("qwen3-32b", "H100 SXM", "fp8", tokens_each=4, acceptance=0.8, draft_share=0.1)
    # Leviathan et al. 2023, eq. 1: (1 − 0.8⁴) / (1 − 0.8) = 2.952 tokens a step, at 1.3 times its time
    assert good.time_between_tokens.value == pytest.approx(good.step.value * 1.3 / 2.952)
    assert good.time_between_tokens.value < plain


def test_who_has_no_seat_waits_for_the_answers_before():
    """Thirty users, ten seats: two rounds of answers come first, and the machine does no more than with ten."""
    five, ten, thirty = (served("llama-3.1-8b", "H100 SXM", concurrency=n, seats=10) for n in (5, 10, 30))
    assert five.time_to_first_token.value == served("llama-3.1-8b", "H100 SXM", concurrency=5).time_to_first_token.value
    waited = thirty.time_to_first_token.value - ten.time_to_first_token.value
    assert waited == pytest.approx(2 * 1024 * ten.time_between_tokens.value)
    assert thirty.tokens_per_second.value == pytest.approx(ten.tokens_per_second.value)


def test_nine_others_who_write_one_token_are_read_before_and_who_write_a_hundred_beside():
    """Ten users of one replica, prompts of 1,000 tokens. Each answer of a single token needs a whole prompt: nine are
    read before. In answers of 100 there are 99 steps after the first token, each with 9 × 1,000 / 100 tokens: 0.09
    prompts are left. A step that holds 50 leaves 9 − 99 × 50 / 1,000."""

    def before(output_tokens, room=None):
        asked = {"concurrency": 10, "input_tokens": 1000, "output_tokens": output_tokens, "step_room": room}
        return served("llama-3.1-8b", "H100 SXM", **asked).time_to_first_token.inputs["prompts_before"].value

    assert before(1) == pytest.approx(9)
    assert before(100) == pytest.approx(0.09)
    assert before(100, 50) == pytest.approx(4.05)


def test_where_prompts_are_read_on_other_devices_decoding_is_faster_and_the_first_token_is_theirs():
    apart = served("qwen3-32b", "H100 SXM", "fp8", concurrency=64, prefill_apart=True)
    assert apart.time_between_tokens.value < served("qwen3-32b", "H100 SXM", "fp8", concurrency=64).step.value
    assert apart.time_to_first_token is None
    assert apart.tokens_per_second.value == pytest.approx(64 / apart.time_between_tokens.value)


def test_a_device_whose_rate_is_not_known_is_told_by_its_bandwidth_alone():
    found = served("llama-3.1-8b", "M4 Max", "GGUF Q4_K_M")
    assert found.time_to_first_token is found.prompt_bound is found.energy_per_token is None
    assert found.tokens_per_second.value == pytest.approx(1 / found.time_between_tokens.value)
    machine = machines_of([ACCELERATORS[id] for id in ("H100 SXM", "M4 Max")], "GGUF Q4_K_M")
    swept = speed(MODELS["llama-3.1-8b"], machine=machine, weight_format="GGUF Q4_K_M")
    assert np.isnan(swept.time_to_first_token.value).tolist() == [False, True]
    assert swept.tokens_per_second.value[1] == pytest.approx(found.tokens_per_second.value)


def test_energy_is_rated_power_over_the_rate():
    found = served("llama-3.1-8b", "H100 SXM", tensor_parallel=4)
    assert found.energy_per_token.value == pytest.approx(4 * 700 / found.tokens_per_second.value)


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "concurrency", "tokens_each", "seats"])
def test_less_than_one_is_refused(name):
    with pytest.raises(InputError, match=name):
        Load(**{name: 0})


@pytest.mark.parametrize("size", [float("nan"), True, "7", [1, float("nan")]])
def test_a_size_that_is_no_number_is_refused(size):
    with pytest.raises(InputError, match="concurrency"):
        Load(concurrency=size)


@pytest.mark.parametrize("chance", [-0.1, 1])
def test_a_chance_that_is_none_is_refused(chance):
    with pytest.raises(InputError, match="acceptance"):
        Load(acceptance=chance)


# Runs of real machines


def test_the_runs_are_all_there():
    assert len(served_runs()) == 1657
    assert len(fitted_runs()) == 1346
    assert sum(row.prefill_apart for row in served_runs()) == 164
    assert len({row.combination for row in fitted_runs()}) == 32


def test_runs_of_combinations_that_were_left_out_of_the_fit_are_predicted():
    """Of the time between tokens half the runs are within 12 %, nine of ten within 40 %; of the time to the first token
    half within 40 %."""
    between, first = (errors_of(error_of(row, what, fitted=False) for row in fitted_runs()) for what in TIMES)
    assert between.median < 0.12
    assert between.p90 < 0.40
    assert 0.95 < between.bias < 1.05
    assert first.median < 0.40


def test_sets_of_which_nothing_was_fitted_are_predicted_too():
    off = {
        name: errors_of(error_of_rate(row) for row in served_rates() if row.set == name)
        for name in ("gpt-fast", "TensorRT-LLM 1.0")
    }
    assert off["TensorRT-LLM 1.0"].median < 0.15
    assert off["gpt-fast"].median < 0.25
    apart = errors_of(error_of(row, TIMES[0]) for row in served_runs() if row.prefill_apart)
    assert apart.median < 0.25


def test_a_run_alone_is_predicted_as_among_others():
    for row in fitted_runs()[::200]:
        for what in TIMES:
            alone = getattr(predicted(row), what).value / getattr(row, what) - 1
            assert alone == pytest.approx(error_of(row, what), rel=1e-9)


@for_each("name", CONSTANTS)
def test_the_spread_of_a_constant_is_that_of_the_fits_without_each_combination(name):
    constant, found = CONSTANTS[name], [fit[name].value for fit in left_out().values()]
    assert len(found) == 32
    assert constant.low <= constant.value <= constant.high
    assert (constant.low, constant.high) == pytest.approx((min(found), max(found)), rel=0.01)


def test_no_share_of_a_peak_is_more_than_all_of_it():
    assert all(CONSTANTS[name].value <= 1 for name in OF_STEP if name.endswith("_share"))


@pytest.mark.parametrize("what", TIMES)
def test_of_ten_runs_one_is_below_the_spread_that_is_told_and_one_above(what):
    measured = [1 / (1 + error_of(row, what, fitted=False)) for row in fitted_runs()]
    assert SPREAD[what] == pytest.approx(np.percentile(measured, [10, 90]), rel=0.01)


def test_the_constants_are_what_the_script_fits_and_so_are_those_without_a_combination():
    spec = importlib.util.spec_from_file_location("fit_speed", FIT)
    fit_speed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fit_speed)
    rows = list(fitted_runs())
    terms = fit_speed.terms_of(rows)
    for name, value in fit_speed.fitted(rows, terms).items():
        assert CONSTANTS[name].value == pytest.approx(float(value), rel=0.01)
    without = ("qwen3-32b", "H100 SXM", "tensorrt-llm", "fp8")
    kept = np.array([row.combination != without for row in rows])
    others = [row for row in rows if row.combination != without]
    for name, value in fit_speed.fitted(others, {key: column[kept] for key, column in terms.items()}).items():
        assert left_out()[without][name].value == pytest.approx(float(value), rel=0.02)


def test_the_spread_of_a_prediction_is_that_of_the_runs_most_like_it():
    """The runs have MiniMax-M2.5 in fp8 on B200 with vLLM; none has an RTX 4090, or llama.cpp."""
    asked = {"model": "minimax-m2.5", "device": "B200", "engine": "vllm", "precision": "fp8"}
    own = likely(TIMES[0], **asked)
    same = sum(row.combination == tuple(asked.values()) for row in fitted_runs())
    assert (own.alike, own.runs) == ("combination", same)
    assert own.low < 1 < own.high
    assert likely(TIMES[0], **asked | {"model": "another"}).alike == "engine and device"
    assert likely(TIMES[0], **asked | {"device": "RTX 4090"}).alike == "engine"
    assert likely(TIMES[0], **asked | {"engine": "llama.cpp"}).alike == ""
    assert (SPREAD[TIMES[1]]) == pytest.approx([likely(TIMES[1]).low, likely(TIMES[1]).high], rel=0.01)


def test_a_job_of_an_engine_is_as_fast_as_its_sizes_say():
    job = Serving(
        engine="sglang",
        device="H200 SXM",
        tensor_parallel=2,
        pipeline_parallel=2,
        data_parallel=2,
        weights="fp8",
        kv_cache="fp8",
        input_tokens=500,
        output_tokens=200,
        concurrency=40,
    )
    found = serve(MODELS["qwen3-32b"], job)
    by_hand = speed(
        MODELS["qwen3-32b"],
        machine=machine_of(ACCELERATORS["H200 SXM"], "fp8"),
        split=Split(tensor_parallel=2, pipeline_parallel=2, data_parallel=2),
        load=Load(input_tokens=500, output_tokens=200, concurrency=40, step_room=8192),  # H200: below 160 GiB
        weight_format="fp8",
        cache_bytes=1,
        engine="sglang",
    )
    for what in (*TIMES, "tokens_per_second", "energy_per_token"):
        assert getattr(found, what).value == getattr(by_hand, what).value


def test_what_is_not_on_the_device_and_an_unknown_device_have_no_speed():
    unknown = Serving(device="custom", device_memory=80 * 2**30)
    on_host = Serving(engine="llama.cpp", weights="Q4_K_M", kv_on_host=True)
    for job in (unknown, on_host):
        found = serve(MODELS["llama-3.1-8b"], job)
        assert found.speed is found.time_between_tokens is found.tokens_per_second is None
        assert found.time_to_first_token is found.energy_per_token is None


def test_runs_that_two_sessions_read_at_once_are_the_same_runs():
    again = served_runs.__wrapped__()
    assert [error_of(row, TIMES[0]) for row in again] == [error_of(row, TIMES[0]) for row in served_runs()]
    assert None not in {error_of(row, TIMES[0]) for row in again if row.is_fitted}


@pytest.mark.slow
def test_ten_thousand_combinations_take_a_call_for_each_format():
    count = 0
    tensor, users = np.array([1, 2, 4, 8])[:, None], np.array([1, 4, 16, 64, 256, 512])
    for weights in ("bf16", "fp8", "NVFP4", "int8", "int4 g128", "NF4", "MXFP4", "GGUF Q8_0", "GGUF Q6_K",
                    "GGUF Q4_K_M", "int4 g32", "MXFP8", "GGUF Q5_K", "fp8 128×128", "int8 g32 zero"):  # fmt: skip
        machine = machines_of(ACCELERATORS.values(), weights)
        machine = Machine(**{name: column[:, None, None] for name, column in vars(machine).items()})
        split, load = Split(tensor_parallel=tensor), Load(concurrency=users)
        found = speed(MODELS["deepseek-r1"], machine=machine, split=split, load=load, weight_format=weights)
        count += found.tokens_per_second.value.size
    assert count >= 10_000
