"""The tag on the wire, by which the reconciler recognises the orders of this service in the broker's book.

Twenty characters, upper case and digits only. Two name the deployment, so that an order whose task was lost is still
recognised. Seventeen name the order (85 bits). The last is the number of the attempt.

The seventeen are derived from the client's idempotency key under a secret that is not in the database: after a loss of
the database the tag of a repeated request is found in the broker's book. An order without a key has random ones.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.broker.orders import BrokerOrder
from app.config import Settings
from app.kit.ids import IdSource, crockford
from app.orders.state.model import Purpose, Task

DEPLOYMENT_LENGTH = 2
NAME_LENGTH = 17
TAG_LENGTH = DEPLOYMENT_LENGTH + NAME_LENGTH + 1
TAG_ATTEMPTS = 9
"""Attempts of one placement: the tag has one digit for them. Only sessions that end again and again reach as many."""
_CODE_LABEL = b"deployment code"

OrderKind = Literal["order", "leg"]
"""What one request asked for: a single order, or a batch of which the order is a leg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """The idempotency key of a request, and the client to which it belongs."""

    principal: str  # the client's stable name
    idem_key: str  # as the client sent it


@dataclass(frozen=True, slots=True, kw_only=True)
class TagOrigin:
    """What the tag of an order is derived from: two different orders differ in at least one of these."""

    account_id: str
    key: ClientKey
    kind: OrderKind = "order"
    leg: int = 0  # the place in the batch, from 0
    purpose: Purpose = "client"  # of a follow-up: why the service placed it for the same request
    generation: int = 0  # the number of the follow-up, where one purpose has several

    def follow_up(self, purpose: Purpose, *, generation: int = 0) -> TagOrigin:
        """The origin of an order that the service places for the same request."""
        return replace(self, purpose=purpose, generation=generation)

    def encoded(self) -> bytes:
        """Every field with its length in front, so that no two origins have the same bytes."""
        fields = (self.account_id, self.key.principal, self.key.idem_key, self.kind, str(self.leg), self.purpose,
                  str(self.generation))  # fmt: skip
        return b"".join(len(data).to_bytes(4, "big") + data for data in (field.encode() for field in fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSecrets:
    """The versions of the secret, the newest first: new orders use the newest, orders of any version are recognised."""

    versions: tuple[bytes, ...]
    given_code: str = ""  # the deployment's code where an operator has set one

    @property
    def code(self) -> str:
        """The deployment's code; it follows from the oldest version, so that a newer one does not change it."""
        return self.given_code or _derived(self.versions[-1], _CODE_LABEL, length=DEPLOYMENT_LENGTH)

    @classmethod
    def from_settings(cls, settings: Settings) -> TagSecrets:
        return cls(versions=settings.order_tag_secrets, given_code=settings.order_tag_code)


class Tagger:
    """Makes the tags of placements."""

    def __init__(self, ids: IdSource, *, secrets: TagSecrets) -> None:
        self._ids = ids
        self._secrets = secrets
        self.deployment = secrets.code

    def fresh(self, origin: TagOrigin | None = None) -> str:
        """The ``tag_base`` of a placement: nineteen characters, to which each attempt adds its digit.

        Derived from ``origin``; random without one, which is an order without an idempotency key.
        """
        if origin is None:
            return self.deployment + self._ids.code(NAME_LENGTH)
        return self.deployment + _derived(self._secrets.versions[0], origin.encoded(), length=NAME_LENGTH)

    def known(self, origins: Sequence[TagOrigin]) -> dict[str, TagOrigin]:
        """By ``tag_base``, under which each of these orders may be in the book, by every version of the secret."""
        return {
            self.deployment + _derived(secret, origin.encoded(), length=NAME_LENGTH): origin
            for origin in origins
            for secret in self._secrets.versions
        }


def _derived(secret: bytes, message: bytes, *, length: int) -> str:
    digest = int.from_bytes(hmac.digest(secret, message, hashlib.sha256), "big")
    return crockford(digest >> (256 - 5 * length), length=length)


def attempt_tags(task: Task) -> set[str]:
    """Every tag under which this task can have been sent: a restored database may have forgotten attempts."""
    return {f"{task.tag_base}{attempt}" for attempt in range(1, TAG_ATTEMPTS + 1)}


def tags_of(order: BrokerOrder) -> set[str]:
    """All tags of a row of the book."""
    return {*order.tags, *([order.tag] if order.tag else [])}
