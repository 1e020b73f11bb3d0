"""How a wanted instrument is doing, as the doors show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.broker.market import Mode
from app.broker.port import Feed
from app.kit.clock import Clock
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.subscriptions.desired_state import Desired, TickStatus, status_of
from app.market.ticks.pipeline import TickPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRecord:
    """One instrument at one account as the doors show it. ``owners`` are who wants it and in which mode."""

    instrument_token: int
    exchange: str
    tradingsymbol: str
    account_id: str
    mode: Mode
    owners: Mapping[str, Mode]
    status: TickStatus
    last_tick_age_ms: int | None
    error: str | None
    created_at: datetime
    updated_at: datetime


class SubscriptionView:
    def __init__(
        self,
        *,
        feeds: Mapping[str, Feed],
        ticks: TickPipeline,
        calendar: MarketCalendar,
        clock: Clock,
        stale_after_s: float,
    ) -> None:
        self._feeds = feeds
        self._ticks = ticks
        self._calendar = calendar
        self._clock = clock
        self._stale_after_s = stale_after_s

    def record(self, item: Desired) -> SubscriptionRecord:
        age_ms, stale = self._age(item)
        feed = self._feeds.get(item.account_id)
        return SubscriptionRecord(
            instrument_token=item.token or item.stored_token,
            exchange=item.exchange,
            tradingsymbol=item.tradingsymbol,
            account_id=item.account_id,
            mode=item.mode,
            owners=item.owners,
            status=status_of(
                is_streamed=feed is not None and item.token is not None,
                is_connected=feed is not None and feed.state.connected,
                has_ticked=age_ms is not None,
                is_stale=stale,
            ),
            last_tick_age_ms=age_ms,
            error="INSTRUMENT_EXPIRED" if item.token is None else None,
            created_at=item.created_at,
            updated_at=item.updated_at,
        )

    def _age(self, item: Desired) -> tuple[int | None, bool]:
        if item.token is None:
            return None, False
        received_ms = self._ticks.received_at_ms(item.token, account_id=item.account_id)
        if received_ms is None:
            return None, False
        now = self._clock.now()
        age_ms = max(0, int(now.timestamp() * 1000) - received_ms)
        stale = self._calendar.is_stale(item.exchange, age_s=age_ms / 1000, now=now, stale_after_s=self._stale_after_s)
        return age_ms, stale
