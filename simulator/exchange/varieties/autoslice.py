"""Autoslice: an order above the freeze quantity is placed as several orders of at most that quantity."""

from dataclasses import dataclass, replace
from typing import Final

from simulator.errors import KiteError, input_error
from simulator.exchange.entry.acceptance import OrderAcceptance
from simulator.exchange.entry.parameters import Params
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.orders.units import quantity_step
from simulator.market.instrument import Instrument

MAX_SLICES: Final = 10


@dataclass(frozen=True, slots=True)
class Slice:
    """One order of a sliced request: its id, or why it was refused."""

    order_id: str = ""
    error: KiteError | None = None


class Autoslice:
    """Places the slices of one request."""

    def __init__(self, *, acceptance: OrderAcceptance, engine: Engine) -> None:
        self._acceptance = acceptance
        self._engine = engine

    def place(
        self, user_id: str, request: OrderRequest, instrument: Instrument, sent: Params, *, parent_id: str
    ) -> list[Slice]:
        """Places every slice; each is checked by itself, so that some may be refused.

        `parent_id` is in their tags. Raises KiteError 400 when there are too many.
        """
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
        booked = self._acceptance.check(request, instrument)
        self._acceptance.check_funds_and_shares(user_id, booked, instrument)
        order = self._acceptance.accept(user_id, booked, instrument, sent)
        self._engine.submit(order)
        return Slice(order_id=order.order_id)


def slice_sizes(quantity: int, freeze_quantity: int, *, step: int) -> list[int]:
    """Slices of the largest quantity that the exchange takes. Raises KiteError 400 above `MAX_SLICES` of them."""
    size = freeze_quantity // step * step
    full, rest = divmod(quantity, size)
    sizes = [size] * full + ([rest] if rest else [])
    if len(sizes) > MAX_SLICES:
        raise input_error(f"Quantity {quantity} needs {len(sizes)} slices; at most {MAX_SLICES} are allowed.")
    return sizes
