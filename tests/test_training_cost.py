"""What a run of training takes, against what was printed of real ones, and by component."""

from __future__ import annotations

import numpy as np
import pytest
from configurations import configured
from golden_files import csv_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcalc import (
    LAWS,
    Block,
    Budget,
    Configuration,
    Dimensions,
    InputError,
    Model,
    best_bought,
    from_config,
    training_cost,
)
from llmcalc.catalog.grids import GRIDS
from llmcalc.link import read_link
from llmcalc.rates.costs import flops_utilization, training_carbon, training_energy
from llmcalc.rates.flops import component_flops, forward_flops, palm_flops, palm_flops_of, whole_attention_flops
from llmcalc.scaling.formulas import training_flops
from llmcalc.scaling.laws import ALL
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import TokenEmbedding
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.norm import LayerNorm

GPT2 = Dimensions().model()
MODELS = [GPT2] + [
    from_config({"model_type": kind}) for kind in ("mixtral", "deepseek_v3", "mamba2", "zamba2", "gemma3")
]
few = settings(max_examples=20)


def gopher(row: dict[str, str], *, relative: bool) -> Model:
    """Chinchilla's models: Gopher's layers, one table of 32,000 tokens, relative positions as in Transformer-XL."""
    d, heads, width, ffw = (int(row[key]) for key in ("d_model", "n_heads", "kv_size", "ffw_size"))
    attention = Attention(d, heads, heads, width, qkv_bias=True, output_bias=True, position_keys=relative)
    layer = Block((LayerNorm(d, "attention_norm"), attention, LayerNorm(d, "ffn_norm"), FeedForward(d, ffw, bias=True)))
    return Model((TokenEmbedding(32_000, d),), ((layer, int(row["n_layers"])),), (LayerNorm(d, "final_norm"),))


@pytest.mark.parametrize("row", csv_rows("scaling/hoffmann_table_A9.csv"), ids=lambda row: row["params_printed"])
def test_the_sizes_of_chinchillas_table_a9_are_those_of_its_shapes(row):
    assert gopher(row, relative=True).parameters().value == pytest.approx(int(row["params_printed"]), rel=0.01)


@pytest.mark.parametrize("row", csv_rows("scaling/hoffmann_table_A4.csv"), ids=lambda row: row["params_printed"])
def test_operations_beside_six_n_d_are_those_of_chinchillas_table_a4(row):
    # app. F counts attention to all 2,048 tokens and its softmax, and no relative positions; what it prints is without
    # the embedding, as a product with one-hot tokens, and without the logits
    shape = {**row, "ffw_size": row["ffw"]}
    model = gopher(shape, relative=False)
    of_layers = palm_flops_of(model, seq_len=2048).value - 6 * model.embedding_parameters().value
    softmax = 3 * 3 * int(row["n_layers"]) * int(row["n_heads"]) * 2048
    ratio = (of_layers + softmax) / (6 * gopher(shape, relative=True).parameters().value)
    assert ratio == pytest.approx(float(row["ratio_printed"]), abs=0.01)


@pytest.mark.parametrize("row", csv_rows("gpt3_table_D1.csv"), ids=lambda row: row["model"])
def test_six_n_d_is_what_gpt_3s_table_d1_prints(row):
    share = int(row["flops_per_parameter_and_token"]) / 6  # of T5 a token goes through half
    tokens = float(row["tokens_billions"]) * 1e9
    flops = training_flops(parameters=float(row["parameters_millions"]) * 1e6 * share, tokens=tokens).value
    assert flops == pytest.approx(float(row["flops"]), rel=0.006)


@pytest.mark.parametrize("row", csv_rows("scaling/utilization.csv"), ids=lambda row: row["model"])
def test_utilization_is_what_palm_prints_of_itself_and_of_others(row):
    shape = {"n_heads": int(row["heads"]), "d_head": int(row["d_head"]), "seq_len": int(row["seq_len"])}
    attention = whole_attention_flops(n_attention_layers=int(row["layers"]), **shape)
    rate = {"seconds": 1 / float(row["tokens_per_second"]), "devices": int(row["devices"])}
    rate |= {"peak_flops": float(row["peak_flops"])}

    def percent(attention_flops) -> str:
        flops = palm_flops(parameters=int(row["parameters"]), attention_flops=attention_flops)
        return f"{100 * flops_utilization(flops=flops, **rate).value:.1f}"

    assert float(percent(attention)) == pytest.approx(float(row["mfu_percent"]), abs=0.051)
    if row["mfu_without_attention_percent"]:
        assert percent(0) == row["mfu_without_attention_percent"]


