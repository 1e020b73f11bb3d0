"""Order forms, order rows, trades and placement answers (https://kite.trade/docs/connect/v3/orders/).

Rows are read leniently (unknown keys ignored, the "sometimes" keys optional, ``meta`` of any shape kept in ``raw``) up
to the point where leniency would lie: a row without identity or with an unreadable number is a bad row. It does not
hide the others, and the reader of the book decides what can still be proven without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from app.broker.orders import BrokerOrder, OrderChanges, OrderRequest, Trade
from app.broker.outcomes import ChildOrder
from app.broker.rows import BadRow, Rows
from app.errors import BrokerUnavailable
from app.kite.wire.values import decimal_of, id_of, int_of, moment_of, optional_text_of, quantity_of, text_of

T = TypeVar("T")

_PLACE_FIELDS = (
    "exchange",
    "tradingsymbol",
    "transaction_type",
    "quantity",
    "product",
    "order_type",
    "price",
    "trigger_price",
    "validity",
    "validity_ttl",
    "disclosed_quantity",
    "iceberg_legs",
    "iceberg_quantity",
    "auction_number",
    "market_protection",
    "algo_id",
)
_MODIFY_FIELDS = (
    "quantity",
    "price",
    "trigger_price",
    "order_type",
    "validity",
    "validity_ttl",
    "disclosed_quantity",
    "market_protection",
)


def place_form(request: OrderRequest, *, tag: str) -> dict[str, str]:
    """The form of ``POST /orders/{variety}``; absent fields are not sent."""
    form = _form(request, _PLACE_FIELDS)
    if request.autoslice:
        form["autoslice"] = "true"
    form["tag"] = tag
    return form


def modify_form(changes: OrderChanges, *, parent_order_id: str | None = None) -> dict[str, str]:
    """The form of ``PUT /orders/{variety}/{order_id}``: what is to change, and the leg that a stop belongs to."""
    return _form(changes, _MODIFY_FIELDS) | cancel_query(parent_order_id=parent_order_id)


def cancel_query(*, parent_order_id: str | None) -> dict[str, str]:
    """The query of ``DELETE /orders/{variety}/{order_id}``."""
    return {} if parent_order_id is None else {"parent_order_id": parent_order_id}


def margin_body(requests: Sequence[OrderRequest]) -> list[dict[str, Any]]:
    """The JSON array of ``POST /margins/basket``; prices as JSON numbers, which is what Kite reads."""
    return [
        {
            "exchange": request.exchange.value,
            "tradingsymbol": request.tradingsymbol,
            "transaction_type": request.transaction_type.value,
            "variety": request.variety.value,
            "product": request.product.value,
            "order_type": request.order_type.value,
            "quantity": request.quantity,
            "price": float(request.price or 0),
            "trigger_price": float(request.trigger_price or 0),
        }
        for request in requests
    ]


def _form(source: OrderRequest | OrderChanges, names: Sequence[str]) -> dict[str, str]:
    values = ((name, getattr(source, name)) for name in names)
    return {name: _plain(value) for name, value in values if value is not None}


def _plain(value: Decimal | StrEnum | int | str) -> str:
    """Text without exponent: ``Decimal("1E+3")`` is ``1000``."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A placement that the broker answered with an order id; ``children`` of an autosliced one."""

    order_id: str
    children: tuple[ChildOrder, ...] = ()


def parse_placed(data: object) -> Placed | None:
    """What a 200 says was placed; None when no order id can be read from it. Never raises.

    Three shapes: ``{"order_id"}``, ``{"order_id", "children": [...]}`` and, in the documentation, the children alone as
    an array, where the first id is also the group's.
    """
    if isinstance(data, list):
        parent, children = None, _children(data)
    elif isinstance(data, dict):
        parent, children = _order_id(data), _children(data.get("children"))
    else:
        return None
    order_id = parent or next((child.order_id for child in children if child.order_id), None)
    return None if order_id is None else Placed(order_id=order_id, children=children)


