"""A question that is typed sets the inputs that it names, and says which of its words it could not read."""

from __future__ import annotations

import pytest
from opened_app import opened

from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS
from llmcalc.phrase import read_phrase

READ = {
    "4 × A100 80 GB, Llama 3 8B, 8k, full fine-tuning: fits?": (
        *("full", "Llama 3 8B", "A100 80GB SXM", 4, None, None, 8192),
    ),
    "llama 3 8b qlora 2xRTX 4090 batch 2 2048 tokens": ("qlora", "Llama 3 8B", "RTX 4090", 2, None, 2, 2048),
    "Qwen3 235B for 32 users at 32k: how many H200, how fast?": (
        *(None, "Qwen3 235B A22B", "H200 SXM", None, 32, None, 32768),
    ),
    "pre-train GPT-3 XL 1.3B on 64 H100 SXM, 16 sequences of 2,048 tokens": (
        *("pretrain", "GPT-3 XL 1.3B", "H100 SXM", 64, None, 16, 2048),
    ),
    "layani Qwen3 8B untuk 5 pengguna di L4": ("serve", "Qwen3 8B", "L4", None, 5, None, None),
    "LoRA": ("lora", None, None, None, None, None, None),
}


@pytest.mark.parametrize("text", READ)
def test_what_is_typed_is_read(text):
    found = read_phrase(text)
    said = (found.ask, found.model, found.device, found.devices, found.users, found.batch, found.length)
    assert (said, found.unread) == (READ[text], ())


def test_what_is_not_understood_is_told():
    assert read_phrase("LoRA on my toaster with Llama 3 8B").unread == ("toaster",)
    assert read_phrase("").unread == ()


def test_as_few_devices_as_hold_it_where_they_are_asked_for():
    found = read_phrase("Qwen3 235B for 32 users at 32k: how many H200, how fast?")
    values = Configuration({"model": found.model}).values
    served = Configuration({**values, **found.inputs(values)})
    assert served.served.fits
    assert served.served.tokens_per_second.value > 0
    fewer = Configuration({**served.values, "serve_tensor": served.values["serve_tensor"] // 2})
    assert not fewer.served.fits


@pytest.mark.parametrize(
    "text", ["0 users", "9999999999999 users of 99999999k tokens on 99999999 x H100", "k k k ||", "×" * 400]
)
def test_whatever_is_typed_sets_inputs_that_there_can_be(text):
    for id, value in read_phrase(text).inputs(DEFAULTS).items():
        Configuration({id: value})


def test_the_field_sets_the_inputs_and_empties_itself():
    app = opened()
    app.text_input(key="question_typed").set_value("4 x A100 80 GB, Llama 3 8B, 8k, LoRA, please").run()
    assert not app.exception
    told = ("model", "d_model", "accelerator", "n_devices", "seq_len", "recipe")
    assert [app.session_state[id] for id in told] == ["Llama 3 8B", 4096, "A100 80GB SXM", 4, 8192, "PEFT LoRA"]
    assert app.text_input(key="question_typed").value == ""
    assert any("please" in caption.value for caption in app.main.caption)