@pytest.mark.parametrize("row", csv_rows("scaling/training_runs.csv"), ids=lambda row: row["model"])
def test_the_utilization_of_published_runs_is_that_of_six_n_d(row):
    flops = training_flops(parameters=float(row["params"]), tokens=float(row["tokens"]))
    held = {"devices": 1, "seconds": float(row["chip_hours"]) * 3600}
    found = flops_utilization(flops=flops, **held, peak_flops=float(row["peak_bf16_dense"])).value
    assert found == pytest.approx(float(row["implied_MFU_6ND"]), abs=0.00006)


@pytest.mark.parametrize("row", csv_rows("korthikanti2022.csv"), ids=lambda row: row["model"])
def test_utilization_with_recomputation_is_that_of_korthikanti_et_al(row):
    # table 5: 6N and whole attention are the model's, a fourth pass of the layers is full recomputation's. Where only
    # attention is run again, the paper counts all its passes once more, where one of three is run (eq. 9: s/3h)
    d, layers, heads = int(row["hidden"]), int(row["layers"]), int(row["heads"])
    devices = {"22B": 8, "175B": 64, "530B": 280, "1T": 512}[row["model"]]
    whole = {"n_attention_layers": layers, "n_heads": heads, "d_head": d // heads, "seq_len": 2048}
    attention = whole_attention_flops(**whole)
    model = palm_flops(parameters=12 * layers * d**2 + 51_200 * d, attention_flops=attention)
    again = (2 * 12 * layers * d**2) + attention.value / 3
    tokens = int(row["global_batch"]) * 2048
    for way, column, flops in (
        ("MFU_selective", "step_s_seqsel_tab5", model.value),
        ("HFU_selective", "step_s_seqsel_tab5", model.value + attention.value),
        ("MFU_full", "step_s_full_tab5", model.value),
        ("HFU_full", "step_s_full_tab5", model.value + again),
    ):
        held = {"devices": devices, "seconds": float(row[column]), "peak_flops": 312e12}
        assert flops_utilization(flops=flops * tokens, **held).value == pytest.approx(float(row[way]), rel=0.01)


@pytest.mark.parametrize("row", csv_rows("scaling/narayanan2021.csv"), ids=lambda row: row["model"])
def test_narayanan_et_al_print_operations_over_the_peak(row):
    each = float(row["TFLOPs_per_gpu(HFU,incl recompute)"]) * 1e12
    share = flops_utilization(flops=each, devices=1, seconds=1, peak_flops=312e12).value
    assert 100 * share == pytest.approx(float(row["pct_peak"]), abs=0.55)  # 142 is 45.5, printed as 46


@pytest.mark.parametrize("row", csv_rows("scaling/patterson2021.csv"), ids=lambda row: row["model"])
def test_energy_is_what_patterson_et_al_print(row):
    held = {"devices": int(row["chips"]), "seconds": float(row["days"]) * 86_400}
    power = {"watts": float(row["avg_system_W_per_chip"]), "power_usage_effectiveness": float(row["PUE"])}
    assert training_energy(**held, **power).value / 3.6e9 == pytest.approx(float(row["MWh_printed"]), rel=0.01)


@pytest.mark.parametrize("row", csv_rows("scaling/electricity.csv"), ids=lambda row: row["country"])
def test_what_electricity_emits_is_as_printed(row):
    assert GRIDS[row["country"]] == float(row["kgCO2eq_per_kWh"])


def test_there_are_grids_of_fifty_places():
    assert len(GRIDS) == 50
    assert training_carbon(energy=3.6e6, grid_intensity=0.5).value == 0.5


# Of a model


def test_a_run_of_gpt_2_costs_what_arithmetic_says():
    # as test_compute counts a token: 12 layers, two norms, the tied head, attention to half of 1,024 tokens
    forward = 2 * (12 * (12 * 768**2 + 13 * 768) + 2 * 768) + 2 * 50_257 * 768 + 2 * 12 * 1024 * 768
    budget = Budget(tokens=10**10, seq_len=1024, devices=8, utilization=0.5, price_per_device_hour=3, grid="IDN")
    cost = training_cost(GPT2, budget)
    seconds = 3 * forward * 10**10 / (8 * 989e12 * 0.5)
    assert cost.flops.value == 3 * forward * 10**10 == cost.model_flops.value
    assert cost.six_nd.value == 6 * 124_439_808 * 10**10
    assert cost.palm.value == (6 * 124_439_808 + 12 * 12 * 768 * 1024) * 10**10
    assert cost.time.value == pytest.approx(seconds)
    assert cost.device_hours.value == pytest.approx(8 * seconds / 3600)
    assert cost.energy.value == pytest.approx(8 * seconds * 700 * 1.2)
    assert cost.carbon.value == pytest.approx(8 * seconds * 700 * 1.2 / 3.6e6 * 0.68243)
    assert cost.money.value == pytest.approx(3 * 8 * seconds / 3600)
    assert cost.model_flops_utilization.value == pytest.approx(0.5)


def test_recomputation_is_in_the_operations_and_not_in_the_models():
    plain, again = (training_cost(GPT2, Budget(tokens=10**9, recompute=how)) for how in ("none", "full"))
    assert again.model_flops.value == plain.flops.value == plain.model_flops.value
    assert again.flops.value > plain.flops.value
    assert again.hardware_flops_utilization.value == pytest.approx(0.4)
    share = plain.flops.value / again.flops.value
    assert again.model_flops_utilization.value == pytest.approx(0.4 * share)
    assert again.time.value == pytest.approx(plain.time.value / share)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_components_add_up_to_the_whole(model, recompute):
    forward = component_flops(model, seq_len=4096)
    assert sum(q.value for q in forward.values()) == pytest.approx(forward_flops(model, seq_len=4096).value, rel=1e-12)
    cost = training_cost(model, Budget(tokens=10**12, recompute=recompute))
    assert sum(q.value for q in cost.components.values()) == pytest.approx(cost.token_flops.value, rel=1e-12)


@few
@given(st.floats(1e9, 1e14), st.integers(1, 100_000), st.floats(0.01, 1), st.floats(1, 100))
def test_twice_the_tokens_take_twice_as_long_and_the_work_is_the_same_on_any_number_of_devices(tokens, n, share, times):
    def cost(**changes):
        return training_cost(GPT2, Budget(**{"tokens": tokens, "devices": n, "utilization": share} | changes))

    here = cost()
    assert cost(tokens=tokens * times).time.value == pytest.approx(here.time.value * times, rel=1e-9)
    assert cost(devices=2 * n).device_hours.value == pytest.approx(here.device_hours.value, rel=1e-9)
    assert cost(devices=2 * n).energy.value == pytest.approx(here.energy.value, rel=1e-9)
    assert here.model_flops_utilization.value == pytest.approx(share, rel=1e-9)


def test_a_sweep_of_tokens_and_devices_is_the_same_numbers_one_by_one():
    tokens, devices = np.array([1e9, 1e12, 3e13]), np.array([1, 64, 4096])
    swept = training_cost(GPT2, Budget(tokens=tokens, devices=devices, price_per_device_hour=2))
    for i in range(3):
        one = training_cost(GPT2, Budget(tokens=tokens[i], devices=devices[i], price_per_device_hour=2))
        for name in ("flops", "time", "device_hours", "energy", "carbon", "money"):
            assert getattr(swept, name).value[i] == pytest.approx(getattr(one, name).value, rel=1e-12)


def test_what_is_not_known_or_not_asked_is_none():
    assert training_cost(GPT2, Budget(tokens=1e9)).money is None
    of_tpu = training_cost(GPT2, Budget(tokens=1e9, device="TPU v5p"))
    assert (of_tpu.energy, of_tpu.carbon) == (None, None)
    assert training_cost(GPT2, Budget(tokens=1e9, device="TPU v5p", watts=450)).energy.value > 0
    assert training_cost(GPT2, Budget(tokens=1e9, device="T4")).time.value > 0  # in fp16


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("device", {"device": "abacus"}),
        ("device", {"device": "M4 Max"}),
        ("device", {"format": "fp4"}),
        ("grid", {"grid": "XXX"}),
        ("utilization", {"utilization": 40}),
        ("tokens", {"tokens": 0}),
        ("devices", {"devices": float("nan")}),
        ("recompute", {"recompute": "some"}),
        ("price_per_device_hour", {"price_per_device_hour": -1}),
        ("power_usage_effectiveness", {"power_usage_effectiveness": 0.9}),
    ],
)
def test_a_budget_that_cannot_be_is_refused_by_name(named, changes):
    with pytest.raises(InputError) as refused:
        Budget(**{"tokens": 1e9} | changes)
    assert refused.value.input_id == named


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_operations_of_models_that_are_no_decoders_are_refused(kind):
    with pytest.raises(InputError) as refused:
        training_cost(from_config({"model_type": kind}), Budget(tokens=1e9))
    assert refused.value.input_id == "model"


