"""One step of the exchange as a unit: what it changed is saved whole, and only then is anybody told.

Every entry into the exchange (a request, a change of quotes, a timer) runs inside `with turn:`; turns within turns are
part of the outermost one. So a process that is killed has either done a step, with its record written and its pushes
sent or lost, or has not done it at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol

from simulator.exchange.conditions.alert import Alert
from simulator.exchange.conditions.gtt import Trigger
from simulator.exchange.orders.order import HistoryRow, Order, Product, TransactionType
from simulator.market.instrument import Instrument

Audience = Literal["sockets", "everyone"]
"""Kite posts fills, ends and modifications back over HTTP; that an order rests is told to sockets alone."""


class Notify(Protocol):
    """Called for each change that Kite would push, with the order as it was then. `as_status` may be UPDATE."""

    def __call__(self, order: Order, *, state: HistoryRow, as_status: str, audience: Audience) -> None: ...


@dataclass(frozen=True, slots=True)
class Conversion:
    """An open quantity that moves from one product to another."""

    user_id: str
    instrument: Instrument
    side: TransactionType
    quantity: int
    old_product: Product
    new_product: Product
    overnight: bool


@dataclass(slots=True)
class Changes:
    """What a turn has touched. Bounded by the orders of a day."""

    orders: dict[str, Order] = field(default_factory=dict)
    conversions: list[Conversion] = field(default_factory=list)
    triggers: dict[int, Trigger] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.orders or self.conversions or self.triggers or self.alerts)


Save = Callable[[Changes], None]


class Turn:
    """Reentrant; not for threads. An error inside does not undo what was done: that is saved and told too."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self.save: Save | None = None
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
        self._changes.orders[order.order_id] = order

    def push(self, order: Order, state: HistoryRow, *, as_status: str, audience: Audience) -> None:
        self._pushes.append((order, state, as_status, audience))
