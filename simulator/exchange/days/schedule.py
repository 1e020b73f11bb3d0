"""What a trading day does to orders and positions, and when. Pure: the broker's table of hours, in IST.

Hours are those of Kite's support pages; the minute of the square-off differs from day to day there and is fixed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final, Literal

from simulator.formats import IST
from simulator.market.sessions import is_session_day

EventKind = Literal["pre_open", "open", "square_off", "close"]


@dataclass(frozen=True, slots=True)
class Event:
    """`pre_open` sends parked LIMIT orders, `open` all others, `square_off` ends intraday positions, `close` orders."""

    at: datetime
    kind: EventKind
    exchanges: frozenset[str]


_EQUITY: Final = frozenset({"NSE", "BSE"})
_DERIVATIVES: Final = frozenset({"NFO", "BFO"})
_CURRENCY: Final = frozenset({"CDS", "BCD"})
_COMMODITY: Final = frozenset({"MCX"})

DAY: Final[Sequence[tuple[time, EventKind, frozenset[str]]]] = (
    (time(9, 0), "pre_open", _EQUITY),
    (time(9, 0), "open", _CURRENCY | _COMMODITY),
    (time(9, 15), "open", _EQUITY | _DERIVATIVES),
    (time(15, 25), "square_off", _EQUITY),
    (time(15, 26), "square_off", _DERIVATIVES),
    (time(15, 30), "close", _EQUITY | _DERIVATIVES),
    (time(16, 55), "square_off", _CURRENCY),
    (time(17, 0), "close", _CURRENCY),
    (time(23, 25), "square_off", _COMMODITY),
    (time(23, 30), "close", _COMMODITY),
)


def due_events(day: date, *, after: datetime, until: datetime) -> list[Event]:
    """The events of `day` in (after, until], in their order; none on a weekend."""
    if not is_session_day(day):
        return []
    events = [Event(datetime.combine(day, moment, IST), kind, exchanges) for moment, kind, exchanges in DAY]
    return [event for event in events if after < event.at <= until]
