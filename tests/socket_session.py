"""The dashboard as a browser's session sees it, without a browser: messages of Streamlit's protocol over a WebSocket.

>>> async with open_session(address) as session:
...     run = await session.visit("fits", "n_layers=24")
...     run = await session.move("n_layers", 30)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

_KEYED = re.compile(r"\$\$ID-[0-9a-f]+-(.+)")
_OVER = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
_AGAIN = ForwardMsg.FINISHED_EARLY_FOR_RERUN


class Counted(ClientConnection):
    """A connection that counts the bytes that come, compressed where the server compresses."""

    received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


@dataclass
class Run:
    """What the app sent from a request until it came to rest; ``query`` is what the address then says.

    ``arrivals`` has for each element when it came (`time.monotonic`) and its kind; ``size`` is in bytes as they went
    over the network.
    """

    query: str
    elements: list[Message] = field(default_factory=list)
    arrivals: list[tuple[float, str]] = field(default_factory=list)
    size: int = 0

    def of(self, kind: str) -> list[Any]:
        """The elements of one kind, such as "exception", "markdown", "alert"."""
        return [getattr(element, kind) for element in self.elements if element.WhichOneof("type") == kind]


class SocketSession:
    """One reader's session. What it sends is what Streamlit's page sends."""

    def __init__(self, socket: Counted, address: str, locale: str) -> None:
        self._socket, self._address, self._locale = socket, address, locale
        self._page = self._query = self._script_hash = ""
        self._widgets: dict[str, tuple[str, str]] = {}  # of each key the widget's id and its fragment's

    async def visit(self, page: str = "", query: str = "", timeout: float = 60) -> Run:
        """Open a page with a link's parameters, as they stand in the address; without ``page`` the one at "/"."""
        self._page, self._query = page, query
        return await self._run(BackMsg(), timeout)

    async def move(self, key: str, value: Any, timeout: float = 60) -> Run:
        """Set the widget with that key, as a reader does."""
        request = BackMsg()
        id, fragment = self._widgets[key]
        state = request.rerun_script.widget_states.widgets.add(id=id)
        kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
        setattr(state, kind, value)
        request.rerun_script.fragment_id = fragment
        return await self._run(request, timeout)

    async def _run(self, request: BackMsg, timeout: float) -> Run:
        state = request.rerun_script
        state.query_string, state.page_script_hash = self._query, self._script_hash
        state.page_name = "" if self._script_hash else self._page
        state.context_info.url = f"{self._address}/{self._page}"
        state.context_info.locale = self._locale
        state.context_info.timezone = "UTC"
        before = self._socket.received
        await self._socket.send(request.SerializeToString())
        run = Run(self._query)
        async with asyncio.timeout(timeout):
            await self._until_at_rest(run)
        run.size = self._socket.received - before
        return run

    async def _until_at_rest(self, run: Run) -> None:
        while True:
            data = await self._socket.recv(decode=False)
            message = ForwardMsg.FromString(data)
            match message.WhichOneof("type"):
                case "new_session":
                    self._script_hash = message.new_session.page_script_hash
                case "navigation":
                    self._script_hash = message.navigation.page_script_hash
                case "page_info_changed":
                    self._query = run.query = message.page_info_changed.query_string
                case "delta":
                    self._take(message.delta, run)
                case "script_finished" if message.script_finished in _OVER:
                    return
                case "script_finished" if message.script_finished != _AGAIN:
                    raise RuntimeError(ForwardMsg.ScriptFinishedStatus.Name(message.script_finished))

    def _take(self, delta: Message, run: Run) -> None:
        if delta.WhichOneof("type") != "new_element":
            return
        element = delta.new_element
        run.elements.append(element)
        run.arrivals.append((time.monotonic(), element.WhichOneof("type")))
        shown = getattr(element, element.WhichOneof("type"))
        if keyed := _KEYED.fullmatch(getattr(shown, "id", "")):
            self._widgets[keyed[1]] = (shown.id, delta.fragment_id)


@asynccontextmanager
async def open_session(address: str, locale: str = "en-US") -> AsyncIterator[SocketSession]:
    """A new session with the app at this address, closed at the end."""
    stream = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    protocols: Any = ["streamlit", "PLACEHOLDER_AUTH_TOKEN"]
    how: Any = {
        "create_connection": Counted,
        "origin": address,
        "max_size": None,
        "open_timeout": 120,
    }  # a busy machine answers late
    async with connect(stream, subprotocols=protocols, **how) as socket:
        yield SocketSession(socket, address, locale)
