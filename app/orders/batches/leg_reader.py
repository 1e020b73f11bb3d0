"""Builds the legs of a batch from stored rows: its placements, their orders, and the tasks that rollback added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.broker.orders import Operation
from app.db.postgres import Tx
from app.orders.batches import batch_store
from app.orders.batches.legs import Leg
from app.orders.state import order_store
from app.orders.state.model import Batch, KnownOrder, Task


async def load_legs(tx: Tx, wanted: Sequence[Batch]) -> dict[UUID, list[Leg]]:
    """The present legs of these batches, by batch, in the order of their index."""
    tasks = await batch_store.tasks_of(tx, [batch.batch_id for batch in wanted])
    places = [task.task_id for found in tasks.values() for task in found if task.operation is Operation.PLACE]
    orders: dict[UUID, list[KnownOrder]] = {}
    for order in await order_store.by_tasks(tx, places):
        if order.task_id is not None:
            orders.setdefault(order.task_id, []).append(order)
    return {batch_id: assemble(found, orders) for batch_id, found in tasks.items()}


def assemble(tasks: Sequence[Task], orders: Mapping[UUID, Sequence[KnownOrder]]) -> list[Leg]:
    """The legs that a client asked for, from all tasks of one batch and the known orders by task."""
    return [
        _leg(task, [other for other in tasks if other.leg == task.leg], orders)
        for task in tasks
        if task.operation is Operation.PLACE and task.purpose == "client"
    ]


def _leg(task: Task, companions: Sequence[Task], orders: Mapping[UUID, Sequence[KnownOrder]]) -> Leg:
    return Leg(
        task=task,
        orders=tuple(orders.get(task.task_id, ())),
        exits=tuple(_leg(other, (), orders) for other in companions if other.purpose == "square_off"),
    )
