"""Iceberg orders: an order is cut into legs, and a leg is sent when the one before it is filled.

A leg that is cancelled or rejected is the last one.
"""

from collections.abc import Callable
from dataclasses import replace

from simulator.errors import KiteError
from simulator.exchange.entry.acceptance import OrderAcceptance
from simulator.exchange.entry.parameters import Params
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders.order import IcebergLeg, Order
from simulator.exchange.orders.order_faults import NO_FAULTS, OrderFaults
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.orders.status import COMPLETE
from simulator.exchange.orders.units import quantity_step
from simulator.market.instrument import Instrument


class IcebergOrders:
    """Places the legs. `form_of` gives the client's form of an order; the ledger records it for each leg."""

    def __init__(self, *, acceptance: OrderAcceptance, engine: Engine, form_of: Callable[[Order], Params]) -> None:
        self._acceptance = acceptance
        self._engine = engine
        self._form_of = form_of

    def start(
        self, user_id: str, request: OrderRequest, instrument: Instrument, sent: Params, faults: OrderFaults
    ) -> Order:
        """Places the first leg. `request.quantity` is the whole, whose margin the caller has checked."""
        sizes = leg_sizes(request.quantity, request.iceberg_legs, step=quantity_step(instrument))
        leg = IcebergLeg(1, len(sizes), sizes[0], request.quantity, request.quantity - sizes[0])
        order = self._acceptance.accept(
            user_id, replace(request, quantity=sizes[0], iceberg_legs=0), instrument, sent, iceberg=leg
        )
        self._engine.submit(order, faults)
        return order

    def follow_up(self, order: Order) -> None:
        """Places the next leg when `order` is a filled leg and not the last. A leg beyond the funds is rejected."""
        leg = order.iceberg
        if leg is None or order.status != COMPLETE or leg.leg >= leg.legs or leg.remaining_quantity <= 0:
            return
        size = leg.remaining_quantity if leg.leg + 1 == leg.legs else min(leg.leg_quantity, leg.remaining_quantity)
        next_leg = replace(leg, leg=leg.leg + 1, leg_quantity=size, remaining_quantity=leg.remaining_quantity - size)
        request = replace(order.request, quantity=size)
        successor = self._acceptance.accept(
            order.user_id, request, order.instrument, self._form_of(order), iceberg=next_leg
        )
        faults = NO_FAULTS
        try:
            self._acceptance.check_funds_and_shares(order.user_id, request, order.instrument, replacing=successor)
        except KiteError as error:
            faults = OrderFaults(refusal=error.message)
        self._engine.submit(successor, faults)


def leg_sizes(quantity: int, legs: int, *, step: int) -> list[int]:
    """Equal legs in multiples of `step`; the last one takes what is left."""
    size = -(-quantity // legs // step) * step
    full = (quantity - 1) // size
    return [size] * full + [quantity - size * full]
