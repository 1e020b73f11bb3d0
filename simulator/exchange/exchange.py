"""What a client may do with orders: place, modify, cancel, and read them; convert positions.

Every refusal is a `KiteError`. An order is in the ledger before `place` returns, and before anything else can fail.
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
from simulator.exchange.accounts.portfolio import Authorisation
from simulator.exchange.accounts.positions import Conversion
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.days.trading_days import TradingDays
from simulator.exchange.entry.acceptance import OrderAcceptance
from simulator.exchange.entry.checks import check_product_of, is_sliced
from simulator.exchange.entry.market_protection import AUTOMATIC
from simulator.exchange.entry.parameters import VARIETIES, Params, parse_modify, parse_place, read_flag
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders import status
from simulator.exchange.orders.book import OrderBook
from simulator.exchange.orders.ids import IdGenerator
from simulator.exchange.orders.ledger import Ledger
from simulator.exchange.orders.order import MAX_MODIFICATIONS, Order
from simulator.exchange.orders.order_faults import NO_FAULTS, OrderFaults
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.parts import ExchangeParts
from simulator.exchange.steps.atomic_step import AtomicStep, Notify
from simulator.exchange.steps.delayed_steps import CallLater
from simulator.exchange.triggers.alert_triggers import AlertTriggers
from simulator.exchange.triggers.gtt_triggers import GttTriggers
from simulator.exchange.varieties.autoslice import Autoslice, Slice
from simulator.exchange.varieties.cover import CoverOrders
from simulator.exchange.varieties.iceberg import IcebergOrders
from simulator.market.instrument import Instrument
from simulator.market.market import Market


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to a placed order: its id, and the slices when it was sliced."""

    order_id: str
    children: tuple[Slice, ...] = ()


