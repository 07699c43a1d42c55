"""Whether memory returns to where it was while readers come and go. A benchmark, not a test.

    python tests/bench/endurance.py [sessions] [steps] [page]

So many sessions, a few at a time, each of which opens the page, moves sliders for so many steps to sizes that nobody
else had, and leaves. Prints the server's memory in MB after each twentieth of them, and how long steps took.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from latency import ROOT, Served

sys.path.insert(0, str(ROOT / "tests"))
from socket_session import open_session

AT_ONCE = 5
SLIDERS = {"d_model": 65_536, "n_layers": 200, "batch_size": 4_096, "seq_len": 131_072}


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS"))


async def reader(seed: int, address: str, page: str, steps: int, took: list[float]) -> None:
    """Come, move sliders, go."""
    draw = random.Random(seed)
    async with open_session(address) as session:
        await session.visit(page, timeout=120)
        for _ in range(steps):
            slider = draw.choice(list(SLIDERS))
            begun = time.monotonic()
            await session.move(slider, draw.randint(1, SLIDERS[slider]), timeout=120)
            took.append(time.monotonic() - begun)


async def main(sessions: int = 100, steps: int = 100, page: str = "") -> None:
    """Measure, and print."""
    server, took = Served(ROOT / "app.py", Path(tempfile.mkdtemp()), "app"), list[float]()
    address, seat, left = f"http://127.0.0.1:{server.port}", asyncio.Semaphore(AT_ONCE), 0

    async def one(seed: int) -> None:
        nonlocal left
        async with seat:
            await reader(seed, address, page, steps, took)
        left += 1
        if left % max(1, sessions // 20) == 0:
            print(f"{left:4} sessions over, {len(took):6} steps: {resident(server.process.pid):5.0f} MB", flush=True)

    try:
        await asyncio.gather(*map(one, range(sessions)))
    finally:
        server.process.terminate()
    print(
        f"{1000 * median(took):.0f} median {1000 * quantiles(took, n=20)[-1]:.0f} p95 {1000 * max(took):.0f} most  ms"
    )


if __name__ == "__main__":
    asyncio.run(main(*(kind(text) for kind, text in zip((int, int, str), sys.argv[1:], strict=False))))
