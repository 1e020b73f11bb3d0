"""Reads of the book over real tables: around midnight an order stays one order, and an unseen end is announced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import BrokerOrder, Operation, Trade
from app.db.postgres import Database, open_database
from app.orders.batches import batch_store
from app.orders.batches.leg_reader import load_legs
from app.orders.batches.saga import decide
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.apply_book import BookApplier
from app.orders.reconciliation.day_end import DayEnd
from app.orders.state import fill_store, new_task_store, task_store
from app.orders.state.counters import ReadCounters
from app.orders.state.model import BatchStatus, TaskStatus
from app.orders.state.new_tasks import NewBatch, NewTask
from app.orders.state.order_parts import OrderParts
from app.orders.state.settlement import Settlement
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, order_parts
from tests.order_requests import order
from tests.unit.orders.builders import TAG_BASE, row
from tests.unit.orders.test_trading_days import MONDAY, TUESDAY, at

BATCH, TASK = UUID(int=9), UUID(int=1)


@dataclass(frozen=True)
class Ledger:
    """The tables of one account, to which reads of the book are applied."""

    database: Database

    @property
    def parts(self) -> OrderParts:
        return order_parts(self.database)

    @property
    def settlement(self) -> Settlement:
        return self.parts.settlement

    def anomalies(self) -> Anomalies:
        return Anomalies(ACCOUNT, self.parts)

    def applier(self) -> BookApplier:
        return BookApplier(ACCOUNT, self.parts, anomalies=self.anomalies(), read_counters=ReadCounters())

    async def place(self, *, trade_date: date, status: str = "completed") -> None:
        """The one leg of a batch, placed on that day and confirmed as order 7."""
        leg = NewTask(
            task_id=TASK, account_id=ACCOUNT, operation=Operation.PLACE, trade_date=trade_date, instrument="NSE:INFY",
            request=order().to_json(), send_by=at("6 23:00"), batch_id=BATCH, leg=0, user_tag="mine", tag_base=TAG_BASE,
        )  # fmt: skip
        batch = NewBatch(
            batch_id=BATCH, account_id=ACCOUNT, rollback_on_failure=True, on_filled="report", total_orders=1,
            deadline_s=600,
        )  # fmt: skip
        async with self.database.transaction() as tx:
            await batch_store.insert_batch(tx, batch)
            await new_task_store.insert_tasks(tx, [leg])
            await tx.execute(
                "UPDATE order_task SET status = %s, attempts = 1, order_id = '7', sent = 'yes', finished_at = now()",
                (status,),
            )

    async def read(self, *rows: BrokerOrder, now: datetime, clock_offset_s: float = 0.0) -> bool:
        async with self.database.transaction() as tx:
            await self.settlement.events.lock(tx, ACCOUNT)
            open_tasks = await task_store.unresolved(tx, ACCOUNT, since=MONDAY)
            return await self.applier().apply(
                tx,
                rows,
                changed=rows,
                open_tasks=open_tasks,
                complete=False,
                now=now,
                clock_offset_s=clock_offset_s,
            )

    async def close_days(self, *, until: date) -> bool:
        async with self.database.transaction() as tx:
            await self.settlement.events.lock(tx, ACCOUNT)
            return await DayEnd(ACCOUNT, self.settlement, anomalies=self.anomalies()).close_days(tx, until=until)

    async def rows(self, sql: str) -> list[Any]:
        async with self.database.connection() as connection:
            return await (await connection.execute(sql)).fetchall()

    async def kept(self) -> Sequence[tuple[date, str, str, UUID | None]]:
        return await self.rows("SELECT trade_date, order_id, state, task_id FROM broker_order ORDER BY 1, 2")

    async def event_types(self) -> list[str]:
        return [row[0] for row in await self.rows("SELECT type FROM event ORDER BY seq")]


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    database = await open_database(database_url, name="nights")
    yield Ledger(database)
    await database.close()


async def test_yesterdays_book_after_midnight_says_nothing_new(ledger: Ledger) -> None:
    """The broker keeps showing it until the morning: no second row, no second event, no doubled fill of the leg."""
    await ledger.place(trade_date=MONDAY)
    filled = row(status="COMPLETE", filled_quantity=10, average_price=Decimal(1400), order_timestamp=at("6 15:00"))
    assert await ledger.read(filled, now=at("6 15:00"))
    assert not await ledger.read(filled, now=at("7 00:30"))
    assert await ledger.kept() == [(MONDAY, "7", "completed", TASK)]
    assert await ledger.event_types() == ["order_completed"]
    async with ledger.database.connection() as connection:
        batch = await batch_store.load(connection, BATCH)
        assert batch is not None
        (leg,) = (await load_legs(connection, [batch]))[BATCH]
    assert leg.filled_quantity == 10


async def test_an_order_that_waits_for_the_morning_stays_one_order(ledger: Ledger) -> None:
    """An AMO of Monday evening is an order of Tuesday once Tuesday's book shows it, with its task and no new event."""
    await ledger.place(trade_date=MONDAY)
    parked = row(status="AMO REQ RECEIVED", order_timestamp=at("6 20:00"))
    await ledger.read(parked, now=at("6 20:00"))
    await ledger.read(parked, now=at("7 06:30"))
    assert await ledger.kept() == [(TUESDAY, "7", "open", TASK)]
    assert await ledger.event_types() == ["order_updated"]
    assert not await ledger.close_days(until=MONDAY)
    done = replace(parked, status="COMPLETE", filled_quantity=10, exchange_timestamp=at("7 09:15"))
    await ledger.read(done, now=at("7 09:16"))
    assert await ledger.kept() == [(TUESDAY, "7", "completed", TASK)]


