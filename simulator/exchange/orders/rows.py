"""An order as Kite's JSON: rows of order book, history and trade book, and the payload of an update. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from simulator.clock import IST
from simulator.exchange.orders.order import HistoryRow, Order, Trade
from simulator.formats import format_optional_time, format_time, to_number


def book_rows(orders: Iterable[Order], *, now: datetime) -> list[dict[str, object]]:
    """The rows of `GET /orders`: every order that is not hidden, as it is now."""
    return [order_row(order, order.snapshot(now)) for order in orders if not order.hidden]


def book_rows_at(orders: Iterable[Order], *, moment: datetime) -> list[dict[str, object]]:
    """The rows of `GET /orders` as they were at `moment`: what a lagging replica answers."""
    rows = []
    for order in orders:
        state = state_at(order, moment)
        if state is not None and not order.hidden:
            rows.append(order_row(order, state))
    return rows


def state_at(order: Order, moment: datetime) -> HistoryRow | None:
    """The order as it was at `moment`; None when it was accepted later."""
    past = [row for row in order.history if row.at <= moment]
    return past[-1] if past else None


def trades_of(orders: Iterable[Order]) -> list[tuple[Order, Trade]]:
    """Every fill of the orders that are not hidden, oldest first."""
    pairs = [(order, trade) for order in orders if not order.hidden for trade in order.trades]
    return sorted(pairs, key=lambda pair: (pair[1].at, int(pair[1].trade_id)))


def order_row(order: Order, state: HistoryRow) -> dict[str, object]:
    """A row of `GET /orders` or of the order's history, as the order was at `state`."""
    row: dict[str, object] = {
        "account_id": order.user_id,
        "placed_by": order.user_id,
        **_shared_fields(order, state),
        "modified": state.modified,
        "validity_ttl": state.request.validity_ttl,
    }
    if state.request.auction_number is not None:
        row["auction_number"] = state.request.auction_number
    if state.request.tags and not order.tag_hidden:
        row["tags"] = list(state.request.tags)
    return row


def update_payload(order: Order, state: HistoryRow, *, app_id: int, api_secret: str, status: str) -> dict[str, object]:
    """The 34 keys of a postback and of a WebSocket order update; `status` may be UPDATE.

    `app_id` and `api_secret` are those of the user's app; the secret signs the checksum.
    """
    order_timestamp = format_time(state.order_timestamp)
    return {
        "user_id": order.user_id,
        "unfilled_quantity": state.pending_quantity,
        "app_id": app_id,
        "checksum": postback_checksum(order.order_id, order_timestamp, api_secret),
        "placed_by": order.user_id,
        **_shared_fields(order, state),
        "status": status,
    }


def postback_checksum(order_id: str, order_timestamp: str, api_secret: str) -> str:
    """The hex SHA-256 with which a client checks that an update came from the broker."""
    return hashlib.sha256(f"{order_id}{order_timestamp}{api_secret}".encode()).hexdigest()


def trade_row(trade: Trade, *, order: Order) -> dict[str, object]:
    """A row of `GET /trades`. Its `order_timestamp` is the time of day without a date, as Kite writes it."""
    return {
        "trade_id": trade.trade_id,
        "order_id": trade.order_id,
        "exchange": trade.instrument.exchange,
        "tradingsymbol": trade.instrument.tradingsymbol,
        "instrument_token": trade.instrument.instrument_token,
        "product": trade.product,
        "average_price": to_number(trade.price),
        "quantity": trade.quantity,
        "exchange_order_id": trade.exchange_order_id,
        "transaction_type": trade.transaction_type,
        "fill_timestamp": format_time(trade.at),
        "order_timestamp": order.accepted_at.astimezone(IST).strftime("%H:%M:%S"),
        "exchange_timestamp": format_time(trade.at),
    }


def _shared_fields(order: Order, state: HistoryRow) -> dict[str, object]:
    request = state.request
    return {
        "order_id": order.order_id,
        "exchange_order_id": state.exchange_order_id,
        "parent_order_id": order.parent_order_id,
        "status": state.status,
        "status_message": state.status_message,
        "status_message_raw": state.status_message_raw,
        "order_timestamp": format_time(state.order_timestamp),
        "exchange_update_timestamp": format_optional_time(state.exchange_update_timestamp),
        "exchange_timestamp": format_optional_time(state.exchange_timestamp),
        "variety": request.variety,
        "exchange": request.exchange,
        "tradingsymbol": request.tradingsymbol,
        "instrument_token": order.instrument.instrument_token,
        "order_type": request.order_type,
        "transaction_type": request.transaction_type,
        "validity": request.validity,
        "product": request.product,
        "quantity": request.quantity,
        "disclosed_quantity": request.disclosed_quantity,
        "price": to_number(request.price),
        "trigger_price": to_number(request.trigger_price),
        "average_price": to_number(state.average_price),
        "filled_quantity": state.filled_quantity,
        "pending_quantity": state.pending_quantity,
        "cancelled_quantity": state.cancelled_quantity,
        "market_protection": to_number(request.market_protection),
        "meta": {} if order.iceberg is None else {"iceberg": asdict(order.iceberg)},
        "tag": None if order.tag_hidden else request.tag,
        "guid": order.guid,
    }
