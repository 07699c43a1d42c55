"""A process of the app that is killed while readers use it: each of them comes back on another with what they had."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from one_of_several import one_address_for
from playwright.sync_api import expect
from real_browser import process_of_app, query, settled
from socket_session import open_session

# Of each reader the page, what the link sets, and what they move then
READERS = (
    ("", "n_layers=7&n_heads=12", "batch_size", "3"),
    ("training", "model=Llama+3+8B&batch_size=2", "seq_len", "512"),
    ("fits", "d_model=1024&n_heads=16", "seq_len", "900"),
    ("serving", "model=Mixtral+8x7B&engine=sglang", "concurrency", "5"),
    ("learn", "chapter=5&optimizer=lion", "seq_len", "300"),
)


async def _move_sliders(address: str, readers: int) -> None:
    """Readers without a browser who move a slider all the time, until the process is gone."""

    async def move() -> None:
        with contextlib.suppress(Exception):  # the process is killed under them: that is meant
            async with open_session(address) as session:
                await session.visit("", "")
                for at in range(1000):
                    await session.move("n_layers", 2 + at % 40)

    await asyncio.wait_for(asyncio.gather(*(move() for _ in range(readers))), 120)


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_readers_of_a_process_that_is_killed_come_back_on_another_with_what_they_had(browser):
    with (
        process_of_app() as (first, process),
        process_of_app() as (second, _),
        one_address_for((first, second)) as address,
        ThreadPoolExecutor(1) as thread,
    ):
        pages = []
        for path, link, moved, value in READERS:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.goto(f"{address}/{path}?{link}")
            settled(page)
            field = page.locator(f".st-key-{moved}_typed input")
            field.fill(value)
            field.press("Enter")
            settled(page)
            pages.append(page)
        had = [query(page) for page in pages]
        assert all(now[moved] == [value] for now, (_, _, moved, value) in zip(had, READERS, strict=True))
        load = thread.submit(lambda: asyncio.run(_move_sliders(first, 8)))
        pages[0].wait_for_timeout(5_000)
        assert not load.done()
        process.kill()
        process.wait(20)
        load.result()
        for page, before, (path, _, moved, value) in zip(pages, had, READERS, strict=True):
            connected = page.locator('[data-test-connection-state="CONNECTED"]')
            expect(connected).to_have_count(1, timeout=60_000)
            settled(page)
            assert query(page) == before, path
            expect(page.locator(f".st-key-{moved}_typed input")).to_have_value(value)
            field = page.locator(f".st-key-{moved}_typed input")
            field.fill("16")
            field.press("Enter")
            settled(page)
            assert query(page)[moved] == ["16"], "the other process answers"
            expect(page.get_by_test_id("stException")).to_have_count(0)
