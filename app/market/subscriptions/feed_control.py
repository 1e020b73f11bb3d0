"""Asks this process's feeds for what is desired: only the difference, so that one instrument never touches another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from app.broker.market import Mode
from app.broker.port import Feed
from app.market.subscriptions import desired_state
from app.market.subscriptions.model import DesiredStream
from app.market.ticks.newest import NewestTicks


class FeedControl:
    """The feeds by account. A feed keeps its subscriptions through reconnects, so each is asked once."""

    def __init__(self, feeds: Mapping[str, Feed], *, ticks: NewestTicks) -> None:
        self._feeds = feeds
        self._ticks = ticks

    def __iter__(self) -> Iterator[tuple[str, Feed]]:
        return iter(list(self._feeds.items()))

    def accounts(self, *, among: Collection[str] | None) -> list[str]:
        """The accounts that have a feed, in order; only those ``among`` the given ones, None: all."""
        return [account_id for account_id in self._feeds if among is None or account_id in among]

    def apply(self, desired: Collection[DesiredStream]) -> None:
        """Make every feed want exactly what is desired of its account."""
        for account_id in self._feeds:
            self._apply_one(account_id, desired_state.modes_of(desired, account_id=account_id))

    def _apply_one(self, account_id: str, desired: Mapping[int, Mode]) -> None:
        feed = self._feeds[account_id]
        change = desired_state.plan_feed(desired, feed.subscriptions())
        if change.subscribe:
            feed.subscribe(change.subscribe)
        if change.unsubscribe:
            feed.unsubscribe(change.unsubscribe)
            self._ticks.forget(account_id, change.unsubscribe)

    def active_count(self) -> int:
        """Instruments that are streamed now: asked of the broker on a live socket, over all accounts."""
        return sum(len(feed.subscriptions()) for feed in self._feeds.values() if feed.state.connected)
