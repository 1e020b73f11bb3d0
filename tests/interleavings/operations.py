"""The operations that touch one account, each as one program that pauses at its steps.

Those of the account's owner (claim, settle, reconcile, saga) work in the term that both sides share, as the loops of
one process do. The others may come from any replica.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.broker.orders import Operation, OrderChanges
from app.broker.outcomes import SendOutcome
from app.kit.clock import trade_date_of
from app.orders.engine.account_loops import AccountLoops
from app.orders.entry.acceptance import Caller
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.withdrawal import Withdrawn
from app.orders.operators.halt_and_resume import HaltResult
from app.orders.operators.resolution import OperatorDecision
from app.orders.sending.sent_today_store import sent_today
from app.orders.state.audit import Actor as Operator
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.model import Resolution, Task
from app.orders.state.new_tasks import OrderLine, Replaces
from app.orders.state.task_store import database_now
from tests.interleavings.environment import Replica
from tests.interleavings.pausing import Side
from tests.interleavings.scheduler import Kind
from tests.interleavings.subjects import CLIENT_KEY, REPLACEMENT_PRICE, Item, Subject
from tests.order_requests import order

OPERATOR = Operator(principal="operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A task that was claimed and sent; its answer is not stored."""

    task: Task
    outcome: SendOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What one operation works with."""

    replica: Replica
    side: Side
    term: LeaseTerm  # of the owner when the run begins
    subject: Subject
    item: Item

    @property
    def loops(self) -> AccountLoops:
        return self.replica.loops(self.term)

    @property
    def caller(self) -> Caller:
        return Caller(principal=self.replica.account_id, idem_key=None)


async def accept(context: Context) -> Answer:
    """A client places an order; at ``PENDING`` it repeats the key of the one that is stored already."""
    caller = Caller(principal=context.replica.account_id, idem_key=CLIENT_KEY)
    return await context.replica.orders.service.place(
        OrderLine(request=order()), account_id=context.replica.account_id, caller=caller, wait_s=0.0
    )


async def claim(context: Context) -> Sent | None:
    """The owner claims what may go next, and sends it."""
    return await _claim_and_send(context.loops)


async def _claim_and_send(loops: AccountLoops) -> Sent | None:
    began_at = time.monotonic()
    task = await loops.claims.claim(Operation.PLACE, capacity=tuple(Operation))
    if task is None:
        return None
    return Sent(task=task, outcome=await loops.transmission.send(task, claim_began_at=began_at))


async def settle(context: Context) -> None:
    """The owner stores the broker's answer."""
    assert context.item.task is not None
    assert context.item.answer is not None
    await context.loops.outcomes.store(context.item.task, context.item.answer)


async def withdraw(context: Context) -> Withdrawn:
    """A client takes its order back."""
    return await context.replica.orders.withdrawals.withdraw(context.item.task_id)


async def kill(context: Context) -> HaltResult:
    """An operator halts the account and has its open orders cancelled."""
    return await context.replica.orders.operators.halts.halt(
        context.replica.account_id, mode="halt", open_orders="cancel", reason="test", by=OPERATOR
    )


async def resume(context: Context) -> bool:
    """An operator lifts the halt."""
    return await context.replica.orders.operators.halts.resume(context.replica.account_id, reason="test", by=OPERATOR)


async def reconcile(context: Context) -> None:
    """The owner reads the order book and settles what it proves."""
    await context.loops.reconciler.sweep()


async def saga(context: Context) -> None:
    """The owner takes the batches one step further."""
    await context.loops.batches.advance()
    await context.loops.exits.advance()


async def modify(context: Context) -> Answer:
    """A client modifies its order, whatever its version."""
    return await context.replica.orders.service.modify(
        str(context.item.order_id),
        OrderChanges(price=Decimal(1385)),
        account_id=context.replica.account_id,
        caller=context.caller,
        wait_s=0.0,
    )


async def replace_order(context: Context) -> Answer:
    """A client places an order in the place of the one that it has seen."""
    return await context.replica.orders.service.place(
        OrderLine(request=order(price=REPLACEMENT_PRICE)),
        account_id=context.replica.account_id,
        caller=context.caller,
        wait_s=0.0,
        replaces=Replaces(order_id=str(context.item.order_id), version=str(context.item.version)),
    )


_RESOLUTIONS: Mapping[Subject, Resolution] = {
    Subject.DOUBT: "not_placed",
    Subject.LOST: "not_placed",
    Subject.GIVEN_UP: "requeue",
}


