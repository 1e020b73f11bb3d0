"""Portfolio and market data by REST, each read behind the account's governor. Nothing is retried here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from loguru import logger

from app.broker.market import Candle, Instrument, Quote
from app.broker.port import QUOTE_KEYS_LIMIT, Governor, RequestKind
from app.broker.rows import BadRow, Rows
from app.errors import BrokerThrottled, RateLimited
from app.kit.clock import IST
from app.kite.endpoints import Endpoint
from app.kite.http import KiteHttp, Query
from app.kite.wire.market import object_of, objects_of, parse_candles, parse_instruments, parse_quotes

MAX_NAMED = 10
"""Unreadable rows that one log line names; all are counted."""


class PacedReads:
    """Reads that wait for the governor. Raises BrokerThrottled, with nothing sent, when one may not go in time."""

    def __init__(
        self, http: KiteHttp, *, governor: Governor, account_id: str, count_unreadable: Callable[[str, int], None]
    ) -> None:
        self._http = http
        self._governor = governor
        self._account_id = account_id
        self._count_unreadable = count_unreadable
        self._reported: dict[Endpoint, frozenset[tuple[str | None, str]]] = {}

    def report(self, endpoint: Endpoint, bad: Sequence[BadRow]) -> None:
        """Count the rows of an answer that cannot be read, and log those that the answer before did not have."""
        if bad:
            self._count_unreadable(endpoint, len(bad))
        found = frozenset((row.subject, row.reason) for row in bad)
        new = found - self._reported.get(endpoint, frozenset())
        self._reported[endpoint] = found
        shown = [row for row in bad if (row.subject, row.reason) in new][:MAX_NAMED]
        if shown:
            named = "; ".join(f"{row.place}: {row.reason}" for row in shown)
            fields = {"account_id": self._account_id, "action": f"read_{endpoint}", "rows": len(bad)}
            logger.bind(**fields, named=named).error("rows of the broker's answer cannot be read and are left out")

    async def get(
        self, endpoint: Endpoint, path: str, *, query: Query | None = None, kind: RequestKind = RequestKind.OTHER
    ) -> Any:
        """``data`` of the answer."""
        await self._wait(kind)
        return await self._http.read(endpoint, path, query=query)

    async def post(self, endpoint: Endpoint, path: str, *, query: Query, json: Any) -> Any:
        """``data`` of the answer to a POST that changes nothing at the broker."""
        await self._wait(RequestKind.OTHER)
        return await self._http.read(endpoint, path, method="POST", query=query, json=json)

    async def download(self, endpoint: Endpoint, path: str) -> bytes:
        """The body of the answer."""
        await self._wait(RequestKind.OTHER)
        return await self._http.download(endpoint, path)

    async def _wait(self, kind: RequestKind) -> None:
        try:
            await self._governor.acquire(kind)
        except RateLimited as error:
            raise BrokerThrottled(str(error)) from error


class KitePortfolio:
    """Implements ``app.broker.port.PortfolioGateway``: Kite's own objects, unchanged."""

    def __init__(self, reads: PacedReads) -> None:
        self._reads = reads

    async def profile(self) -> Mapping[str, Any]:
        return object_of(await self._reads.get(Endpoint.PROFILE, "/user/profile"), "profile")

    async def holdings(self) -> Sequence[Mapping[str, Any]]:
        return objects_of(await self._reads.get(Endpoint.HOLDINGS, "/portfolio/holdings"), "holdings")

    async def positions(self) -> Mapping[str, Any]:
        return object_of(await self._reads.get(Endpoint.POSITIONS, "/portfolio/positions"), "positions")

    async def margins(self) -> Mapping[str, Any]:
        return object_of(await self._reads.get(Endpoint.MARGINS, "/user/margins"), "margins")


class KiteMarket:
    """Implements ``app.broker.port.MarketGateway``."""

    def __init__(self, reads: PacedReads) -> None:
        self._reads = reads

    async def instruments(self, exchange: str | None = None) -> Rows[Instrument]:
        """The dump, parsed in a worker thread (about 100,000 rows)."""
        path = "/instruments" if exchange is None else f"/instruments/{quote(exchange, safe='')}"
        dump = await self._reads.download(Endpoint.INSTRUMENTS, path)
        rows = await asyncio.to_thread(_parse_dump, dump)
        self._reads.report(Endpoint.INSTRUMENTS, rows.bad)
        return rows

    async def quotes(self, keys: Sequence[str]) -> dict[str, Quote]:
        if len(keys) > QUOTE_KEYS_LIMIT:
            raise ValueError(f"{len(keys)} keys in one quote request, at most {QUOTE_KEYS_LIMIT}")
        if not keys:
            return {}
        query = [("i", key) for key in keys]
        quotes, bad = parse_quotes(await self._reads.get(Endpoint.QUOTE, "/quote", query=query, kind=RequestKind.QUOTE))
        self._reads.report(Endpoint.QUOTE, bad)
        return quotes

    async def candles(
        self, instrument_token: int, *, interval: str, start: datetime, end: datetime, continuous: bool, oi: bool
    ) -> Rows[Candle]:
        query = {
            "from": _ist_text(start),
            "to": _ist_text(end),
            "continuous": str(int(continuous)),
            "oi": str(int(oi)),
        }
        path = f"/instruments/historical/{instrument_token}/{quote(interval, safe='')}"
        rows = parse_candles(await self._reads.get(Endpoint.HISTORICAL, path, query=query, kind=RequestKind.HISTORICAL))
        self._reads.report(Endpoint.HISTORICAL, rows.bad)
        return rows


def _parse_dump(dump: bytes) -> Rows[Instrument]:
    return parse_instruments(dump.decode("utf-8-sig", errors="replace"))


def _ist_text(moment: datetime) -> str:
    """``YYYY-MM-DD HH:MM:SS`` in IST, the only form Kite takes."""
    if moment.tzinfo is None:
        raise ValueError("a range of candles needs aware times")
    return moment.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")
