"""An operator beside a desk: the deeds of `app.orders.operations` on the desk's database."""

from __future__ import annotations

from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.orders.entry.withdrawal import Withdrawals
from app.orders.operators.halt_and_resume import HaltService
from app.orders.operators.resolution import Resolutions
from app.orders.state.audit import Actor
from app.orders.state.counters import OrderCounters
from app.orders.state.settlement import Settlement
from tests.desk import Desk, TestEvents, task_factory

OPERATOR = Actor(principal="operator", request_id="req-1")


def operations_of(desk: Desk) -> HaltService:
    clock = SystemClock()
    return HaltService(
        database=desk.database,
        events=TestEvents(),
        tasks=task_factory(desk.settings),
        clock=clock,
        ids=IdSource(clock),
        wake=desk.engine.changed,
    )


def resolutions_of(desk: Desk) -> Resolutions:
    clock = SystemClock()
    ids = IdSource(clock)
    return Resolutions(
        database=desk.database,
        settlement=Settlement(TestEvents(), counters=OrderCounters()),
        tasks=task_factory(desk.settings),
        clock=clock,
        ids=ids,
        wake=desk.engine.changed,
    )


def withdrawals_of(desk: Desk) -> Withdrawals:
    clock = SystemClock()
    return Withdrawals(
        database=desk.database,
        settlement=Settlement(TestEvents(), counters=OrderCounters()),
        clock=clock,
        tasks=task_factory(desk.settings),
        wake=desk.engine.changed,
    )
