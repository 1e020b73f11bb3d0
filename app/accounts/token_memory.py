"""What the broker's answers have shown of one account's tokens: which ones work, and which ones it has refused."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

from loguru import logger
from pydantic import SecretStr

REMEMBERED = 8
"""Tokens of each kind; an account has three at most at one time."""


def _ignore(account_id: str) -> None:
    """Nobody is told."""


class AccountTokens:
    """Implements ``app.kite.tokens.TokenObserver`` for one account, by digests of the tokens.

    A refused token counts as none until a request under it succeeds, or another token comes.
    """

    def __init__(self, account_id: str, *, on_refused: Callable[[str], None] = _ignore) -> None:
        self._account_id = account_id
        self.on_refused = on_refused
        """Called once for each token that dies, with the account."""
        self._accepted: deque[bytes] = deque(maxlen=REMEMBERED)
        self._refused: deque[bytes] = deque(maxlen=REMEMBERED)

    def accepted(self, token: SecretStr) -> None:
        """The token works."""
        digest = token_digest(token)
        if digest not in self._accepted:
            self._accepted.append(digest)
        if digest in self._refused:
            self._refused.remove(digest)

    def refused(self, token: SecretStr) -> None:
        """The token is dead; logged once."""
        digest = token_digest(token)
        if digest in self._accepted:
            self._accepted.remove(digest)
        if digest not in self._refused:
            self._refused.append(digest)
            logger.bind(account_id=self._account_id).warning("the broker has refused the access token: log in again")
            self.on_refused(self._account_id)

    def works(self, token: SecretStr) -> bool:
        """Whether the broker's last answer to a request under this token was that of a living session."""
        return token_digest(token) in self._accepted

    def is_refused(self, token: SecretStr) -> bool:
        """Whether it was that of a dead one."""
        return bool(self._refused) and token_digest(token) in self._refused


def token_digest(token: SecretStr) -> bytes:
    """What is remembered of a token, and what a session keeps of the settings' token that it supersedes."""
    return hashlib.sha256(token.get_secret_value().encode()).digest()
