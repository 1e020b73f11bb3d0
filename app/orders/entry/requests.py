"""Checks the requests of clients: every problem of every order at once, before anything is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from app.broker.orders import OrderChanges
from app.errors import BadInput, Problem
from app.kit.clock import IST, Clock
from app.orders.entry import validation
from app.orders.entry.market_data_port import InstrumentLookup
from app.orders.entry.validation import with_order_defaults
from app.orders.state.new_tasks import OrderLine, OrderTarget


class RequestChecker:
    """The checks that need neither the broker nor stored state."""

    def __init__(self, instruments: InstrumentLookup, *, clock: Clock) -> None:
        self._instruments = instruments
        self._clock = clock

    def checked(self, lines: Sequence[OrderLine], *, loc: tuple[str, ...]) -> list[OrderLine]:
        """The orders with their defaults. ``loc``: where they stand in the request's body.

        Raises BadInput with every problem of every order.
        """
        filled = [with_order_defaults(line) for line in lines]
        problems: list[Problem] = []
        for index, line in enumerate(filled):
            where: tuple[str | int, ...] = ("body", *loc, index) if loc else ("body",)
            problems.extend(Problem(loc=(*where, *problem.loc), msg=problem.msg) for problem in self.problems_of(line))
        if problems:
            raise BadInput(problems)
        return filled

    def problems_of(self, line: OrderLine, *, instrument: Literal["look_up", "ignore"] = "look_up") -> list[Problem]:
        """The problems of one order; ``ignore`` leaves out the rules of its instrument."""
        request = line.request
        found = self._instruments.find(request.exchange, request.tradingsymbol) if instrument == "look_up" else None
        problems = validation.check_fields(request, instrument=found, user_tag=line.user_tag)
        now = self._clock.now()
        problems.extend(validation.check_valid_until(request, now=now))
        if found is not None:
            problems.extend(validation.check_expiry(found, today=now.astimezone(IST).date()))
        if instrument == "look_up" and found is None and self._instruments.is_loaded:
            message = f"{request.instrument} is not an instrument of today's list"
            problems.append(Problem(loc=("tradingsymbol",), msg=message))
        return problems

    def check_replacement(self, line: OrderLine, target: OrderTarget) -> None:
        """Raises BadInput unless the new order has the side and instrument of the order that it replaces, and no bounds
        on the last price: the old order would be cancelled, and the new one then not sent."""
        request = line.request
        bounds = [name for name in ("not_above", "not_below") if getattr(request, name) is not None]
        if bounds:
            message = "goes with no `replaces`: the old order would be cancelled for one that may not be sent"
            raise BadInput([Problem(loc=("body", name), msg=message) for name in bounds])
        if (request.instrument, str(request.transaction_type)) != (target.instrument, target.transaction_type):
            message = f"the order is {target.transaction_type} {target.instrument}: only another such one replaces it"
            raise BadInput([Problem(loc=("body", "replaces"), msg=message)])

    def check_changes(self, changes: OrderChanges, target: OrderTarget) -> None:
        """Raises BadInput with every problem of a modification of this order."""
        exchange, _, tradingsymbol = target.instrument.partition(":")
        instrument = self._instruments.find(exchange, tradingsymbol)
        problems = validation.check_changes(changes, instrument=instrument)
        if problems:
            raise BadInput([Problem(loc=("body", *problem.loc), msg=problem.msg) for problem in problems])
