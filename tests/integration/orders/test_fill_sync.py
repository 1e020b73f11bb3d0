"""What trade books prove over the night and at a day's end, and what two owners make of two of them; on real tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.broker.orders import BrokerOrder, Trade
from app.db.postgres import Database, Tx, open_database
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.day_end import DayEnd
from app.orders.reconciliation.fill_sync import FillSync
from app.orders.reconciliation.inferred_fills import as_trade
from app.orders.state import fill_store, order_store
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.fills import InferredFill
from app.orders.state.known_orders import known_order
from app.orders.state.order_parts import OrderParts
from tests.order_environment import OrderEnvironment, order_parts
from tests.unit.orders.builders import row
from tests.unit.orders.test_trading_days import MONDAY, TUESDAY, at
from tests.waiting import until

SETTINGS = EngineSettings()
NIGHT = "night"
"""An account that the environment's own reconciler leaves alone."""


def trade(trade_id: str, quantity: int, when: str, *, order_id: str = "7") -> Trade:
    """A fill at 1500, of July and IST."""
    return Trade(
        trade_id=trade_id, order_id=order_id, exchange="NSE", tradingsymbol="INFY", transaction_type="BUY",
        product="MIS", quantity=quantity, average_price=Decimal(1500), fill_timestamp=at(when),
    )  # fmt: skip


@dataclass(frozen=True)
class Account:
    """The tables of one account, to which trade books are applied."""

    environment: OrderEnvironment

    @property
    def database(self) -> Database:
        return self.environment.database

    @property
    def parts(self) -> OrderParts:
        return order_parts(self.database, settings=SETTINGS)

    @property
    def anomalies(self) -> Anomalies:
        return Anomalies(NIGHT, self.parts)

    def owner(self, *, on: Database | None = None) -> FillSync:
        parts = replace(self.parts, database=on or self.database)
        return FillSync(NIGHT, parts, gateway=self.environment.account.broker.orders, anomalies=self.anomalies)

    async def ended(self, when: str, *, day: date, placed: str | None = None, quantity: int = 10) -> BrokerOrder:
        """Order 7 is complete at 1500 since then; its row."""
        seen = row(
            status="COMPLETE", filled_quantity=quantity, average_price=Decimal(1500), order_timestamp=at(placed or when)
        )
        async with self.database.transaction() as tx:
            await order_store.upsert(tx, known_order(seen, account_id=NIGHT, trade_date=day, task_id=None))
            await tx.execute(
                """UPDATE broker_order SET first_seen_at = %(at)s, updated_at = %(at)s
                   WHERE account_id = %(account_id)s AND trade_date = %(day)s""",
                {"at": at(when), "account_id": NIGHT, "day": day},
            )
        return seen

    async def read(
        self, *trades: Trade, when: str, missing: Sequence[str] = ("7",), by: FillSync | None = None
    ) -> None:
        """A trade book of these trades, asked for at that time."""
        [[began]] = await self.rows("SELECT clock_timestamp()")
        await (by or self.owner()).apply(trades, missing=missing, read_at=at(when))
        async with self.database.connection() as connection:  # reported then, not on the machine's day
            await connection.execute("UPDATE fill SET first_seen_at = %s WHERE first_seen_at >= %s", (at(when), began))

    async def close_days(self, *, until: date) -> None:
        async with self.database.transaction() as tx:
            await self.parts.settlement.lock(tx, NIGHT)
            await DayEnd(NIGHT, self.parts.settlement, anomalies=self.anomalies).close_days(tx, until=until)

    async def rows(self, sql: str) -> list[Any]:
        async with self.database.connection() as connection:
            return await (await connection.execute(sql)).fetchall()

    async def fills(self) -> list[Any]:
        return await self.rows(
            "SELECT trade_date, quantity, document -> 'inferred' FROM fill ORDER BY trade_date, trade_id"
        )

    async def alarms(self) -> list[Any]:
        return await self.rows("SELECT kind, subject FROM order_alarm ORDER BY raised_at")


@pytest.fixture
def account(environment: OrderEnvironment) -> Account:
    return Account(environment)


@pytest.fixture
async def patient(database_url: str) -> AsyncIterator[Database]:
    """Its sessions wait for a lock as long as it is held, and hold one as long as a slow machine takes."""

    async def without_bounds(connection: Tx) -> None:
        for bound in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            await connection.execute(f"SET {bound} = 0")

    database = await open_database(database_url, name="patient", warm_up=without_bounds)
    yield database
    await database.close()


