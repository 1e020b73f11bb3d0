"""An order desk for tests: the real engine on a real database, talking to a real simulator through the real adapter.

`open_desk` starts it and stops it in order; `desk.crash()` stops it as kill -9 would, without letting anything finish.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
from pydantic import SecretStr

from app.broker.market import Instrument
from app.broker.orders import Exchange, OrderRequest, OrderType, Product, TransactionType
from app.broker.port import Credentials
from app.db.leases import LeaseTimes
from app.db.postgres import Database, Tx, open_database
from app.events import model, outbox_store
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.kit.supervisor import Supervisor
from app.kite.broker import KiteAccount, open_broker
from app.kite.feed import FeedSettings
from app.kite.http import HttpSettings
from app.orders.engine.order_engine import OrderEngine
from app.orders.engine.statement_warmup import warm_up
from app.orders.entry.acceptance import Acceptance, Answer, Caller
from app.orders.entry.admission import Admission
from app.orders.entry.requests import InstrumentLookup, RequestChecker
from app.orders.entry.service import BatchOptions, OrderService
from app.orders.risk.limits import RiskLimits
from app.orders.state import tag_store
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.new_tasks import OrderLine, TaskFactory
from app.orders.state.settlement import NewEvent
from app.orders.state.tags import DEPLOYMENT_LENGTH, Tagger
from app.orders.views.queries import OrderQueries

SHORT_RULES = EngineSettings(
    in_doubt_window_s=3.0,
    freshness_limit_s=10.0,
    send_timeout_s=2.0,
    claim_lease_s=3.0,
    block_on_doubt_s=1.5,
    poll_s=0.1,
    audit_s=1.0,
    least_read_gap_s=0.05,
    constant_read_gap_s=0.05,
    batch_deadline_s=20.0,
    fill_grace_s=1.0,
)
"""The product's rules with shorter times, so that a test sees their end."""

SHORT_LEASES = LeaseTimes(ttl_s=4.0, trust_s=3.0, renew_every_s=0.3, try_every_s=0.1)
"""Short, and longer than the pauses of a busy machine."""

NO_LIMITS = RiskLimits()

ACCOUNT = "primary"


class TestEvents:
    """The event log of `app.events`, as the engine sees it."""

    __test__ = False

    async def lock(self, tx: Tx, account_id: str) -> None:
        await outbox_store.lock(tx, account_id, epoch="test")

    async def append(self, tx: Tx, account_id: str, events: Sequence[NewEvent]) -> None:
        await outbox_store.append(tx, account_id, [model.NewEvent(type=kind, data=data) for kind, data in events])


@dataclass(slots=True)
class Desk:
    """What a test works with. ``sim`` is an HTTP client of the simulator's control routes."""

    service: OrderService
    engine: OrderEngine
    database: Database
    account: KiteAccount
    supervisor: Supervisor
    sim: httpx.AsyncClient
    settings: EngineSettings
    _keys: int = field(default=0)

    async def place(self, *, wait_s: float = 20.0, key: str | None = None, **changes: Any) -> Mapping[str, Any]:
        """Place one order; returns the task document."""
        return (await self.answer(wait_s=wait_s, key=key, **changes)).document

    async def answer(self, *, wait_s: float = 20.0, key: str | None = None, **changes: Any) -> Answer:
        line = OrderLine(request=order(**changes))
        return await self.service.place(
            line, account_id=ACCOUNT, caller=Caller(principal="t", idem_key=key), wait_s=wait_s
        )

    async def batch(
        self, orders: Sequence[OrderRequest], *, wait_s: float = 20.0, rollback: bool = True, **options: Any
    ) -> dict[str, Any]:
        """Place a batch without asking for its margin first, so that a leg can fail; returns its document."""
        key = options.pop("key", None)
        chosen = BatchOptions(rollback_on_failure=rollback, **{"check_margin": "skip", **options})
        answer = await self.service.place_batch(
            [OrderLine(request=request) for request in orders],
            account_id=ACCOUNT,
            options=chosen,
            caller=Caller(principal="t", idem_key=key),
            wait_s=wait_s,
        )
        return dict(answer.document)

    async def ledger(self) -> list[dict[str, Any]]:
        """Every order that the exchange ever accepted: the oracle."""
        answer = await self.sim.get("/_sim/ledger")
        found: list[dict[str, Any]] = answer.json()
        return found

    async def fault(self, kind: str, *, method: str = "POST", path: str = "/orders/regular", **more: Any) -> None:
        answer = await self.sim.post("/_sim/faults", json={"method": method, "path": path, "kind": kind, **more})
        answer.raise_for_status()

    async def set_price(self, key: str, last_price: float, **more: Any) -> None:
        answer = await self.sim.post("/_sim/market", json={"instruments": {key: {"last_price": last_price, **more}}})
        answer.raise_for_status()

    async def events(self) -> list[tuple[int, str, dict[str, Any]]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT seq, type, data FROM event WHERE account_id = %s ORDER BY seq", (ACCOUNT,)
            )
            return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]

    async def crash(self) -> None:
        """End every loop at once, as if the process had died: nothing is drained, nothing is stored."""
        assert await self.supervisor.stop(timeout=5.0) == []


