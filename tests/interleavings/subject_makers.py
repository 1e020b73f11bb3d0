"""Makes subjects by the service's own functions, without pauses.

Everything is in one instrument, so that what one of them allows or forbids the others is part of each run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from app.broker.orders import Operation, OrderRequest, OrderType
from app.broker.outcomes import Accepted, NotSent, Refused, SendOutcome
from app.db.postgres import Tx
from app.kite.wire.orders import modify_form, place_form
from app.orders.batches import batch_store
from app.orders.entry import idempotency_store
from app.orders.entry.fingerprint import fingerprint_of
from app.orders.entry.idempotency import IdempotencyKey
from app.orders.risk import halt_store
from app.orders.risk.exits import exit_order, limit_exit
from app.orders.sending import claim_store
from app.orders.sending.claim_parameters import claim_terms
from app.orders.sending.outcome_rules import verdict_of
from app.orders.state import new_task_store, task_store
from app.orders.state.documents import version_of
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.model import KnownOrder, OnFilled, Task
from app.orders.state.new_tasks import BatchLeg, NewBatch, NewTask, OrderLine, Replaces, target_of
from app.orders.state.verdicts import doubtful, not_found
from tests.interleavings.environment import LAST_PRICE, SETTINGS, Environment, Replica
from tests.interleavings.exchange_gateway import USER
from tests.interleavings.subjects import CLIENT_KEY, MODIFIED, REPLACEMENT_PRICE, Item, Subject
from tests.order_requests import order

FILLED = 4
"""Of ten."""

RESTING_EXIT_PRICE = LAST_PRICE + 20
"""Of a sale: nobody buys at it."""

REFUSAL = Refused(error_type="MarginException", message="Insufficient funds.", http_status=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes subjects of one account, inside one transaction that holds the account's lock."""

    environment: Environment
    replica: Replica
    term: LeaseTerm
    tx: Tx = field(repr=False)

    async def store(self, request: OrderRequest, *, of_batch: BatchLeg | None = None) -> NewTask:
        task = self.replica.parts.tasks.place(
            OrderLine(request=request), account_id=self.replica.account_id, of_batch=of_batch
        )
        await new_task_store.insert_tasks(self.tx, [task])
        return task

    async def claim(self, kind: Operation = Operation.PLACE) -> Task:
        settings = replace(SETTINGS, block_on_doubt_s=0.0)
        terms = claim_terms(self.term, [kind], places_pass=True, settings=settings)
        task = await claim_store.claim_next(self.tx, self.replica.account_id, terms, claim_s=SETTINGS.claim_lease_s)
        assert task is not None
        return task

    def place(self, task: Task) -> SendOutcome:
        """The broker accepts it."""
        form = place_form(task.order, tag=task.tag)
        return Accepted(order_id=self.environment.exchange.place(USER, task.variety, form))

    async def settle(self, task: Task, outcome: SendOutcome) -> Task:
        await task_store.write_outcome(self.tx, task, outcome)
        verdict = verdict_of(task, outcome, now=self.replica.parts.clock.now())
        settled = await self.replica.parts.settlement.settle(self.tx, task.task_id, verdict, fence=task.fence)
        assert settled is not None
        return settled

    async def show(self, task: Task) -> KnownOrder:
        """The book shows the task's order."""
        row = next(row for row in self.environment.orders.present_book() if row.order_id == task.order_id)
        return await self.replica.parts.settlement.show(
            self.tx, row, account_id=self.replica.account_id, trade_date=task.trade_date, task=task, known=None
        )

    async def live(self, **changes: Any) -> tuple[Task, KnownOrder]:
        await self.store(order(**changes))
        task = await self.claim()
        task = await self.settle(task, self.place(task))
        return task, await self.show(task)


async def make_subjects(
    environment: Environment, replica: Replica, term: LeaseTerm, wanted: Collection[Subject]
) -> dict[Subject, Item]:
    """All of them in one account, in the order of ``_MAKERS``: nothing can be sent behind one that is being sent, or
    under a halt."""
    made: dict[Subject, Item] = {}
    async with replica.database.transaction() as tx:
        await replica.parts.settlement.lock(tx, replica.account_id)
        maker = Maker(environment=environment, replica=replica, term=term, tx=tx)
        for subject, make in _MAKERS.items():
            if subject in wanted:
                made[subject] = await make(maker)
    return made