async def test_an_emptied_trade_book_proves_nothing_and_the_days_end_lists_missing_fills(account: Account) -> None:
    """Four of ten were reported on Monday, no read succeeded until the night: an alarm of the day, nothing inferred."""
    await account.ended("6 15:00", day=MONDAY)
    await account.read(trade("T1", 4, "6 15:00"), when="6 15:00")
    for when in ("7 00:30", "7 05:59", "7 06:01", "7 09:30"):
        await account.read(when=when)
    assert await account.fills() == [(MONDAY, 4, False)]
    for _ in range(2):
        await account.close_days(until=MONDAY)
    assert await account.alarms() == [("fills_missing", MONDAY.isoformat())]
    assert await account.rows("SELECT data FROM order_alarm") == [({"orders": 1, "missing": {"7": 6}},)]


async def test_a_day_whose_fills_add_up_ends_without_an_alarm(account: Account) -> None:
    """Reported by the trade book, whatever an emptied one shows afterwards; or inferred, which was an alarm already."""
    await account.ended("6 15:00", day=MONDAY)
    await account.read(trade("T1", 10, "6 15:00"), when="6 15:00")
    await account.ended("7 15:00", day=TUESDAY)
    await account.read(when="7 00:30", missing=())
    await account.read(when="7 15:05")
    assert await account.fills() == [(MONDAY, 10, False), (TUESDAY, 10, True)]
    await account.close_days(until=TUESDAY)
    assert [kind for kind, _ in await account.alarms()] == ["inferred_fill"]


async def test_yesterdays_trades_may_still_come_in_the_night(account: Account) -> None:
    """The trade book of Monday is shown until the morning: its trades take the place of what was inferred."""
    await account.ended("6 15:00", day=MONDAY)
    await account.read(when="6 15:05")
    assert await account.fills() == [(MONDAY, 10, True)]
    await account.read(when="7 00:30")  # emptied for a moment: the inferred fill stays
    assert await account.fills() == [(MONDAY, 10, True)]
    await account.read(trade("T1", 10, "6 15:00"), when="7 00:31")
    assert await account.fills() == [(MONDAY, 10, False)]


async def test_an_order_that_lived_over_the_night_has_fills_under_both_days(account: Account) -> None:
    """Four on Monday, six on Tuesday are all of its ten: nothing is inferred on Tuesday, and nothing is missing."""
    await account.read(trade("T1", 4, "6 23:50"), when="6 23:50")
    await account.ended("7 09:15", day=TUESDAY, placed="6 23:00")
    await account.read(trade("T1", 6, "7 09:15"), when="7 09:20")
    await account.read(trade("T1", 6, "7 09:15"), when="7 10:00")
    assert await account.fills() == [(MONDAY, 4, False), (TUESDAY, 6, False)]
    await account.close_days(until=TUESDAY)
    assert await account.alarms() == []


async def test_the_fills_of_yesterdays_namesake_are_not_todays(account: Account) -> None:
    """The broker's ids are unique within a day only: Monday's order 7 does not fill that of Tuesday."""
    await account.ended("6 15:00", day=MONDAY)
    await account.read(trade("T1", 10, "6 15:00"), when="6 15:00")
    await account.ended("7 10:00", day=TUESDAY)
    await account.read(when="7 10:05")
    assert await account.fills() == [(MONDAY, 10, False), (TUESDAY, 10, True)]


async def test_inferred_fills_give_way_to_real_ones_of_another_process(account: Account) -> None:
    """Also when the order book that was read before did not show the order."""
    await account.ended("6 15:00", day=MONDAY)
    await account.read(when="6 15:05")
    await account.read(trade("T1", 4, "6 15:00"), when="6 15:06", missing=())
    assert sorted(await account.fills()) == [(MONDAY, 4, False), (MONDAY, 6, True)]
    await account.read(trade("T1", 4, "6 15:00"), trade("T2", 6, "6 15:00"), when="6 15:07", missing=())
    assert await account.fills() == [(MONDAY, 4, False), (MONDAY, 6, False)]


async def test_an_owner_that_was_paused_infers_nothing_over_the_fills_of_the_next(account: Account) -> None:
    """It had read the trade book before they were in it, and applies it after they were stored."""
    paused = account.owner()
    await account.ended("6 15:00", day=MONDAY)
    await account.read(trade("T1", 10, "6 15:00"), when="6 15:06")
    await account.read(when="6 15:05", by=paused)
    assert await account.fills() == [(MONDAY, 10, False)]
    assert not paused.incomplete


