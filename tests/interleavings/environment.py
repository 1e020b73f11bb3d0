"""The simulator, the databases and three replicas of the service: one for each of two operations, one for the rest.

Everything but the accounts is made once. Each run has an account of its own, which has the broker's only user to
itself: the exchange begins a new day with an empty book for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import AsyncConnection
from pydantic import SecretStr

from app.broker.port import (
    Broker,
    Credentials,
    CredentialSource,
    Governor,
    MarketGateway,
    OrderGateway,
    PortfolioGateway,
    RequestKind,
)
from app.composition.event_writer import AccountEventWriter
from app.composition.orders import OrderInputs, Orders, build_order_parts, build_orders
from app.db.leases import Lease, Leases, LeaseTimes
from app.db.postgres import Database
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.kite.broker import open_broker
from app.kite.feed import FeedSettings
from app.kite.http import HttpSettings
from app.orders.engine.account_loops import AccountLoops, build_account_loops
from app.orders.risk.limits import RiskLimits
from app.orders.state.counters import ReadCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.order_parts import AccountParts, OrderParts
from app.orders.state.session_state import SessionState
from app.orders.state.task_store import database_now
from app.orders.state.wakeups import OrderWakeups
from app.orders.views.queries import OrderQueries
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.ledger import ledger_row
from simulator.server import Simulator, build_simulator
from simulator.settings import SimulatorSettings
from tests.interleavings.exchange_gateway import ExchangeMarket, ExchangeOrders, ExchangePortfolio
from tests.interleavings.pausing import PAUSES_INSIDE, LockServer, Side, open_plain, open_side
from tests.interleavings.pausing_broker import PausingMarket, PausingOrders, PausingPortfolio
from tests.order_environment import TAG_SECRETS, Memory, NoInstruments, NoPrices, NoReaders

LAST_PRICE = Decimal(1500)
SETTINGS = EngineSettings(claim_to_send_s=60.0, claim_lease_s=60.0, batch_deadline_s=300.0, exit_s=100.0)
"""The product's, but for a claim that bears the pauses of a busy machine."""

LEASE_TIMES = LeaseTimes.lasting(600)
SIDES = ("a", "b")
KEPT_ACCOUNTS = 50
"""After so many all rows go: statements that were planned for small tables stay fast."""

TABLES = (
    "order_task", "order_attempt", "batch", "idempotency_key", "broker_order", "fill", "order_alarm", "account_seq",
    "event", "lease", "kill_switch", "account_risk",
)  # fmt: skip
NOWHERE = "http://127.0.0.1:9"
"""Of the gateways that no operation uses."""


