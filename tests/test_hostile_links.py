"""Whatever a link says, the app stands: links of all kinds through real sessions, and the smallest in a browser."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from configurations import PASTED_CONFIG
from hostile_links import SMALLEST, links
from playwright.sync_api import expect
from real_browser import chart_drawn, dashboard, metric, query, settled
from socket_session import open_session

# One server and one browser at a time: on a small machine several would wait for each other
LINKS = int(os.environ.get("LLMCALC_HOSTILE_LINKS", "300"))
AT_ONCE = 4


async def failures(address: str, opened: list[tuple[str, str]]) -> list[str]:
    """What went wrong with which link: an error element, or a run that did not come to its end."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def fails(page: str, query: str) -> str:
        async with gate, open_session(address) as session:
            try:
                run = await session.visit(page, query, timeout=300)  # what is accurate takes its time at first
            except Exception as error:
                return f"/{page}?{query[:300]}: {error!r}"
            problems = [f"{problem.type}: {problem.message}" for problem in run.of("exception")]
            if not run.of("heading"):
                problems.append("no heading")
            return f"/{page}?{query[:300]}: {problems}" if problems else ""

    return [found for found in await asyncio.gather(*(fails(*link) for link in opened)) if found]


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_no_link_brings_a_session_down(tmp_path):
    smallest = [tuple(link.split("?", 1)) for link in SMALLEST]
    with (tmp_path / "log").open("w+") as log, dashboard(log) as address:
        with ThreadPoolExecutor(1) as thread:  # another than the browser's, which has an event loop of its own
            opened = [*smallest, *links(20_260_101, LINKS)]
            found = thread.submit(lambda: asyncio.run(failures(address, opened))).result()
        log.seek(0)
        logged = log.read()
    assert not found, f"{len(found)} of {LINKS + len(smallest)}:\n" + "\n".join(found[:40])
    assert "Traceback" not in logged


@pytest.mark.parametrize("link", SMALLEST[::3])  # all of them go through a session, above
def test_the_smallest_links_that_brought_it_down_open_in_a_browser(page, address, link):
    page.goto(f"{address}/{link}")
    settled(page)
    expect(page.get_by_test_id("stHeading").first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.locator(".st-key-link_problems")).to_be_visible()
    assert set(query(page)) <= {"d_model"}, "what cannot be used is still in the address"


def test_what_a_link_says_is_text_in_a_browser_too(page, address):
    asked = []
    page.on(
        "request",
        lambda request: asked.append(request.url) if urlsplit(request.url).hostname == "example.org" else None,
    )
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    markup = "<img src=x onerror=alert(1)>`![x](http://example.org/x.png)$x$"
    name = "![x](http://example.org/y.png)<b>"
    config = json.dumps(PASTED_CONFIG | {"model_type": name})
    page.goto(f"{address}/?optimizer={markup}&{markup}=1&model=config.json&config={config}&lang=en")
    settled(page)
    told = page.locator(".st-key-link_problems")
    expect(told).to_contain_text(f"optimizer={markup}")
    expect(page.get_by_test_id("stSidebar")).to_contain_text(name)
    expect(page.locator("[data-testid=stMarkdown] img")).to_have_count(0)
    assert not asked


def test_of_a_link_with_more_fields_than_are_read_nothing_that_means_something_is_lost(page, address):
    many = "&".join(f"x{i}=1" for i in range(1_200))
    page.goto(f"{address}/?{many}&n_layers=24")
    expect(metric(page, "Parameters")).to_have_text("209 M")
    expect(page.locator(".st-key-link_problems li")).to_have_count(1)


def test_the_way_back_to_what_a_link_was_at_first_is_checked_too(page, address):
    page.goto(f"{address}/method")
    page.goto(f"{address}/?n_layers=inf&n_heads=6")
    chart_drawn(page)
    settled(page)
    page.evaluate("history.replaceState(history.state, '', '?n_layers=inf&n_heads=6')")
    page.get_by_role("slider", name="Width").press("ArrowRight")
    page.wait_for_url("**d_model=832**")
    page.go_back()
    settled(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert query(page)["n_heads"] == ["6"]
    assert "n_layers" not in query(page)


def test_a_field_reads_numbers_as_they_are_written_and_says_which_it_takes(page, address):
    page.goto(f"{address}/?n_layers=24")
    field = page.get_by_role("textbox", name="Layers")
    chart_drawn(page)
    settled(page)
    for typed, shown in (("1e3", "1,000"), ("3.7", "3.7"), ("5000", "5000")):
        field.fill(typed)
        field.press("Enter")
        told = page.get_by_test_id("stSidebar").get_by_test_id("stAlert").filter(has_text=typed)
        expect(told).to_have_count(0 if typed != shown else 1)
        page.wait_for_url("**n_layers=1000**")
        expect(field).to_have_value(shown)
    expect(told).to_contain_text("not between 1 and 1,000")
    page.get_by_role("button", name="Use 1,000").click()
    expect(field).to_have_value("1,000")
    expect(told).to_have_count(0)
