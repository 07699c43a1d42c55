"""A reader's own card: what is asked for, what is said without a GPU, and receipts that are whole or broken."""

from __future__ import annotations

import json

import pytest

from llmcalc.accuracy import of_family
from llmcalc.errors import InputError
from llmcalc.measure import real
from llmcalc.measure.__main__ import config_of, expected, main, setting
from llmcalc.measure.receipt import FORMAT, Receipt, read_receipt
from llmcalc.step.run import TrainingRun
from llmcalc.words import dictionary
from pages import accuracy as accuracy_page
from pages.content.accuracy import charts
from pages.content.reports import of_receipts
from pages.ui.words.problems import problem_words

LLAMA = {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
GOOD = Receipt(
    model="tiny",
    config=LLAMA,
    run={"batch_size": 2, "seq_len": 128, "precision": "bf16"},
    device="NVIDIA H100",
    versions={"torch": "2.13.0"},
    figures={"allocated": 400_000_000, "reserved": 420_000_000},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("batch_size=4", 4),
        ("precision=bf16", "bf16"),
        ("padding=true", True),
        ("lora_dropout=0.05", 0.05),
        ("lora_targets=q_proj,v_proj", ("q_proj", "v_proj")),
        ("lora_targets=query_value", "query_value"),
        ("lora_targets=all-linear", "all-linear"),
        ("lora_targets=q_proj", ("q_proj",)),
        ("layers=3", 3),
    ],
)
def test_a_setting_is_read_by_its_kind(text, value):
    assert setting(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize("text", ["batch=4", "batch_size", "batch_size=x", "padding=yes", ""])
def test_what_is_no_setting_is_refused_by_its_name(text, capsys):
    with pytest.raises(InputError):
        setting(text)
    assert main(["Llama 3.2 1B", text]) == 2
    assert capsys.readouterr().err.strip()


def test_without_a_gpu_it_says_what_the_step_would_need(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(real, "missing", lambda: ["torch"])
    receipt = tmp_path / "mine.json"
    assert main(["Llama 3.2 1B", "layers=2", "batch_size=1", "--receipt", str(receipt)]) == 0
    told = capsys.readouterr().out
    assert "torch is not installed" in told
    assert all(term in told for term in ("weights", "optimizer_state", "saved_activations", "allocated", "reserved"))
    assert not receipt.exists()


def test_a_config_is_that_of_the_library_or_of_a_file_cut_to_fewer_layers(tmp_path):
    assert config_of("Llama 3.2 1B", 3)["num_hidden_layers"] == 3
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA))
    assert config_of(str(file), None) == LLAMA
    file.write_text("{")
    for wrong in (str(file), "no such model"):
        with pytest.raises(InputError):
            config_of(wrong, None)


@pytest.mark.parametrize(("name", "value"), [("optimizer", "muon"), ("recompute", "selective"), ("loss", "fused")])
def test_a_step_that_is_not_run_on_a_card_is_named(name, value):
    with pytest.raises(InputError) as refused:
        real.check(TrainingRun(**{name: value}))
    assert refused.value.input_id == name
    real.check(TrainingRun())


def test_a_receipt_is_read_as_it_was_written():
    found = read_receipt(GOOD.written())
    assert found == GOOD
    assert found.predicted["reserved"] > found.predicted["allocated"] > 0
    assert found.error("allocated") == found.predicted["allocated"] / 400_000_000 - 1
    asked = expected("tiny", LLAMA, TrainingRun(lora_rank=8, lora_targets=("q_proj",)))
    assert TrainingRun(**json.loads(asked.written())["run"]) == asked.training_run


def broken(**changes):
    return json.dumps({**json.loads(GOOD.written()), **changes})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "receipt_no_json"),
        ("[" * 100_000, "receipt_no_json"),
        ("[]", "receipt_no_format"),
        ('{"format": "llmcalc receipt 0"}', "receipt_no_format"),
        (json.dumps({"format": FORMAT}), "receipt_lacks"),
        (broken(figures={"allocated": -1, "reserved": 2}), "receipt_lacks"),
        (broken(figures={"allocated": "much", "reserved": 2}), "receipt_lacks"),
        (broken(figures={"allocated": 1}), "receipt_lacks"),
        (broken(run={"batch_size": "x"}), "receipt_lacks"),
        (broken(run={"batches": 3}), "receipt_lacks"),
        (broken(run={"precision": "fp3"}), "receipt_refused"),
        (broken(run={"batch_size": 10**30}), "receipt_refused"),
        (broken(config={"model_type": "llama", "hidden_size": -1}), "receipt_refused"),
        (broken(config={"model_type": "llama", "num_hidden_layers": 10**9}), "receipt_refused"),
        (" " * 300_000, "receipt_too_long"),
    ],
)
def test_what_is_wrong_with_a_receipt_is_said_in_both_languages(text, code):
    with pytest.raises(InputError) as refused:
        read_receipt(text)
    assert refused.value.code == code
    assert problem_words(refused.value)
    assert all(f"problems.{code}" in dictionary(language) for language in ("en", "id"))


def test_receipts_are_drawn_beside_the_others_and_broken_ones_are_told(monkeypatch):
    class Upload:
        def __init__(self, name, text):
            self.name, self.text = name, text

        def getvalue(self):
            return self.text.encode()

    given = [Upload("mine.json", GOOD.written()), Upload("other.json", "{}")]
    monkeypatch.setattr(accuracy_page.st, "session_state", {"receipts": given})
    (kept,) = accuracy_page.kept_receipts()
    assert kept == GOOD
    rows = of_family("phi")
    ((chart,), _) = charts(rows, "peak", [kept]).columns
    names = [trace["name"] for trace in chart.figure["data"]]
    assert "Readers' cards" in names
    assert len(charts(rows, "saved", [kept]).columns[0][0].figure["data"]) == len(names) - 1
    (told,) = of_receipts([kept])
    assert [len(told.rows), told.rows[0][1][0].text] == [2, "NVIDIA H100, torch 2.13.0"]
    assert not list(of_receipts([]))
