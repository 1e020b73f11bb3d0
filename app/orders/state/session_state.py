"""Whether an account has a session that the broker accepts, as far as known.

After the broker rejects a token (403), the session counts as closed for that token; a new login opens it immediately.
The rejection expires, so that a mistake repairs itself: a token replaced while the rejection of the old one was under
way.
"""

from __future__ import annotations

from app.broker.port import CredentialSource
from app.kit.clock import Clock

REJECTION_EXPIRES_S = 15.0
"""Seconds after which a rejected token is tried again."""


class SessionState:
    """The session of one account, shared by its loops."""

    def __init__(self, credentials: CredentialSource, *, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._rejected: str | None = None
        self._rejected_at = 0.0

    def is_open(self) -> bool:
        """Whether there is a token that the broker has not rejected lately."""
        token = self._token()
        if token is None:
            return False
        has_expired = self._clock.monotonic() - self._rejected_at > REJECTION_EXPIRES_S
        return token != self._rejected or has_expired

    @property
    def is_known_dead(self) -> bool:
        """Whether there is no token, or the broker has refused it and accepted no request under it since."""
        return self._token() is None or self._credentials().is_refused

    def reject(self) -> None:
        """The broker rejected the present token."""
        self._rejected = self._token()
        self._rejected_at = self._clock.monotonic()

    def _token(self) -> str | None:
        token = self._credentials().access_token
        return None if token is None else token.get_secret_value()
