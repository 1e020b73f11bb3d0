"""What the composition root is made of: the ground floor, and small adapters between rooms that never meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from app.accounts.logins import AccountService
from app.accounts.model import Account
from app.broker.market import Instrument
from app.broker.port import Broker, CredentialSource, Feed, FeedListener, Governor
from app.db.leases import LeaseTimes
from app.db.postgres import Database
from app.events.limits import StreamLimits
from app.kit.clock import Clock
from app.market.instruments.registry import InstrumentRegistry
from app.market.ticks.pipeline import TickPipeline
from app.ops.metric_sources import BrokerCalls
from app.orders.risk.limits import LastPrice
from app.orders.state.engine_settings import EngineSettings


class RunningFeed(Feed, Protocol):
    """A feed that can be told that waiting has become pointless."""

    def reconnect_soon(self) -> None: ...


class BrokerAccount(Protocol):
    """One account at its broker, as an adapter opens it."""

    @property
    def broker(self) -> Broker: ...

    @property
    def governor(self) -> Governor: ...

    @property
    def credentials(self) -> CredentialSource: ...

    def make_feed(self, listener: FeedListener) -> RunningFeed: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What a test may replace; the settings steer the rest."""

    clock: Clock | None = None
    engine_settings: EngineSettings | None = None
    lease_times: LeaseTimes | None = None
    stream_limits: StreamLimits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The ground floor: who there is, and the broker of each."""

    database: Database
    roster: Mapping[str, Account]
    accounts: AccountService
    at_broker: Mapping[str, BrokerAccount]
    calls: BrokerCalls

    @property
    def brokers(self) -> Mapping[str, Broker]:
        return {account_id: account.broker for account_id, account in self.at_broker.items()}


class PacketSink(Protocol):
    """The tick half of a feed's listener."""

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None: ...

    def on_connected(self) -> None: ...

    def on_replay(self) -> None: ...


class OrderHints(Protocol):
    """The order half of a feed's listener."""

    def on_order_hint(self, account_id: str) -> None:
        """Something may have changed at the broker."""
        ...

    def on_feed_connected(self, account_id: str) -> None:
        """Pushes of the gap, if any, are lost."""
        ...


class FeedFanout:
    """One account's feed listener: packets to the tick path, order pushes and reconnects to whoever reads the book.

    A push is handed over as a hint without its content: the order book is the truth.
    """

    def __init__(
        self,
        account_id: str,
        *,
        ticks: PacketSink,
        orders: OrderHints,
    ) -> None:
        self._account_id = account_id
        self._orders = orders
        self._ticks = ticks
        self.on_packets = ticks.on_packets  # bound once: one call less for each frame

    def on_order_update(self, payload: Mapping[str, Any]) -> None:  # noqa: ARG002 - the port's signature
        self._orders.on_order_hint(self._account_id)

    def on_connected(self, *, first: bool) -> None:  # noqa: ARG002
        self._ticks.on_connected()
        self._orders.on_feed_connected(self._account_id)

    def on_replay(self) -> None:
        self._ticks.on_replay()

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the feed logs it, and reads of the order book do not depend on it."""


def tick_expectation(
    feeds: Mapping[str, Feed],
    *,
    instruments: Callable[[], Mapping[int, Instrument]],
    is_open: Callable[[str, datetime], bool],
    now: Callable[[], datetime],
) -> Callable[[str], bool]:
    """Does this account stream anything whose exchange is open? Silence means something only then."""

    def expects_ticks(account_id: str) -> bool:
        known = instruments()
        tokens = feeds[account_id].subscriptions()
        exchanges = {known[token].exchange for token in tokens if token in known}
        moment = now()
        return any(is_open(exchange, moment) for exchange in exchanges)

    return expects_ticks


class StreamedTicks:
    """What this process knows of the ticks of an instrument: the feeds' subscriptions, and the newest in memory."""

    def __init__(self, feeds: Mapping[str, Feed], *, ticks: TickPipeline) -> None:
        self._feeds = feeds
        self._ticks = ticks

    def is_subscribed(self, instrument_token: int) -> bool:
        return any(instrument_token in feed.subscriptions() for feed in self._feeds.values())

    def is_streamed_here(self, instrument_token: int) -> bool:
        return self.is_subscribed(instrument_token)

    def last_json(self, instrument_token: int) -> bytes | None:
        return self._ticks.last_json(instrument_token)


class TickPrices:
    """The last prices that this process has ticked, for the limits of orders."""

    def __init__(self, instruments: InstrumentRegistry, ticks: TickPipeline, *, clock: Clock) -> None:
        self._instruments = instruments
        self._ticks = ticks
        self._clock = clock

    def last_price(self, exchange: str, tradingsymbol: str) -> LastPrice | None:
        """None where this process streams no such instrument, or nothing has come yet."""
        instrument = self._instruments.find(exchange, tradingsymbol)
        last = None if instrument is None else self._ticks.last(instrument.instrument_token)
        if last is None:
            return None
        age_s = self._clock.now().timestamp() - last.received_at_ms / 1000
        return LastPrice(price=Decimal(str(last.tick.last_price)), age_s=age_s)
