"""A subscribed instrument as ``GET /subscriptions`` shows it: what is wanted of it, and whether it ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.broker.market import Mode
from app.broker.port import Feed
from app.market.calendar.staleness import StalenessCheck
from app.market.subscriptions.model import DesiredStream
from app.market.subscriptions.tick_status import TickStatus, status_of
from app.market.ticks.newest import NewestTicks


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRecord:
    """One instrument at one account."""

    instrument_token: int  # today's; where there is none today, the one it was last subscribed with
    exchange: str  # NSE
    tradingsymbol: str  # INFY
    account_id: str  # whose feed streams it
    mode: Mode  # what is streamed: the highest mode that any owner asks for
    owners: Mapping[str, Mode]  # by owner, the mode that it asks for
    status: TickStatus  # whether it ticks
    last_tick_age_ms: int | None  # None: no tick since this process began
    error: str | None  # INSTRUMENT_EXPIRED: the broker lists no such instrument today
    created_at: datetime  # of the first subscription
    updated_at: datetime  # of the last change by any owner


class SubscriptionView:
    """Combines what is desired with what the feeds and the tick path know of it."""

    def __init__(self, *, feeds: Mapping[str, Feed], ticks: NewestTicks, staleness: StalenessCheck) -> None:
        self._feeds = feeds
        self._ticks = ticks
        self._staleness = staleness

    def record(self, item: DesiredStream) -> SubscriptionRecord:
        """The record at this moment."""
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

    def _age(self, item: DesiredStream) -> tuple[int | None, bool]:
        if item.token is None:
            return None, False
        received_ms = self._ticks.received_at_ms(item.token, account_id=item.account_id)
        if received_ms is None:
            return None, False
        age = self._staleness.age_of(item.exchange, received_at_ms=received_ms)
        return age.age_ms, age.stale
