"""One step of the exchange as a unit: what it changed is saved as a whole, and only then are clients notified.

Every entry into the exchange (a request, a change of quotes, a timer) runs inside `with step:`. A step inside a step is
part of the outer one. So a process that is killed has either done a step, with its journal line written and its updates
sent or lost, or has not done it at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol

from simulator.exchange.accounts.portfolio import Authorisation
from simulator.exchange.accounts.positions import Conversion
from simulator.exchange.conditions.alert import Alert
from simulator.exchange.conditions.gtt import Trigger
from simulator.exchange.orders.order import HistoryRow, Order

Audience = Literal["sockets", "everyone"]
"""Kite posts fills, ends and modifications to the postback URL too; that an order rests goes to sockets only."""


class Notify(Protocol):
    """Called for each change that Kite would push, with the order as it was then. `as_status` may be UPDATE."""

    def __call__(self, order: Order, *, state: HistoryRow, as_status: str, audience: Audience) -> None: ...


@dataclass(slots=True)
class Changes:
    """What a step has changed: the things themselves, as they are when the step ends. Bounded by the day's orders."""

    orders: dict[str, Order] = field(default_factory=dict)
    conversions: list[Conversion] = field(default_factory=list)
    authorisations: list[Authorisation] = field(default_factory=list)
    triggers: dict[int, Trigger] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.orders or self.conversions or self.authorisations or self.triggers or self.alerts)


Save = Callable[[Changes], None]


class AtomicStep:
    """Reentrant; not for threads. An error inside undoes nothing: what was changed before it is saved and announced."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self.save: Save | None = None
        """Called with the changes of every step; None where nothing is saved."""
        self._depth = 0
        self._changes = Changes()
        self._pushes: list[tuple[Order, HistoryRow, str, Audience]] = []

    def __enter__(self) -> Changes:
        self._depth += 1
        return self._changes

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        changes, self._changes = self._changes, Changes()
        pushes, self._pushes = self._pushes, []
        if self.save is not None and changes:
            self.save(changes)
        for order, state, as_status, audience in pushes:
            self._notify(order, state=state, as_status=as_status, audience=audience)

    def changed(self, order: Order) -> None:
        """Marks `order` for saving."""
        self._changes.orders[order.order_id] = order

    def push(self, order: Order, state: HistoryRow, *, as_status: str, audience: Audience) -> None:
        """Queues a notification for the end of the step."""
        self._pushes.append((order, state, as_status, audience))