async def test_an_unseen_end_raises_one_alarm(ledger: Ledger) -> None:
    """Live at the last read, not in Tuesday's book: stale, announced, alarmed, and its batch needs an operator."""
    await ledger.place(trade_date=MONDAY)
    await ledger.read(row(order_timestamp=at("6 15:00")), now=at("6 15:00"))
    assert await ledger.close_days(until=MONDAY)
    assert not await ledger.close_days(until=MONDAY)
    assert await ledger.event_types() == ["order_updated", "order_updated"]
    assert await ledger.rows("SELECT document -> 'stale', state FROM broker_order") == [(True, "open")]
    assert await ledger.rows("SELECT kind, subject FROM order_alarm") == [("end_unseen", MONDAY.isoformat())]
    async with ledger.database.connection() as connection:
        batch = await batch_store.load(connection, BATCH)
        assert batch is not None
        legs = (await load_legs(connection, [batch]))[BATCH]
    decision = decide(batch, legs, now=batch.deadline_at, doubt_timeout=SHORT_SETTINGS.doubt_timeout)
    assert decision.status is BatchStatus.NEEDS_ATTENTION
    assert decision.actions == ()


@pytest.mark.made_up_orders
async def test_an_order_that_was_confirmed_and_never_shown_is_said_too(ledger: Ledger) -> None:
    """With what was requested, and without an outcome."""
    await ledger.place(trade_date=MONDAY)
    assert await ledger.close_days(until=MONDAY)
    assert await ledger.kept() == [(MONDAY, "7", "pending", TASK)]
    assert await ledger.rows("SELECT data ->> 'tag', data -> 'stale' FROM event") == [("mine", True)]


async def test_a_stale_order_that_shows_again_is_believed(ledger: Ledger) -> None:
    """The book is stronger than our giving up."""
    await ledger.place(trade_date=MONDAY)
    await ledger.read(row(order_timestamp=at("6 15:00")), now=at("6 15:00"))
    await ledger.close_days(until=MONDAY)
    await ledger.read(row(status="CANCELLED", order_timestamp=at("6 15:00")), now=at("7 07:00"))
    assert await ledger.rows("SELECT document ? 'stale', state FROM broker_order") == [(False, "cancelled")]


async def test_an_old_id_on_a_new_order_is_a_new_order(ledger: Ledger) -> None:
    """Ids are unique within a day only."""
    await ledger.place(trade_date=MONDAY)
    await ledger.read(row(status="COMPLETE", order_timestamp=at("6 15:00")), now=at("6 15:00"))
    await ledger.read(row(tag=None, order_timestamp=at("7 09:15")), now=at("7 09:15"))
    assert await ledger.kept() == [(MONDAY, "7", "completed", TASK), (TUESDAY, "7", "open", None)]


async def test_a_placement_given_up_yesterday_that_shows_today_is_taken_back(ledger: Ledger) -> None:
    """An AMO that was not seen in the evening: late, and cancelled, in the morning too."""
    await ledger.place(trade_date=MONDAY, status="failed")
    async with ledger.database.transaction() as tx:
        await tx.execute(
            """UPDATE order_task SET order_id = NULL, last_error = '{"code": "NOT_FOUND_AT_BROKER", "message": ""}'"""
        )
    await ledger.read(row(status="OPEN", order_timestamp=at("7 09:00")), now=at("7 09:01"))
    found = await ledger.rows("SELECT operation, status, purpose FROM order_task ORDER BY created_at, operation DESC")
    assert found == [("place", TaskStatus.COMPLETED, "client"), ("cancel", TaskStatus.PENDING, "unwanted")]


@pytest.mark.parametrize(("offset_s", "status"), [(0.0, "dead_letter"), (-7.0, "completed")])
async def test_a_clock_that_runs_ahead_of_the_brokers_makes_no_dead_letters(
    ledger: Ledger, offset_s: float, status: str
) -> None:
    """The send is stamped seven seconds after the broker's own time: by its clock's offset it is the task's order."""
    await ledger.place(trade_date=MONDAY, status="in_doubt")
    sent_at = at("6 15:00")
    async with ledger.database.transaction() as tx:
        await tx.execute("UPDATE order_task SET order_id = NULL, last_sent_at = %s", (sent_at,))
    await ledger.read(row(order_timestamp=sent_at - timedelta(seconds=7)), now=at("6 15:01"), clock_offset_s=offset_s)
    assert await ledger.rows("SELECT status FROM order_task") == [(status,)]


async def test_both_sides_of_a_trade_with_oneself_are_fills(ledger: Ledger) -> None:
    """One trade number, two orders of the account: each has its fill, and reading them again adds nothing."""
    sides = [
        Trade(
            trade_id="T1", order_id=order_id, exchange="NSE", tradingsymbol="INFY", transaction_type=side,
            product="MIS", quantity=10, average_price=Decimal(1400), fill_timestamp=at("6 15:00"),
        )
        for order_id, side in (("7", "BUY"), ("8", "SELL"))
    ]  # fmt: skip
    for _ in range(2):
        async with ledger.database.transaction() as tx:
            await fill_store.insert(tx, ACCOUNT, [(MONDAY, trade) for trade in sides])
    assert await ledger.rows("SELECT order_id, quantity FROM fill ORDER BY order_id") == [("7", 10), ("8", 10)]