# Backwards


@pytest.mark.parametrize("law", ["besiroglu_2024", "kaplan_2020", "llama3_2024", "deepseek_2024"])
@pytest.mark.parametrize("money", [1e4, 3e7])
def test_what_money_buys_costs_that_money(law, money):
    """Budget in equals budget out: 6ND of the best model, at the device's rate and price, are the money."""
    found = best_bought(money=money, price_per_device_hour=2.5, law=law, device="H100 SXM", utilization=0.4)
    assert found.device_hours.value == money / 2.5
    rate = 989.4e12 * 0.4  # dense bf16 of an H100 SXM's data sheet, 1,979 with sparsity
    assert found.compute.value == pytest.approx(money / 2.5 * 3600 * rate, rel=1e-3)
    spent = 6 * found.parameters.value * found.tokens.value
    assert spent == pytest.approx(found.compute.value, rel=1e-6)
    hours = spent / (found.budget.peak_flops * 0.4) / 3600
    assert hours * 2.5 == pytest.approx(money, rel=1e-6)
    again = best_bought(device_hours=hours, law=law, utilization=0.4)
    assert again.parameters.value == pytest.approx(found.parameters.value, rel=1e-6)


@pytest.mark.parametrize(("asked", "named"), [
    ({"money": 1e6}, "price_per_device_hour"), ({}, "money"), ({"money": 1.0, "device_hours": 1.0}, "money"),
    ({"device_hours": 1.0, "law": "moore_1965"}, "law"), ({"device_hours": 0.0}, "device_hours"),
])  # fmt: skip
def test_a_budget_that_cannot_be_is_refused_by_its_name(asked, named):
    with pytest.raises(InputError) as caught:
        best_bought(**asked)
    assert caught.value.input_id == named


