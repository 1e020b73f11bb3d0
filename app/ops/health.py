"""Is the service healthy? Each dependency is checked by a round trip at the moment of the question.

All round trips end within a second, also while a dependency hangs. ``down`` means that orders cannot be accepted (the
database is away); ``degraded`` that something else is missing, or that an account cannot trade: ``trading`` says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal, Protocol

from psycopg import Error as DatabaseError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.broker.port import Feed
from app.db.postgres import Database
from app.db.redis import ping
from app.db.schema import read_revision
from app.errors import Unavailable
from app.kit.clock import Clock
from app.kit.probe import Probe
from app.kit.supervisor import Supervisor
from app.ops.readiness import Readiness, ReadinessCheck
from app.ops.trading_health import TradingHealth

CHECK_TIMEOUT_S = 1.0

Status = Literal["ok", "degraded", "down"]
Reachable = Literal["ok", "down"]
Role = Literal["leader", "follower"]


class RegistryState(Protocol):
    """The instrument registry as health reports it."""

    @property
    def status(self) -> str:
        """``ok``, ``stale`` or ``empty``."""

    @property
    def cached_instruments(self) -> int:
        """0 while no dump was ever loaded."""

    @property
    def last_refresh(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersHealth:
    """``oldest_in_doubt_s`` is None when nothing is in doubt; ``halted`` means that a halt is in force, for
    some account or for all, and in which mode and for whom is in the reasons of the accounts.

    ``unled_feeds`` are the accounts whose feed no replica runs, which the database knows as well.
    """

    in_doubt: int
    oldest_in_doubt_s: float | None
    halted: bool
    unled_feeds: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHealth:
    """One account's feed. ``stale``: it should have ticked and did not.

    ``role`` is ``leader`` in the process that holds the account's feed, ``follower`` in every other one.
    """

    account_id: str
    role: Role
    connected: bool
    sockets: int
    subscriptions: int
    last_tick_age_ms: int | None
    token_valid_until: datetime | None
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The whole answer of ``/health``."""

    status: Status  # the worst of what follows
    environment: str  # as the settings name it
    version: str  # of the code
    ticker_running: bool  # no background task has failed, and the service is not stopping
    accounts: tuple[AccountHealth, ...]  # one entry an account, led here or not
    redis: Reachable  # did it answer in time?
    redis_refuses: str | None  # the error code with which it answers ticks; None while it takes them
    database: Reachable  # did it answer in time?
    registry: RegistryState  # the instruments
    orders: OrdersHealth | None  # None while the database, which has the answer, is away
    trading: Sequence[TradingHealth]  # one entry an account, the same at every replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Which code runs where: ``schema_revision`` is the one that this code needs."""

    environment: str
    version: str
    schema_revision: str


class Registry(Protocol):
    """The instrument registry of this process."""

    def status(self) -> RegistryState:
        """How fresh its instruments are."""
        ...


class OrderConditions(Protocol):
    """What health shows of orders."""

    async def read(self) -> OrdersHealth:
        """Reads the database. Raises Unavailable."""
        ...


class TradingConditions(Protocol):
    """What the owners of the accounts say, as this replica last read it."""

    def known(self) -> Sequence[TradingHealth]:
        """Of each account; does not wait."""
        ...

    def note_stall(self) -> None:
        """The database does not answer this replica: nothing that the owners said can be relied on."""
        ...


