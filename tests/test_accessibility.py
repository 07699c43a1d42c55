"""No page has a serious or critical violation that axe-core can find, in light and in dark, closed and open."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import expect
from real_browser import chart_drawn, settled, to_page

from pages.ui.app.shell import PAGES

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
# WCAG 2.2 at level AA, and what axe-core calls best practice
ALL = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# What is wrong with colours in one theme need not be in the other; all else is wrong in both
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
RUN = """async (runOnly) => {
  const found = await axe.run(document, { resultTypes: ["violations"], runOnly });
  return found.violations.flatMap(({ id, impact, nodes }) =>
    nodes.map((node) => [impact, id, String(node.target), node.html.slice(0, 200)]));
}"""


def violations(page) -> list[str]:
    """What axe-core finds that is serious or critical: all in the theme that it is, then colours in the other."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate(RUN, ALL)
    app = page.locator(".stApp")
    other = "light" if app.evaluate("app => getComputedStyle(app).colorScheme") == "dark" else "dark"
    page.emulate_media(color_scheme=other)
    expect(app).to_have_css("color-scheme", other)
    settled(page)
    return [each for each in found + page.evaluate(RUN, COLOURS) if each[0] in ("serious", "critical")]


@pytest.fixture(scope="module")
def reader(browser, address):
    """One page for all tests; without motion, so that colours are at once what they will be."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 1000}, reduced_motion="reduce", color_scheme="light"
    )
    page = context.new_page()
    page.set_default_timeout(120_000)  # the first reader of Accuracy waits until every step has been simulated
    page.goto(address)
    settled(page)
    yield page
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_a_serious_violation(reader, name):
    to_page(reader, name)
    reader.wait_for_function(f"location.pathname === '/{'' if name == PAGES[0] else name}'")
    settled(reader)
    assert violations(reader) == []


def test_nothing_that_opens_has_a_serious_violation(reader, address):
    reader.goto(f"{address}/training?lang=id&n_heads=10&nonsense=1")
    settled(reader)
    reader.evaluate("document.querySelectorAll('details:not([open]) > summary').forEach((closed) => closed.click())")
    for menu in reader.locator(".st-key-menu").get_by_role("radio").all():
        menu.click()
        expect(menu).to_be_checked()
        settled(reader)
        assert violations(reader) == []
    reader.locator(".st-key-headlines").get_by_role("button").first.click()
    expect(reader.get_by_role("dialog")).to_be_visible()
    settled(reader)
    assert violations(reader) == []


def test_presenter_mode_has_no_serious_violation(reader, address):
    reader.goto(f"{address}/?present=true&n_heads=10")
    chart_drawn(reader)
    reader.get_by_role("button", name="QR code").click()
    expect(reader.locator(".qr")).to_be_visible()
    settled(reader)
    assert violations(reader) == []


def test_a_chart_in_full_screen_has_no_serious_violation(reader, address):
    reader.goto(f"{address}/training")
    chart_drawn(reader)
    reader.get_by_role("button", name="Full screen").first.press("Enter")
    expect(reader.get_by_role("dialog")).to_be_visible()
    assert violations(reader) == []


def test_axe_finds_what_is_wrong(reader):
    reader.set_content('<main class="stApp" style="color-scheme: light dark"><img src="data:,"></main>')
    reader.evaluate(AXE)
    assert any("image-alt" in str(each) for each in reader.evaluate(RUN, ALL))


def test_what_is_wrong_in_the_other_theme_is_found(reader, address):
    reader.goto(address)
    settled(reader)
    assert violations(reader) == []
    is_light = reader.evaluate("getComputedStyle(document.querySelector('.stApp')).colorScheme") == "light"
    colours = "light-dark(#000, #444)" if is_light else "light-dark(#ccc, #fff)"
    reader.add_style_tag(content=f"h2, h2 * {{ color: {colours} !important; }}")
    assert {each[1] for each in violations(reader)} == {"color-contrast"}
