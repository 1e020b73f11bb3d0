"""Expiry days and the names of contracts."""

from datetime import date
from decimal import Decimal

import pytest

from simulator.market.contracts import (
    THURSDAY,
    TUESDAY,
    contract_token,
    dated_expiries,
    future_symbol,
    is_monthly,
    monthly_expiries,
    option_symbol,
    weekly_expiries,
)


@pytest.mark.parametrize(
    ("expiry", "strike", "cycle", "symbol"),
    [
        (date(2025, 8, 7), "24400", "weekly", "NIFTY2580724400CE"),
        (date(2025, 10, 7), "24400", "weekly", "NIFTY25O0724400CE"),
        (date(2025, 11, 4), "24400", "weekly", "NIFTY25N0424400CE"),
        (date(2025, 12, 2), "24400", "weekly", "NIFTY25D0224400CE"),
        (date(2025, 8, 28), "24400", "monthly", "NIFTY25AUG24400CE"),
        (date(2025, 8, 28), "87.50", "monthly", "NIFTY25AUG87.5CE"),
    ],
)
def test_option_symbol_has_kites_form(expiry: date, strike: str, cycle: str, symbol: str) -> None:
    """One-character months in weekly symbols, three letters in monthly ones, strikes without trailing zeros."""
    made = option_symbol("NIFTY", expiry, strike=Decimal(strike), right="CE", cycle=cycle)  # type: ignore[arg-type]
    assert made == symbol


def test_future_symbol_has_kites_form() -> None:
    """Name, year, month, FUT."""
    assert future_symbol("USDINR", date(2021, 6, 28)) == "USDINR21JUNFUT"


def test_weekly_expiries_begin_with_today_when_it_is_one() -> None:
    """The contract trades on its expiry day."""
    assert weekly_expiries(date(2026, 7, 7), weekday=TUESDAY, count=2) == (date(2026, 7, 7), date(2026, 7, 14))
    assert weekly_expiries(date(2026, 7, 8), weekday=TUESDAY, count=1) == (date(2026, 7, 14),)


def test_monthly_expiry_is_the_last_weekday_of_its_month() -> None:
    """After this month's last Thursday the next three months are listed, also over the end of a year."""
    expected = (date(2026, 12, 31), date(2027, 1, 28), date(2027, 2, 25))
    assert monthly_expiries(date(2026, 11, 27), weekday=THURSDAY, count=3) == expected
    assert all(is_monthly(expiry) for expiry in expected)
    assert not is_monthly(date(2026, 12, 24))


def test_dated_expiry_on_a_weekend_moves_back_to_friday() -> None:
    """The 19th of July 2026 is a Sunday; the 31st of a short month is its last day."""
    assert dated_expiries(date(2026, 7, 1), day_of_month=19, count=1) == (date(2026, 7, 17),)
    assert dated_expiries(date(2026, 6, 1), day_of_month=31, count=1) == (date(2026, 6, 30),)


def test_contract_tokens_stay_below_two_to_the_31st() -> None:
    """JavaScript clients compute tokens in signed 32 bits, so an exchange token must have 23."""
    largest = max(
        contract_token(63, date.fromordinal(day), kind="PE", strike_number=1_023) for day in range(740_000, 740_300)
    )
    assert largest < 2**23
