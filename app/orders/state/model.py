"""What the order engine works on: tasks, the broker's orders as last shown, batches. Values only.

A task is one request to the broker (place, modify, cancel), stored before anything is sent. An order is a row that the
broker's order book showed. A batch is up to twenty placements that succeed or are undone together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from app.broker.orders import Operation, OrderChanges, OrderRequest
from app.broker.outcomes import ChildOrder, Sent
from app.orders.state.order_terms import OrderTerms


class TaskStatus(StrEnum):
    """The statuses of a task; ``lifecycle`` has the transitions."""

    PENDING = "pending"  # waits for the sender
    HELD = "held"  # must not be sent now; ``last_error`` says why
    RUNNING = "running"  # claimed by a sender, which may be sending it
    RETRYING = "retrying"  # proven without effect, waits to be sent again
    IN_DOUBT = "in_doubt"  # the broker may or may not have received it; the order book decides
    COMPLETED = "completed"  # the broker confirmed it, or the order book shows it
    FAILED = "failed"  # refused, or (provisionally) never shown by the order book
    EXPIRED = "expired"  # not sent in time
    CANCELLED = "cancelled"  # withdrawn before it was sent
    DEAD_LETTER = "dead_letter"  # only an operator can decide what became of it


UNSENT = frozenset({TaskStatus.PENDING, TaskStatus.HELD, TaskStatus.RETRYING})
"""No byte of the next attempt has left: the task can be withdrawn or expire without a request to the broker."""

FINISHED = frozenset(
    {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.EXPIRED, TaskStatus.CANCELLED, TaskStatus.DEAD_LETTER}
)

ENDED_WITHOUT_ORDER = frozenset({TaskStatus.FAILED, TaskStatus.EXPIRED, TaskStatus.CANCELLED})
"""Ends without an order at the broker, as far as is known; the order book may still show one (``Event.LATE``)."""

NOT_FOUND_AT_BROKER = "NOT_FOUND_AT_BROKER"
"""The error code of the provisional end: the order book never showed the order, but may until the day is over."""

NOTHING_TO_REDUCE = "NOTHING_TO_REDUCE"
"""The error code of an exit that was not placed: the position is gone, or other orders are closing it."""


class OrderState(StrEnum):
    """The states of an order; ``order_state.state_of`` derives them from Kite's statuses."""

    PENDING = "pending"  # at the broker, not yet accepted by the exchange
    OPEN = "open"
    TRIGGER_PENDING = "trigger_pending"  # a stop order whose trigger price was not reached
    PARTIALLY_FILLED = "partially_filled"
    COMPLETED = "completed"  # filled
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def is_terminal(self) -> bool:
        """Whether the order has ended."""
        return self in {OrderState.COMPLETED, OrderState.CANCELLED, OrderState.REJECTED}


class BatchStatus(StrEnum):
    """The statuses of a batch; ``batches.saga`` decides them."""

    RUNNING = "running"  # legs are being sent
    COMPLETED = "completed"  # every leg was placed
    COMPENSATING = "compensating"  # legs are being withdrawn, cancelled or squared off
    ROLLED_BACK = "rolled_back"  # undone without a fill
    ROLLED_BACK_WITH_FILLS = "rolled_back_with_fills"  # undone, and some legs had filled
    PARTIALLY_COMPLETED = "partially_completed"  # some legs failed, and the client wanted no rollback
    NEEDS_ATTENTION = "needs_attention"  # an operator must decide: what became of a leg could not be proven

    @property
    def is_open(self) -> bool:
        """Whether the batch runner still works on it."""
        return self in {BatchStatus.RUNNING, BatchStatus.COMPENSATING}


