"""What acceptance counts before an order is stored, each condition of its statements alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from app.db.postgres import Database, Tx, open_database
from app.orders.risk import limit_store
from app.orders.risk.halts_and_doubts_store import stops_of
from app.orders.risk.positions import PositionSide
from tests.order_rows import A_MINUTE_AGO, LONG_AGO, Row, insert, insert_order, insert_task, undone

TASK, RECENT = UUID(int=500), UUID(int=100)
"""Ids rise with time: ``RECENT`` is where the counted time begins."""
YESTERDAY = timedelta(days=-1)
ELSEWHERE = {"account_id": "other"}
SELL = {"transaction_type": "SELL"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, name="limits", min_size=1, max_size=2)
    yield opened
    await opened.close()


Count: TypeAlias = Callable[[Tx], Awaitable[int]]


@dataclass(frozen=True)
class Stored:
    """What is stored, and what is counted of it."""

    counted: int
    tasks: Sequence[Row] = ()
    orders: Sequence[Row] = ()


async def store(tx: Tx, case: Stored) -> None:
    for number, task in enumerate(case.tasks):
        await insert_task(tx, {"task_id": UUID(int=TASK.int + number), **task})
    for order in case.orders:
        await insert_order(tx, order)


async def today_of(tx: Tx) -> Any:
    (day,) = await (await tx.execute("SELECT current_date")).fetchone() or ()
    return day


OPEN_ORDERS = {
    "nothing": Stored(0),
    "a live order": Stored(1, orders=[{}]),
    "a partly filled one": Stored(1, orders=[{"state": "partially_filled"}]),
    "ended ones": Stored(
        0,
        orders=[
            {"order_id": "1", "state": "completed"},
            {"order_id": "2", "state": "cancelled"},
            {"order_id": "3", "state": "rejected"},
        ],
    ),
    "another account's": Stored(0, orders=[ELSEWHERE]),
    "yesterday's": Stored(0, orders=[{"trade_date": YESTERDAY}]),
    "a placement that waits": Stored(1, tasks=[{}]),
    "placements in each open state": Stored(
        4, tasks=[{"status": one} for one in ("held", "running", "retrying", "in_doubt")]
    ),
    "ended placements": Stored(0, tasks=[{"status": one} for one in ("failed", "cancelled", "expired")]),
    "a cancel": Stored(0, tasks=[{"operation": "cancel"}]),
    "another account's placement": Stored(0, tasks=[ELSEWHERE]),
    "placed, and not yet shown": Stored(1, tasks=[{"status": "completed"}]),
    "placed, and shown": Stored(1, tasks=[{"status": "completed"}], orders=[{"task_id": TASK}]),
    "placed, and shown in another account": Stored(
        1, tasks=[{"status": "completed"}], orders=[{"task_id": TASK, **ELSEWHERE}]
    ),
    "placed long ago": Stored(0, tasks=[{"status": "completed", "task_id": RECENT}]),
    "placed a moment later": Stored(1, tasks=[{"status": "completed", "task_id": UUID(int=RECENT.int + 1)}]),
    "a cancel that was done": Stored(0, tasks=[{"status": "completed", "operation": "cancel"}]),
    "placed in another account": Stored(0, tasks=[{"status": "completed", **ELSEWHERE}]),
}


async def miscounted(database: Database, cases: Mapping[str, Stored], count: Count) -> dict[str, int]:
    """What is counted in the cases where it is wrong."""
    wrong = {}
    for name, case in cases.items():
        async with undone(database) as tx:
            await store(tx, case)
            found = await count(tx)
        if found != case.counted:
            wrong[name] = found
    return wrong


async def test_open_orders_are_live_ones_and_those_that_may_become_so(database: Database) -> None:
    """Each once, of this account and day."""

    async def count(tx: Tx) -> int:
        day = await today_of(tx)
        return await (await limit_store.count_open_orders(tx, "primary", trade_date=day, recent=RECENT)).fetch()

    assert await miscounted(database, OPEN_ORDERS, count) == {}


FRESH = {"created_at": timedelta(seconds=-5)}
IDENTICAL = {
    "one": Stored(1, tasks=[FRESH]),
    "two": Stored(2, tasks=[FRESH, FRESH]),
    "too long ago": Stored(0, tasks=[{"created_at": timedelta(seconds=-11)}]),
    "another account's": Stored(0, tasks=[{**FRESH, **ELSEWHERE}]),
    "another instrument's": Stored(0, tasks=[{**FRESH, "instrument": "NSE:SBIN"}]),
    "a square-off": Stored(0, tasks=[{**FRESH, "purpose": "square_off"}]),
    "a cancel": Stored(0, tasks=[{**FRESH, "operation": "cancel"}]),
    "below the lowest id": Stored(0, tasks=[{**FRESH, "task_id": UUID(int=99)}]),
    "of another side": Stored(0, tasks=[{**FRESH, "request": SELL}]),
    "of another quantity": Stored(0, tasks=[{**FRESH, "request": {"quantity": 11}}]),
    "of another price": Stored(0, tasks=[{**FRESH, "request": {"price": "1400.05"}}]),
    "the same price, written otherwise": Stored(1, tasks=[{**FRESH, "request": {"price": "1400.00"}}]),
}


async def test_identical_requests_are_counted_within_their_window(database: Database) -> None:
    """By instrument, side, quantity and price."""

    async def count(tx: Tx) -> int:
        pending = await limit_store.count_identical(
            tx, "primary", instruments=["NSE:INFY"], window_s=10.0, recent=RECENT
        )
        counts = await pending.fetch()
        assert {identity[0] for identity in counts} <= {"NSE:INFY"}  # nothing else is read
        return counts.get(("NSE:INFY", "BUY", 10, "1400"), 0)

    assert await miscounted(database, IDENTICAL, count) == {}


MODIFY = {"operation": "modify", "target_order_id": "7"}
MODIFICATIONS = {
    "done": Stored(1, tasks=[{**MODIFY, "status": "completed"}]),
    "under way": Stored(2, tasks=[{**MODIFY, "status": "pending"}, {**MODIFY, "status": "in_doubt"}]),
    "failed, and perhaps counted": Stored(1, tasks=[{**MODIFY, "status": "failed", "sent": "unknown"}]),
    "refused": Stored(0, tasks=[{**MODIFY, "status": "failed", "sent": "yes"}]),
    "expired": Stored(0, tasks=[{**MODIFY, "status": "expired", "sent": "unknown"}]),
    "of another order": Stored(0, tasks=[{**MODIFY, "status": "completed", "target_order_id": "8"}]),
    "of another account": Stored(0, tasks=[{**MODIFY, "status": "completed", **ELSEWHERE}]),
    "a cancel": Stored(0, tasks=[{**MODIFY, "status": "completed", "operation": "cancel"}]),
}


async def test_modifications_count_when_the_broker_may_have_counted_them(database: Database) -> None:
    """A refusal is proof that it has not."""

    async def count(tx: Tx) -> int:
        return await (await limit_store.count_modifications(tx, "primary", order_id="7")).fetch()

    assert await miscounted(database, MODIFICATIONS, count) == {}


LIVE, ENDED = {"order_id": "7"}, {"order_id": "7", "state": "completed", "filled_quantity": 10}
JUST_NOW = timedelta(seconds=-1)
MORE = {**MODIFY, "request": {"changes": {"quantity": 15}}}
PROMISED = {
    "nothing": Stored(0),
    "orders that are being sent or in doubt": Stored(20, tasks=[{"status": "running"}, {"status": "in_doubt"}]),
    "reductions that wait": Stored(
        30, tasks=[{"status": one, "reduces": True} for one in ("pending", "held", "retrying")]
    ),
    "others that wait": Stored(0, tasks=[{}, {"status": "held"}]),
    "a cancel": Stored(0, tasks=[{"status": "running", "operation": "cancel"}]),
    "another account's": Stored(0, tasks=[{"status": "running", **ELSEWHERE}]),
    "another instrument's": Stored(0, tasks=[{"status": "running", "instrument": "NSE:SBIN"}]),
    "another product's": Stored(0, tasks=[{"status": "running", "request": {"product": "CNC"}}]),
    "the other side's": Stored(0, tasks=[{"status": "running", "request": SELL}]),
    "placed, and not yet shown": Stored(10, tasks=[{"status": "completed"}]),
    "given up, and not shown": Stored(10, tasks=[{"status": "dead_letter"}]),
    "placed yesterday": Stored(0, tasks=[{"status": "completed", "trade_date": YESTERDAY}]),
    "failed": Stored(0, tasks=[{"status": "failed"}]),
    "placed, and shown": Stored(10, tasks=[{"status": "completed"}], orders=[{"task_id": TASK}]),
    "a live order": Stored(10, orders=[LIVE]),
    "of which some has filled before the positions were read": Stored(6, orders=[{**LIVE, "filled_quantity": 4}]),
    "of which some has filled since": Stored(10, orders=[{**LIVE, "filled_quantity": 4, "updated_at": JUST_NOW}]),
    "one that ended before": Stored(0, orders=[ENDED]),
    "one that has ended since": Stored(10, orders=[{**ENDED, "updated_at": JUST_NOW}]),
    "one that was cancelled before": Stored(0, orders=[{**LIVE, "state": "cancelled"}]),
    "one that was rejected before": Stored(0, orders=[{**LIVE, "state": "rejected"}]),
    "another account's order": Stored(0, orders=[{**LIVE, **ELSEWHERE}]),
    "yesterday's order": Stored(0, orders=[{**LIVE, "trade_date": YESTERDAY}]),
    "another instrument's order": Stored(0, orders=[{**LIVE, "document": {"tradingsymbol": "SBIN"}}]),
    "another exchange's order": Stored(0, orders=[{**LIVE, "document": {"exchange": "BSE"}}]),
    "another product's order": Stored(0, orders=[{**LIVE, "document": {"product": "CNC"}}]),
    "the other side's order": Stored(0, orders=[{**LIVE, "document": SELL}]),
    "one that may be modified to more": Stored(15, orders=[LIVE], tasks=[MORE]),
    "one that may be modified to less": Stored(
        10, orders=[LIVE], tasks=[{**MODIFY, "request": {"changes": {"quantity": 5}}}]
    ),
    "one whose modification was given up in doubt": Stored(
        15, orders=[LIVE], tasks=[{**MORE, "status": "failed", "sent": "unknown"}]
    ),
    "a modification that was refused": Stored(10, orders=[LIVE], tasks=[{**MORE, "status": "failed", "sent": "yes"}]),
    "a modification that has ended": Stored(10, orders=[LIVE], tasks=[{**MORE, "status": "failed"}]),
    "a modification of another order": Stored(10, orders=[LIVE], tasks=[{**MORE, "target_order_id": "8"}]),
    "another account's modification": Stored(10, orders=[LIVE], tasks=[{**MORE, **ELSEWHERE}]),
    "a cancel with a quantity": Stored(10, orders=[LIVE], tasks=[{**MORE, "operation": "cancel"}]),
}
SIDE = PositionSide(instrument="NSE:INFY", product="MIS", transaction_type="BUY")


async def test_other_orders_may_close_this_much_of_a_position(database: Database) -> None:
    """The positions were read ten seconds ago: what has filled since is not in them."""

    async def count(tx: Tx) -> int:
        (since,) = await (await tx.execute("SELECT now() - interval '10 s'")).fetchone() or ()
        found = await limit_store.promised(
            tx, "primary", keys=[SIDE], trade_date=await today_of(tx), since=since, waiting="reductions"
        )
        return found[SIDE]

    assert await miscounted(database, PROMISED, count) == {}


async def test_a_square_off_counts_every_order_that_waits(database: Database) -> None:
    """It goes in any mode, so it leaves nothing to chance."""
    async with undone(database) as tx:
        await store(tx, Stored(30, tasks=[{}, {"status": "held"}, {"reduces": True}]))
        found = await limit_store.promised(
            tx, "primary", keys=[SIDE], trade_date=await today_of(tx), since=datetime.now(UTC), waiting="all"
        )
    assert found == {SIDE: 30}


DOUBT = {"status": "in_doubt", "last_sent_at": A_MINUTE_AGO}
RESTRICTED: dict[str, tuple[Mapping[str, str], Sequence[Row], bool]] = {
    "nothing": ({}, [], False),
    "reduce_only": ({"primary": "reduce_only"}, [], True),
    "reduce_only of all": ({"*": "reduce_only"}, [], True),
    "of another account": ({"other": "reduce_only"}, [], False),
    "a halt": ({"primary": "halt"}, [], False),
    "both": ({"primary": "reduce_only", "*": "halt"}, [], False),
    "two doubts": ({}, [DOUBT, DOUBT], True),
    "two doubts beside a halt": ({"primary": "halt"}, [DOUBT, DOUBT], False),
    "one doubt": ({}, [DOUBT], False),
    "one that is too old": ({}, [{**DOUBT, "last_sent_at": LONG_AGO}], True),
    "another account's": ({}, [{**DOUBT, **ELSEWHERE}, {**DOUBT, **ELSEWHERE}], False),
    "modifications in doubt": ({}, [{**DOUBT, **MODIFY}, {**DOUBT, **MODIFY}], False),
    "orders being sent": ({}, [{**DOUBT, "status": "running"}, {**DOUBT, "status": "running"}], False),
}


async def test_only_reductions_pass_in_that_mode_and_with_many_doubts(database: Database) -> None:
    """Two doubts, or one of ten minutes; a halt goes before both."""
    bounds: Any = {"halt_doubts": 2, "halt_doubt_age_s": 600.0}
    wrong = []
    for name, (halts, tasks, restricted) in RESTRICTED.items():
        async with undone(database) as tx:
            await store(tx, Stored(0, tasks=tasks))
            for scope, mode in halts.items():
                await insert(tx, "kill_switch", {"scope": scope, "mode": mode, "reason": "", "set_by": ""})
            only_reductions = await (await limit_store.only_reductions_pass(tx, "primary", **bounds)).fetch()
            many = (await stops_of(tx, ["primary"], **bounds))["primary"].many_doubts
        if only_reductions is not restricted or many is not (restricted if not halts else len(tasks) > 1):
            wrong.append((name, only_reductions, many))
    assert wrong == []
