"""What the service says about itself, proved at the moment it is asked.

Each dependency is asked by a round trip of its own, all at once, within a second: the answer comes while they are down.
``down`` means that orders cannot be taken (the database is away); ``degraded`` that something else is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol

from loguru import logger
from psycopg import Error as DatabaseError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.broker.port import Feed
from app.db.postgres import Database
from app.errors import Unavailable
from app.kit.clock import Clock
from app.kit.probe import Probe
from app.kit.supervisor import Supervisor

CHECK_TIMEOUT_S = 1.0

Status = Literal["ok", "degraded", "down"]
Reachable = Literal["ok", "down"]


class RegistryState(Protocol):
    """What the instrument registry tells: ``ok``, ``stale`` or ``empty``."""

    @property
    def status(self) -> str: ...

    @property
    def cached_instruments(self) -> int: ...

    @property
    def last_refresh(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersHealth:
    """``oldest_in_doubt_s`` is None when nothing is in doubt; ``halted`` says that no new order is sent."""

    in_doubt: int
    oldest_in_doubt_s: float | None
    halted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHealth:
    account_id: str
    role: Literal["leader", "follower"]
    connected: bool
    sockets: int
    subscriptions: int
    last_tick_age_ms: int | None
    token_valid_until: datetime | None
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """``orders`` is None while the database, which has the answer, is away."""

    status: Status
    environment: str
    version: str
    ticker_running: bool
    accounts: tuple[AccountHealth, ...]
    redis: Reachable
    database: Reachable
    registry: RegistryState
    orders: OrdersHealth | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """``reasons`` is empty when ready."""

    reasons: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return not self.reasons


class HealthService:
    """Everything is asked through callables, so that health stands on no room in particular.

    ``expects_ticks`` says whether an account streams anything whose exchange is open now: silence is only then stale.
    ``leads`` says whether this process holds the account's feed: the feed of another replica is not ours to miss.
    """

    def __init__(
        self,
        *,
        environment: str,
        version: str,
        head_revision: str,
        database: Database,
        redis: Redis,
        supervisor: Supervisor,
        feeds: Mapping[str, Feed],
        registry: Callable[[], RegistryState],
        orders: Callable[[], Coroutine[Any, Any, OrdersHealth]],
        token_valid_until: Callable[[str], datetime | None],
        expects_ticks: Callable[[str], bool],
        leads: Callable[[str], bool],
        stale_after_s: float,
        clock: Clock,
    ) -> None:
        self._environment = environment
        self._version = version
        self._head_revision = head_revision
        self._database = database
        self._supervisor = supervisor
        self._feeds = feeds
        self._registry = registry
        self._ask_database = Probe(database.ping, timeout_s=CHECK_TIMEOUT_S)
        self._ask_redis = Probe(partial(_ping, redis), timeout_s=CHECK_TIMEOUT_S)
        self._ask_orders = Probe(orders, timeout_s=CHECK_TIMEOUT_S)
        self._ask_revision = Probe(self._read_revision, timeout_s=CHECK_TIMEOUT_S)
        self._token_valid_until = token_valid_until
        self._expects_ticks = expects_ticks
        self._leads = leads
        self._stale_after_s = stale_after_s
        self._clock = clock
        self.draining = False

    async def check(self) -> Health:
        """Takes at most about a second, whatever is down."""
        database, redis, orders = await asyncio.gather(self._database_state(), self._redis_state(), self._order_state())
        registry = self._registry()
        accounts = tuple(self._account(account_id, feed) for account_id, feed in self._feeds.items())
        return Health(
            status=_overall(database=database, redis=redis, registry=registry, accounts=accounts),
            environment=self._environment,
            version=self._version,
            ticker_running=not self._supervisor.failed.is_set() and not self.draining,
            accounts=accounts,
            redis=redis,
            database=database,
            registry=registry,
            orders=orders,
        )

    async def readiness(self) -> Readiness:
        """May traffic be sent here? Not while stopping, without the database, or on a schema of another version."""
        if self.draining:
            return Readiness(reasons=("the service is stopping",))
        try:
            revision = await self._ask_revision.ask()
        except (Unavailable, DatabaseError, TimeoutError) as error:
            logger.warning("not ready: {!r}", error)
            return Readiness(reasons=("the database cannot be asked",))
        if revision != self._head_revision:
            return Readiness(reasons=("the database schema is not at this version: python -m app migrate",))
        return Readiness(reasons=())

    def live(self) -> bool:
        """False once a background task has ended that should have run for ever: the platform should start it again."""
        return not self._supervisor.failed.is_set()

    def tasks(self) -> Mapping[str, str]:
        return self._supervisor.states()

    async def _database_state(self) -> Reachable:
        try:
            await self._ask_database.ask()
        except (Unavailable, DatabaseError, TimeoutError):
            return "down"
        return "ok"

    async def _redis_state(self) -> Reachable:
        try:
            await self._ask_redis.ask()
        except (RedisError, OSError, TimeoutError):
            return "down"
        return "ok"

    async def _order_state(self) -> OrdersHealth | None:
        try:
            return await self._ask_orders.ask()
        except (Unavailable, DatabaseError, TimeoutError):
            return None

    async def _read_revision(self) -> str | None:
        async with self._database.connection() as connection:
            cursor = await connection.execute("SELECT version_num FROM alembic_version")
            row = await cursor.fetchone()
        return None if row is None else str(row[0])

    def _account(self, account_id: str, feed: Feed) -> AccountHealth:
        state = feed.state
        age_s = self._clock.now().timestamp() - state.last_tick_at if state.last_tick_at else None
        quiet = age_s is None or age_s > self._stale_after_s
        return AccountHealth(
            account_id=account_id,
            role="leader" if self._leads(account_id) else "follower",
            connected=state.connected,
            sockets=state.sockets,
            subscriptions=len(feed.subscriptions()),
            last_tick_age_ms=None if age_s is None else max(0, int(age_s * 1000)),
            token_valid_until=self._token_valid_until(account_id),
            stale=quiet and self._expects_ticks(account_id),
        )


async def _ping(redis: Redis) -> None:
    await redis.ping()


def _overall(
    *, database: Reachable, redis: Reachable, registry: RegistryState, accounts: tuple[AccountHealth, ...]
) -> Status:
    if database == "down":
        return "down"
    ours = [account for account in accounts if account.role == "leader"]
    feeds_fine = all(account.connected and not account.stale for account in ours)
    if redis == "down" or registry.cached_instruments == 0 or not feeds_fine:
        return "degraded"
    return "ok"
