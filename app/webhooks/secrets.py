"""The secrets of endpoints: made here, shown once, and sealed in their row."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from app.errors import Conflict
from app.kit.sealing import KEY_VERSION, Sealer
from app.webhooks.model import Claim, SealedSecret
from app.webhooks.signing import SECRET_BYTES, secret_of

RandomBytes = Callable[[int], bytes]


class EndpointSecrets:
    """Without a sealer (no ``TOKEN_KEY``) there are no webhooks: no secret is stored in the clear."""

    def __init__(self, sealer: Sealer | None, *, random_bytes: RandomBytes) -> None:
        self._sealer = sealer
        self._random_bytes = random_bytes

    def new(self, webhook_id: UUID) -> tuple[str, SealedSecret]:
        """A new secret, as the client sees it once and as it is stored. Raises Conflict without a sealer."""
        if self._sealer is None:
            raise Conflict(
                "TOKEN_KEY is not set: the secrets of webhooks are stored encrypted with it", code="TOKEN_KEY_MISSING"
            )
        secret = secret_of(self._random_bytes(SECRET_BYTES))
        sealed = self._sealer.seal(secret, row=_row(webhook_id, KEY_VERSION))
        return secret, SealedSecret(sealed=sealed, key_version=KEY_VERSION)

    def of(self, claim: Claim) -> list[str]:
        """The secrets that sign a delivery. Raises CannotOpen where they were sealed with another ``TOKEN_KEY``."""
        if self._sealer is None:
            return []
        return [self._sealer.open(one.sealed, row=_row(claim.webhook_id, one.key_version)) for one in claim.secrets]


def _row(webhook_id: UUID, key_version: int) -> str:
    return f"webhook|{webhook_id}|secret|{key_version}"
