"""The hours at which a trading day does something to orders and positions, in IST. Pure.

They are those of Kite's support pages. The minute of the square-off differs from day to day there; here it is fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final, Literal

from simulator.clock import IST
from simulator.market.instrument import COMMODITY, CURRENCY, EQUITY, EQUITY_DERIVATIVES
from simulator.market.sessions import is_session_day

EventKind = Literal["pre_open", "open", "square_off", "close"]


@dataclass(frozen=True, slots=True)
class Event:
    """One hour of the schedule, for some exchanges.

    `pre_open` sends after-market LIMIT orders, `open` all after-market orders, `square_off` closes intraday positions,
    `close` ends the day's orders.
    """

    at: datetime
    kind: EventKind
    exchanges: frozenset[str]


DAY: Final[Sequence[tuple[time, EventKind, frozenset[str]]]] = (
    (time(9, 0), "pre_open", EQUITY),
    (time(9, 0), "open", CURRENCY | COMMODITY),
    (time(9, 15), "open", EQUITY | EQUITY_DERIVATIVES),
    (time(15, 25), "square_off", EQUITY),
    (time(15, 26), "square_off", EQUITY_DERIVATIVES),
    (time(15, 30), "close", EQUITY | EQUITY_DERIVATIVES),
    (time(16, 55), "square_off", CURRENCY),
    (time(17, 0), "close", CURRENCY),
    (time(23, 25), "square_off", COMMODITY),
    (time(23, 30), "close", COMMODITY),
)


def due_events(day: date, *, after: datetime, until: datetime) -> list[Event]:
    """The events of `day` after `after` and until `until` inclusive, in their order; none on a weekend."""
    if not is_session_day(day):
        return []
    events = [Event(datetime.combine(day, moment, IST), kind, exchanges) for moment, kind, exchanges in DAY]
    return [event for event in events if after < event.at <= until]
