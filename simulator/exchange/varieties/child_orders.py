"""Orders that other orders bring about: legs of an iceberg, the stop of a cover order, slices of a large one.

An iceberg sends its next leg when the one before is filled; a leg that is cancelled or rejected is the last. A cover
order's stop is placed when its first leg ended with something filled, and leaves at the market when it is cancelled.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from simulator.errors import KiteError, input_error
from simulator.exchange.entry.acceptance import Intake
from simulator.exchange.entry.market_protection import AUTOMATIC, protect
from simulator.exchange.entry.parameters import Params
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders.order import COMPLETE, IcebergLeg, Order, OrderRequest, TransactionType
from simulator.exchange.orders.order_faults import NORMAL, Quirks
from simulator.exchange.orders.units import quantity_step
from simulator.market.instrument import Instrument
from simulator.market.market import Market

MAX_SLICES: Final = 10


@dataclass(frozen=True, slots=True)
class Slice:
    """One child of a sliced order: an id, or why there is none."""

    order_id: str = ""
    error: KiteError | None = None


class Legs:
    """`follow` is told of every order that ended; what it places belongs to the same turn."""

    def __init__(self, *, market: Market, intake: Intake, engine: Engine, sent_of: Callable[[Order], Params]) -> None:
        self._market = market
        self._intake = intake
        self._engine = engine
        self._sent_of = sent_of

    def start_iceberg(
        self, user_id: str, request: OrderRequest, instrument: Instrument, sent: Params, quirks: Quirks
    ) -> Order:
        """The first leg; `request.quantity` is the whole. Margin was checked for all of it."""
        sizes = leg_sizes(request.quantity, request.iceberg_legs, step=quantity_step(instrument))
        leg = IcebergLeg(1, len(sizes), sizes[0], request.quantity, request.quantity - sizes[0])
        order = self._intake.accept(
            user_id, replace(request, quantity=sizes[0], iceberg_legs=0), instrument, sent, iceberg=leg
        )
        self._engine.submit(order, quirks)
        return order

    def follow(self, order: Order) -> None:
        if order.iceberg is not None and order.status == COMPLETE:
            self._next_leg(order, order.iceberg)
        elif order.request.variety == "co" and order.parent_order_id is None and order.filled_quantity:
            self._place_stop(order)

    def exit_cover(self, order: Order) -> None:
        """Out at the market, within the protection band."""
        request = replace(order.request, order_type="MARKET", market_protection=AUTOMATIC, price=order.request.price)
        quote = self._market.quote(order.instrument.instrument_token)
        booked = protect(request, order.instrument, last_price=quote.last_price)
        self._engine.leave_at_market(order, booked)

    def slice_order(
        self, user_id: str, request: OrderRequest, instrument: Instrument, sent: Params, *, parent_id: str
    ) -> list[Slice]:
        """Places every slice at once; each is checked by itself, so that some may fail."""
        tags = (*request.tags, "autoslice", f"autoslice:{parent_id}")
        slices = []
        for quantity in slice_sizes(request.quantity, instrument.freeze_quantity, step=quantity_step(instrument)):
            try:
                slices.append(
                    self._place_slice(user_id, replace(request, quantity=quantity, tags=tags), instrument, sent)
                )
            except KiteError as error:
                slices.append(Slice(error=error))
        return slices

    def _place_slice(self, user_id: str, request: OrderRequest, instrument: Instrument, sent: Params) -> Slice:
        booked = self._intake.check(request, instrument)
        self._intake.check_means(user_id, booked, instrument)
        order = self._intake.accept(user_id, booked, instrument, sent)
        self._engine.submit(order)
        return Slice(order_id=order.order_id)

    def _next_leg(self, order: Order, leg: IcebergLeg) -> None:
        if leg.leg >= leg.legs or leg.remaining_quantity <= 0:
            return
        size = leg.remaining_quantity if leg.leg + 1 == leg.legs else min(leg.leg_quantity, leg.remaining_quantity)
        following = replace(leg, leg=leg.leg + 1, leg_quantity=size, remaining_quantity=leg.remaining_quantity - size)
        request = replace(order.request, quantity=size)
        successor = self._intake.accept(
            order.user_id, request, order.instrument, self._sent_of(order), iceberg=following
        )
        quirks = NORMAL
        try:
            self._intake.check_means(order.user_id, request, order.instrument, replacing=successor)
        except KiteError as error:
            quirks = Quirks(refusal=error.message)
        self._engine.submit(successor, quirks)

    def _place_stop(self, order: Order) -> None:
        side: TransactionType = "SELL" if order.request.transaction_type == "BUY" else "BUY"
        stop = replace(
            order.request,
            transaction_type=side,
            quantity=order.filled_quantity,
            order_type="SL-M",
            validity="DAY",
            market_protection=AUTOMATIC,
        )
        quote = self._market.quote(order.instrument.instrument_token)
        booked = protect(stop, order.instrument, last_price=quote.last_price)
        second = self._intake.accept(
            order.user_id, booked, order.instrument, self._sent_of(order), parent_order_id=order.order_id
        )
        self._engine.submit(second)


def leg_sizes(quantity: int, legs: int, *, step: int) -> list[int]:
    """Equal legs in whole steps; the last one takes what is left."""
    size = -(-quantity // legs // step) * step
    full = (quantity - 1) // size
    return [size] * full + [quantity - size * full]


def slice_sizes(quantity: int, freeze_quantity: int, *, step: int) -> list[int]:
    """Slices of the largest quantity that the exchange takes. Raises 400 above ten of them."""
    size = freeze_quantity // step * step
    full, rest = divmod(quantity, size)
    sizes = [size] * full + ([rest] if rest else [])
    if len(sizes) > MAX_SLICES:
        raise input_error(f"Quantity {quantity} needs {len(sizes)} slices; at most {MAX_SLICES} are allowed.")
    return sizes
