"""From what a caller wrote to what is stored: every check that needs no broker, and the task as it will be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from app.broker.market import Instrument
from app.broker.orders import OrderChanges
from app.errors import BadInput, Problem
from app.kit.clock import Clock, today
from app.kit.ids import IdSource
from app.orders.entry import validation
from app.orders.entry.validation import with_order_defaults
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.model import Operation, Purpose
from app.orders.state.new_tasks import NewTask, OrderLine, Replaces
from app.orders.state.tags import Tagger


class Intake:
    """``find_instrument(exchange, tradingsymbol)``; ``registry_loaded``: whether its None means that there is none."""

    def __init__(
        self,
        *,
        settings: EngineSettings,
        clock: Clock,
        ids: IdSource,
        tagger: Tagger,
        find_instrument: Callable[[str, str], Instrument | None],
        registry_loaded: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._tagger = tagger
        self._find_instrument = find_instrument
        self._registry_loaded = registry_loaded

    def checked(self, lines: Sequence[OrderLine], *, loc: tuple[str, ...]) -> list[OrderLine]:
        """The orders with their defaults filled in. Raises BadInput with every problem of every order at once."""
        filled = [with_order_defaults(line) for line in lines]
        problems: list[Problem] = []
        for index, line in enumerate(filled):
            where: tuple[str | int, ...] = ("body", *loc, index) if loc else ("body",)
            problems.extend(Problem(loc=(*where, *problem.loc), msg=problem.msg) for problem in self.problems_of(line))
        if problems:
            raise BadInput(problems)
        return filled

    def problems_of(self, line: OrderLine, *, instrument: Literal["look_up", "ignore"] = "look_up") -> list[Problem]:
        """What is wrong with one order; ``ignore`` leaves out the rules of its instrument."""
        request = line.request
        found = self._find_instrument(request.exchange, request.tradingsymbol) if instrument == "look_up" else None
        problems = validation.check_order(request, instrument=found, user_tag=line.user_tag)
        if instrument == "look_up" and found is None and self._registry_loaded():
            message = f"{request.instrument} is not an instrument of today's list"
            problems.append(Problem(loc=("tradingsymbol",), msg=message))
        return problems

    def check_replacement(self, line: OrderLine, order: Mapping[str, Any]) -> None:
        """The new order is the same side of the same instrument, else it would take no place. Raises BadInput."""
        request = line.request
        if (request.instrument, str(request.transaction_type)) != (_instrument_of(order), order["transaction_type"]):
            message = (
                f"the order is {order['transaction_type']} {_instrument_of(order)}: only another such one replaces it"
            )
            raise BadInput([Problem(loc=("body", "replaces"), msg=message)])

    def cancel_task(
        self, order: Mapping[str, Any], *, only_if: frozenset[str] | None = None, purpose: Purpose = "client"
    ) -> NewTask:
        """A cancel under the order's own variety."""
        request = {"order_id": order["order_id"], "variety": order["variety"]}
        if order.get("parent_order_id"):
            request["parent_order_id"] = order["parent_order_id"]
        return replace(self.command_task(Operation.CANCEL, order, request, only_if=only_if), purpose=purpose)

    def replacement_tasks(
        self, line: OrderLine, replaces: Replaces, order: Mapping[str, Any], *, account_id: str
    ) -> tuple[NewTask, NewTask]:
        """The new order, and the cancel of the one whose place it takes.

        The cancel goes within the new order's own freshness, for an old order must not be cancelled when nothing will
        follow it; one that leaves in its last moment has the time of an answer to let the new order go.
        """
        place = self.place_task(line, account_id=account_id, replaces=replaces)
        cancel = self.cancel_task(order, purpose="replace")
        return (
            replace(place, fresh_s=place.fresh_s + self._settings.send_timeout_s),
            replace(cancel, fresh_s=min(cancel.fresh_s, place.fresh_s)),
        )

    def check_changes(self, changes: OrderChanges, order: Mapping[str, Any]) -> None:
        """``order`` is the document of the order to modify. Raises BadInput."""
        instrument = self._find_instrument(str(order["exchange"]), str(order["tradingsymbol"]))
        problems = validation.check_changes(changes, instrument=instrument)
        if problems:
            raise BadInput([Problem(loc=("body", *problem.loc), msg=problem.msg) for problem in problems])

    def place_task(
        self,
        line: OrderLine,
        *,
        account_id: str,
        batch_id: UUID | None = None,
        leg: int | None = None,
        wave: int = 0,
        replaces: Replaces | None = None,
    ) -> NewTask:
        return NewTask(
            task_id=self._ids.uuid(),
            account_id=account_id,
            operation=Operation.PLACE,
            trade_date=today(self._clock),
            instrument=line.request.instrument,
            request=line.request.to_json(),
            fresh_s=self._settings.freshness_s(line.request),
            batch_id=batch_id,
            leg=leg,
            wave=wave,
            user_tag=line.user_tag,
            tag_base=self._tagger.fresh(),
            replaces=None if replaces is None else replaces.order_id,
            only_if=None if replaces is None else frozenset({replaces.version}),
        )

    def command_task(
        self,
        operation: Operation,
        order: Mapping[str, Any],
        request: dict[str, Any],
        *,
        only_if: frozenset[str] | None = None,
    ) -> NewTask:
        """A modify or cancel task for an order that the book has shown."""
        hurried = operation is Operation.CANCEL
        return NewTask(
            task_id=self._ids.uuid(),
            account_id=str(order["account_id"]),
            operation=operation,
            trade_date=today(self._clock),
            instrument=_instrument_of(order),
            request=request,
            fresh_s=self._settings.freshness_cancel_s if hurried else self._settings.freshness_limit_s,
            target_order_id=str(order["order_id"]),
            only_if=only_if,
        )


def _instrument_of(order: Mapping[str, Any]) -> str:
    return f"{order['exchange']}:{order['tradingsymbol']}"
