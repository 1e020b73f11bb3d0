"""What the faults of a request change: for the exchange, in an answer of the order book, and of the trade book."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from simulator.exchange.orders.order import Order
from simulator.exchange.orders.order_faults import NO_FAULTS, OrderFaults
from simulator.exchange.orders.rows import book_rows, book_rows_at, trade_row, trades_of
from simulator.faults.registry import Fault

Row = dict[str, object]


def order_faults(faults: Iterable[Fault]) -> OrderFaults:
    """The faults of target `order` together; a later one of a kind overrides an earlier one."""
    combined = NO_FAULTS
    for fault in faults:
        match fault.kind:
            case "late_visible":
                combined = replace(combined, hidden_ms=fault.number("ms"))
            case "tag_null":
                combined = replace(combined, tag="lost")
            case "stuck":
                combined = replace(combined, stuck_status=fault.text("status"), stuck_ms=fault.number("ms"))
            case "reject":
                combined = replace(combined, refusal=fault.text("message"))
            case "partial_fill":
                combined = replace(combined, fill_at_most=fault.number("quantity"))
            case "cancel_fill_race":
                combined = replace(combined, cancel_race="fill_wins")
    return combined


def faulty_book(orders: Sequence[Order], faults: Iterable[Fault], *, now: datetime) -> list[Row]:
    """The rows of `GET /orders`: of an earlier moment, without the newest rows, or without tags, as the faults say."""
    faults = list(faults)
    stale = [fault for fault in faults if fault.kind == "stale_book"]
    if stale:
        rows = book_rows_at(orders, moment=now - timedelta(milliseconds=stale[0].number("ms")))
    else:
        rows = book_rows(orders, now=now)
    for fault in faults:
        if fault.kind == "shrink_book":
            rows = rows[: max(0, len(rows) - fault.number("drop"))]
        elif fault.kind == "tag_null":
            rows = [untagged(row) for row in rows]
        elif fault.kind == "odd_rows":
            rows = [*rows, odd_row(has_id=bool(fault.params["id"]))]
    return rows


def faulty_trades(orders: Iterable[Order], faults: Iterable[Fault]) -> list[Row]:
    """The rows of `GET /trades`: all, or without the newest rows, as the faults say."""
    rows = [trade_row(trade, order=order) for order, trade in trades_of(orders)]
    for fault in faults:
        if fault.kind == "shrink_trades":
            rows = rows[: max(0, len(rows) - fault.number("drop"))]
    return rows


def odd_row(*, has_id: bool) -> Row:
    """A row that no client can read: of an order of somebody else, or not even with the id of one."""
    rest: Row = {
        "status": "COMPLETE",
        "quantity": "many",
        "average_price": {"value": 1},
        "order_timestamp": "yesterday",
    }
    return {"order_id": "999000000000001", "tag": "elsewhere", **rest} if has_id else {"order_id": None, **rest}


def untagged(row: Row) -> Row:
    """The row of an order as if the client had given no tag."""
    return {name: None if name == "tag" else value for name, value in row.items() if name != "tags"}
