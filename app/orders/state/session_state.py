"""Whether an account has a session that the broker accepts, as far as we know.

The broker's word (403 on a token) closes the gate for that very token; a new login opens it at once. The closing also
wears off, so that a mistake (a token that was replaced while the old one's refusal was on its way) mends itself.
"""

from __future__ import annotations

from app.broker.port import CredentialSource
from app.kit.clock import Clock

REJECTION_EXPIRES_S = 15.0


class SessionState:
    def __init__(self, credentials: CredentialSource, *, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._rejected: str | None = None
        self._rejected_at = 0.0

    def is_open(self) -> bool:
        token = self._token()
        if token is None:
            return False
        worn_off = self._clock.monotonic() - self._rejected_at > REJECTION_EXPIRES_S
        return token != self._rejected or worn_off

    def reject(self) -> None:
        """The broker turned the present token away."""
        self._rejected = self._token()
        self._rejected_at = self._clock.monotonic()

    def _token(self) -> str | None:
        token = self._credentials().access_token
        return None if token is None else token.get_secret_value()
