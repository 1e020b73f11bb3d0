"""Values of queries and bodies that are taken as they are meant, or refused: ``yes`` is no boolean, 0 is no date."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in _FLAGS:
            raise ValueError("must be true or false")
        return _FLAGS[value]
    return value


def _day(value: Any) -> Any:
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("must be a date such as 2026-01-31")
    return value


def _written_moment(value: Any) -> Any:
    if not isinstance(value, str | datetime) or (isinstance(value, str) and not _DAY.match(value)):
        raise ValueError("must be a time in ISO-8601, such as 2026-01-31T09:15:00+05:30")
    return value


def _near(moment: datetime) -> datetime:
    if not _FIRST <= moment < _LAST:
        raise ValueError("must lie between 1970 and 2199")
    return moment


Flag = Annotated[bool, BeforeValidator(_flag)]
"""A boolean of a query: ``true`` or ``false``, or 1 and 0, as Kite writes them."""

StrictFlag = Annotated[bool, Field(strict=True)]
"""A boolean of a body."""

Day = Annotated[date, BeforeValidator(_day)]
"""A date of a query."""

Moment = Annotated[AwareDatetime, BeforeValidator(_written_moment), AfterValidator(_near)]
"""A time with its offset, far from the ends of the calendar."""
