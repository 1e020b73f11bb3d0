"""The commands of clients: checks each request, makes its tasks, and hands them to acceptance.

The end of a client's wait changes nothing about the order. The same key with the same request gives the same resource,
however often and however late it is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from app.broker.orders import Operation, OrderChanges
from app.broker.port import WireRequest
from app.errors import BadInput, BrokerError, Problem, RateLimited
from app.kit.ids import IdSource
from app.orders.engine.order_engine import OrderEngine
from app.orders.entry import validation
from app.orders.entry.acceptance import Acceptance, Caller
from app.orders.entry.fingerprint import canonical, fingerprint_of
from app.orders.entry.margin import Sequencing, margin_shortfall, waves_of
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.recovered_keys import Wanted
from app.orders.entry.requests import RequestChecker
from app.orders.entry.validation import with_order_defaults
from app.orders.state.documents import broker_document
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.model import OnFilled, TaskStatus
from app.orders.state.new_tasks import BatchLeg, NewBatch, OrderLine, OrderTarget, Replaces, TaskFactory
from app.orders.views.queries import OrderQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How a batch is sent and undone."""

    rollback_on_failure: bool = True  # one failed leg undoes the others
    on_filled: OnFilled = "report"  # what a rollback does about fills
    order: Sequencing = "as_given"  # or ``margin_first``: legs that release margin go first
    check_margin: Literal["ask", "skip"] = "ask"  # whether the broker calculates the margin before acceptance


