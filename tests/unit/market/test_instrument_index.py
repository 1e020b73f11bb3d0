"""The instruments in memory."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.instruments.index import InstrumentFilter, InstrumentIndex
from tests.unit.market.builders import instrument

JAN, FEB = date(2026, 1, 29), date(2026, 2, 26)
ROWS = [
    instrument("NSE:INFY", token=1),
    instrument("BSE:INFY", token=2),
    instrument("NFO:INFY26JANFUT", token=3, name="INFY", expiry=JAN, instrument_type="FUT", segment="NFO-FUT"),
    instrument("NFO:INFY26FEBFUT", token=4, name="INFY", expiry=FEB, instrument_type="FUT", segment="NFO-FUT"),
    instrument(
        "NFO:INFY26JAN1500CE", token=5, name="INFY", expiry=JAN, strike="1500", instrument_type="CE", segment="NFO-OPT"
    ),
    instrument("NSE:NIFTY 50", token=6, name="NIFTY 50", segment="INDICES"),
    instrument("NSE:SBIN", token=7, name="STATE BANK OF INDIA"),
]
INDEX = InstrumentIndex(ROWS)


def found(wanted: InstrumentFilter, *, limit: int = 100) -> list[str]:
    return [row.key for row in INDEX.search(wanted, limit=limit).instruments]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (InstrumentFilter(query="infy", exchange="NSE"), ["NSE:INFY"]),
        (InstrumentFilter(query="state bank"), ["NSE:SBIN"]),
        (InstrumentFilter(query="nifty 50"), ["NSE:NIFTY 50"]),
        (InstrumentFilter(segment="NFO-FUT"), ["NFO:INFY26FEBFUT", "NFO:INFY26JANFUT"]),
        (InstrumentFilter(name="INFY", expiry=JAN), ["NFO:INFY26JAN1500CE", "NFO:INFY26JANFUT"]),
        (InstrumentFilter(expiry=FEB), ["NFO:INFY26FEBFUT"]),
        (InstrumentFilter(instrument_type="CE", strike_min=Decimal(1400), strike_max=Decimal(1500)),
         ["NFO:INFY26JAN1500CE"]),
        (InstrumentFilter(instrument_type="CE", strike_min=Decimal(1501)), []),
        (InstrumentFilter(exchange="BSE"), ["BSE:INFY"]),
        (InstrumentFilter(exchange="NS"), []),  # whole words only
        (InstrumentFilter(query="NOPE"), []),
    ],
)  # fmt: skip
def test_a_search_matches_every_field_of_its_filter(wanted: InstrumentFilter, expected: list[str]) -> None:
    """Each narrows; text is found in symbol and name in any case."""
    assert found(wanted) == expected


def test_exact_symbols_come_first() -> None:
    """Then the order of keys."""
    keys = found(InstrumentFilter(query="INFY"))
    assert keys == ["BSE:INFY", "NSE:INFY", "NFO:INFY26FEBFUT", "NFO:INFY26JAN1500CE", "NFO:INFY26JANFUT"]


@given(limit=st.integers(1, 8), query=st.sampled_from([None, "INFY", "N", "SBIN"]))
def test_pages_together_are_the_whole_without_repetition(limit: int, query: str | None) -> None:
    """Whatever the page size."""
    wanted = InstrumentFilter(query=query)
    keys: list[str] = []
    after = None
    while True:
        page = INDEX.search(wanted, limit=limit, after=after)
        assert len(page.instruments) <= limit
        keys += [row.key for row in page.instruments]
        after = page.next_key
        if after is None:
            break
    assert keys == found(wanted)


def test_instruments_are_found_by_token_and_by_symbol() -> None:
    """By token and by symbol."""
    assert INDEX.by_token[7].key == "NSE:SBIN"
    assert INDEX.find("NSE", "NIFTY 50") is ROWS[5]
    assert INDEX.find("BSE", "SBIN") is None


def test_a_key_that_comes_twice_is_one_instrument() -> None:
    """The later row of the dump counts."""
    index = InstrumentIndex([instrument("NSE:INFY", token=1), instrument("NSE:INFY", token=2)])
    assert (len(index), list(index.by_token)) == (1, [2])
