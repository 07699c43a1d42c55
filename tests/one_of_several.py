"""A proxy before several processes of the app, as nginx is one: a connection goes to the first that is there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def one_address_for(processes: Sequence[str]) -> Iterator[str]:
    """An address behind which the first of these addresses answers that can."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for process in processes:
            to = urlsplit(process)
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection(to.hostname, to.port)
                await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
                return
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(forward, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
