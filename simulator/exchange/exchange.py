"""The broker's order desk: takes, changes and cancels orders, and answers what a client may ask about them.

Raises `KiteError` in Kite's words. An order is in the ledger before `place` returns, and before anything else can fail.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from simulator.errors import (
    input_error,
    method_not_allowed,
    order_in_process,
    too_many_modifications,
    too_many_orders,
    unknown_order,
)
from simulator.exchange.accounts.portfolio import Portfolio
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.days.trading_days import Days
from simulator.exchange.entry.acceptance import Intake
from simulator.exchange.entry.checks import is_sliced
from simulator.exchange.entry.market_protection import AUTOMATIC
from simulator.exchange.entry.parameters import VARIETIES, Params, parse_modify, parse_place, read_flag
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders import order as status
from simulator.exchange.orders.book import Numbers, OrderBook
from simulator.exchange.orders.ledger import Ledger
from simulator.exchange.orders.order import MAX_MODIFICATIONS, Order, OrderRequest
from simulator.exchange.orders.order_faults import NORMAL, Quirks
from simulator.exchange.steps.atomic_step import Conversion, Notify, Turn
from simulator.exchange.steps.delayed_steps import CallLater
from simulator.exchange.triggers.alert_triggers import AlertDesk
from simulator.exchange.triggers.gtt_triggers import TriggerDesk
from simulator.exchange.varieties.child_orders import Legs, Slice
from simulator.market.instrument import Instrument
from simulator.market.market import Market


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to a placed order: its id, and the slices when it was cut."""

    order_id: str
    children: tuple[Slice, ...] = ()


