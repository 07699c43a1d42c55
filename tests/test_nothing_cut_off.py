"""All of it can be seen: a lesson's options, the QR code of a room, charts on paper. In a real Chromium."""

from __future__ import annotations

import re
from itertools import cycle

import pytest
from playwright.sync_api import expect
from real_browser import chart_drawn, settled

from llmcalc.inputs import CHAPTERS
from llmcalc.words import LANGUAGES

# Controls of the page whose content is wider than they are, or that reach out of what they are in
CUT_OFF = """() => {
    const kinds = ["ButtonGroup", "Radio", "Selectbox", "Button", "PageLink", "TextInput", "Checkbox"];
    const controls = kinds.map((kind) => `[data-testid=stMain] [data-testid=st${kind}]`).join();
    const found = [];
    for (const control of document.querySelectorAll(controls)) {
        if (!control.checkVisibility()) continue;
        const within = control.parentElement.getBoundingClientRect().right;
        for (const part of [control, ...control.querySelectorAll("*")]) {
            const { position, display, overflowX } = getComputedStyle(part);
            if (position === "absolute" || display === "inline" || part.clientWidth < 20) continue;
            if (!(part instanceof HTMLElement) || part.closest(".katex")) continue;
            const wider = overflowX !== "visible" && part.scrollWidth > part.clientWidth;
            const outside = part.getBoundingClientRect().right > Math.min(innerWidth, within) + 1;
            if (wider || outside) found.push(part.innerText || part.value);
        }
    }
    return found;
}"""


def test_no_option_of_a_lesson_is_cut_off(page, address):
    """The languages take turns: what is cut off is a kind of control, which more than one chapter has."""
    found = {}
    for chapter, language in zip(CHAPTERS, cycle(LANGUAGES)):
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 1000})
            if width == 1440:
                page.goto(f"{address}/learn?chapter={chapter}&lang={language}")
            expect(page.get_by_test_id("stRadio").first).to_be_visible()
            settled(page)
            if cut_off := page.evaluate(CUT_OFF):
                found[chapter, width] = cut_off
    assert not found


@pytest.mark.parametrize("link", ["", "&lang=id&model=DeepSeek-V3+671B&n_layers=50&batch_size=3"])
def test_a_room_sees_the_whole_qr_code(page, address, link):
    for size in ({"width": 1280, "height": 720}, {"width": 1024, "height": 768}, {"width": 390, "height": 844}):
        page.set_viewport_size(size)
        page.goto(f"{address}/?present=true{link}")
        settled(page)
        page.locator(".st-key-stage_qr button").press("Enter")
        code = page.locator(".qr")
        expect(code).to_be_in_viewport(ratio=1)
        body = page.get_by_test_id("stPopoverBody").filter(has=code)
        expect(body).to_be_in_viewport(ratio=1)
        assert body.evaluate("body => body.scrollHeight <= body.clientHeight"), f"scrolls: {size}"


# An A4 sheet without the margins that the style sheet asks for, in pixels of 1/96 inch: (210 − 24) mm / 25.4 · 96
SHEET = 702


@pytest.mark.parametrize("link", ["", "training?model=Llama+3+8B", "parameters", "compare?compare=Mixtral+8x7B"])
def test_a_page_on_paper_is_what_there_is_to_read_dark_on_white_and_its_charts_are_whole(browser, address, link):
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}/{link}")
    chart_drawn(page)
    settled(page)
    widths = "[...document.querySelectorAll('.js-plotly-plot .main-svg')].map((svg) => svg.clientWidth)"
    on_screen = page.evaluate(widths)

    # A page that scrolls inside would be cut off after its first sheet
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4", print_background=True)))
    assert pages >= 2
    page.wait_for_function(f"{widths}.join() === '{','.join(map(str, on_screen))}'")

    page.set_viewport_size({"width": SHEET, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for part in ("stSidebar", "stHeader", "stToolbar", "stTopNavSection", "stExpandSidebarButton"):
        assert not [found for found in page.get_by_test_id(part).all() if found.is_visible()], part
    around = "[...document.querySelectorAll('.stApp, [data-testid=stAppViewContainer], [data-testid=stMain]')]"
    assert page.evaluate(f"{around}.map((part) => getComputedStyle(part).overflow)") == ["visible"] * 3, "it scrolls"
    assert page.evaluate("document.documentElement.scrollWidth") <= SHEET
    charts = page.evaluate(
        """() => [...document.querySelectorAll(".chart-box")].map((box) => {
            const { left, right } = box.querySelector(".main-svg").getBoundingClientRect();
            const words = [...box.querySelectorAll(".xtitle, .chart-title")].map((text) => {
                const { fill, color } = getComputedStyle(text);
                return text instanceof SVGElement ? fill : color;
            });
            return [right - left, left, right, getComputedStyle(box).breakInside, words];
        })"""
    )
    assert charts
    for wide, left, right, inside, words in charts:
        assert (wide, inside) == (680, "avoid")
        assert 0 <= left < right <= SHEET
        for colour in words:
            assert max(map(int, re.findall(r"\d+", colour)[:3])) < 130, f"too light for white paper: {colour}"
    assert page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor") == "rgb(255, 255, 255)"
    context.close()


def test_a_chart_that_was_never_in_sight_is_on_paper_and_no_table_that_scrolls(page, address):
    page.set_viewport_size({"width": 1440, "height": 700})
    page.goto(f"{address}/cluster?model=Llama+3+8B&n_devices=8")
    chart_drawn(page)
    settled(page)
    drawn = "() => [...document.querySelectorAll('.chart-box')].map((box) => !!box.querySelector('.main-svg'))"
    assert False in page.evaluate(drawn), "the last chart is below the fold"
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(drawn) == [True, True]
    table = page.get_by_test_id("stDataFrame")
    for what in (table, page.locator(".stElementContainer").filter(has=table)):  # nor a hole where it was
        expect(what).to_be_hidden()


def test_a_formula_on_a_phone_is_not_broken_at_each_sign(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/parameters")
    settled(page)
    widths = "[...document.querySelectorAll('td:last-child:has(.katex)')].map((cell) => cell.clientWidth)"
    assert min(page.evaluate(widths)) >= 100  # 2 · d · h · d_h and a sign


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_a_table_to_scroll_in_has_a_shadow_until_its_end_is_reached(page, address, motion):
    page.emulate_media(reduced_motion=motion)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/cluster?model=Llama+3+8B&n_devices=8")
    settled(page)
    scroller = page.get_by_test_id("stDataFrame").locator(".dvn-scroller")
    assert scroller.evaluate("box => box.scrollWidth > box.clientWidth")
    expect(scroller).to_have_css("background-size", "12px 100%")
    scroller.evaluate("box => box.scrollLeft = box.scrollWidth")
    expect(scroller).to_have_css("background-size", "0px 100%")