def _order_id(row: Mapping[str, Any]) -> str | None:
    value = row.get("order_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _children(rows: object) -> tuple[ChildOrder, ...]:
    if not isinstance(rows, list):
        return ()
    return tuple(_child(row) for row in rows if isinstance(row, dict))


def _child(row: Mapping[str, Any]) -> ChildOrder:
    error = row.get("error")
    if not isinstance(error, dict):
        return ChildOrder(order_id=_order_id(row))
    return ChildOrder(
        order_id=_order_id(row),
        error_type=optional_text_of(error.get("error_type")) or "GeneralException",
        message=optional_text_of(error.get("message")) or "the broker gave no reason",
    )


def parse_orders(data: object, *, known: Mapping[str, BrokerOrder] | None = None) -> Rows[BrokerOrder]:
    """The order book or one order's history, in the order in which it came. Raises BrokerUnavailable for no list.

    ``known``: orders of an earlier read by their id; those whose row is the same are taken as they are, because a
    day's book has thousands of rows and a read changes a few.
    """
    known = known or {}

    def parse(row: Mapping[str, Any]) -> BrokerOrder:
        order_id = row.get("order_id")
        before = known.get(order_id) if isinstance(order_id, str) else None
        return before if before is not None and before.raw == row else _parse_order(row)

    return _parse_rows(data, parse=parse, what="order book", id_name="order_id")


def parse_trades(data: object) -> Rows[Trade]:
    """Fills. Raises BrokerUnavailable for no list."""
    return _parse_rows(data, parse=_parse_trade, what="trade book", id_name="trade_id")


def _parse_rows(data: object, *, parse: Callable[[Mapping[str, Any]], T], what: str, id_name: str) -> Rows[T]:
    if not isinstance(data, list):
        raise BrokerUnavailable(f"the {what} is not a list but {type(data).__name__}")
    good: list[T] = []
    bad: list[BadRow] = []
    for number, row in enumerate(data):
        try:
            good.append(parse(row if isinstance(row, dict) else _not_an_object(row)))
        except ValueError as error:
            bad.append(_bad_row(row, number, error, id_name=id_name))
    return Rows(good=good, bad=bad)


def _not_an_object(row: object) -> Mapping[str, Any]:
    raise ValueError(f"{row!r:.60} is not an object")


def _bad_row(row: object, number: int, error: ValueError, *, id_name: str) -> BadRow:
    subject, tags = None, None
    if isinstance(row, dict):
        with suppress(ValueError):
            subject = id_of(row, id_name)
        with suppress(ValueError):
            tags = frozenset({*_tags(row.get("tags")), *filter(None, [_tag(row.get("tag"))])})
    return BadRow(place=f"row {number}", reason=str(error), subject=subject, tags=tags)


def _parse_order(row: Mapping[str, Any]) -> BrokerOrder:
    return BrokerOrder(
        order_id=id_of(row, "order_id"),
        status=text_of(row, "status"),
        exchange=text_of(row, "exchange"),
        tradingsymbol=text_of(row, "tradingsymbol"),
        transaction_type=text_of(row, "transaction_type"),
        product=optional_text_of(row.get("product")) or "",
        order_type=optional_text_of(row.get("order_type")) or "",
        variety=optional_text_of(row.get("variety")) or "",
        quantity=quantity_of(row, "quantity"),
        filled_quantity=quantity_of(row, "filled_quantity"),
        pending_quantity=int_of(row, "pending_quantity"),
        cancelled_quantity=int_of(row, "cancelled_quantity"),
        price=decimal_of(row, "price"),
        trigger_price=decimal_of(row, "trigger_price"),
        average_price=decimal_of(row, "average_price"),
        validity=optional_text_of(row.get("validity")) or "DAY",
        instrument_token=int_of(row, "instrument_token"),
        exchange_order_id=optional_text_of(row.get("exchange_order_id")),
        parent_order_id=optional_text_of(row.get("parent_order_id")),
        status_message=optional_text_of(row.get("status_message")),
        status_message_raw=optional_text_of(row.get("status_message_raw")),
        order_timestamp=moment_of(row, "order_timestamp"),
        exchange_timestamp=moment_of(row, "exchange_timestamp"),
        exchange_update_timestamp=moment_of(row, "exchange_update_timestamp"),
        tag=_tag(row.get("tag")),
        tags=_tags(row.get("tags")),
        raw=row,
    )


def _tag(value: object) -> str | None:
    """An unreadable tag could be one of this service, so it is not taken for none."""
    if value is not None and not isinstance(value, str | int):
        raise ValueError(f"tag is {value!r:.60}, wanted text")
    return optional_text_of(value)


def _tags(value: object) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise ValueError(f"tags are {value!r:.60}, wanted texts")
    return tuple(value)


def _parse_trade(row: Mapping[str, Any]) -> Trade:
    return Trade(
        trade_id=id_of(row, "trade_id"),
        order_id=id_of(row, "order_id"),
        exchange=text_of(row, "exchange"),
        tradingsymbol=text_of(row, "tradingsymbol"),
        transaction_type=text_of(row, "transaction_type"),
        product=optional_text_of(row.get("product")) or "",
        # the documentation's table calls it ``filled``, its sample and the wire ``quantity``
        quantity=quantity_of(row, "quantity" if "quantity" in row else "filled"),
        average_price=decimal_of(row, "average_price"),
        instrument_token=int_of(row, "instrument_token"),
        exchange_order_id=optional_text_of(row.get("exchange_order_id")),
        fill_timestamp=moment_of(row, "fill_timestamp"),
        exchange_timestamp=moment_of(row, "exchange_timestamp"),
        raw=row,
    )
