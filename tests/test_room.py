"""What a room needs, in a real Chromium: presenter mode, a QR code, full screen, pictures, the keyboard, a phone."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import pytest
import segno
from PIL import Image
from playwright.sync_api import expect
from real_browser import chart_drawn, elsewhere, metric, query, settled, to_page

from pages.ui.app.shell import PAGES
from llmcalc.link_text import LINK_VERSION

SET = {"d_model": "1024", "n_layers": "24", "n_heads": "16"}


def modules(page) -> list[list[bool]]:
    """The QR code as it is drawn, a module each, without its quiet zone."""
    return page.evaluate(
        """async () => {
            const image = document.querySelector("img.qr");
            await image.decode();
            const side = image.naturalWidth / 8;
            const pen = new OffscreenCanvas(side * 8, side * 8).getContext("2d");
            pen.drawImage(image, 0, 0);
            const dark = (x, y) => pen.getImageData(x * 8 + 4, y * 8 + 4, 1, 1).data[0] < 128;
            const inner = [...Array(side - 8).keys()].map((at) => at + 4);
            return inner.map((y) => inner.map((x) => dark(x, y)));
        }"""
    )


def encoded(address: str) -> list[list[bool]]:
    """The modules that this address has as a QR code."""
    return [[bool(module) for module in row] for row in segno.make(address, error="l", micro=False).matrix]


@pytest.mark.parametrize(
    "link",
    [
        "training?lang=id",
        "training?lang=id&model=DeepSeek-V3+671B&n_layers=50&batch_size=3",
        "cluster?lang=id&model=Llama+3+8B&n_devices=8",
        "techniques?lang=id&model=Llama+3+8B&n_devices=8",
    ],
)
def test_a_room_sees_all_of_a_stage_at_once(page, address, link):
    """Whatever is said above the chart, and however many lines that takes."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/{link}&present=true")
    chart_drawn(page)
    settled(page)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight") <= 720, "more than one screen"
    assert page.locator(".chart-box").bounding_box()["height"] >= 190, "too small to be seen"


def test_a_room_sees_one_chart_the_numbers_and_the_knobs_and_escape_leaves_all_inputs_set(page, address):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/?{urlencode({'present': 'true', **SET})}")
    chart_drawn(page)
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight") <= 720, "more than one screen"
    number = metric(page, "Parameters")
    expect(number).to_have_text("355 M")
    assert number.evaluate("element => parseFloat(getComputedStyle(element).fontSize)") > 36
    for key, title in (
        ("", "Where the 355 M parameters are"),
        ("PageDown", "What fills the memory at batch 8, length 1,024"),
        ("PageUp", "Where the 355 M parameters are"),
    ):
        if key:
            page.keyboard.press(key)
        expect(page.get_by_role("group", name=title, exact=True)).to_be_visible()
        expect(page.locator(".chart-box")).to_have_count(1)

    page.get_by_role("slider", name="Layers").press("ArrowRight")
    page.wait_for_function("!location.search.includes('n_layers=24')")
    page.get_by_role("button", name="QR code").press("Enter")
    expect(page.locator(".qr")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".qr")).to_be_hidden()
    expect(page.locator(".st-key-stage")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    page.wait_for_function("!location.search.includes('present')")
    assert query(page) == {"d_model": ["1024"], "n_layers": ["25"], "n_heads": ["16"]}


def test_presenter_mode_is_switched_on_and_left_by_a_control_and_stays_from_page_to_page(page, address):
    page.goto(f"{address}/scaling?n_layers=24")
    page.get_by_test_id("stSidebar").get_by_text("Presenter mode").click()
    expect(page.locator(".st-key-stage")).to_be_visible()
    to_page(page, "article")
    expect(page.get_by_test_id("stHeading").first).to_be_visible()
    page.wait_for_function("location.search.includes('present=true') && location.search.includes('n_layers=24')")
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    page.wait_for_function("!location.search.includes('present')")
    assert query(page) == {"n_layers": ["24"]}


def test_the_qr_code_holds_the_short_link_and_says_who_can_open_it(page, address):
    page.goto(f"{address}/training?{urlencode({'present': 'true', **SET})}")
    page.get_by_role("button", name="QR code").click()
    expect(page.locator(".qr")).to_be_visible()
    link = {"v": LINK_VERSION, "lang": "en", "model": "GPT-2 124M", **SET}
    assert modules(page) == encoded(f"{address}/training?{urlencode(link)}")
    expect(page.get_by_test_id("stPopoverBody")).to_contain_text("Others cannot open this address")
    white = page.locator(".qr").screenshot()
    assert Image.open(BytesIO(white)).convert("L").getpixel((2, 2)) > 250, "the quiet zone is not white"


@pytest.mark.parametrize("link", ["", "?present=true"])
def test_a_chart_fills_the_window_and_escape_brings_it_back(page, address, link):
    page.goto(f"{address}/training{link}")
    chart_drawn(page)
    size = "(({ clientWidth, clientHeight }) => [clientWidth, clientHeight])(document.querySelector('.main-svg'))"
    before = page.evaluate(size)
    enlarge = page.get_by_role("button", name="Full screen")
    enlarge.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Weights", exact=True)).to_be_visible()
    page.wait_for_function(f"{size}[0] > 1300 && {size}[1] > 750")
    assert dialog.bounding_box() == {"x": 0, "y": 0, "width": 1440, "height": 1000}
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.wait_for_function(f"{size}.join() === '{','.join(map(str, before))}'")
    expect(enlarge).to_be_focused()
    expect(page.locator(".st-key-stage")).to_have_count(1 if link else 0)


def test_a_chart_is_saved_as_a_picture_on_white_with_its_title_and_legend(browser, address):
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme="dark")
    page, asked = context.new_page(), set()
    page.on("request", lambda request: asked.add(request.url) if elsewhere(request.url, address) else None)
    page.goto(f"{address}/training")
    chart_drawn(page)
    saved = {}
    for name in ("PNG", "SVG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download as {name}").press("Enter")
        assert download.value.suggested_filename == f"llmcalc-memory-through-one-training-step.{name.lower()}"
        saved[name] = Path(download.value.path()).read_bytes()
    context.close()
    picture = Image.open(BytesIO(saved["PNG"])).convert("RGB")
    assert picture.width >= 1800
    colours = {picture.getpixel((x, y)) for x in (2, picture.width - 3) for y in (2, picture.height - 3)}
    assert colours == {(255, 255, 255)}
    drawn = saved["SVG"].decode()
    for words in ("Memory through one training step", "Logits and loss", "Residual stream", "Memory (GiB)"):
        assert words in drawn
    assert "rgb(255, 255, 255)" in drawn
    assert asked == set()


