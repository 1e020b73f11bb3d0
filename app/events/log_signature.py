"""The signature under what was dropped of a log: proof that the service dropped it, and not a hand in the database.

The key is derived from the secret of the orders' tags, which is not in the database.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from app.config import Settings
from app.events.model import Dropped

_LABEL = b"dropped events"


class LogSigner:
    """Signs with the newest version of the secret, and knows the signatures of every version."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = [hmac.digest(secret, _LABEL, "sha256") for secret in secrets]

    @classmethod
    def from_settings(cls, settings: Settings) -> LogSigner:
        return cls(settings.order_tag_secrets)

    def sign(self, dropped: Dropped) -> bytes:
        """The signature of what was dropped."""
        return hmac.digest(self._keys[0], _signed(dropped), hashlib.sha256)

    def is_genuine(self, dropped: Dropped, signature: bytes) -> bool:
        """Whether one of the versions has signed exactly this."""
        return any(
            hmac.compare_digest(hmac.digest(key, _signed(dropped), hashlib.sha256), signature) for key in self._keys
        )


def _signed(dropped: Dropped) -> bytes:
    digest = "" if dropped.hash is None else dropped.hash.hex()
    return f"{dropped.account_id}\n{dropped.seq}\n{digest}\n{dropped.occurred_at.timestamp():.6f}".encode()
