"""Reads orders, tasks, batches and fills for the API, and the snapshot of the order stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db.postgres import Database, Tx
from app.errors import Conflict, NotFound
from app.kit.clock import Clock, today
from app.orders.batches import batch_store
from app.orders.batches.batch_documents import batch_document
from app.orders.batches.leg_reader import load_legs
from app.orders.state import fill_store, mass_cancel_store, order_store, task_store
from app.orders.state.documents import group_document, order_document, task_document, unplaced_document
from app.orders.state.mass_cancels import mass_cancel_document
from app.orders.state.model import KnownOrder, Task, TaskStatus
from app.orders.state.new_tasks import OrderTarget, target_of
from app.orders.state.order_terms import OrderTerms
from app.orders.state.page import Page
from app.orders.views import query_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """Tasks in doubt over all accounts, for health and metrics."""

    count: int
    oldest_s: float  # seconds since the send of the oldest one; 0 without any


class OrderIsAGroup(Conflict):
    """The broker made several orders of the one that is named; only each of them can be changed. Nothing was stored."""

    sent = "no"
    retryable = "no"

    def __init__(self, group: Task) -> None:
        ids = ", ".join(group.confirmed_ids)
        super().__init__(f"the broker split order {group.order_id}: name one of {ids}", code="ORDER_IS_A_GROUP")


class OrderQueries:
    """Reads of stored rows. Every method raises Unavailable when the database is away; NotFound where it says so."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def task(self, task_id: UUID) -> Task:
        """One task. Raises NotFound."""
        async with self._database.connection() as connection:
            return await task_store.need(connection, task_id)

    async def tasks(
        self, account_id: str | None, *, status: TaskStatus | None, before: UUID | None, limit: int
    ) -> Page:
        """One page of tasks, newest first; ``before`` is the cursor of the previous page."""
        async with self._database.connection() as connection:
            found = await query_store.page(connection, account_id, status=status, before=before, limit=limit + 1)
        more = len(found) > limit
        cursor = str(found[limit - 1].task_id) if more else None
        return Page(data=[task_document(task) for task in found[:limit]], next_cursor=cursor)

    async def batch_now(self, batch_id: UUID) -> tuple[Mapping[str, Any], bool]:
        """The batch as clients see it, and whether it is finished. Raises NotFound."""
        async with self._database.snapshot() as tx:
            batch = await batch_store.load(tx, batch_id)
            if batch is None:
                raise NotFound("batch", str(batch_id))
            legs = (await load_legs(tx, [batch]))[batch_id]
        return batch_document(batch, legs), not batch.status.is_open

    async def mass_cancel_now(self, mass_cancel_id: UUID) -> tuple[Mapping[str, Any], bool]:
        """The mass cancel as clients see it, and whether no wait would change it. Raises NotFound."""
        async with self._database.snapshot() as tx:
            cancel = await mass_cancel_store.load(tx, mass_cancel_id)
            if cancel is None:
                raise NotFound("mass cancel", str(mass_cancel_id))
            tasks = await task_store.by_ids(tx, cancel.account_id, cancel.task_ids)
            orders = await order_store.by_tasks(tx, cancel.task_ids)
            others = await order_store.of_days(tx, cancel.account_id, cancel.orders)
        placements = [
            (tasks[task_id], [order for order in orders if order.task_id == task_id]) for task_id in cancel.task_ids
        ]
        document = mass_cancel_document(cancel, placements, others)
        return document, document["status"] != "running"

    async def batches(self, account_id: str | None, *, before: UUID | None, limit: int) -> Page:
        """One page of batches, newest first; ``before`` is the cursor of the previous page."""
        async with self._database.snapshot() as tx:
            found = await batch_store.page(tx, account_id, before=before, limit=limit + 1)
            legs = await load_legs(tx, found[:limit])
        cursor = str(found[limit - 1].batch_id) if len(found) > limit else None
        return Page(data=[batch_document(batch, legs[batch.batch_id]) for batch in found[:limit]], next_cursor=cursor)

    async def orders(self, account_id: str, *, after: str | None, limit: int) -> Page:
        """The orders of the trading day, oldest first, then the placements without an order.

        ``after``: the cursor of the previous page.
        """
        async with self._database.snapshot() as tx:
            documents = await self.snapshot(tx, account_id)
        start = 0
        if after is not None:
            keys = [_cursor(document) for document in documents]
            start = keys.index(after) + 1 if after in keys else len(keys)
        page = documents[start : start + limit]
        more = start + limit < len(documents)
        return Page(data=page, next_cursor=_cursor(page[-1]) if more and page else None)

    async def snapshot(self, tx: Tx, account_id: str) -> list[Mapping[str, Any]]:
        """All orders of the day as one consistent list; the caller's transaction is REPEATABLE READ."""
        day = today(self._clock)
        known = await order_store.day(tx, account_id, trade_date=day)
        placed = await query_store.day(tx, account_id, trade_date=day)
        shown = {order.task_id for order in known if order.task_id is not None}
        by_id = {task.task_id: task for task in placed}
        by_id |= await task_store.by_ids(
            tx, account_id, sorted(shown - by_id.keys())
        )  # placed yesterday, and live today
        documents: list[Mapping[str, Any]] = [
            order_document(order, None if order.task_id is None else by_id.get(order.task_id)) for order in known
        ]
        documents.extend(unplaced_document(task) for task in placed if task.task_id not in shown)
        return documents

    async def order(self, order_id: str, *, account_id: str | None = None) -> Mapping[str, Any]:
        """One order by the broker's id, as the book last showed it; as accepted, when the book has not shown it yet.

        The id of a group means all of its slices together. ``account_id`` None looks in all accounts. Raises NotFound.
        """
        match await self._find(order_id, account_id=account_id):
            case KnownOrder() as known, task:
                return order_document(known, task)
            case None, Task() as task if task.is_group:
                async with self._database.connection() as connection:
                    return group_document(task, await order_store.by_tasks(connection, [task.task_id]))
            case None, Task() as task:
                return unplaced_document(task)
        raise NotFound("order", order_id)

    async def group(self, order_id: str, *, account_id: str) -> Task | None:
        """The placement of which this is the id of all slices together; None for the id of one order."""
        _, task = await self._find(order_id, account_id=account_id)
        return task if task is not None and task.is_group and task.order_id == order_id else None

    async def target(self, order_id: str, *, account_id: str | None = None) -> OrderTarget:
        """The same order as the target of a command. Raises NotFound, OrderIsAGroup."""
        match await self._find(order_id, account_id=account_id):
            case KnownOrder() as known, _:
                return target_of(known)
            case None, Task() as task if task.is_group:
                raise OrderIsAGroup(task)
            case None, Task() as task:
                return OrderTarget(
                    account_id=task.account_id,
                    order_id=order_id,
                    instrument=task.instrument,
                    transaction_type=str(task.order.transaction_type),
                    variety=task.variety,
                    terms=OrderTerms.of_request(task.order),
                )
        raise NotFound("order", order_id)

    async def _find(self, order_id: str, *, account_id: str | None) -> tuple[KnownOrder | None, Task | None]:
        async with self._database.transaction() as tx:
            if account_id is None and len(accounts := await order_store.accounts_of(tx, order_id)) > 1:
                message = f"order {order_id} is one of each of {', '.join(accounts)}: name the account_id"
                raise Conflict(message, code="ORDER_ID_AMBIGUOUS")
            known = await order_store.find(tx, order_id, account_id=account_id)
            if known is None:
                return None, await task_store.by_order_id(tx, order_id, account_id=account_id)
            ids = [] if known.task_id is None else [known.task_id]
            owner = await task_store.by_ids(tx, known.account_id, ids)
            return known, next(iter(owner.values()), None)

    async def trades(self, account_id: str) -> Sequence[Mapping[str, Any]]:
        """The fills of the trading day as documents, in the order in which they were stored."""
        async with self._database.connection() as connection:
            return await fill_store.day(connection, account_id, trade_date=today(self._clock))

    async def doubts(self) -> Doubts:
        """How many tasks are in doubt over all accounts, and for how long."""
        async with self._database.connection() as connection:
            count, oldest_s = await query_store.doubts(connection)
        return Doubts(count=count, oldest_s=oldest_s)


def _cursor(document: Mapping[str, Any]) -> str:
    return str(document["order_id"] or document["task_id"])
