"""Notices once when an account's feed has gone silent while an exchange is open, and once when ticks are back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from app.broker.port import Feed
from app.kit.clock import Clock, epoch_ms
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.subscriptions.market_events import MarketEventType
from app.market.ticks.newest import NewestTicks


class RunningFeeds(Protocol):
    """Which feeds run in this process; the others run in another replica, or nowhere at this moment."""

    def runs_here(self, account_id: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTransition:
    """``FEED_STALE`` or ``FEED_RECOVERED``, and the ``data`` of that event."""

    type: MarketEventType
    data: dict[str, Any]


class FeedSilence:
    """Remembers per account since when ticks are expected, and whether its feed was silent at the last check."""

    def __init__(
        self,
        *,
        running: RunningFeeds,
        ticks: NewestTicks,
        calendar: MarketCalendar,
        clock: Clock,
        stale_after_s: float,
    ) -> None:
        self._running = running
        self._ticks = ticks
        self._calendar = calendar
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._expected_since_ms: dict[str, int] = {}
        self._silent: set[str] = set()

    def is_silent(self, account_id: str) -> bool:
        """Whether the account's feed, if it runs here, should have ticked and did not, as the last check found."""
        return account_id in self._silent

    def check(self, account_id: str, *, feed: Feed, exchanges: Iterable[str]) -> FeedTransition | None:
        """Check one account now; None: nothing changed since the last check.

        ``exchanges`` are those of what the account should stream; none of them: no tick is expected. A feed that runs
        elsewhere is checked there.
        """
        if not self._running.runs_here(account_id):
            self._expected_since_ms.pop(account_id, None)
            self._silent.discard(account_id)
            return None
        now = self._clock.now()
        now_ms = epoch_ms(now)
        open_since = [self._calendar.open_since_s(exchange, now) for exchange in exchanges]
        if not open_since:
            self._expected_since_ms.pop(account_id, None)
        # a feed that was just given its first instrument has had no time to tick: its silence counts from here
        since_ms = self._expected_since_ms.setdefault(account_id, now_ms) if open_since else now_ms
        last_ms = self._ticks.last_received_ms(account_id)
        silent = is_feed_silent(
            quiet_s=(now_ms - max(last_ms, since_ms)) / 1000,
            open_since_s=open_since,
            stale_after_s=self._stale_after_s,
        )
        return self._transition(account_id, silent=silent, feed=feed, age_ms=now_ms - last_ms if last_ms else None)

    def _transition(self, account_id: str, *, silent: bool, feed: Feed, age_ms: int | None) -> FeedTransition | None:
        if silent == (account_id in self._silent):
            return None
        data = {
            "connected": feed.state.connected,
            "subscriptions": len(feed.subscriptions()),
            "last_tick_age_ms": age_ms,
        }
        if silent:
            self._silent.add(account_id)
            return FeedTransition(type=MarketEventType.FEED_STALE, data=data)
        self._silent.discard(account_id)
        return FeedTransition(type=MarketEventType.FEED_RECOVERED, data=data)


def is_feed_silent(*, quiet_s: float, open_since_s: Iterable[float | None], stale_after_s: float) -> bool:
    """Whether an account's feed should have ticked and did not.

    ``quiet_s`` is the time since its last tick, or since it was first given something to stream; ``open_since_s`` is
    how long each exchange that it streams has been open (None: closed). One liquid instrument ticks every second, so a
    feed without any tick for this long while an exchange is open is not merely illiquid.
    """
    return any(since is not None and min(quiet_s, since) > stale_after_s for since in open_since_s)