class Exchange:
    """All users' orders. One event loop owns it. Its attributes are its parts, for the routes and the journal."""

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
        """`opening_cash` is in rupees, for each account and segment. The first day begins here."""
        self._market = market
        self._now = now
        self.step = AtomicStep(notify)
        self.ids = IdGenerator(seed)
        self.ledger = Ledger()
        self.book = OrderBook()
        parts = ExchangeParts(
            market=market, book=self.book, ids=self.ids, ledger=self.ledger, portfolios={}, step=self.step, now=now
        )
        self.portfolios = parts.portfolios
        self.engine = Engine(parts, call_later=call_later)
        self.acceptance = OrderAcceptance(parts, accounts=accounts, seed=seed)
        form_of = self.ledger.request_of
        self._icebergs = IcebergOrders(acceptance=self.acceptance, engine=self.engine, form_of=form_of)
        self._covers = CoverOrders(market=market, acceptance=self.acceptance, engine=self.engine, form_of=form_of)
        self._autoslice = Autoslice(acceptance=self.acceptance, engine=self.engine)
        self.engine.follow_ups.follow_up = self._follow_up
        self.days = TradingDays(
            parts, accounts=accounts, engine=self.engine, acceptance=self.acceptance, opening_cash=opening_cash
        )
        self.days.reset()
        self.triggers = GttTriggers(parts, place=self.place_for_broker)
        self.alerts = AlertTriggers(parts, place=self.place_for_broker)
        self.charge: Callable[[str], bool] | None = None
        """Counts an order that the broker places for a user id towards the day's limit; False: the limit is reached."""

    def place(self, user_id: str, variety: str, params: Params, faults: OrderFaults = NO_FAULTS) -> str:
        """The new order's id. Raises KiteError; no order exists then."""
        return self.place_order(user_id, variety, params, faults).order_id

    def place_order(self, user_id: str, variety: str, params: Params, faults: OrderFaults = NO_FAULTS) -> Placed:
        """As `place`, with the slices of an order above the freeze quantity."""
        known = next((name for name in VARIETIES if name == variety), None)
        if known is None:
            raise method_not_allowed()
        unchecked = parse_place(known, params)
        instrument = self.instrument(unchecked.exchange, unchecked.tradingsymbol)
        with self.step:
            if read_flag(params, "autoslice") and is_sliced(unchecked, instrument):
                return self._slice(user_id, unchecked, instrument, params)
            request = self.acceptance.check(unchecked, instrument)
            self.acceptance.check_session(request, instrument)
            self.acceptance.check_funds_and_shares(user_id, request, instrument)
            if request.variety == "iceberg":
                return Placed(self._icebergs.start(user_id, request, instrument, params, faults).order_id)
            order = self.acceptance.accept(user_id, request, instrument, params)
            if order.status != status.AMO_RECEIVED:
                self.engine.submit(order, faults)
            return Placed(order.order_id)

    def place_for_broker(self, user_id: str, variety: str, params: Params) -> str:
        """As `place`, for an order of a GTT or an alert, which counts towards the day's limit. Raises KiteError."""
        if self.charge is not None and not self.charge(user_id):
            raise too_many_orders()
        return self.place(user_id, variety, params)

    def pass_time(self) -> None:
        """Does what has come due since the last call: expiries and the day's schedule."""
        now = self._now()
        self.engine.expire(now)
        self.days.advance()
        self.triggers.expire(now)

    def modify(self, user_id: str, variety: str, order_id: str, params: Params, faults: OrderFaults = NO_FAULTS) -> str:
        """Accepts a modification and returns `order_id`; the order shows whether it was applied. Raises KiteError."""
        order = self._changeable_order(user_id, variety, order_id, action="modified")
        if order.modifications >= MAX_MODIFICATIONS:
            raise too_many_modifications()
        changed = parse_modify(order.request, params)
        if changed.quantity <= order.filled_quantity:
            raise input_error("Quantity cannot be less than or equal to the filled quantity.")
        if order.status == status.OPEN and order.request.order_type == "SL":
            changed = without_trigger(changed)
        if order.parent_order_id is not None and order.status == status.TRIGGER_PENDING:
            changed = replace(changed, order_type="SL-M", market_protection=AUTOMATIC)  # its limit follows its trigger
        request = self.acceptance.check(changed, order.instrument)
        self.acceptance.check_funds_and_shares(user_id, request, order.instrument, replacing=order)
        with self.step:
            if faults.refusal is not None and order.status != status.AMO_RECEIVED:
                self.engine.refuse_amendment(order, faults.refusal)
            elif order.status == status.AMO_RECEIVED:
                order.amend_parked(request, at=self._now())
            else:
                becomes = status.TRIGGER_PENDING if request.order_type == "SL" else status.OPEN
                self.engine.amend(order, request, becomes=becomes)
        return order_id

    def cancel(self, user_id: str, variety: str, order_id: str, faults: OrderFaults = NO_FAULTS) -> str:
        """Accepts a cancel and returns `order_id`. The stop of a cover order exits at the market. Raises KiteError."""
        order = self._changeable_order(user_id, variety, order_id, action="cancelled")
        with self.step:
            if order.status == status.AMO_RECEIVED:
                self.engine.cancel_parked(order)
            elif order.request.variety == "co" and order.parent_order_id is not None:
                self._covers.exit(order)
            else:
                self.engine.cancel(order, faults)
        return order_id

    def order(self, user_id: str, order_id: str) -> Order:
        """An order of the user that is not hidden. Raises KiteError 400 for others, and for ids of earlier days."""
        order = self.book.find(order_id)
        if order is None or order.user_id != user_id or order.hidden:
            raise unknown_order()
        return order

    def any_order(self, order_id: str) -> Order:
        """An order of any user, hidden or not, for the control routes. Raises KiteError 400."""
        order = self.book.find(order_id)
        if order is None:
            raise unknown_order()
        return order

    def instrument(self, exchange: str, tradingsymbol: str) -> Instrument:
        """The instrument that is listed today. Raises KiteError 400 when there is none."""
        instrument = self._market.find(exchange, tradingsymbol)
        if instrument is None:
            raise input_error("The instrument you are placing an order for has either expired or does not exist.")
        return instrument

    def instruments(self) -> Iterable[Instrument]:
        """Everything that is listed today."""
        return self._market.instruments.values()

    def unfilled_orders(self, user_id: str) -> Sequence[Order]:
        """The user's orders that may still be filled, oldest first."""
        return self.book.unfinished(user_id)

    def last_price(self, instrument: Instrument) -> Decimal:
        return self._market.last_price(instrument.instrument_token)

    def convert(self, conversion: Conversion) -> None:
        """Moves an open quantity from one product to another at its average price. Raises KiteError 400."""
        if conversion.old_product == conversion.new_product:
            raise input_error("The old and the new product are the same.")
        if not conversion.instrument.tradable:
            raise input_error(f"{conversion.instrument.tradingsymbol} is an index and cannot be traded.")
        check_product_of(conversion.new_product, conversion.instrument)
        if conversion.overnight and conversion.new_product == "MIS":
            raise input_error("Overnight positions cannot be converted to MIS.")
        self.portfolios[conversion.user_id].convert(conversion)
        with self.step as changes:
            changes.conversions.append(conversion)

    def authorise(self, authorisations: Iterable[Authorisation]) -> None:
        """Lets the broker take these shares for sales of today."""
        with self.step as changes:
            for each in authorisations:
                self.portfolios[each.user_id].authorise(each)
                changes.authorisations.append(each)

    def _slice(self, user_id: str, request: OrderRequest, instrument: Instrument, params: Params) -> Placed:
        self.acceptance.check_session(request, instrument)
        parent_id = self.ids.order_id()
        slices = self._autoslice.place(user_id, request, instrument, params, parent_id=parent_id)
        return Placed(parent_id, tuple(slices))

    def _follow_up(self, order: Order) -> None:
        """Places what follows from an order's end; each variety looks at its own orders only."""
        self._icebergs.follow_up(order)
        self._covers.follow_up(order)

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
    """The request as a LIMIT order: a stop that was triggered is one when it is modified."""
    return replace(request, order_type="LIMIT", trigger_price=Decimal(0))