def test_the_keyboard_skips_to_the_content_and_sees_where_it_is(page, address):
    page.goto(f"{address}/scaling?lang=id")
    chart_drawn(page)
    settled(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Langsung ke isi"
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[data-testid=stMain]').contains(document.activeElement)")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))
        if reached[-1] == "Layar penuh":
            break
    assert reached[-4:] == ["Unduh sebagai PNG", "Unduh sebagai SVG", "Atur ulang sumbu", "Layar penuh"]
    focused = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"{focused}.outlineStyle") == "solid"
    page.wait_for_function("getComputedStyle(document.activeElement.parentElement).opacity === '1'")


def test_the_keyboard_does_not_go_into_a_closed_sidebar_and_its_inputs_stay_set(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/scaling?n_layers=24&alpha=0.05")
    settled(page)
    for _ in range(6):
        page.keyboard.press("Tab")
        assert not page.evaluate("!!document.activeElement.closest('[data-testid=stSidebar]')")
    assert query(page) == {"n_layers": ["24"], "alpha": ["0.05"]}


def test_where_motion_is_not_wanted_nothing_moves(browser, address):
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{address}/parameters")
    page.locator(".treemaplayer").get_by_text("Attention", exact=True).click(force=True)
    page.wait_for_function("document.querySelector('.js-plotly-plot')._fullData[0].level === 'parameters/attention'")
    longest = page.evaluate(
        """() => Math.max(...[...document.querySelectorAll("*")].flatMap((element) => {
            const { transitionDuration, animationDuration } = getComputedStyle(element);
            return `${transitionDuration},${animationDuration}`.split(",").map(parseFloat);
        }))"""
    )
    assert longest <= 0.001
    page.get_by_role("button", name="Reset axes").first.press("Enter")
    page.wait_for_function("document.querySelector('.js-plotly-plot')._fullData[0].level !== 'parameters/attention'")
    context.close()


def test_no_page_is_wider_or_longer_than_its_content_on_a_phone(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    phone = context.new_page()
    for link in (*PAGES, "explore?present=true"):
        name, _, present = link.partition("?")
        phone.goto(f"{address}/{'' if name == PAGES[0] else name}?{present}")
        settled(phone)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, link
        tail = phone.evaluate(
            """() => {
                const inside = document.querySelectorAll("[data-testid=stMainBlockContainer] *");
                const drawn = [...inside].filter((element) => !element.children.length && element.offsetParent);
                const end = Math.max(844, ...drawn.map((element) => element.getBoundingClientRect().bottom));
                return document.querySelector("[data-testid=stMain]").scrollHeight - end;
            }"""
        )
        assert tail < 150, f"{link}: {tail} px of nothing at its end"
        for button in phone.locator(".chart-tools button").all():
            box = button.bounding_box()
            assert min(box["width"], box["height"]) >= 40, "too small for a finger"
    context.close()
