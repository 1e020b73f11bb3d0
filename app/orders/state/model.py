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

from app.broker.orders import OrderChanges, OrderRequest, OrderType
from app.broker.outcomes import ChildOrder, Sent


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

ENDED_WITHOUT_ORDER = frozenset({TaskStatus.FAILED, TaskStatus.EXPIRED, TaskStatus.CANCELLED})
"""Ends after which nothing is at the broker, as far as we know; the order book may still prove otherwise."""

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
Resolution = Literal["placed", "not_placed", "requeue"]
"""What an operator decides about a task whose outcome is unknown."""

Whose = Literal["all", "unwanted"]
"""Whose live orders are to be cancelled: every one of the account, or those of placements marked unwanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Why a task is where it is."""

    code: str  # stable; clients decide by it
    message: str  # for people
    broker: Mapping[str, Any] | None = None  # the broker's own answer: ``{error_type, message, http_status}``

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown; ``broker`` is left out where there is none."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.broker is not None:
            found["broker"] = dict(self.broker)
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TaskError:
        """The value that ``to_json`` has stored."""
        return cls(code=str(stored["code"]), message=str(stored["message"]), broker=stored.get("broker"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of ``order_task``: one request to the broker, durable before it is sent. Times are the database's."""

    task_id: UUID  # ordered by the time of acceptance
    account_id: str
    operation: Operation
    status: TaskStatus
    trade_date: date  # the trading day (IST) on which it was accepted
    instrument: str  # ``NSE:INFY``; placements of one instrument go one after another
    request: Mapping[str, Any]  # JSON as stored; read it through ``order``, ``changes``, ``variety``
    priority: int  # lower goes first
    send_by: datetime  # never sent after this
    batch_id: UUID | None = None
    leg: int | None = None  # its place in the batch, from 0; follow-ups of a leg have the same one
    purpose: Purpose = "client"  # on whose behalf it exists
    user_tag: str | None = None  # the client's own tag, which never leaves this service
    tag_base: str | None = None  # 19 characters of the tag on the wire; only placements have one
    target_order_id: str | None = None  # the order that it modifies or cancels
    attempts: int = 0  # how often it was claimed for sending
    sent: Sent = Sent.NO  # whether the broker can have received it
    not_before: datetime | None = None  # not claimed before this
    fence: int = 0  # raised by each claim; an answer under an older fence changes nothing
    claimed_by: str | None = None  # the process that is sending it
    claimed_until: datetime | None = None  # a claim that is not settled by then is a doubt
    last_sent_at: datetime | None = None  # when the newest attempt was claimed
    reduces: bool = False  # proven to make a position only smaller
    clean_reads: int = 0  # reads that prove its absence, since it was last sent
    next_check_at: datetime | None = None  # when a doubt wants the order book read again
    order_id: str | None = None  # the broker's id, once confirmed
    children: tuple[ChildOrder, ...] = ()  # the slices, where the broker made several orders of it
    last_error: TaskError | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    supersedes: UUID | None = None  # the task that an operator gave up for this one
    cancel_on_sight: bool = False  # whatever order it has made, or turns out to have made, is cancelled
    replaces: str | None = None  # the order that has to end before this one may go
    replaces_filled: int | None = None  # what that order had filled when it was to be replaced

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
        """The first leg of the order to cancel, where it is a second one."""
        return self.request.get("parent_order_id")

    @property
    def error_code(self) -> str | None:
        return None if self.last_error is None else self.last_error.code

    @property
    def confirmed_ids(self) -> list[str]:
        """The orders that the broker has confirmed for a placement, slice by slice."""
        ids = [child.order_id for child in self.children] or [self.order_id]
        return [order_id for order_id in ids if order_id is not None]

    @property
    def is_provisional(self) -> bool:
        """Given up because the book never showed it: it may still appear until the day is over."""
        return self.status is TaskStatus.FAILED and self.error_code == NOT_FOUND_AT_BROKER

    @property
    def tag(self) -> str:
        """The tag on the wire of the present attempt: ``tag_base`` and the attempt's digit."""
        return f"{self.tag_base}{self.attempts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """A row of ``broker_order``: an order as the broker last showed it, never moved backwards.

    ``document`` is the JSON view with Kite's field names; decisions read it through the typed properties.
    """

    account_id: str
    trade_date: date  # the trading day under which it is kept
    order_id: str
    task_id: UUID | None  # the placement that made it; None for an order from elsewhere
    status: str  # Kite's word
    state: OrderState  # ours, derived from it
    filled_quantity: int
    average_price: Decimal
    content_hash: bytes  # changes when the book shows anything else of it; ``version`` is made of it
    document: Mapping[str, Any] = field(default_factory=dict)

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
    def parent_order_id(self) -> str | None:
        """The first leg of a two-legged order, on its second leg."""
        return self.document.get("parent_order_id")

    @property
    def is_stale(self) -> bool:
        """Its end was never seen, and no order book will show it any more."""
        return bool(self.document.get("stale"))

    @property
    def exchange_update_timestamp(self) -> datetime | None:
        """When the exchange last changed it, by the exchange's clock."""
        stamp = self.document.get("exchange_update_timestamp")
        return None if stamp is None else datetime.fromisoformat(str(stamp))

    def shows(self, changes: OrderChanges) -> bool:
        """Whether it stands as a modification wants it; ``market_protection`` is never repeated by the book."""
        wanted = changes.to_json()
        wanted.pop("market_protection", None)
        return all(_is_shown(name, self.document.get(name), value) for name, value in wanted.items())


BOOKED_AS = {
    OrderType.MARKET: {"MARKET", "LIMIT"},  # market protection turns it into a limit order at the band's edge
    OrderType.SL_M: {"SL-M", "SL"},
    OrderType.LIMIT: {"LIMIT"},
    OrderType.SL: {"SL", "LIMIT"},  # once triggered it stands in the book as a limit order
}
"""By the order type that was asked for, the ones under which the book may show the order."""


def _is_shown(name: str, seen: object, wanted: object) -> bool:
    if name == "order_type":
        return seen in BOOKED_AS[OrderType(str(wanted))]
    if isinstance(seen, Decimal | int) and not isinstance(seen, bool):
        return Decimal(str(wanted)) == seen
    return seen == wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A row of ``batch``: up to twenty placements that succeed or are undone together."""

    batch_id: UUID
    account_id: str
    status: BatchStatus
    rollback_on_failure: bool  # False: legs stand on their own
    on_filled: OnFilled  # what a rollback does about fills
    total_orders: int
    deadline_at: datetime  # legs that are still unsent then are withdrawn
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    error: TaskError | None = None  # why it was rolled back, or what an operator must look at


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list of documents, newest or oldest first as the query says."""

    data: Sequence[Mapping[str, Any]]
    next_cursor: str | None  # None on the last page
