"""What the order engine works on: tasks, the broker's orders as last seen, batches. Values only.

A task is one thing that we want from the broker (place, modify, cancel) and is durable before anything is sent. An
order is a row that the broker showed us. A batch is up to twenty place tasks that succeed or are undone together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from app.broker.orders import OrderChanges, OrderRequest
from app.broker.outcomes import Sent


class Operation(StrEnum):
    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"

    @property
    def priority(self) -> int:
        """Lower goes first: what takes risk away overtakes what adds to it."""
        return {Operation.CANCEL: 0, Operation.MODIFY: 1, Operation.PLACE: 2}[self]


class TaskStatus(StrEnum):
    PENDING = "pending"
    HELD = "held"
    RUNNING = "running"
    RETRYING = "retrying"
    IN_DOUBT = "in_doubt"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DEAD_LETTER = "dead_letter"


UNSENT = frozenset({TaskStatus.PENDING, TaskStatus.HELD, TaskStatus.RETRYING})
"""No byte of the next attempt has left: the task can be withdrawn or expire without asking the broker."""

FINISHED = frozenset(
    {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.EXPIRED, TaskStatus.CANCELLED, TaskStatus.DEAD_LETTER}
)

NOT_FOUND_AT_BROKER = "NOT_FOUND_AT_BROKER"
"""The one provisional end: the book never showed the order, but we keep looking until the day is over."""


class OrderState(StrEnum):
    PENDING = "pending"
    OPEN = "open"
    TRIGGER_PENDING = "trigger_pending"
    PARTIALLY_FILLED = "partially_filled"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def is_terminal(self) -> bool:
        return self in {OrderState.COMPLETED, OrderState.CANCELLED, OrderState.REJECTED}


class BatchStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    COMPENSATING = "compensating"
    ROLLED_BACK = "rolled_back"
    ROLLED_BACK_WITH_FILLS = "rolled_back_with_fills"
    PARTIALLY_COMPLETED = "partially_completed"
    NEEDS_ATTENTION = "needs_attention"

    @property
    def is_open(self) -> bool:
        return self in {BatchStatus.RUNNING, BatchStatus.COMPENSATING}


Purpose = Literal["client", "rollback", "square_off", "late", "halt", "requeue", "withdrawal", "replace"]
OnFilled = Literal["report", "square_off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Why a task is where it is. ``broker`` is the broker's own word: ``{error_type, message, http_status}``."""

    code: str
    message: str
    broker: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.broker is not None:
            found["broker"] = dict(self.broker)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of ``order_task``. ``request`` is the order to place, or the changes to make, or the order to cancel."""

    task_id: UUID
    account_id: str
    operation: Operation
    status: TaskStatus
    trade_date: date
    instrument: str
    request: Mapping[str, Any]
    priority: int
    send_by: datetime
    batch_id: UUID | None = None
    leg: int | None = None
    purpose: Purpose = "client"
    user_tag: str | None = None
    tag_base: str | None = None
    target_order_id: str | None = None
    attempts: int = 0
    sent: Sent = Sent.NO
    not_before: datetime | None = None
    fence: int = 0
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    last_sent_at: datetime | None = None
    reduces: bool = False
    clean_reads: int = 0
    next_check_at: datetime | None = None
    order_id: str | None = None
    children: tuple[Mapping[str, Any], ...] = ()
    last_error: Mapping[str, Any] | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    supersedes: UUID | None = None  # the task that an operator gave up for this one
    cancel_on_sight: bool = False  # what it has made, or turns out to have made, is cancelled
    replaces: str | None = None  # the order that has to end before this one may go
    replaces_filled: int | None = None  # what that order had filled when it was to be replaced

    @property
    def order(self) -> OrderRequest:
        """The order to place; only for place tasks."""
        return OrderRequest.from_json(self.request)

    @property
    def changes(self) -> OrderChanges:
        """What to modify; only for modify tasks."""
        return OrderChanges.from_json(self.request["changes"])

    @property
    def variety(self) -> str:
        return str(self.request["variety"])

    @property
    def error_code(self) -> str | None:
        return None if self.last_error is None else str(self.last_error["code"])

    @property
    def confirmed_ids(self) -> list[str]:
        """The orders that the broker has confirmed for a placement, slice by slice."""
        ids = [child.get("order_id") for child in self.children] or [self.order_id]
        return [str(order_id) for order_id in ids if order_id is not None]

    @property
    def is_provisional(self) -> bool:
        """Given up because the book never showed it: it may still appear until the day is over."""
        return self.status is TaskStatus.FAILED and self.error_code == NOT_FOUND_AT_BROKER

    @property
    def tag(self) -> str:
        """The tag on the wire of the present attempt: 19 characters of ours and the attempt's digit."""
        return f"{self.tag_base}{self.attempts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """A row of ``broker_order``: what the broker last showed, never moved backwards. ``document`` is the JSON view."""

    account_id: str
    trade_date: date
    order_id: str
    task_id: UUID | None
    status: str
    state: OrderState
    filled_quantity: int
    average_price: Decimal
    content_hash: bytes
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A row of ``batch``."""

    batch_id: UUID
    account_id: str
    status: BatchStatus
    rollback_on_failure: bool
    on_filled: OnFilled
    total_orders: int
    deadline_at: datetime
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    error: Mapping[str, Any] | None = None


ENDED_WITHOUT_ORDER = frozenset({TaskStatus.FAILED, TaskStatus.EXPIRED, TaskStatus.CANCELLED})


Whose = Literal["all", "unwanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``next_cursor`` is None on the last page."""

    data: Sequence[Mapping[str, Any]]
    next_cursor: str | None
