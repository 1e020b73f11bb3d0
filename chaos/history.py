"""What a run leaves, as values: the exchange's ledger, the service's tables, and what clients were answered.

They have only the columns that the checks need. ``history_reader`` fills them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chaos.observations import Observations

TAG_BASE = 19
"""The length of a tag without the number of its attempt."""

UNFINISHED = frozenset({"pending", "held", "running", "retrying", "in_doubt"})
ENDED_STATES = frozenset({"completed", "cancelled", "rejected"})
PROVEN_WITHOUT_EFFECT = frozenset({"not_sent", "throttled", "session_rejected"})
"""Outcomes of an attempt after which another attempt of the same order may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOrder:
    """An order that the exchange accepted."""

    order_id: str
    account_id: str
    tag: str
    """As the service sent it: the task's tag base, then the number of the attempt."""

    accepted_at: datetime
    ended_at: datetime | None = None
    """None while it is live."""

    state: str = "COMPLETE"
    """Kite's status."""

    filled_quantity: int = 0
    tradingsymbol: str = ""
    transaction_type: str = "BUY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of ``order_task``."""

    task_id: str
    """The service's id of it."""

    account_id: str
    operation: str = "place"
    """``place``, ``modify`` or ``cancel``."""

    status: str = "completed"
    """The service's; those in ``UNFINISHED`` are not final."""

    sent: str = "yes"
    """``yes``, ``no`` or ``unknown``: whether it reached the broker, as the service says."""

    tag_base: str | None = None
    """With which the tags of its attempts begin; None for commands on an order."""

    order_id: str | None = None
    error_code: str | None = None
    """Of the last error."""

    batch_id: str | None = None
    """The batch whose leg it is."""

    most_orders: int = 1
    """How many orders one request of it may become: slices, or legs of an iceberg."""

    unwanted: bool = False
    """A client or a halt withdrew it: no order of it may be live at the end of the run."""

    reduces: bool = False
    """It is proven to only reduce a position."""

    replaces: str | None = None
    """The order that it replaces."""

    replaces_filled: int | None = None
    """What that order had filled when the client decided it."""

    created_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A row of ``order_attempt``; ``outcome`` is None when the sender died before it could write it."""

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
    """A row of ``fill`` that the trade book reported."""

    order_id: str
    trade_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A row of ``event``."""

    account_id: str
    seq: int
    """Its number, which counts the account's events from 1."""

    type: str = ""
    """Such as ``order_placed``."""

    content: str = ""
    """The text that the hash covers."""

    hash: bytes | None = None
    """Of ``content`` and the hash of the event before; None where a test leaves both out."""

    task_id: str | None = None
    """Set when the event is about a task."""

    order_id: str | None = None
    """Set when the event is about an order; ``state`` and ``filled_quantity`` are the order's then."""

    state: str | None = None
    """The order's state."""

    filled_quantity: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A row of ``batch``."""

    batch_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A row of ``idempotency_key``; ``resource_id`` is a task or a batch."""

    idem_key: str
    resource_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A 2xx answer to a client: the idempotency key of the request, and the task or batch in the answer."""

    idem_key: str
    resource_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one subscriber saw between two snapshots."""

    subscriber: str
    account_id: str
    start: int
    """The number of the last event in its snapshot."""

    events: Sequence[tuple[int, str]]
    """Numbers, and digests of the text."""

    complete: bool = False
    """It was connected at the end of the run, so it must have seen the last event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """An operator's halt of an account (``*``: of all), from its commit to the moment before it was lifted."""

    scope: str
    began_at: datetime
    ended_at: datetime
    reductions_pass: bool = False
    """In ``reduce_only`` mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The most orders of one account that reached the broker in any rolling second and minute."""

    account_id: str
    per_second: int
    per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One run."""

    ledger: Sequence[LedgerOrder] = ()
    """The exchange's orders."""

    tasks: Sequence[Task] = ()
    """Of the service, as all rows up to ``keys``."""

    attempts: Sequence[Attempt] = ()
    """Every sending of a task."""

    orders: Sequence[KnownOrder] = ()
    """The orders that the service has stored."""

    fills: Sequence[Fill] = ()
    """Without inferred ones."""

    events: Sequence[Event] = ()
    """The event log."""

    batches: Sequence[Batch] = ()
    """Orders that were placed together."""

    keys: Sequence[Key] = ()
    """The stored idempotency keys."""

    acknowledged: Sequence[Acknowledgement] = ()
    """What clients were answered with 2xx."""

    withdrawn: frozenset[str] = frozenset()
    """Task ids of placements whose withdrawal was acknowledged to a client."""

    seen: Sequence[Seen] = ()
    """The events that subscribers received."""

    halts: Sequence[Halt] = ()
    """The operator's."""

    peaks: Sequence[Peaks] = ()
    """Rates as the simulator counted them."""

    orphans: frozenset[str] = frozenset()
    """Order ids for which the service raised an alarm: they have its tag and no task."""

    leaks: Sequence[str] = ()
    """Places in logs (``file:line``) that contain a secret."""

    unclear_answers: Sequence[str] = ()
    """Error answers to order requests that do not say whether the order was sent."""

    observed: Observations = field(default_factory=Observations)
    """What was seen from outside."""

    named_orders: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    """By idempotency key and leg (0 for a single order): the orders that answers have named."""

    denied: Sequence[str] = ()
    """Idempotency keys under which every answer said that nothing was sent."""