def test_served_and_repeated_tokens_are_in_the_link_and_say_what_the_laws_say():
    """Sardana et al. 2023, sec. 3: with inference to come the same loss is cheapest smaller and longer. Muennighoff et
    al. 2023, sec. 5: four epochs are worth almost as much as new data."""
    values = read_link({"model": ["Llama 3.1 8B"], "train_tokens": ["300"], "served_tokens": ["2000"],
                        "unique_tokens": ["75"]}).values  # fmt: skip
    laws = Configuration(values).laws
    alone, served = laws.law.cheapest(loss=laws.loss.value), laws.served
    assert served.parameters.value < alone.parameters.value
    assert served.tokens.value > alone.tokens.value
    reached = laws.law.loss(parameters=served.parameters, tokens=served.tokens).value
    assert reached == pytest.approx(laws.loss.value, rel=1e-6)
    worth, loss = laws.repeated
    assert laws.epochs == 4
    assert 0.8 * 300e9 < worth.value < 300e9
    assert loss.value > LAWS["muennighoff_2023"].loss(parameters=laws.parameters, tokens=300e9).value
    assert Configuration({"model": "Llama 3.1 8B"}).laws.served is None
    assert Configuration({"model": "Llama 3.1 8B"}).laws.repeated is None


@pytest.mark.parametrize("model", ["Llama 3 8B", "DeepSeek-V3 671B", "Gemma 3 4B", "Mixtral 8x7B"])
def test_six_n_d_is_one_number_wherever_it_is_told(model):
    config = configured(model)
    assert config.laws.law.counts == ALL
    assert config.laws.compute.value == config.laws.cost.six_nd.value
