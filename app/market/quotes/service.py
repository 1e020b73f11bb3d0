"""Last values for the doors: from memory, from Redis where another process has the feed, else from the broker.

The broker allows one quote request a second, so it is asked only for what has never ticked; callers who want such
instruments at the same time share one request, and its answer serves for a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.broker.market import Instrument, Quote
from app.broker.port import Broker
from app.db.redis_keys import RedisKeys
from app.errors import BadInput, BrokerError, Problem, Unavailable
from app.kit.clock import Clock
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.instruments.registry import InstrumentService
from app.market.quotes.broker_quote import to_tick_fields
from app.market.ticks.pipeline import TickPipeline

CACHE_S = 1.0
MAX_KEYS = 500
"""Instruments a call."""

PER_REQUEST = 500
"""What Kite takes in one quote request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteAnswer:
    """``quotes`` by key as it was asked for; ``missing`` are keys for which nobody has a value."""

    quotes: Mapping[str, Mapping[str, Any]]
    missing: tuple[str, ...]


class QuoteService:
    def __init__(
        self,
        *,
        ticks: TickPipeline,
        instruments: InstrumentService,
        brokers: Mapping[str, Broker],
        redis: Redis,
        calendar: MarketCalendar,
        clock: Clock,
        keys: RedisKeys,
        stale_after_s: float,
    ) -> None:
        self._ticks = ticks
        self._instruments = instruments
        self._brokers = brokers
        self._redis = redis
        self._calendar = calendar
        self._clock = clock
        self._keys = keys
        self._stale_after_s = stale_after_s
        self._asking = asyncio.Lock()
        self._wanted: set[str] = set()
        self._cache: dict[str, tuple[float, int, Quote | None]] = {}

    async def quotes(self, keys: Sequence[str]) -> QuoteAnswer:
        """Tick fields plus ``age_ms``, ``stale`` and ``origin`` (``tick`` or ``broker``) for each ``EXCHANGE:SYMBOL``.

        Raises BadInput for malformed keys, BrokerError or Unavailable when the broker was needed and did not answer.
        """
        _check_keys(keys)
        known = {key: self._instruments.find(*key.split(":", 1)) for key in dict.fromkeys(keys)}
        found = {key: self._from_memory(item) for key, item in known.items() if item is not None}
        await self._fill_from_redis({key: item for key, item in known.items() if item and not found.get(key)}, found)
        await self._fill_from_broker({key: item for key, item in known.items() if item and not found.get(key)}, found)
        quotes = {key: value for key in known if (value := found.get(key)) is not None}
        return QuoteAnswer(quotes=quotes, missing=tuple(key for key in known if key not in quotes))

    def _from_memory(self, instrument: Instrument) -> dict[str, Any] | None:
        last = self._ticks.last(instrument.instrument_token)
        if last is None:
            return None
        return self._aged(msgspec.to_builtins(last.tick), instrument, received_at_ms=last.received_at_ms)

    async def _fill_from_redis(self, wanted: Mapping[str, Instrument], found: dict[str, dict[str, Any] | None]) -> None:
        """Values of another process, or of the one before us; those of another source than ours are not believed."""
        if not wanted:
            return
        tokens = [str(item.instrument_token) for item in wanted.values()]
        try:
            values = await self._redis.hmget(self._keys.last_ticks, tokens)
        except (RedisError, OSError) as error:
            logger.warning("quotes: Redis has no answer: {}", error)
            return
        for (key, instrument), value in zip(wanted.items(), values, strict=True):
            fields = _read(value)
            if fields.get("source") == self._ticks.source and fields.get("tradingsymbol") == instrument.tradingsymbol:
                found[key] = self._aged(fields, instrument, received_at_ms=int(fields["received_at"]))

    async def _fill_from_broker(
        self, wanted: Mapping[str, Instrument], found: dict[str, dict[str, Any] | None]
    ) -> None:
        if not wanted:
            return
        await self._ask(set(wanted))
        for key, instrument in wanted.items():
            _, fetched_at_ms, quote = self._cache.get(key, (0.0, 0, None))
            if quote is not None:
                fields = to_tick_fields(quote, instrument, source=self._ticks.source, received_at_ms=fetched_at_ms)
                found[key] = self._aged(fields, instrument, received_at_ms=fetched_at_ms, origin="broker")

    async def _ask(self, keys: set[str]) -> None:
        """Whoever comes first asks for everybody who waits meanwhile."""
        self._wanted |= keys
        async with self._asking:
            now = self._clock.monotonic()
            self._cache = {key: kept for key, kept in self._cache.items() if now - kept[0] < CACHE_S}
            due = sorted(self._wanted - self._cache.keys())
            self._wanted = set()
            for at in range(0, len(due), PER_REQUEST):
                await self._fetch(due[at : at + PER_REQUEST])

    async def _fetch(self, keys: Sequence[str]) -> None:
        problem: BrokerError | None = None
        for broker in list(self._brokers.values()):
            try:
                quotes = await broker.market.quotes(keys)
            except BrokerError as error:
                problem = error
                continue
            at, at_ms = self._clock.monotonic(), int(self._clock.now().timestamp() * 1000)
            self._cache.update({key: (at, at_ms, quotes.get(key)) for key in keys})
            return
        raise problem or Unavailable("no account is configured to ask for quotes with", code="NO_ACCOUNT")

    def _aged(
        self, fields: dict[str, Any], instrument: Instrument, *, received_at_ms: int, origin: str = "tick"
    ) -> dict[str, Any]:
        now = self._clock.now()
        age_ms = max(0, int(now.timestamp() * 1000) - received_at_ms)
        stale = self._calendar.is_stale(
            instrument.exchange, age_s=age_ms / 1000, now=now, stale_after_s=self._stale_after_s
        )
        return {**fields, "age_ms": age_ms, "stale": stale, "origin": origin}


def _check_keys(keys: Sequence[str]) -> None:
    problems = [
        Problem(loc=("query", "i", at), msg=f"{key!r} is not EXCHANGE:TRADINGSYMBOL")
        for at, key in enumerate(keys)
        if not all(key.partition(":"))
    ]
    if not keys or len(keys) > MAX_KEYS:
        problems.append(Problem(loc=("query", "i"), msg=f"give between 1 and {MAX_KEYS} instruments"))
    if problems:
        raise BadInput(problems)


def _read(value: bytes | str | None) -> dict[str, Any]:
    """A stored tick; anything else is as if there were none."""
    if value is None:
        return {}
    try:
        fields = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return {}
    return fields if isinstance(fields, dict) and isinstance(fields.get("received_at"), int) else {}
