"""WebSocket ``/advanced/ws/orders/{account_id}``: the order events of an account, in order, with resume."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from app.api.dependencies import services_of
from app.api.keys import Principal
from app.api.services import Services
from app.api.sockets import SocketAccess, accepted
from app.errors import NotFound
from app.events.order_stream import OrderStreamHub
from app.events.protocol import PING, PONG, CloseReason, StreamClosed


def build_router() -> APIRouter:
    router = APIRouter()

    @router.websocket("/advanced/ws/orders/{account_id}")
    async def order_stream(websocket: WebSocket, account_id: str) -> None:
        services = services_of(websocket)
        await serve_orders(websocket, account_id, hub=services.order_stream, access=access_of(services))

    return router


def access_of(services: Services) -> SocketAccess:
    """The same keys and accounts as for HTTP requests."""

    def allowed(principal: Principal, account_id: str) -> bool:
        try:
            services.accounts.get(account_id)
        except NotFound:
            return False
        return services.api_keys.allowed(principal, account_id)

    return SocketAccess(authenticate=services.api_keys.authenticate, allowed=allowed, clock=services.clock)


async def serve_orders(websocket: WebSocket, account_id: str, *, hub: OrderStreamHub, access: SocketAccess) -> None:
    """Serve one socket; returns when it is closed."""
    async with accepted(websocket, access=access, limits=hub.limits, counts=hub.counts) as socket:
        auth, principal = await socket.authenticate()
        if not access.allowed(principal, account_id):
            raise StreamClosed(CloseReason.FORBIDDEN_ACCOUNT)
        async with hub.join(account_id, resume=auth.resume) as reader:

            def answer(text: str) -> None:
                if text != PING:
                    raise StreamClosed(CloseReason.BAD_MESSAGE)
                reader.reply(PONG)

            await socket.converse(reader, auth=auth, on_text=answer, account_id=account_id)
