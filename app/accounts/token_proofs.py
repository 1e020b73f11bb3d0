"""Asks the broker whether a new token works, before it replaces one that does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from loguru import logger
from pydantic import SecretStr

from app.accounts.sessions import BrokerSessions
from app.broker.port import SessionGateway
from app.errors import BrokerError, BrokerRefused, BrokerThrottled, BrokerUnavailable, SessionExpired
from app.kit.answer_time import answering_within
from app.kit.clock import Clock

ASK_S = 3.0
"""What one question to the broker may take."""

AGAIN_S = 30.0
"""Between two questions about one token that had no answer."""


class TokenProofs:
    """``gateways`` are by account."""

    def __init__(self, sessions: BrokerSessions, *, gateways: Mapping[str, SessionGateway], clock: Clock) -> None:
        self._sessions = sessions
        self._gateways = gateways
        self._clock = clock
        self._asked: dict[str, tuple[SecretStr, float]] = {}  # by account: about which token, and when

    async def prove(self, account_id: str, token: SecretStr) -> str | None:
        """Whose this token is; None where the broker gives no answer and the account has no token that works.

        Raises BrokerRefused for a dead token, and BrokerError when there is no answer and the present token works.
        """
        try:
            return await self._owner_of(account_id, token)
        except SessionExpired as error:
            message = f"the broker refuses this token: {error.message}"
            raise BrokerRefused(message, error_type=error.error_type, http_status=error.http_status) from error
        except BrokerError:
            if self._sessions.has_working_token(account_id):
                raise
            return None

    async def prove_login(self, account_id: str, token: SecretStr) -> None:
        """The same of a token that the broker has just given: no answer is no reason to doubt it, but a refusal is."""
        try:
            await self.prove(account_id, token)
        except (BrokerThrottled, BrokerUnavailable) as error:
            logger.bind(account_id=account_id, reason=error.message).warning("the token of a login is not proven")
        self._sessions.tokens(account_id).accepted(token)

    async def prove_waiting(self) -> list[str]:
        """Ask about each new token that waits beside one that works; returns the accounts that now use theirs."""
        waiting = [
            (account_id, token)
            for account_id, token in self._sessions.waiting_tokens()
            if self._is_due(account_id, token)
        ]
        proven = await asyncio.gather(*(self._prove_waiting(account_id, token) for account_id, token in waiting))
        return [account_id for (account_id, _), is_proven in zip(waiting, proven, strict=True) if is_proven]

    def _is_due(self, account_id: str, token: SecretStr) -> bool:
        now = self._clock.monotonic()
        asked = self._asked.get(account_id)
        if asked is not None and asked[0] == token and now < asked[1] + AGAIN_S:
            return False
        self._asked[account_id] = (token, now)
        return True

    async def _prove_waiting(self, account_id: str, token: SecretStr) -> bool:
        log = logger.bind(account_id=account_id, action="prove_token")
        try:
            user_id = await self._owner_of(account_id, token)
        except SessionExpired as error:
            self._sessions.tokens(account_id).refused(token)
            log.bind(reason=error.message).error("a new token does not work: the one before stays in force")
            return False
        except BrokerError as error:
            log.bind(reason=error.message).warning("a new token is not used yet: the broker cannot be asked")
            return False
        self._sessions.identify(account_id, token, user_id=user_id)
        return True

    async def _owner_of(self, account_id: str, token: SecretStr) -> str:
        with answering_within(ASK_S):
            user_id = await self._gateways[account_id].owner_of(token)
        self._sessions.tokens(account_id).accepted(token)
        return user_id
