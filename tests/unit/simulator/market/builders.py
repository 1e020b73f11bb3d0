"""Instruments for tests that need any."""

from decimal import Decimal

from simulator.market.instrument import Instrument, Segment
from simulator.market.state import State, new_state


def make_share(number: int) -> Instrument:
    return Instrument(
        exchange="NSE",
        tradingsymbol=f"SHARE{number}",
        name="",
        exchange_token=number,
        segment_id=Segment.NSE,
        segment="NSE",
        instrument_type="EQ",
        underlying=f"SHARE{number}",
        tick_size=Decimal("0.05"),
        lot_size=1,
    )


def make_index() -> Instrument:
    return Instrument(
        exchange="NSE",
        tradingsymbol="NIFTY 50",
        name="NIFTY 50",
        exchange_token=1001,
        segment_id=Segment.INDICES,
        segment="INDICES",
        instrument_type="EQ",
        underlying="NIFTY 50",
        tick_size=Decimal(0),
        lot_size=0,
    )


def any_state() -> State:
    return new_state([make_share(1)])
