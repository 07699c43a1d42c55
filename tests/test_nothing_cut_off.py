"""All of it can be seen: a lesson's options, the QR code of a room, charts on paper. In a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from real_browser import settled

from llmcalc.inputs import CHAPTERS

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

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


@pytest.mark.parametrize("language", ["en", "id"])
def test_no_option_of_a_lesson_is_cut_off(page, address, language):
    found = {}
    for chapter in CHAPTERS:
        page.goto(f"{address}/learn?chapter={chapter}&lang={language}")
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 1000})
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
