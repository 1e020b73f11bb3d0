"""The test environment of orders: the real engine on a real database, with the real adapter and a real simulator.

`open_order_environment` starts it and stops it in order; `crash()` stops it as kill -9 would: nothing finishes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
from pydantic import SecretStr

from app.accounts.token_memory import AccountTokens
from app.broker.market import Instrument
from app.broker.orders import OrderRequest
from app.broker.port import Credentials, CredentialSource
from app.composition.event_writer import AccountEventWriter
from app.composition.orders import OrderInputs, Orders, build_order_parts, build_orders
from app.db.leases import Leases, LeaseTimes
from app.db.postgres import Database, open_database
from app.db.read_count import DatabaseReadCount
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.kit.supervisor import Supervisor
from app.kite.broker import KiteAccount, open_broker
from app.kite.feed import FeedSettings
from app.kite.http import HttpSettings
from app.kite.pace import BrokerLimits
from app.kite.route import Route
from app.orders.engine.order_engine import OrderEngine
from app.orders.engine.statement_warmup import warm_up
from app.orders.entry.acceptance import Caller
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.service import BatchOptions, OrderService
from app.orders.recovery.database_record import RecordStore
from app.orders.recovery.loss_signs import DatabaseRecord
from app.orders.risk.limits import RiskLimits
from app.orders.state.audit import Actor
from app.orders.state.counters import OrderCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.last_prices import LastPrice, LastPrices
from app.orders.state.new_tasks import OrderLine, TaskFactory
from app.orders.state.order_parts import OrderParts
from app.orders.state.settlement import Settlement
from app.orders.state.tags import Tagger, TagSecrets
from app.orders.state.wakeups import OrderWakeups
from app.orders.views.queries import OrderQueries
from tests.order_requests import order
from tests.plain_http import NO_CERTIFICATES

SHORT_SETTINGS = EngineSettings(
    in_doubt_window_s=3.0,
    freshness_limit_s=10.0,
    send_timeout_s=2.0,
    claim_lease_s=3.0,
    block_on_doubt_s=1.5,
    poll_s=0.1,
    audit_s=1.0,
    least_read_gap_s=0.05,
    constant_read_gap_s=0.2,  # other reads find room between those of the book, as with the real gap
    batch_deadline_s=20.0,
    fill_grace_s=1.0,
    account_lease_s=1.0,
    replica_live_s=4.0,
    session_proof_s=0.5,
)
"""The product's settings with shorter times, so that a test sees their end."""

SHORT_LEASES = LeaseTimes(ttl_s=4.0, trust_s=3.0, renew_every_s=0.3, try_every_s=0.1)
"""Short, and longer than the pauses of a busy machine."""

NO_LIMITS = RiskLimits()

ACCOUNT = "primary"
OPERATOR = Actor(principal="operator", request_id="req-1")

DEPLOYMENT = "SV"
"""What the tags begin with."""

TAG_SECRETS = TagSecrets(versions=(b"the newest version of the secret",), given_code=DEPLOYMENT)


class NoInstruments:
    """No list of instruments is loaded, so nothing is checked against one."""

    is_loaded = False

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        """None of them is known."""
        return None


class NoPrices:
    """Nothing is streamed."""

    def last_price(self, exchange: str, tradingsymbol: str) -> LastPrice | None:
        """None has come."""
        return None

    def tick_size(self, exchange: str, tradingsymbol: str) -> Decimal | None:
        """Of no instrument is it known."""
        return None


class Memory:
    """Remembers the database in place of Redis, for as long as the test keeps it."""

    def __init__(self) -> None:
        self.record: DatabaseRecord | None = None

    async def read(self) -> DatabaseRecord | None:
        return self.record

    async def write(self, record: DatabaseRecord) -> None:
        self.record = record


class NoReaders:
    """No order stream reads the events, and there is no other replica."""

    def wake(self, account_id: str) -> None:
        """Nothing waits for the account's events."""

    def send(self, account_id: str) -> None:
        """There is no other replica."""


