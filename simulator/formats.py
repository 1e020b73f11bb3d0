"""How Kite writes times and numbers in JSON, and when it ends sessions."""

from datetime import datetime, timedelta
from decimal import Decimal

from simulator.clock import IST

SESSION_END_HOUR = 6
"""IST."""


def format_time(moment: datetime) -> str:
    """`YYYY-MM-DD HH:MM:SS` in IST without a zone, as every REST time is written."""
    return moment.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")


def next_session_end(moment: datetime) -> datetime:
    """06:00 IST after `moment`, when every session ends by regulation."""
    local = moment.astimezone(IST)
    end = local.replace(hour=SESSION_END_HOUR, minute=0, second=0, microsecond=0)
    return end if local < end else end + timedelta(days=1)


def to_number(value: Decimal) -> int | float:
    """The JSON number, without a decimal point where the value is whole: the Go client needs that for integers."""
    return int(value) if value == value.to_integral_value() else float(value)


def format_optional_time(moment: datetime | None) -> str | None:
    """As `format_time`; None stays None."""
    return None if moment is None else format_time(moment)
