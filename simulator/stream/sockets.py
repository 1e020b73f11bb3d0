"""The ticker WebSocket: who is connected, what each socket wants, and order texts to every socket of a user."""

from collections.abc import Callable, Mapping

from starlette.websockets import WebSocket

from simulator.clock import SimClock
from simulator.market.market import Market
from simulator.stream.faults import SocketFaults


class TickerSockets:
    """All open ticker sockets. One event loop owns it."""

    def __init__(
        self,
        market: Market,
        *,
        clock: SimClock,
        authenticate: Callable[[str, str], str | None],
        faults: SocketFaults,
        heartbeat_s: float = 1.0,
    ) -> None:
        raise NotImplementedError(market, clock, authenticate, faults, heartbeat_s)

    async def endpoint(self, websocket: WebSocket) -> None:
        """`GET /?api_key=&access_token=` with Upgrade; returns when the socket is gone."""
        raise NotImplementedError(websocket)

    def push_order(self, user_id: str, payload: Mapping[str, object]) -> None:
        """`{"type": "order", "data": payload}` to every socket of the user; never blocks."""
        raise NotImplementedError(user_id, payload)

    def push_text(self, user_id: str, kind: str, data: object) -> None:
        """`{"type": kind, "data": data}` (kinds `message`, `error`) to every socket of the user."""
        raise NotImplementedError(user_id, kind, data)

    async def run(self) -> None:
        """Step the market with the clock and wake the sockets, for ever; the server runs it as one task."""
        raise NotImplementedError
