"""Builds everything about orders. The service, the commands and the tests use these functions.

build_order_parts   what everything that changes orders shares; refuses the database of another deployment
build_operators     an operator's halt and decisions, on the database alone
build_orders        entry, engine, operators and queries
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.db.leases import Leases
from app.db.postgres import Database
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.orders.engine.account_engine import TradingAccount
from app.orders.engine.order_engine import OrderEngine, Replicas
from app.orders.entry.acceptance import Acceptance
from app.orders.entry.keyed_commands import KeyedCommands
from app.orders.entry.lost_requests import LostRequests
from app.orders.entry.market_data_port import InstrumentLookup
from app.orders.entry.mass_cancel import MassCancels
from app.orders.entry.position_close import PositionCloses
from app.orders.entry.requests import RequestChecker
from app.orders.entry.risk_check import RiskCheck
from app.orders.entry.service import OrderService
from app.orders.entry.withdrawal import Withdrawals
from app.orders.operators.halt_and_resume import HaltService
from app.orders.operators.recovery_report import Recoveries
from app.orders.operators.resolution import Resolutions
from app.orders.recovery.database_record import RecordStore
from app.orders.risk.limits import RiskLimits
from app.orders.state.counters import OrderCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.last_prices import LastPrices
from app.orders.state.new_tasks import TaskFactory
from app.orders.state.order_parts import OrderParts
from app.orders.state.settlement import EventWriter, Settlement
from app.orders.state.tag_store import claim_database
from app.orders.state.tags import Tagger, TagSecrets
from app.orders.state.wakeups import ChangeListener, OrderWakeups
from app.orders.views.queries import OrderQueries
from app.orders.views.trading_statuses import TradingStatuses


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderInputs:
    """What orders are given by the rest of the process."""

    engine_database: Database  # a pool of its own, so that requests cannot starve the sending of orders
    accounts: Mapping[str, TradingAccount]  # by account id
    limits: Mapping[str, RiskLimits]  # by account id
    queries: OrderQueries  # tasks, orders, batches and fills as they are stored
    instruments: InstrumentLookup  # against which requests are checked
    prices: LastPrices  # for limits on value and price, and the clients' own bounds
    wakeups: OrderWakeups  # who is woken by a feed, a login, another replica
    replicas: Replicas  # learn what was stored here for an account that they send for
    leases: Leases  # under which this process sends an account's orders
    records: Sequence[RecordStore]  # where it is remembered, outside of the database, which database it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """What an operator decides; needs no running engine."""

    halts: HaltService  # halt, resume, and the audit trail
    resolutions: Resolutions  # decisions about tasks in doubt
    recoveries: Recoveries  # what a loss of the database has left open


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Everything about orders; nothing runs before ``engine.start``."""

    service: OrderService  # place, modify, cancel, batches
    withdrawals: Withdrawals  # take a placement back
    mass_cancels: MassCancels  # cancel what matches a filter
    position_closes: PositionCloses  # close positions that match a filter
    operators: Operators  # halt, resume, decide about a doubt
    engine: OrderEngine  # sends and reconciles
    statuses: TradingStatuses  # whether each account can trade, as its owner says
    wakeups: OrderWakeups  # the engine's wake-ups, for what comes from outside


async def build_order_parts(
    database: Database,
    *,
    events: EventWriter,
    settings: EngineSettings,
    clock: Clock,
    ids: IdSource,
    secrets: TagSecrets,
) -> OrderParts:
    """Notes in the database to which deployment it belongs.

    Raises StartError when it belongs to another one, Unavailable.
    """
    tagger = Tagger(ids, secrets=secrets)
    async with database.connection() as connection:
        await claim_database(connection, tagger.deployment)
    return OrderParts(
        database=database,
        settlement=Settlement(events, counters=OrderCounters()),
        settings=settings,
        clock=clock,
        ids=ids,
        tagger=tagger,
        tasks=TaskFactory(settings=settings, clock=clock, ids=ids, tagger=tagger),
    )


def build_operators(parts: OrderParts, *, listener: ChangeListener) -> Operators:
    """``listener`` learns of which accounts an operator has changed orders."""
    return Operators(
        halts=HaltService(parts, listener=listener),
        resolutions=Resolutions(parts, listener=listener),
        recoveries=Recoveries(parts, listener=listener),
    )


def build_orders(parts: OrderParts, inputs: OrderInputs) -> Orders:
    """``parts`` are those of requests: their database is the API's."""
    engine = OrderEngine(
        replace(parts, database=inputs.engine_database),
        accounts=inputs.accounts.values(),
        wakeups=inputs.wakeups,
        leases=inputs.leases,
        replicas=inputs.replicas,
        prices=inputs.prices,
        records=inputs.records,
    )
    acceptance = build_acceptance(parts, inputs, engine=engine)
    commands = KeyedCommands(parts.database, acceptance=acceptance)
    return Orders(
        service=_build_service(parts, inputs, acceptance=acceptance, engine=engine),
        withdrawals=Withdrawals(parts, listener=engine),
        mass_cancels=MassCancels(parts, commands=commands, engine=engine),
        position_closes=PositionCloses(
            parts, commands=commands, risk_check=_build_risk_check(parts, inputs, engine=engine), engine=engine
        ),
        operators=build_operators(parts, listener=engine),
        engine=engine,
        statuses=TradingStatuses(
            parts.database,
            accounts=inputs.accounts,
            clock=parts.clock,
            replica_live_s=parts.settings.replica_live_s,
        ),
        wakeups=inputs.wakeups,
    )


def _build_service(
    parts: OrderParts, inputs: OrderInputs, *, acceptance: Acceptance, engine: OrderEngine
) -> OrderService:
    return OrderService(
        acceptance=acceptance,
        engine=engine,
        queries=inputs.queries,
        checker=RequestChecker(inputs.instruments, clock=parts.clock),
        tasks=parts.tasks,
        settings=parts.settings,
        ids=parts.ids,
    )


def build_acceptance(parts: OrderParts, inputs: OrderInputs, *, engine: OrderEngine) -> Acceptance:
    """What makes a request durable and waits for its end."""
    return Acceptance(
        database=parts.database,
        engine=engine,
        queries=inputs.queries,
        risk_check=_build_risk_check(parts, inputs, engine=engine),
        clock=parts.clock,
        lost=LostRequests(parts, account_ids=list(inputs.accounts)),
    )


def _build_risk_check(parts: OrderParts, inputs: OrderInputs, *, engine: OrderEngine) -> RiskCheck:
    return RiskCheck(parts, limits=inputs.limits, prices=inputs.prices, instruments=inputs.instruments, brokers=engine)
