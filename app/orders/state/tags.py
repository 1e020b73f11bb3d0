"""The tag on the wire: the one handle by which an order of ours is recognised in the broker's book.

Twenty characters, upper case and digits only: two name this deployment (so that an order whose task was lost is still
known to be ours), seventeen are random (85 bits), the last is the attempt.
"""

from __future__ import annotations

from app.broker.orders import BrokerOrder
from app.kit.ids import IdSource
from app.orders.state.model import Task

RANDOM_LENGTH = 17
DEPLOYMENT_LENGTH = 2


class Tagger:
    def __init__(self, ids: IdSource, *, deployment: str) -> None:
        self._ids = ids
        self.deployment = deployment

    def fresh(self) -> str:
        """Nineteen characters; the attempt's digit makes twenty."""
        return self.deployment + self._ids.code(RANDOM_LENGTH)


TAG_LENGTH = 20


def attempt_tags(task: Task) -> set[str]:
    """Every tag that this task has put on the wire, and the next one: a restored database may have forgotten it."""
    return {f"{task.tag_base}{attempt}" for attempt in range(1, task.attempts + 2)}


def tags_of(order: BrokerOrder) -> set[str]:
    return {*order.tags, *([order.tag] if order.tag else [])}