def ignore(account_id: str) -> None:
    """A desk has nobody to tell."""


def order(**changes: Any) -> OrderRequest:
    """A LIMIT order for ten INFY far below the market, so that it rests; any field can be given."""
    fields: dict[str, Any] = {
        "exchange": Exchange.NSE,
        "tradingsymbol": "INFY",
        "transaction_type": TransactionType.BUY,
        "quantity": 10,
        "product": Product.MIS,
        "order_type": OrderType.LIMIT,
        "price": Decimal(1400),
    }
    return OrderRequest(**{**fields, **changes})


class NoInstruments:
    """A list that is not loaded."""

    is_loaded = False

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        return None


NO_INSTRUMENTS = NoInstruments()


def task_factory(settings: EngineSettings = SHORT_RULES, *, deployment: str = "0T") -> TaskFactory:
    """What makes tasks, with tags of a deployment of its own."""
    clock = SystemClock()
    ids = IdSource(clock)
    return TaskFactory(settings=settings, clock=clock, ids=ids, tagger=Tagger(ids, deployment=deployment))


def admission_on(
    database: Database, *, engine: OrderEngine, settings: EngineSettings = SHORT_RULES, limits: RiskLimits = NO_LIMITS
) -> Admission:
    """What is asked before an order is stored, where nobody knows a last price."""
    return Admission(
        database=database,
        limits=lambda account_id: limits,
        settings=settings,
        clock=SystemClock(),
        last_price=lambda exchange, symbol: None,
        instruments=NO_INSTRUMENTS,
        portfolio=lambda account_id: engine.broker(account_id).portfolio,
    )


def service_on(
    database: Database,
    *,
    engine: OrderEngine,
    settings: EngineSettings,
    ids: IdSource,
    tagger: Tagger,
    admission: Admission,
    instruments: InstrumentLookup = NO_INSTRUMENTS,
) -> OrderService:
    """The door to the engine, where no instrument is known unless ``instruments`` says so."""
    clock = SystemClock()
    queries = OrderQueries(database=database, clock=clock)
    return OrderService(
        acceptance=Acceptance(database=database, engine=engine, queries=queries, admission=admission, clock=clock),
        engine=engine,
        queries=queries,
        checker=RequestChecker(instruments),
        tasks=TaskFactory(settings=settings, clock=clock, ids=ids, tagger=tagger),
        settings=settings,
        ids=ids,
    )


@asynccontextmanager
async def open_desk(
    database_url: str,
    simulator_url: str,
    *,
    settings: EngineSettings = SHORT_RULES,
    token: str = "simtoken",
    owner: str = "",
    limits: RiskLimits = NO_LIMITS,
    leases: LeaseTimes = SHORT_LEASES,
) -> AsyncIterator[Desk]:
    """A running order engine for one account against the simulator at ``simulator_url``."""
    clock = SystemClock()
    ids = IdSource(clock)
    credentials = Credentials(api_key="simkey", api_secret=SecretStr("simsecret"), access_token=SecretStr(token))
    async with AsyncExitStack() as stack:
        database = await open_database(database_url, name="desk", plans="once", warm_up=warm_up)
        stack.push_async_callback(database.close)
        account = await stack.enter_async_context(
            open_broker(
                ACCOUNT,
                http=HttpSettings(base_url=simulator_url, order_total_s=settings.send_timeout_s),
                feed=FeedSettings(ws_url=simulator_url.replace("http", "ws")),
                credentials=lambda: credentials,
                clock=clock,
            )
        )
        async with database.transaction() as tx:
            code = await tag_store.deployment_code(tx, fresh=ids.code(DEPLOYMENT_LENGTH))
        tagger = Tagger(ids, deployment=code)
        engine = OrderEngine(
            database=database,
            events=TestEvents(),
            settings=settings,
            clock=clock,
            ids=ids,
            tagger=tagger,
            owner=owner or f"desk-{ids.code(6)}",
            on_change=ignore,
            on_accept=ignore,
            lease_times=leases,
        )
        engine.add(account.broker, governor=account.governor, credentials=lambda: credentials)
        supervisor = Supervisor()
        service = service_on(
            database,
            engine=engine,
            settings=settings,
            ids=ids,
            tagger=tagger,
            admission=admission_on(database, engine=engine, settings=settings, limits=limits),
        )
        sim = await stack.enter_async_context(httpx.AsyncClient(base_url=simulator_url, timeout=30, trust_env=False))
        engine.start(supervisor)
        try:
            yield Desk(
                service=service,
                engine=engine,
                database=database,
                account=account,
                supervisor=supervisor,
                sim=sim,
                settings=settings,
            )
        finally:
            assert await supervisor.stop(timeout=5.0) == []
            assert supervisor.failures == []