class OrderService:
    """The commands of the API. Every one raises BadInput, NotFound, and what ``Acceptance.accept`` raises.

    ``wait_s``: how many seconds the client waits for the outcome. ``queries`` is the reading side.
    """

    def __init__(
        self,
        *,
        acceptance: Acceptance,
        engine: OrderEngine,
        queries: OrderQueries,
        checker: RequestChecker,
        tasks: TaskFactory,
        settings: EngineSettings,
        ids: IdSource,
    ) -> None:
        self._acceptance = acceptance
        self._engine = engine
        self.queries = queries
        self._checker = checker
        self._tasks = tasks
        self._settings = settings
        self._ids = ids

    def stop_waiting(self) -> None:
        """Answer waiting clients with the present state, because the process is about to stop."""
        self._acceptance.stop_waiting()

    async def place(
        self,
        line: OrderLine,
        *,
        account_id: str,
        caller: Caller,
        wait_s: float,
        replaces: Replaces | None = None,
    ) -> Answer:
        """Accept one order and wait up to ``wait_s`` for the broker's answer.

        ``replaces``: the live order that is cancelled first; then NotAsSeen too is raised.
        """
        if replaces is not None:
            return await self._replace(line, replaces, account_id=account_id, caller=caller, wait_s=wait_s)
        fingerprint = fingerprint_of("place", account_id, [line])
        wanted = Wanted(account_id=account_id, lines=[with_order_defaults(line)])
        try:
            line = self.checked([line], account_id=account_id, loc=())[0]
        except BadInput as error:
            return await self._acceptance.answer_after(
                error, fingerprint, caller=caller, account_id=account_id, wait_s=wait_s, wanted=wanted
            )
        origin = caller.origin(account_id)
        task = self._tasks.place(line, account_id=account_id, arrived_at=caller.arrived_at, origin=origin)
        return await self._acceptance.accept(
            [task], batch=None, fingerprint=fingerprint, caller=caller, wait_s=wait_s, wanted=wanted
        )

    async def _replace(
        self, line: OrderLine, replaces: Replaces, *, account_id: str, caller: Caller, wait_s: float
    ) -> Answer:
        """Accept a replacement: a cancel of the old order, and the new order.

        The sender sends the new order only when the book shows the old one cancelled with no fill beyond those at the
        version that the client named; if the old order filled further, the new one is withdrawn unsent.
        """
        fingerprint = fingerprint_of("place", account_id, [line], replaces=asdict(replaces))
        wanted = Wanted(account_id=account_id, lines=[with_order_defaults(line)], replaces=replaces.order_id)
        earlier = await self._acceptance.replayed(
            caller, fingerprint, account_id=account_id, wait_s=wait_s, wanted=wanted
        )
        if earlier is not None:
            return earlier
        target = await self._target(replaces.order_id, account_id)
        line = self.checked([line], account_id=account_id, loc=())[0]
        self._checker.check_replacement(line, target)
        tasks = self._tasks.replacement(
            line, replaces, target, arrived_at=caller.arrived_at, origin=caller.origin(account_id)
        )
        return await self._acceptance.accept(
            tasks, batch=None, fingerprint=fingerprint, caller=caller, wait_s=wait_s, wanted=wanted
        )

    async def place_batch(
        self, lines: Sequence[OrderLine], *, account_id: str, options: BatchOptions, caller: Caller, wait_s: float
    ) -> Answer:
        """Accept up to twenty orders as one batch and wait up to ``wait_s`` until it is finished.

        With rollback the broker first calculates the margin of the whole batch; if it is missing, the batch is
        accepted with every leg failed, and no leg is sent. Raises BrokerError, RateLimited for ``margin_first``.
        """
        fingerprint = fingerprint_of("batch", account_id, lines, **asdict(options))
        wanted = Wanted(
            account_id=account_id,
            lines=[with_order_defaults(line) for line in lines],
            is_batch=True,
            rollback_on_failure=options.rollback_on_failure,
            on_filled=options.on_filled,
        )
        try:
            lines = self.checked(lines, account_id=account_id, loc=("orders",))
        except BadInput as error:
            return await self._acceptance.answer_after(
                error, fingerprint, caller=caller, account_id=account_id, wait_s=wait_s, wanted=wanted
            )
        earlier = await self._acceptance.replayed(
            caller, fingerprint, account_id=account_id, wait_s=wait_s, wanted=wanted
        )
        if earlier is not None:
            return earlier
        requests = [line.request for line in lines]
        broker = self._engine.broker(account_id)
        shortfall = None
        if options.check_margin == "ask" and options.rollback_on_failure and len(lines) > 1:
            shortfall = await margin_shortfall(broker, requests)
        try:
            waves = await waves_of(broker, requests, sequencing=options.order)
        except (BrokerError, RateLimited) as error:
            return await self._acceptance.answer_after(
                error, fingerprint, caller=caller, account_id=account_id, wait_s=wait_s, wanted=wanted
            )
        batch = self._batch(lines, options, account_id=account_id)
        legs = [
            self._tasks.place(
                line,
                account_id=account_id,
                of_batch=BatchLeg(batch_id=batch.batch_id, leg=leg, wave=wave),
                arrived_at=caller.arrived_at,
                origin=caller.origin(account_id, leg=leg),
            )
            for leg, (line, wave) in enumerate(zip(lines, waves, strict=True))
        ]
        if shortfall is not None:
            legs = [replace(leg, status=TaskStatus.FAILED, error=shortfall) for leg in legs]
        return await self._acceptance.accept(
            legs, batch=batch, fingerprint=fingerprint, caller=caller, wait_s=wait_s, wanted=wanted
        )

    def _batch(self, lines: Sequence[OrderLine], options: BatchOptions, *, account_id: str) -> NewBatch:
        return NewBatch(
            batch_id=self._ids.uuid(),
            account_id=account_id,
            rollback_on_failure=options.rollback_on_failure,
            on_filled=options.on_filled,
            total_orders=len(lines),
            deadline_s=min(self._settings.batch_deadline_s, 30.0 * len(lines)),
        )

    async def modify(
        self,
        order_id: str,
        changes: OrderChanges,
        *,
        account_id: str | None,
        caller: Caller,
        wait_s: float,
        only_if: frozenset[str] | None = None,
    ) -> Answer:
        """Accept a modification of an order. ``only_if``: raise NotAsSeen unless it is at one of these versions."""
        target = await self._target(order_id, account_id)
        owner = target.account_id
        fingerprint = fingerprint_of(Operation.MODIFY, owner, [], order_id=order_id, changes=canonical(changes))
        try:
            self._checker.check_changes(changes, target)
        except BadInput as error:
            return await self._acceptance.answer_after(
                error, fingerprint, caller=caller, account_id=owner, wait_s=wait_s
            )
        wanted = validation.with_change_defaults(changes)
        task = self._tasks.modify(target, wanted, only_if=only_if, arrived_at=caller.arrived_at)
        return await self._acceptance.accept([task], batch=None, fingerprint=fingerprint, caller=caller, wait_s=wait_s)

    async def cancel(
        self,
        order_id: str,
        *,
        account_id: str | None,
        caller: Caller,
        wait_s: float,
        only_if: frozenset[str] | None = None,
    ) -> Answer:
        """Accept a cancel of an order. ``only_if``: raise NotAsSeen unless it is at one of these versions."""
        target = await self._target(order_id, account_id)
        task = self._tasks.cancel(target, only_if=only_if, arrived_at=caller.arrived_at)
        fingerprint = fingerprint_of(Operation.CANCEL, target.account_id, [], order_id=order_id)
        return await self._acceptance.accept([task], batch=None, fingerprint=fingerprint, caller=caller, wait_s=wait_s)

    def checked(self, lines: Sequence[OrderLine], *, account_id: str, loc: tuple[str, ...]) -> list[OrderLine]:
        """The orders with their defaults, as they would be sent; nothing is stored.

        ``loc``: where the orders stand in the request, for the problems. Raises BadInput, NotFound (the account).
        """
        self._engine.wakeups(account_id)  # raises NotFound
        return self._checker.checked(lines, loc=loc)

    def problems_of(self, line: OrderLine, *, instrument: Literal["look_up", "ignore"]) -> list[Problem]:
        """The problems of one order, for callers that collect those of many; ``ignore`` skips the instrument's."""
        return self._checker.problems_of(with_order_defaults(line), instrument=instrument)

    async def preview(
        self, lines: Sequence[OrderLine], *, account_id: str, batch: BatchOptions | None = None
    ) -> list[WireRequest]:
        """The exact requests that the broker would receive; nothing is stored or sent. Raises as ``place``.

        ``batch``: of the legs of one; the broker is not asked for its margin.
        """
        lines = self.checked(lines, account_id=account_id, loc=() if batch is None else ("orders",))
        new = None if batch is None else self._batch(lines, batch, account_id=account_id)
        tasks = [
            self._tasks.place(
                line,
                account_id=account_id,
                of_batch=None if new is None else BatchLeg(batch_id=new.batch_id, leg=leg),
            )
            for leg, line in enumerate(lines)
        ]
        await self._acceptance.try_out(tasks, batch=new)
        return [self._engine.preview(account_id, line.request) for line in lines]

    async def preview_replacement(self, line: OrderLine, replaces: Replaces, *, account_id: str) -> list[WireRequest]:
        """The requests of a replacement, the cancel first; nothing is stored or sent. Raises as ``place``."""
        target = await self._target(replaces.order_id, account_id)
        checked = self.checked([line], account_id=account_id, loc=())[0]
        self._checker.check_replacement(checked, target)
        await self._acceptance.try_out(self._tasks.replacement(checked, replaces, target))
        cancel = self._engine.broker(account_id).orders.preview_cancel(
            replaces.order_id, variety=target.variety, parent_order_id=target.parent_order_id
        )
        return [cancel, self._engine.preview(account_id, checked.request)]

    async def history(self, order_id: str, *, account_id: str) -> list[Mapping[str, Any]]:
        """The states that the broker recorded for an order, oldest first. Raises BrokerError, OrderIsAGroup."""
        await self._target(order_id, account_id)
        rows = await self._engine.broker(account_id).orders.order_history(order_id)
        return [broker_document(row, account_id=account_id) for row in rows]

    async def _target(self, order_id: str, account_id: str | None) -> OrderTarget:
        """The order of a command. Raises NotFound (also for an account that is not served here), OrderIsAGroup."""
        target = await self.queries.target(order_id, account_id=account_id)
        self._engine.wakeups(target.account_id)  # raises NotFound
        return target
