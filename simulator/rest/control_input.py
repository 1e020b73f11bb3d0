"""The JSON of control requests as typed values. Every function raises KiteError 400, which says what is wrong."""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from starlette.requests import Request

from simulator.clock import IST
from simulator.envelope import parse_json, read_body
from simulator.errors import input_error
from simulator.market.instrument import Instrument

Body = Mapping[str, object]
MARKET_FIELDS: Final = frozenset({"last_price", "frozen", "liquidity", "lower_circuit", "upper_circuit"})


def parse_since(text: str | None) -> tuple[int, datetime | None]:
    """A sequence number (then no time), or a time (then 0)."""
    if text is None:
        return 0, None
    if text.isdigit():
        return int(text), None
    return 0, parse_moment("since", text)


def parse_moment(name: str, value: object) -> datetime:
    """An aware time from ISO 8601 text; without an offset it is in IST."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise input_error(f"`{name}` wants an ISO 8601 time, got {value!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=IST)


def parse_instrument(instrument: Instrument, spec: object) -> tuple[Decimal | None, bool | None, int | None]:
    """`last_price`, `frozen` and `liquidity` for an instrument; None for what does not change."""
    name = f"{instrument.exchange}:{instrument.tradingsymbol}"
    if not isinstance(spec, Mapping):
        raise input_error(f"{name} wants an object with any of {', '.join(sorted(MARKET_FIELDS))}")
    refuse_unknown(spec, MARKET_FIELDS)
    frozen = spec.get("frozen")
    if frozen not in (None, True, False):
        raise input_error(f"`frozen` of {name} wants true or false")
    liquidity = read_whole(spec, "liquidity") if spec.get("liquidity") is not None else None
    return parse_price(instrument, spec.get("last_price")), frozen, liquidity


def parse_circuits(instrument: Instrument, spec: object) -> tuple[Decimal | None, Decimal | None]:
    """`lower_circuit` and `upper_circuit` for an instrument; None for what does not change."""
    given = spec if isinstance(spec, Mapping) else {}
    lower = parse_price(instrument, given.get("lower_circuit"), name="lower_circuit")
    return lower, parse_price(instrument, given.get("upper_circuit"), name="upper_circuit")


def parse_price(instrument: Instrument, value: object, *, name: str = "last_price") -> Decimal | None:
    """A positive price on the instrument's tick size; None for null."""
    if value is None:
        return None
    name = f"`{name}` of {instrument.exchange}:{instrument.tradingsymbol}"
    try:
        price = Decimal(str(value))
    except InvalidOperation as error:
        raise input_error(f"{name} wants a number, got {value!r}") from error
    if not price.is_finite() or price <= 0 or not instrument.is_on_tick(price):
        raise input_error(f"{name} wants a positive multiple of {instrument.tick_size}, got {value}")
    return price


async def read_object(request: Request) -> Body:
    """The JSON object of a control request; an empty body is an empty object."""
    raw = await read_body(request)
    body = parse_json(raw) if raw else {}
    if not isinstance(body, dict):
        raise input_error("the body wants a JSON object")
    return body


def read_mapping(body: Body, name: str) -> Body:
    """The object in a field; an absent one is empty."""
    value = body.get(name) or {}
    if not isinstance(value, Mapping):
        raise input_error(f"`{name}` wants an object")
    return value


def read_float(body: Body, name: str) -> float:
    """A number from 0."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value < 0:
        raise input_error(f"`{name}` wants a number from 0, got {value!r}")
    return float(value)


def read_whole(body: Body, name: str) -> int:
    """A whole number from 0."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise input_error(f"`{name}` wants a whole number from 0, got {value!r}")
    return value


def refuse_unknown(body: Body, known: Collection[str]) -> None:
    """Refuses a body with a field that is not `known`."""
    for name in body:
        if name not in known:
            raise input_error(f"unknown field `{name}`; known: {', '.join(sorted(known))}")
