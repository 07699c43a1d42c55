"""Whatever a link says, the app stands: links of all kinds through real sessions, and the smallest in a browser."""

from __future__ import annotations

import asyncio
import os

import pytest
from hostile_links import SMALLEST, links
from real_browser import dashboard
from socket_session import open_session

# One server and one browser at a time: on a small machine several would wait for each other
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
LINKS = int(os.environ.get("LLMCALC_HOSTILE_LINKS", "300"))
AT_ONCE = 4


async def failures(address: str, opened: list[tuple[str, str]]) -> list[str]:
    """What went wrong with which link: an error element, or a run that did not come to its end."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def fails(page: str, query: str) -> str:
        async with gate, open_session(address) as session:
            try:
                run = await session.visit(page, query)
            except Exception as error:
                return f"/{page}?{query[:300]}: {error!r}"
            problems = [f"{problem.type}: {problem.message}" for problem in run.of("exception")]
            if not run.of("heading"):
                problems.append("no heading")
            return f"/{page}?{query[:300]}: {problems}" if problems else ""

    return [found for found in await asyncio.gather(*(fails(*link) for link in opened)) if found]


def test_no_link_brings_a_session_down(tmp_path):
    smallest = [tuple(link.split("?", 1)) for link in SMALLEST]
    with (tmp_path / "log").open("w+") as log, dashboard(log) as address:
        found = asyncio.run(failures(address, [*smallest, *links(20_260_101, LINKS)]))
        log.seek(0)
        logged = log.read()
    assert not found, f"{len(found)} of {LINKS + len(smallest)}:\n" + "\n".join(found[:40])
    assert "Traceback" not in logged
