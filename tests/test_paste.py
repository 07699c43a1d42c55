"""A config.json that is pasted, in a real Chromium: one click, and what came of it beside the box."""

from __future__ import annotations

import json

from playwright.sync_api import expect
from real_browser import chart_drawn, metric, query, settled, to_page

# Llama 3 8B's published config.json; 8,030,261,248 parameters by its model card's safetensors index
LLAMA = {
    "model_type": "llama",
    "_name_or_path": "meta-llama/Meta-Llama-3-8B",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def test_a_config_is_in_use_at_the_first_click_and_what_is_wrong_with_one_is_said_until_the_box_is_empty(page, address):
    page.goto(address)
    chart_drawn(page)
    settled(page)
    page.get_by_test_id("stSidebar").get_by_text("Your own config.json").click()
    box, use = page.get_by_role("textbox", name="Paste a config.json"), page.get_by_role("button", name="Use what was")
    heading, said = (
        page.get_by_test_id("stHeading").first,
        page.locator("[data-testid=stSidebar] [data-testid=stAlert]"),
    )

    box.fill(json.dumps(LLAMA))
    use.click()
    expect(heading).to_have_text("meta-llama/Meta-Llama-3-8B (config.json)")
    settled(page)
    expect(metric(page, "Parameters")).to_have_text("8.03 B")
    expect(said).to_have_text("check\nIn use: meta-llama/Meta-Llama-3-8B (config.json).", use_inner_text=True)

    for nonsense in ("{nonsense", "[1]"):
        box.fill(nonsense)
        use.click()
        expect(said).to_contain_text("JSON" if nonsense == "{nonsense" else "config")
        expect(heading).to_have_text("meta-llama/Meta-Llama-3-8B (config.json)")
    assert said.bounding_box()["y"] - box.bounding_box()["y"] < 250
    box.fill("")
    box.blur()
    expect(said).to_have_count(0)
    expect(metric(page, "Parameters")).to_have_text("8.03 B")

    page.get_by_test_id("stSidebar").get_by_text("Shape of the model").click()
    page.get_by_role("slider", name="Layers").press("ArrowLeft")
    expect(heading).to_have_text("meta-llama/Meta-Llama-3-8B (config.json), changed")
    box.fill(json.dumps({**LLAMA, "_name_or_path": "."}))
    use.click()
    expect(heading).to_have_text("llama from a config.json, 8.03 B")
    settled(page)
    page.get_by_role("slider", name="Layers").press("ArrowLeft")
    expect(heading).to_have_text("llama from a config.json, 8.03 B, changed")
    use.click()
    expect(heading).to_have_text("llama from a config.json, 8.03 B")


def test_a_config_that_was_pasted_and_not_confirmed_goes_along_to_another_page_and_into_its_address(page, address):
    page.goto(address)
    chart_drawn(page)
    settled(page)
    entries = page.evaluate("history.length")
    page.get_by_test_id("stSidebar").get_by_text("Your own config.json").click()
    page.get_by_role("textbox", name="Paste a config.json").fill(json.dumps(LLAMA))
    to_page(page, "parameters")
    title = "Parameters of meta-llama/Meta-Llama-3-8B (config.json)"
    expect(page.get_by_test_id("stHeading").first).to_have_text(title)
    page.wait_for_timeout(2_000)  # what the browser said before it knew of all this has come by then
    settled(page)
    assert set(query(page)) == {"model", "config"}
    assert page.evaluate("history.length") == entries + 2  # the model, and the page
    page.reload()
    expect(page.get_by_test_id("stHeading").first).to_have_text(title)
    page.go_back()
    expect(page.get_by_test_id("stHeading").first).to_have_text("meta-llama/Meta-Llama-3-8B (config.json)")