async def _new(maker: Maker) -> Item:
    return Item()


async def _pending(maker: Maker, *, idem_key: str = CLIENT_KEY) -> Item:
    new = await maker.store(order())
    account_id = maker.replica.account_id
    key = IdempotencyKey(
        principal=account_id,
        idem_key=idem_key,
        fingerprint=fingerprint_of("place", account_id, [OrderLine(request=order())]),
        kind="task",
        resource_id=new.task_id,
    )
    await idempotency_store.insert_key(maker.tx, key)
    return Item(task=await task_store.need(maker.tx, new.task_id))


async def _held(maker: Maker) -> Item:
    item = await _pending(maker, idem_key="another key")
    account_id = maker.replica.account_id
    await halt_store.set_halt(maker.tx, scope=account_id, mode="halt", reason="before", set_by="operator")
    return item


async def _running(maker: Maker) -> Item:
    await maker.store(order())
    task = await maker.claim()
    return Item(task=task, answer=maker.place(task))


async def _unsent(maker: Maker) -> Item:
    await maker.store(order())
    return Item(task=await maker.claim(), answer=NotSent(reason="no connection"))


async def _lapsed(maker: Maker) -> Item:
    """Claimed and sent by a process that has died: one of this process would know that it has sent it."""
    item = await _running(maker)
    await maker.tx.execute(
        """UPDATE order_task SET claimed_until = clock_timestamp() - interval '1 s', claimed_by = 'a dead process'
           WHERE task_id = %s""",
        (item.task_id,),
    )
    return item


async def _live(maker: Maker) -> Item:
    task, known = await maker.live()
    return Item(task=task, order_id=known.order_id, version=version_of(known.content_hash))


async def _moved(maker: Maker) -> Item:
    item = await _live(maker)
    exchange = maker.environment.exchange
    exchange.engine.force_cancel(exchange.any_order(str(item.order_id)))
    return item


async def _filled(maker: Maker) -> Item:
    item = await _live(maker)
    exchange = maker.environment.exchange
    exchange.engine.force_fill(exchange.any_order(str(item.order_id)), FILLED)
    return item


async def _cancelling(maker: Maker) -> Item:
    task, known = await maker.live()
    await new_task_store.insert_tasks(maker.tx, [maker.replica.parts.tasks.cancel(target_of(known))])
    return Item(task=task, order_id=known.order_id, version=version_of(known.content_hash))


async def _modifying(maker: Maker) -> Item:
    _, known = await maker.live()
    await new_task_store.insert_tasks(maker.tx, [maker.replica.parts.tasks.modify(target_of(known), MODIFIED)])
    task = await maker.claim(Operation.MODIFY)
    maker.environment.exchange.modify(USER, known.variety, known.order_id, modify_form(MODIFIED))
    version = version_of(known.content_hash)
    return Item(task=task, order_id=known.order_id, version=version, answer=Accepted(order_id=known.order_id))


async def _replacing(maker: Maker) -> Item:
    """Its ``task`` is the order that waits, ``order_id`` the old one."""
    _, known = await maker.live()
    replaces = Replaces(order_id=known.order_id, version=version_of(known.content_hash))
    place, cancel = maker.replica.parts.tasks.replacement(
        OrderLine(request=order(price=REPLACEMENT_PRICE)), replaces, target_of(known)
    )
    await new_task_store.insert_tasks(maker.tx, [place, cancel])
    return Item(task=await task_store.need(maker.tx, place.task_id), order_id=known.order_id, version=replaces.version)


async def _lost(maker: Maker) -> Item:
    await maker.store(order())
    task = await maker.claim()
    verdict = doubtful("no answer", now=maker.replica.parts.clock.now())
    doubt = await maker.replica.parts.settlement.settle(maker.tx, task.task_id, verdict, fence=task.fence)
    return Item(task=doubt)


