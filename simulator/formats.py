"""The broker's forms of time in text: naive IST of 19 characters, and the day boundaries that sessions end at."""

from datetime import datetime, timedelta
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
