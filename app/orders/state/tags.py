"""The tag on the wire: the one handle by which an order of ours is recognised in the broker's book.

Twenty characters, upper case and digits only: two name this deployment (so that an order whose task was lost is still
known to be ours), seventeen are random (85 bits), the last is the attempt.
"""

from __future__ import annotations

from app.kit.ids import IdSource

RANDOM_LENGTH = 17
DEPLOYMENT_LENGTH = 2


class Tagger:
    def __init__(self, ids: IdSource, *, deployment: str) -> None:
        self._ids = ids
        self.deployment = deployment

    def fresh(self) -> str:
        """Nineteen characters; the attempt's digit makes twenty."""
        return self.deployment + self._ids.code(RANDOM_LENGTH)
