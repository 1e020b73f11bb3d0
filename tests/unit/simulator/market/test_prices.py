"""Price paths."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.clock import IST
from simulator.market.listing import Listing, open_listing
from simulator.market.prices import Floats, normal_cdf, option_price, path_noise, path_noise_at

NOON = datetime(2026, 7, 6, 12, 0, tzinfo=IST)


@pytest.fixture(scope="module")
def listing() -> Listing:
    return open_listing(NOON.date(), seed=1)


def column(*values: float) -> Floats:
    return np.array(values)


@pytest.mark.parametrize(("x", "probability"), [(0.0, 0.5), (1.0, 0.8413447), (-1.96, 0.0249979), (6.0, 1.0)])
def test_normal_distribution(x: float, probability: float) -> None:
    """Compared with printed tables."""
    assert normal_cdf(column(x))[0] == pytest.approx(probability, abs=2e-7)


def test_option_price_against_a_textbook_value() -> None:
    """Spot 100, strike 100, one year, 20 %, rate 6.5 %: call 11.264, put 4.971 (Black and Scholes)."""
    ones = column(1.0, 1.0)
    prices = option_price(100 * ones, 100 * ones, years=ones, volatility=0.2 * ones, sign=column(1.0, -1.0))
    assert prices == pytest.approx([11.2639, 4.9707], abs=1e-3)


@settings(max_examples=50)
@given(spot=st.floats(1, 1e5), ratio=st.floats(0.5, 2), years=st.floats(0, 1), volatility=st.floats(0.02, 1))
def test_put_and_call_are_in_parity(spot: float, ratio: float, years: float, volatility: float) -> None:
    """call - put = spot - discounted strike, and neither is negative beyond rounding."""
    ones = column(1.0, 1.0)
    call, put = option_price(
        spot * ones, spot * ratio * ones, years=years * ones, volatility=volatility * ones, sign=column(1.0, -1.0)
    )
    assert call - put == pytest.approx(spot - spot * ratio * np.exp(-0.065 * years), abs=spot * 1e-6)
    assert min(call, put) > -spot * 1e-6


def test_the_path_is_the_same_one_moment_or_many_at_a_time() -> None:
    """Ticks and candles use the same path."""
    keys = np.array([7, 2**63], dtype=np.uint64)
    at = NOON.timestamp()
    many = path_noise(keys[:1], column(at - 60, at, at + 60))
    assert path_noise_at(keys, at)[0] == pytest.approx(many[1], rel=1e-12)


def test_paths_differ_by_seed_and_agree_for_the_same_seed(listing: Listing) -> None:
    """The same seed gives the same prices, another seed others."""
    rows = np.arange(len(listing.instruments))
    prices = listing.model.prices(rows, NOON.timestamp())
    again = open_listing(NOON.date(), seed=1)
    other = open_listing(NOON.date(), seed=2)
    assert (again.model.prices(rows, NOON.timestamp()) == prices).all()
    shares = np.flatnonzero(listing.segments == 1)
    assert (other.model.prices(shares, NOON.timestamp()) != prices[shares]).mean() > 0.9


def test_prices_are_positive_multiples_of_the_tick_size(listing: Listing) -> None:
    """For every instrument, at any time of the day."""
    rows = np.arange(len(listing.instruments))
    for hours in (0, 3, 11):
        prices = listing.model.prices(rows, (NOON + timedelta(hours=hours)).timestamp())
        assert (prices % listing.model.tick == 0).all()
        assert (prices > 0).all()
        assert (prices < 2**32).all()


def test_derivatives_follow_their_underlying(listing: Listing) -> None:
    """Every future lies near its spot, every option at or above its intrinsic value (less the rounding)."""
    at = NOON.timestamp()
    model = listing.model
    rows = np.arange(len(listing.instruments))
    rupees = model.prices(rows, at) / model.divisor
    spots = dict(zip(model.spot_of_row[model.kind == 0], rupees[model.kind == 0], strict=True))
    for row in rows[(model.kind > 0) & np.isin(model.spot_of_row, list(spots))]:
        spot, price, tick = spots[model.spot_of_row[row]], rupees[row], model.tick[row] / model.divisor[row]
        if model.kind[row] == 1:
            assert price == pytest.approx(spot, rel=0.03)
        else:
            intrinsic = spot - model.strike[row] if model.kind[row] == 2 else model.strike[row] - spot
            assert price >= intrinsic - 0.03 * model.strike[row] - tick


def test_a_day_moves_prices_like_a_market_does(listing: Listing) -> None:
    """Shares move by a few percent."""
    shares = np.flatnonzero(listing.segments == 1)
    times = [NOON.timestamp() + 86_400 * day for day in range(20)]
    prices = np.stack([listing.model.prices(shares, at) for at in times]).astype(float)
    moves = np.abs(np.diff(np.log(prices), axis=0))
    assert 0.003 < np.median(moves) < 0.04
    assert moves.max() < 0.25
