"""From the faults that strike a request to what the exchange, the order book and the trade book do differently."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from simulator.exchange.orders.book import book_rows, book_rows_at, trades_of
from simulator.exchange.orders.order import Order
from simulator.exchange.orders.order_faults import NORMAL, Quirks
from simulator.exchange.orders.rows import trade_row
from simulator.faults.registry import Fault

Row = dict[str, object]


def order_quirks(faults: Iterable[Fault]) -> Quirks:
    """Later faults of one kind override earlier ones."""
    quirks = NORMAL
    for fault in faults:
        match fault.kind:
            case "late_visible":
                quirks = replace(quirks, hidden_ms=fault.number("ms"))
            case "tag_null":
                quirks = replace(quirks, tag="lost")
            case "stuck":
                quirks = replace(quirks, stuck_status=fault.text("status"), stuck_ms=fault.number("ms"))
            case "reject":
                quirks = replace(quirks, refusal=fault.text("message"))
            case "partial_fill":
                quirks = replace(quirks, fill_at_most=fault.number("quantity"))
            case "cancel_fill_race":
                quirks = replace(quirks, cancel_race="fill_wins")
    return quirks


def faulty_book(orders: Sequence[Order], faults: Iterable[Fault], *, now: datetime) -> list[Row]:
    """The rows of `GET /orders`: of an earlier moment, without the newest, or without tags, as the faults say."""
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
    return rows


def faulty_trades(orders: Iterable[Order], faults: Iterable[Fault]) -> list[Row]:
    """The rows of `GET /trades`: all, or without the newest, as the faults say."""
    rows = [trade_row(trade, order=order) for order, trade in trades_of(orders)]
    for fault in faults:
        if fault.kind == "shrink_trades":
            rows = rows[: max(0, len(rows) - fault.number("drop"))]
    return rows


def untagged(row: Row) -> Row:
    return {name: None if name == "tag" else value for name, value in row.items() if name != "tags"}
