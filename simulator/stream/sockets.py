"""The ticker WebSocket: who is connected, refusals at the upgrade, order texts to every socket of a user."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from starlette.websockets import WebSocket

from simulator.errors import KiteError, missing_field, token_error, too_many_requests
from simulator.market.market import Market
from simulator.market.prices import Ints
from simulator.replay import MARK
from simulator.rest.envelope import failure
from simulator.stream.connection import Connection
from simulator.stream.replayed_subscriptions import ReplayedSubscriptions
from simulator.stream.socket_faults import SocketFaults
from simulator.stream.subscriptions import Subscriptions

MAX_SOCKETS_PER_KEY = 3

Authenticate = Callable[[str, str], str | None]
Prices = Literal["made", "replayed"]


@dataclass(frozen=True, slots=True)
class SocketStats:
    """One open socket."""

    user_id: str
    api_key: str
    tokens: int
    frames_sent: int
    ticks_sent: int


class TickerSockets:
    """All open ticker sockets. One event loop owns it.

    It listens to the market: what changed is marked for every socket that wants it, and the market is told which
    instruments anybody wants.
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
        """`authenticate(api_key, access_token)` gives a user id or None.

        With prices `replayed` the sockets get what `play` is given instead of what the market makes, each says so in
        its first text, and `on_wish` is called while some socket is subscribed to something.
        """
        self._market = market
        self._authenticate = authenticate
        self._faults = faults
        self._heartbeat_s = heartbeat_s
        self._open: set[Connection] = set()
        self._prices: Prices = prices
        self._latest: dict[int, bytes] = {}  # the last packet played of each token of the recording
        self.on_wish: Callable[[], None] = _do_nothing
        self._tokens = market.listing.tokens
        market.on_rows(self._mark)
        market.on_new_day(self._move)

    async def endpoint(self, websocket: WebSocket) -> None:
        """`GET /?api_key=&access_token=` with Upgrade; returns when the socket is gone.

        Refusals are HTTP answers with Kite's envelope: 400 for a missing parameter, 403 for a dead token, 429 for the
        fourth socket of a key, the status of a ws_refuse fault.
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
            self._watch()

    def _admit(self, websocket: WebSocket) -> Connection:
        api_key, access_token = (_require(websocket, name) for name in ("api_key", "access_token"))
        user_id = self._authenticate(api_key, access_token)
        if user_id is None:
            raise token_error()
        fault = self._faults.upgrade_fault(user_id)
        if fault is not None:
            raise KiteError("Service unavailable", status=fault.status, error_type="NetworkException")
        if sum(connection.api_key == api_key for connection in self._open) >= MAX_SOCKETS_PER_KEY:
            raise too_many_requests()
        return Connection(
            websocket,
            user_id=user_id,
            api_key=api_key,
            market=self._market,
            subscriptions=self._new_subscriptions(),
            faults=self._faults,
            heartbeat_s=self._heartbeat_s,
            on_wish=self._watch,
        )

    def _new_subscriptions(self) -> Subscriptions | ReplayedSubscriptions:
        if self._prices == "replayed":
            return ReplayedSubscriptions(self._latest)
        return Subscriptions(self._market.listing.row_of)

    def play(self, packets: Sequence[bytes]) -> None:
        """One recorded frame to every socket that wants something of it, and to the market."""
        self._latest.update((int.from_bytes(packet[:4], "big"), packet) for packet in packets)
        self._market.show(packets)
        for connection in self._open:
            wanted = connection.subscriptions
            if isinstance(wanted, ReplayedSubscriptions) and wanted.offer(packets):
                connection.wake()

    def push_order(self, user_id: str, payload: Mapping[str, object]) -> None:
        """`{"type": "order", "data": payload}` to every socket of the user; never blocks. JSON values only."""
        self.push_text(user_id, "order", payload)

    def push_text(self, user_id: str, kind: str, data: object) -> int:
        """`{"type": kind, "data": data}` (kinds `order`, `message`, `error`) to every socket of the user; how many."""
        sockets = [connection for connection in self._open if connection.user_id == user_id]
        for connection in sockets:
            connection.push_text(kind, data)
        return len(sockets)

    def stats(self) -> list[SocketStats]:
        return [
            SocketStats(
                user_id=connection.user_id,
                api_key=connection.api_key,
                tokens=connection.subscriptions.count,
                frames_sent=connection.frames_sent,
                ticks_sent=connection.ticks_sent,
            )
            for connection in self._open
        ]

    def count_by_key(self) -> Mapping[str, int]:
        return Counter(connection.api_key for connection in self._open)

    def _mark(self, rows: Ints, last_price_changed: npt.NDArray[np.bool_]) -> None:
        for connection in self._open:
            if connection.subscriptions.mark(rows, last_price_changed):
                connection.wake()

    def wanted_tokens(self) -> set[int]:
        """Every token that some socket is subscribed to."""
        return {token for connection in self._open for token in connection.subscriptions.tokens}

    def _watch(self) -> None:
        if any(connection.subscriptions.count for connection in self._open):
            self.on_wish()
        wanted = [connection.subscriptions.rows for connection in self._open]
        self._market.watch(np.unique(np.concatenate(wanted)) if wanted else np.empty(0, dtype=np.int64))

    def _move(self) -> None:
        listing = self._market.listing
        for connection in self._open:
            connection.subscriptions.move(listing.row_of, tokens=self._tokens)
            connection.wake()
        self._tokens = listing.tokens
        self._watch()


def _do_nothing() -> None:
    """Nobody waits for a wish."""


def _require(websocket: WebSocket, name: str) -> str:
    value = websocket.query_params.get(name)
    if not value:
        raise missing_field(name)
    return value