async def resolve(context: Context) -> Mapping[str, Any]:
    """An operator decides about a doubt, wrongly where the broker has the order; what was given up is queued again."""
    decision = OperatorDecision(resolution=_RESOLUTIONS[context.subject], note="test")
    return await context.replica.orders.operators.resolutions.resolve(context.item.task_id, decision, by=OPERATOR)


async def take_over(context: Context) -> Sent | None:
    """The owner's lease ends; another process takes it, reads the book, and sends what may go."""
    replica = context.replica
    await context.side.pause("the lease ends", Kind.OTHER)
    await context.term.lease.release()
    lease = replica.lease()
    if not await lease.try_take():
        return None
    async with replica.database.connection() as connection:
        began_at = await database_now(connection)
        await sent_today(connection, replica.account_id, trade_date=trade_date_of(began_at))
    loops = replica.loops(LeaseTerm(lease=lease, began_at=began_at))
    await loops.reconciler.sweep()
    return await _claim_and_send(loops)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOperation:
    """``acts_on``: the subjects that it changes, the most telling first; it can run beside any other."""

    name: str
    run: Callable[[Context], Awaitable[Any]]
    acts_on: tuple[Subject, ...]


ALL_SUBJECTS = tuple(Subject)

OPERATIONS = {
    one.name: one
    for one in (
        AccountOperation(name="accept", run=accept, acts_on=(Subject.NEW, Subject.PENDING)),
        AccountOperation(
            name="claim",
            run=claim,
            acts_on=(Subject.PENDING, Subject.REPLACING, Subject.CANCELLING, Subject.HELD, Subject.ANSWERED_LEG),
        ),
        AccountOperation(
            name="settle",
            run=settle,
            acts_on=(Subject.RUNNING, Subject.UNSENT, Subject.LAPSED, Subject.MODIFYING, Subject.ANSWERED_LEG),
        ),
        AccountOperation(
            name="withdraw",
            run=withdraw,
            acts_on=(
                Subject.PENDING,
                Subject.RUNNING,
                Subject.LIVE,
                Subject.REPLACING,
                Subject.HELD,
                Subject.UNSENT,
                Subject.LAPSED,
                Subject.DOUBT,
                Subject.CANCELLING,
                Subject.MOVED,
                Subject.FILLED,
                Subject.GIVEN_UP,
                Subject.BATCH,
                Subject.ANSWERED_LEG,
                Subject.EXIT,
                Subject.LATE_EXIT,
            ),
        ),
        AccountOperation(name="kill", run=kill, acts_on=ALL_SUBJECTS),
        AccountOperation(name="resume", run=resume, acts_on=(Subject.HELD,)),
        AccountOperation(
            name="reconcile",
            run=reconcile,
            acts_on=(
                Subject.RUNNING,
                Subject.MOVED,
                Subject.FILLED,
                Subject.DOUBT,
                Subject.LAPSED,
                Subject.GIVEN_UP,
                Subject.MODIFYING,
                Subject.LOST,
                Subject.LIVE,
                Subject.REPLACING,
                Subject.CANCELLING,
                Subject.BATCH,
                Subject.SQUARE_OFF,
                Subject.EXIT,
                Subject.LATE_EXIT,
            ),
        ),
        AccountOperation(
            name="saga",
            run=saga,
            acts_on=(
                Subject.BATCH,
                Subject.ANSWERED_LEG,
                Subject.SQUARE_OFF,
                Subject.EXIT,
                Subject.LATE_EXIT,
            ),
        ),
        AccountOperation(
            name="modify",
            run=modify,
            acts_on=(
                Subject.LIVE,
                Subject.CANCELLING,
                Subject.REPLACING,
                Subject.MODIFYING,
                Subject.MOVED,
                Subject.FILLED,
                Subject.EXIT,
                Subject.LATE_EXIT,
            ),
        ),
        AccountOperation(
            name="replace",
            run=replace_order,
            acts_on=(
                Subject.LIVE,
                Subject.CANCELLING,
                Subject.MODIFYING,
                Subject.MOVED,
                Subject.FILLED,
                Subject.BATCH,
            ),
        ),
        AccountOperation(name="resolve", run=resolve, acts_on=(Subject.DOUBT, Subject.LOST, Subject.GIVEN_UP)),
        AccountOperation(name="takeover", run=take_over, acts_on=ALL_SUBJECTS),
    )
}
