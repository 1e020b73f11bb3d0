"""WebSocket ``/ws/ticks``: ticks of chosen instruments; the newest one wins when the reader is slow."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from app.api.dependencies import services_of
from app.api.order_stream import gate_of
from app.api.sockets import Gate, accepted
from app.events.protocol import PING, PONG, parse_tick_command
from app.events.tick_stream import TickStreamHub


def build_router() -> APIRouter:
    router = APIRouter()

    @router.websocket("/ws/ticks")
    async def tick_stream(websocket: WebSocket) -> None:
        services = services_of(websocket)
        await serve_ticks(websocket, hub=services.tick_stream, gate=gate_of(services))

    return router


async def serve_ticks(websocket: WebSocket, *, hub: TickStreamHub, gate: Gate) -> None:
    """One socket from its first to its last message; returns when it is closed."""
    async with accepted(websocket, gate=gate, limits=hub.limits, counts=hub.counts) as socket:
        auth, _ = await socket.authenticate()
        async with hub.join() as reader:

            def answer(text: str) -> None:
                if text == PING:
                    reader.reply(PONG)
                else:
                    hub.obey(reader, parse_tick_command(text))

            await socket.converse(reader, auth=auth, on_text=answer)
