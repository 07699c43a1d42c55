"""How long a slider step takes when many readers move sliders at once. A benchmark, not a test.

    python tests/bench/load.py [sessions] [page] [steps]

So many sessions over WebSockets, with Streamlit's own messages, on one process that shares the machine with them. All
open the page at once, as a room does; once they have, each moves a slider every two seconds. Milliseconds from when a
step was due, so that one that waits for the step before it counts as late: until the first chart arrived, and until the
app was at rest; with the server's processor time and what it sent for each step; and what it took to open the page.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median, quantiles

from latency import ROOT, Served

sys.path.insert(0, str(ROOT / "tests"))
from socket_session import Run, open_session

EVERY = 2.0  # seconds between a reader's steps
WARM_UP = 2  # steps of each reader that are not counted
SLIDER = "d_model"


@dataclass
class Room:
    """Readers who open a page together. ``opened`` is how many seconds that took each."""

    server: Served
    page: str
    steps: int
    all_open: asyncio.Barrier
    opened: list[float] = field(default_factory=list)
    found: list[tuple[float, float, Run]] = field(default_factory=list)
    used_to_open: float = 0  # the server's processor seconds


async def reader(number: int, room: Room) -> None:
    """Open the page, then move the slider when it is due."""
    async with open_session(f"http://127.0.0.1:{room.server.port}") as session:
        begun = time.monotonic()
        await session.visit(room.page, timeout=600)
        room.opened.append(time.monotonic() - begun)
        await room.all_open.wait()
        room.used_to_open = room.used_to_open or processor_seconds(room.server.process.pid)
        due = time.monotonic() + EVERY * random.random()
        for step in range(room.steps + WARM_UP):
            await asyncio.sleep(max(0, due - time.monotonic()))
            run = await session.move(SLIDER, 512 + 64 * ((number + step) % 24), timeout=600)
            if step >= WARM_UP:
                charts = (t for t, kind in run.arrivals if kind == "bidi_component")
                room.found.append((next(charts, time.monotonic()) - due, time.monotonic() - due, run))
            due += EVERY


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def measured(room: Room, sessions: int) -> None:
    """All steps of all readers."""
    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(reader(number, room))


def main(sessions: int = 60, page: str = "", steps: int = 10) -> None:
    """Measure, and print."""
    server = Served(ROOT / "app.py", Path(tempfile.mkdtemp()), "app")
    room = Room(server, page, steps, asyncio.Barrier(sessions))
    try:
        asyncio.run(measured(room, sessions))
        used = processor_seconds(server.process.pid) - room.used_to_open
    finally:
        server.process.terminate()
    print(f"{sessions} sessions, {len(room.found)} steps")
    for name, column in (("first chart", 0), ("at rest", 1)):
        late = [1000 * step[column] for step in room.found]
        print(f"{name:12}{median(late):8.0f} median {quantiles(late, n=20)[-1]:8.0f} p95  ms")
    print(f"{1000 * used / (sessions * (steps + WARM_UP)):.0f} ms of processor a step")
    print(f"{mean(step[2].size for step in room.found) / 1e3:.0f} kB sent a step")
    to_open = 1000 * room.used_to_open / sessions
    print(f"{max(room.opened):.1f} s until all were open, {to_open:.0f} ms of processor each")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, str, int), sys.argv[1:], strict=False)))
