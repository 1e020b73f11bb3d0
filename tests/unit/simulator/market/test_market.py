"""The market: steps, prices that are set, trades of the exchange, days."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from simulator.clock import IST
from simulator.market.market import Market

NOON = datetime(2026, 7, 6, 12, 0, tzinfo=IST)
INFY = 408065
NIFTY = 256265
SECOND = timedelta(seconds=1)


@pytest.fixture
def market() -> Market:
    return Market(seed=1, now=NOON)


def rows_of(market: Market, *tokens: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([market.listing.row_of[token] for token in tokens], dtype=np.int64)


def test_same_seed_and_calls_give_the_same_market() -> None:
    """Everything that a packet shows: prices, volumes, depth."""
    pictures = []
    for _ in range(2):
        market = Market(seed=3, now=NOON)
        market.set_subscribed(rows_of(market, INFY, NIFTY))
        for second in range(1, 6):
            market.step(NOON + SECOND * second)
        pictures.append(market.state.words.copy())
    assert (pictures[0] == pictures[1]).all()


def test_step_returns_the_changed_tokens_and_notifies_the_listeners(market: Market) -> None:
    """The same tokens, once each."""
    notified: list[Sequence[int]] = []
    market.on_change(notified.append)
    tokens = market.step(NOON + SECOND)
    assert notified == [tokens]
    assert len(set(tokens)) == len(tokens) > 1_000


@pytest.mark.parametrize(("rate", "expected"), [(10.0, 10), (100.0, 100), (5_000.0, 2_000)])
def test_rate_is_spent_on_the_subscribed_instruments(market: Market, rate: float, expected: int) -> None:
    """So many changes per second, at most one of an instrument in a step: 200 instruments in ten steps."""
    subscribed = np.flatnonzero(market.listing.segments == 2)[:200]
    market.ticks_per_second = rate
    market.set_subscribed(subscribed)
    tokens = set(market.listing.tokens[subscribed].tolist())
    seen = sum(len(tokens.intersection(market.step(NOON + SECOND / 10 * n))) for n in range(1, 11))
    assert seen == pytest.approx(expected, abs=1)


def test_rate_zero_stops_the_paths(market: Market) -> None:
    """Only set_price moves prices then."""
    market.ticks_per_second = 0
    assert market.step(NOON + SECOND) == ()
    with pytest.raises(ValueError, match="must not be negative"):
        market.ticks_per_second = -1


def test_tick_is_a_trade(market: Market) -> None:
    """Volume and time advance, the day's range contains the price, the levels lie around it on the tick size."""
    before = market.quote(INFY)
    for second in range(1, 20):
        market.step(NOON + SECOND * second)
    quote = market.quote(INFY)
    assert quote.volume > before.volume
    assert quote.last_trade_time == quote.timestamp > before.timestamp
    assert quote.low <= quote.last_price <= quote.high
    assert quote.low <= quote.average_price <= quote.high
    assert quote.lower_circuit_limit <= quote.last_price <= quote.upper_circuit_limit
    buys, sells = [level.price for level in quote.buy], [level.price for level in quote.sell]
    assert buys == sorted(buys, reverse=True)
    assert sells == sorted(sells)
    assert sells[0] - buys[0] == Decimal("0.05")
    assert quote.last_price in {buys[0], sells[0]}


def test_an_index_has_a_price_and_no_quantities(market: Market) -> None:
    """Quantities, depth and circuit limits are zero."""
    market.step(NOON + SECOND * 2)
    quote = market.quote(NIFTY)
    assert quote.last_price > 0
    assert not any((quote.volume, quote.last_quantity, quote.buy_quantity, quote.upper_circuit_limit))
    assert not any(level.price or level.quantity for level in (*quote.buy, *quote.sell))


def test_frozen_instrument_keeps_its_price_until_unfrozen(market: Market) -> None:
    """It does not tick until then; afterwards the path goes on from its price."""
    price = market.last_price(INFY) + 100
    market.set_price(INFY, price, frozen=True)
    for second in range(1, 5):
        assert INFY not in market.step(NOON + SECOND * second)
    assert market.last_price(INFY) == price
    assert market.quote(INFY).sell[0].price == price
    market.set_price(INFY, frozen=False)
    assert INFY in market.step(NOON + SECOND * 10)
    assert float(market.last_price(INFY)) == pytest.approx(float(price), rel=0.002)


def test_the_set_liquidity_is_at_the_best_price(market: Market) -> None:
    """0 empties the levels; ticks do not change the setting."""
    market.set_price(INFY, liquidity=4)
    market.step(NOON + SECOND * 3)
    quote = market.quote(INFY)
    assert [level.quantity for level in quote.buy] == [level.quantity for level in quote.sell] == [4, 0, 0, 0, 0]
    assert (quote.buy_quantity, quote.sell_quantity) == (4, 4)
    market.set_price(INFY, liquidity=0)
    assert market.quote(INFY).sell[0].price == 0


