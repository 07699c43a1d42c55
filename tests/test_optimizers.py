"""What an optimizer's row says it keeps and makes is what PyTorch allocates."""

import pytest
from golden_files import jsonl_rows
from laws import for_each

import llmcalc
from llmcalc.catalog.optimizers import OPTIMIZERS, Beside, Optimizer
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import rank_memory
from llmcalc.sources import PYTORCH
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.dimensions import Dimensions

ROWS = {f"{row['optimizer']} {row['recipe']} {row['parameters']}": row for row in jsonl_rows("optimizer_steps.jsonl")}
OURS = {
    "sgd_mom": "sgd_momentum",
    "sgd_nesterov": "sgd_momentum",
}
# What the catalogue has no row for can be said in one
COPY, STEP = Beside(1), Beside(1, "scalar", "fp32")
SAID = {
    "sgd_mom_wd": Optimizer("sgd_mom_wd", PYTORCH.at("torch.optim.SGD"), (COPY,), of_all=(COPY,)),
    "adamw_amsgrad_fused": Optimizer("adamw_amsgrad_fused", PYTORCH.at("AdamW"), (Beside(3), STEP)),
    # the sum of the momentum and the gradient, each times a number, in place of PyTorch's lerp
    "lion": Optimizer("lion", PYTORCH.at("none"), (COPY,), of_each=(Beside(2),)),
}


def simulated(row, monkeypatch):
    name = OURS.get(row["optimizer"], row["optimizer"])
    if row["optimizer"] in SAID:
        monkeypatch.setitem(OPTIMIZERS, name, SAID[name])
    run = TrainingRun(batch_size=1, seq_len=32, precision=row["recipe"], optimizer=name)
    return llmcalc.training_step(llmcalc.from_config(row["config"]), run)


@for_each("case", ROWS)
def test_its_states_have_the_bytes_that_were_measured(case, monkeypatch):
    row = ROWS[case]
    # fused AdamW has a counter of steps for each weight on the device, four bytes
    few = 4 * 12 * row["config"].get("n_layer", 1) + 16 if row["optimizer"] == "adamw_fused" else 0.5
    assert simulated(row, monkeypatch).optimizer_state.value == pytest.approx(row["optimizer_bytes"], abs=few)


@for_each("case", ROWS)
def test_its_step_makes_what_was_measured(case, monkeypatch):
    """The allocator hands out multiples of 512, and the labels of 512 bytes are gone by then. transformers' Adafactor
    has a row and a column more at once, torch's a little more yet."""
    row = ROWS[case]
    step, made = simulated(row, monkeypatch), row["optimizer_peak"] - row["backward_end"] + 512
    more = {"adafactor_hf": 2e-4, "adafactor_hf_beta1": 1e-3, "adafactor_torch": 0.07}.get(row["optimizer"], 1e-4)
    assert step.optimizer_temporary.value == pytest.approx(made, rel=more, abs=20_000)


def test_adafactor_keeps_a_row_and_a_column_of_each_matrix_and_all_of_a_vector():
    # GPT-2 small: tables of 50,257 and 1,024 x 768; in each of 12 layers 768 x 2,304, 768 x 768 and two of 768 x 3,072,
    # biases as wide as their outputs and two norms; one norm behind them; a number more for each of 148 weights
    matrices = (50_257 + 768) + (1_024 + 768) + 12 * ((768 + 2_304) + (768 + 768) + 2 * (768 + 3_072))
    vectors = 12 * ((2_304 + 768 + 3_072 + 768) + 4 * 768) + 2 * 768
    weights = 2 + 12 * 12 + 2
    step = llmcalc.training_step(Dimensions().model(), TrainingRun(optimizer="adafactor"))
    assert step.optimizer_state.value == 4 * (matrices + vectors + weights)


@for_each("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["bf16", "mixed_bf16"])
def test_a_rank_alone_holds_and_makes_what_a_device_does(optimizer, precision):
    model, run = Dimensions(n_layers=3, tied_head=False).model(), TrainingRun(optimizer=optimizer, precision=precision)
    step, rank = llmcalc.training_step(model, run), rank_memory(model, run, Layout())
    assert rank.optimizer_state.value == pytest.approx(step.optimizer_state.value, rel=1e-12)
    assert rank.optimizer_temporary.value == pytest.approx(step.optimizer_temporary.value, rel=1e-12)


def test_ranks_that_cut_a_matrix_up_each_keep_a_whole_side_of_it():
    # a matrix of a x b over two ranks: a + b / 2 each, not (a + b) / 2; norms and biases of rows are on both
    model, run = (
        Dimensions(n_layers=1, ffn_bias=False, attention_bias=False).model(),
        TrainingRun(optimizer="adafactor_torch", precision="fp32"),
    )
    kept = rank_memory(model, run, Layout(tensor_parallel=2)).optimizer_state.value
    tables = (-(-50_257 // 2) + 768) + (1_024 + 768)
    matrices = (768 + 1_152) + (384 + 768) + (768 + 1_536) + (1_536 + 768)
    assert kept == pytest.approx(4 * (tables + matrices + 6 * 768))