class Unpaced:
    """A governor that lets every request go: how fast they follow is not what is tested."""

    async def acquire(self, kind: RequestKind, *, deadline: float | None = None) -> None:
        pass

    async def depart(self) -> None:
        pass

    def cool_down(self, seconds: float) -> None:
        pass

    def places_left_today(self) -> int:
        return 1_000_000

    def restore_places_today(self, used: int) -> None:
        pass

    def restore_minute(self, ages_s: Sequence[float]) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class TestAccount:
    """An account at the broker as one replica sees it."""

    __test__ = False

    broker: Broker
    governor: Governor
    credentials: CredentialSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One process of the service, which serves one account."""

    parts: OrderParts
    orders: Orders
    account: TestAccount
    wakeups: OrderWakeups
    leases: Leases

    @property
    def account_id(self) -> str:
        return self.account.broker.account_id

    @property
    def database(self) -> Database:
        return self.parts.database

    def lease(self) -> Lease:
        """The account's, not taken yet."""
        return self.leases.lease(f"sender:{self.account_id}")

    async def take_lease(self) -> LeaseTerm:
        """A term that has not read the book. The lease must be free."""
        lease = self.lease()
        assert await lease.try_take()
        async with self.database.connection() as connection:
            return LeaseTerm(lease=lease, began_at=await database_now(connection))

    def loops(self, term: LeaseTerm) -> AccountLoops:
        shared = self.parts
        parts = AccountParts(
            database=shared.database,
            settlement=shared.settlement,
            settings=shared.settings,
            clock=shared.clock,
            ids=shared.ids,
            tagger=shared.tagger,
            tasks=shared.tasks,
            broker=self.account.broker,
            term=term,
            session=SessionState(
                self.account.credentials,
                profile=self.account.broker.portfolio.profile,
                clock=shared.clock,
                prove_every_s=shared.settings.session_proof_s,
            ),
            wakeups=self.wakeups.by_account[self.account_id],
            read_counters=ReadCounters(),
            prices=NoPrices(),
        )
        return build_account_loops(parts, governor=self.account.governor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What a replica keeps from run to run. ``side`` is None where nothing pauses."""

    parts: OrderParts
    side: Side | None


@dataclass(slots=True, kw_only=True)
class Environment:
    """Made once for many runs."""

    simulator: Simulator
    orders: ExchangeOrders
    broker: Broker  # the exchange, without a line to it
    credentials: CredentialSource
    processes: dict[str, Process]  # by side, and ``rest``
    control: AsyncConnection[Any]  # does what no operation does
    server: LockServer
    accounts_made: int = 0

    @property
    def exchange(self) -> Exchange:
        return self.simulator.exchange

    async def new_account(self) -> str:
        """An account that nothing is stored of, before an empty book."""
        self.exchange.days.reset()
        if self.accounts_made % KEPT_ACCOUNTS == 0:
            await self.control.execute(f"TRUNCATE {', '.join(TABLES)}")
        self.accounts_made += 1
        return f"account-{self.accounts_made}"

    def ledger(self, *, after: int) -> list[dict[str, Any]]:
        """Every order that the exchange has accepted after so many, with its present price."""
        entries = self.exchange.ledger.entries(after_seq=after)
        return [{**ledger_row(entry), "price": entry.order.request.price} for entry in entries]

    def replica(self, name: str, account_id: str) -> Replica:
        """The account in the process of this name: a side, or ``rest``."""
        process = self.processes[name]
        broker = replace(self.broker, account_id=account_id)
        if process.side is not None:
            orders: OrderGateway = PausingOrders(broker.orders, process.side)
            portfolio: PortfolioGateway = PausingPortfolio(broker.portfolio, process.side)
            market: MarketGateway = PausingMarket(broker.market, process.side)
            broker = replace(broker, orders=orders, portfolio=portfolio, market=market)
        account = TestAccount(broker=broker, governor=Unpaced(), credentials=self.credentials)
        parts = process.parts
        wakeups = OrderWakeups([account_id], events=NoReaders())
        leases = Leases(database=parts.database, owner=f"{name}-{account_id}", times=LEASE_TIMES, clock=parts.clock)
        inputs = OrderInputs(
            engine_database=parts.database,
            accounts={account_id: account},
            limits={account_id: RiskLimits()},
            queries=OrderQueries(database=parts.database, clock=parts.clock),
            instruments=NoInstruments(),
            prices=NoPrices(),
            wakeups=wakeups,
            replicas=NoReaders(),
            records=[Memory()],
            leases=leases,
        )
        return Replica(parts=parts, orders=build_orders(parts, inputs), account=account, wakeups=wakeups, leases=leases)


async def _process(database: Database, side: Side | None) -> Process:
    clock = SystemClock()
    ids = IdSource(clock)
    parts = await build_order_parts(
        database, events=AccountEventWriter(ids), settings=SETTINGS, clock=clock, ids=ids, secrets=TAG_SECRETS
    )
    return Process(parts=parts, side=side)


@asynccontextmanager
async def open_environment(database_url: str) -> AsyncIterator[Environment]:
    """Everything on the running event loop; the database is at head, and nothing else uses it."""
    settings = SimulatorSettings(port=0, ticks_per_second=0)
    simulator = build_simulator(settings)
    infy = simulator.market.find("NSE", "INFY")
    assert infy is not None
    simulator.market.set_price(infy.instrument_token, LAST_PRICE, frozen=True)
    credentials = Credentials(api_key="simkey", api_secret=SecretStr("simsecret"), access_token=SecretStr("simtoken"))
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(database_url, autocommit=True, options="-c timezone=UTC")
        )
        await control.execute(PAUSES_INSIDE)
        server = LockServer(control)
        account = await stack.enter_async_context(
            open_broker(
                "",
                http=HttpSettings(base_url=NOWHERE),
                feed=FeedSettings(ws_url=NOWHERE.replace("http", "ws")),
                credentials=lambda: credentials,
                clock=SystemClock(),
            )
        )
        processes = {"rest": await _process(await open_plain(database_url, "rest"), None)}
        for name in SIDES:
            side, database = await open_side(database_url, name, server=server)
            processes[name] = await _process(database, side)
        for process in processes.values():
            stack.push_async_callback(process.parts.database.close)
        orders = ExchangeOrders(simulator)
        broker = replace(
            account.broker,
            orders=orders,
            portfolio=ExchangePortfolio(simulator),
            market=ExchangeMarket(simulator),
        )
        yield Environment(
            simulator=simulator,
            orders=orders,
            broker=broker,
            credentials=lambda: credentials,
            processes=processes,
            control=control,
            server=server,
        )
