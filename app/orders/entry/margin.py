"""What is asked before a batch is accepted: is there margin for all of it, and which legs should go first.

Most batches that break half-way break for want of margin; the broker can say so beforehand. Its figure is advice, not
a promise: when it cannot be read in time the batch is accepted all the same, and the broker decides leg by leg.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from loguru import logger

from app.broker.orders import Exchange, OrderRequest, TransactionType
from app.broker.port import Broker
from app.errors import BrokerError, RateLimited
from app.orders.risk.positions import Net, Reducible, net_positions
from app.orders.state.model import TaskError

READ_TIMEOUT_S = 2.0
Sequencing = Literal["as_given", "margin_first"]


async def margin_shortfall(
    broker: Broker, requests: Sequence[OrderRequest], *, timeout_s: float = READ_TIMEOUT_S
) -> TaskError | None:
    """What is missing when the broker says that the whole batch needs more than there is, else None."""
    for segment, group in by_segment(requests).items():
        try:
            async with asyncio.timeout(timeout_s):
                needed, available = await asyncio.gather(
                    broker.orders.basket_margin(group), broker.orders.available_margin(group[0].exchange)
                )
        except (BrokerError, RateLimited, TimeoutError) as error:
            logger.warning("margin of a batch could not be asked: {}", str(error) or "no answer in time")
            return None
        if needed > available:
            message = f"the whole batch needs a margin of {needed} in {segment}, available is {available}"
            return TaskError(code="MARGIN_SHORTFALL", message=message)
    return None


def by_segment(requests: Sequence[OrderRequest]) -> dict[str, list[OrderRequest]]:
    """Money is kept in two pots, one for commodities and one for everything else."""
    groups: dict[str, list[OrderRequest]] = {}
    for request in requests:
        segment = "commodity" if request.exchange is Exchange.MCX else "equity"
        groups.setdefault(segment, []).append(request)
    return groups


async def waves_of(broker: Broker, requests: Sequence[OrderRequest], *, sequencing: Sequencing) -> list[int]:
    """For each leg the wave it goes in; a wave begins when the one before it has its answers. Raises BrokerError."""
    if sequencing == "as_given":
        return [0] * len(requests)
    positions = await broker.portfolio.positions()
    return margin_waves(requests, net_positions(positions))


def margin_waves(requests: Sequence[OrderRequest], held: Net) -> list[int]:
    """First what makes a position smaller (it releases margin), then what is bought (it may hedge), then the sales."""
    reducible = Reducible(held)
    return [_wave(request, reducible) for request in requests]


def _wave(request: OrderRequest, reducible: Reducible) -> int:
    if reducible.free_for(request) == request.quantity:
        reducible.take(request, request.quantity)
        return 0
    return 1 if request.transaction_type is TransactionType.BUY else 2
