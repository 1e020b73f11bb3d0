"""Who learns from the broker's answers whether it takes the token of a request."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr


class TokenObserver(Protocol):
    """Remembers which token the broker has refused."""

    def accepted(self, token: SecretStr) -> None:
        """A request under this token has succeeded."""
        ...

    def refused(self, token: SecretStr) -> None:
        """The broker has answered that the session of this token is over."""
        ...


class IgnoresTokens:
    """The observer for callers that do not show whether an account is logged in."""

    def accepted(self, token: SecretStr) -> None:
        """Not remembered."""

    def refused(self, token: SecretStr) -> None:
        """Not remembered."""
