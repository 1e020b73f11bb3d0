"""When each exchange trades, in IST: for staleness, never for refusing an order, which the broker decides. Pure.

Hours are those of continuous trading. Holidays and special sessions (muhurat, Saturday tests) are data, not code: an
exchange's holidays are passed in, and ``special`` replaces the hours of one day. Commodities close later while New York
is on winter time, and NSEIX trades until the next morning. An exchange that is not known counts as closed: silence
there proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from app.broker.orders import Exchange
from app.kit.clock import IST
from app.setting_values import CalendarMode

Hours: TypeAlias = tuple[time, time]
"""First moment of a session, and the first moment after it; both IST."""

_EQUITY: tuple[Hours, ...] = ((time(9, 15), time(15, 30)),)
_CURRENCY: tuple[Hours, ...] = ((time(9, 0), time(17, 0)),)
_COMMODITY_SUMMER: tuple[Hours, ...] = ((time(9, 0), time(23, 30)),)
_COMMODITY_WINTER: tuple[Hours, ...] = ((time(9, 0), time(23, 55)),)
_HOURS: Mapping[str, tuple[Hours, ...]] = {
    Exchange.NSE: _EQUITY,
    Exchange.BSE: _EQUITY,
    Exchange.NFO: _EQUITY,
    Exchange.BFO: _EQUITY,
    Exchange.CDS: _CURRENCY,
    Exchange.BCD: _CURRENCY,
}
_GIFT_CITY: tuple[Hours, ...] = ((time(6, 30), time(15, 40)), (time(16, 35), time.max))
_GIFT_CITY_NIGHT: Hours = (time(0, 0), time(2, 45))  # of the session that began the evening before
_NSEIX = "NSEIX"  # NSE International Exchange; quoted by the broker, not traded through it
_NEW_YORK = ZoneInfo("America/New_York")
_SATURDAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketCalendar:
    """``always`` is for a market that never closes, the simulator's. ``holidays`` and ``special`` are by exchange."""

    mode: CalendarMode = "exchange"
    holidays: Mapping[str, frozenset[date]] = field(default_factory=dict)
    special: Mapping[tuple[str, date], tuple[Hours, ...]] = field(default_factory=dict)

    def sessions(self, exchange: str, day: date) -> tuple[Hours, ...]:
        """The sessions of one IST day, in order; empty when the exchange does not trade. Not for ``always``."""
        replaced = self.special.get((exchange, day))
        if replaced is not None:
            return replaced
        if exchange == _NSEIX:
            night = (_GIFT_CITY_NIGHT,) if self._trades_on(exchange, day - timedelta(days=1)) else ()
            return night + (_GIFT_CITY if self._trades_on(exchange, day) else ())
        if not self._trades_on(exchange, day):
            return ()
        if exchange in {Exchange.MCX, Exchange.NCO}:
            return _COMMODITY_SUMMER if _is_summer_in_new_york(day) else _COMMODITY_WINTER
        return _HOURS.get(exchange, ())

    def _trades_on(self, exchange: str, day: date) -> bool:
        return day.weekday() < _SATURDAY and day not in self.holidays.get(exchange, frozenset())

    def is_open(self, exchange: str, now: datetime) -> bool:
        """Whether continuous trading goes on at ``now`` (aware)."""
        if self.mode == "always":
            return True
        local = now.astimezone(IST)
        moment = local.time()
        return any(start <= moment < end for start, end in self.sessions(exchange, local.date()))

    def open_since_s(self, exchange: str, now: datetime) -> float | None:
        """Seconds since the present session began; None when closed, infinite for ``always``.

        Right after the opening nothing has ticked yet: silence counts from there, not from yesterday's last tick.
        """
        if self.mode == "always":
            return float("inf")
        local = now.astimezone(IST)
        for start, end in self.sessions(exchange, local.date()):
            if start <= local.time() < end:
                return (local - datetime.combine(local.date(), start, IST)).total_seconds()
        return None

    def is_stale(self, exchange: str, *, age_s: float, now: datetime, stale_after_s: float) -> bool:
        """Whether a value of this age is too old to be called current: only ever while the session is open."""
        since = self.open_since_s(exchange, now)
        return since is not None and min(age_s, since) > stale_after_s


def _is_summer_in_new_york(day: date) -> bool:
    evening = datetime.combine(day, time(23, 0), IST).astimezone(_NEW_YORK)
    return bool(evening.dst())
