"""How long a slider step takes when many readers move sliders at once. A benchmark, not a test.

    python tests/bench/load.py [sessions] [page] [steps]

So many sessions over WebSockets, with Streamlit's own messages, each of which moves a slider every two seconds, on one
process that shares the machine with them. Milliseconds from when a step was due, so that one that waits for the step
before it counts as late: until the first chart arrived, and until the app was at rest; with the server's processor time
and what it sent for each step.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median, quantiles

from latency import ROOT, Served

sys.path.insert(0, str(ROOT / "tests"))
from socket_session import Run, open_session

EVERY = 2.0  # seconds between a reader's steps
WARM_UP = 2  # steps of each reader that are not counted
SLIDER = "d_model"


async def reader(number: int, address: str, page: str, steps: int, found: list[tuple[float, float, Run]]) -> None:
    """Open the page, then move the slider when it is due; times go to ``found``."""
    await asyncio.sleep(random.random() * EVERY * (1 + number / 20))
    async with open_session(address) as session:
        await session.visit(page, timeout=600)
        due = time.monotonic() + EVERY
        for step in range(steps + WARM_UP):
            await asyncio.sleep(max(0, due - time.monotonic()))
            run = await session.move(SLIDER, 512 + 64 * ((number + step) % 24), timeout=600)
            if step >= WARM_UP:
                charts = (t for t, kind in run.arrivals if kind == "bidi_component")
                found.append((next(charts, time.monotonic()) - due, time.monotonic() - due, run))
            due += EVERY


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def measured(server: Served, page: str, sessions: int, steps: int) -> list[tuple[float, float, Run]]:
    """All counted steps of all readers."""
    found: list[tuple[float, float, Run]] = []
    address = f"http://127.0.0.1:{server.port}"
    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(reader(number, address, page, steps, found))
    return found


def main(sessions: int = 60, page: str = "", steps: int = 10) -> None:
    """Measure, and print."""
    server = Served(ROOT / "app.py", Path(tempfile.mkdtemp()), "app")
    try:
        found = asyncio.run(measured(server, page, sessions, steps))
        used = processor_seconds(server.process.pid) / (sessions * (steps + WARM_UP))
    finally:
        server.process.terminate()
    for name, column in (("first chart", 0), ("at rest", 1)):
        late = [1000 * step[column] for step in found]
        print(f"{name:12}{median(late):8.0f} median {quantiles(late, n=20)[-1]:8.0f} p95  ms")
    print(f"{1000 * used:.0f} ms of processor a step (opening the page included)")
    print(f"{mean(step[2].size for step in found) / 1e3:.0f} kB sent a step, {sessions} sessions, {len(found)} steps")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, str, int), sys.argv[1:], strict=False)))
