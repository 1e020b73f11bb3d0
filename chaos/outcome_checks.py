"""The checks of what a run looked like from outside: recovery, health, last words, walls, and bounds. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from chaos.history import TAG_BASE, History, LedgerOrder
from chaos.observations import HealthSample

RECOVERS_S = 15.0
SILENT_S = 5.0
"""An account that could not trade for longer must have been reported by every replica."""

ANSWERS_WITHIN_S = 5.0
"""Beyond the ``wait`` of the request."""

MACHINE_S = 1.0
"""What a busy machine may add to an answer."""

WALL = 1.5
WALL_SLACK_S = 0.03
"""Medians of a few milliseconds differ by more than half without a reason."""

_LIVE = frozenset({"OPEN", "TRIGGER PENDING", "AMO REQ RECEIVED"})
_ENDED_WITHOUT_ORDER = frozenset({"cancelled", "expired", "failed"})
_UNDONE = frozenset({"rolled_back", "rolled_back_with_fills"})


def recovered(history: History) -> Iterator[str]:
    """C11."""
    for one in history.observed.recoveries:
        if one.seconds is None or one.seconds > RECOVERS_S:
            took = "never" if one.seconds is None else f"after {one.seconds:.1f} s"
            yield f"{one.replica}: an order on {one.account_id} was placed {took} after {one.after}"


def health_was_true(history: History) -> Iterator[str]:
    """C12. Only replicas that answered all the while can have said anything."""
    by_account: dict[str, dict[str, list[HealthSample]]] = defaultdict(lambda: defaultdict(list))
    for sample in history.observed.health:
        by_account[sample.account_id][sample.replica].append(sample)
    for account_id, began_at, ended_at, what in _times_without_trading(history):
        for replica, samples in sorted(by_account[account_id].items()):
            if _answered_throughout(samples, began_at, ended_at) and not _said_so(samples, began_at, ended_at):
                yield f"{replica}: {what}, and its health said nothing"


def _times_without_trading(history: History) -> Iterator[tuple[str, datetime, datetime, str]]:
    """Account, from, to, and what did not go meanwhile."""
    for task in history.tasks:
        expired = task.operation == "place" and task.status == "expired" and task.error_code in {"EXPIRED", None}
        if not expired or task.created_at is None or task.finished_at is None or task.replaces is not None:
            continue
        if not _went(history, task.account_id, task.created_at, task.finished_at):
            yield task.account_id, task.created_at, task.finished_at, f"order task {task.task_id} expired unsent"
    for one in history.observed.recoveries:
        if one.seconds is None or one.seconds <= SILENT_S:
            continue
        ended_at = one.began_at + timedelta(seconds=one.seconds - 1.0)  # the order itself went in this second
        if not _went(history, one.account_id, one.began_at, ended_at):
            yield one.account_id, one.began_at, ended_at, f"no order on {one.account_id} went after {one.after}"


def _went(history: History, account_id: str, began_at: datetime, ended_at: datetime) -> bool:
    """Whether any order of the account reached the exchange: then one that did not has waited for a doubt on its
    instrument, for those before it, or for the rate."""
    return any(one.account_id == account_id and began_at <= one.accepted_at <= ended_at for one in history.ledger)


def _answered_throughout(samples: list[HealthSample], began_at: datetime, ended_at: datetime) -> bool:
    inside = [sample for sample in samples if began_at <= sample.at <= ended_at]
    return len(inside) >= (ended_at - began_at).total_seconds() / 2


def _said_so(samples: list[HealthSample], began_at: datetime, ended_at: datetime) -> bool:
    return any(sample.reasons for sample in samples if began_at <= sample.at <= ended_at)


def last_words_are_true(history: History) -> Iterator[str]:
    """C13."""
    tasks = {task.tag_base: task for task in history.tasks if task.tag_base}
    orders: dict[str, list[LedgerOrder]] = defaultdict(list)
    for order in history.ledger:
        task = tasks.get(order.tag[:TAG_BASE])
        if task is None:
            continue
        orders[task.batch_id or ""].append(order)
        if order.state in _LIVE and task.status in _ENDED_WITHOUT_ORDER:
            yield f"task {task.task_id} is {task.status} ({task.error_code}), and order {order.order_id} is live"
    for batch in history.batches:
        live = [order.order_id for order in orders[batch.batch_id] if order.state in _LIVE]
        if batch.status in _UNDONE and live:
            yield f"batch {batch.batch_id} is {batch.status}, and {', '.join(live)} are live"
        reported = history.observed.residuals.get(batch.batch_id)
        position = _position(orders[batch.batch_id])
        if batch.status in _UNDONE and reported is not None and position != reported:
            yield f"batch {batch.batch_id} says that {dict(reported)} is left, and the exchange has {position}"


def _position(orders: list[LedgerOrder]) -> dict[str, int]:
    """What these orders have made, by tradingsymbol; sold short is below zero."""
    held: Counter[str] = Counter()
    for order in orders:
        held[order.tradingsymbol] += order.filled_quantity * (1 if order.transaction_type == "BUY" else -1)
    return {symbol: count for symbol, count in held.items() if count}


def walls_stood(history: History) -> Iterator[str]:
    """C14."""
    for wall in history.observed.walls:
        if wall.during_s > WALL * wall.before_s + WALL_SLACK_S:
            took = f"{wall.during_s:.3f} s instead of {wall.before_s:.3f} s"
            yield f"orders on {wall.account_id} took {took} while {wall.broken}"


def answers_came_in_time(history: History) -> Iterator[str]:
    """C15."""
    for answer in history.observed.answers:
        if answer.seconds > answer.wait_s + ANSWERS_WITHIN_S + MACHINE_S:
            yield f"{answer.replica}: {answer.request} with wait {answer.wait_s:g} took {answer.seconds:.1f} s"
