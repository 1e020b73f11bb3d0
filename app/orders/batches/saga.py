"""Decides the next step of a batch from the state of its legs. Pure: the runner carries the step out and decides again.

A batch stores nothing but its status. Everything else is read from the stored legs each time, so a crash between any
two steps changes nothing. A batch is ``rolled_back`` only when every leg is finished and nothing filled; fills cannot
be cancelled, and the batch reports every one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from app.orders.batches.exit_rules import ExitProgress, ExitStatus, progress
from app.orders.batches.legs import Leg, LegStatus, is_finished, leg_status
from app.orders.state.completeness import untaken
from app.orders.state.model import UNSENT, Batch, BatchStatus, OrderState, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Finish an unsent task without sending it."""

    task_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareOff:
    """Close a leg's position by an order of the opposite side; ``finisher`` carries it out."""

    leg: int
    quantity: int


Action: TypeAlias = Withdraw | SquareOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next step of a batch."""

    status: BatchStatus  # the batch's status from now on
    actions: tuple[Action, ...] = ()
    unwanted: tuple[UUID, ...] = ()  # the placements that are unwanted from now on
    error: str | None = None  # why the status is no success; None keeps the stored reason
    again_at: datetime | None = None  # decide again at this time even if nothing changes


_DECIDED = frozenset({LegStatus.CONFIRMED, LegStatus.FAILED, LegStatus.LOST})


def decide(batch: Batch, legs: Sequence[Leg], *, now: datetime, doubt_timeout: timedelta) -> Decision:
    """The next step of an open batch. A doubt that is older than ``doubt_timeout`` counts as a failed leg."""
    if batch.status is BatchStatus.COMPENSATING:
        return _compensate(batch, legs, error=None, now=now)
    statuses = [leg_status(leg) for leg in legs]
    if batch.rollback_on_failure:
        reason = _reason_to_roll_back(batch, legs, statuses, now=now, doubt_timeout=doubt_timeout)
        if reason:
            return _compensate(batch, legs, error=reason, now=now)
    if all(status is LegStatus.CONFIRMED for status in statuses):
        return Decision(status=BatchStatus.COMPLETED)
    if batch.rollback_on_failure:
        return Decision(status=BatchStatus.RUNNING, again_at=_next_timeout(batch, legs, doubt_timeout=doubt_timeout))
    return _continue_without_rollback(batch, legs, statuses, now=now)


def _reason_to_roll_back(
    batch: Batch, legs: Sequence[Leg], statuses: Sequence[LegStatus], *, now: datetime, doubt_timeout: timedelta
) -> str:
    for leg, status in zip(legs, statuses, strict=True):
        if status in {LegStatus.FAILED, LegStatus.LOST}:
            return f"leg {leg.task.leg} {_failure_of(leg)}"
        if status is LegStatus.DOUBTFUL and _doubt_since(leg) + doubt_timeout <= now:
            return f"leg {leg.task.leg} is in doubt for longer than {doubt_timeout.total_seconds():g} s"
    if now >= batch.deadline_at:
        return "the batch was not placed within its deadline"
    return ""


def _continue_without_rollback(
    batch: Batch, legs: Sequence[Leg], statuses: Sequence[LegStatus], *, now: datetime
) -> Decision:
    """Without rollback the legs are independent; the batch finishes when the outcome of each is decided.

    A leg that closes a position is decided when that is closed, or given up.
    """
    exits = {leg.task.leg: progress(leg, now=now) for leg in legs if leg.is_exit}
    given_up = {number for number, one in exits.items() if one.status is ExitStatus.GIVEN_UP}
    statuses = [
        LegStatus.FAILED if leg.task.leg in given_up else status for leg, status in zip(legs, statuses, strict=True)
    ]
    if all(status in _DECIDED for status in statuses):
        if LegStatus.LOST in statuses:
            return Decision(status=BatchStatus.NEEDS_ATTENTION, error="a leg's fate could not be proven")
        failed = statuses.count(LegStatus.FAILED)
        why = "".join(sorted({f"; {one.why}" for one in exits.values() if one.why}))
        return Decision(status=BatchStatus.PARTIALLY_COMPLETED, error=f"{failed} of {len(legs)} legs failed{why}")
    late = now >= batch.deadline_at
    others = [leg for leg in legs if not leg.is_exit]
    unsent = tuple(Withdraw(task_id=leg.task.task_id) for leg in others if late and leg.task.status in UNSENT)
    again_at = _earliest([None if late else batch.deadline_at, *_moments(exits.values(), now=now)])
    return Decision(status=BatchStatus.RUNNING, actions=(*unsent, *_due(exits, now=now)), again_at=again_at)


def _due(exits: Mapping[int | None, ExitProgress], *, now: datetime) -> Iterator[SquareOff]:
    for number, one in exits.items():
        if one.status is ExitStatus.NEEDED and (one.at is None or one.at <= now):
            yield SquareOff(leg=number or 0, quantity=one.left)


def _moments(exits: Iterable[ExitProgress], *, now: datetime) -> list[datetime]:
    return [one.at for one in exits if one.at is not None and one.at > now]


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _compensate(batch: Batch, legs: Sequence[Leg], *, error: str | None, now: datetime) -> Decision:
    """All legs are unwanted; when all are finished, decide the final status."""
    open_legs = [leg for leg in legs if leg.is_lost or not is_finished(leg)]
    unwanted = tuple(leg.task.task_id for leg in open_legs if leg.task.unwanted_since is None)
    if not all(leg.is_lost for leg in open_legs):
        return Decision(status=BatchStatus.COMPENSATING, unwanted=unwanted, error=error)
    if any(leg.is_lost for leg in legs):
        lost = "a leg's fate could not be proven"
        return Decision(status=BatchStatus.NEEDS_ATTENTION, unwanted=unwanted, error=lost)
    if not any(leg.filled_quantity for leg in legs):
        return Decision(status=BatchStatus.ROLLED_BACK, error=error)
    return _finish_with_fills(batch, legs, error=error, now=now)


def _finish_with_fills(batch: Batch, legs: Sequence[Leg], *, error: str | None, now: datetime) -> Decision:
    """All legs are finished and some filled: close the fills if the client asked for that, then report what is open."""
    exits = {leg.task.leg: progress(leg, now=now) for leg in legs if leg.exits}
    if batch.on_filled == "square_off":
        exits = {leg.task.leg: progress(leg, now=now) for leg in legs if leg.open_quantity}
        if not all(one.is_over for one in exits.values()):
            return Decision(
                status=BatchStatus.COMPENSATING,
                actions=tuple(_due(exits, now=now)),
                error=error,
                again_at=_earliest(_moments(exits.values(), now=now)),
            )
    if any(one.status is ExitStatus.LOST for one in exits.values()):
        return Decision(status=BatchStatus.NEEDS_ATTENTION, error="the fate of a square-off could not be proven")
    return Decision(status=BatchStatus.ROLLED_BACK_WITH_FILLS, error=error)


def _failure_of(leg: Leg) -> str:
    if any(order.is_stale for order in leg.orders):
        return "was live when it was last seen, and the book of its day is gone"
    if leg.task.status is TaskStatus.COMPLETED and untaken(leg.task):
        return f"was taken in part only: {untaken(leg.task)}"
    if leg.task.last_error is not None:
        return f"failed: {leg.task.last_error.message}"
    ended = [order for order in leg.orders if order.state in {OrderState.REJECTED, OrderState.CANCELLED}]
    if ended:
        return f"was {ended[0].state} by the exchange"
    return f"is {leg.task.status}"


def _doubt_since(leg: Leg) -> datetime:
    return leg.task.last_sent_at or leg.task.updated_at


def _next_timeout(batch: Batch, legs: Sequence[Leg], *, doubt_timeout: timedelta) -> datetime:
    """When the batch's deadline or the first doubt's timeout is reached."""
    doubts = [_doubt_since(leg) + doubt_timeout for leg in legs if leg.task.status is TaskStatus.IN_DOUBT]
    return min([batch.deadline_at, *doubts])
