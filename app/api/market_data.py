"""Last values and candles."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import HISTORY_S, PrincipalDep, ServicesDep, require_account
from app.api.problems import problem_responses
from app.api.query_values import Flag
from app.api.strict_route import StrictRoute
from app.broker.identifiers import AccountId
from app.errors import BadInput, Problem
from app.kit.answer_time import answering_within
from app.kit.clock import ist_iso
from app.market.history.ranges import DateMeans, parse_moment
from app.market.history.service import History, HistoryRequest

_QUOTE: dict[str, Any] = {
    "v": 1,
    "instrument_token": 408065,
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "mode": "ltp",
    "tradable": True,
    "last_price": 1573.15,
    "account_id": "primary",
    "seq": 42,
    "received_at": 1767772500123,
    "source": "simulator",
    "age_ms": 87,
    "stale": False,
    "origin": "tick",
}
QUOTE_KEY = r"^(?:[^:]+:.+|[0-9]{1,19})$"
_Moment = Annotated[str, Query(min_length=10, max_length=40)]


class QuotesOut(BaseModel):
    """By key as requested: the fields of a tick, and `age_ms`, `stale` and `origin` (`tick`, or `broker` for an
    instrument that has never ticked). `missing`: keys for which neither this service nor the broker has a value."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": {"NSE:INFY": _QUOTE}, "missing": []}})

    data: dict[str, dict[str, Any]]
    missing: list[str]


class CandleOut(BaseModel):
    """`time` is the start of the candle; `oi` is null where it was not requested."""

    time: str
    open: float
    high: float
    low: float
    close: float
    volume: int
    oi: int | None


class HistoryOut(BaseModel):
    """Candles of one instrument, oldest first."""

    instrument_token: int
    tradingsymbol: str
    interval: str
    candles: list[CandleOut]


def build_router() -> APIRouter:
    router = APIRouter(
        route_class=StrictRoute, tags=["market data"], responses=problem_responses(400, 401, 409, 502, 503)
    )

    @router.get("/quotes", response_model=QuotesOut)
    async def quotes(
        services: ServicesDep,
        i: Annotated[
            list[Annotated[str, Field(json_schema_extra={"pattern": QUOTE_KEY})]],
            Query(description="`EXCHANGE:TRADINGSYMBOL` or an instrument token, repeated", examples=[["NSE:INFY"]]),
        ],
    ) -> Response:
        """The last value of each; those of instruments that have never ticked come from the broker."""
        answer = await services.quotes.quotes(i)
        return _json({"data": answer.quotes, "missing": answer.missing})

    @router.get("/history", response_model=HistoryOut, responses=problem_responses(403, 404, 410))
    async def history(
        services: ServicesDep,
        principal: PrincipalDep,
        instrument_token: Annotated[int, Query(ge=0, le=2**32 - 1, examples=[408065])],
        from_: Annotated[_Moment, Query(alias="from", examples=["2026-01-05 09:15:00"])],
        to: Annotated[_Moment, Query(examples=["2026-01-05 15:30:00"])],
        interval: Annotated[str, Query(max_length=16, examples=["minute"])] = "day",
        continuous: Annotated[Flag, Query(description="day candles of futures across expiries")] = False,
        oi: Annotated[Flag, Query(description="with open interest")] = False,
        account_id: AccountId | None = None,
    ) -> Response:
        """Candles of any range, which is split by the broker's limits and read at its rate. Naive times are IST."""
        if account_id is not None:
            require_account(services, principal=principal, account_id=account_id)
        request = HistoryRequest(
            instrument_token=instrument_token,
            start=_moment(from_, name="from"),
            end=_moment(to, name="to", date_means="end"),
            interval=interval,
            continuous=continuous,
            oi=oi,
            account_id=account_id,
        )
        with answering_within(HISTORY_S):
            found = await services.history.candles(request)
        return Response(await asyncio.to_thread(_history_json, found), media_type="application/json")

    return router


def _moment(text: str, *, name: str, date_means: DateMeans = "start") -> datetime:
    try:
        return parse_moment(text, date_means=date_means)
    except ValueError as error:
        raise BadInput([Problem(loc=("query", name), msg=str(error))]) from error


def _history_json(found: History) -> bytes:
    """The answer as JSON. Runs in a thread: hundreds of thousands of candles would block the event loop."""
    candles = [
        {
            "time": ist_iso(candle.time),
            "open": candle.open,
            "high": candle.high,
            "low": candle.low,
            "close": candle.close,
            "volume": candle.volume,
            "oi": candle.oi,
        }
        for candle in found.candles
    ]
    return _encode(
        {
            "instrument_token": found.instrument.instrument_token,
            "tradingsymbol": found.instrument.tradingsymbol,
            "interval": found.interval,
            "candles": candles,
            **({"left_out": found.left_out} if found.left_out else {}),
        }
    )


def _json(value: object) -> Response:
    return Response(_encode(value), media_type="application/json")


def _encode(value: object) -> bytes:
    """JSON in which decimals are numbers with their own digits."""
    return msgspec.json.Encoder(decimal_format="number").encode(value)