class Exchange:
    """All users' orders of the day. One event loop owns it."""

    def __init__(
        self,
        *,
        market: Market,
        accounts: Accounts,
        now: Callable[[], datetime],
        seed: int,
        opening_cash: Decimal,
        notify: Notify,
        call_later: CallLater,
    ) -> None:
        self._market = market
        self._now = now
        self.turn = Turn(notify)
        self.numbers = Numbers(seed)
        self.ledger = Ledger()
        self.book = OrderBook()
        self.portfolios: dict[str, Portfolio] = {}
        self.engine = Engine(
            market=market,
            book=self.book,
            numbers=self.numbers,
            portfolios=self.portfolios,
            now=now,
            turn=self.turn,
            call_later=call_later,
        )
        self.intake = Intake(
            market=market,
            book=self.book,
            numbers=self.numbers,
            ledger=self.ledger,
            portfolios=self.portfolios,
            turn=self.turn,
            now=now,
            seed=seed,
        )
        self.legs = Legs(market=market, intake=self.intake, engine=self.engine, sent_of=self.ledger.request_of)
        self.engine.following.then = self.legs.follow
        self.days = Days(
            market=market,
            accounts=accounts,
            book=self.book,
            portfolios=self.portfolios,
            engine=self.engine,
            intake=self.intake,
            turn=self.turn,
            now=now,
            opening_cash=opening_cash,
        )
        self.days.reset()
        self.triggers = TriggerDesk(
            market=market, numbers=self.numbers, turn=self.turn, place=self.place_for_broker, now=now
        )
        self.alerts = AlertDesk(
            market=market, numbers=self.numbers, turn=self.turn, place=self.place_for_broker, now=now
        )
        self.charge: Callable[[str], bool] | None = None
        """Counts an order that the broker places for a user against the day's allowance; False: it is used up."""

    def place(self, user_id: str, variety: str, params: Params, quirks: Quirks = NORMAL) -> str:
        """The new order's id. Raises 4xx with no order left behind."""
        return self.place_order(user_id, variety, params, quirks).order_id

    def place_order(self, user_id: str, variety: str, params: Params, quirks: Quirks = NORMAL) -> Placed:
        """As `place`, with the slices of an order above the freeze quantity."""
        known = next((name for name in VARIETIES if name == variety), None)
        if known is None:
            raise method_not_allowed()
        asked = parse_place(known, params)
        instrument = self.instrument(asked.exchange, asked.tradingsymbol)
        with self.turn:
            if read_flag(params, "autoslice") and is_sliced(asked, instrument):
                return self._slice(user_id, asked, instrument, params)
            request = self.intake.check(asked, instrument)
            self.intake.check_session(request, instrument)
            self.intake.check_means(user_id, request, instrument)
            if request.variety == "iceberg":
                return Placed(self.legs.start_iceberg(user_id, request, instrument, params, quirks).order_id)
            order = self.intake.accept(user_id, request, instrument, params)
            if order.status != status.AMO_RECEIVED:
                self.engine.submit(order, quirks)
            return Placed(order.order_id)

    def place_for_broker(self, user_id: str, variety: str, params: Params) -> str:
        """An order that a trigger or an alert brings about."""
        if self.charge is not None and not self.charge(user_id):
            raise too_many_orders()
        return self.place(user_id, variety, params)

    def pass_time(self) -> None:
        """Does what has come due since the last call."""
        now = self._now()
        self.engine.expire(now)
        self.days.advance()
        self.triggers.expire(now)

    def modify(self, user_id: str, variety: str, order_id: str, params: Params, quirks: Quirks = NORMAL) -> str:
        """Accepted; whether it was applied shows in the order."""
        order = self._changeable_order(user_id, variety, order_id, action="modified")
        if order.modifications >= MAX_MODIFICATIONS:
            raise too_many_modifications()
        asked = parse_modify(order.request, params)
        if asked.quantity <= order.filled_quantity:
            raise input_error("Quantity cannot be less than or equal to the filled quantity.")
        if order.status == status.OPEN and order.request.order_type == "SL":
            asked = without_trigger(asked)
        if order.parent_order_id is not None and order.status == status.TRIGGER_PENDING:
            asked = replace(asked, order_type="SL-M", market_protection=AUTOMATIC)  # its limit follows its trigger
        request = self.intake.check(asked, order.instrument)
        self.intake.check_means(user_id, request, order.instrument, replacing=order)
        with self.turn:
            if quirks.refusal is not None and order.status != status.AMO_RECEIVED:
                self.engine.refuse_amendment(order, quirks.refusal)
            elif order.status == status.AMO_RECEIVED:
                order.amend_parked(request, at=self._now())
            else:
                becomes = status.TRIGGER_PENDING if request.order_type == "SL" else status.OPEN
                self.engine.amend(order, request, becomes=becomes)
        return order_id

    def cancel(self, user_id: str, variety: str, order_id: str, quirks: Quirks = NORMAL) -> str:
        order = self._changeable_order(user_id, variety, order_id, action="cancelled")
        with self.turn:
            if order.status == status.AMO_RECEIVED:
                self.engine.cancel_parked(order)
            elif order.request.variety == "co" and order.parent_order_id is not None:
                self.legs.exit_cover(order)
            else:
                self.engine.cancel(order, quirks)
        return order_id

    def order(self, user_id: str, order_id: str) -> Order:
        """One visible order of the user. Raises 400 as for yesterday's ids."""
        order = self.book.find(order_id)
        if order is None or order.user_id != user_id or order.hidden:
            raise unknown_order()
        return order

    def any_order(self, order_id: str) -> Order:
        """An order of whoever, also a hidden one: for control."""
        order = self.book.find(order_id)
        if order is None:
            raise unknown_order()
        return order

    def instrument(self, exchange: str, tradingsymbol: str) -> Instrument:
        instrument = self._market.find(exchange, tradingsymbol)
        if instrument is None:
            raise input_error("The instrument you are placing an order for has either expired or does not exist.")
        return instrument

    def instruments(self) -> Iterable[Instrument]:
        """Everything that is listed today."""
        return self._market.instruments.values()

    def unfilled_orders(self, user_id: str) -> Sequence[Order]:
        return self.book.unfinished(user_id)

    def last_price(self, instrument: Instrument) -> Decimal:
        return self._market.last_price(instrument.instrument_token)

    def convert(self, conversion: Conversion) -> None:
        """Moves an open quantity of one side from one product to another at its average price."""
        if conversion.old_product == conversion.new_product:
            raise input_error("The old and the new product are the same.")
        self.portfolios[conversion.user_id].convert(conversion)
        with self.turn as changes:
            changes.conversions.append(conversion)

    def _slice(self, user_id: str, asked: OrderRequest, instrument: Instrument, params: Params) -> Placed:
        self.intake.check_session(asked, instrument)
        parent_id = self.numbers.order_id()
        slices = self.legs.slice_order(user_id, asked, instrument, params, parent_id=parent_id)
        return Placed(parent_id, tuple(slices))

    def _changeable_order(self, user_id: str, variety: str, order_id: str, *, action: str) -> Order:
        if variety not in VARIETIES:
            raise method_not_allowed()
        order = self.order(user_id, order_id)
        if order.request.variety != variety:
            raise input_error("Order variety in the request does not match the order.")
        if order.status not in status.CHANGEABLE:
            raise order_in_process(action)
        return order


def without_trigger(request: OrderRequest) -> OrderRequest:
    """A stop that was triggered is a plain limit order when it is modified."""
    return replace(request, order_type="LIMIT", trigger_price=Decimal(0))
