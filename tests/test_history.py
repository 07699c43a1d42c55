"""Back and Forward in a real Chromium: address, tab, fields and numbers agree wherever they lead, and stay so."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect
from real_browser import chart_drawn, query, settled
from real_browser import to_page as in_menu

AFTERWARDS = 4_000  # milliseconds without a gesture, in which nothing may change by itself
ON_THE_WAY = 1_000  # where that is watched at the next point too
NAMES = {"Explore": "explore", "What fits": "fits", "Training memory": "training"}
PATHS = {title: "/" if name == "explore" else f"/{name}" for title, name in NAMES.items()}


def to_page(page: Page, title: str) -> None:
    """Click on a page in the menu of its section, and wait for the page."""
    in_menu(page, NAMES[title])
    page.wait_for_function(f"location.pathname === '{PATHS[title]}'")
    drawn(page)


def drawn(page: Page) -> None:
    chart_drawn(page)
    settled(page)


def says(page: Page) -> dict[str, object]:
    """The address, the tab, and what all that can be seen says: title, headline numbers, fields, choices, switches."""
    return {"path": urlsplit(page.url).path, "query": query(page)} | page.evaluate("""() => {
        const seen = (what, told) => [...document.querySelectorAll(what)].filter((e) => e.checkVisibility()).map(told);
        return {
            tab: document.title,
            title: seen("[data-testid=stHeading]", (e) => e.innerText)[0],
            numbers: seen("[class*=st-key-headlines], .st-key-verdict", (e) => e.innerText),
            fields: seen("input", (e) => [e.ariaLabel, ["checkbox", "radio"].includes(e.type) ? e.checked : e.value]),
            chosen: seen("[role=radio][aria-checked=true]", (e) => e.innerText),
            sliders: seen("[role=slider]", (e) => e.getAttribute("aria-valuetext") ?? e.value),
        };
    }""")


def opened_anew(page: Page) -> dict[str, object]:
    """What another tab says that opens the address."""
    other = page.context.new_page()
    other.set_default_timeout(30_000)
    other.goto(page.url)
    drawn(other)
    found = says(other)
    other.close()
    return found


def agrees(page: Page, expected: dict[str, object], *, anew: bool = True) -> None:
    """Now, without a gesture for a while, and where the address is opened ``anew``; then the while is longer."""
    page.wait_for_function(f"location.pathname === '{expected['path']}'")
    drawn(page)
    assert says(page) == expected
    written = page.evaluate("window.written = []")
    page.wait_for_timeout(AFTERWARDS if anew else ON_THE_WAY)
    drawn(page)
    assert page.evaluate("window.written") == written, "the address was another meanwhile"
    assert says(page) == expected
    if anew:
        assert opened_anew(page) == expected


WATCH = """for (const kind of ["pushState", "replaceState"]) {
    const write = History.prototype[kind];
    History.prototype[kind] = function (...args) {
        const before = location.href;
        write.apply(this, args);
        if (location.href !== before) (window.written ??= []).push(location.href);
    };
}"""


def test_what_was_set_by_hand_is_in_every_entry_of_history(page, address):
    page.add_init_script(WATCH)
    page.goto(address)
    drawn(page)
    points, entries = [says(page)], page.evaluate("history.length")

    def changed(part: str) -> None:
        page.wait_for_function(f"location.search.includes('{part}')")
        drawn(page)
        points.append(says(page))

    batch = page.get_by_role("textbox", name="Batch size")
    batch.fill("80")
    batch.press("Enter")
    changed("batch_size=80")
    for title in ("What fits", "Training memory"):
        to_page(page, title)
        points.append(says(page))
    page.get_by_role("slider", name="Layers").press("ArrowRight")
    changed("n_layers=13")
    page.get_by_role("radio", name="eager", exact=True).click()
    changed("attention=eager")
    page.get_by_test_id("stCheckbox").filter(has_text="logits").click()
    changed("keep_logits=true")
    to_page(page, "Explore")
    points.append(says(page))

    every = {"batch_size": ["80"], "n_layers": ["13"], "attention": ["eager"], "keep_logits": ["true"]}
    assert points[-1]["query"] == every
    for earlier, later in pairwise(points):
        assert set(earlier["query"]) <= set(later["query"])
    for point in reversed(points[:-1]):
        page.go_back()
        agrees(page, point, anew=point in (points[1], points[2], points[6]))
    assert page.evaluate("history.length") == entries + len(points) - 1
    for point in points[1:]:
        page.go_forward()
        agrees(page, point, anew=point is points[-1])
    page.reload()
    drawn(page)
    assert says(page) == points[-1]


def test_history_leads_over_a_change_of_model_both_ways(page, address):
    """Each model has its own values at first, which the address of neither names."""
    page.add_init_script(WATCH)
    page.goto(address)
    drawn(page)
    points = [says(page)]
    model = page.get_by_role("combobox", name="Model").first
    model.click()
    model.fill("Llama 3 8B")
    page.get_by_role("option", name="Llama 3 8B", exact=True).click()
    expect(page.get_by_test_id("stHeading").first).to_have_text("Llama 3 8B")
    drawn(page)
    points.append(says(page))
    batch = page.get_by_role("textbox", name="Batch size")
    batch.fill("80")
    batch.press("Enter")
    page.wait_for_function("location.search.includes('batch_size=80')")
    drawn(page)
    points.append(says(page))
    to_page(page, "What fits")
    points.append(says(page))
    assert [point["query"] for point in points[:2]] == [{}, {"model": ["Llama 3 8B"]}]
    assert points[-1]["query"] == {"model": ["Llama 3 8B"], "batch_size": ["80"]}
    for point in reversed(points[:-1]):
        page.go_back()
        agrees(page, point, anew=False)
    for point in points[1:]:
        page.go_forward()
        agrees(page, point, anew=point is points[-1])


def test_back_twice_at_once_leads_where_it_says(page, address):
    page.add_init_script(WATCH)
    page.goto(f"{address}/?batch_size=80")
    drawn(page)
    first = says(page)
    for title in ("What fits", "Training memory"):
        to_page(page, title)
    last = says(page)
    page.evaluate("history.back(); setTimeout(() => history.back(), 150)")
    agrees(page, first, anew=False)
    page.evaluate("history.go(2)")
    agrees(page, last, anew=False)


def test_the_address_of_a_page_is_whole_from_the_first_moment(page, address):
    """On the way to a page too, what nobody sees a control of is in the address: it can be opened at any time."""
    page.add_init_script(WATCH)
    page.goto(address)
    drawn(page)
    batch = page.get_by_role("textbox", name="Batch size")
    batch.fill("80")
    batch.press("Enter")
    page.wait_for_function("location.search === '?batch_size=80'")
    settled(page)
    page.evaluate("window.written = []")
    for title in ("What fits", "Training memory"):
        to_page(page, title)
    page.go_back()
    page.wait_for_function("location.pathname === '/fits'")
    page.wait_for_timeout(AFTERWARDS)
    drawn(page)
    assert {urlsplit(url).query for url in page.evaluate("window.written")} == {"batch_size=80"}
