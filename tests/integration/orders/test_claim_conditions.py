"""Each condition of the claim statement alone, on rows that differ from a sendable task in one thing.

``test_guards.py`` shows the conditions at work in the engine. Here is a case for each of them and for its opposite, so
that none can be left out or turned around unnoticed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import Operation
from app.broker.outcomes import Sent
from app.db.postgres import Database, Tx, open_database
from app.orders.sending.claim_parameters import ClaimTerms, Priced
from app.orders.sending.claim_store import claim_next, peek
from app.orders.state.model import TaskStatus
from app.orders.state.task_store import database_now
from tests.order_rows import A_MINUTE_AGO, LATER, LONG_AGO, Row, insert, insert_batch, insert_order, insert_task, undone

TASK, OTHER, BATCH, OTHER_BATCH = (UUID(int=n) for n in (5, 6, 7, 8))
BEFORE_IT, AFTER_IT = UUID(int=4), UUID(int=9)
SBIN = {"instrument": "NSE:SBIN"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """``task`` may be claimed beside ``others``, or not."""

    claimed: bool
    task: Row = field(default_factory=dict)
    others: Sequence[Row] = ()
    orders: Sequence[Row] = ()  # rows of the order book
    batches: Mapping[UUID, Row] = field(default_factory=dict)
    halts: Mapping[str, str] = field(default_factory=dict)  # mode by scope
    terms: Row = field(default_factory=dict)
    recoveries: Mapping[str, Row] = field(default_factory=dict)  # by account


def yes(**changes: Any) -> Case:
    return Case(claimed=True, **changes)


def no(**changes: Any) -> Case:
    return Case(claimed=False, **changes)


GUARD = {"lease_name": "l", "lease_owner": "me", "lease_term": 1, "lease_generation": 0}
CANCEL = {"operation": "cancel", "target_order_id": "7", "tag_base": None}
MODIFY = {**CANCEL, "operation": "modify"}
EXIT = {"reduces": True}
UNWANTED = {"unwanted_since": A_MINUTE_AGO, "unwanted_why": "withdrawal"}
EARLIER = {"created_at": LONG_AGO, "not_before": LATER}
"""A task that came first and cannot go itself at the moment."""
DOUBT = {"status": "in_doubt", "last_sent_at": timedelta(seconds=-5)}
OLD_DOUBT = {**SBIN, "status": "in_doubt", "last_sent_at": timedelta(seconds=-20)}
"""Its pause is over; it counts where doubts are counted."""

SINGLE: dict[str, Case] = {
    "a task that is waiting": yes(),
    "one that is tried again": yes(task={"status": "retrying"}),
    "one that is held": no(task={"status": "held"}),
    "one that is being sent": no(task={"status": "running"}),
    "one of another account": no(task={"account_id": "other"}),
    "no place in flight": no(terms={"operations": [Operation.CANCEL]}),
    "a pause that is not over": no(task={"not_before": LATER}),
    "no longer fresh": no(task={"send_by": timedelta(seconds=-1)}),
    "its price is awaited": no(terms={"waiting_for_price": [TASK]}),
    "another one's price is awaited": yes(terms={"waiting_for_price": [OTHER]}),
    "eight attempts": yes(task={"attempts": 8}),
    "nine attempts": no(task={"attempts": 9}),
    "nine attempts of a cancel": yes(task={**CANCEL, "attempts": 9}),
    "unwanted": no(task=UNWANTED),
    "another term": no(terms={"guard": {**GUARD, "lease_term": 2}}),
    "a database that has forgotten a claim": no(terms={"guard": {**GUARD, "lease_generation": 1}}),
    "older than what is known": no(terms={"known_since": datetime.max.replace(tzinfo=UTC)}),
    "a cancel older than what is known": yes(task=CANCEL, terms={"known_since": datetime.max.replace(tzinfo=UTC)}),
}

RECOVERING: dict[str, Case] = {
    "a placement": no(recoveries={"primary": {}}),
    "an exit": no(recoveries={"primary": {}}, task=EXIT),
    "a modification": no(recoveries={"primary": {}}, task=MODIFY),
    "a cancel": yes(recoveries={"primary": {}}, task=CANCEL),
    "another account": yes(recoveries={"other": {}}),
    "it is over": yes(recoveries={"primary": {"ended_at": LONG_AGO}}),
}

HALTS: dict[str, Case] = {
    "halted": no(halts={"primary": "halt"}),
    "halted, an exit": no(halts={"primary": "halt"}, task=EXIT),
    "halted, a modification": no(halts={"primary": "halt"}, task=MODIFY),
    "halted, a cancel": yes(halts={"primary": "halt"}, task=CANCEL),
    "all halted": no(halts={"*": "halt"}),
    "another account halted": yes(halts={"other": "halt"}),
    "only reductions": no(halts={"primary": "reduce_only"}),
    "only reductions, an exit": yes(halts={"primary": "reduce_only"}, task=EXIT),
    "only reductions, and all halted": no(halts={"primary": "reduce_only", "*": "halt"}, task=EXIT),
}

ONE, TWO = {"halt_doubts": 1}, {"halt_doubts": 2}
MANY_DOUBTS: dict[str, Case] = {
    "as many doubts as halt": no(others=[OLD_DOUBT], terms=ONE),
    "fewer": yes(others=[OLD_DOUBT], terms=TWO),
    "an exit": yes(others=[OLD_DOUBT], terms=ONE, task=EXIT),
    "a cancel": yes(others=[OLD_DOUBT], terms=ONE, task=CANCEL),
    "a modification": yes(others=[OLD_DOUBT], terms=ONE, task=MODIFY),
    "of another account": yes(others=[{**OLD_DOUBT, "account_id": "other"}], terms=ONE),
    "of a modification": yes(others=[{**OLD_DOUBT, **MODIFY, **SBIN}], terms=ONE),
    "one that is sent": yes(others=[{**OLD_DOUBT, "status": "running"}], terms=ONE),
    "one that is too old": no(others=[{**OLD_DOUBT, "last_sent_at": timedelta(seconds=-40)}], terms=TWO),
}

A_DOUBT: dict[str, Case] = {
    "on the instrument": no(others=[DOUBT]),
    "an exit beside it": yes(others=[DOUBT], task=EXIT),
    "a cancel beside it": yes(others=[DOUBT], task=CANCEL),
    "its pause is over": yes(others=[{**DOUBT, "last_sent_at": timedelta(seconds=-16)}]),
    "of another account": yes(others=[{**DOUBT, "account_id": "other"}]),
    "of a cancel": yes(others=[{**DOUBT, **CANCEL}]),
    "on another instrument": yes(others=[{**DOUBT, **SBIN}]),
    "in the same batch": no(
        others=[{**DOUBT, **SBIN, "batch_id": BATCH, "leg": 0}],
        task={"batch_id": BATCH, "leg": 1},
        batches={BATCH: {}},
    ),
    "in another batch": yes(
        others=[{**DOUBT, **SBIN, "batch_id": OTHER_BATCH, "leg": 0}],
        task={"batch_id": BATCH, "leg": 1},
        batches={BATCH: {}, OTHER_BATCH: {}},
    ),
}

TOGETHER = {**EARLIER, "created_at": A_MINUTE_AGO}
"""Stored in the same moment as the task."""
QUEUE: dict[str, Case] = {
    "behind an earlier one": no(others=[EARLIER]),
    "behind one that is tried again": no(others=[{**EARLIER, "status": "retrying"}]),
    "behind one that is sent": no(others=[{"status": "running", "created_at": LATER}]),
    "beside one that is held": yes(others=[{**EARLIER, "status": "held"}]),
    "behind one that is no longer fresh": yes(others=[{**EARLIER, "send_by": timedelta(seconds=-1)}]),
    "behind one that is unwanted": yes(others=[{**EARLIER, **UNWANTED}]),
    "behind one without a tag left": yes(others=[{**EARLIER, "attempts": 9}]),
    "before a later one": yes(others=[{"created_at": timedelta(seconds=-1), "not_before": LATER}]),
    "beside another account's": yes(others=[{**EARLIER, "account_id": "other"}]),
    "beside one that another account sends": yes(others=[{"status": "running", "account_id": "other"}]),
    "beside another instrument's": yes(others=[{**EARLIER, **SBIN}]),
    "beside one that is sent on another instrument": yes(others=[{**SBIN, "status": "running"}]),
    "beside a cancel that is sent": yes(others=[{**CANCEL, "status": "running"}]),
    "beside a replacement": yes(others=[{**EARLIER, "replaces": "1", "replaces_filled": 0}]),
    "an exit before an entry": yes(others=[EARLIER], task=EXIT),
    "an exit behind an exit": no(others=[{**EARLIER, **EXIT}], task=EXIT),
    "an entry behind an exit": no(others=[{**EARLIER, **EXIT}]),
    "of two of one moment the lower id": no(others=[{**TOGETHER, "task_id": BEFORE_IT}]),
    "the higher id": yes(others=[{**TOGETHER, "task_id": AFTER_IT}]),
    "the lower wave": no(others=[{**TOGETHER, "task_id": AFTER_IT, "wave": 0}], task={"wave": 1}),
    "the lower leg": no(others=[{**TOGETHER, "task_id": AFTER_IT, "leg": 0}], task={"leg": 1}),
    "the higher leg": yes(others=[{**TOGETHER, "task_id": BEFORE_IT, "leg": 2}], task={"leg": 1}),
}

LEG = {"batch_id": BATCH, "wave": 1, "leg": 1}
FIRST_LEG = {**SBIN, "batch_id": BATCH, "wave": 0, "leg": 0}
SAME_WAVE = {**FIRST_LEG, "wave": 1}
IN_BATCH: Any = {"task": LEG, "batches": {BATCH: {}, OTHER_BATCH: {}}}
KEEP: Any = {"task": LEG, "batches": {BATCH: {"rollback_on_failure": False}}}
BATCHES: dict[str, Case] = {
    "alone": yes(**IN_BATCH),
    "the wave before is answered": yes(others=[{**FIRST_LEG, "status": "completed"}], **IN_BATCH),
    "the wave before is being sent": no(others=[{**FIRST_LEG, "status": "running"}], **IN_BATCH),
    "the wave before is held": no(others=[{**FIRST_LEG, "status": "held"}], **IN_BATCH),
    "the wave before of another batch": yes(
        others=[{**FIRST_LEG, "status": "running", "batch_id": OTHER_BATCH}], **IN_BATCH
    ),
    "the same wave": yes(others=[{**SAME_WAVE, "status": "running"}], **IN_BATCH),
    "a cancel of the wave before": yes(others=[{**FIRST_LEG, **CANCEL, **SBIN, "status": "running"}], **IN_BATCH),
    "a leg has failed": no(others=[{**FIRST_LEG, "status": "failed"}], **IN_BATCH),
    "a leg has expired": no(others=[{**FIRST_LEG, "status": "expired"}], **IN_BATCH),
    "a leg of another batch has failed": yes(
        others=[{**FIRST_LEG, "status": "failed", "batch_id": OTHER_BATCH}], **IN_BATCH
    ),
    "a leg has failed, without rollback": yes(others=[{**FIRST_LEG, "status": "failed"}], **KEEP),
    "a cancel has failed": yes(others=[{**FIRST_LEG, **CANCEL, **SBIN, "status": "failed"}], **IN_BATCH),
    "a square-off has failed": yes(others=[{**FIRST_LEG, "status": "failed", "purpose": "square_off"}], **IN_BATCH),
    "a square-off after a leg has failed": yes(
        others=[{**FIRST_LEG, "status": "failed"}], **{**IN_BATCH, "task": {**LEG, "purpose": "square_off"}}
    ),
    "the batch is taken back": no(**{**IN_BATCH, "batches": {BATCH: {"status": "compensating"}}}),
    "the batch is taken back, without rollback": yes(
        **{**KEEP, "batches": {BATCH: {"status": "compensating", "rollback_on_failure": False}}}
    ),
}

COMMANDS: dict[str, Case] = {
    "a cancel": yes(task=CANCEL),
    "beside one of another order": yes(task=CANCEL, others=[{**MODIFY, "status": "running", "target_order_id": "8"}]),
    "beside one of another account": yes(task=CANCEL, others=[{**MODIFY, "status": "running", "account_id": "other"}]),
    "while another one is sent": no(task=CANCEL, others=[{**MODIFY, "status": "running"}]),
    "beside one that waits": yes(task=CANCEL, others=[{**MODIFY, "not_before": LATER}]),
    "a cancel beside a modification in doubt": yes(task=CANCEL, others=[{**MODIFY, **DOUBT}]),
    "a modification beside one in doubt": no(task=MODIFY, others=[{**MODIFY, **DOUBT}]),
    "a modification beside a cancel in doubt": yes(task=MODIFY, others=[{**CANCEL, **DOUBT}]),
    "an order is sent on its instrument": yes(task=CANCEL, others=[{"status": "running"}]),
}

REPLACING = {**CANCEL, "purpose": "replace", "priority": 1}
FOLLOWS = {"replaces": "7", "replaces_filled": 0, "priority": 5}
READ: Any = {"terms": {"book_read_at": datetime.max.replace(tzinfo=UTC)}}
REPLACED: dict[str, Case] = {
    "the cancel, while the new order waits": yes(task=REPLACING, others=[FOLLOWS], **READ),
    "the new order is held": yes(task=REPLACING, others=[{**FOLLOWS, "status": "held"}], **READ),
    "no new order": no(task=REPLACING, **READ),
    "a new order of another account": no(task=REPLACING, others=[{**FOLLOWS, "account_id": "other"}], **READ),
    "a new order for another one": no(task=REPLACING, others=[{**FOLLOWS, "replaces": "8"}], **READ),
    "the new order has ended": no(task=REPLACING, others=[{**FOLLOWS, "status": "expired"}], **READ),
    "the new order is unwanted": no(task=REPLACING, others=[{**FOLLOWS, **UNWANTED}], **READ),
    "the book was not read since": no(task=REPLACING, others=[FOLLOWS]),
    "no order may be placed": no(task=REPLACING, others=[FOLLOWS], terms={**READ["terms"], "places_pass": False}),
    "a doubt on the instrument": no(task=REPLACING, others=[FOLLOWS, {**DOUBT, "task_id": AFTER_IT}], **READ),
    "many doubts": no(
        task=REPLACING, others=[FOLLOWS, {**OLD_DOUBT, "task_id": AFTER_IT}], terms={**READ["terms"], **ONE}
    ),
    "a halt": no(task=REPLACING, others=[FOLLOWS], halts={"primary": "halt"}, **READ),
}

GONE = {"order_id": "7", "state": "cancelled", "filled_quantity": 0}
NEW = {"replaces": "7", "replaces_filled": 0}
REPLACEMENTS: dict[str, Case] = {
    "the old order is cancelled": yes(task=NEW, orders=[GONE]),
    "the old order was rejected": yes(task=NEW, orders=[{**GONE, "state": "rejected"}]),
    "the old order lives": no(task=NEW, orders=[{**GONE, "state": "open"}]),
    "the old order has filled": no(task=NEW, orders=[{**GONE, "state": "completed"}]),
    "the old order is unknown": no(task=NEW),
    "it filled more than was seen": no(task=NEW, orders=[{**GONE, "filled_quantity": 1}]),
    "it filled what was seen": yes(task={**NEW, "replaces_filled": 1}, orders=[{**GONE, "filled_quantity": 1}]),
    "another order is cancelled": no(task=NEW, orders=[{**GONE, "order_id": "8"}]),
    "another account's order": no(task=NEW, orders=[{**GONE, "account_id": "other"}]),
    "of two days the later one": no(
        task=NEW, orders=[{**GONE, "trade_date": timedelta(days=-1)}, {**GONE, "state": "open"}]
    ),
    "and not the earlier one": yes(
        task=NEW, orders=[{**GONE, "trade_date": timedelta(days=-1), "state": "open"}, GONE]
    ),
}


def priced(price: int, instrument: str = "NSE:INFY") -> Row:
    return {"priced": Priced(instrument=instrument, last_price=Decimal(price))}


ABOVE, BELOW = {"request": {"not_above": "100"}}, {"request": {"not_below": "100"}}
PRICES: dict[str, Case] = {
    "not above, without a price": no(task=ABOVE),
    "not above, at the price": yes(task=ABOVE, terms=priced(100)),
    "not above, a step higher": no(task=ABOVE, terms=priced(101)),
    "not below, at the price": yes(task=BELOW, terms=priced(100)),
    "not below, a step lower": no(task=BELOW, terms=priced(99)),
    "the price of another instrument": no(task=ABOVE, terms=priced(100, "NSE:SBIN")),
    "no bounds": yes(terms=priced(1, "NSE:SBIN")),
}

TABLES = {
    "single": SINGLE,
    "recovering": RECOVERING,
    "halts": HALTS,
    "many doubts": MANY_DOUBTS,
    "a doubt": A_DOUBT,
    "queue": QUEUE,
    "batches": BATCHES,
    "commands": COMMANDS,
    "replaced": REPLACED,
    "replacements": REPLACEMENTS,
    "prices": PRICES,
}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, name="claims", min_size=1, max_size=2)
    async with opened.connection() as connection:
        await connection.execute(
            "INSERT INTO lease (name, owner, term, expires_at) VALUES ('l', 'me', 1, now() + interval '1 hour')"
        )
    yield opened
    await opened.close()


@pytest.mark.parametrize("cases", TABLES.values(), ids=TABLES.keys())
async def test_each_condition_of_the_claim(database: Database, cases: Mapping[str, Case]) -> None:
    """Every case of a table on rows of its own; a peek sees the same, but for the price bounds."""
    wrong = []
    for name, case in cases.items():
        claimed, peeked = await outcome_of(database, case)
        if claimed is not case.claimed or (cases is not PRICES and peeked is not case.claimed):
            wrong.append((name, claimed, peeked))
    assert wrong == []


async def outcome_of(database: Database, case: Case) -> tuple[bool, bool]:
    """Whether the task of the case is claimed, and whether it is what a peek shows."""
    async with undone(database) as tx:
        await store(tx, case)
        shown = await peek(tx, "primary", terms_of(case))
        task = await claim_next(tx, "primary", terms_of(case), claim_s=10.0)
    return task is not None and task.task_id == TASK, shown is not None and shown.task_id == TASK


def terms_of(case: Case) -> ClaimTerms:
    usual: dict[str, Any] = {
        "guard": GUARD,
        "owner": "me",
        "block_s": 15.0,
        "known_since": None,
        "book_read_at": None,
        "operations": list(Operation),
        "places_pass": True,
        "halt_doubts": 5,
        "halt_doubt_age_s": 30.0,
    }
    return ClaimTerms(**{**usual, **case.terms})


async def store(tx: Tx, case: Case) -> None:
    for batch_id, changes in case.batches.items():
        await insert_batch(tx, {"batch_id": batch_id, **changes})
    for scope, mode in case.halts.items():
        await insert(tx, "kill_switch", {"scope": scope, "mode": mode, "reason": "test", "set_by": "test"})
    for account_id, changes in case.recoveries.items():
        await insert(tx, "account_recovery", {"account_id": account_id, "sign": "", "quiet_from": LATER, **changes})
    await insert_task(tx, {"task_id": TASK, **case.task})
    for other in case.others:
        await insert_task(tx, {"task_id": OTHER, **other})
    for order in case.orders:
        await insert_order(tx, order)


FIRST: dict[str, tuple[Row, Row]] = {
    "the more urgent": ({"priority": 1}, {"created_at": LONG_AGO}),
    "the earlier": ({"created_at": LONG_AGO, "wave": 1, "leg": 2}, {}),
    "the lower wave": ({"leg": 2}, {"wave": 1, "leg": 1}),
    "the lower leg": ({"leg": 1}, {"leg": 2}),
}


@pytest.mark.parametrize(("first", "second"), FIRST.values(), ids=FIRST.keys())
async def test_of_two_tasks_the_first_is_claimed_first(database: Database, first: Row, second: Row) -> None:
    """By priority, then by time, then by wave and leg; their ids say nothing."""
    for task_id, other in ((TASK, AFTER_IT), (TASK, BEFORE_IT)):
        case = Case(claimed=True, task=first, others=[{**SBIN, "task_id": other, **second}])
        assert (task_id, *await outcome_of(database, case)) == (TASK, True, True)


async def test_a_claim_leaves_its_marks(database: Database) -> None:
    """Each column of the task, and the attempt under its own tag: an answer is compared with them."""
    before = {"fence": 3, "attempts": 1, "clean_reads": 4, "updated_at": LONG_AGO, "last_sent_at": LONG_AGO}
    case = Case(claimed=True, task=before)
    async with database.transaction() as tx:
        await store(tx, case)
        began_at = await database_now(tx)
        task = await claim_next(tx, "primary", terms_of(case), claim_s=600.0)
        cursor = await tx.execute("SELECT claimed_by, claimed_until, clean_reads FROM order_task")
        claimed_by, claimed_until, clean_reads = await cursor.fetchone() or ()
        attempts = await (await tx.execute("SELECT task_id, attempt, tag, fence FROM order_attempt")).fetchall()
    assert task is not None
    assert (task.status, task.fence, task.attempts, task.sent) == (TaskStatus.RUNNING, 4, 2, Sent.UNKNOWN)
    assert task.last_sent_at is not None
    assert task.last_sent_at >= began_at
    assert task.updated_at >= began_at
    assert (claimed_by, clean_reads) == ("me", 0)
    assert timedelta(seconds=600) <= claimed_until - began_at < timedelta(seconds=620)
    assert attempts == [(TASK, 2, f"SV{TASK.int:017}2", 4)]


async def test_a_task_that_another_transaction_holds_is_passed_over(database: Database) -> None:
    """Neither waited for nor claimed twice: the next one goes."""
    case = Case(claimed=True, others=[{**SBIN, "created_at": timedelta(seconds=-1)}])
    async with database.transaction() as tx:
        await store(tx, case)
    async with database.transaction() as holder:
        await holder.execute("SELECT 1 FROM order_task WHERE task_id = %s FOR UPDATE", (TASK,))
        async with database.transaction() as tx:
            task = await claim_next(tx, "primary", terms_of(case), claim_s=10.0)
    assert task is not None
    assert task.task_id == OTHER
