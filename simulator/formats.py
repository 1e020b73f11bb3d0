"""The broker's forms of times and numbers in JSON, and the moment at which a day's sessions end."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")
TOKEN_DEATH_HOUR = 6


def format_time(moment: datetime) -> str:
    """`YYYY-MM-DD HH:MM:SS` in IST, without a zone: the form of every REST time."""
    return moment.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")


def next_token_death(moment: datetime) -> datetime:
    """06:00 IST after `moment`, when the regulator ends every session."""
    local = moment.astimezone(IST)
    death = local.replace(hour=TOKEN_DEATH_HOUR, minute=0, second=0, microsecond=0)
    return death if local < death else death + timedelta(days=1)


def to_number(value: Decimal) -> int | float:
    """The JSON number: without a decimal point where the value is whole, as Go's client needs for its integers."""
    return int(value) if value == value.to_integral_value() else float(value)


def format_optional_time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
