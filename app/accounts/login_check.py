"""Asks the broker whose each token is: two accounts with one login would trade the same positions without knowing it.

The account that comes first in the configuration keeps the login; the other one has no session until it has a token of
another user. A token whose owner cannot be asked for counts as its account's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from loguru import logger
from pydantic import SecretStr

from app.accounts.sessions import BrokerSessions
from app.broker.port import PortfolioGateway
from app.errors import BrokerError, ServiceError
from app.kit.answer_time import answering_within
from app.kit.clock import Clock

ASK_S = 3.0
"""What one question to the broker may take."""

AGAIN_S = 30.0
"""Between two questions about one account that had no answer."""


class SharedLoginReport(Protocol):
    """Who is told that an account has the login of another one."""

    async def __call__(self, account_id: str, *, other: str, user_id: str) -> None:
        """Raise an alarm of ``account_id``. Raises Unavailable."""
        ...


class LoginCheck:
    """``portfolios`` are by account. Nothing is asked where there is one account only."""

    def __init__(
        self,
        sessions: BrokerSessions,
        *,
        portfolios: Mapping[str, PortfolioGateway],
        report: SharedLoginReport,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._portfolios = portfolios
        self._report = report
        self._clock = clock
        self._asked: dict[str, tuple[SecretStr, float]] = {}  # by account: about which token, and when
        self._reported: dict[str, str] = {}

    async def check(self) -> list[str]:
        """Ask about every token whose owner is not known; return the accounts that have lost their session by it."""
        if len(self._portfolios) < 2:
            return []
        before = dict(self._sessions.shared_logins())
        await asyncio.gather(*(self._ask(account_id) for account_id in self._sessions.unidentified()))
        shared = self._sessions.shared_logins()
        for account_id, (other, user_id) in shared.items():
            await self.report(account_id, other=other, user_id=user_id)
        self._reported = {account_id: user for account_id, user in self._reported.items() if account_id in shared}
        return [account_id for account_id in shared if account_id not in before]

    async def _ask(self, account_id: str) -> None:
        now, token = self._clock.monotonic(), self._sessions.credentials(account_id)().access_token
        asked = self._asked.get(account_id)
        if token is None or (asked is not None and asked[0] == token and now < asked[1] + AGAIN_S):
            return
        self._asked[account_id] = (token, now)
        try:
            with answering_within(ASK_S):
                profile = await self._portfolios[account_id].profile()
        except BrokerError as error:
            logger.bind(account_id=account_id, action="check_login", reason=error.message).debug("owner not known")
            return
        user_id = profile.get("user_id")
        if isinstance(user_id, str) and user_id:
            self._sessions.identify(account_id, token, user_id=user_id)

    async def report(self, account_id: str, *, other: str, user_id: str) -> None:
        """Log it, and raise the alarm; nothing while the last report said the same."""
        if self._reported.get(account_id) == user_id:
            return
        log = logger.bind(account_id=account_id, action="check_login")
        log.bind(other=other).error("the account has the login of another account, and does not trade")
        try:
            await self._report(account_id, other=other, user_id=user_id)
            self._reported[account_id] = user_id
        except ServiceError as error:
            log.bind(reason=error.message).warning("alarm not raised")