class AccountConditions(Protocol):
    """What health shows of one account, beside its feed."""

    def token_valid_until(self, account_id: str) -> datetime | None:
        """When its token ends; None where that is not known."""
        ...

    def feed_is_silent(self, account_id: str) -> bool:
        """Whether its feed runs in this process, should have ticked, and did not."""
        ...

    def leads(self, account_id: str) -> bool:
        """Whether this process holds its feed: only then can it miss ticks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSources:
    """Where each part of the answer comes from. Features are behind Protocols: health imports none of them."""

    database: Database  # pinged, and asked for its schema revision
    engine_database: Database  # the other pool of this process, which must live too
    redis: Redis  # pinged
    tick_refusal: Callable[[], str | None]  # the error code with which Redis answers ticks
    supervisor: Supervisor  # the states of the background tasks
    feeds: Mapping[str, Feed]  # by account
    registry: Registry  # the instruments
    orders: OrderConditions  # doubts and halts
    trading: TradingConditions  # which accounts can trade
    accounts: AccountConditions  # tokens, expected ticks, leadership


class HealthService:
    """Health, readiness and liveness of this process."""

    def __init__(self, sources: HealthSources, *, release: Release, clock: Clock) -> None:
        self._sources = sources
        self._release = release
        self._clock = clock
        self._database_probe = Probe(sources.database.ping, timeout_s=CHECK_TIMEOUT_S)
        self._redis_probe = Probe(partial(ping, sources.redis), timeout_s=CHECK_TIMEOUT_S)
        self._orders_probe = Probe(sources.orders.read, timeout_s=CHECK_TIMEOUT_S)
        self._ready = ReadinessCheck(
            wanted=release.schema_revision,
            revision=Probe(self._read_revision, timeout_s=CHECK_TIMEOUT_S),
            pools=(sources.database, sources.engine_database),
            clock=clock,
        )

    def begin_draining(self) -> None:
        self._ready.begin_draining()

    async def check(self) -> Health:
        """The state of everything, within about a second whatever is down."""
        database, redis, orders = await asyncio.gather(self._database_state(), self._redis_state(), self._order_state())
        if database == "down":
            self._sources.trading.note_stall()
        refusal = self._sources.tick_refusal()
        registry, trading = self._sources.registry.status(), self._sources.trading.known()
        accounts = tuple(self._account(account_id, feed) for account_id, feed in self._sources.feeds.items())
        all_led = orders is None or not orders.unled_feeds
        return Health(
            status=_overall(
                database=database,
                others_fine=redis == "ok" and refusal is None and registry.cached_instruments > 0 and all_led,
                accounts=accounts,
                trading=trading,
            ),
            environment=self._release.environment,
            version=self._release.version,
            ticker_running=self.live() and not self._ready.draining,
            accounts=accounts,
            redis=redis,
            redis_refuses=refusal,
            database=database,
            registry=registry,
            orders=orders,
            trading=trading,
        )

    async def readiness(self) -> Readiness:
        return await self._ready.check()

    def live(self) -> bool:
        """False once a background task has failed: the platform should start the process again."""
        return not self._sources.supervisor.failed.is_set()

    def tasks(self) -> Mapping[str, str]:
        """Each background task by name: running, done, cancelled or crashed."""
        return self._sources.supervisor.states()

    async def _database_state(self) -> Reachable:
        try:
            await self._database_probe.run()
        except (Unavailable, DatabaseError, TimeoutError):
            return "down"
        return "ok"

    async def _redis_state(self) -> Reachable:
        try:
            await self._redis_probe.run()
        except (RedisError, OSError, TimeoutError):
            return "down"
        return "ok"

    async def _order_state(self) -> OrdersHealth | None:
        try:
            return await self._orders_probe.run()
        except (Unavailable, DatabaseError, TimeoutError):
            return None

    async def _read_revision(self) -> str | None:
        async with self._sources.database.connection() as connection:
            return await read_revision(connection)

    def _account(self, account_id: str, feed: Feed) -> AccountHealth:
        state = feed.state
        age_s = self._clock.now().timestamp() - state.last_tick_at if state.last_tick_at else None
        return AccountHealth(
            account_id=account_id,
            role="leader" if self._sources.accounts.leads(account_id) else "follower",
            connected=state.connected,
            sockets=state.sockets,
            subscriptions=len(feed.subscriptions()),
            last_tick_age_ms=None if age_s is None else max(0, int(age_s * 1000)),
            token_valid_until=self._sources.accounts.token_valid_until(account_id),
            stale=self._sources.accounts.feed_is_silent(account_id),
        )


def _overall(
    *,
    database: Reachable,
    others_fine: bool,
    accounts: Sequence[AccountHealth],
    trading: Sequence[TradingHealth],
) -> Status:
    if database == "down":
        return "down"
    led_here = [account for account in accounts if account.role == "leader"]
    feeds_fine = all(account.connected and not account.stale for account in led_here)
    all_trade = all(account.can_trade for account in trading)
    return "ok" if others_fine and feeds_fine and all_trade else "degraded"
