"""The TCP side of a ticker socket: uvicorn's protocol with its transport in the ASGI scope.

An ordinary close waits until the client has read what was written. A client that does not read can only be cut off by
aborting the transport.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from simulator.transport import EXTENSION


class TickerProtocol(WebSocketsSansIOProtocol):
    """`WebSocketsSansIOProtocol` whose scope carries the transport, as that of HTTP requests does."""

    async def run_asgi(self) -> None:
        self.scope["extensions"][EXTENSION] = {"transport": self.transport}
        await super().run_asgi()
