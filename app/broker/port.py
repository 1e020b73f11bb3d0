"""The port to a broker: what ``app.kite`` promises and the rooms above rely on.

One ``BrokerSession`` per account holds the credentials; the gateways ask it for the token at each request and each
connect, so that a new login is used without a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from pydantic import SecretStr

from app.broker.market import Candle, Instrument, Mode, Quote
from app.broker.orders import BrokerOrder, OrderChanges, OrderRequest, Trade
from app.broker.outcomes import SendOutcome
from app.broker.ticks import Tick

QUOTE_KEYS_LIMIT = 500
"""Instruments in one quote request (https://kite.trade/docs/connect/v3/market-quotes/)."""

TOKENS_PER_SOCKET = 3000
"""Instruments that one socket streams (https://kite.trade/docs/connect/v3/websocket/)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one account presents to the broker right now; ``access_token`` is None before the first login."""

    api_key: str
    api_secret: SecretStr
    access_token: SecretStr | None


CredentialSource = Callable[[], Credentials]
"""Asked at every request and every connect: never cached by a gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """What the exchange of a ``request_token`` gave."""

    user_id: str
    access_token: SecretStr
    login_time: datetime | None


class RequestKind(StrEnum):
    """The broker's rate classes; the three order kinds share one budget, in this order of precedence.

    So do ``BOOK`` and ``OTHER``: what tells the truth about orders never queues behind what clients want to see.
    """

    CANCEL = "cancel"
    MODIFY = "modify"
    PLACE = "place"
    QUOTE = "quote"
    HISTORICAL = "historical"
    BOOK = "book"
    OTHER = "other"


class Governor(Protocol):
    """One account's request budget. The order engine acquires, then claims, then sends; reads wait in the gateways."""

    async def acquire(self, kind: RequestKind, *, deadline: float | None = None) -> None:
        """Return when the request may go; ``deadline`` in seconds of ``Clock.monotonic``. Raises RateLimited."""
        ...

    async def depart(self) -> None:
        """Right before an order request is written: requests that paused after their turn do not bunch up."""
        ...

    def cool_down(self, seconds: float) -> None:
        """The broker turned an order request away for its rate (429): let no order request go for so long."""
        ...

    def places_left_today(self) -> int: ...

    def restore_places_today(self, used: int) -> None:
        """Tell a fresh process how many placements the account has already sent today."""
        ...

    def restore_minute(self, ages_s: Sequence[float]) -> None:
        """Tell a new owner how long ago each of the last minute's order requests left, whoever sent it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request as it would go out: for a caller who wants to see it first. Without credentials."""

    method: str
    path: str
    form: Mapping[str, str]


class OrderGateway(Protocol):
    """Sends at most once per call, never retries, never raises for what happened on the wire of a send."""

    def preview(self, request: OrderRequest, *, tag: str) -> WireRequest:
        """What ``place`` would send; nothing is sent."""

    def preview_cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> WireRequest:
        """What ``cancel`` would send; nothing is sent. Its parameters go into the query."""
        ...

    async def place(self, request: OrderRequest, *, tag: str) -> SendOutcome: ...

    async def modify(self, order_id: str, *, variety: str, changes: OrderChanges) -> SendOutcome: ...

    async def cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> SendOutcome: ...

    async def order_book(self) -> list[BrokerOrder]:
        """All orders of the broker's day. Raises BrokerError; an unreadable or partial answer is never a list."""
        ...

    async def order_history(self, order_id: str) -> list[BrokerOrder]:
        """The states of one order, oldest first. Raises BrokerError."""
        ...

    async def trades(self) -> list[Trade]:
        """All fills of the broker's day. Raises BrokerError."""
        ...

    async def basket_margin(self, requests: Sequence[OrderRequest]) -> Decimal:
        """The final margin that the whole basket needs beside present positions. Raises BrokerError."""
        ...

    async def available_margin(self, exchange: str) -> Decimal:
        """Money that new orders on ``exchange`` may use. Raises BrokerError."""
        ...


class PortfolioGateway(Protocol):
    """Read-through: Kite's own objects, unchanged. Raises BrokerError."""

    async def profile(self) -> Mapping[str, Any]: ...

    async def holdings(self) -> Sequence[Mapping[str, Any]]: ...

    async def positions(self) -> Mapping[str, Any]: ...

    async def margins(self) -> Mapping[str, Any]: ...


class MarketGateway(Protocol):
    """Market data by REST. Raises BrokerError."""

    async def instruments(self, exchange: str | None = None) -> list[Instrument]: ...

    async def quotes(self, keys: Sequence[str]) -> dict[str, Quote]:
        """By ``EXCHANGE:TRADINGSYMBOL``, at most 500; keys unknown to the broker are absent."""
        ...

    async def candles(
        self, instrument_token: int, *, interval: str, start: datetime, end: datetime, continuous: bool, oi: bool
    ) -> list[Candle]:
        """One request, so at most the broker's day cap for ``interval``; both ends inclusive."""
        ...


class SessionGateway(Protocol):
    def login_url(self, *, redirect_params: str | None = None) -> str: ...

    async def exchange_request_token(self, request_token: str) -> LoginResult:
        """Raises BrokerRefused or SessionExpired for a bad token, BrokerUnavailable otherwise."""
        ...

    async def log_out(self) -> None: ...


class TickDecoder(Protocol):
    """Bytes of one packet to a Tick without our own fields; None when the packet is malformed (it is then counted)."""

    def __call__(self, packet: bytes) -> Tick | None: ...


@dataclass(slots=True, kw_only=True)
class FeedState:
    """What one feed knows about itself; read by health and metrics, written by the feed alone.

    ``replaying``: the present socket says that it sends a recording. ``last_frame_at`` and ``last_tick_at`` are epoch
    seconds of our clock (0.0: never). Counters only rise; ``notes`` are the broker's ``error`` and ``message`` texts.
    """

    connected: bool = False
    replaying: bool = False
    sockets: int = 0
    reconnects: int = 0
    frames: int = 0
    packets: int = 0
    malformed: int = 0
    notes: int = 0
    last_frame_at: float = 0.0
    last_tick_at: float = 0.0
    last_error: str | None = None


class FeedListener(Protocol):
    """What a feed calls. All are plain functions that return at once: the socket's reader never waits for anybody."""

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None:
        """The raw packets of one frame, in order, already cut and length-checked (the first 4 bytes are the token)."""
        ...

    def on_order_update(self, payload: Mapping[str, Any]) -> None:
        """Kite's order push as it came: a hint to read the book, never the truth."""
        ...

    def on_connected(self, *, first: bool) -> None:
        """A socket is up and resubscribed; pushes of the gap, if any, are lost."""
        ...

    def on_replay(self) -> None:
        """This socket, until the next ``on_connected``, sends a recording and not the market."""
        ...

    def on_disconnected(self, reason: str) -> None: ...


class Feed(Protocol):
    """The streaming side of one account. ``run`` lives until cancelled and reconnects by itself."""

    state: FeedState

    async def run(self) -> None: ...

    def subscribe(self, modes: Mapping[int, Mode]) -> None:
        """Add tokens or change their mode; what is already streamed in that mode is not touched."""
        ...

    def unsubscribe(self, tokens: Sequence[int]) -> None: ...

    def subscriptions(self) -> Mapping[int, Mode]:
        """What this feed wants to have, connected or not."""
        ...


def clocks_agree() -> float | None:
    """Nothing is known of the broker's clock."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Everything one account can ask of its broker. ``clock_offset_s``: its clock minus ours, None if not known."""

    account_id: str
    orders: OrderGateway
    portfolio: PortfolioGateway
    market: MarketGateway
    session: SessionGateway
    decode: TickDecoder
    clock_offset_s: Callable[[], float | None] = clocks_agree
