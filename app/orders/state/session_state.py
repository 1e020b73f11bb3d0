"""Whether an account has a session that the broker accepts, as far as known.

A token that the broker has rejected stays rejected: it opens again with another token, or once a request under it
succeeds. Orders prove nothing here, because each would be refused; the reconciler reads the profile now and then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import SecretStr

from app.broker.port import CredentialSource
from app.errors import BrokerError, RateLimited
from app.kit.answer_time import answering_within
from app.kit.clock import Clock

PROOF_S = 5.0
"""What one question to the broker may take."""


class SessionState:
    """The session of one account, shared by its loops.

    ``profile`` reads the profile under the present token; ``prove_every_s``: between two questions about one token.
    """

    def __init__(
        self,
        credentials: CredentialSource,
        *,
        profile: Callable[[], Awaitable[object]],
        clock: Clock,
        prove_every_s: float,
    ) -> None:
        self._profile = profile
        self._credentials = credentials
        self._prove_every_s = prove_every_s
        self._clock = clock
        self._rejected: SecretStr | None = None  # the token that is asked about
        self._prove_at = 0.0  # monotonic seconds

    def is_open(self) -> bool:
        """Whether there is a token that the broker has not rejected since it last accepted it."""
        found = self._credentials()
        return found.access_token is not None and not found.is_refused

    async def is_proven(self) -> bool:
        """Ask the broker, if it is time, whether it takes the rejected token after all. Whether the session is open."""
        if not self._proof_is_due():
            return self.is_open()
        try:
            with answering_within(PROOF_S):
                await self._profile()
        except (BrokerError, RateLimited):
            return False
        return self.is_open()

    def _proof_is_due(self) -> bool:
        token, now = self._credentials().access_token, self._clock.monotonic()
        if token is None or self.is_open():
            return False
        is_due = token == self._rejected and now >= self._prove_at
        if is_due or token != self._rejected:
            self._rejected, self._prove_at = token, now + self._prove_every_s
        return is_due