@dataclass(slots=True)
class OrderEnvironment:
    """What a test works with. ``sim`` is an HTTP client of the simulator's control routes."""

    orders: Orders
    parts: OrderParts  # the orders were built of
    inputs: OrderInputs  # the orders were built of
    account: KiteAccount  # the first one
    supervisor: Supervisor
    sim: httpx.AsyncClient

    @property
    def service(self) -> OrderService:
        return self.orders.service

    @property
    def engine(self) -> OrderEngine:
        return self.orders.engine

    @property
    def database(self) -> Database:
        return self.parts.database

    async def place(
        self, *, wait_s: float = 20.0, key: str | None = None, account_id: str = ACCOUNT, **changes: Any
    ) -> Mapping[str, Any]:
        """Place one order; returns the task document."""
        return (await self.answer(wait_s=wait_s, key=key, account_id=account_id, **changes)).document

    async def answer(
        self, *, wait_s: float = 20.0, key: str | None = None, account_id: str = ACCOUNT, **changes: Any
    ) -> Answer:
        line = OrderLine(request=order(**changes))
        return await self.service.place(
            line, account_id=account_id, caller=Caller(principal="t", idem_key=key), wait_s=wait_s
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
        """End every loop immediately, as if the process had died: nothing is drained, nothing is stored."""
        assert await self.supervisor.stop(timeout=5.0) == []


def order_parts(database: Database, *, settings: EngineSettings = SHORT_SETTINGS) -> OrderParts:
    """What everything about orders shares, for tests that build a part of it alone."""
    clock = SystemClock()
    ids = IdSource(clock)
    tagger = Tagger(ids, secrets=TAG_SECRETS)
    return OrderParts(
        database=database,
        settlement=Settlement(AccountEventWriter(ids), counters=OrderCounters()),
        settings=settings,
        clock=clock,
        ids=ids,
        tagger=tagger,
        tasks=TaskFactory(settings=settings, clock=clock, ids=ids, tagger=tagger),
    )


def simulated_login(number: int, *, token: str, tokens: AccountTokens) -> CredentialSource:
    """The credentials of the simulator's user of this number, counted from 1; ``tokens`` knows which are refused."""
    suffix = "" if number == 1 else str(number)
    access_token = SecretStr(token + suffix)

    def present() -> Credentials:
        return Credentials(
            api_key=f"simkey{suffix}",
            api_secret=SecretStr(f"simsecret{suffix}"),
            access_token=access_token,
            is_refused=tokens.is_refused(access_token),
        )

    return present


async def _first_reads(engine: OrderEngine, *, within_s: float = 3.0) -> None:
    """Wait until the book of each account was read here: before that the engine sends nothing to a new database.

    Returns without that when another process owns an account, or the broker cannot be read.
    """
    ends = time.monotonic() + within_s
    while time.monotonic() < ends and not all(one.reads for one in engine.read_counters().values()):
        await asyncio.sleep(0.02)
        if time.monotonic() > ends - within_s + 0.7 and not any(
            engine.is_owner(name) for name in engine.read_counters()
        ):
            return


@asynccontextmanager
async def open_order_environment(
    database_url: str,
    simulator_url: str,
    *,
    settings: EngineSettings = SHORT_SETTINGS,
    token: str = "simtoken",
    owner: str = "",
    limits: RiskLimits = NO_LIMITS,
    leases: LeaseTimes = SHORT_LEASES,
    pace: BrokerLimits | None = None,
    account_ids: Sequence[str] = (ACCOUNT,),
    secrets: TagSecrets = TAG_SECRETS,
    prices: LastPrices = NoPrices(),  # noqa: B008 - it has no state
    records: Sequence[RecordStore] = (),
    source_ip: str = "",
) -> AsyncIterator[OrderEnvironment]:
    """A running order engine against the simulator at ``simulator_url``.

    ``pace``: how fast an account may send, where the broker's own limits are too wide for the test. ``account_ids``:
    the accounts, in the order of the simulator's users. ``source_ip``: from where requests to the broker leave.
    """
    clock = SystemClock()
    ids = IdSource(clock)
    async with AsyncExitStack() as stack:
        database = await open_database(database_url, name="environment", plans="once", warm_up=warm_up)
        stack.push_async_callback(database.close)
        tokens = {account_id: AccountTokens(account_id) for account_id in account_ids}
        accounts = {
            account_id: await stack.enter_async_context(
                open_broker(
                    account_id,
                    http=HttpSettings(
                        base_url=simulator_url, route=Route(source_ip=source_ip), order_total_s=settings.send_timeout_s
                    ),
                    feed=FeedSettings(ws_url=simulator_url.replace("http", "ws")),
                    credentials=simulated_login(number, token=token, tokens=tokens[account_id]),
                    tokens=tokens[account_id],
                    clock=clock,
                    limits=pace,
                    read_count=DatabaseReadCount(database),
                )
            )
            for number, account_id in enumerate(account_ids, start=1)
        }
        parts = await build_order_parts(
            database, events=AccountEventWriter(ids), settings=settings, clock=clock, ids=ids, secrets=secrets
        )
        inputs = OrderInputs(
            engine_database=database,
            accounts=accounts,
            limits=dict.fromkeys(account_ids, limits),
            queries=OrderQueries(database=database, clock=clock),
            instruments=NoInstruments(),
            prices=prices,
            wakeups=OrderWakeups(account_ids, events=NoReaders()),
            replicas=NoReaders(),
            records=records or [Memory()],
            leases=Leases(database=database, owner=owner or f"environment-{ids.code(6)}", times=leases, clock=clock),
        )
        orders = build_orders(parts, inputs)
        supervisor = Supervisor()
        sim = await stack.enter_async_context(
            httpx.AsyncClient(base_url=simulator_url, timeout=30, trust_env=False, verify=NO_CERTIFICATES)
        )
        orders.engine.start(supervisor)
        await _first_reads(orders.engine)
        try:
            yield OrderEnvironment(
                orders=orders,
                parts=parts,
                inputs=inputs,
                account=accounts[account_ids[0]],
                supervisor=supervisor,
                sim=sim,
            )
        finally:
            assert await supervisor.stop(timeout=5.0) == []
            assert supervisor.failures == []