@pytest.mark.parametrize("stored_first", ["real", "inferred"])
async def test_a_fill_and_the_one_that_stands_for_it_do_not_cross(
    account: Account, patient: Database, stored_first: str
) -> None:
    """Two owners store one each at the same time: the second waits for the first, and there are ten filled, not 20."""
    real = trade("T1", 10, "6 15:00")
    await account.ended("6 15:00", day=MONDAY)
    async with asyncio.TaskGroup() as group, patient.transaction() as first:
        await account.parts.settlement.lock(first, NIGHT)
        if stored_first == "real":
            await fill_store.insert(first, NIGHT, [(MONDAY, real)])
        else:
            [order] = await fill_store.with_missing_fills(first, NIGHT, since=MONDAY, until=MONDAY)
            inferred = as_trade(order, InferredFill(quantity=10, average_price=Decimal(1500)))
            await fill_store.put_inferred(first, MONDAY, inferred, account_id=NIGHT)
        shown = [] if stored_first == "real" else [real]
        second = group.create_task(account.read(*shown, when="6 15:05", by=account.owner(on=patient)))
        await held_up_or_done(account, second, by=first)
    assert await account.fills() == [(MONDAY, 10, False)]


async def held_up_or_done(account: Account, task: asyncio.Task[None], *, by: Tx) -> None:
    """Until another transaction waits for the end of this one, or the task has not waited for it."""

    async def is_so() -> bool:
        waiting = await account.rows("SELECT pg_blocking_pids(pid) FROM pg_stat_activity")
        return task.done() or any(by.info.backend_pid in blocking for [blocking] in waiting)

    await until(is_so)


async def test_the_trade_book_is_read_only_every_so_often_beside_inferred_fills(account: Account) -> None:
    """Reads of the order book in between cost no read of the trade book."""
    seen = await account.ended("6 15:00", day=MONDAY)
    await account.environment.fault("shrink_trades", method="GET", path="/trades", times=-1)
    owner, asked = account.owner(), []
    for later_s in (0, 1, SETTINGS.audit_s - 1, SETTINGS.audit_s, SETTINGS.audit_s + 1):
        await owner.update([seen], now=at("6 15:05") + timedelta(seconds=later_s))
        [fault] = (await account.environment.sim.get("/_sim/faults")).json()
        asked.append(fault["struck"])
    assert asked == [1, 1, 1, 2, 2]
    assert await account.fills() == [(MONDAY, 10, True)]


async def test_fills_of_an_earlier_book_need_not_be_in_this_one(account: Account) -> None:
    """A row without a time came after midnight: it counts as Tuesday's, and Tuesday's book is whole without it."""
    await account.read(
        replace(trade("T1", 4, "6 15:00", order_id="6"), fill_timestamp=None), when="7 00:30", missing=()
    )
    await account.ended("7 10:00", day=TUESDAY)
    await account.read(when="7 10:05")
    assert sorted(await account.fills()) == [(TUESDAY, 4, False), (TUESDAY, 10, True)]


@pytest.mark.parametrize(("ended", "day"), [("7 10:00", TUESDAY), ("8 10:00", TUESDAY + timedelta(days=1))])
async def test_the_fills_of_a_later_order_under_the_same_id_do_not_hide_missing_ones(
    account: Account, ended: str, day: date
) -> None:
    """Monday's order 7 lacks six of its ten; that one placed on Tuesday has all of its own says nothing of them."""
    await account.ended("6 15:00", day=MONDAY)
    await account.read(trade("T1", 4, "6 15:00"), when="6 15:00")
    await account.ended(ended, day=day, placed="7 10:00")
    await account.read(trade("T1", 10, "7 10:00"), when=ended)
    await account.close_days(until=MONDAY)
    assert await account.rows("SELECT subject, data -> 'missing' FROM order_alarm") == [(MONDAY.isoformat(), {"7": 6})]


async def test_a_fill_reported_after_midnight_without_its_time_is_of_the_order_that_ended(account: Account) -> None:
    """It counts as Tuesday's, and there is no other order of that id: what was inferred gives way to it."""
    await account.ended("6 15:00", day=MONDAY)
    await account.read(when="6 15:05")
    await account.read(replace(trade("T1", 10, "6 15:00"), fill_timestamp=None), when="7 00:31")
    assert await account.fills() == [(TUESDAY, 10, False)]
    await account.close_days(until=MONDAY)
    assert [kind for kind, _ in await account.alarms()] == ["inferred_fill"]
