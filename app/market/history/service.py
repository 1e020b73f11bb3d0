"""Candles over any range: cut by the broker's day caps, fetched part by part at the broker's pace, joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.broker.identifiers import DEFAULT_ACCOUNT
from app.broker.market import Candle, Instrument
from app.broker.port import Broker
from app.errors import BadInput, NotFound, Problem, Unavailable
from app.market.history.ranges import DAY_CAPS, MAX_PARTS, Part, join, split
from app.market.instruments.registry import InstrumentRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRequest:
    """``start`` and ``end`` are aware and inclusive; ``interval`` is a key of ``DAY_CAPS``.

    ``continuous``: day candles of futures across expiries; ``oi``: with open interest; ``account_id``: through whose
    session the broker is asked, None: any.
    """

    instrument_token: int
    start: datetime
    end: datetime
    interval: str
    continuous: bool = False
    oi: bool = False
    account_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The candles of the whole range, in order of time."""

    instrument: Instrument
    interval: str
    candles: tuple[Candle, ...]
    left_out: int = 0  # candles that could not be read


class HistoryService:
    """Keeps nothing: every call asks the broker."""

    def __init__(self, *, brokers: Mapping[str, Broker], instruments: InstrumentRegistry) -> None:
        self._brokers = brokers
        self._instruments = instruments

    async def candles(self, request: HistoryRequest) -> History:
        """The candles of the request's range.

        Raises BadInput with every problem, NotFound or Gone for the instrument, NotFound for the account, BrokerError
        when the broker refuses or does not answer.
        """
        parts = _checked_parts(request)
        instrument = await self._instruments.get(request.instrument_token)
        if request.continuous:
            _check_continuous(instrument, interval=request.interval)
        broker = self._broker(request.account_id)
        answers = [
            await broker.market.candles(
                request.instrument_token,
                interval=request.interval,
                start=part.start,
                end=part.end,
                continuous=request.continuous,
                oi=request.oi,
            )
            for part in parts
        ]
        candles = tuple(join([answer.good for answer in answers]))
        left_out = sum(len(answer.bad) for answer in answers)
        return History(instrument=instrument, interval=request.interval, candles=candles, left_out=left_out)

    def _broker(self, account_id: str | None) -> Broker:
        if account_id is not None:
            if account_id not in self._brokers:
                raise NotFound("account", account_id)
            return self._brokers[account_id]
        broker = self._brokers.get(DEFAULT_ACCOUNT) or next(iter(self._brokers.values()), None)
        if broker is None:
            raise Unavailable("no account is configured to ask for candles with", code="NO_ACCOUNT")
        return broker


def _checked_parts(request: HistoryRequest) -> list[Part]:
    problems: list[Problem] = []
    if request.interval not in DAY_CAPS:
        problems.append(Problem(loc=("query", "interval"), msg=f"must be one of {', '.join(DAY_CAPS)}"))
    if request.end < request.start:
        problems.append(Problem(loc=("query", "to"), msg="is before from"))
    if problems:
        raise BadInput(problems)
    days = DAY_CAPS[request.interval] * MAX_PARTS
    if (request.end - request.start).days >= days:
        message = f"at most {days} days of {request.interval} candles a call: ask for the range in pieces"
        raise BadInput([Problem(loc=("query", "from"), msg=message)], code="RANGE_TOO_LONG")
    return split(request.start, request.end, interval=request.interval)


def _check_continuous(instrument: Instrument, *, interval: str) -> None:
    if interval != "day" or instrument.instrument_type != "FUT":
        message = "is for day candles of futures only"
        raise BadInput([Problem(loc=("query", "continuous"), msg=message)])
