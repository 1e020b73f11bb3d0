"""Tasks before they are stored, and the factory that makes them for clients, batches and the service itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from app.broker.orders import Operation, OrderChanges, OrderRequest
from app.kit.clock import Clock, today
from app.kit.ids import IdSource
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.model import KnownOrder, OnFilled, Purpose, Task, TaskError, TaskStatus
from app.orders.state.order_terms import OrderTerms
from app.orders.state.tags import Tagger, TagOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task as it is first stored. The fields are those of ``Task``, if not said otherwise."""

    task_id: UUID  # ordered by the time of acceptance
    account_id: str  # whose order it is
    operation: Operation  # what the broker is asked to do
    trade_date: date  # the trading day (IST) on which it is accepted
    instrument: str  # ``NSE:INFY``
    request: dict[str, Any]  # JSON-ready: the order, or the order to change or cancel
    send_by: datetime  # never sent after this, by the database's clock; counted from the request's arrival
    batch_id: UUID | None = None  # the batch that it belongs to
    leg: int | None = None  # its place in the batch, from 0
    wave: int = 0  # not in ``Task``: legs of a later wave wait for the answers to the wave before
    purpose: Purpose = "client"  # why it exists
    user_tag: str | None = None  # the client's own tag
    tag_base: str | None = None  # the tag on the wire without the attempt's digit; only placements have one
    target_order_id: str | None = None  # the order that it modifies or cancels
    reduces: bool = False  # proven to only reduce a position
    supersedes: UUID | None = None  # the task that an operator gave up, where this one repeats it
    status: TaskStatus = TaskStatus.PENDING  # another one for a task that is refused when it is stored
    error: TaskError | None = None  # why it was refused
    only_if: frozenset[str] | None = None  # stored only while ``subject`` has one of these versions
    replaces: str | None = None  # the order that must end, without filling any further, before this one is sent
    shown_before: bool | None = None  # of a modification: whether its order shows these terms already
    exit_s: float | None = None  # not in ``Task``: of the first exit of a position, the seconds until ``exit_by``
    exit_by: datetime | None = None  # of an exit that follows another one

    @property
    def subject(self) -> str | None:
        """The order that it modifies, cancels or replaces."""
        return self.target_order_id or self.replaces

    @property
    def priority(self) -> int:
        """Lower is sent first: exits with the cancels, then modifications, then orders that may open a position."""
        is_exit = self.reduces and self.operation is Operation.PLACE
        return Operation.CANCEL.priority if is_exit else self.operation.priority

    @property
    def order(self) -> OrderRequest:
        """The order to place; only for placements."""
        return OrderRequest.from_json(self.request)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch as it is first stored; fields are as in ``Batch``, ``deadline_s`` in seconds from the commit."""

    batch_id: UUID
    account_id: str
    rollback_on_failure: bool
    on_filled: OnFilled
    total_orders: int
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One order with the client's own tag, which is never sent to the broker."""

    request: OrderRequest
    user_tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaces:
    """The live order that a new one replaces, at the version that the client has seen."""

    order_id: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTarget:
    """The order at the broker that a modification or cancel is for."""

    account_id: str  # whose order it is
    order_id: str  # the broker's
    instrument: str  # ``NSE:INFY``
    transaction_type: str  # BUY or SELL
    variety: str  # which every request to the broker names
    parent_order_id: str | None = None  # the first leg, of the stop of a cover order
    terms: OrderTerms | None = None  # what a modification can change of it, where that is known
    batch_id: UUID | None = None  # of an unwanted order: the batch of the leg that has made it
    leg: int | None = None  # and the leg


def target_of(order: KnownOrder) -> OrderTarget:
    """The target of a command for this order."""
    return OrderTarget(
        account_id=order.account_id,
        order_id=order.order_id,
        instrument=order.instrument,
        transaction_type=order.transaction_type,
        variety=order.variety,
        parent_order_id=order.parent_order_id,
        terms=order.terms,
    )


def _address_of(target: OrderTarget) -> dict[str, Any]:
    """What a stored command says of its order."""
    parent = {"parent_order_id": target.parent_order_id} if target.parent_order_id else {}
    return {"order_id": target.order_id, "variety": target.variety, **parent}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLeg:
    """The place of a task in a batch."""

    batch_id: UUID
    leg: int  # from 0
    wave: int = 0  # legs of a later wave wait for the answers to the wave before


