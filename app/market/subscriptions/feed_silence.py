"""Says once when an account's feed has gone silent while a market is open, and once when ticks are back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from app.broker.port import Feed
from app.kit.clock import Clock
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.subscriptions.desired_state import is_feed_silent
from app.market.ticks.pipeline import TickPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTransition:
    type: Literal["feed_stale", "feed_recovered"]
    data: dict[str, Any]


class FeedWatch:
    def __init__(self, *, ticks: TickPipeline, calendar: MarketCalendar, clock: Clock, stale_after_s: float) -> None:
        self._ticks = ticks
        self._calendar = calendar
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._watched_since_ms: dict[str, int] = {}
        self._stale: set[str] = set()

    def is_stale(self, account_id: str) -> bool:
        return account_id in self._stale

    def check(self, account_id: str, *, feed: Feed, exchanges: Iterable[str]) -> FeedTransition | None:
        """Look at one account now; ``exchanges`` are those of what it should stream (none: nothing is expected)."""
        now = self._clock.now()
        now_ms = int(now.timestamp() * 1000)
        open_since = [self._calendar.open_since_s(exchange, now) for exchange in exchanges]
        if not open_since:
            self._watched_since_ms.pop(account_id, None)
        since_ms = self._watched_since_ms.setdefault(account_id, now_ms) if open_since else now_ms
        last_ms = self._ticks.last_received_ms(account_id)
        silent = is_feed_silent(
            quiet_s=(now_ms - max(last_ms, since_ms)) / 1000,
            open_since_s=open_since,
            stale_after_s=self._stale_after_s,
        )
        return self._turn(account_id, silent=silent, feed=feed, age_ms=now_ms - last_ms if last_ms else None)

    def _turn(self, account_id: str, *, silent: bool, feed: Feed, age_ms: int | None) -> FeedTransition | None:
        if silent == (account_id in self._stale):
            return None
        data = {
            "connected": feed.state.connected,
            "subscriptions": len(feed.subscriptions()),
            "last_tick_age_ms": age_ms,
        }
        if silent:
            self._stale.add(account_id)
            return FeedTransition(type="feed_stale", data=data)
        self._stale.discard(account_id)
        return FeedTransition(type="feed_recovered", data=data)