@pytest.mark.parametrize("factor", ["0.4", "0.81", "1", "1.19", "2"])
def test_circuit_limits_are_a_fifth_away_from_a_price_that_is_set(market: Market, factor: str) -> None:
    """Whatever the previous close was: an order near the price must not be rejected by chance."""
    price = (market.last_price(INFY) * Decimal(factor)).quantize(Decimal(1))
    market.set_price(INFY, price, frozen=True)
    quote = market.quote(INFY)
    assert quote.lower_circuit_limit <= price * Decimal("0.81")
    assert quote.upper_circuit_limit >= price * Decimal("1.19")


@pytest.mark.parametrize("price", ["0", "-5", "1500.03", "NaN", "Infinity"])
def test_impossible_price_is_refused_and_changes_nothing(market: Market, price: str) -> None:
    """The error names the instrument and its tick size."""
    before = market.quote(INFY)
    with pytest.raises(ValueError, match=r"NSE:INFY: last_price .* multiple of the tick size 0.05"):
        market.set_price(INFY, Decimal(price), frozen=True, liquidity=1)
    with pytest.raises(ValueError, match="liquidity must not be negative"):
        market.set_price(INFY, liquidity=-1)
    assert market.quote(INFY) == before


def test_a_recorded_trade_changes_price_and_volume_and_comes_with_the_next_step(market: Market) -> None:
    """The exchange records it while it handles a change, so it must not be notified immediately."""
    notified: list[Sequence[int]] = []
    market.on_change(notified.append)
    market.ticks_per_second = 0
    before = market.quote(INFY)
    market.record_trade(INFY, before.sell[1].price, 7, NOON + SECOND)
    quote = market.quote(INFY)
    assert (quote.last_price, quote.last_quantity, quote.volume) == (before.sell[1].price, 7, before.volume + 7)
    assert quote.last_trade_time == NOON + SECOND
    assert notified == []
    assert market.step(NOON + SECOND) == [INFY]


def test_a_recorded_trade_does_not_move_a_frozen_price(market: Market) -> None:
    """It adds to the volume only."""
    market.set_price(INFY, frozen=True)
    before = market.quote(INFY)
    market.record_trade(INFY, before.buy[0].price, 7, NOON + SECOND)
    assert market.last_price(INFY) == before.last_price
    assert market.quote(INFY).volume == before.volume + 7


def test_untraded_instrument_shows_no_trade(market: Market) -> None:
    """Zero times, zero volume, the previous close as last price; it never ticks."""
    instrument = market.find("NSE", "SYN440")
    assert instrument is not None
    for second in range(1, 5):
        assert instrument.instrument_token not in market.step(NOON + SECOND * second)
    quote = market.quote(instrument.instrument_token)
    assert not any((quote.last_trade_time, quote.volume, quote.open))
    assert quote.last_price == quote.close > 0


def test_closed_segments_do_not_change_by_the_calendar() -> None:
    """At 16:00 shares have their last state of the day, while commodities trade."""
    four = NOON.replace(hour=16)
    market = Market(seed=1, now=four, sessions="calendar")
    moving = {market.instruments[token].segment_id.name for token in market.step(four + SECOND * 2)}
    assert moving == {"CDS", "BCD", "MCX", "NCO"}
    assert market.quote(INFY).timestamp == NOON.replace(hour=15, minute=30)
    assert not market.is_open(INFY, four)


def test_a_new_session_starts_a_new_day_of_quotes() -> None:
    """From 09:15 on the open is today's and the close yesterday's; before that, all is yesterday's."""
    early = NOON.replace(hour=9, minute=14)
    market = Market(seed=1, now=early, sessions="calendar")
    friday = market.quote(INFY)
    assert friday.timestamp == datetime(2026, 7, 3, 15, 30, tzinfo=IST)
    assert INFY in market.step(early + SECOND * 61)
    monday = market.quote(INFY)
    assert monday.close == friday.last_price
    assert monday.low <= monday.open <= monday.high <= monday.low + 1
    assert monday.volume < friday.volume / 100


def test_crossing_midnight_renews_the_listing_and_keeps_what_was_set() -> None:
    """Expired contracts are replaced; a frozen price stays frozen; listeners are notified of the new rows."""
    tuesday = datetime(2026, 7, 7, 12, 0, tzinfo=IST)
    market = Market(seed=1, now=tuesday)
    days: list[int] = []
    market.on_new_day(lambda: days.append(1))
    market.set_price(INFY, Decimal(2000), frozen=True, liquidity=9)
    expiring = [item for item in market.instruments.values() if item.expiry == tuesday.date()]
    tokens = market.step(tuesday + timedelta(days=1))
    assert len(tokens) == len(market.instruments)
    assert expiring
    assert all(market.find(item.exchange, item.tradingsymbol) is None for item in expiring)
    quote = market.quote(INFY)
    assert (quote.last_price, quote.open, quote.sell[0].quantity) == (Decimal(2000), Decimal(2000), 9)
    assert days == [1]


def test_reset_removes_what_was_set(market: Market) -> None:
    """A reset market is as a new one."""
    fresh = market.quote(INFY)
    market.set_price(INFY, Decimal(2000), frozen=True, liquidity=9)
    market.reset(NOON)
    assert market.quote(INFY) == fresh
