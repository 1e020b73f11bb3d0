"""How old a price is, and whether that is too old for what its exchange is doing now."""

from __future__ import annotations

from dataclasses import dataclass

from app.kit.clock import Clock, epoch_ms
from app.market.calendar.exchange_hours import MarketCalendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """``stale``: older than allowed while its exchange is open. In a closed market nothing is stale."""

    age_ms: int
    stale: bool


class StalenessCheck:
    """One answer for everything that shows prices. ``stale_after_s`` is the setting ``TICK_STALE_AFTER_S``."""

    def __init__(self, calendar: MarketCalendar, *, clock: Clock, stale_after_s: float) -> None:
        self._calendar = calendar
        self._clock = clock
        self._stale_after_s = stale_after_s

    def age_of(self, exchange: str, *, received_at_ms: int) -> Age:
        """The age now of a value of ``exchange`` that was received at this epoch millisecond; never negative."""
        now = self._clock.now()
        age_ms = max(0, epoch_ms(now) - received_at_ms)
        stale = self._calendar.is_stale(exchange, age_s=age_ms / 1000, now=now, stale_after_s=self._stale_after_s)
        return Age(age_ms=age_ms, stale=stale)
