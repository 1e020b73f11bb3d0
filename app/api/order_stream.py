"""WebSocket ``/advanced/ws/orders/{account_id}``: every order event of an account, in order, resumable."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from app.api.dependencies import services_of
from app.api.keys import Principal
from app.api.services import Services
from app.api.sockets import Gate, accepted
from app.errors import NotFound
from app.events.order_stream import OrderStreamHub
from app.events.protocol import PING, PONG, CloseReason, StreamClosed


def build_router() -> APIRouter:
    router = APIRouter()

    @router.websocket("/advanced/ws/orders/{account_id}")
    async def order_stream(websocket: WebSocket, account_id: str) -> None:
        services = services_of(websocket)
        await serve_orders(websocket, account_id, hub=services.order_stream, gate=gate_of(services))

    return router


def gate_of(services: Services) -> Gate:
    """Keys and accounts as the HTTP doors know them."""

    def allowed(principal: Principal, account_id: str) -> bool:
        try:
            services.accounts.get(account_id)
        except NotFound:
            return False
        return services.api_keys.allowed(principal, account_id)

    return Gate(authenticate=services.api_keys.authenticate, allowed=allowed, clock=services.clock)


async def serve_orders(websocket: WebSocket, account_id: str, *, hub: OrderStreamHub, gate: Gate) -> None:
    """One socket from its first to its last message; returns when it is closed."""
    async with accepted(websocket, gate=gate, limits=hub.limits, counts=hub.counts) as socket:
        auth, principal = await socket.authenticate()
        if not gate.allowed(principal, account_id):
            raise StreamClosed(CloseReason.FORBIDDEN_ACCOUNT)
        async with hub.join(account_id, resume=auth.resume) as reader:

            def answer(text: str) -> None:
                if text != PING:
                    raise StreamClosed(CloseReason.BAD_MESSAGE)
                reader.reply(PONG)

            await socket.converse(reader, auth=auth, on_text=answer)