class TaskFactory:
    """Makes tasks with their ids, tags, trading day and freshness. It stores nothing."""

    def __init__(self, *, settings: EngineSettings, clock: Clock, ids: IdSource, tagger: Tagger) -> None:
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._tagger = tagger

    def place(
        self,
        line: OrderLine,
        *,
        account_id: str,
        of_batch: BatchLeg | None = None,
        arrived_at: datetime | None = None,
        origin: TagOrigin | None = None,
    ) -> NewTask:
        """The placement of a client's order, single or a leg of a batch.

        ``origin``: from what its tag is derived, None for an order without an idempotency key.
        ``arrived_at``: when its request arrived, now where it is not given; its freshness counts from then on, so that
        no stall between the arrival and the commit makes an order younger than it is.
        """
        return NewTask(
            task_id=self._ids.uuid(),
            account_id=account_id,
            operation=Operation.PLACE,
            trade_date=today(self._clock),
            instrument=line.request.instrument,
            request=line.request.to_json(),
            send_by=self._placement_send_by(line.request, arrived_at),
            batch_id=None if of_batch is None else of_batch.batch_id,
            leg=None if of_batch is None else of_batch.leg,
            wave=0 if of_batch is None else of_batch.wave,
            user_tag=line.user_tag,
            tag_base=self._tagger.fresh(origin),
        )

    def replacement(
        self,
        line: OrderLine,
        replaces: Replaces,
        target: OrderTarget,
        *,
        arrived_at: datetime | None = None,
        origin: TagOrigin | None = None,
    ) -> tuple[NewTask, NewTask]:
        """The placement of the new order, and the cancel of the one that it replaces.

        The cancel expires with the freshness of a single new order, and the placement a request's timeout later:
        the old order must not be cancelled when nothing will follow it. Where ``valid_until`` ends the placement, the
        cancel expires so much earlier, or at half the time that is left.
        """
        own = None if origin is None else origin.follow_up("replace")
        place = self.place(line, account_id=target.account_id, arrived_at=arrived_at, origin=own)
        cancel = self.cancel(target, purpose="replace", arrived_at=arrived_at)
        follows = timedelta(seconds=self._settings.send_timeout_s)
        send_by = place.send_by + follows
        if line.request.valid_until is not None and line.request.valid_until < send_by:
            send_by = line.request.valid_until
            follows = min(follows, (send_by - (arrived_at or self._clock.now())) / 2)
        only_if = frozenset({replaces.version})
        return (
            replace(place, send_by=send_by, replaces=replaces.order_id, only_if=only_if),
            replace(cancel, send_by=min(cancel.send_by, send_by - follows)),
        )

    def requeued(self, task: Task, *, origin: TagOrigin | None) -> NewTask:
        """The order of a task that an operator gave up, to be placed again under a new tag.

        ``origin``: from what its tag is derived.
        """
        line = OrderLine(request=task.order, user_tag=task.user_tag)
        again = self.place(line, account_id=task.account_id, origin=origin)
        return replace(again, request=dict(task.request), purpose="requeue", supersedes=task.task_id)

    def square_off(
        self,
        request: OrderRequest,
        *,
        account_id: str,
        of_batch: BatchLeg,
        origin: TagOrigin | None,
        after: Sequence[Task] = (),
    ) -> NewTask:
        """The opposite order that closes what a leg has filled. The caller has proven that it reduces a position.

        ``origin``: from what its tag is derived. ``after``: the exits of the leg that have ended without closing all of
        it; the new one has their deadline.
        """
        order = self.place(OrderLine(request=request), account_id=account_id, of_batch=of_batch, origin=origin)
        return replace(
            order,
            purpose="square_off",
            reduces=True,
            send_by=self._send_by(self._settings.freshness_limit_s, None),
            exit_s=None if after else self._settings.exit_s,
            exit_by=after[0].exit_by if after else None,
        )

    def exit_move(self, target: OrderTarget, changes: OrderChanges) -> NewTask:
        """A new price for a live exit. It is fresh for as long as a market order, because the price moves on."""
        task = self.modify(target, changes)
        fresh_until = self._send_by(self._settings.freshness_market_s, None)
        return replace(
            task, purpose="exit_move", reduces=True, send_by=fresh_until, batch_id=target.batch_id, leg=target.leg
        )

    def modify(
        self,
        target: OrderTarget,
        changes: OrderChanges,
        *,
        only_if: frozenset[str] | None = None,
        arrived_at: datetime | None = None,
    ) -> NewTask:
        """A modification, under the variety that the order has."""
        request = {**_address_of(target), "changes": changes.to_json()}
        task = self._command(
            Operation.MODIFY, target, request, self._send_by(self._settings.freshness_limit_s, arrived_at)
        )
        return replace(task, shown_before=target.terms is None or target.terms.show(changes), only_if=only_if)

    def cancel(
        self,
        target: OrderTarget,
        *,
        purpose: Purpose = "client",
        only_if: frozenset[str] | None = None,
        arrived_at: datetime | None = None,
    ) -> NewTask:
        """A cancel, under the variety that the order has."""
        request = _address_of(target)
        settings = self._settings
        fresh_s = settings.freshness_removal_s if purpose == "unwanted" else settings.freshness_cancel_s
        task = self._command(Operation.CANCEL, target, request, self._send_by(fresh_s, arrived_at))
        return replace(task, purpose=purpose, batch_id=target.batch_id, leg=target.leg, only_if=only_if)

    def _placement_send_by(self, request: OrderRequest, arrived_at: datetime | None) -> datetime:
        """The end of its freshness, or of the client's own ``valid_until`` where that is earlier."""
        fresh_until = self._send_by(self._settings.freshness_s(request), arrived_at)
        return fresh_until if request.valid_until is None else min(fresh_until, request.valid_until)

    def _send_by(self, fresh_s: float, arrived_at: datetime | None) -> datetime:
        return (arrived_at or self._clock.now()) + timedelta(seconds=fresh_s)

    def _command(
        self, operation: Operation, target: OrderTarget, request: dict[str, Any], send_by: datetime
    ) -> NewTask:
        return NewTask(
            task_id=self._ids.uuid(),
            account_id=target.account_id,
            operation=operation,
            trade_date=today(self._clock),
            instrument=target.instrument,
            request=request,
            send_by=send_by,
            target_order_id=target.order_id,
        )
