"""Preference and reinforcement learning as plans of training steps, and torch.compile's share of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden_files import csv_rows
from laws import for_each

import llmcalc
from llmcalc.accuracy import ESTIMATE
from llmcalc.catalog.recipes import BY_OBJECTIVE
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.errors import InputError
from llmcalc.fit.alignment import METHODS, Alignment, aligned_peaks
from llmcalc.link import read_link
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import training_step
from llmcalc.techniques.compiled import PAIRS, compiled_peak
from llmcalc.units import GiB

LLAMA = {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 704, "vocab_size": 8000}  # fmt: skip
MODEL = llmcalc.from_config(LLAMA)
# 256 wide, heads of 64: q and o, k and v, three of the network, two norms a layer; two tables; the last norm
LAYER = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 704 + 2 * 256
N = 4 * LAYER + 2 * 8000 * 256 + 256
FULL = TrainingRun(batch_size=4, seq_len=512, precision="bf16", padding=True)
LORA = replace(FULL, lora_rank=8, lora_targets="all-linear")


def plan(method: str, run: TrainingRun = FULL, **changes) -> Alignment:
    return Alignment(method=method, model=MODEL, run=run, **changes)


def held(method: str, run: TrainingRun = FULL, **changes) -> dict[str, float]:
    return {name: part.value for name, part in plan(method, run, **changes).held.items()}


def test_a_reference_is_a_second_model_and_under_lora_the_policy_without_its_adapters():
    """Rafailov et al. 2023, sec. 4: the reference is a frozen copy; PEFT turns adapters off instead."""
    assert held("dpo") == held("kto") == {"reference": 2 * N}
    assert held("dpo", LORA) == held("kto", LORA) == {}
    assert held("grpo") == {}  # TRL's default has no divergence from a reference
    assert held("grpo", has_reference=True) == {"reference": 2 * N}


def test_ppo_holds_four_models_of_which_two_train():
    """Ouyang et al. 2022: policy and value train, reference and reward do not."""
    found = held("ppo")
    assert found["reference"] == found["reward"] == 2 * N
    assert found["value"] > 2 * N * 4  # weights, gradients and two states, and what its layers keep
    # and no logits of a vocabulary, which its loss does not look at
    alone = training_step(MODEL, replace(FULL, loss="fused")).peak.value
    assert found["value"] == alone < training_step(MODEL, replace(FULL, loss="plain")).peak.value
    shared = held("ppo", LORA)
    assert shared == {"reward": 256 * 4, "value": 256 * 4}  # a head of 256 numbers in fp32, on the same base


@pytest.mark.parametrize(("method", "times"), [("dpo", 2), ("kto", 1), ("reward", 2), ("ppo", 1), ("grpo", 1)])
def test_chosen_and_rejected_are_in_one_batch(method, times):
    made = plan(method)
    assert made.rows == 4 * times
    loss = "fused" if method == "reward" else "plain"
    alone = training_step(MODEL, replace(FULL, batch_size=4 * times, loss=loss))
    beside = sum(held(method).values())
    assert made.phases["train"].value == alone.peak.value + beside


def test_packed_sequences_stand_behind_each_other_without_padding():
    # eight of 130 tokens are 1,040: three rows of 512
    made = plan("dpo", packed_length=130)
    assert made.rows == 3
    alone = training_step(MODEL, replace(FULL, batch_size=3, padding=False, loss="plain"))
    assert made.step.peak.value == alone.peak.value


@for_each("method", [name for name, how in METHODS.items() if how.scores_vocabulary])
def test_log_probabilities_piece_by_piece_save_more_than_a_copy_of_the_logits(method):
    whole, pieces = plan(method), plan(method, full_logits=False)
    assert whole.peak.value - pieces.peak.value > whole.rows * 512 * 8000 * 2


def test_generated_sequences_need_a_cache_and_an_engine_beside_a_copy_of_the_weights():
    # a key and a value of two heads of 64 for each of 4 layers and 512 tokens, 2 bytes, of 32 sequences
    cache = 32 * 2 * 2 * 64 * 4 * 512 * 2
    same, sleeping, beside = (plan("grpo", rollouts=32, engine=engine) for engine in ("same", "sleeping", "beside"))
    assert same.cache.value == cache
    steady = same.step.steady_state.value
    assert same.phases["rollout"].value == steady + cache
    assert sleeping.phases["rollout"].value == beside.phases["rollout"].value == steady + cache + 2 * N
    assert sleeping.phases["train"].value == same.phases["train"].value
    assert beside.phases["train"].value == same.phases["train"].value + cache + 2 * N


def test_ppo_generates_at_most_64_sequences_at_a_time():
    """PPOConfig: local_rollout_forward_batch_size is 64."""
    each = 2 * 2 * 64 * 4 * 512 * 2  # as above
    for batch, at_once in ((4, 4), (64, 64), (128, 64)):
        assert plan("ppo", replace(FULL, batch_size=batch)).cache.value == at_once * each


def test_where_generating_needs_most_a_sweep_over_devices_finds_that_too():
    spread = plan("grpo", rollouts=4096, layout=Layout(tensor_parallel=2))
    assert spread.peak_phase == "rollout"
    swept = aligned_peaks(replace(spread, run=replace(FULL, batch_size=np.array([4]))))
    assert swept[0] == pytest.approx(spread.peak.value, abs=512 * 4)


@for_each("method", METHODS)
def test_the_peak_is_the_largest_phase_and_a_longer_batch_never_needs_less(method):
    made, longer = plan(method), plan(method, replace(FULL, seq_len=1024))
    assert made.peak.value == max(phase.value for phase in made.phases.values())
    assert made.peak.value < longer.peak.value
    assert made.peak.value >= training_step(MODEL, replace(made.step.run)).peak.value
    assert all(part.value >= 0 for phase in made.phases.values() for part in phase.parts)


@pytest.mark.parametrize("changes", [{"method": "rlhf"}, {"engine": "vllm"}, {"packed_length": 513}])
def test_what_is_unknown_is_refused_by_its_name(changes):
    with pytest.raises(InputError) as caught:
        Alignment(**({"method": "dpo", "model": MODEL, "run": FULL} | changes))
    assert caught.value.input_id in changes


# The whole step as it goes by, and what is said of it


@for_each("method", METHODS)
def test_the_peak_of_the_step_is_the_answer_wherever_it_is_asked(method):
    config = Configuration({"model": "Llama 3.2 1B", "recipe": f"TRL {BY_OBJECTIVE[method]}", "precision": "bf16"})
    phases = config.on_each.plan.phases
    # the allocator hands out multiples of 512 bytes: a handful of pieces of a phase before the policy trains
    assert config.verdict.allocated.value == pytest.approx(max(p.value for p in phases.values()), abs=512 * 4)
    assert config.training.peak.value == config.verdict.allocated.value == config.step.peak.value
    batch, length = config.values["batch_size"], config.values["seq_len"]
    assert config.training_peak_of(np.array([batch]), length)[0] == config.verdict.allocated.value
    needed = config.needed_for("training", np.array([batch]), length)[0]
    assert needed == pytest.approx(config.verdict.needed.value, rel=1e-12)
    assert config.standing.label == config.verdict_standing.label == ESTIMATE
    assert config.on_each.timeline["live"].max() == config.verdict.allocated.value


@pytest.mark.parametrize("layout", [{"zero_stage": 3, "data_parallel": 8}, {"data_parallel": 2},
                                    {"pipeline_parallel": 2}, {"tensor_parallel": 2}])  # fmt: skip
@pytest.mark.parametrize("method", ["DPO", "PPO"])
def test_on_several_devices_a_sweep_is_the_step_and_a_reference_is_as_large_as_its_share(method, layout):
    config = Configuration({"model": "Llama 3.2 1B", "recipe": f"TRL {method}", **layout})
    on_each = config.on_each
    assert on_each.plan.held["reference"].value == on_each.weights.value
    found = config.training_peak_of(np.array([float(config.values["batch_size"])]), config.values["seq_len"])[0]
    assert found == pytest.approx(config.verdict.allocated.value, rel=1e-9)
    whole = Configuration({"model": "Llama 3.2 1B", "recipe": f"TRL {method}"})
    assert on_each.peak.value <= whole.step.peak.value * (1.0 if "data_parallel" not in layout else 1.2)


def test_grpo_refuses_sequences_that_are_no_whole_number_of_groups():
    """GRPOConfig: the generation batch must be divisible by num_generations."""
    start = {"model": "Llama 3.2 1B", "recipe": "TRL GRPO", "batch_size": 4}
    (problem,) = Configuration(start).problems
    assert (problem.input_id, problem.suggestions) == ("generations", (4, 2))
    assert not Configuration({**start, "gradient_accumulation": 2}).problems
    assert not Configuration({**start, "recipe": "TRL DPO"}).problems


def test_links_made_before_keep_their_meaning():
    values = read_link({"v": ["4"], "recipe": ["TRL full"], "batch_size": ["4"]}).values
    assert Configuration(values).objective.is_next_token
    assert (
        Configuration(values).step.peak.value
        == training_step(Configuration(values).model, Configuration(values).run).peak.value
    )


# torch.compile


def test_the_share_that_torch_compile_saves_is_that_of_the_published_pairs():
    printed = {row["model"]: row for row in csv_rows("compile_pairs.csv")}
    assert {pair.model for pair in PAIRS} == printed.keys()
    for pair in PAIRS:
        row = printed[pair.model]
        assert (pair.without, pair.compiled) == (float(row["without_gib"]) * GiB, float(row["compiled_gib"]) * GiB)
        assert pair.ranks == int(row["gpus"])
    # 5.4 of 82.4 - 11.22 GiB, 9 of 60 - 17.95 GiB
    assert [round(pair.saved_share, 3) for pair in PAIRS] == [0.076, 0.214]
    step = training_step(MODEL, FULL)
    found, passing = compiled_peak(step), step.peak.value - step.steady_state.value
    assert found.expected.value == pytest.approx(step.peak.value - 0.145 * passing, rel=1e-3)
    assert found.least.value < found.expected.value < found.most.value < step.peak.value
