"""The newest tick of each instrument, in memory, over all accounts of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from app.broker.market import Instrument
from app.broker.port import TickDecoder
from app.broker.ticks import Source
from app.kit.histogram import LagCounter
from app.market.ticks.conflation import AccountTicks, LastTick
from app.market.ticks.counters import FEED_LAG_BOUNDS_S


class InstrumentNames(Protocol):
    """Exchange and symbol of what is streamed."""

    def by_token(self) -> Mapping[int, Instrument]:
        """The instruments of today."""
        ...


class NewestTicks:
    """Filled by the feeds, emptied by the pipeline.

    ``accounts``: by account id, what its feed has delivered. ``come`` is set whenever a packet has come.
    """

    def __init__(self, decoders: Mapping[str, TickDecoder], *, instruments: InstrumentNames, source: Source) -> None:
        self.come = asyncio.Event()
        self.feed_lag = LagCounter(FEED_LAG_BOUNDS_S)
        self.instruments = instruments
        self._source: Source = source
        self.accounts: Mapping[str, AccountTicks] = {
            account_id: AccountTicks(
                account_id, decode=decode, source=source, feed_lag=self.feed_lag, wake=self.come.set
            )
            for account_id, decode in decoders.items()
        }

    @property
    def source(self) -> Source:
        """Where prices of this process come from now: a single replaying socket makes all of them a replay."""
        return "replay" if any(ticks.source == "replay" for ticks in self.accounts.values()) else self._source

    def last(self, token: int) -> LastTick | None:
        """The newest tick in memory, over all accounts."""
        names = self.instruments.by_token()
        found = [last for ticks in self.accounts.values() if (last := ticks.last(token, names=names)) is not None]
        return max(found, key=lambda last: last.received_at_ms, default=None)

    def last_json(self, token: int) -> bytes | None:
        """The newest tick in memory as JSON, as listeners get it; None when there is none."""
        last = self.last(token)
        return None if last is None else msgspec.json.encode(last.tick)

    def received_at_ms(self, token: int, *, account_id: str) -> int | None:
        """When the newest tick of this instrument came from this account, or None."""
        account = self.accounts.get(account_id)
        return None if account is None else account.received_at_ms(token)

    def last_received_ms(self, account_id: str) -> int:
        """When the newest tick of any instrument came from this account; 0: never."""
        account = self.accounts.get(account_id)
        return 0 if account is None else account.last_received_ms

    def forget(self, account_id: str, tokens: Iterable[int]) -> None:
        """Drop what is kept of instruments that this account no longer streams."""
        account = self.accounts.get(account_id)
        if account is not None:
            account.forget(tokens)
