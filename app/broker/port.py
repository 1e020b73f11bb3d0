"""The port to a broker: what ``app.kite`` guarantees and the features rely on.

The gateways read the credentials at each request and each connect, so that a new login is used without a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from pydantic import SecretStr

from app.broker.market import Candle, Instrument, Mode, Quote
from app.broker.orders import BrokerOrder, OrderChanges, OrderRequest, Trade
from app.broker.outcomes import SendOutcome
from app.broker.rows import Rows
from app.broker.ticks import Tick

QUOTE_KEYS_LIMIT = 500
"""Instruments in one quote request (https://kite.trade/docs/connect/v3/market-quotes/)."""

TOKENS_PER_SOCKET = 3000
"""Instruments that one socket streams (https://kite.trade/docs/connect/v3/websocket/)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one account presents to the broker at this moment; ``access_token`` is None before the first login.

    ``is_refused``: the broker has refused this token, and has accepted no request under it since.
    """

    api_key: str
    api_secret: SecretStr
    access_token: SecretStr | None
    is_refused: bool = False


CredentialSource: TypeAlias = Callable[[], Credentials]
"""Called at every request and every connect: a gateway caches nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """What the exchange of a ``request_token`` gave."""

    user_id: str
    access_token: SecretStr
    login_time: datetime | None


class RequestKind(StrEnum):
    """The broker's rate classes. The three order kinds share one budget, in this order of precedence.

    So do ``BOOK`` and ``OTHER``: the reads that decide what became of orders never queue behind reads of clients.
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
        """Return when the request may go. Raises RateLimited when it may not before ``deadline``.

        ``deadline`` is in seconds of ``Clock.monotonic``.
        """
        ...

    async def depart(self) -> None:
        """Called right before an order request is written: requests that paused after ``acquire`` do not bunch up."""
        ...

    def cool_down(self, seconds: float) -> None:
        """The broker refused an order request for its rate (429): let none go for ``seconds``."""
        ...

    def places_left_today(self) -> int:
        """How many more placements the broker takes of the account on this trading day; below one: none."""
        ...

    def restore_places_today(self, used: int) -> None:
        """Set how many placements the account has sent today, after a start."""
        ...

    def restore_minute(self, ages_s: Sequence[float]) -> None:
        """Set how many seconds ago each of the last minute's order requests left, from whichever process."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request as it would go out, without credentials: for clients that want to see it first."""

    method: str
    path: str
    form: Mapping[str, str]


class OrderGateway(Protocol):
    """Sends at most once per call, never retries, never raises for what happened on the wire of a send."""

    def preview(self, request: OrderRequest, *, tag: str) -> WireRequest:
        """What ``place`` would send; nothing is sent."""
        ...

    def preview_cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> WireRequest:
        """What ``cancel`` would send; nothing is sent. Its parameters go into the query."""
        ...

    async def place(self, request: OrderRequest, *, tag: str) -> SendOutcome:
        """Send a new order; ``tag`` is how it is found in the book."""
        ...

    async def modify(
        self, order_id: str, *, variety: str, changes: OrderChanges, parent_order_id: str | None = None
    ) -> SendOutcome:
        """Send the changes of a live order."""
        ...

    async def cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> SendOutcome:
        """Send the cancellation of a live order."""
        ...

    async def order_book(self) -> Rows[BrokerOrder]:
        """All orders of the broker's day. Raises BrokerError, also for an answer that is no list of rows."""
        ...

    async def order_history(self, order_id: str) -> list[BrokerOrder]:
        """The states of one order, oldest first, without rows that cannot be read. Raises BrokerError."""
        ...

    async def trades(self) -> Rows[Trade]:
        """All fills of the broker's day. Raises BrokerError."""
        ...

    async def basket_margin(self, requests: Sequence[OrderRequest]) -> Decimal:
        """Rupees of margin that the whole basket needs in addition to present positions. Raises BrokerError."""
        ...

    async def available_margin(self, exchange: str) -> Decimal:
        """Rupees of margin that new orders on ``exchange`` may use. Raises BrokerError."""
        ...


class PortfolioGateway(Protocol):
    """Reads that are passed through: Kite's own objects, unchanged. Every call raises BrokerError."""

    async def profile(self) -> Mapping[str, Any]:
        """The account's owner, and what the account may trade."""
        ...

    async def holdings(self) -> Sequence[Mapping[str, Any]]:
        """The long-term holdings, one object each."""
        ...

    async def positions(self) -> Mapping[str, Any]:
        """``net`` and ``day`` positions."""
        ...

    async def margins(self) -> Mapping[str, Any]:
        """Funds by segment: ``equity`` and ``commodity``."""
        ...


class MarketGateway(Protocol):
    """Market data by REST. Every call raises BrokerError."""

    async def instruments(self, exchange: str | None = None) -> Rows[Instrument]:
        """The dump of the day, of one exchange or of all."""
        ...

    async def quotes(self, keys: Sequence[str]) -> dict[str, Quote]:
        """By ``EXCHANGE:TRADINGSYMBOL``, at most ``QUOTE_KEYS_LIMIT``; absent are keys unknown to the broker, and
        quotes that cannot be read."""
        ...

    async def candles(
        self, instrument_token: int, *, interval: str, start: datetime, end: datetime, continuous: bool, oi: bool
    ) -> Rows[Candle]:
        """One request, so at most the broker's day cap for ``interval``; both ends inclusive."""
        ...


class SessionGateway(Protocol):
    """Login and log-out of one account."""

    def login_url(self, *, redirect_params: str | None = None) -> str:
        """Where the account's owner logs in; ``redirect_params`` come back on the redirect."""
        ...

    async def exchange_request_token(self, request_token: str) -> LoginResult:
        """Finish a login. Raises BrokerRefused or SessionExpired for a bad token, BrokerUnavailable otherwise."""
        ...

    async def owner_of(self, access_token: SecretStr) -> str:
        """The user whose session this is, whichever token is in force. Raises SessionExpired for a dead one."""
        ...

    async def log_out(self) -> None:
        """Make the access token useless. Raises BrokerError."""
        ...


class TickDecoder(Protocol):
    """Decodes one packet of the ticker."""

    def __call__(self, packet: bytes) -> Tick | None:
        """The tick, without the fields that the service adds; None when the packet is malformed."""
        ...


@dataclass(slots=True, kw_only=True)
class FeedState:
    """What one feed knows about itself; health and metrics read it, only the feed writes it. Counters only rise."""

    connected: bool = False  # a socket is open
    replaying: bool = False  # the present socket announced that it sends a recording
    sockets: int = 0  # connected ones
    reconnects: int = 0  # sockets opened after the first
    frames: int = 0  # received, of any kind
    packets: int = 0  # received, one for each tick
    malformed: int = 0  # frames that could not be read
    notes: int = 0  # ``error`` and ``message`` texts of the broker
    last_tick_at: float = 0.0  # epoch seconds by this process's clock; 0.0: never
    last_error: str | None = None  # why the last connection failed or ended; None while it is up


class FeedListener(Protocol):
    """What a feed calls. All are plain functions that return immediately: the socket's reader never waits."""

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None:
        """The raw packets of one frame, in order; each has at least its first 4 bytes, the instrument token."""
        ...

    def on_order_update(self, payload: Mapping[str, Any]) -> None:
        """Kite's order push as it came: only a hint to read the book."""
        ...

    def on_connected(self, *, first: bool) -> None:
        """A socket is connected and has subscribed; order pushes between two sockets are lost."""
        ...

    def on_replay(self) -> None:
        """Until the next ``on_connected`` the socket sends a recording and not the market."""
        ...

    def on_disconnected(self, reason: str) -> None:
        """The socket has closed; the feed connects again by itself."""
        ...


class Feed(Protocol):
    """The streaming side of one account."""

    state: FeedState

    async def run(self) -> None:
        """Stream until cancelled; connects again by itself."""
        ...

    def subscribe(self, modes: Mapping[int, Mode]) -> None:
        """Add tokens or change their mode; what is already streamed in that mode is not touched."""
        ...

    def unsubscribe(self, tokens: Sequence[int]) -> None:
        """Remove tokens; those that are not subscribed are ignored."""
        ...

    def subscriptions(self) -> Mapping[int, Mode]:
        """Mode by token of everything that is subscribed here, connected or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Everything that one account can do at its broker."""

    account_id: str
    orders: OrderGateway
    portfolio: PortfolioGateway
    market: MarketGateway
    session: SessionGateway
    decode: TickDecoder
    clock_offset_s: Callable[[], float | None]
    """Seconds by which the broker's clock is ahead of this one; None while that is not known."""
