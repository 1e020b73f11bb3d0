"""Checks the margin of a batch before it is accepted, and decides which of its legs are sent first.

Most batches that fail half-way lack margin, and the broker can calculate that beforehand. The figure is an estimate:
when it cannot be read in time, the batch is accepted, and the broker decides leg by leg.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from loguru import logger

from app.broker.orders import OrderRequest, TransactionType
from app.broker.port import Broker
from app.errors import BrokerError, RateLimited
from app.kit.answer_time import answering_within, seconds_left
from app.orders.risk.positions import Net, Reducible, net_positions
from app.orders.state.model import TaskError

READ_TIMEOUT_S = 2.0
Sequencing = Literal["as_given", "margin_first"]


async def margin_shortfall(
    broker: Broker, requests: Sequence[OrderRequest], *, timeout_s: float = READ_TIMEOUT_S
) -> TaskError | None:
    """The error of a batch that needs more margin than is available; None when it does not, or the reads failed.

    ``timeout_s``: for all segments together.
    """
    ends_at = asyncio.get_running_loop().time() + min(timeout_s, seconds_left())
    for segment, group in by_segment(requests).items():
        try:
            async with asyncio.timeout_at(ends_at):
                needed, available = await asyncio.gather(
                    broker.orders.basket_margin(group), broker.orders.available_margin(group[0].exchange)
                )
        except (BrokerError, RateLimited, TimeoutError) as error:
            fields = {"account_id": broker.account_id, "action": "check_margin", "reason": repr(error)}
            logger.bind(**fields).warning("margin of a batch not read, accepted without it")
            return None
        if needed > available:
            message = f"the whole batch needs a margin of {needed} in {segment}, available is {available}"
            return TaskError(code="MARGIN_SHORTFALL", message=message)
    return None


def by_segment(requests: Sequence[OrderRequest]) -> dict[str, list[OrderRequest]]:
    """The requests by margin segment: Kite keeps the funds for commodities apart from all others."""
    groups: dict[str, list[OrderRequest]] = {}
    for request in requests:
        segment = "commodity" if request.exchange.is_commodity else "equity"
        groups.setdefault(segment, []).append(request)
    return groups


async def waves_of(broker: Broker, requests: Sequence[OrderRequest], *, sequencing: Sequencing) -> list[int]:
    """The wave of each leg, from 0. A wave is sent when the broker has answered all legs of the one before.

    Raises BrokerError, RateLimited: for ``margin_first`` the positions are read.
    """
    if sequencing == "as_given":
        return [0] * len(requests)
    with answering_within(min(READ_TIMEOUT_S, seconds_left())):
        positions = await broker.portfolio.positions()
    return margin_waves(requests, net_positions(positions))


def margin_waves(requests: Sequence[OrderRequest], held: Net) -> list[int]:
    """Reductions of a position first (they release margin), then purchases (they may hedge), then sales."""
    reducible = Reducible(held)
    return [_wave(request, reducible) for request in requests]


def _wave(request: OrderRequest, reducible: Reducible) -> int:
    if reducible.assign_whole(request):
        return 0
    return 1 if request.transaction_type is TransactionType.BUY else 2
