"""All open ticker sockets: upgrades and refusals, ticks to subscribers, order updates to every socket of a user."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from starlette.websockets import WebSocket

from simulator.envelope import failure
from simulator.errors import KiteError, missing_field, token_error, too_many_requests
from simulator.exchange.accounts.users import Authenticate
from simulator.market.market import Market
from simulator.market.prices import Ints
from simulator.replay import MARK
from simulator.stream.connection import Connection, SocketOwner
from simulator.stream.replayed_subscriptions import ReplayedSubscriptions
from simulator.stream.socket_faults import SocketFaults
from simulator.stream.subscriptions import Subscriptions

MAX_SOCKETS_PER_KEY = 3

Prices = Literal["made", "replayed"]


@dataclass(frozen=True, slots=True)
class SocketStats:
    """One open socket, with the number of its subscribed instruments and of what it was sent."""

    user_id: str
    api_key: str
    tokens: int
    frames_sent: int
    ticks_sent: int


class TickerSockets:
    """One event loop owns it.

    It listens to the market and marks changes for the subscribed sockets. It sets in the market which instruments have
    subscribers, because `ticks_per_second` is spent on those.
    """

    def __init__(
        self,
        market: Market,
        *,
        authenticate: Authenticate,
        faults: SocketFaults,
        heartbeat_s: float = 1.0,
        prices: Prices = "made",
    ) -> None:
        """With prices `replayed` the sockets send what `play` is given instead of the market's prices.

        The first text of each socket says so then. `authenticate` gives the user id of API key and access token.
        """
        self._market = market
        self._authenticate = authenticate
        self._faults = faults
        self._heartbeat_s = heartbeat_s
        self._open: set[Connection] = set()
        self._prices: Prices = prices
        self._latest: dict[int, bytes] = {}  # the last packet played of each token of the recording
        self.on_subscribed: Callable[[], None] = _do_nothing
        """Called after every change while a socket is subscribed to something; it starts a recording."""
        self._tokens = market.listing.tokens
        market.on_rows(self._mark)
        market.on_new_day(self._move)

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serves `GET /?api_key=&access_token=` with Upgrade; returns when the socket is closed.

        A refusal is an HTTP answer with Kite's envelope: 400 for a missing parameter, 403 for an invalid token, 429 for
        the fourth socket of a key, or the status of a `ws_refuse` fault.
        """
        try:
            connection = self._admit(websocket)
        except KiteError as refusal:
            await websocket.send_denial_response(failure(refusal))
            return
        self._open.add(connection)
        try:
            await websocket.accept()
            if self._prices == "replayed":
                connection.push_text("message", MARK)
            await connection.serve()
        finally:
            self._open.discard(connection)
            self._update_subscribed()

    def _admit(self, websocket: WebSocket) -> Connection:
        api_key, access_token = (_require(websocket, name) for name in ("api_key", "access_token"))
        user_id = self._authenticate(api_key, access_token)
        if user_id is None:
            raise token_error()
        fault = self._faults.upgrade_fault(user_id)
        if fault is not None:
            raise KiteError("Service unavailable", status=fault.status, error_type="NetworkException")
        if sum(connection.owner.api_key == api_key for connection in self._open) >= MAX_SOCKETS_PER_KEY:
            raise too_many_requests()
        return Connection(
            websocket,
            owner=SocketOwner(user_id, api_key),
            market=self._market,
            subscriptions=self._new_subscriptions(),
            faults=self._faults,
            heartbeat_s=self._heartbeat_s,
            on_subscription_change=self._update_subscribed,
        )

    def _new_subscriptions(self) -> Subscriptions | ReplayedSubscriptions:
        if self._prices == "replayed":
            return ReplayedSubscriptions(self._latest)
        return Subscriptions(self._market.listing.row_of)

    def play(self, packets: Sequence[bytes]) -> None:
        """Sends a recorded frame to the sockets that are subscribed to a part of it, and applies it to the market."""
        self._latest.update((int.from_bytes(packet[:4], "big"), packet) for packet in packets)
        self._market.show(packets)
        for connection in self._open:
            subscriptions = connection.subscriptions
            if isinstance(subscriptions, ReplayedSubscriptions) and subscriptions.offer(packets):
                connection.wake()

    def push_order(self, user_id: str, payload: Mapping[str, object]) -> None:
        """Sends `{"type": "order", "data": payload}` to every socket of the user; never waits."""
        self.push_text(user_id, "order", payload)

    def push_text(self, user_id: str, kind: str, data: object) -> int:
        """Sends `{"type": kind, "data": data}` to every socket of the user; returns their number.

        Kinds are `order`, `message` and `error`.
        """
        sockets = [connection for connection in self._open if connection.owner.user_id == user_id]
        for connection in sockets:
            connection.push_text(kind, data)
        return len(sockets)

    def stats(self) -> list[SocketStats]:
        return [
            SocketStats(
                user_id=connection.owner.user_id,
                api_key=connection.owner.api_key,
                tokens=connection.subscriptions.count,
                frames_sent=connection.frames_sent,
                ticks_sent=connection.ticks_sent,
            )
            for connection in self._open
        ]

    def count_by_key(self) -> Mapping[str, int]:
        """The number of open sockets of each API key."""
        return Counter(connection.owner.api_key for connection in self._open)

    def _mark(self, rows: Ints, last_price_changed: npt.NDArray[np.bool_]) -> None:
        for connection in self._open:
            if connection.subscriptions.mark(rows, last_price_changed):
                connection.wake()

    def subscribed_tokens(self) -> set[int]:
        """Every token to which a socket is subscribed."""
        return {token for connection in self._open for token in connection.subscriptions.tokens}

    def _update_subscribed(self) -> None:
        if any(connection.subscriptions.count for connection in self._open):
            self.on_subscribed()
        rows = [connection.subscriptions.rows for connection in self._open]
        self._market.set_subscribed(np.unique(np.concatenate(rows)) if rows else np.empty(0, dtype=np.int64))

    def _move(self) -> None:
        listing = self._market.listing
        for connection in self._open:
            connection.subscriptions.move(listing.row_of, tokens=self._tokens)
            connection.wake()
        self._tokens = listing.tokens
        self._update_subscribed()


def _do_nothing() -> None:
    """No recording is waiting."""


def _require(websocket: WebSocket, name: str) -> str:
    value = websocket.query_params.get(name)
    if not value:
        raise missing_field(name)
    return value
