"""The universe of a trading day."""

import itertools
from collections import Counter
from datetime import date, datetime
from decimal import Decimal

import pytest

from simulator.clock import IST
from simulator.market.instrument import Instrument, Segment
from simulator.market.listing import instruments_of
from simulator.market.market import Market
from simulator.market.universe import all_spots, build_universe

DAY = date(2026, 7, 6)


def build(day: date) -> tuple[Instrument, ...]:
    spots = all_spots()
    return build_universe(day, anchor=lambda name: spots[name].price)


@pytest.fixture(scope="module")
def universe() -> tuple[Instrument, ...]:
    return build(DAY)


def test_universe_has_thousands_of_instruments_in_every_segment(universe: tuple[Instrument, ...]) -> None:
    """At least 3,000, with futures and options in every segment of derivatives."""
    kinds = Counter(item.segment for item in universe)
    assert sum(kinds.values()) >= 3_000
    derivatives = {
        f"{exchange}-{kind}" for exchange in ("NFO", "BFO", "MCX", "NCO", "CDS", "BCD") for kind in ("FUT", "OPT")
    }
    assert set(kinds) == {"INDICES", "NSE", "BSE", *derivatives}


@pytest.mark.parametrize(
    ("exchange", "symbol", "token"),
    [
        ("NSE", "NIFTY 50", 256265),
        ("NSE", "NIFTY BANK", 260105),
        ("BSE", "SENSEX", 265),
        ("NSE", "INFY", 408065),
        ("NSE", "RELIANCE", 738561),
        ("NSE", "SBIN", 779521),
        ("NSE", "TATAMOTORS", 884737),
        ("NSE", "M&M", 519937),
        ("BSE", "RELIANCE", 128083204),
    ],
)
def test_well_known_instruments_have_their_real_tokens(
    universe: tuple[Instrument, ...], exchange: str, symbol: str, token: int
) -> None:
    """Programs have these numbers as constants."""
    found = [item for item in universe if (item.exchange, item.tradingsymbol) == (exchange, symbol)]
    assert [item.instrument_token for item in found] == [token]


def test_tokens_and_symbols_are_unique_and_tokens_contain_their_segment(universe: tuple[Instrument, ...]) -> None:
    """token = exchange_token * 256 + segment, below 2^31; no two instruments share a token or a symbol."""
    assert len({item.instrument_token for item in universe}) == len(universe)
    assert len({(item.exchange, item.tradingsymbol) for item in universe}) == len(universe)
    for item in universe:
        assert (item.instrument_token & 0xFF, item.instrument_token >> 8) == (item.segment_id, item.exchange_token)
        assert item.instrument_token < 2**31
        assert item.exchange in {"NSE", "BSE"} or item.exchange == item.segment_id.name


def test_contracts_expire_on_the_right_weekdays(universe: tuple[Instrument, ...]) -> None:
    """NSE on Tuesdays, BSE on Thursdays, all on a weekday and not before the day."""
    for item in universe:
        if item.expiry is None:
            continue
        assert item.expiry >= DAY
        assert item.expiry.weekday() < 5
        if item.segment_id in {Segment.NFO, Segment.BFO}:
            assert item.expiry.weekday() == (1 if item.segment_id is Segment.NFO else 3)


def test_option_chains_are_full(universe: tuple[Instrument, ...]) -> None:
    """Every strike of an expiry has a call and a put, evenly spaced around the spot."""
    chains: dict[tuple[str, str, date | None], dict[str, set[Decimal]]] = {}
    for item in universe:
        if item.instrument_type in {"CE", "PE"}:
            sides = chains.setdefault((item.exchange, item.name, item.expiry), {"CE": set(), "PE": set()})
            sides[item.instrument_type].add(item.strike)
    nifty = [key for key in chains if key[1] == "NIFTY"]
    assert len(nifty) >= 5
    for sides in chains.values():
        assert sides["CE"] == sides["PE"]
        strikes = sorted(sides["CE"])
        assert len({after - before for before, after in itertools.pairwise(strikes)}) == 1


def test_currency_and_commodity_tick_sizes(universe: tuple[Instrument, ...]) -> None:
    """0.0025 for currencies, whole rupees for gold and crude, 0.05 for shares."""
    ticks = {(item.segment_id.name, item.name): item.tick_size for item in universe if item.instrument_type == "FUT"}
    assert ticks["CDS", "USDINR"] == ticks["BCD", "USDINR"] == Decimal("0.0025")
    assert ticks["MCX", "CRUDEOIL"] == 1
    assert ticks["NFO", "INFY"] == Decimal("0.05")


def test_a_contract_keeps_its_token_from_day_to_day() -> None:
    """An option has the same token a week later."""
    before = {(item.exchange, item.tradingsymbol): item.instrument_token for item in build(DAY)}
    after = {(item.exchange, item.tradingsymbol): item.instrument_token for item in build(date(2026, 7, 13))}
    shared = before.keys() & after.keys()
    assert len(shared) > 4_000
    assert all(before[key] == after[key] for key in shared)
    assert before.keys() - after.keys(), "the contracts of the week are gone"


def test_a_large_universe_has_more_than_36_000_instruments() -> None:
    """All of the small one among them, each with a token and a symbol of its own."""
    day = date(2026, 7, 6)
    large, small = instruments_of(day, 1, "large"), instruments_of(day, 1)
    assert len(large) >= 36_000
    assert len({item.instrument_token for item in large}) == len(large)
    assert len({(item.exchange, item.tradingsymbol) for item in large}) == len(large)
    assert {item.instrument_token for item in small} <= {item.instrument_token for item in large}
    market = Market(seed=1, now=datetime(2026, 7, 6, 12, 0, tzinfo=IST), universe="large", ticks_per_second=0)
    assert len(market.instruments) == len(large)
