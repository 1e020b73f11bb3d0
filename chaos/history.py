"""What is left after a run, as plain rows: the exchange's ledger, the service's tables, what clients were told.

Values only, with the few columns that the checker judges by; ``reading`` fills them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

UNFINISHED = frozenset({"pending", "held", "running", "retrying", "in_doubt"})
ENDED_STATES = frozenset({"completed", "cancelled", "rejected"})
PROVEN_WITHOUT_EFFECT = frozenset({"not_sent", "throttled", "session_rejected"})
"""Outcomes of an attempt after which another attempt of the same order may leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOrder:
    """An order that the exchange accepted. ``state`` is Kite's status word."""

    order_id: str
    account_id: str
    tag: str
    accepted_at: datetime
    ended_at: datetime | None = None
    state: str = "COMPLETE"
    filled_quantity: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of ``order_task``. ``most_orders``: how many orders one request of it may become (slices)."""

    task_id: str
    account_id: str
    operation: str = "place"
    status: str = "completed"
    sent: str = "yes"
    tag_base: str | None = None
    order_id: str | None = None
    error_code: str | None = None
    batch_id: str | None = None
    most_orders: int = 1
    unwanted: bool = False
    """Its caller took it back, or a halt did: at the end nothing of it may be live."""

    replaces: str | None = None
    replaces_filled: int | None = None
    """The order whose place it was to take, and what that one had filled when its caller saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A row of ``order_attempt``; ``outcome`` is None when nobody lived to write it."""

    task_id: str
    attempt: int
    outcome: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """A row of ``broker_order``."""

    order_id: str
    account_id: str
    task_id: str | None = None
    state: str = "completed"
    filled_quantity: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    order_id: str
    trade_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A row of ``event``. ``order_id``, ``state``, ``filled_quantity``: of its data, where it speaks of an order.
    ``task_id`` where it speaks of a task.

    ``hash`` covers ``content`` and the hash of the event before; None where a test leaves both out.
    """

    account_id: str
    seq: int
    type: str = ""
    content: str = ""
    hash: bytes | None = None
    task_id: str | None = None
    order_id: str | None = None
    state: str | None = None
    filled_quantity: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A row of ``batch``."""

    batch_id: str
    status: str
    total_orders: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A row of ``idempotency_key``; ``resource_id`` is a task or a batch."""

    idem_key: str
    resource_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A 2xx that a client got: under this key, this resource."""

    idem_key: str
    resource_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one subscriber saw without a snapshot in between: events behind ``start``, digests of their text."""

    subscriber: str
    account_id: str
    start: int
    events: Sequence[tuple[int, str]]
    complete: bool = False
    """It stayed to the end of the run, so it must have seen the last event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """An operator's halt of an account (``*``: all): from its commit to the moment before its lifting."""

    scope: str
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The most orders of one account that reached the broker in any rolling second and minute."""

    account_id: str
    per_second: int
    per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One run. ``leaks``: places in logs where a secret of the run was found."""

    ledger: Sequence[LedgerOrder] = ()
    tasks: Sequence[Task] = ()
    attempts: Sequence[Attempt] = ()
    orders: Sequence[KnownOrder] = ()
    fills: Sequence[Fill] = ()
    events: Sequence[Event] = ()
    batches: Sequence[Batch] = ()
    keys: Sequence[Key] = ()
    told: Sequence[Told] = ()
    taken_back: frozenset[str] = frozenset()
    """Placements (task ids) whose withdrawal a client was told."""

    seen: Sequence[Seen] = ()
    halts: Sequence[Halt] = ()
    peaks: Sequence[Peaks] = ()
    orphans: frozenset[str] = frozenset()
    """Order ids that the service raised an alarm for: its tag, and no task."""

    leaks: Sequence[str] = ()
    odd_answers: Sequence[str] = ()
    """Answers at the order doors that tell their caller nothing."""

    denied: Sequence[str] = ()
    """Keys under which every single answer said that nothing was sent."""
