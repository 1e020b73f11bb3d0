"""A broker behind the port whose answers a test writes, and a feed that records its calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from app.broker.market import Candle, Instrument, Mode, Quote
from app.broker.port import Broker, FeedState, OrderGateway, PortfolioGateway, SessionGateway
from app.broker.rows import BadRow, Rows
from app.broker.ticks import Tick


@dataclass
class ScriptedMarket:
    """``failure`` is raised by every call while it is set; ``calls`` are the arguments of each call."""

    dump: list[Instrument] = field(default_factory=list)
    unreadable: Sequence[BadRow] = ()
    prices: dict[str, Quote] = field(default_factory=dict)
    bars: list[Candle] = field(default_factory=list)
    failure: Exception | None = None
    calls: list[Any] = field(default_factory=list)

    async def instruments(self, exchange: str | None = None) -> Rows[Instrument]:
        self._note(("instruments", exchange))
        return Rows(good=list(self.dump), bad=self.unreadable)

    async def quotes(self, keys: Sequence[str]) -> dict[str, Quote]:
        self._note(("quotes", tuple(keys)))
        return {key: self.prices[key] for key in keys if key in self.prices}

    async def candles(
        self, instrument_token: int, *, interval: str, start: datetime, end: datetime, continuous: bool, oi: bool
    ) -> Rows[Candle]:
        self._note((instrument_token, interval, start, end, continuous, oi))
        return Rows(good=[bar for bar in self.bars if start <= bar.time <= end])

    def _note(self, call: Any) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure


class ScriptedFeed:
    """Keeps the subscriptions, and every call."""

    def __init__(self) -> None:
        self.state = FeedState(connected=True, sockets=1)
        self.calls: list[tuple[str, Any]] = []
        self._wanted: dict[int, Mode] = {}

    async def run(self) -> None:
        raise NotImplementedError

    def subscribe(self, modes: Mapping[int, Mode]) -> None:
        self.calls.append(("subscribe", dict(modes)))
        self._wanted.update(modes)

    def unsubscribe(self, tokens: Sequence[int]) -> None:
        self.calls.append(("unsubscribe", sorted(tokens)))
        for token in tokens:
            self._wanted.pop(token, None)

    def subscriptions(self) -> Mapping[int, Mode]:
        return dict(self._wanted)


def no_ticks(packet: bytes) -> Tick | None:
    raise NotImplementedError


def broker(market: ScriptedMarket, *, account_id: str = "primary") -> Broker:
    """Only its market side answers."""
    return Broker(
        account_id=account_id,
        orders=cast("OrderGateway", None),
        portfolio=cast("PortfolioGateway", None),
        market=market,
        session=cast("SessionGateway", None),
        decode=no_ticks,
        clock_offset_s=lambda: None,
    )


class SetClock:
    """A clock that only moves by ``forward``, the wall clock and the monotonic one together."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def forward(self, moment: datetime) -> None:
        self._monotonic += (moment - self._now).total_seconds()
        self._now = moment