async def _doubt(maker: Maker) -> Item:
    item = await _lost(maker)
    assert item.task is not None
    placed = maker.place(item.task)
    assert isinstance(placed, Accepted)
    return replace(item, order_id=placed.order_id)


async def _given_up(maker: Maker) -> Item:
    item = await _doubt(maker)
    given_up = await maker.replica.parts.settlement.settle(maker.tx, item.task_id, not_found())
    return replace(item, task=given_up)


async def _batch_of(maker: Maker, requests: Sequence[OrderRequest], *, on_filled: OnFilled) -> tuple[Task, Task]:
    """A batch whose leg 0 the book shows, and whose leg 1 is being sent; both are given."""
    parts, account_id = maker.replica.parts, maker.replica.account_id
    batch = NewBatch(
        batch_id=parts.ids.uuid(),
        account_id=account_id,
        rollback_on_failure=True,
        on_filled=on_filled,
        total_orders=len(requests),
        deadline_s=300.0,
    )
    await batch_store.insert_batch(maker.tx, batch)
    for leg, request in enumerate(requests):
        await maker.store(request, of_batch=BatchLeg(batch_id=batch.batch_id, leg=leg))
    task = await maker.claim()
    task = await maker.settle(task, maker.place(task))
    await maker.show(task)
    return task, await maker.claim()


async def _batch(maker: Maker) -> Item:
    first, second = await _batch_of(maker, [order(), order(), order()], on_filled="report")
    await maker.settle(second, REFUSAL)
    return Item(task=first, order_id=first.order_id)


async def _answered_leg(maker: Maker) -> Item:
    first, second = await _batch_of(maker, [order(), order(), order()], on_filled="report")
    return Item(task=second, order_id=first.order_id, answer=REFUSAL)


async def _square_off(maker: Maker) -> Item:
    market = order(order_type=OrderType.MARKET, price=None, market_protection=Decimal(-1))
    first, second = await _batch_of(maker, [market, order()], on_filled="square_off")
    await maker.settle(second, REFUSAL)
    return Item(task=first, order_id=first.order_id)


async def _exit(maker: Maker) -> Item:
    leg = (await _square_off(maker)).task
    assert leg is not None
    assert leg.batch_id is not None
    bought = leg.order
    closing = exit_order((bought.exchange, bought.tradingsymbol, bought.product), bought.quantity)
    parts, account_id = maker.replica.parts, maker.replica.account_id
    exit_task = parts.tasks.square_off(
        limit_exit(closing, RESTING_EXIT_PRICE),
        account_id=account_id,
        of_batch=BatchLeg(batch_id=leg.batch_id, leg=0),
        origin=None,
    )
    await new_task_store.insert_tasks(maker.tx, [exit_task])
    task = await maker.claim()
    task = await maker.settle(task, maker.place(task))
    known = await maker.show(task)
    return Item(task=task, order_id=known.order_id, version=version_of(known.content_hash))


async def _late_exit(maker: Maker) -> Item:
    item = await _exit(maker)
    await maker.tx.execute(
        "UPDATE order_task SET exit_by = clock_timestamp() - interval '1 s' WHERE task_id = %s", (item.task_id,)
    )
    return item


_MAKERS: Mapping[Subject, Callable[[Maker], Awaitable[Item]]] = {
    Subject.NEW: _new,
    Subject.LIVE: _live,
    Subject.MOVED: _moved,
    Subject.FILLED: _filled,
    Subject.CANCELLING: _cancelling,
    Subject.MODIFYING: _modifying,
    Subject.REPLACING: _replacing,
    Subject.BATCH: _batch,
    Subject.ANSWERED_LEG: _answered_leg,
    Subject.SQUARE_OFF: _square_off,
    Subject.EXIT: _exit,
    Subject.LATE_EXIT: _late_exit,
    Subject.DOUBT: _doubt,
    Subject.LOST: _lost,
    Subject.GIVEN_UP: _given_up,
    Subject.RUNNING: _running,
    Subject.UNSENT: _unsent,
    Subject.LAPSED: _lapsed,
    Subject.PENDING: _pending,
    Subject.HELD: _held,
}
