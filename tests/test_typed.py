"""Nothing that a reader typed is lost, and the browser's history leads where it says, in a real Chromium."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

from playwright.sync_api import expect
from real_browser import chart_drawn, metric, query, settled, to_page
from socket_session import open_session

RUN = "recompute=full&lora_rank=16&accelerator=A100+80GB+SXM"
LINK = f"model=Llama+3+8B&seq_len=8192&batch_size=1&{RUN}"


def heading(page):
    return page.get_by_test_id("stHeading").first


def shown(page) -> list[str]:
    """What all fields that can be seen and the headline numbers say."""
    settled(page)
    return page.evaluate("""() => [...document.querySelectorAll("input, [class*=st-key-headlines]")]
        .filter((shown) => shown.checkVisibility()).map((shown) => shown.value ?? shown.innerText)""")


def test_a_number_that_was_typed_and_not_confirmed_goes_along_to_another_page(page, address):
    page.goto(f"{address}/training")
    for value, tab, title in (
        (16, "explore", "GPT-2 124M, changed"),
        (24, "training", "Memory of one training step"),
    ):
        chart_drawn(page)
        settled(page)
        page.get_by_role("textbox", name="Heads").fill(str(value))
        to_page(page, tab)
        expect(heading(page)).to_have_text(title)
        page.wait_for_function(f"location.search === '?n_heads={value}'")
        settled(page)
        expect(page.get_by_role("textbox", name="Heads")).to_have_value(str(value))
        expect(page.get_by_role("slider", name="Heads")).to_have_attribute("aria-valuetext", str(value))
        expect(heading(page)).to_have_text(title)


def test_arrow_keys_just_before_another_page_all_count(page, address):
    page.goto(f"{address}/training")
    chart_drawn(page)
    settled(page)
    slider = page.get_by_role("slider", name="Layers")
    for _ in range(3):
        slider.press("ArrowRight")
    to_page(page, "explore")
    expect(heading(page)).to_have_text("GPT-2 124M, changed")
    page.wait_for_function("location.search === '?n_layers=15'")
    settled(page)
    expect(page.get_by_role("textbox", name="Layers")).to_have_value("15")
    expect(slider).to_have_attribute("aria-valuetext", "15")


def test_a_control_is_not_moved_back_by_what_the_browser_still_says_of_another(page, address):
    """There and back on the slider, faster than what was drawn of it arrives, while its number box still says 12."""
    page.goto(f"{address}/training")
    chart_drawn(page)
    settled(page)
    slider = page.get_by_role("slider", name="Layers")
    for key in ("ArrowRight", "ArrowLeft", "ArrowRight", "ArrowRight", "ArrowLeft"):
        slider.press(key)
    page.get_by_role("radio", name="eager", exact=True).click()
    page.wait_for_function("location.search.includes('attention=eager') && location.search.includes('n_layers=13')")
    settled(page)
    assert query(page) == {"n_layers": ["13"], "attention": ["eager"]}
    expect(page.get_by_role("textbox", name="Layers")).to_have_value("13")


def test_history_has_one_entry_for_each_page_and_leads_to_what_was_there(page, address):
    page.goto(f"{address}/training?{LINK}")
    chart_drawn(page)
    before, entries = shown(page), page.evaluate("history.length")
    asked = query(page)
    to_page(page, "explore")
    expect(heading(page)).to_have_text("Llama 3 8B")
    explored = shown(page)
    assert page.evaluate("history.length") == entries + 1
    assert query(page) == asked
    page.go_back()
    expect(heading(page)).to_have_text("Memory of one training step")
    assert shown(page) == before
    assert (page.url.partition("?")[0], query(page)) == (f"{address}/training", asked)
    page.go_forward()
    expect(heading(page)).to_have_text("Llama 3 8B")
    assert shown(page) == explored
    assert (page.url.partition("?")[0], query(page)) == (f"{address}/", asked)
    assert page.evaluate("history.length") == entries + 1


def test_a_gesture_that_changes_several_inputs_is_one_entry_of_history(page, address):
    page.goto(f"{address}/?n_layers=24&n_heads=16&d_model=1024&attention=eager")
    chart_drawn(page)
    settled(page)
    entries = page.evaluate("history.length")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("location.search === '?attention=eager'")
    settled(page)
    assert page.evaluate("history.length") == entries + 1
    page.go_back()
    expect(metric(page, "Parameters")).to_have_text("355 M")
    settled(page)
    assert query(page) == {"n_layers": ["24"], "n_heads": ["16"], "d_model": ["1024"], "attention": ["eager"]}


def test_a_price_keeps_its_digits_and_may_be_taken_away(page, address):
    page.goto(f"{address}/cost?lang=id")
    field = page.get_by_role("textbox", name="Harga satu perangkat per jam")
    expect(field).to_have_value("")
    expect(field).to_have_attribute("placeholder", "belum diisi")
    field.fill("33.000,125")
    field.press("Enter")
    page.wait_for_function("location.search.includes('price_per_hour=33000.125')")
    expect(metric(page, "Biaya")).to_be_visible()
    settled(page)
    page.get_by_role("textbox", name="Token pelatihan, miliar").fill("600")
    to_page(page, "serving")
    settled(page)
    assert query(page) == {"lang": ["id"], "price_per_hour": ["33000.125"], "train_tokens": ["600"]}
    expect(metric(page, "Harga sejuta token")).to_be_visible()
    field.fill("")
    field.press("Enter")
    page.wait_for_function("!location.search.includes('price_per_hour')")
    settled(page)
    expect(metric(page, "Harga sejuta token")).to_have_count(0)
    page.go_back()
    expect(metric(page, "Harga sejuta token")).to_be_visible()
    expect(field).to_have_value("33.000,125")


def test_an_address_that_the_browser_had_when_it_asked_is_mended_both_ways(address):
    """Faster than an address arrives: what has been written into it since is not lost, what was taken out stays out."""

    async def asked() -> list[dict[str, list[str]]]:
        async with open_session(address) as session:
            await session.visit()
            named = (await session.move("n_layers", 13)).query
            await session.move("n_layers", 12)  # as it is at first
            session._query = named
            without = await session.move("d_model", 640)
            session._query = ""
            return [parse_qs(run.query) for run in (without, await session.move("batch_size", 4))]

    with ThreadPoolExecutor(1) as thread:  # another than the browser's, which has an event loop of its own
        found = thread.submit(lambda: asyncio.run(asked())).result()
    assert found == [{"d_model": ["640"]}, {"d_model": ["640"], "batch_size": ["4"]}]
