"""Last values for ``GET /quotes``: from memory, from Redis where another process has the feed, else from the broker.

The broker allows one quote request a second, so it is only asked for instruments that have never ticked. Callers that
need such instruments at the same time share one request, and its answer serves for a second.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.broker.market import Instrument, Quote
from app.broker.port import QUOTE_KEYS_LIMIT, Broker
from app.db.redis_keys import RedisKeys
from app.errors import BadInput, BrokerError, Problem, Unavailable
from app.kit.clock import Clock, epoch_ms
from app.market.calendar.staleness import StalenessCheck
from app.market.instruments.registry import InstrumentRegistry
from app.market.quotes.broker_quote import to_tick_fields
from app.market.ticks.newest import NewestTicks

CACHE_S = 1.0
"""How long an answer of the broker serves further callers."""

_TOKEN = re.compile(r"[0-9]{1,19}\Z")

MAX_KEYS = 500
"""Instruments in one call."""

Origin: TypeAlias = Literal["tick", "broker"]
"""Where a value came from: the stream, or a quote request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteAnswer:
    """``quotes`` by the caller's key (``EXCHANGE:TRADINGSYMBOL`` or an instrument token); ``missing`` have no value."""

    quotes: Mapping[str, Mapping[str, Any]]
    missing: tuple[str, ...]


class QuoteService:
    """Keeps what the broker answered for ``CACHE_S``: at most the keys of that time."""

    def __init__(
        self,
        *,
        ticks: NewestTicks,
        instruments: InstrumentRegistry,
        brokers: Mapping[str, Broker],
        redis: Redis,
        keys: RedisKeys,
        staleness: StalenessCheck,
        clock: Clock,
    ) -> None:
        self._ticks = ticks
        self._instruments = instruments
        self._brokers = brokers
        self._redis = redis
        self._keys = keys
        self._staleness = staleness
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._wanted: set[str] = set()  # keys of all callers that wait for the next request
        self._cache: dict[str, tuple[float, int, Quote | None]] = {}  # fetched at: monotonic s, epoch ms

    async def quotes(self, keys: Sequence[str]) -> QuoteAnswer:
        """Tick fields plus ``age_ms``, ``stale`` and ``origin`` (``tick`` or ``broker``) for each key.

        Raises BadInput for malformed keys, BrokerError or Unavailable when the broker was needed and did not answer.
        """
        _check_keys(keys)
        known = {key: self._find(key) for key in dict.fromkeys(keys)}
        found = {key: self._from_memory(item) for key, item in known.items() if item is not None}
        await self._fill_from_redis({key: item for key, item in known.items() if item and not found.get(key)}, found)
        await self._fill_from_broker({key: item for key, item in known.items() if item and not found.get(key)}, found)
        quotes = {key: value for key in known if (value := found.get(key)) is not None}
        return QuoteAnswer(quotes=quotes, missing=tuple(key for key in known if key not in quotes))

    def _find(self, key: str) -> Instrument | None:
        if _TOKEN.match(key):
            return self._instruments.by_token().get(int(key))
        return self._instruments.find(*key.split(":", 1))

    def _from_memory(self, instrument: Instrument) -> dict[str, Any] | None:
        last = self._ticks.last(instrument.instrument_token)
        if last is None:
            return None
        return self._aged(msgspec.to_builtins(last.tick), instrument, received_at_ms=last.received_at_ms)

    async def _fill_from_redis(self, wanted: Mapping[str, Instrument], found: dict[str, dict[str, Any] | None]) -> None:
        """Values that another process wrote, unless they are of another source (a replay) or of another instrument
        that once had this token."""
        if not wanted:
            return
        tokens = [str(item.instrument_token) for item in wanted.values()]
        try:
            values = await self._redis.hmget(self._keys.last_ticks, tokens)
        except (RedisError, OSError) as error:
            logger.warning("quotes not read from Redis: {}", error)
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
        await self._refresh_cache({instrument.key for instrument in wanted.values()})
        for key, instrument in wanted.items():
            _, fetched_at_ms, quote = self._cache.get(instrument.key, (0.0, 0, None))
            if quote is not None:
                fields = to_tick_fields(quote, instrument, source=self._ticks.source, received_at_ms=fetched_at_ms)
                found[key] = self._aged(fields, instrument, received_at_ms=fetched_at_ms, origin="broker")

    async def _refresh_cache(self, keys: set[str]) -> None:
        """The first caller to get the lock fetches for all callers that have come meanwhile."""
        self._wanted |= keys
        async with self._fetching:
            now = self._clock.monotonic()
            self._cache = {key: kept for key, kept in self._cache.items() if now - kept[0] < CACHE_S}
            due = sorted(self._wanted - self._cache.keys())
            self._wanted = set()
            for at in range(0, len(due), QUOTE_KEYS_LIMIT):
                await self._fetch(due[at : at + QUOTE_KEYS_LIMIT])

    async def _fetch(self, keys: Sequence[str]) -> None:
        problem: BrokerError | None = None
        for broker in list(self._brokers.values()):
            try:
                quotes = await broker.market.quotes(keys)
            except BrokerError as error:
                problem = error
                continue
            at, at_ms = self._clock.monotonic(), epoch_ms(self._clock.now())
            self._cache.update({key: (at, at_ms, quotes.get(key)) for key in keys})
            return
        raise problem or Unavailable("no account is configured to ask for quotes with", code="NO_ACCOUNT")

    def _aged(
        self, fields: dict[str, Any], instrument: Instrument, *, received_at_ms: int, origin: Origin = "tick"
    ) -> dict[str, Any]:
        age = self._staleness.age_of(instrument.exchange, received_at_ms=received_at_ms)
        return {**fields, "age_ms": age.age_ms, "stale": age.stale, "origin": origin}


def _check_keys(keys: Sequence[str]) -> None:
    problems = [
        Problem(loc=("query", "i", at), msg=f"{key!r} is not EXCHANGE:TRADINGSYMBOL")
        for at, key in enumerate(keys)
        if not all(key.partition(":")) and not _TOKEN.match(key)
    ]
    if not keys or len(keys) > MAX_KEYS:
        problems.append(Problem(loc=("query", "i"), msg=f"give between 1 and {MAX_KEYS} instruments"))
    if problems:
        raise BadInput(problems)


def _read(value: bytes | str | None) -> dict[str, Any]:
    """The fields of a stored tick; empty for anything that is none."""
    if value is None:
        return {}
    try:
        fields = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return {}
    return fields if isinstance(fields, dict) and isinstance(fields.get("received_at"), int) else {}
