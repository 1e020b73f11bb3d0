"""Makes an order of the rows that the book has under one of our tags and that no task explains. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec

from app.broker.orders import BrokerOrder, OrderRequest, Variety
from app.broker.outcomes import ChildOrder
from app.orders.state.tags import TAG_LENGTH, tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedOrder:
    """The request that must have led to these rows, as far as they show it."""

    tag_base: str
    request: OrderRequest
    trade_date: date
    order_ids: tuple[str, ...]  # of all its rows, the oldest first
    sends: tuple[tuple[str, str, datetime | None], ...]  # tag, order id and time of one order for each attempt

    @property
    def attempts(self) -> int:
        """The highest attempt that the rows show."""
        return max(int(tag[-1]) for tag, _, _ in self.sends)

    @property
    def children(self) -> tuple[ChildOrder, ...]:
        """Its slices; none where it is one order."""
        ids = self.order_ids
        return tuple(ChildOrder(order_id=order_id) for order_id in ids) if len(ids) > 1 else ()


def adopt(tag_base: str, rows: Sequence[BrokerOrder], *, trade_date: date) -> AdoptedOrder | None:
    """The order of these rows; None where they cannot be a request of this service, which an operator must look at."""
    ordered = sorted(rows, key=lambda row: (row.parent_order_id is not None, row.order_id))
    request = _request_of(ordered)
    if request is None:
        return None
    sends: dict[str, tuple[str, str, datetime | None]] = {}
    for row in ordered:
        for tag in sorted(tags_of(row)):
            if len(tag) == TAG_LENGTH and tag[:-1] == tag_base and tag[-1].isdigit() and tag[-1] != "0":
                sends.setdefault(tag, (tag, row.order_id, row.order_timestamp))
    if not sends:
        return None
    ids = tuple(row.order_id for row in ordered)
    return AdoptedOrder(
        tag_base=tag_base, request=request, trade_date=trade_date, order_ids=ids, sends=tuple(sends.values())
    )


def _request_of(rows: Sequence[BrokerOrder]) -> OrderRequest | None:
    """The terms of the first row, and the quantity of all rows on its side: the slices of one request."""
    first = rows[0]
    quantity = sum(row.quantity for row in rows if row.transaction_type == first.transaction_type)
    fields = {
        "exchange": first.exchange,
        "tradingsymbol": first.tradingsymbol,
        "transaction_type": first.transaction_type,
        "quantity": quantity,
        "product": "MIS" if first.product == "CO" else first.product,
        "order_type": first.order_type,
        "variety": first.variety,
        "price": str(first.price) if first.price else None,
        "trigger_price": str(first.trigger_price) if first.trigger_price else None,
        "validity": first.validity,
        "autoslice": len(rows) > 1 and first.variety == Variety.REGULAR,
    }
    try:
        return OrderRequest.from_json({name: value for name, value in fields.items() if value is not None})
    except msgspec.ValidationError:
        return None
