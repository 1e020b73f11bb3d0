"""The tag on the wire, by which the reconciler recognises the orders of this service in the broker's book.

Twenty characters, upper case and digits only. Two name the deployment, so that an order whose task was lost is still
recognised. Seventeen are random (85 bits). The last is the number of the attempt.
"""

from __future__ import annotations

from app.broker.orders import BrokerOrder
from app.kit.ids import IdSource
from app.orders.state.model import Task

DEPLOYMENT_LENGTH = 2
RANDOM_LENGTH = 17
TAG_LENGTH = DEPLOYMENT_LENGTH + RANDOM_LENGTH + 1


class Tagger:
    """Makes tags that no other task has."""

    def __init__(self, ids: IdSource, *, deployment: str) -> None:
        self._ids = ids
        self.deployment = deployment

    def fresh(self) -> str:
        """A new ``tag_base``: nineteen characters, to which each attempt adds its digit."""
        return self.deployment + self._ids.code(RANDOM_LENGTH)


def attempt_tags(task: Task) -> set[str]:
    """Every tag under which this task was sent, and the next one: a restored database may have forgotten an attempt."""
    return {f"{task.tag_base}{attempt}" for attempt in range(1, task.attempts + 2)}


def tags_of(order: BrokerOrder) -> set[str]:
    """All tags of a row of the book."""
    return {*order.tags, *([order.tag] if order.tag else [])}
