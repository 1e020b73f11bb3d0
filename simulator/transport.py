"""The TCP connection under a request: a protocol that puts its transport into the ASGI scope, and ways to end it.

uvicorn's HTTP protocol is subclassed so that a fault can close, reset or half answer a connection. The transport is in
the scope under `extensions["simulator.transport"]`.
"""

import asyncio
import socket
import struct
from typing import Final

from starlette.types import Message, Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION: Final = "simulator.transport"
RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with zero seconds: closing sends RST instead of FIN."""


class SimulatorHttpProtocol(HttpToolsProtocol):
    """`HttpToolsProtocol` whose scope carries the transport."""

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}
        super().on_headers_complete()


def transport_of(scope: Scope) -> asyncio.Transport:
    """The connection under a request. Raises KeyError when another protocol serves the application."""
    transport: asyncio.Transport = scope["extensions"][EXTENSION]["transport"]
    return transport


async def drop(scope: Scope, receive: Receive) -> None:
    """Closes the connection after the bytes that were written."""
    transport_of(scope).close()
    await wait_for_disconnect(receive)


async def reset(scope: Scope, receive: Receive) -> None:
    """Ends the connection with RST."""
    transport = transport_of(scope)
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    transport.abort()
    await wait_for_disconnect(receive)


async def wait_for_disconnect(receive: Receive) -> None:
    """Returns when either side has closed the connection."""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return
