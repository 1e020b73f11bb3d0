"""Sessions by the calendar, what the hours do to orders and positions, and the night between two days."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from simulator.clock import IST
from simulator.errors import KiteError
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.days.schedule import due_events
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.order import HistoryRow, Order
from simulator.market.instrument import Segment
from simulator.market.market import Market
from simulator.market.sessions import phase_at
from tests.unit.simulator.exchange.environment import USER, Floor, HandClock, Push, order_params

MONDAY = datetime(2026, 7, 6, tzinfo=IST)


def at(hour: int, minute: int = 0, *, days: int = 0) -> datetime:
    return MONDAY + timedelta(days=days, hours=hour, minutes=minute)


def open_day(now: datetime, *, cash: int = 10_000_000) -> Floor:
    """An exchange that keeps the calendar, its clock standing at `now`."""
    clock = HandClock(now)
    market = Market(seed=1, now=now, sessions="calendar", ticks_per_second=0)
    pushes: list[Push] = []
    timers: list[tuple[float, Callable[[], None]]] = []

    def notify(order: Order, *, state: HistoryRow, as_status: str, audience: str) -> None:
        pushes.append(Push(order.order_id, as_status, state.filled_quantity, audience))

    exchange = Exchange(
        market=market,
        accounts=Accounts(2, seed=1, started_at=now, session_end="at_six"),
        now=clock.now,
        seed=1,
        opening_cash=Decimal(cash),
        notify=notify,
        call_later=lambda delay, action: timers.append((delay, action)),
    )
    market.on_day_end(exchange.days.end_day)
    market.on_new_day(exchange.days.new_day)
    floor = Floor(market, exchange, clock, pushes, timers)
    floor.freeze("NSE:INFY", "1500")
    return floor


def pass_to(floor: Floor, moment: datetime) -> None:
    """Time goes on to `moment` as the server lets it: a step of the market, then what the hour asks for."""
    floor.clock.moment = moment
    floor.market.step(moment)
    floor.exchange.days.advance()


def put(floor: Floor, variety: str = "regular", **changes: object) -> Order:
    return floor.exchange.any_order(floor.exchange.place(USER, variety, order_params(**changes)))


@pytest.mark.parametrize(
    ("segment", "hour", "minute", "phase"),
    [
        (Segment.NSE, 8, 59, "closed"),
        (Segment.NSE, 9, 0, "pre_open"),
        (Segment.NSE, 9, 8, "closed"),
        (Segment.NSE, 9, 15, "open"),
        (Segment.NSE, 15, 30, "closed"),
        (Segment.NFO, 9, 5, "closed"),
        (Segment.CDS, 9, 0, "open"),
        (Segment.MCX, 23, 29, "open"),
    ],
)
def test_a_segment_has_its_hours(segment: Segment, hour: int, minute: int, phase: str) -> None:
    """Only equity collects orders before the open."""
    assert phase_at(segment, at(hour, minute), mode="calendar") == phase
    assert phase_at(segment, at(hour, minute, days=-1), mode="calendar") == "closed"


def test_the_table_of_hours_is_gone_through_in_order() -> None:
    """Each event once, half-open on the left, none on a Sunday."""
    day = at(0)
    events = due_events(day.date(), after=at(9), until=at(15, 26))
    assert [(event.at.hour, event.at.minute, event.kind) for event in events] == [
        (9, 15, "open"),
        (15, 25, "square_off"),
        (15, 26, "square_off"),
    ]
    assert due_events((day - timedelta(days=1)).date(), after=at(0, days=-1), until=at(23)) == []


def test_a_closed_market_takes_after_market_orders_alone() -> None:
    """Regular ones are refused in the broker's words; an open market refuses the other kind, maintenance both."""
    floor = open_day(at(20))
    with pytest.raises(KiteError, match=r"MIS \(intraday\) are blocked"):
        put(floor)
    with pytest.raises(KiteError, match="Use the AMO variety"):
        put(floor, product="CNC")
    assert put(floor, "amo", product="CNC").status == "AMO REQ RECEIVED"
    pass_to(floor, at(4, 30, days=1))
    with pytest.raises(KiteError, match="scheduled maintenance"):
        put(floor, "amo", product="CNC")
    pass_to(floor, at(11, days=1))
    with pytest.raises(KiteError, match="only while the market is closed"):
        put(floor, "amo", product="CNC")


def test_after_market_orders_go_out_at_the_open() -> None:
    """LIMIT equity at nine into the pre-open, where nothing trades; stops at a quarter past; fills come at the open."""
    floor = open_day(at(20))
    limit = put(floor, "amo", product="CNC")
    stop = put(floor, "amo", product="CNC", order_type="SL", price=1610, trigger_price=1600)
    pass_to(floor, at(7, days=1))
    assert [order.status for order in floor.exchange.book.of_user(USER)] == ["AMO REQ RECEIVED"] * 2
    pass_to(floor, at(9, 1, days=1))
    assert (limit.status, limit.filled_quantity, stop.status) == ("OPEN", 0, "AMO REQ RECEIVED")
    assert floor.statuses(limit) == [
        "AMO REQ RECEIVED",
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
    ]
    pass_to(floor, at(9, 15, days=1))
    assert (limit.status, stop.status) == ("COMPLETE", "TRIGGER PENDING")