Purpose = Literal["client", "square_off", "exit_move", "requeue", "unwanted", "replace", "recovered"]
"""Why a task exists: a client's request, a batch's square-off, a new price for an exit, an operator's repetition, the
cancel of an unwanted or replaced order, an order found in the book after a loss. Of an earlier release, others: they
mean ``unwanted``."""
UnwantedWhy = Literal[
    "rollback", "late", "halt", "withdrawal", "mass_cancel", "exit_over"
]  # late: it appeared after it was given up; exit_over: an exit whose deadline is over
OnFilled = Literal["report", "square_off"]  # what a rollback does about fills: report them, or close the position
Resolution = Literal["placed", "not_placed", "requeue"]  # an operator's decision about a task of unknown outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """The reason of a task's or batch's status."""

    code: str  # stable; clients decide by it
    message: str  # for operators, in plain words
    broker: Mapping[str, Any] | None = None  # the broker's own answer: ``{error_type, message, http_status}``

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown, without ``broker`` where there is none."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.broker is not None:
            found["broker"] = dict(self.broker)
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TaskError:
        """The value of which ``to_json`` made ``stored``."""
        return cls(code=str(stored["code"]), message=str(stored["message"]), broker=stored.get("broker"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of ``order_task``: one request to the broker, stored before it is sent. The database's clock stamps it."""

    task_id: UUID  # ordered by the time of acceptance
    account_id: str  # whose order it is; one process at a time sends for an account
    operation: Operation  # what the broker is asked to do
    status: TaskStatus  # changed by ``Settlement.settle`` and the claim statement only
    trade_date: date  # the trading day (IST) on which it was accepted
    instrument: str  # ``NSE:INFY``; placements of one instrument are sent one after another
    request: Mapping[str, Any]  # JSON as stored; read it through ``order``, ``changes``, ``variety``
    priority: int  # lower is sent first
    send_by: datetime  # never sent after this
    batch_id: UUID | None = None  # the batch that it belongs to
    leg: int | None = None  # its place in the batch, from 0; cancels and square-offs of a leg have the same
    purpose: Purpose = "client"  # why it exists
    user_tag: str | None = None  # the client's own tag, which is never sent to the broker
    tag_base: str | None = None  # the tag on the wire without the attempt's digit; only placements have one
    target_order_id: str | None = None  # the order that it modifies or cancels
    attempts: int = 0  # how often a sender has claimed it
    sent: Sent = Sent.NO  # whether the broker has received it; unknown while it may have
    not_before: datetime | None = None  # not claimed before this: the pause before it is sent again
    fence: int = 0  # raised by each claim; an answer under an older fence changes nothing
    claimed_by: str | None = None  # the process that is sending it
    claimed_until: datetime | None = None  # without a stored outcome by then it is in doubt
    last_sent_at: datetime | None = None  # when the newest attempt was claimed
    reduces: bool = False  # proven to only reduce a position; it passes reduce-only mode and doubts
    clean_reads: int = 0  # clean reads of the order book that did not show it, since it was last sent
    next_check_at: datetime | None = None  # when the order book is read again for this doubt
    order_id: str | None = None  # the broker's id, once confirmed
    children: tuple[ChildOrder, ...] = ()  # the slices, where the broker split it into several orders
    last_error: TaskError | None = None  # why it is held, retried, in doubt or ended; None where all went well
    created_at: datetime  # when it was accepted
    updated_at: datetime  # when its status last changed
    finished_at: datetime | None = None  # when it ended; None while it is open
    supersedes: UUID | None = None  # the task that an operator gave up, where this one repeats it
    unwanted_since: datetime | None = None  # an order that it has made, or turns out to have made, is cancelled
    unwanted_why: UnwantedWhy | None = None  # None while it is wanted
    replaces: str | None = None  # the order that must end before this one is sent
    replaces_filled: int | None = None  # what that order had filled when this task was stored
    shown_before: bool | None = None  # of a modification: whether its order showed these terms when it was accepted
    exit_by: datetime | None = None  # of an exit, an order that closes a position: until then its price is followed

    @property
    def order(self) -> OrderRequest:
        """The order to place; only for placements."""
        return OrderRequest.from_json(self.request)

    @property
    def changes(self) -> OrderChanges:
        """What to modify; only for modifications."""
        return OrderChanges.from_json(self.request["changes"])

    @property
    def variety(self) -> str:
        """The order's variety, which every request to the broker names."""
        return str(self.request["variety"])

    @property
    def parent_order_id(self) -> str | None:
        """The first leg of the order to cancel, where that is the second leg of a cover order."""
        return self.request.get("parent_order_id")

    @property
    def error_code(self) -> str | None:
        """The code of ``last_error``; None without one."""
        return None if self.last_error is None else self.last_error.code

    @property
    def confirmed_ids(self) -> list[str]:
        """The ids of the orders that the broker confirmed for a placement, slice by slice."""
        ids = [child.order_id for child in self.children] or [self.order_id]
        return [order_id for order_id in ids if order_id is not None]

    @property
    def is_group(self) -> bool:
        """Whether ``order_id`` names all of its slices, and is itself no order of the book."""
        return bool(self.children) and self.order_id not in self.confirmed_ids

    @property
    def is_provisional(self) -> bool:
        """Whether it was given up because the order book never showed it; it may still appear until the day is over."""
        return self.status is TaskStatus.FAILED and self.error_code == NOT_FOUND_AT_BROKER

    @property
    def tag(self) -> str:
        """The tag on the wire of the newest attempt: ``tag_base`` and the attempt's digit."""
        return f"{self.tag_base}{self.attempts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """A row of ``broker_order``: an order as the broker last showed it; an older row never overwrites a newer one.

    ``document`` is the JSON view with Kite's field names; decisions read it through the typed properties.
    """

    account_id: str  # whose order it is
    trade_date: date  # the trading day under which it is kept
    order_id: str  # the broker's id, unique within a day only
    task_id: UUID | None  # its placement; None for an order of another application
    status: str  # as Kite names it
    state: OrderState  # derived from ``status`` and the filled quantity
    filled_quantity: int  # as in the request: pieces, or lots where quantities are lots
    average_price: Decimal  # of what has filled, in rupees
    content_hash: bytes  # changes with anything that the book shows of it; clients see it as ``version``
    document: Mapping[str, Any] = field(default_factory=dict)  # as ``documents.broker_document`` makes it

    @property
    def exchange(self) -> str:
        return str(self.document["exchange"])

    @property
    def tradingsymbol(self) -> str:
        return str(self.document["tradingsymbol"])

    @property
    def instrument(self) -> str:
        """``NSE:INFY``."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def transaction_type(self) -> str:
        return str(self.document["transaction_type"])

    @property
    def variety(self) -> str:
        return str(self.document["variety"])

    @property
    def quantity(self) -> int:
        """Of the whole order, in the units of the request."""
        return int(self.document["quantity"])

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""
        return self.state.is_terminal

    @property
    def is_modified(self) -> bool:
        """Whether it was modified, so that it need not be as it was placed."""
        return bool(self.document.get("modified"))

    @property
    def parent_order_id(self) -> str | None:
        """The first leg of a cover order, on its second leg."""
        return self.document.get("parent_order_id")

    @property
    def is_stale(self) -> bool:
        """Whether its end was never seen and no order book can show it any more."""
        return bool(self.document.get("stale"))

    @property
    def exchange_update_timestamp(self) -> datetime | None:
        """When the exchange last changed it, by the exchange's clock; None where the book does not say."""
        stamp = self.document.get("exchange_update_timestamp")
        return None if stamp is None else datetime.fromisoformat(str(stamp))

    @property
    def terms(self) -> OrderTerms:
        """What a modification can change of it, as the book last showed it."""
        return OrderTerms.of_document(self.document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A row of ``batch``: up to twenty placements that succeed or are undone together."""

    batch_id: UUID  # ordered by the time of acceptance
    account_id: str  # whose orders they are; all legs are of one account
    status: BatchStatus  # decided by the saga
    rollback_on_failure: bool  # False: each leg counts by itself
    on_filled: OnFilled  # what a rollback does about fills
    total_orders: int  # the number of its legs
    deadline_at: datetime  # legs that are still unsent at this time are withdrawn
    created_at: datetime  # when it was accepted
    updated_at: datetime  # when its status last changed
    completed_at: datetime | None = None  # when it ended; None while it is open
    error: TaskError | None = None  # why it was rolled back, or what an operator must decide
