"""What must hold although the database has forgotten a part of the run. Pure.

The event log begins a new epoch, resources get new ids and withdrawals are forgotten, so the checks of those are left
out here; they were made before the loss. What no loss may cost: an order under a key is one order, and the service
knows every order of the exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chaos.checker import (
    Violation,
    limits_kept,
    no_leaks,
    no_order_without_intent,
    one_order_per_intent,
    one_order_per_tag,
    same_as_the_exchange,
    unfinished,
    wrong_rollbacks,
)
from chaos.history import History
from chaos.outcome_checks import answers_came_in_time, recovered


def check_after_loss(history: History) -> list[Violation]:
    """All violations, under the numbers of ``chaos.checker``."""
    checks: tuple[tuple[int, Callable[[History], Iterator[str]]], ...] = (
        (1, one_order_per_tag),
        (2, one_order_per_intent),
        (2, one_order_per_key),
        (3, unfinished),
        (3, wrong_rollbacks),
        (4, no_order_without_intent),
        (5, same_as_the_exchange),
        (8, limits_kept),
        (10, no_leaks),
        (11, recovered),
        (15, answers_came_in_time),
    )
    return [Violation(f"C{number}", text) for number, find in checks for text in find(history)]


def one_order_per_key(history: History) -> Iterator[str]:
    """No two answers under one key may name different orders for the same leg."""
    for (idem_key, leg), order_ids in sorted(history.named_orders.items()):
        if len(order_ids) > 1:
            yield f"answers under key {idem_key} named {', '.join(sorted(order_ids))} for leg {leg}"
