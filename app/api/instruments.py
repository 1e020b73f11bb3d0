"""Instruments: search, lookup, and reloading the broker's dump."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.api.dependencies import DUMP_S, ServicesDep
from app.api.paging import KeyCursor, Page, PageLimit, cursor_of_key, key_of_cursor
from app.api.problems import problem_responses
from app.api.query_values import Day, Flag
from app.api.strict_route import StrictRoute
from app.broker.market import Instrument
from app.kit.answer_time import answering_within
from app.kit.clock import ist_iso
from app.market.instruments.index import InstrumentFilter

_INFY: dict[str, Any] = {
    "instrument_token": 408065,
    "exchange_token": 1594,
    "tradingsymbol": "INFY",
    "name": "INFOSYS",
    "expiry": None,
    "strike": 0,
    "tick_size": 0.05,
    "lot_size": 1,
    "instrument_type": "EQ",
    "segment": "NSE",
    "exchange": "NSE",
}
_Text = Annotated[str | None, Query(min_length=1, max_length=64)]
Strike = Annotated[Decimal, Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]
TokenPath = Annotated[int, Path(ge=0, le=2**32 - 1, examples=[408065])]


class InstrumentOut(BaseModel):
    """Kite's columns of one instrument (https://kite.trade/docs/connect/v3/market-quotes/); `expiry` may be null."""

    model_config = ConfigDict(json_schema_extra={"example": _INFY})

    instrument_token: int
    exchange_token: int
    tradingsymbol: str
    name: str
    expiry: date | None
    strike: float
    tick_size: float
    lot_size: int
    instrument_type: str
    segment: str
    exchange: str

    @classmethod
    def of(cls, instrument: Instrument) -> InstrumentOut:
        return cls(
            instrument_token=instrument.instrument_token,
            exchange_token=instrument.exchange_token,
            tradingsymbol=instrument.tradingsymbol,
            name=instrument.name,
            expiry=instrument.expiry,
            strike=float(instrument.strike),
            tick_size=float(instrument.tick_size),
            lot_size=instrument.lot_size,
            instrument_type=instrument.instrument_type,
            segment=instrument.segment,
            exchange=instrument.exchange,
        )


MAX_NAMED = 20


class LeftOutRow(BaseModel):
    """A row of the broker's dump that could not be read, and why."""

    place: str
    reason: str


class RefreshOut(BaseModel):
    """Counts of instruments after the reload, and of rows that were left out, of which the first ones are named."""

    instruments: int
    added: int
    expired: int
    left_out: int
    left_out_rows: list[LeftOutRow]
    last_refresh: str


def build_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute, tags=["instruments"], responses=problem_responses(401, 503))

    @router.get("/instruments", responses=problem_responses(400))
    async def search_instruments(
        services: ServicesDep,
        query: Annotated[_Text, Query(description="part of symbol or name, any case", examples=["INFY"])] = None,
        exchange: Annotated[_Text, Query(examples=["NSE"])] = None,
        segment: Annotated[_Text, Query(examples=["NSE"])] = None,
        instrument_type: Annotated[_Text, Query(examples=["EQ"])] = None,
        name: Annotated[_Text, Query(description="exactly, for example of an underlying")] = None,
        expiry: Annotated[Day | None, Query()] = None,
        strike_min: Annotated[Strike | None, Query()] = None,
        strike_max: Annotated[Strike | None, Query()] = None,
        limit: PageLimit = 50,
        cursor: KeyCursor = None,
    ) -> Page[InstrumentOut]:
        """All filters must match. An exact symbol comes first, then the order of `EXCHANGE:TRADINGSYMBOL`."""
        wanted = InstrumentFilter(
            query=query,
            exchange=exchange,
            segment=segment,
            instrument_type=instrument_type,
            name=name,
            expiry=expiry,
            strike_min=strike_min,
            strike_max=strike_max,
        )
        page = services.instruments.search(wanted, limit=limit, after=key_of_cursor(cursor))
        return Page(
            data=[InstrumentOut.of(instrument) for instrument in page.instruments],
            next_cursor=cursor_of_key(page.next_key),
        )

    @router.get("/instruments/{instrument_token}", responses=problem_responses(400, 404, 410))
    async def get_instrument(services: ServicesDep, instrument_token: TokenPath) -> InstrumentOut:
        """An expired instrument is 410 with `code: INSTRUMENT_EXPIRED`."""
        return InstrumentOut.of(await services.instruments.get(instrument_token))

    @router.post("/admin/instrument-refresh", responses=problem_responses(400, 409, 502))
    async def refresh_instruments(services: ServicesDep, force: Annotated[Flag, Query()] = False) -> RefreshOut:
        """Load the broker's dump again. `force` also accepts one with less than half as many instruments as before."""
        with answering_within(DUMP_S):
            result = await services.instruments.refresh(force=force)
        return RefreshOut(
            instruments=result.instruments,
            added=result.added,
            expired=result.expired,
            last_refresh=ist_iso(result.refreshed_at),
            left_out=len(result.left_out),
            left_out_rows=[LeftOutRow(place=row.place, reason=row.reason) for row in result.left_out[:MAX_NAMED]],
        )

    return router
