"""Trading hours, what the day's schedule does to orders and positions, and the change of the day."""

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
from tests.unit.simulator.exchange.environment import USER, ExchangeEnvironment, ManualClock, Push, order_params

MONDAY = datetime(2026, 7, 6, tzinfo=IST)


def at(hour: int, minute: int = 0, *, days: int = 0) -> datetime:
    return MONDAY + timedelta(days=days, hours=hour, minutes=minute)


def open_day(now: datetime, *, cash: int = 10_000_000) -> ExchangeEnvironment:
    """An exchange with sessions by the calendar; its clock is stopped at `now`."""
    clock = ManualClock(now)
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
    environment = ExchangeEnvironment(market, exchange, clock, pushes, timers)
    environment.freeze("NSE:INFY", "1500")
    return environment


def pass_to(environment: ExchangeEnvironment, moment: datetime) -> None:
    """Moves the clock to `moment`, then steps the market and passes the time, as the server does."""
    environment.clock.moment = moment
    environment.market.step(moment)
    environment.exchange.days.advance()


def put(environment: ExchangeEnvironment, variety: str = "regular", **changes: object) -> Order:
    return environment.exchange.any_order(environment.exchange.place(USER, variety, order_params(**changes)))


@pytest.mark.parametrize(
    ("segment", "hour", "minute", "phase"),
    [
        (Segment.NSE, 8, 59, "closed"),
        (Segment.NSE, 9, 0, "pre_open"),
        (Segment.NSE, 9, 8, "closed"),
        (Segment.NSE, 9, 15, "open"),
        (Segment.NSE, 15, 30, "closed"),
        (Segment.NSE, 15, 40, "closing"),
        (Segment.BSE, 15, 59, "closing"),
        (Segment.NSE, 16, 0, "closed"),
        (Segment.NFO, 15, 45, "closed"),
        (Segment.NCO, 23, 29, "open"),
        (Segment.NFO, 9, 5, "closed"),
        (Segment.CDS, 9, 0, "open"),
        (Segment.MCX, 23, 29, "open"),
    ],
)
def test_a_segment_has_its_hours(segment: Segment, hour: int, minute: int, phase: str) -> None:
    """Only equity has a pre-open and a closing session."""
    assert phase_at(segment, at(hour, minute), mode="calendar") == phase
    assert phase_at(segment, at(hour, minute, days=-1), mode="calendar") == "closed"


def test_events_of_the_schedule_come_in_order() -> None:
    """Each event once; the interval excludes its start; none on a Sunday."""
    day = at(0)
    events = due_events(day.date(), after=at(9), until=at(15, 26))
    assert [(event.at.hour, event.at.minute, event.kind) for event in events] == [
        (9, 15, "open"),
        (15, 25, "square_off"),
        (15, 26, "square_off"),
    ]
    assert due_events((day - timedelta(days=1)).date(), after=at(0, days=-1), until=at(23)) == []


def test_a_closed_market_takes_after_market_orders_only() -> None:
    """Regular orders are refused with Kite's sentence; an open market refuses after-market orders, maintenance both."""
    environment = open_day(at(20))
    with pytest.raises(KiteError, match=r"MIS \(intraday\) are blocked"):
        put(environment)
    with pytest.raises(KiteError, match="Use the AMO variety"):
        put(environment, product="CNC")
    assert put(environment, "amo", product="CNC").status == "AMO REQ RECEIVED"
    pass_to(environment, at(4, 30, days=1))
    with pytest.raises(KiteError, match="scheduled maintenance"):
        put(environment, "amo", product="CNC")
    pass_to(environment, at(11, days=1))
    with pytest.raises(KiteError, match="only while the market is closed"):
        put(environment, "amo", product="CNC")


def test_after_market_orders_are_sent_at_the_open() -> None:
    """Equity LIMIT orders go into the pre-open at 9:00, stops out at 9:15; all are filled at the open."""
    environment = open_day(at(20))
    limit = put(environment, "amo", product="CNC")
    stop = put(environment, "amo", product="CNC", order_type="SL", price=1610, trigger_price=1600)
    pass_to(environment, at(7, days=1))
    assert [order.status for order in environment.exchange.book.of_user(USER)] == ["AMO REQ RECEIVED"] * 2
    pass_to(environment, at(9, 1, days=1))
    assert (limit.status, limit.filled_quantity, stop.status) == ("OPEN", 0, "AMO REQ RECEIVED")
    assert environment.statuses(limit) == [
        "AMO REQ RECEIVED",
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
    ]
    pass_to(environment, at(9, 15, days=1))
    assert (limit.status, stop.status) == ("COMPLETE", "TRIGGER PENDING")


