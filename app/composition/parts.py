"""What the builders are given: the opened resources of the process, its accounts, and what a test may replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis

from app.accounts.model import Account
from app.accounts.sealed_sessions import SealedSessions
from app.accounts.sessions import BrokerSessions
from app.broker.port import Broker, CredentialSource, Feed, FeedListener, Governor
from app.composition.event_writer import AccountEventWriter
from app.config import Settings
from app.db.clock import DatabaseClock
from app.db.leases import Leases, LeaseTimes
from app.db.postgres import Database
from app.db.redis_keys import RedisKeys
from app.events.limits import StreamLimits
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.kit.process import process_name
from app.ops.broker_calls import BrokerCalls
from app.orders.state.engine_settings import EngineSettings


class RunningFeed(Feed, Protocol):
    """A feed that can be asked not to wait any longer."""

    def reconnect_soon(self) -> None:
        """Something has changed, for instance the token: connect now, if it waits for that."""
        ...


class BrokerAccount(Protocol):
    """One account at its broker, as an adapter opens it."""

    @property
    def broker(self) -> Broker: ...

    @property
    def governor(self) -> Governor:
        """The rates that the broker allows."""
        ...

    @property
    def credentials(self) -> CredentialSource:
        """The token that is in force at each request."""
        ...

    def make_feed(self, listener: FeedListener) -> RunningFeed:
        """The account's feed; nothing runs before its ``run``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What a test may replace; the settings decide the rest."""

    clock: Clock | None = None
    engine_settings: EngineSettings | None = None
    lease_times: LeaseTimes | None = None
    stream_limits: StreamLimits | None = None
    replica: str | None = None  # its name as the owner of leases, where one process runs several replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Who is served, and the broker of each. Maps are by account id."""

    database: Database  # the API's pool, in which the sessions are stored
    roster: Mapping[str, Account]  # as configured
    sessions: BrokerSessions  # the token in force of each
    stored_sessions: SealedSessions  # logins that survive a restart
    at_broker: Mapping[str, BrokerAccount]  # opened; closed by who opened them
    calls: BrokerCalls  # requests to the broker, for metrics

    @property
    def brokers(self) -> Mapping[str, Broker]:
        return {account_id: account.broker for account_id, account in self.at_broker.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What all parts of one process share; opened and closed by ``app.bootstrap``."""

    settings: Settings  # as they were at the start
    clock: DatabaseClock  # the one clock: the database's
    ids: IdSource  # ids and random codes
    database: Database  # the pool of requests
    engine_database: Database  # the pool of the order engine, the leases and the notifications
    redis: Redis  # hints between replicas, last ticks, rate limits
    keys: RedisKeys  # names of keys and channels
    log: AccountEventWriter  # writes events
    leases: Leases  # which accounts this process sends for and streams
    engine_settings: EngineSettings  # waits, windows and counts of the order engine
    stream_limits: StreamLimits  # of the sockets

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        overrides: Overrides,
        clock: DatabaseClock,
        database: Database,
        engine_database: Database,
        redis: Redis,
    ) -> Process:
        """The parts that follow from the opened resources; ``engine_database`` is the order engine's own pool."""
        ids = IdSource(clock)
        return cls(
            settings=settings,
            clock=clock,
            ids=ids,
            database=database,
            engine_database=engine_database,
            redis=redis,
            keys=RedisKeys(settings.redis_prefix),
            log=AccountEventWriter(ids),
            leases=Leases(
                database=engine_database,
                owner=overrides.replica or process_name(ids.code(6)),
                times=overrides.lease_times or LeaseTimes.lasting(settings.account_lease_s),
                clock=clock,
            ),
            engine_settings=overrides.engine_settings or EngineSettings.from_settings(settings),
            stream_limits=overrides.stream_limits or StreamLimits.from_settings(settings),
        )
