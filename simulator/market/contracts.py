"""Expiry days, contract symbols and exchange tokens of derivatives.

Weekly symbols are `NIFTY2580724400CE` (year, one-character month 1-9 O N D, day, strike). The last expiry of a month
has the monthly form `NIFTY25AUG24400CE`; futures are `NIFTY25AUGFUT`. NSE contracts expire on Tuesdays and BSE
contracts on Thursdays, monthly ones on the last of the month.
"""

import calendar
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

TUESDAY, THURSDAY, FRIDAY = 1, 3, 4
_MONTH_CODES = "123456789OND"
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKS_IN_A_ROUND = 32
_STRIKES = 1024
_KINDS: dict[str, int] = {"FUT": 0, "CE": 1, "PE": 2}


def last_weekday_of_month(year: int, month: int, *, weekday: int) -> date:
    """The last such day of a month; weekdays count from Monday as 0."""
    last = date(year, month, calendar.monthrange(year, month)[1])
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def weekly_expiries(day: date, *, weekday: int, count: int) -> tuple[date, ...]:
    """The next `count` expiries, from `day` on."""
    first = day + timedelta(days=(weekday - day.weekday()) % 7)
    return tuple(first + timedelta(weeks=week) for week in range(count))


def monthly_expiries(day: date, *, weekday: int, count: int) -> tuple[date, ...]:
    """The last `weekday` of this month and the next ones, not before `day`."""
    expiries = (last_weekday_of_month(year, month, weekday=weekday) for year, month in _months(day, count + 1))
    return tuple([expiry for expiry in expiries if expiry >= day][:count])


def dated_expiries(day: date, *, day_of_month: int, count: int) -> tuple[date, ...]:
    """The given day of each month (the last day of a shorter one), moved back to a weekday, not before `day`."""
    expiries = []
    for year, month in _months(day, count + 1):
        expiry = date(year, month, min(day_of_month, calendar.monthrange(year, month)[1]))
        expiry -= timedelta(days=max(0, expiry.weekday() - FRIDAY))
        if expiry >= day:
            expiries.append(expiry)
    return tuple(expiries[:count])


def _months(day: date, count: int) -> list[tuple[int, int]]:
    start = day.year * 12 + day.month - 1
    return [(index // 12, index % 12 + 1) for index in range(start, start + count)]


def is_monthly(expiry: date) -> bool:
    """Whether it is the last such weekday of its month."""
    return (expiry + timedelta(weeks=1)).month != expiry.month


def future_symbol(name: str, expiry: date) -> str:
    """The tradingsymbol of a future."""
    return f"{name}{expiry:%y}{_month_name(expiry)}FUT"


def option_symbol(
    name: str, expiry: date, *, strike: Decimal, right: Literal["CE", "PE"], cycle: Literal["weekly", "monthly"]
) -> str:
    """The tradingsymbol of a call or put in the weekly or the monthly form."""
    middle = _month_name(expiry) if cycle == "monthly" else f"{_MONTH_CODES[expiry.month - 1]}{expiry:%d}"
    return f"{name}{expiry:%y}{middle}{format_strike(strike)}{right}"


def format_strike(strike: Decimal) -> str:
    """Without trailing zeros: 24400, 87.5."""
    return f"{strike.normalize():f}"


def contract_token(product_number: int, expiry: date, *, kind: str, strike_number: int = 0) -> int:
    """An exchange token below 2^23, the same on every day of the contract's life. It is reused half a year later.

    `strike_number` counts strike steps from zero; at most 1,024 neighbouring ones have different tokens.
    """
    week = expiry.toordinal() // 7 % _WEEKS_IN_A_ROUND
    number = (week * 64 + product_number) * _STRIKES + strike_number % _STRIKES
    return number * 4 + _KINDS[kind]


def _month_name(expiry: date) -> str:
    return _MONTH_NAMES[expiry.month - 1]