def test_the_pre_open_collects_limit_orders() -> None:
    """They trade when the market opens, at its price and not at their limit; stops are refused."""
    environment = open_day(at(9, 3))
    order = put(environment, price=1510)
    with pytest.raises(KiteError, match="before the market opens"):
        put(environment, order_type="SL", price=1610, trigger_price=1600)
    assert (order.status, order.filled_quantity) == ("OPEN", 0)
    pass_to(environment, at(9, 15))
    assert (order.status, order.average_price) == ("COMPLETE", Decimal(1500))


def test_intraday_positions_are_squared_off_before_the_close() -> None:
    """Intraday orders are cancelled first; delivery positions stay; DAY orders end at the close."""
    environment = open_day(at(11))
    put(environment, quantity=30)
    waiting = put(environment, price=1400)
    kept = put(environment, product="CNC", price=1400)
    pass_to(environment, at(15, 24))
    assert waiting.status == "OPEN"
    pass_to(environment, at(15, 25))
    squared = list(environment.exchange.book.of_user(USER))[-1]
    assert (waiting.status, kept.status) == ("CANCELLED", "OPEN")
    assert (squared.status, squared.request.transaction_type, squared.filled_quantity) == ("COMPLETE", "SELL", 30)
    assert environment.exchange.portfolios[USER].positions[("NSE", "INFY", "MIS")].quantity == 0
    pass_to(environment, at(15, 30))
    assert kept.status == "CANCELLED"
    assert environment.pushes[-1].status == "CANCELLED"


def test_bought_shares_are_holdings_the_next_day_and_delivered_the_day_after() -> None:
    """They are paid for and can be sold immediately; nothing is delivered at a weekend."""
    environment = open_day(at(11, days=4))
    put(environment, product="CNC", quantity=10)
    portfolio = environment.exchange.portfolios
    key = ("NSE", "INFY")
    before = portfolio[USER].holdings[key]
    pass_to(environment, at(11, days=5))
    assert list(environment.exchange.book.of_user(USER)) == []
    assert portfolio[USER].positions == {}
    assert (portfolio[USER].holdings[key].quantity, portfolio[USER].holdings[key].t1_quantity) == (100, 10)
    assert portfolio[USER].cash["equity"] == 10_000_000 - 15_000
    pass_to(environment, at(11, days=7))
    assert portfolio[USER].holdings[key].t1_quantity == 10
    sale = put(environment, product="CNC", transaction_type="SELL", quantity=105, price=1499.95)
    assert sale.status == "COMPLETE"
    pass_to(environment, at(11, days=8))
    after = portfolio[USER].holdings[key]
    assert (after.quantity, after.t1_quantity) == (5, 0)
    assert before.average_price < after.average_price < 1500


def test_a_future_is_carried_overnight_and_gone_when_it_has_expired() -> None:
    """Its profit goes into the cash, its average price stays, and the expired contract is settled and unlisted."""
    environment = open_day(at(11))
    future = next(
        item
        for item in environment.market.instruments.values()
        if item.name == "NIFTY" and item.instrument_type == "FUT"
    )
    assert future.expiry is not None
    name = f"NFO:{future.tradingsymbol}"
    environment.freeze(name, "25000")
    form = {"exchange": "NFO", "tradingsymbol": future.tradingsymbol, "product": "NRML"}
    put(environment, **form, quantity=future.lot_size, price=25000)
    pass_to(environment, at(11, days=1))
    position = environment.exchange.portfolios[USER].positions[("NFO", future.tradingsymbol, "NRML")]
    assert (position.quantity, position.overnight_quantity, position.open_price) == (
        future.lot_size,
        future.lot_size,
        Decimal(25000),
    )
    assert (position.buy_quantity, position.realised) == (0, Decimal(0))
    environment.freeze(name, "25100")
    expiry = datetime.combine(future.expiry, datetime.min.time(), IST)
    pass_to(environment, expiry + timedelta(hours=12))
    assert environment.market.find("NFO", future.tradingsymbol) is not None
    pass_to(environment, expiry + timedelta(days=1, hours=12))
    assert environment.market.find("NFO", future.tradingsymbol) is None
    assert environment.exchange.portfolios[USER].positions == {}
    assert environment.exchange.portfolios[USER].cash["equity"] == 10_000_000 + 100 * future.lot_size
    with pytest.raises(KiteError, match="either expired or does not exist"):
        put(environment, **form, quantity=future.lot_size, price=25000)


def test_a_jump_over_a_day_skips_no_event() -> None:
    """From noon to the next noon in one step: positions are squared off at the old day's price, orders are closed."""
    environment = open_day(at(11))
    put(environment, quantity=10)
    cash = environment.exchange.portfolios[USER].cash["equity"]
    pass_to(environment, at(12, days=1))
    assert environment.exchange.portfolios[USER].positions == {}
    assert environment.exchange.portfolios[USER].cash["equity"] == cash
    assert [entry.request.get("placed_by") for entry in environment.exchange.ledger.entries()] == [None, "square-off"]
