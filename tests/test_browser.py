"""The dashboard in a real Chromium: cold deep links, a key press, the address, what leaves the machine."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect
from real_browser import chart_drawn, dashboard, elsewhere, metric, query, settled, to_page

from llmcalc.bases import OF_RECIPE
from llmcalc.inputs import DEFAULTS
from llmcalc.link_text import link_parameters

# One server and one browser at a time: on a small machine several would wait for each other


def parameter_bars(page) -> list[float]:
    """Lengths of the bars of the first chart, as plotly.js holds them."""
    chart_drawn(page)
    return page.evaluate("[...document.querySelector('.js-plotly-plot').data[0].x]")


def test_a_link_to_a_page_is_the_first_hit_on_a_fresh_process(page):
    with dashboard() as fresh:
        page.goto(f"{fresh}/scaling?d_model=1600&n_layers=48&n_heads=25&alpha=0.07")
        expect(page.get_by_role("img", name="1.48 B parameters give a loss").first).to_be_visible()
        expect(metric(page, "metric 10% higher")).to_have_text("3.90")
        expect(page.get_by_test_id("stException")).to_have_count(0)


def test_an_arrow_key_on_a_slider_changes_chart_number_and_address_in_place(page, address):
    complaints, asked = [], set()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.add(request.url) if elsewhere(request.url, address) else None)
    page.goto(f"{address}/?n_layers=24")
    expect(metric(page, "Parameters")).to_have_text("209 M")
    before = parameter_bars(page)
    page.evaluate("window.chartNode = document.querySelector('.js-plotly-plot')")

    slider = page.get_by_role("slider", name="Width")
    slider.focus()
    slider.press("ArrowRight")

    expect(metric(page, "Parameters")).not_to_have_text("209 M")
    page.wait_for_function("document.querySelector('.js-plotly-plot').data[0].x[0] !== " + str(before[0]))
    assert page.evaluate("window.chartNode === document.querySelector('.js-plotly-plot')"), "the chart was drawn anew"
    page.wait_for_url("**d_model=832**")
    assert query(page) == {"n_layers": ["24"], "d_model": ["832"]}
    assert complaints == []
    assert asked == set(), "something was asked of another machine"


def test_the_way_back_in_the_history_undoes_one_change_after_the_other(page, address):
    page.goto(f"{address}/?n_layers=24")
    shown = metric(page, "Parameters")
    expect(shown).to_have_text("209 M")
    settled(page)  # what is done before belongs to the link's own entry
    slider = page.get_by_role("slider", name="Width")
    numbers = ["209 M"]
    for width in (832, 896):
        slider.press("ArrowRight")
        page.wait_for_url(f"**d_model={width}**")
        expect(shown).not_to_have_text(numbers[-1])
        numbers.append(shown.inner_text())
    for number in reversed(numbers[:-1]):
        page.go_back()
        expect(shown).to_have_text(number)
    assert query(page) == {"n_layers": ["24"]}


def test_what_the_app_changes_of_a_link_goes_into_the_address_and_stays(page, address):
    page.goto(f"{address}/learn?chapter=4&n_layers=24")
    page.locator(".st-key-chapter_next button").click()
    page.wait_for_url("**chapter=5**")
    to_page(page, "explore")
    expect(metric(page, "Parameters")).to_have_text("209 M")
    to_page(page, "learn")
    expect(page.get_by_role("heading", name="5. ")).to_be_visible()
    page.wait_for_function("['n_layers=24', 'chapter=5'].every((part) => location.search.includes(part))")
    assert query(page) == {"n_layers": ["24"], "chapter": ["5"]}


def test_settings_are_opened_change_the_page_and_stay_when_they_are_closed_again(page, address):
    page.goto(address)
    peak = metric(page, "Training, peak")
    expect(peak).to_have_text("8.79 GiB")
    expect(page.get_by_text("Attention kernel")).to_have_count(0)
    group = page.get_by_test_id("stSidebar").get_by_role("radio", name="Training", exact=True)
    group.click()
    page.get_by_role("radio", name="eager", exact=True).click()
    expect(peak).not_to_have_text("8.79 GiB")
    page.wait_for_url("**attention=eager**")
    eager = peak.inner_text()
    group.click()
    expect(page.get_by_text("Attention kernel")).to_have_count(0)
    page.get_by_role("slider", name="Layers").press("ArrowRight")
    page.wait_for_function("['n_layers=13', 'attention=eager'].every((part) => location.search.includes(part))")
    assert query(page) == {"attention": ["eager"], "n_layers": ["13"]}
    page.get_by_role("slider", name="Layers").press("ArrowLeft")
    expect(peak).to_have_text(eager)


def test_after_many_changes_the_address_opens_what_is_shown(page, address):
    """What is drawn in parts, and what a fresh session draws of the address."""
    page.goto(f"{address}/training?model=Llama+3+8B&batch_size=2")
    chart_drawn(page)
    fold = page.get_by_test_id("stSidebar").get_by_text("Shape of the model")  # of a model that somebody made
    fold.click()
    page.get_by_role("slider", name="Layers").press("ArrowRight")
    page.wait_for_url("**n_layers=33**")
    heads = page.get_by_role("textbox", name="Heads")
    heads.fill("24")
    heads.press("Enter")
    page.wait_for_url("**n_heads=24**")
    page.get_by_role("radio", name="eager", exact=True).click()
    page.wait_for_url("**attention=eager**")
    settled(page)
    fold.click()
    page.locator(".st-key-advice_0").get_by_role("button").click()
    settled(page)
    told = """() => [...document.querySelectorAll("[data-testid=stSidebar], [data-testid=stMain]")].map((part) => [
        part.innerText, ...[...part.querySelectorAll("input")].filter((field) => field.checkVisibility())
            .map((field) => field.value + field.placeholder)])"""
    before = page.evaluate(told)
    page.reload()
    chart_drawn(page)
    settled(page)
    assert page.evaluate(told) == before


def test_inputs_stay_in_the_address_from_page_to_page(page, address):
    expected = {"d_model": ["1600"], "n_heads": ["25"], "alpha": ["0.05"], "account": ["article"]}
    page.goto(f"{address}/?d_model=1600&n_heads=25&alpha=0.05&account=article")
    expect(page.get_by_role("slider", name="Width")).to_be_visible()
    for name in ("scaling", "training", "method"):
        to_page(page, name)
        page.wait_for_url(f"**/{name}?**")
        every = " && ".join(f"location.search.includes('{key}=')" for key in expected)
        page.wait_for_function(every)
        assert query(page) == expected


def test_pinned_models_stay_in_the_address_from_page_to_page_and_one_can_be_loaded(page, address):
    page.goto(f"{address}/compare")
    page.get_by_role("button", name="Beside models of other kinds").click()
    page.wait_for_function("location.search.includes('compare=')")
    pinned = query(page)["compare"]
    assert pinned == ["Llama 3 8B|Mixtral 8x7B|DeepSeek-V3 671B"]
    page.get_by_role("button", name="Load").nth(1).click()
    page.wait_for_function("location.search.includes('model=')")
    to_page(page, "explore")
    expect(metric(page, "Parameters")).to_have_text("46.7 B")
    page.wait_for_function("location.search.includes('compare=')")
    assert query(page)["compare"] == pinned
    assert query(page)["model"] == ["Mixtral 8x7B"]


def test_the_copied_link_opens_the_same_configuration_in_another_browser(browser, page, address):
    values = DEFAULTS | {"d_model": 4096, "n_heads": 32, "n_kv_heads": 8, "d_ff": 14_336, "gated": True}
    parameters = "&".join(f"{key}={value}" for key, value in link_parameters(values).items())
    page.goto(f"{address}/?{parameters}")
    shown = metric(page, "Training, peak")
    expect(shown).to_be_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    short = page.evaluate("navigator.clipboard.readText()")
    changed = {"d_model", "n_heads", "n_kv_heads", "d_ff", "gated"}
    assert parse_qs(urlsplit(short).query).keys() - {*OF_RECIPE, "fragmentation"} == {"v", "lang", "model", *changed}
    page.get_by_role("radio", name="Full link").click()
    full = page.get_by_test_id("stCode").first.inner_text().strip()
    assert len(short) < len(full) / 2
    for copied in (short, full):
        other = browser.new_context(viewport={"width": 1000, "height": 800}).new_page()
        other.goto(copied)
        expect(metric(other, "Training, peak")).to_have_text(shown.inner_text())
        expect(other.get_by_test_id("stAlert")).to_have_count(0)
        other.context.close()


def test_another_language_keeps_what_was_set_and_goes_into_the_address(page, address):
    page.goto(f"{address}/?n_layers=24&account=article")
    expect(metric(page, "Parameters")).to_have_text("209 M")
    page.get_by_role("radio", name="Bahasa Indonesia").click()
    expect(metric(page, "Parameter")).to_have_text("209 juta")
    page.wait_for_function("document.documentElement.lang === 'id'")
    page.wait_for_url("**lang=id**")
    assert query(page) == {"n_layers": ["24"], "account": ["article"], "lang": ["id"]}
    page.reload()
    expect(metric(page, "Parameter")).to_have_text("209 juta")


def test_a_number_opens_to_show_its_working(page, address):
    page.goto(address)
    page.get_by_role("button", name="Parameters").click()
    opened = page.get_by_role("dialog")
    expect(opened).to_contain_text("124,439,808")
    expect(opened.locator(".katex").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(opened).to_have_count(0)
    page.get_by_role("slider", name="Layers").press("ArrowRight")
    expect(metric(page, "Parameters")).to_have_text("132 M")
    expect(opened).to_have_count(0)


def test_a_tile_that_was_opened_stays_open_when_a_slider_moves(page, address):
    page.goto(f"{address}/parameters?n_layers=24")
    chart = "document.querySelector('.js-plotly-plot')"
    heading = page.locator(".treemaplayer").get_by_text("Attention", exact=True)
    heading.click(force=True)
    page.wait_for_function(f"{chart}._fullData[0].level === 'parameters/attention'")
    before = page.evaluate(f"{chart}.data[0].values[0]")
    slider = page.get_by_role("slider", name="Width")
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_function(f"{chart}.data[0].values[0] !== {before}")
    assert page.evaluate(f"{chart}._fullData[0].level") == "parameters/attention"


def test_on_a_phone_the_knobs_open_below_the_chart_that_they_move(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    phone = context.new_page()
    phone.goto(address)
    phone.locator(
        ".chart-box"
    ).first.scroll_into_view_if_needed()  # the answer stands above it; far below nothing is drawn
    chart_drawn(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390, "the page is wider than the phone"
    phone.get_by_test_id("stExpandSidebarButton").click()
    slider = phone.get_by_role("slider", name="Width")
    expect(slider).to_be_visible()
    sidebar = "document.querySelector('[data-testid=stSidebar]').getBoundingClientRect()"
    phone.wait_for_function(f"{sidebar}.width === 390 && {sidebar}.top > 844 * 0.45")
    sheet = phone.get_by_test_id("stSidebar").bounding_box()
    phone.evaluate("document.querySelector('.js-plotly-plot').scrollIntoView()")
    chart = phone.locator(".js-plotly-plot").first.bounding_box()
    assert chart["y"] + chart["height"] / 2 < sheet["y"], "the sheet covers the chart"
    before = parameter_bars(phone)
    slider.focus()
    slider.press("ArrowRight")
    phone.wait_for_function("document.querySelector('.js-plotly-plot').data[0].x[0] !== " + str(before[0]))
    context.close()


def test_stacked_bars_reach_their_sums_and_are_shorter_by_what_is_hidden(page, address):
    page.goto(address)
    chart = page.locator(".st-key-memory_by_component")
    expect(chart.locator(".js-plotly-plot .point path").first).to_be_visible()
    lengths = """chart => { const node = chart.querySelector(".js-plotly-plot"), sums = {};
      const bars = node.data.filter((trace) => trace.type === "bar"), ends = node.data.find((trace) => trace.text);
      for (const { x, y } of bars) y.forEach((row, i) => (sums[row] = (sums[row] ?? 0) + x[i]));
      return ends.y.map((row, i) => [sums[row], ends.x[i]]); }"""
    before = chart.evaluate(lengths)
    assert len(before) == 5
    for bar, end in before:
        assert bar == pytest.approx(end, rel=1e-6), "to single precision, which is what a chart is told"
    chart.get_by_role("button", name="Logits and loss").click()
    expect(chart.get_by_role("button", name="Logits and loss")).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(300)
    left = [bar / was for (bar, _), (was, _) in zip(chart.evaluate(lengths), before, strict=True)]
    assert left[3] < 0.6, "at the loss more than a third is logits"
    assert left[:3] + left[4:] == pytest.approx([1] * 4, rel=1e-3), "and nothing elsewhere"


def test_charts_follow_the_theme_when_it_becomes_another(page, address):
    page.emulate_media(color_scheme="light")
    page.goto(address)
    chart_drawn(page)
    settled(page)
    label = page.locator(".js-plotly-plot .ytick text").first
    on_light = label.evaluate("text => text.style.fill")
    page.emulate_media(color_scheme="dark")
    expect(label).not_to_have_css("fill", on_light)
    settled(page)
    written = {text.evaluate("text => text.style.fill") for text in page.locator(".js-plotly-plot .ytick text").all()}
    assert len(written) == 1, "all charts, and none as before"
    assert written != {on_light}


@pytest.mark.parametrize(
    ("browsers", "asked", "exponent"),
    [("id-ID", "", "0,076"), ("id-ID", "?lang=en", "0.076"), ("en-US", "?lang=id", "0,076"), ("de-DE", "", "0.076")],
)
def test_a_slider_writes_decimals_as_the_words_beside_it_whatever_the_browsers_language(
    browser, address, browsers, asked, exponent
):
    context = browser.new_context(locale=browsers)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(f"{address}/scaling{asked}")
    settled(page)
    written = page.get_by_test_id("stSliderThumbValue").filter(visible=True).all_inner_texts()
    assert exponent in written
    context.close()


@pytest.mark.parametrize(
    "link", ["", "scaling", "serving", "serving?price_per_hour=2", "cost", "cost?price_per_hour=2"]
)
def test_no_row_of_frames_has_a_hole(page, address, link):
    """Seven numbers stood in a row of five and one of two."""
    page.goto(f"{address}/{link}")
    settled(page)
    for width in (1440, 1024, 844, 600, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("""() => {
            const row = document.querySelector(".st-key-headlines"), ends = {};
            for (const frame of row.children) {
                const { top, right } = frame.getBoundingClientRect();
                ends[Math.round(top)] = right;
            }
            return Object.values(ends).every((end) => Math.abs(end - row.getBoundingClientRect().right) < 2);
        }""")
