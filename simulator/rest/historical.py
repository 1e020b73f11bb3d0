"""`/instruments/historical/{instrument_token}/{interval}`: candles, computed in a thread so that ticks go on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.clock import IST
from simulator.envelope import encode_plain
from simulator.errors import input_error, missing_field
from simulator.market.candles import DAY, INTERVALS, CandleSource, Interval, candle_rows
from simulator.market.closed_candles import ClosedCandles
from simulator.market.instrument import Instrument
from simulator.market.market import Market
from simulator.rest.auth import Guard

_TRUE = {"1", "true", "True"}


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """One checked request."""

    instrument: Instrument
    interval: Interval
    start: datetime
    """Aware; inclusive, as `end` is."""
    end: datetime
    future: Literal["contract", "continuous"]
    """For a future: the contract's own life, or the continuous series."""
    columns: int
    """Of a row: 6, or 7 with open interest."""


class HistoricalRoutes:
    """The route of candles."""

    def __init__(self, market: Market, *, guard: Guard, now: Callable[[], datetime]) -> None:
        self._market = market
        self._guard = guard
        self._now = now
        self._closed = ClosedCandles()

    def routes(self) -> list[Route]:
        path = "/instruments/historical/{instrument_token}/{interval}"
        return [Route(path, self._guard.signed_in(self.candles), methods=["GET"])]

    async def candles(self, request: Request, _user_id: str) -> Response:
        query = self._parse(request)
        token = query.instrument.instrument_token
        source = CandleSource(self._market, token, now=self._now(), future=query.future, closed=self._closed)
        body = await run_in_threadpool(_render, source, query)
        return Response(body, media_type="application/json")

    def _parse(self, request: Request) -> CandleQuery:
        params, path = request.query_params, request.path_params
        interval = INTERVALS.get(path["interval"])
        if interval is None:
            raise input_error("invalid interval")
        instrument = self._find(path["instrument_token"])
        start = parse_moment(params.get("from"), name="from", whole_day=time())
        end = parse_moment(params.get("to"), name="to", whole_day=time(23, 59, 59))
        check_span(start, end, interval=interval)
        continuous = params.get("continuous") in _TRUE
        if continuous and (interval is not DAY or instrument.segment not in {"NFO-FUT", "MCX-FUT"}):
            raise input_error("continuous data is available for day candles of NFO and MCX futures only")
        return CandleQuery(
            instrument=instrument,
            interval=interval,
            start=start,
            end=end,
            future="continuous" if continuous else "contract",
            columns=7 if params.get("oi") in _TRUE else 6,
        )

    def _find(self, token: str) -> Instrument:
        instrument = self._market.instruments.get(int(token)) if token.isascii() and token.isdigit() else None
        if instrument is None:
            raise input_error("invalid token")
        return instrument


def parse_moment(text: str | None, *, name: str, whole_day: time) -> datetime:
    """`YYYY-MM-DD HH:MM:SS` in IST; for a date alone, `whole_day` on it. Raises KiteError 400."""
    if not text:
        raise missing_field(name)
    try:
        if len(text) == len("YYYY-MM-DD"):
            return datetime.combine(date.fromisoformat(text), whole_day, IST)
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=IST)
    except ValueError:
        raise input_error(f"invalid `{name}` date: expected YYYY-MM-DD HH:MM:SS") from None


def check_span(start: datetime, end: datetime, *, interval: Interval) -> None:
    """Checks that a range does not end before it starts, and is not too long. Raises KiteError 400."""
    if start > end:
        raise input_error("`from` date must not be after `to` date")
    if (end.date() - start.date()).days > interval.max_days:
        raise input_error(f"interval exceeds max limit: {interval.max_days} days")


def _render(source: CandleSource, query: CandleQuery) -> bytes:
    candles = source.cut(query.interval, start=query.start, end=query.end)
    rows = candle_rows(candles, query.instrument, columns=query.columns)
    return encode_plain({"status": "success", "data": {"candles": rows}})