def test_the_pre_open_collects_limit_orders() -> None:
    """They meet the market when it opens, at its price and not at their own limit; stops have to wait."""
    floor = open_day(at(9, 3))
    order = put(floor, price=1510)
    with pytest.raises(KiteError, match="before the market opens"):
        put(floor, order_type="SL", price=1610, trigger_price=1600)
    assert (order.status, order.filled_quantity) == ("OPEN", 0)
    pass_to(floor, at(9, 15))
    assert (order.status, order.average_price) == ("COMPLETE", Decimal(1500))


def test_intraday_positions_are_squared_off_before_the_close() -> None:
    """Their orders are cancelled first; delivery is left alone; DAY orders end at the close."""
    floor = open_day(at(11))
    put(floor, quantity=30)
    waiting = put(floor, price=1400)
    kept = put(floor, product="CNC", price=1400)
    pass_to(floor, at(15, 24))
    assert waiting.status == "OPEN"
    pass_to(floor, at(15, 25))
    squared = list(floor.exchange.book.of_user(USER))[-1]
    assert (waiting.status, kept.status) == ("CANCELLED", "OPEN")
    assert (squared.status, squared.request.transaction_type, squared.filled_quantity) == ("COMPLETE", "SELL", 30)
    assert floor.exchange.portfolios[USER].positions[("NSE", "INFY", "MIS")].quantity == 0
    pass_to(floor, at(15, 30))
    assert kept.status == "CANCELLED"
    assert floor.pushes[-1].status == "CANCELLED"


def test_bought_shares_are_holdings_the_next_day_and_delivered_the_day_after() -> None:
    """The money has left; a sale from them is possible at once; a weekend delivers nothing."""
    floor = open_day(at(11, days=4))
    put(floor, product="CNC", quantity=10)
    portfolio = floor.exchange.portfolios
    key = ("NSE", "INFY")
    before = portfolio[USER].holdings[key]
    pass_to(floor, at(11, days=5))
    assert list(floor.exchange.book.of_user(USER)) == []
    assert portfolio[USER].positions == {}
    assert (portfolio[USER].holdings[key].quantity, portfolio[USER].holdings[key].t1_quantity) == (100, 10)
    assert portfolio[USER].cash["equity"] == 10_000_000 - 15_000
    pass_to(floor, at(11, days=7))
    assert portfolio[USER].holdings[key].t1_quantity == 10
    sale = put(floor, product="CNC", transaction_type="SELL", quantity=105, price=1499.95)
    assert sale.status == "COMPLETE"
    pass_to(floor, at(11, days=8))
    after = portfolio[USER].holdings[key]
    assert (after.quantity, after.t1_quantity) == (5, 0)
    assert before.average_price < after.average_price < 1500


def test_a_future_is_carried_overnight_and_gone_when_it_has_expired() -> None:
    """Its profit is in the cash, its average stays, and the expired contract is settled and unlisted."""
    floor = open_day(at(11))
    future = next(
        item for item in floor.market.instruments.values() if item.name == "NIFTY" and item.instrument_type == "FUT"
    )
    assert future.expiry is not None
    name = f"NFO:{future.tradingsymbol}"
    floor.freeze(name, "25000")
    form = {"exchange": "NFO", "tradingsymbol": future.tradingsymbol, "product": "NRML"}
    put(floor, **form, quantity=future.lot_size, price=25000)
    pass_to(floor, at(11, days=1))
    position = floor.exchange.portfolios[USER].positions[("NFO", future.tradingsymbol, "NRML")]
    assert (position.quantity, position.overnight_quantity, position.open_price) == (
        future.lot_size,
        future.lot_size,
        Decimal(25000),
    )
    assert (position.buy_quantity, position.realised) == (0, Decimal(0))
    floor.freeze(name, "25100")
    expiry = datetime.combine(future.expiry, datetime.min.time(), IST)
    pass_to(floor, expiry + timedelta(hours=12))
    assert floor.market.find("NFO", future.tradingsymbol) is not None
    pass_to(floor, expiry + timedelta(days=1, hours=12))
    assert floor.market.find("NFO", future.tradingsymbol) is None
    assert floor.exchange.portfolios[USER].positions == {}
    assert floor.exchange.portfolios[USER].cash["equity"] == 10_000_000 + 100 * future.lot_size
    with pytest.raises(KiteError, match="either expired or does not exist"):
        put(floor, **form, quantity=future.lot_size, price=25000)


def test_time_that_jumps_over_a_day_misses_nothing() -> None:
    """From noon to the next noon in one step: squared off at the old day's price, and the order of the evening gone."""
    floor = open_day(at(11))
    put(floor, quantity=10)
    cash = floor.exchange.portfolios[USER].cash["equity"]
    pass_to(floor, at(12, days=1))
    assert floor.exchange.portfolios[USER].positions == {}
    assert floor.exchange.portfolios[USER].cash["equity"] == cash
    assert [entry.request.get("placed_by") for entry in floor.exchange.ledger.entries()] == [None, "square-off"]
