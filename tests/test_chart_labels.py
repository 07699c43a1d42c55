"""What is written on charts can be read, on a phone and on a desktop, and is not measured at each step of a slider."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from real_browser import chart_drawn, settled

from pages.ui.app.shell import PAGES
from llmcalc.inputs import CHAPTERS

# A model with large numbers, in the language with the longer words for them
LINK = "lang=id&model=GPT-3+175B"
CHARTED = [f"{page}?{LINK}" for page in PAGES if page not in ("explore", "learn", "article", "method")]
CHARTED += ["?lang=id&model=Llama+3+8B&batch_size=1"]  # a device's line behind what small bars come to
CHARTED += [f"?{LINK}", "fits?lang=id", *(f"learn?lang=id&chapter={chapter}" for chapter in CHAPTERS)]
CHARTED += ["fits?model=Llama+3+8B&n_devices=4&zero_stage=3&accelerator=TPU+v5p"]  # outlines at the left side
CHARTED += ["training?lang=id&batch_size=75"]  # the device's line close above the peak
CHARTED += ["scaling?lang=id&model=DeepSeek-V3+671B", "scaling?model=Pythia+14M"]  # points near the sides
CHARTED += ["scaling?model=GPT-3+175B&curve=performance"]
WIDTHS = (1024, 390)  # where charts side by side are narrowest, and a phone

# Of each chart: what is written beyond its edges, or those of its plot where they cut it off, labels of axes and notes
# that lie on one another, and what a line goes through. A line of text is higher than its letters, so a few pixels of
# two lines may.
UNREADABLE = """() => {
  const found = [];
  const meet = (a, b) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  for (const node of document.querySelectorAll(".js-plotly-plot")) {
    const chart = node.getBoundingClientRect();
    const written = (selector) => [...node.querySelectorAll(selector)]
      .map((text) => [text.textContent.trim(), text.getBoundingClientRect(), text])
      .filter(([text, { width }]) => text && width);
    const { l = 0, t = 0, w = chart.width, h = chart.height } = node._fullLayout?._size ?? {};
    const plot = new DOMRect(chart.left + l, chart.top + t, w, h);
    for (const [text, { left, right, top, bottom }, element] of written("text")) {
      const edge = element.closest("[clip-path]") ? plot : chart;
      if (left < edge.left - 1 || right > edge.right + 1 || top < edge.top - 4 || bottom > edge.bottom + 4)
        found.push(`${text}: cut`);
    }
    const labels = written("[class$='tick'] text, .xtitle, .x2title, .ytitle, .annotation-text, .legendtext");
    labels.forEach(([a, there], i) =>
      labels.slice(i + 1).forEach(([b, here]) => meet(there, here) && found.push(`${a}: under ${b}`)));
    const lines = [...node.querySelectorAll(".shapelayer path")].map((line) => line.getBoundingClientRect());
    for (const [text, { left, right, top, bottom }] of written(".textpoint text, .annotation-text"))
      if (lines.some((line) => line.left < right - 3 && line.right > left + 3
          && line.top < bottom - 5 && line.bottom > top + 5))
        found.push(`${text}: crossed by a line`);
  }
  return found;
}"""


@pytest.mark.parametrize("path", CHARTED)
def test_nothing_on_a_chart_is_cut_or_covered_at_any_width(page, address, path):
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 4000})  # all charts in sight
        if not found:
            page.goto(f"{address}/{path}")
        settled(page)
        found[width] = page.evaluate(UNREADABLE)
        for _ in range(10):  # a busy machine draws charts anew later than the page is at rest
            if not found[width]:
                break
            page.wait_for_timeout(500)
            found[width] = page.evaluate(UNREADABLE)
    assert found == {width: [] for width in WIDTHS}


@pytest.mark.parametrize("path", ["", "accuracy", "training"])
def test_nothing_in_a_saved_picture_is_cut_or_covered(page, address, path):
    """As it is shown where the app's fonts are not."""
    page.goto(f"{address}/{path}")
    chart_drawn(page)
    settled(page)
    saved = []
    for chart in page.locator(".chart-box").all():
        chart.hover()
        with page.expect_download() as download:
            chart.get_by_role("button", name="SVG").click()
        saved.append(download.value.path().read_text(encoding="utf-8"))
    assert saved
    elsewhere = page.context.new_page()
    for picture in saved:
        elsewhere.set_content(f'<div class="js-plotly-plot" style="width: max-content">{picture}</div>')
        assert elsewhere.evaluate("document.querySelectorAll('.js-plotly-plot text').length") > 5
        assert elsewhere.evaluate(UNREADABLE) == []


def test_what_is_unreadable_is_found(page, address):
    page.goto(address)
    chart_drawn(page)
    page.evaluate("""() => { const [a, b] = document.querySelectorAll(".js-plotly-plot .xtick text");
      a.textContent = "x".repeat(200); b.setAttribute("transform", a.getAttribute("transform")); }""")
    found = page.evaluate(UNREADABLE)
    assert any("cut" in each for each in found)
    assert any("under" in each for each in found)


@pytest.mark.parametrize("path", ["", "training", "scaling"])
def test_a_step_of_a_slider_has_nothing_measured(page, address, path):
    """The browser lays out the page each time: for labels, which Plotly copies into an element out of sight, and for a
    chart's size."""
    page.goto(f"{address}/{path}")
    chart_drawn(page)
    settled(page)
    slider = page.get_by_role("slider", name="Width")
    slider.focus()
    page.evaluate("""() => {
      window.measured = [];
      const note = ({ addedNodes }) => addedNodes.forEach((node) => window.measured.push(node.textContent));
      const tester = document.querySelector("#js-plotly-tester");
      new MutationObserver((changes) => changes.forEach(note)).observe(tester, { childList: true });
      for (const name of ["clientWidth", "clientHeight"]) {
        const { get } = Object.getOwnPropertyDescriptor(Element.prototype, name);
        const noted = function () {
          if (this.matches(".js-plotly-plot")) window.measured.push(name);
          return get.call(this);
        };
        Object.defineProperty(Element.prototype, name, { get: noted });
      }
    }""")
    measured = []
    for width in range(832, 832 + 4 * 64, 64):
        page.evaluate("window.measured.length = 0")
        slider.press("ArrowRight")
        expect(slider).to_have_attribute("aria-valuetext", f"{width:,}")
        settled(page)
        measured.append(page.evaluate("window.measured"))
    assert [] in measured, "only where the numbers of an axis become others"
