"""Opens every resource in order, hands the parts over as ``Services``, and closes it all in the opposite order.

    database -> schema checked -> sessions -> brokers -> redis -> the engine's database -> the parts (``composition``)
    -> background tasks

The only file that knows the broker's adapter. Tests call the same function with overrides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.accounts.roster import load_accounts
from app.accounts.sealed_sessions import SealedSessions
from app.accounts.sessions import BrokerSessions
from app.accounts.token_files import TokenFiles
from app.api.keys import ApiKeys
from app.api.services import Services
from app.composition.parts import Accounts, Overrides, Process
from app.composition.runtime import build_runtime
from app.config import Settings
from app.db.clock import DatabaseClock
from app.db.database_bounds import DatabaseBounds
from app.db.migrate import head_revision
from app.db.postgres import open_database
from app.db.read_count import DatabaseReadCount
from app.db.redis import open_redis
from app.db.schema import require_revision
from app.kit.backoff import Backoff
from app.kit.clock import SystemClock
from app.kit.sealing import Sealer
from app.kite.broker import KiteAccount, open_broker
from app.kite.feed import FeedSettings
from app.kite.http import HttpSettings
from app.kite.route import Route
from app.ops.broker_calls import BrokerCalls
from app.orders.engine.statement_warmup import warm_up

WAITERS_PER_ACCOUNT = 20  # loops, leases and sends in flight; each waits for a bounded time
SENDS_FINISH_S = 2.0
TASKS_END_S = 2.0


@asynccontextmanager
async def open_accounts(settings: Settings, *, clock: DatabaseClock | None = None) -> AsyncIterator[Accounts]:
    """Database, accounts and brokers, with nothing running. Raises SettingsError and StartError."""
    clock = clock or DatabaseClock(SystemClock())
    roster = load_accounts(settings)
    async with AsyncExitStack() as stack:
        database = await open_database(
            settings.database_dsn,
            name="ticker api",
            max_size=settings.database_pool_size,
            bounds=DatabaseBounds.from_settings(settings),
        )
        stack.push_async_callback(database.close)
        await require_revision(database, head_revision())
        async with database.connection() as connection:
            await clock.read(connection)
        key = settings.token_key_bytes
        sessions = BrokerSessions(roster, token_files=TokenFiles(settings.token_dir))
        stored = SealedSessions(database, sealer=None if key is None else Sealer(key))
        await stored.load(sessions)
        kite: dict[str, KiteAccount] = {}
        calls = BrokerCalls()
        read_count = DatabaseReadCount(database)
        route = route_of(settings)
        http = HttpSettings(base_url=settings.kite_rest_url, order_total_s=settings.order_send_timeout_s, route=route)
        for account_id in sessions.ids():
            opening = open_broker(
                account_id,
                http=http,
                feed=_feed_settings(settings, route=route),
                credentials=sessions.credentials(account_id),
                clock=clock,
                observer=calls.observe,
                count_unreadable=calls.count_unreadable,
                read_count=read_count,
                tokens=sessions.tokens(account_id),
                login_url=settings.kite_login_url,
            )
            kite[account_id] = await stack.enter_async_context(opening)
        yield Accounts(
            database=database,
            roster=roster,
            sessions=sessions,
            stored_sessions=stored,
            at_broker=kite,
            calls=calls,
        )


@asynccontextmanager
async def open_services(settings: Settings, *, overrides: Overrides | None = None) -> AsyncIterator[Services]:
    """Everything that runs. Raises SettingsError (exit code 2) and StartError (1) in one line, nothing left open."""
    overrides = overrides or Overrides()
    api_keys = ApiKeys.from_settings(settings)
    clock = DatabaseClock(overrides.clock or SystemClock())
    async with AsyncExitStack() as stack:
        accounts = await stack.enter_async_context(open_accounts(settings, clock=clock))
        redis = open_redis(settings)
        stack.push_async_callback(redis.aclose)
        engine_database = await open_database(  # of its own: a flood of requests cannot starve what risks money
            settings.database_dsn,
            name="ticker engine",
            min_size=settings.database_engine_pool_size,
            max_size=settings.database_engine_pool_size,
            bounds=DatabaseBounds.from_settings(settings),
            max_waiting=settings.database_engine_pool_size + WAITERS_PER_ACCOUNT * len(accounts.roster),
            plans="once",
            warm_up=warm_up,
        )
        stack.push_async_callback(engine_database.close)
        process = Process.of(
            settings,
            overrides=overrides,
            clock=clock,
            database=accounts.database,
            engine_database=engine_database,
            redis=redis,
        )
        runtime = await build_runtime(process, accounts, api_keys=api_keys)
        stack.push_async_callback(runtime.monitoring.supervisor.stop, timeout=TASKS_END_S)
        stack.push_async_callback(runtime.hand_over, timeout_s=SENDS_FINISH_S)
        await runtime.start()
        yield runtime.services()


def route_of(settings: Settings) -> Route:
    """How connections to the broker leave this machine."""
    return Route(
        proxy=settings.kite_proxy.get_secret_value(),
        ipv4_only=settings.kite_ipv4_only,
        source_ip=str(settings.egress_source_ip or ""),
    )


def _feed_settings(settings: Settings, *, route: Route) -> FeedSettings:
    return FeedSettings(
        ws_url=settings.kite_ws_url,
        route=route,
        watchdog_s=settings.feed_silence_s,
        backoff=Backoff(first_s=settings.feed_reconnect_first_s, cap_s=settings.feed_reconnect_cap_s),
    )
