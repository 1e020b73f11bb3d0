"""WebSocket ``/ws/ticks``: ticks of chosen instruments; a slow reader gets the newest one of each."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from app.api.dependencies import services_of
from app.api.order_stream import access_of
from app.api.sockets import SocketAccess, accepted
from app.events.protocol import PING, PONG, parse_tick_command
from app.events.tick_stream import TickStreamHub


def build_router() -> APIRouter:
    router = APIRouter()

    @router.websocket("/ws/ticks")
    async def tick_stream(websocket: WebSocket) -> None:
        services = services_of(websocket)
        await serve_ticks(websocket, hub=services.tick_stream, access=access_of(services))

    return router


async def serve_ticks(websocket: WebSocket, *, hub: TickStreamHub, access: SocketAccess) -> None:
    """Serve one socket; returns when it is closed."""
    async with accepted(websocket, access=access, limits=hub.limits, counts=hub.counts) as socket:
        auth, _ = await socket.authenticate()
        async with hub.join() as reader:

            def answer(text: str) -> None:
                if text == PING:
                    reader.reply(PONG)
                else:
                    hub.execute(parse_tick_command(text), reader=reader)

            await socket.converse(reader, auth=auth, on_text=answer)
